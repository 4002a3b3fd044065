package strict

import "gopkg.in/yaml.v3"

// An At is a value and where it stands, for what can be judged only when everything is read.
type At[V any] struct {
	Value V
	Position
}

// Given reports whether the user wrote the value: it is neither absent nor a default.
func (a At[V]) Given() bool { return a.Line != 0 }

// Placed is a type whose values say where they stand.
func Placed[V any](t Type[V]) Type[At[V]] {
	return Type[At[V]]{t.Doc, func(v Value) (At[V], bool) {
		decoded, ok := t.Decode(v)
		return At[V]{decoded, v.Position()}, ok
	}, t.inner, t.suffix, t.schema}
}

// Attempted is Placed for what is judged together with other keys: a value with mistakes, which are noted, is Given, though it is the zero
// value.
func Attempted[V any](t Type[V]) Type[At[V]] {
	placed := Placed(t)
	decode := placed.Decode
	placed.Decode = func(v Value) (At[V], bool) {
		at, ok := decode(v)
		if !ok {
			at = At[V]{Position: at.Position}
		}
		return at, true
	}
	return placed
}

// List is a list of at most so many values. Values with mistakes are left out.
func List[V any](of Type[V], most int) Type[[]V] {
	return Type[[]V]{"[" + of.Doc + ", …]", func(v Value) ([]V, bool) {
		if v.nothing() {
			return nil, true
		}
		if v.node.Kind != yaml.SequenceNode {
			v.Problem("want a list, not %s", v.kind())
			return nil, false
		}
		if len(v.node.Content) > most {
			v.Problem("has %d values, at most %d are allowed", len(v.node.Content), most)
			return nil, false
		}
		list := make([]V, 0, len(v.node.Content))
		for _, n := range v.node.Content {
			if decoded, ok := of.Decode(v.sibling(n, v.name)); ok {
				list = append(list, decoded)
			}
		}
		return list, true
	}, of.inner, "[]" + of.suffix, &schema{Kinds: kinds{isArray, isNull}, Items: of.said(), MaxItems: most}}
}

// OneOrList is a list that may be written without its brackets where it has a single value.
func OneOrList[V any](of Type[V], most int) Type[[]V] {
	list := List(of, most)
	return Type[[]V]{of.Doc + ", or a list of these", func(v Value) ([]V, bool) {
		if !v.nothing() && v.node.Kind == yaml.ScalarNode {
			decoded, ok := of.Decode(v)
			return []V{decoded}, ok
		}
		return list.Decode(v)
	}, list.inner, list.suffix, either(of.said(), list.schema)}
}

// NotEmpty is a list or mapping with something in it.
func NotEmpty[V any](t Type[[]V]) Type[[]V] {
	return Type[[]V]{t.Doc, func(v Value) ([]V, bool) {
		if v.nothing() || v.node.Kind != yaml.ScalarNode && len(v.node.Content) == 0 {
			v.Problem("is empty")
			return nil, false
		}
		return t.Decode(v)
	}, t.inner, t.suffix, notEmpty(t.said())}
}

// A Named is an entry of a mapping from names.
type Named[V any] struct {
	Name  string
	Value V
	Position
}

// Map is a mapping of at most so many names to values, in the order written. What a name names is said by what, a word.
// Entries whose name is not good are left out; entries whose value has mistakes hold what is good of it.
func Map[V any](what string, name Type[string], of Type[V], most int) Type[[]Named[V]] {
	return Type[[]Named[V]]{what + " → " + of.Doc, func(v Value) ([]Named[V], bool) {
		pairs, ok := v.pairs("a mapping from " + what + " names")
		if !ok {
			return nil, false
		}
		if len(pairs) > most {
			v.Problem("has %d entries, at most %d are allowed", len(pairs), most)
			return nil, false
		}
		entries := make([]Named[V], 0, len(pairs))
		for _, p := range pairs {
			key, ok := name.Decode(v.sibling(p.key, v.name))
			if !ok {
				continue
			}
			decoded, _ := of.Decode(v.sibling(p.value, what+" "+Quote(key)))
			entries = append(entries, Named[V]{key, decoded, Position{v.file, p.key.Line}})
		}
		return entries, true
	}, of.inner, ".NAME" + of.suffix, &schema{Kinds: kinds{isObject, isNull}, Names: name.said(), Additional: of.said(), MaxProperties: most}}
}

// Convert is a type whose values are made of another's. What make says is wrong with a value is noted.
func Convert[A, B any](t Type[A], doc string, make func(A) (B, error)) Type[B] {
	return Type[B]{doc, func(v Value) (B, bool) {
		var converted B
		decoded, ok := t.Decode(v)
		if !ok {
			return converted, false
		}
		converted, err := make(decoded)
		if err != nil {
			v.Problem("%v", err)
		}
		return converted, err == nil
	}, t.inner, t.suffix, t.schema}
}

// Either is a type that is written as a scalar or as a mapping.
func Either[V any](scalar, mapping Type[V]) Type[V] {
	return Type[V]{scalar.Doc + " or " + mapping.Doc, func(v Value) (V, bool) {
		if !v.nothing() && v.node.Kind == yaml.MappingNode {
			return mapping.Decode(v)
		}
		return scalar.Decode(v)
	}, mapping.inner, mapping.suffix, either(scalar.said(), mapping.said())}
}
