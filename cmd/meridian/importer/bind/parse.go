package bind

import (
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// A statement is one of named.conf: words, perhaps a block of statements, and more words, up to a semicolon.
type statement struct {
	at    strict.Position
	words []string // those after a block, too
	block []statement
}

// word returns the i-th word; empty where there is none.
func (s statement) word(i int) string {
	if i < len(s.words) {
		return s.words[i]
	}
	return ""
}

type parser struct {
	file    string
	text    string
	pos     int
	line    int
	problem string
}

// statements reads statements up to a brace that closes their block, or the end of the file at the top.
func (p *parser) statements(depth int) (list []statement) {
	if depth > maxStatement {
		p.fail("more than 64 blocks in one another")
	}
	for p.problem == "" {
		s := statement{}
		for {
			word, quoted, ok := p.next()
			if s.at.Line == 0 {
				s.at = strict.Position{File: p.file, Line: p.line}
			}
			switch {
			case p.problem != "":
				return list
			case !ok && (depth > 0 || len(s.words) > 0):
				p.fail("ends within a statement or block")
				return list
			case !ok:
				return list
			case quoted:
				s.words = append(s.words, word)
				continue
			case word == "{":
				s.block = append(s.block, p.statements(depth+1)...)
				continue
			case word == "}" && depth > 0 && len(s.words) == 0:
				return list
			case word == "}":
				p.fail("a ; or { is missing before }")
				return list
			case word != ";":
				s.words = append(s.words, word)
				continue
			}
			break
		}
		if len(s.words) > 0 || len(s.block) > 0 {
			list = append(list, s)
		}
	}
	return list
}

func (p *parser) fail(problem string) {
	if p.problem == "" {
		p.problem = problem
	}
}

// next returns a word, a text in quotation marks, or one of { } ;. It is not ok at the end.
func (p *parser) next() (word string, quoted, ok bool) {
	p.space()
	if p.pos >= len(p.text) {
		return "", false, false
	}
	switch c := p.text[p.pos]; c {
	case '{', '}', ';':
		p.pos++
		return string(c), false, true
	case '"':
		end := strings.IndexByte(p.text[p.pos+1:], '"')
		if end < 0 {
			p.fail("a quotation mark is never closed")
			return "", false, false
		}
		word = p.text[p.pos+1 : p.pos+1+end]
		p.line += strings.Count(word, "\n")
		p.pos += end + 2
		return word, true, true
	}
	end := strings.IndexAny(p.text[p.pos:], " \t\r\n{};\"")
	if end < 0 {
		end = len(p.text) - p.pos
	}
	word = p.text[p.pos : p.pos+end]
	p.pos += end
	return word, false, true
}

// space passes over white space and comments: of C, of C++ and of the shell.
func (p *parser) space() {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		skip := 1
		switch {
		case rest[0] == '\n':
			p.line++
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
		case rest[0] == '#' || strings.HasPrefix(rest, "//"):
			if skip = strings.IndexByte(rest, '\n'); skip < 0 {
				skip = len(rest)
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				p.fail("a comment is never closed")
				skip = len(rest)
				break
			}
			skip = end + 2
			p.line += strings.Count(rest[:skip], "\n")
		default:
			return
		}
		p.pos += skip
	}
}
