package importer

import (
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// An Entry is one record, directive or comment of a zone file (RFC 1035, section 5.1): a line, or several within parentheses.
type Entry struct {
	Line  int
	Raw   string   // as it is written, without the last line break
	Blank bool     // it begins with white space: the owner is that of the record before
	Words []string // with their quotation marks and escapes; without parentheses and comments
}

// Entries splits a zone file. The error is strict.Problems: a quotation mark or parenthesis that is never closed.
func Entries(f File) ([]Entry, error) {
	s := splitter{text: string(f.Data), line: 1}
	for s.at < len(s.text) {
		if why := s.entry(); why != "" {
			return nil, strict.Problems{{File: f.Name, Line: s.entries[len(s.entries)-1].Line, Text: why}}
		}
	}
	return s.entries, nil
}

type splitter struct {
	text    string
	at      int
	line    int
	entries []Entry
}

// entry reads one entry. It returns what is wrong with it.
func (s *splitter) entry() string {
	begin, depth, word := s.at, 0, -1
	e := Entry{Line: s.line, Blank: s.text[s.at] == ' ' || s.text[s.at] == '\t'}
	why := ""
	end := func() {
		if word >= 0 {
			e.Words = append(e.Words, s.text[word:s.at])
			word = -1
		}
	}
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\n':
			end()
			s.line++
			if depth == 0 {
				s.close(e, begin)
				s.at++
				return ""
			}
		case c == ' ' || c == '\t' || c == '\r':
			end()
		case c == ';':
			end()
			if n := strings.IndexByte(s.text[s.at:], '\n'); n >= 0 {
				s.at += n - 1
			} else {
				s.at = len(s.text) - 1
			}
		case c == '(':
			end()
			depth++
		case c == ')':
			end()
			if depth--; depth < 0 {
				depth = 0
				why = `")" has no "(" before it`
			}
		case c == '"':
			if word < 0 {
				word = s.at
			}
			if !s.quoted() {
				s.close(e, begin)
				return "a quotation mark is never closed"
			}
		default:
			if word < 0 {
				word = s.at
			}
			if c == '\\' && s.at+1 < len(s.text) && s.text[s.at+1] != '\n' {
				s.at++
			}
		}
	}
	end()
	s.close(e, begin)
	if depth > 0 {
		return `a "(" is never closed`
	}
	return why
}

func (s *splitter) close(e Entry, begin int) {
	e.Raw = strings.TrimRight(s.text[begin:s.at], "\r")
	s.entries = append(s.entries, e)
}

// quoted goes from a quotation mark to the one that ends the text. It reports whether there is one on the line.
func (s *splitter) quoted() bool {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '"':
			return true
		case '\n':
			return false
		case '\\':
			s.at++
		}
	}
	s.at = len(s.text)
	return false
}

// Directive returns the name of an entry's directive in capitals, $ORIGIN say; empty for others.
func (e *Entry) Directive() string {
	if len(e.Words) > 0 && !e.Blank && strings.HasPrefix(e.Words[0], "$") {
		return strings.ToUpper(e.Words[0])
	}
	return ""
}

// Absolute returns a name of a zone file fully qualified.
func Absolute(name, origin string) string {
	switch {
	case name == "@":
		return origin
	case isWhole(name):
		return name
	case origin == ".":
		return name + "."
	}
	return name + "." + origin
}

// CanonicalName returns a name as all names are compared: fully qualified, in lower case, with the escapes of zone files where it needs some.
// The error is false where a text is no domain name.
func CanonicalName(text string) (name string, ok bool) {
	var wire [256]byte
	n, err := dns.PackDomainName(dns.Fqdn(text), wire[:], 0, nil, false)
	if err != nil || n > 255 {
		return "", false
	}
	name, _, err = dns.UnpackDomainName(wire[:n], 0)
	return dns.CanonicalName(name), err == nil
}

// isWhole reports whether a name ends in a dot that is no escaped one.
func isWhole(name string) bool {
	rest, dot := strings.CutSuffix(name, ".")
	return dot && (len(rest)-len(strings.TrimRight(rest, `\`)))%2 == 0
}
