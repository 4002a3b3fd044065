package strict

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// instance is what a validator of JSON Schema is given of a file: what YAML makes of its text.
func instance(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			object[n.Content[i].Value] = instance(n.Content[i+1])
		}
		return object
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, instance(c))
		}
		return list
	}
	switch tag := n.ShortTag(); tag {
	case "!!null", "!!bool", "!!int", "!!float":
		var value any
		if n.Decode(&value) == nil {
			return value
		}
	}
	return n.Value
}

func compileSchema(t testing.TB, text string) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func nodeSchema(t testing.TB) *jsonschema.Schema {
	return compileSchema(t, nodeObject.Schema("https://node.example/schema.json", "a node", "of a test"))
}

// refused returns why a schema does not take a file; nil where it does. An empty file is null.
func refused(t testing.TB, schema *jsonschema.Schema, text string) error {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if len(document.Content) == 0 {
		return schema.Validate(nil)
	}
	return schema.Validate(instance(document.Content[0]))
}

// Whatever is decoded without a problem is taken by the schema, and what it refuses has a problem.
func TestSchema(t *testing.T) {
	const name = "name: a\n"
	schema := nodeSchema(t)
	for _, row := range []struct {
		why, text string
		refused   bool
	}{
		{"the least", name, false},
		{"a name that is a number to others", "name: 10", false},
		{"a name that is true to others", "name: true", false},
		{"numbers in quotation marks", name + `port: "53"` + "\nload: '4'\nratio: \"0.25\"", false},
		{"a port with zeros before it", name + "port: 0053", false},
		{"a boolean in quotation marks", name + `peers: {a: {address: 192.0.2.1, fast: "false"}}`, false},
		{"a number as others write it", name + "ratio: 2.5e-1", false},
		{"a number of which only we know", name + "ratio: 0x1p-2", false},
		{"a duration of parts", name + "wait: 1h0.5m.5s", false},
		{"one value for a list", name + "listen: '[2001:db8::1]:53'", false},
		{"nothing for a list", name + "trusted:", false},
		{"prefixes", name + "trusted: [192.0.2.0/24, '2001:db8::/32']", false},
		{"the whole world", name + "trusted: [0.0.0.0/0, '::/0']", false},
		{"a scalar for an object", name + "peers: {a: 192.0.2.1, 'b': '2001:db8::1'}", false},
		{"an address of both kinds", name + "peers: {a: '64:ff9b::192.0.2.1'}", false},
		{"text that is a number to others", name + "note: 1.50", false},
		{"text of many bytes", name + "note: äöü", false},
		{"a syntax that the schema does not know", name + "path: /a", false},

		{"an empty file", "", true},
		{"a missing key", "port: 53", true},
		{"a misspelt key", name + "prot: 1", true},
		{"a name in capitals", "name: A", true},
		{"a name that ends in a hyphen", "name: a-", true},
		{"a list for a scalar", name + "port: [1]", true},
		{"nothing for a scalar", name + "port:", true},
		{"a port of zero", name + "port: 0", true},
		{"a number that is none", name + "port: x", true},
		{"too high", name + "port: 65536", true},
		{"no whole number", name + "load: 1.5", true},
		{"a duration without unit", name + "wait: 3", true},
		{"a duration of nothing where the least is more", name + "wait: 0", true},
		{"a scalar for a list", name + "trusted: 192.0.2.0/24", true},
		{"too many values", name + "trusted: [192.0.2.0/24, 192.0.2.0/24, 192.0.2.0/24]", true},
		{"a prefix that is too long", name + "trusted: [192.0.2.0/33]", true},
		{"an octet that is too much", name + "peers: {a: 192.0.2.256}", true},
		{"an address without port", name + "listen: 192.0.2.1", true},
		{"an address of IPv6 without brackets", name + "listen: '2001:db8::1:53'", true},
		{"too many entries", name + "peers: {a: 192.0.2.1, b: 192.0.2.1, c: 192.0.2.1}", true},
		{"an empty mapping where it may not be", name + "peers: {}", true},
		{"nothing where it may not be", name + "peers:", true},
		{"a bad name of an entry", name + "peers: {A: 192.0.2.1}", true},
		{"a mistake inside", name + "peers: {a: {adress: 1}}", true},
		{"an unknown word", name + "color: blue", true},
		{"too much text", name + "note: abcdefghi", true},
		{"a control character", name + "note: \"a\\tb\"", true},
		{"no text", name + "note: ''", true},
		{"another boolean", name + "peers: {a: {address: 192.0.2.1, fast: yes}}", true},
	} {
		err := refused(t, schema, row.text)
		if (err != nil) != row.refused {
			t.Errorf("%s: %q: the schema says %v, want a refusal: %v", row.why, row.text, err, row.refused)
		}
		if _, problems := decode(row.text); (problems != "") != row.refused {
			t.Errorf("%s: %q: decoding says %q, want a problem: %v", row.why, row.text, problems, row.refused)
		}
	}
}

