package master

import (
	"fmt"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// A fault is what is wrong with an entry. The zero fault is none.
type fault struct {
	line int
	text string
}

// What should stand where something else does.
const (
	aName     = "a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all)"
	aDuration = "a TTL (300, 5m)"
	aTimer    = "a number (serial, refresh, retry, expire, minimum; all but the serial may be durations like 2h)"
	aTime     = "a time (20060102150405, or seconds since 1970)"
	aByte     = "a number from 0 to 255"
	aNumber16 = "a number from 0 to 65535"
	aNumber32 = "a number from 0 to 4294967295"
	anIPv4    = "an IPv4 address"
	anIPv6    = "an IPv6 address"
	aString   = "a string"
	aTag      = "a tag of letters and digits"
	aSalt     = "a salt (hexadecimal digits, at most 255 bytes, or - for none)"
	aHash     = "a hashed owner name (base 32 with extended hex digits)"
	someHex   = "hexadecimal digits, two for a byte"
	someBytes = "base 64"
	aParam    = "a parameter (mandatory, alpn, no-default-alpn, port, ipv4hint, ech, ipv6hint, dohpath, ohttp; key0 to key65534, without leading zeros)"
	aLength   = "metres from 0 to 90000000.00, to the centimetre"
	aHeight   = "an altitude from -100000.00m to 42849672.95m, to the centimetre"
	aRange    = "a range (1-100, or 0-100/2; at most 65536 values)"
)

// aType is what may stand before the data, by whether TTL and class are there already.
var aType = [...]string{
	"a type (A, AAAA, CNAME, MX, NS, TXT, ...), a class (IN) or a TTL (300, 5m)",
	"a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a class (IN)",
	"a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a TTL (300, 5m)",
	"a type (A, AAAA, CNAME, MX, NS, TXT, ...)",
}

// failAt notes what is wrong with the entry, if that is the first. It returns false.
func (s *scanner) failAt(line int, format string, args ...any) bool {
	if s.fault.text == "" {
		s.fault = fault{line, fmt.Sprintf(format, args...)}
	}
	return false
}

// wrong notes that a word is not what should stand there, in a field that may have a name.
func (s *scanner) wrong(w word, want, field string) bool {
	if w.kind == strayWord {
		if s.text(w)[0] == ')' {
			return s.failAt(int(w.line), `")" has no "(" before it`)
		}
		return s.failAt(int(w.line), "a backslash stands at the end of the line")
	}
	return s.failAt(int(w.line), "%s is not %s", s.shown(w), wish(want, field))
}

// next takes the next word. There must be one, for a field that may have a name.
func (s *scanner) next(want, field string) (word, bool) {
	if s.word == len(s.entry.words) {
		return word{}, s.failAt(s.entry.lastLine, "ends where %s should stand", wish(want, field))
	}
	w := s.entry.words[s.word]
	s.word++
	return w, true
}

func wish(want, field string) string {
	if field == "" {
		return want
	}
	return want + " (" + field + ")"
}

// shown returns a word as a mistake shows it. Of a string where none should stand it is the quotation mark that is wrong.
func (s *scanner) shown(w word) string {
	if w.kind == quotedWord {
		return quote([]byte(`"`))
	}
	return quote(s.text(w))
}

func quote(text []byte) string {
	return strict.Quote(string(text[:min(len(text), maxShown)]))
}

// maxShown is more than strict.Quote shows.
const maxShown = 1000

// refuse tells of an entry that can't be read.
func (s *scanner) refuse() error {
	s.mistakes++
	m := Mistake{Line: s.fault.line, Text: s.fault.text, Lost: true}
	subject := ""
	if d := s.own.directive(); d != noDirective {
		subject = directives[d]
		m.Lost = d != ttlDirective
		s.stopped = s.stopped || d == originDirective
		if d == generateDirective {
			m.Line = s.own.line
		}
	} else {
		m.Owner, m.Type = s.ownerText(), s.guessType()
		subject = subjectOf(m.Owner, m.Type)
	}
	if subject != "" {
		m.Text = subject + ": " + m.Text
	}
	switch {
	case s.stopped, s.mistakes == maxMistakes:
		m.Text += " (the file is read no further)"
		s.stopped = true
	case s.own.brokenLine != 0: // a mark that was forgotten swaps what is quoted and what is not in all that follows
		m.Text += fmt.Sprintf(" (the file is read no further: the quotation mark on line %d is not closed on its line)", s.own.brokenLine)
		s.stopped = true
	}
	if s.stopped {
		m.Lost, m.Owner, m.Type = true, "", 0
	}
	return s.mistake(m)
}

// refuseRest tells of an entry whose end is unknown.
func (s *scanner) refuseRest() error {
	fault := s.fault
	if s.own.directive() == noDirective {
		s.readOwner()
	}
	s.fault, s.stopped = fault, true
	return s.refuse()
}

// ownerText is the owner of the entry in canonical form; empty where it is unknown.
func (s *scanner) ownerText() string {
	if len(s.owner) == 0 {
		return ""
	}
	name, _, err := dns.UnpackDomainName(s.owner, 0)
	if err != nil {
		panic(fmt.Sprintf("master: owner % x: %v", s.owner, err)) // appendName makes none like it
	}
	return dns.CanonicalName(name)
}

// subjectOf names a record, as far as it can be told.
func subjectOf(owner string, rrtype uint16) string {
	switch {
	case rrtype == 0:
		return owner
	case owner == "":
		return dns.Type(rrtype).String() + " record"
	}
	return owner + " " + dns.Type(rrtype).String()
}
