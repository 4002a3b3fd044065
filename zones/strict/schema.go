package strict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"gopkg.in/yaml.v3"
)

// A schema says of a value what JSON Schema (draft 2020-12) can say. It takes whatever Decode takes, so that an editor that goes by it
// never marks a good file, and refuses much of what Decode refuses, not all: the length of a duration, names that are not
// defined and keys that do not go together are beyond it.
//
// Decode reads the text of a scalar, others what YAML makes of it: the name 10 is a number to them, the number "10" a text.
// Keywords for numbers hold for numbers alone and those for texts for texts alone, so both stand in one schema.
type schema struct {
	Dialect     string          `json:"$schema,omitempty"`
	ID          string          `json:"$id,omitempty"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`

	Kinds kinds     `json:"type,omitempty"`
	Words []string  `json:"enum,omitempty"`
	AnyOf []*schema `json:"anyOf,omitempty"`

	Pattern   string   `json:"pattern,omitempty"`
	Wanted    string   `json:"patternErrorMessage,omitempty"` // what editors show for a pattern; not of the standard, which lets it pass
	MaxLength int      `json:"maxLength,omitempty"`
	Minimum   *float64 `json:"minimum,omitempty"`
	Maximum   *float64 `json:"maximum,omitempty"`

	Items    *schema `json:"items,omitempty"`
	MinItems int     `json:"minItems,omitempty"`
	MaxItems int     `json:"maxItems,omitempty"`

	Required      []string   `json:"required,omitempty"`
	Properties    properties `json:"properties,omitempty"`
	Names         *schema    `json:"propertyNames,omitempty"`
	Additional    any        `json:"additionalProperties,omitempty"` // false, or the *schema of a mapping's values
	MinProperties int        `json:"minProperties,omitempty"`
	MaxProperties int        `json:"maxProperties,omitempty"`
}

// The types of JSON Schema.
const (
	isArray   = "array"
	isBoolean = "boolean"
	isInteger = "integer"
	isNull    = "null"
	isNumber  = "number"
	isObject  = "object"
	isString  = "string"
)

// kinds are the types that a value may have; one is written without brackets.
type kinds []string

func (k kinds) MarshalJSON() ([]byte, error) {
	if len(k) == 1 {
		return json.Marshal(k[0])
	}
	return json.Marshal([]string(k))
}

// A property is a key of an object.
type property struct {
	name string
	*schema
}

// properties keep the order of the reference.
type properties []property

func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", one.name)
		if err := write(&b, one.schema); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func write(b *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// textSchema is that of any text; a pattern, if not empty, holds for what others read as text too.
func textSchema(pattern string) *schema {
	return &schema{Kinds: kinds{isString, isNumber, isBoolean}, Pattern: pattern}
}

// numberSchema is that of numbers within a range; the pattern is of those that stand in quotation marks.
func numberSchema(kind, pattern string, least, most float64) *schema {
	return &schema{Kinds: kinds{kind, isString}, Pattern: pattern, Minimum: &least, Maximum: &most}
}

// Pieces of patterns, which are those that ECMAScript and RE2 read alike.
const (
	octet       = `(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`
	ipv4Pattern = `(` + octet + `\.){3}` + octet
	ipv6Pattern = `[0-9A-Fa-f]*:[0-9A-Fa-f:.]*`
	timePattern = `^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$|^[-+]?0$`
	namePattern = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
)

// Matching is a type of texts of which the schema also says a pattern, not anchored, of what ECMAScript and RE2 read alike. Decode stays as
// it was, and must take no text without the pattern.
func (t Type[V]) Matching(pattern string) Type[V] {
	s := *t.said()
	s.Pattern, s.Wanted = pattern, "want "+t.Doc
	t.schema = &s
	return t
}

// OneOf is a type of texts of which the schema also says that each is one of a few words. Decode stays as it was, and must take no other.
func (t Type[V]) OneOf(words ...string) Type[V] {
	t.schema = &schema{Words: words}
	return t
}

// said returns the schema of a type, which for one that has none says nothing.
func (t Type[V]) said() *schema {
	if t.schema == nil {
		return &schema{}
	}
	return t.schema
}

// either is the schema of what one of two takes.
func either(a, b *schema) *schema { return &schema{AnyOf: []*schema{a, b}} }

// notEmpty is the schema of what another takes and has something in it.
func notEmpty(of *schema) *schema {
	s := *of
	s.Kinds = slices.DeleteFunc(slices.Clone(s.Kinds), func(kind string) bool { return kind == isNull })
	if slices.Contains(s.Kinds, isArray) {
		s.MinItems = 1
	}
	if slices.Contains(s.Kinds, isObject) {
		s.MinProperties = 1
	}
	alternatives := s.AnyOf
	s.AnyOf = nil
	for _, a := range alternatives {
		s.AnyOf = append(s.AnyOf, notEmpty(a))
	}
	return &s
}

var link = regexp.MustCompile(`\[[^\]]*\]\(([^)]*)\)`)

// schema returns what is said of a mapping with the object's keys.
func (o Object[T]) schema() *schema {
	s := &schema{Kinds: kinds{isObject}, Additional: false}
	for _, k := range o {
		of := *k.schema
		of.Description = link.ReplaceAllString(k.Doc, "docs/$1") + ". Value: " + k.typeDoc
		if k.Default != "" {
			of.Default = jsonOf(k.Default)
		}
		if k.Required {
			s.Required = append(s.Required, k.Name)
		}
		s.Properties = append(s.Properties, property{k.Name, &of})
	}
	if len(s.Required) == 0 {
		s.Kinds = append(s.Kinds, isNull) // nothing written is an empty mapping
	}
	return s
}

// jsonOf returns a default as JSON.
func jsonOf(text string) json.RawMessage {
	var value any
	err := yaml.Unmarshal([]byte(text), &value)
	var b bytes.Buffer
	if err == nil {
		err = write(&b, value)
	}
	if err != nil {
		panic("strict: default " + text + ": " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// Schema returns a JSON Schema (draft 2020-12) of a file with the object's keys, indented. The id is a URI that names the schema; no one need
// serve it there. See schema for what it takes and what it can't say.
func (o Object[T]) Schema(id, title, description string) string {
	s := o.schema()
	s.Dialect, s.ID, s.Title, s.Description = "https://json-schema.org/draft/2020-12/schema", id, title, description
	var text, indented bytes.Buffer
	err := write(&text, s)
	if err == nil {
		err = json.Indent(&indented, text.Bytes(), "", "  ")
	}
	if err != nil {
		panic("strict: schema: " + err.Error()) // of our own tables
	}
	return indented.String()
}
