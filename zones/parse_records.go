package zones

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// read takes the records that can stand in a zone. It reports whether it came to the end of the file.
func (z *zoneFile) read(data []byte) bool {
	lines := &lineReader{data: append(bytes.Clone(data), '\n'), line: 1}
	parser := dns.NewZoneParser(lines, z.apex, "")
	var packed [1 << 16]byte
	for total, count := 0, 0; ; count++ {
		lines.recordLine = 0
		rr, ok := parser.Next()
		line := lines.lineOfRecord()
		if lines.generateWithoutTTL != 0 {
			z.mistake(lines.generateWithoutTTL, "$GENERATE needs a TTL before the type, for $TTL does not reach it")
			lines.generateWithoutTTL = 0
		}
		if !ok {
			break
		}
		r := &record{rr: rr, line: line}
		if count == maxRecords || total > maxZoneBytes {
			z.mistake(line, "has more than %d records or %d MiB of them", maxRecords, maxZoneBytes>>20)
			return false
		}
		if z.fits(r, packed[:]) {
			total += r.size
			z.add(r)
		}
	}
	if err := parser.Err(); err != nil {
		line, text := parserWords(err)
		if lines.inGenerate {
			line = lines.lastLine // the parser counts the lines of what it generates
		}
		z.mistake(line, "%s (the file is read no further)", text)
		return false
	}
	return true
}

// parserWords takes the line out of the parser's error: `dns: bad A A: "x" at line: 3:14`.
func parserWords(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "dns: ")
	if i := strings.LastIndex(text, " at line: "); i >= 0 {
		digits, _, _ := strings.Cut(text[i+len(" at line: "):], ":")
		line, _ = strconv.Atoi(digits)
		text = text[:i]
	}
	if len(text) > maxParserWords {
		text = text[:maxParserWords] + "…"
	}
	return line, text
}

// fits reports whether a record can stand in this zone by itself.
func (z *zoneFile) fits(r *record, buffer []byte) bool {
	h := r.rr.Header()
	name := dns.Type(h.Rrtype).String()
	owner := recordName(h.Name)
	r.owner = owner
	switch {
	case !dns.IsSubDomain(z.apex, owner):
		z.mistake(r.line, "%s %s: is outside the zone %s", owner, name, z.apex)
		return false
	case h.Class != dns.ClassINET:
		z.mistake(r.line, "%s %s: class %s is not served (only IN)", owner, name, dns.Class(h.Class))
		return false
	case refusedType(h.Rrtype) != "":
		z.mistake(r.line, "%s %s: %s", owner, name, refusedType(h.Rrtype))
		return false
	case h.Ttl > maxTTL:
		z.mistake(r.line, "%s %s: TTL %d is more than %d (RFC 2181, section 8)", owner, name, h.Ttl, maxTTL)
		return false
	}
	var err error
	r.size, err = dns.PackRR(r.rr, buffer, 0, nil, false)
	switch {
	case err != nil:
		z.mistake(r.line, "%s %s: does not fit the wire format: %v", owner, name, err)
		return false
	case h.Rdlength == 0 && !mayBeEmpty(r.rr):
		z.mistake(r.line, "%s %s: has no data", owner, name)
		return false
	}
	// Names in the data differ in case only, so small letters serve as what duplicates share.
	h64 := fnv.New64a()
	fmt.Fprintf(h64, "%s %d ", owner, h.Rrtype)
	h64.Write(bytes.ToLower(buffer[r.size-int(h.Rdlength) : r.size]))
	r.hash = h64.Sum64()
	return true
}

// refusedType says why records of a type can't stand in a zone file; empty where they can.
func refusedType(rrtype uint16) string {
	switch {
	case rrtype == dns.TypeDNAME:
		return "is not served yet"
	case rrtype == dns.TypeRRSIG, rrtype == dns.TypeNSEC, rrtype == dns.TypeNSEC3, rrtype == dns.TypeNSEC3PARAM, rrtype == dns.TypeSIG, rrtype == dns.TypeNXT:
		return "signed zone files are not served: leave the records of DNSSEC out"
	case rrtype == dns.TypeNone, rrtype == dns.TypeOPT, rrtype >= 128 && rrtype <= 255: // RFC 6895, section 3.1
		return "is a type of queries and messages, not of zones"
	}
	return ""
}

// mayBeEmpty reports whether a record's type allows it to have no data.
func mayBeEmpty(rr dns.RR) bool {
	switch rr.(type) {
	case *dns.NULL, *dns.APL, *dns.RFC3597:
		return true
	}
	return false
}

// A lineReader hands a zone file to the parser byte by byte, and so knows on which line the record begins that the parser
// is at: the parser itself tells only the lines of mistakes.
type lineReader struct {
	data               []byte
	at                 int
	line               int  // of the next byte
	recordLine         int  // on which the first record since it was set to 0 begins
	lastLine           int  // on which the last record or directive began
	inLine             bool // past the first byte that is no blank
	inGenerate         bool // the last of them is a $GENERATE
	generateWithoutTTL int  // line of a $GENERATE that relies on a default TTL
}

// ReadByte makes the parser take one byte at a time, never more than it needs.
func (l *lineReader) ReadByte() (byte, error) {
	if l.at == len(l.data) {
		return 0, io.EOF
	}
	c := l.data[l.at]
	switch {
	case c == '\n':
		l.inLine = false
	case !l.inLine && c != ' ' && c != '\t' && c != '\r':
		l.inLine = true
		l.begin(c)
	}
	l.at++
	if c == '\n' {
		l.line++
	}
	return c, nil
}

// begin notes what begins with the first byte of a line.
func (l *lineReader) begin(first byte) {
	switch {
	case first == ';':
	case first == '$':
		l.lastLine = l.line
		text, _, _ := bytes.Cut(l.data[l.at:min(len(l.data), l.at+maxDirective)], []byte("\n"))
		words := strings.Fields(string(text))
		l.inGenerate = strings.EqualFold(words[0], "$GENERATE")
		if l.inGenerate && !generateHasTTL(words) {
			l.generateWithoutTTL = l.line
		}
	case l.recordLine == 0:
		l.recordLine, l.lastLine, l.inGenerate = l.line, l.line, false
	}
}

// maxDirective is how much of a directive is looked at.
const maxDirective = 1024

// generateHasTTL reports whether a TTL stands before the type: "$GENERATE 1-9 host$ [TTL] [class] type data", or the
// class first.
func generateHasTTL(words []string) bool {
	for _, w := range words[min(3, len(words)):min(5, len(words))] {
		if w[0] >= '0' && w[0] <= '9' {
			return true
		}
		if !strings.EqualFold(w, "IN") {
			break
		}
	}
	return false
}

func (l *lineReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := l.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}

// lineOfRecord returns where the record begins that was parsed since recordLine was set to 0. All records of one
// $GENERATE begin on its line.
func (l *lineReader) lineOfRecord() int {
	if l.recordLine != 0 {
		return l.recordLine
	}
	return l.lastLine
}
