package gdnsd

import (
	"fmt"
	"path"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A value is one of gdnsd's configuration language (vscf): a text, a list, or an ordered mapping.
type value struct {
	at    strict.Position
	kind  importer.Kind
	text  string
	items []*value // of a list, or the values of a mapping
	keys  []string
}

const (
	maxDepth    = 64
	maxIncludes = 1000 // of a configuration, however often a file is one
)

func (v *value) get(key string) *value {
	if v == nil || v.kind != importer.Map {
		return nil
	}
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// list returns the items of a list; anything else counts as a list of itself.
func (v *value) list() []*value {
	switch {
	case v == nil:
		return nil
	case v.kind == importer.List:
		return v.items
	}
	return []*value{v}
}

func (v *value) scalar() string {
	if v == nil || v.kind != importer.Scalar {
		return ""
	}
	return v.text
}

// isTrue reports whether a value is the boolean true.
func (v *value) isTrue() bool {
	text := v.scalar()
	return strings.EqualFold(text, "true") || text == "1"
}

// A parser reads a file and those that it includes.
type parser struct {
	files    map[string][]byte
	includes *int // that may still come
	name     string
	data     []byte
	pos      int
	line     int
	depth    int
	err      *strict.Problem
}

// parseFile reads a file: a mapping without braces, or a list.
func parseFile(files map[string][]byte, name string, includes *int, depth int) (*value, *strict.Problem) {
	p := &parser{files: files, includes: includes, name: name, data: files[name], line: 1, depth: depth}
	p.space()
	var v *value
	if p.peek() == '[' {
		v = p.array()
	} else {
		v = p.hash(true)
	}
	if p.space(); p.err == nil && p.pos < len(p.data) {
		p.fail("%q stands where the file should end", string(p.data[p.pos]))
	}
	return v, p.err
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &strict.Problem{File: p.name, Line: p.line, Text: fmt.Sprintf(format, args...)}
	}
	p.pos = len(p.data)
}

func (p *parser) here() strict.Position { return strict.Position{File: p.name, Line: p.line} }

func (p *parser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

// space passes over white space and comments.
func (p *parser) space() {
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; c {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		case '#', ';':
			for p.pos < len(p.data) && p.data[p.pos] != '\n' {
				p.pos++
			}
			continue
		default:
			return
		}
		p.pos++
	}
}

// value reads a text, list, mapping or include.
func (p *parser) value() *value {
	p.space()
	if p.depth++; p.depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	switch c := p.peek(); {
	case p.pos == len(p.data):
		p.fail("a value is missing")
		return nil
	case c == '{':
		p.pos++
		return p.hash(false)
	case c == '[':
		return p.array()
	case c == '$':
		return p.include()
	}
	v := &value{at: p.here(), kind: importer.Scalar}
	v.text = p.text()
	return v
}

// hash reads the keys of a mapping; the top of a file has no braces.
func (p *parser) hash(top bool) *value {
	v := &value{at: p.here(), kind: importer.Map}
	seen := map[string]bool{}
	put := func(key string, item *value) {
		if seen[key] {
			p.fail("key %s stands twice", strict.Quote(key))
			return
		}
		seen[key] = true
		v.keys, v.items = append(v.keys, key), append(v.items, item)
	}
	for p.err == nil {
		p.space()
		switch c := p.peek(); {
		case p.pos == len(p.data):
			if !top {
				p.fail("a { is never closed")
			}
			return v
		case c == '}' && !top:
			p.pos++
			return v
		case c == '$':
			if merged := p.include(); merged != nil {
				if merged.kind != importer.Map {
					p.fail("an include among keys must be of a file of keys")
				}
				for i, key := range merged.keys {
					put(key, merged.items[i])
				}
			}
			p.comma()
			continue
		}
		key := p.text()
		if p.space(); p.peek() != '=' {
			p.fail("want = or => after key %s", strict.Quote(key))
			return v
		}
		if p.pos++; p.peek() == '>' {
			p.pos++
		}
		put(key, p.value())
		p.comma()
	}
	return v
}

func (p *parser) array() *value {
	v := &value{at: p.here(), kind: importer.List}
	p.pos++
	for p.err == nil {
		p.space()
		if p.peek() == ']' {
			p.pos++
			return v
		}
		if p.pos == len(p.data) {
			p.fail("a [ is never closed")
			return v
		}
		v.items = append(v.items, p.value())
		p.comma()
	}
	return v
}

func (p *parser) comma() {
	if p.space(); p.peek() == ',' {
		p.pos++
	}
}

const special = "][}{;#,\"=\\ \t\r\n"

// text reads a text, with or without quotation marks.
func (p *parser) text() string {
	quoted := p.peek() == '"'
	if quoted {
		p.pos++
	}
	var b strings.Builder
	begin := p.pos
	for ; p.pos < len(p.data); p.pos++ {
		c := p.data[p.pos]
		switch {
		case quoted && c == '"':
			p.pos++
			return b.String()
		case c == '\\':
			b.WriteByte(p.escape())
		case !quoted && strings.IndexByte(special, c) >= 0:
			if p.pos == begin {
				p.fail("%q stands where a text should", string(c))
			}
			return b.String()
		default:
			if c == '\n' {
				p.line++
			}
			b.WriteByte(c)
		}
	}
	if quoted {
		p.fail("a quotation mark is never closed")
	}
	return b.String()
}

// escape reads what stands after a backslash: three decimal digits, or any other byte.
func (p *parser) escape() byte {
	digits := p.data[p.pos+1 : min(p.pos+4, len(p.data))]
	if len(digits) == 0 {
		p.fail("a backslash ends the file")
		return 0
	}
	if digits[0] < '0' || digits[0] > '9' {
		p.pos++
		return digits[0]
	}
	n := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			n = 256
		}
		n = n*10 + int(d-'0')
	}
	if len(digits) < 3 || n > 255 {
		p.fail("\\%s is no escape: want three digits up to 255", digits)
		return 0
	}
	p.pos += 3
	return byte(n)
}

// include reads $include{file}.
func (p *parser) include() *value {
	const word = "$include{"
	if !strings.HasPrefix(string(p.data[p.pos:min(p.pos+len(word), len(p.data))]), word) {
		p.fail("want $include{FILE}")
		return nil
	}
	p.pos += len(word)
	p.space()
	file := p.text()
	if p.space(); p.peek() != '}' {
		p.fail("$include{ is never closed")
		return nil
	}
	p.pos++
	name := path.Join(path.Dir(p.name), file)
	if *p.includes--; *p.includes < 0 {
		p.fail("more than %d includes", maxIncludes)
		return nil
	}
	if _, ok := p.files[name]; !ok || path.IsAbs(file) {
		p.fail("$include: no file %s in the directory", strict.Quote(file))
		return nil
	}
	v, err := parseFile(p.files, name, p.includes, p.depth+1)
	if err != nil && p.err == nil {
		p.err = err
		p.pos = len(p.data)
	}
	return v
}
