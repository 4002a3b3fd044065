package strict

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Type decodes a value and says in the reference what it may be. The zero Type is of no use.
type Type[V any] struct {
	Doc    string                      // "duration, 1s to 5m"
	Decode func(Value) (V, bool)       // notes what is wrong; false: nothing usable
	inner  func(path string) []section // of the reference: the objects inside
	suffix string                      // of the path in the reference: "[]", ".NAME"
	schema *schema                     // never changed; nil says nothing
}

// A Key is one key of an object.
type Key[T any] struct {
	Name     string
	Doc      string // one line
	Default  string // as YAML; empty: none
	Required bool
	typeDoc  string
	decode   func(Value, *T)
	inner    func(path string) []section
	schema   *schema
}

// Required makes a key that must be given.
func Required[T, V any](name, doc string, t Type[V], field func(*T) *V) Key[T] {
	k := Optional(name, doc, "", t, field)
	k.Required = true
	return k
}

// Optional makes a key that is decoded from the default, as YAML text, where it is not given; an empty default leaves
// the field alone.
func Optional[T, V any](name, doc, byDefault string, t Type[V], field func(*T) *V) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Default: byDefault, typeDoc: t.Doc, schema: t.said(),
		decode: func(v Value, into *T) {
			if decoded, ok := t.Decode(v); ok {
				*field(into) = decoded
			}
		},
		inner: func(path string) []section {
			if t.inner == nil {
				return nil
			}
			return t.inner(path + name + t.suffix)
		},
	}
}

// An Object is the keys of a mapping, in the order of the reference.
type Object[T any] []Key[T]

// Decode fills into from a mapping and notes every mistake: unknown, repeated and missing keys and what is wrong in the
// values. It reports whether the value was a mapping at all.
func (o Object[T]) Decode(v Value, into *T) bool {
	pairs, ok := v.pairs("a mapping with the keys " + strings.Join(o.names(), ", "))
	if !ok {
		return false
	}
	given := make([]bool, len(o))
	for _, p := range pairs {
		i := slices.IndexFunc(o, func(k Key[T]) bool { return k.Name == p.name })
		if i < 0 {
			v.problemAt(p.key, "%s", unknownKey(p.name, o.names()))
			continue
		}
		given[i] = true
		o[i].decode(v.child(p.value, p.name), into)
	}
	for i, k := range o {
		switch {
		case given[i]:
		case k.Required:
			v.Problem("missing key %s (%s)", k.Name, k.Doc)
		case k.Default != "":
			k.decode(v.child(defaultNode(k.Default), k.Name), into)
		}
	}
	return true
}

func (o Object[T]) names() []string {
	names := make([]string, len(o))
	for i, k := range o {
		names[i] = k.Name
	}
	slices.Sort(names)
	return names
}

func unknownKey(name string, have []string) string {
	good := listed(have)
	if near := nearest(name, have); near != "" {
		good = "did you mean " + near + "? " + good
	}
	return "unknown key " + Quote(name) + " (" + good + ")"
}

// Type makes the object a type. Its doc says in the reference what the object is.
func (o Object[T]) Type(doc string) Type[T] {
	return Type[T]{
		Doc: doc,
		Decode: func(v Value) (T, bool) {
			var into T
			ok := o.Decode(v, &into)
			return into, ok
		},
		inner:  o.sections,
		schema: o.schema(),
	}
}

// defaultNode is the node of a default. Its line is 0, which tells it from what a user wrote.
func defaultNode(text string) *yaml.Node {
	if text[0] != '[' && text[0] != '{' {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		panic("strict: default " + text + ": " + err.Error())
	}
	unplace(document.Content[0])
	return document.Content[0]
}

func unplace(n *yaml.Node) {
	n.Line = 0
	for _, c := range n.Content {
		unplace(c)
	}
}

// A pair is a key and its value in a mapping.
type pair struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// pairs returns what is in a mapping, in the order written, and notes keys that are no text or stand twice. Nothing
// written is an empty mapping.
func (v Value) pairs(want string) ([]pair, bool) {
	if v.nothing() {
		return nil, true
	}
	if v.node.Kind != yaml.MappingNode {
		v.Problem("want %s, not %s", want, v.kind())
		return nil, false
	}
	pairs := make([]pair, 0, len(v.node.Content)/2)
	seen := make(map[string]int, len(v.node.Content)/2)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, value := v.node.Content[i], v.node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			v.problemAt(key, "a key must be a name, not %s", v.child(key, "").kind())
			continue
		}
		if line, twice := seen[key.Value]; twice {
			v.problemAt(key, "key %s stands twice (first on line %d)", Quote(key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		pairs = append(pairs, pair{key.Value, key, value})
	}
	return pairs, true
}