// Where a least of zero is good, so is a zero without unit, which is a number to others.
func TestSchemaZeroDuration(t *testing.T) {
	object := Object[node]{Optional("wait", "between tries", "0s", Duration(0, maxWait), func(n *node) *time.Duration { return &n.Wait })}
	schema := compileSchema(t, object.Schema("https://node.example/schema.json", "", ""))
	for text, bad := range map[string]bool{"wait: 0": false, "wait: 5s": false, "wait: '0'": false, "wait: 5": true, "wait: -1": true} {
		if err := refused(t, schema, text); (err != nil) != bad {
			t.Errorf("%q: the schema says %v, want a refusal: %v", text, err, bad)
		}
	}
}

const maxWait = time.Minute

// What an editor shows of a key is the reference's line, and its default a value that the key takes.
func TestSchemaText(t *testing.T) {
	text := nodeObject.Schema("https://node.example/schema.json", "a node", "of a test")
	var top struct {
		Schema     string `json:"$schema"`
		ID         string `json:"$id"`
		Title      string
		Required   []string
		Properties map[string]struct {
			Description string
			Default     any
		}
	}
	if err := json.Unmarshal([]byte(text), &top); err != nil {
		t.Fatal(err)
	}
	if top.Schema != "https://json-schema.org/draft/2020-12/schema" || top.ID != "https://node.example/schema.json" || top.Title != "a node" || len(top.Required) != 1 {
		t.Errorf("the head of the schema is %+v", top)
	}
	if got, want := top.Properties["wait"].Description, "between tries. Value: duration from 1s to 2h"; got != want {
		t.Errorf("wait is described as %q, want %q", got, want)
	}
	schema := nodeSchema(t)
	for name, p := range top.Properties {
		if p.Default == nil {
			continue
		}
		if err := schema.Validate(map[string]any{"name": "a", name: p.Default}); err != nil {
			t.Errorf("default %v of %s: %v", p.Default, name, err)
		}
	}
	if got := top.Properties["port"].Default; got != 53.0 {
		t.Errorf("port has the default %v, want 53", got)
	}
	if strings.Index(text, `"ratio"`) > strings.Index(text, `"peers"`) {
		t.Error("the keys are not in the order of the reference")
	}
}

// Matching and OneOf narrow what the schema takes, and nothing else.
func TestSchemaNarrowed(t *testing.T) {
	object := Object[node]{
		Optional("path", "", "", Parsed("path", slashed).Matching("^/"), func(n *node) *string { return &n.Path }),
		Optional("note", "", "", Text(8).OneOf("a", "b"), func(n *node) *string { return &n.Note }),
	}
	schema := compileSchema(t, object.Schema("https://node.example/schema.json", "", ""))
	for text, bad := range map[string]bool{"path: /a": false, "path: a": true, "note: a": false, "note: c": true} {
		if err := refused(t, schema, text); (err != nil) != bad {
			t.Errorf("%q: the schema says %v, want a refusal: %v", text, err, bad)
		}
	}
	var n node
	var r Report
	document, _ := Document("f", []byte("note: c"), &r)
	if object.Decode(document, &n); r.Err() != nil || n.Note != "c" {
		t.Errorf("decoded %q, %v, want c as before", n.Note, r.Err())
	}
	if anything := (Type[int]{}); anything.said() == nil || len(anything.said().Kinds) > 0 {
		t.Error("a type without a schema is not anything")
	}
}
