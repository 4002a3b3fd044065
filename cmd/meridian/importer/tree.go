package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// A Kind is what a Tree is.
type Kind int

const (
	Null Kind = iota
	Scalar
	List
	Map
)

// A Tree is a value of JSON or YAML, with the lines where its parts stand. A nil *Tree is Null.
type Tree struct {
	Kind  Kind
	Line  int
	Text  string  // of a scalar, as it is written
	Items []*Tree // of a list, or the values of a map
	Keys  []string
	lines []int // of the keys
}

const maxDepth = 100

// Get returns the value of a key; nil where a tree is no map or has no such key.
func (t *Tree) Get(key string) *Tree {
	if t == nil || t.Kind != Map {
		return nil
	}
	if i := slices.Index(t.Keys, key); i >= 0 {
		return t.Items[i]
	}
	return nil
}

// KeyLine returns where the i-th key of a map stands.
func (t *Tree) KeyLine(i int) int { return t.lines[i] }

// Elements returns the items of a list.
func (t *Tree) Elements() []*Tree {
	if t == nil || t.Kind != List {
		return nil
	}
	return t.Items
}

// IsNull reports whether there is nothing.
func (t *Tree) IsNull() bool { return t == nil || t.Kind == Null }

// put adds a key to a map that has the others that were seen.
func (t *Tree) put(seen map[string]bool, key string, line int, value *Tree) error {
	if seen[key] {
		return &lineError{line, fmt.Errorf("key %s stands twice", strict.Quote(key))}
	}
	seen[key] = true
	t.Keys, t.lines, t.Items = append(t.Keys, key), append(t.lines, line), append(t.Items, value)
	return nil
}

// A lineError is an error at a line of an input.
type lineError struct {
	line int
	error
}

func (e *lineError) Unwrap() error { return e.error }

// ReadTree reads JSON, if a text begins as such, or else YAML with the short forms of CloudFormation's functions (!Ref becomes the map that
// Ref has as a key). The error is strict.Problems, with the line.
func ReadTree(f File) (*Tree, error) {
	read := readYAML
	if first := bytes.TrimLeft(f.Data, " \t\r\n\ufeff"); len(first) > 0 && (first[0] == '{' || first[0] == '[') {
		read = readJSON
	}
	tree, err := read(f.Data)
	if err == nil {
		return tree, nil
	}
	p := strict.Problem{File: f.Name, Text: err.Error()}
	var at *lineError
	if errors.As(err, &at) {
		p.Line = at.line
	}
	return nil, strict.Problems{p}
}

// A jsonReader keeps count of the lines of what it has read.
type jsonReader struct {
	data []byte
	*json.Decoder
	line, at int
}

func readJSON(data []byte) (*Tree, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := &jsonReader{data: data, Decoder: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.UseNumber()
	t, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, &lineError{r.lineNow(), errors.New("not JSON: something stands after its end")}
	}
	return t, nil
}

// lineNow returns the line of the last token that was read.
func (r *jsonReader) lineNow() int {
	now := int(r.InputOffset())
	r.line += bytes.Count(r.data[r.at:now], []byte("\n"))
	r.at = now
	return r.line
}

func (r *jsonReader) token() (json.Token, error) {
	token, err := r.Token()
	if err == nil {
		return token, nil
	}
	line := r.lineNow()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		line, err = 1+bytes.Count(bytes.TrimRight(r.data, "\n"), []byte("\n")), errors.New("ends too early")
	case errors.As(err, &syntax):
		line = 1 + bytes.Count(r.data[:min(int(syntax.Offset), len(r.data))], []byte("\n"))
	}
	return nil, &lineError{line, fmt.Errorf("not JSON: %w", err)}
}

func (r *jsonReader) value(depth int) (*Tree, error) {
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	t := &Tree{Kind: Scalar, Line: r.lineNow()}
	switch v := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, &lineError{t.Line, fmt.Errorf("nested more than %d deep", maxDepth)}
		}
		return t, r.inside(t, v, depth)
	case string:
		t.Text = v
	case json.Number:
		t.Text = v.String()
	case bool:
		t.Text = strconv.FormatBool(v)
	default:
		t.Kind = Null
	}
	return t, nil
}

func (r *jsonReader) inside(t *Tree, open json.Delim, depth int) error {
	t.Kind = List
	if open == '{' {
		t.Kind = Map
	}
	seen := map[string]bool{}
	for r.More() {
		key, line := "", 0
		if t.Kind == Map {
			token, err := r.token()
			if err != nil {
				return err
			}
			key, line = token.(string), r.lineNow()
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		if t.Kind == List {
			t.Items = append(t.Items, value)
		} else if err := t.put(seen, key, line, value); err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

func readYAML(data []byte) (t *Tree, err error) {
	// yaml.v3 hands its own errors through a panic and lets an index out of range pass; hostile input must not stop the program.
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("not YAML: parser gave up: %v", p)
		}
	}()
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, yamlError(err)
	}
	if len(document.Content) == 0 {
		return &Tree{Line: 1}, nil
	}
	return treeOf(document.Content[0], 0)
}

// yamlError takes the line out of an error of yaml.v3: "yaml: line 3: did not find expected key".
func yamlError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if digits, rest, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(digits); err == nil {
				return &lineError{line, errors.New("not YAML: " + rest)}
			}
		}
	}
	return errors.New("not YAML: " + text)
}

func treeOf(n *yaml.Node, depth int) (*Tree, error) {
	if depth > maxDepth {
		return nil, &lineError{n.Line, fmt.Errorf("nested more than %d deep", maxDepth)}
	}
	if n.Kind == yaml.AliasNode {
		return nil, &lineError{n.Line, fmt.Errorf("alias *%s: CloudFormation takes none", n.Value)}
	}
	t := &Tree{Line: n.Line}
	switch {
	case n.Kind == yaml.MappingNode:
		t.Kind = Map
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			value, err := treeOf(n.Content[i+1], depth+1)
			if err == nil {
				err = t.put(seen, n.Content[i].Value, n.Content[i].Line, value)
			}
			if err != nil {
				return nil, err
			}
		}
	case n.Kind == yaml.SequenceNode:
		t.Kind = List
		for _, c := range n.Content {
			item, err := treeOf(c, depth+1)
			if err != nil {
				return nil, err
			}
			t.Items = append(t.Items, item)
		}
	case n.ShortTag() == "!!null":
	default:
		t.Kind, t.Text = Scalar, n.Value
	}
	name, isFunction := strings.CutPrefix(n.Tag, "!")
	if !isFunction || strings.HasPrefix(name, "!") || name == "" {
		return t, nil
	}
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	return &Tree{Kind: Map, Line: n.Line, Keys: []string{name}, lines: []int{n.Line}, Items: []*Tree{t}}, nil
}
