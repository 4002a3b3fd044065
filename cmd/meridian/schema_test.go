package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"gopkg.in/yaml.v3"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// The schemas in deploy are what the code makes of itself.
func TestSchemas(t *testing.T) {
	for _, of := range []string{"world", "node"} {
		t.Run(of, func(t *testing.T) { sameFile(t, "../../deploy/schema/"+of+".schema.json", schema(of), "make docs") })
	}
}

// An editor takes its word from a schema on what every key is and may be, and some know no draft after 7.
func TestSchemasSayAll(t *testing.T) {
	later := []string{"$defs", "prefixItems", "unevaluatedProperties", "dependentRequired", "dependentSchemas", "minContains", "$dynamicRef", "$anchor"}
	for _, of := range []string{"world", "node"} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema(of)))
		if err != nil {
			t.Fatal(err)
		}
		keys := 0
		var walk func(where string, value any)
		walk = func(where string, value any) {
			m, ok := value.(map[string]any)
			if !ok {
				return
			}
			for _, word := range later {
				if _, uses := m[word]; uses {
					t.Errorf("%s: %s: uses %s, which draft 7 has not", of, where, word)
				}
			}
			if m["type"] == nil && m["enum"] == nil && m["anyOf"] == nil {
				t.Errorf("%s: %s may be anything: its type has no schema", of, where)
			}
			properties, _ := m["properties"].(map[string]any)
			for name, property := range properties {
				keys++
				if text, _ := property.(map[string]any)["description"].(string); len(text) < 10 {
					t.Errorf("%s: %s.%s is described as %q", of, where, name, text)
				}
				walk(where+"."+name, property)
			}
			for _, inner := range []string{"items", "additionalProperties", "propertyNames"} {
				walk(where+" "+inner, m[inner])
			}
			alternatives, _ := m["anyOf"].([]any)
			for _, a := range alternatives {
				walk(where, a)
			}
		}
		walk("the file", document)
		if keys < 30 {
			t.Errorf("%s: %d keys found, want all", of, keys)
		}
	}
}

// A validator judges files by a schema as an editor does.
type validator struct{ *jsonschema.Schema }

func newValidator(t testing.TB, of string) validator {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema(of)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(of, document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile(of)
	if err != nil {
		t.Fatal(err)
	}
	return validator{compiled}
}

// lines returns the lines of a file that the schema refuses, in order, with the first reason for each. What is not YAML has none.
func (v validator) lines(text []byte) (lines []int, why map[int]string) {
	why = map[int]string{}
	var document yaml.Node
	if yaml.Unmarshal(text, &document) != nil {
		return nil, why
	}
	root := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 0}
	if len(document.Content) > 0 {
		root = document.Content[0]
	}
	var refusal *jsonschema.ValidationError
	if !errors.As(v.Validate(instance(root)), &refusal) {
		return nil, why
	}
	for _, leaf := range leaves(refusal) {
		var found []int
		switch k := leaf.ErrorKind.(type) {
		case *kind.AdditionalProperties:
			found = keyLines(nodeAt(root, leaf.InstanceLocation), k.Properties, false)
		case *kind.PropertyNames:
			found = keyLines(root, []string{k.Property}, true) // the library's InstanceLocation of these is not kept
		default:
			found = []int{nodeAt(root, leaf.InstanceLocation).Line}
		}
		for _, line := range found {
			if _, known := why[line]; !known {
				why[line] = leaf.Error()
			}
		}
	}
	for line := range why {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines, why
}

// leaves are the reasons of a refusal that have none themselves; of alternatives, those of the one that went furthest into the value.
func leaves(e *jsonschema.ValidationError) (all []*jsonschema.ValidationError) {
	if _, names := e.ErrorKind.(*kind.PropertyNames); names || len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	_, alternatives := e.ErrorKind.(*kind.AnyOf)
	deepest := 0
	for _, cause := range e.Causes {
		found := leaves(cause)
		if !alternatives {
			all = append(all, found...)
			continue
		}
		for _, leaf := range found {
			if depth := len(leaf.InstanceLocation); depth > deepest {
				deepest, all = depth, found
			}
		}
		if all == nil {
			all = found
		}
	}
	return all
}

// keyLines returns where a mapping, or all within it too, has keys of these names.
func keyLines(n *yaml.Node, names []string, within bool) (lines []int) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && slices.Contains(names, c.Value) {
			lines = append(lines, c.Line)
		}
		if within {
			lines = append(lines, keyLines(c, names, within)...)
		}
	}
	return lines
}

func nodeAt(n *yaml.Node, path []string) *yaml.Node {
next:
	for _, step := range path {
		if n.Kind == yaml.SequenceNode {
			i, _ := strconv.Atoi(step)
			n = n.Content[i]
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				n = n.Content[i+1]
				continue next
			}
		}
	}
	return n
}

// instance is what an editor hands to a schema: what YAML makes of the text.
func instance(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			object[n.Content[i].Value] = instance(n.Content[i+1])
		}
		return object
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, instance(c))
		}
		return list
	case yaml.AliasNode:
		return instance(n.Alias)
	}
	switch n.ShortTag() {
	case "!!null", "!!bool", "!!int", "!!float":
		var value any
		if n.Decode(&value) == nil {
			return value
		}
	}
	return n.Value
}

