package master

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// generic reads `\# length hex`, which any type may be written as (RFC 3597, section 5).
func (s *scanner) generic() bool {
	mark, _ := s.next("", "")
	w, ok := s.next("a length", "")
	if !ok {
		return false
	}
	size, ok := number(s.text(w), maxData)
	if !ok || w.kind != plainWord {
		return s.wrong(w, "a length from 0 to 65535", "")
	}
	if s.word < len(s.entry.words) {
		joined, ok := s.rest(someHex, "")
		if !ok {
			return false
		}
		ok = s.appendHex(joined)
		if !ok || len(s.data) != int(size) {
			return s.failAt(int(w.line), "bad RFC3597 Rdata: %s", quote(s.text(w)))
		}
	}
	switch known := layout(s.out.Type); {
	case len(s.data) != int(size):
		return s.failAt(int(w.line), "bad RFC3597 Rdata: %s", quote(s.text(w)))
	case size == 0:
		return mayBeEmpty(s.out.Type) || s.failAt(s.entry.line, "has no data")
	case known != "" && !follows(s.data, known):
		return s.failAt(int(mark.line), unfit)
	case known != "":
		return true
	}
	return s.checkOther(mark)
}

// checkOther judges data of a type that has no layout here, and packs it anew, so that it is as the type wants it.
func (s *scanner) checkOther(at word) bool {
	if _, known := dns.TypeToRR[s.out.Type]; !known || s.out.Type == dns.TypeNULL {
		return true
	}
	if wrong := unsound(s.out.Type, s.data); wrong != "" {
		return s.failAt(int(at.line), "%s", wrong)
	}
	rr, err := unpackData(s.out.Type, s.data)
	if err == nil {
		s.data, err = appendPacked(s.data[:0], rr)
	}
	if err != nil {
		return s.failAt(int(at.line), "does not fit the wire format: %v", err)
	}
	return true
}

// otherType hands an entry of a type that is not read here to the DNS library.
func (s *scanner) otherType() bool {
	first := s.entry.words[s.word]
	if w, found := s.entry.strayWord(); found {
		return s.wrong(w, "", "")
	}
	if _, known := dns.TypeToRR[s.out.Type]; !known {
		return s.failAt(int(first.line), "bad RFC3597 Rdata: %s", s.shown(first))
	}
	origin, _, err := dns.UnpackDomainName(s.origin, 0)
	if err != nil {
		panic(fmt.Sprintf("master: origin % x: %v", s.origin, err)) // appendName makes none like it
	}
	text := fmt.Appendf(nil, ". 0 IN TYPE%d ", s.out.Type)
	text = append(s.entry.appendWords(text, s.word), '\n')
	rr, err := parseOne(text, origin)
	if err != nil {
		line, text := s.explain(err)
		return s.failAt(line, "%s", text)
	}
	s.data, err = appendPacked(s.data, rr)
	if err == nil && len(s.data) > 0 {
		_, err = unpackData(s.out.Type, s.data)
	}
	switch {
	case err != nil:
		return s.failAt(int(first.line), "does not fit the wire format: %v", err)
	case len(s.data) == 0 && !mayBeEmpty(s.out.Type):
		return s.failAt(s.entry.line, "has no data")
	}
	s.word = len(s.entry.words)
	return true
}

// parseOne parses a text that is one record.
func parseOne(text []byte, origin string) (dns.RR, error) {
	parser := dns.NewZoneParser(bytes.NewReader(text), origin, "")
	rr, ok := parser.Next()
	if err := parser.Err(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("is no record")
	}
	if _, more := parser.Next(); more || parser.Err() != nil {
		return nil, errors.New("is more than one record")
	}
	return rr, nil
}

// unpackData reads data in wire format.
func unpackData(rrtype uint16, data []byte) (dns.RR, error) {
	header := dns.RR_Header{Name: ".", Rrtype: rrtype, Class: dns.ClassINET, Rdlength: uint16(len(data))}
	rr, n, err := dns.UnpackRRWithHeader(header, data, 0)
	if err == nil && n != len(data) {
		err = errors.New("it is too long")
	}
	return rr, err
}

// appendPacked appends the data of a record.
func appendPacked(to []byte, rr dns.RR) ([]byte, error) {
	buffer := make([]byte, min(2*dns.Len(rr)+maxName, 2*maxData))
	n, err := dns.PackRR(rr, buffer, 0, nil, false)
	if err != nil {
		return to, err
	}
	return append(to, buffer[n-int(rr.Header().Rdlength):n]...), nil
}

// explain words what the library says of the entry: `dns: bad GPOS Longitude: "x" at line: 1:14`.
func (s *scanner) explain(err error) (line int, text string) {
	const maxText = 200
	said := strings.TrimPrefix(err.Error(), "dns: ")
	var parsed *dns.ParseError
	if !errors.As(err, &parsed) {
		return s.entry.line, said
	}
	what, quoted, _ := strings.Cut(said, `: "`)
	quoted, _ = strconv.QuotedPrefix(`"` + quoted)
	token, _ := strconv.Unquote(quoted)
	line = s.entry.lastLine
	for _, w := range s.entry.words[s.word:] {
		if string(s.text(w)) == token {
			line = int(w.line)
			break
		}
	}
	what = strings.TrimPrefix(what, ": ")
	want := wanted(what)
	switch {
	case what == "garbage after rdata":
		return line, quote([]byte(token)) + " stands after the end of the data"
	case what == "":
		return line, quote([]byte(token)) + " is not understood"
	case want == "" && len(what) > maxText:
		return line, what[:maxText] + "…"
	case want == "":
		return line, what + ": " + quote([]byte(token))
	case strings.TrimSpace(token) == "":
		return line, "ends where " + want + " should stand"
	}
	return line, quote([]byte(token)) + " is not " + want
}

// wanted names the good values where the library found another; empty where it says it well enough.
func wanted(what string) string {
	words := strings.Fields(what)
	if len(words) != 3 || words[0] != "bad" {
		return ""
	}
	switch words[2] {
	case "Ptr", "Mbox", "Host", "Hostname", "Exchanger", "Target":
		return aName
	case "Pref", "Preference", "Priority", "Weight", "KeyTag":
		return "a number from 0 to 65535 (" + words[2] + ")"
	}
	return ""
}
