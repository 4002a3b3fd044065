package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Value is a YAML value in a file, and the report that its mistakes go to. The zero Value stands for nothing written.
type Value struct {
	node   *yaml.Node
	file   string
	outer  string // what the value belongs to, and
	name   string // what it is called there, for the text of problems
	report *Report
}

// Document reads the one document of a file. Where the file is not well-formed the problem is noted and ok is false.
// An empty file is an empty mapping.
func Document(file string, data []byte, report *Report) (v Value, ok bool) {
	at := Position{File: file}
	if len(data) > MaxSize {
		report.Add(at, "is larger than %d MiB", MaxSize>>20)
		return Value{}, false
	}
	root, extra, err := documents(data)
	if err != nil {
		at.Line, err = lineOf(err)
		report.Add(at, "not YAML: %v", err)
		return Value{}, false
	}
	if extra != 0 {
		at.Line = extra
		report.Add(at, "a second document begins here (one file holds one)")
		return Value{}, false
	}
	v = Value{node: root, file: file, report: report}
	return v, v.plain(root, 0)
}

// documents returns the first document's value, nil in an empty file, and the line of the second document, 0 without one.
func documents(data []byte) (root *yaml.Node, extra int, err error) {
	// yaml.v3 hands its own errors through a panic and lets an index out of range pass; hostile input must not stop the program.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("parser gave up: %v", p)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
		return first.Content[0], 0, nil
	case err != nil:
		return nil, 0, err
	}
	return nil, max(second.Line, 1), nil
}

// lineOf takes the line out of an error of yaml.v3: "yaml: line 3: did not find expected key".
func lineOf(err error) (int, error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if digits, rest, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(digits); err == nil {
				return line, errors.New(rest)
			}
		}
	}
	return 0, errors.New(text)
}

// plain notes what makes a file say other than what stands in it, and reports whether the rest can be decoded.
func (v Value) plain(n *yaml.Node, depth int) bool {
	if n == nil {
		return true
	}
	at := Position{v.file, n.Line}
	switch {
	case depth > maxDepth:
		v.report.Add(at, "is nested more than %d deep", maxDepth)
		return false
	case n.Kind == yaml.AliasNode:
		v.report.Add(at, "alias *%s is not allowed (write the value out)", n.Value)
		return false
	case n.Anchor != "":
		v.report.Add(at, "anchor &%s is not allowed (write the value where it is used)", n.Anchor)
		return false
	case n.Style&yaml.TaggedStyle != 0:
		v.report.Add(at, "tag %s is not allowed", n.Tag)
		return false
	}
	ok := true
	for _, c := range n.Content {
		ok = v.plain(c, depth+1) && ok
	}
	return ok
}

// Position returns where the value stands; the zero Position for a default.
func (v Value) Position() Position {
	if v.node == nil || v.node.Line == 0 {
		return Position{}
	}
	return Position{v.file, v.node.Line}
}

// Problem notes a mistake in the value.
func (v Value) Problem(format string, args ...any) {
	v.problemAt(v.node, format, args...)
}

func (v Value) problemAt(n *yaml.Node, format string, args ...any) {
	at := Position{File: v.file}
	if n != nil {
		at.Line = n.Line
	}
	v.report.Add(at, "%s", join(join(v.outer, v.name), fmt.Sprintf(format, args...)))
}

// child returns a value inside v that is called name there.
func (v Value) child(n *yaml.Node, name string) Value {
	return Value{n, v.file, join(v.outer, v.name), name, v.report}
}

// sibling returns a value that stands for v under another name: an entry for its mapping.
func (v Value) sibling(n *yaml.Node, name string) Value {
	return Value{n, v.file, v.outer, name, v.report}
}

func join(outer, inner string) string {
	if outer == "" || inner == "" {
		return outer + inner
	}
	return outer + ": " + inner
}

// nothing reports whether no value is written: an empty file, or "key:" and no more.
func (v Value) nothing() bool {
	return v.node == nil || v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null"
}

// scalar returns the text of a scalar as it is written. Anything else is a problem that names what was wanted.
func (v Value) scalar(want string) (string, bool) {
	if v.nothing() || v.node.Kind != yaml.ScalarNode {
		v.Problem("want %s, not %s", want, v.kind())
		return "", false
	}
	return v.node.Value, true
}

// kind says for people what is written.
func (v Value) kind() string {
	switch {
	case v.nothing():
		return "nothing"
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	}
	return Quote(v.node.Value)
}