// filesBelow returns the configuration files of a folder and those below it.
func filesBelow(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".yaml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("files of %s: %v, %v, want some", dir, files, err)
	}
	return files
}

// filesOf returns the files of a folder and those below it.
func filesOf(t testing.TB, dir string) zones.FileMap {
	t.Helper()
	files := zones.FileMap{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files[path] = readFile(t, filepath.Join(dir, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// No good file of the project is refused, in whatever part of it.
func TestSchemasTakeGoodFiles(t *testing.T) {
	world, node := newValidator(t, "world"), newValidator(t, "node")
	judge := func(v validator, name string, text []byte) {
		t.Helper()
		lines, why := v.lines(text)
		for _, line := range lines {
			t.Errorf("%s:%d: refused: %s", name, line, why[line])
		}
	}
	for _, dir := range []string{"../../deploy/example/world", "../../zones/testdata/good", "../../zones/testdata/demo", "../internal/sim/testdata/worlds/three", "../internal/sim/testdata/worlds/five"} {
		for _, file := range filesBelow(t, dir) {
			judge(world, file, readFile(t, file))
		}
	}
	nodes := []string{"../../deploy/node.yaml", "nodefile/testdata/good.yaml", "nodefile/testdata/least.yaml"}
	more, err := filepath.Glob("../../deploy/example/*.yaml")
	if err != nil || len(more) == 0 {
		t.Fatalf("no node files in the example: %v", err)
	}
	for _, file := range append(nodes, more...) {
		judge(node, file, readFile(t, file))
	}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, file := range append(documents, "../../README.md", "../../deploy/example/README.md") {
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readFile(t, file), -1) {
			examples++
			if _, whys := world.lines(block[1]); len(whys) > 0 {
				// a piece of node.yaml: all that may be missing is missing keys at its top
				least := "\nname: n1\nregion: eu-west\nroles: [dns]\nworld: world\ndata: data\nlisten: {gossip: '192.0.2.1:7946'}\nkeys: {gossip: k, certificate: k, key: k, ca: k}\n"
				judge(node, file+" example", append(block[1], least...))
			}
		}
	}
	if examples < 2 {
		t.Errorf("%d examples of configuration in the documents, want at least those of docs/transfers.md", examples)
	}
}

// visible are the mistakes that a schema sees.
var visible = regexp.MustCompile(`unknown key "|missing key|has \d+ (values|entries), at most| is empty$|: want [^:]+, not |` +
	`is not (an integer from|a number from|a port from|true or false|a name \(|an IP address|an IP prefix|text of)|` +
	`unknown (policy|check type|view|value of|algorithm|assertion|continent|mode|timing|xot|role) `)

// hidden are those of them that it can't see all the same: keys that are wanted together with others, bits past the length of a prefix, an
// IPv4 address within IPv6, and what stands in the first of two mappings with the same key.
var hidden = regexp.MustCompile(`missing key (region|address) \(|"[0-9a-f.:]+/\d+" is not an IP prefix|"::ffff:|unknown key "vantge"`)

// The schemas refuse no line of a bad file that the program takes, and every line with a mistake that they can see.
func TestSchemasRefuseBadFiles(t *testing.T) {
	seen := 0
	judge := func(v validator, name string, text []byte, problems []strict.Problem) {
		t.Helper()
		if _, ok := strict.Document(name, text, new(strict.Report)); !ok {
			return // nothing can be said of a file that is not plain YAML
		}
		lines, why := v.lines(text)
		for _, line := range lines {
			if !slices.ContainsFunc(problems, func(p strict.Problem) bool { return p.Line == line }) {
				t.Errorf("%s:%d: refused by the schema alone: %s", name, line, why[line])
			}
		}
		for _, p := range problems {
			switch _, refused := why[p.Line]; {
			case refused:
				seen++
			case visible.MatchString(p.Text) && !hidden.MatchString(p.Text):
				t.Errorf("%s:%d: the schema takes what has the mistake %s", name, p.Line, p.Text)
			}
		}
	}
	node, world := newValidator(t, "node"), newValidator(t, "world")
	for _, file := range filesBelow(t, "nodefile/testdata/bad") {
		var problems strict.Problems
		if _, err := nodefile.Parse(file, readFile(t, file)); !errors.As(err, &problems) {
			t.Fatalf("%s: %v, want problems", file, err)
		}
		judge(node, strings.TrimPrefix(filepath.ToSlash(file), "nodefile/testdata/"), readFile(t, file), problems)
	}
	const dir = "../../zones/testdata/bad"
	worlds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range worlds {
		files := filesOf(t, filepath.Join(dir, w.Name()))
		var problems zones.Problems
		if _, err := zones.Parse(files); !errors.As(err, &problems) {
			t.Fatalf("%s: %v, want problems", w.Name(), err)
		}
		names, err := files.List(".")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".yaml") {
				judge(world, "bad/"+w.Name()+"/"+name, files[name], slices.DeleteFunc(slices.Clone(problems), func(p strict.Problem) bool { return p.File != name }))
			}
		}
	}
	if seen < 100 {
		t.Errorf("the schemas see %d mistakes, want more", seen)
	}
}
