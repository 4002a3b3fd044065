package zones

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"
)

// A syntaxChecker looks at the entries of a zone file one by one. What is wrong with one then says nothing of the next.
type syntaxChecker struct {
	zone      *zoneFile
	out       []byte // what can be read, every line where it was
	origin    string
	owner     string // that an entry without one has; empty where it is unknown
	unwritten bool   // owner stands in an entry that can't be read
	hasTTL    bool   // a record needs no TTL of its own
	bad       int
	records   int // of $GENERATE
	bytes     int // of their text
}

// withoutSyntaxErrors notes the entries that can't be read and returns the file without them, every line where it was. It
// stops where an entry makes the meaning of all that follows unknown: an $ORIGIN that can't be read, an open parenthesis or
// quotation mark.
func (z *zoneFile) withoutSyntaxErrors(data []byte) []byte {
	c := &syntaxChecker{zone: z, origin: z.apex}
	data = append(bytes.Clone(data), '\n')
	for line := 1; len(data) > 0; {
		e := cutEntry(data, line)
		if !c.check(e) {
			break
		}
		data = data[len(e.text):]
		line += bytes.Count(e.text, []byte("\n"))
	}
	return c.out
}

// check takes one entry over if it can be read. It reports whether what follows can be told.
func (c *syntaxChecker) check(e *entry) bool {
	switch {
	case len(e.words) == 0 && e.open == "" && !e.unopened:
		c.out = append(c.out, e.text...)
		return true
	case e.directive() == "$GENERATE":
		return c.generate(e)
	case e.directive() != "":
		return c.directive(e)
	}
	return c.record(e)
}

func (c *syntaxChecker) record(e *entry) bool {
	reader := &entryReader{text: e.text}
	parser := c.parser(reader)
	rr, ok := parser.Next()
	if !e.inherits {
		c.owner, c.unwritten = "", true
		if ok {
			c.owner = rr.Header().Name
		} else if name, err := domainName(e.word(0), c.origin); err == nil {
			c.owner = name
		}
	}
	switch {
	case !ok || reader.past:
		return c.refuse(e, parser.Err())
	case e.inherits && c.owner == "" && c.bad > 0:
		c.lose(e)
		c.leaveOut(e)
		return true
	case e.inherits && c.unwritten:
		c.out = append(append(c.out, c.owner...), ' ')
	}
	c.unwritten = false
	_, hasTTL := e.head()
	c.hasTTL = c.hasTTL || hasTTL
	c.out = append(c.out, e.text...)
	return true
}

func (c *syntaxChecker) directive(e *entry) bool {
	parser := c.parser(io.MultiReader(bytes.NewReader(e.text), strings.NewReader("@ 1 A 192.0.2.1\n")))
	rr, ok := parser.Next()
	if !ok {
		return c.refuse(e, parser.Err())
	}
	c.origin = rr.Header().Name
	c.hasTTL = c.hasTTL || e.directive() == "$TTL"
	c.out = append(c.out, e.text...)
	return true
}

func (c *syntaxChecker) generate(e *entry) bool {
	parser := c.parser(bytes.NewReader(e.text))
	for _, ok := parser.Next(); ok; _, ok = parser.Next() {
		c.records++
		c.bytes += len(e.text)
		if c.records > maxRecords || c.bytes > maxZoneBytes {
			c.zone.mistake(e.line, "has more than %d records or %d MiB of them", maxRecords, maxZoneBytes>>20)
			c.zone.lost[setKey{}] = true
			return false
		}
	}
	if err := parser.Err(); err != nil {
		return c.refuse(e, err)
	}
	c.out = append(c.out, e.text...)
	return true
}

func (c *syntaxChecker) parser(r io.Reader) *dns.ZoneParser {
	parser := dns.NewZoneParser(r, c.origin, "")
	if c.hasTTL {
		parser.SetDefaultTTL(1)
	}
	return parser
}

// refuse notes an entry that can't be read. It reports whether what follows can be told.
func (c *syntaxChecker) refuse(e *entry, err error) bool {
	c.bad++
	line, text := e.explain(err)
	if e.open != "" {
		line, text = e.openLine, "a "+e.open+" is never closed"
	}
	if subject := c.subject(e); subject != "" {
		text = subject + ": " + text
	}
	end := ""
	switch {
	case e.open != "":
		end = " (the file is read no further)"
	case e.brokenLine != 0:
		end = fmt.Sprintf(" (the file is read no further: the quotation mark on line %d is not closed on its line)", e.brokenLine)
	case e.directive() == "$ORIGIN", c.bad == maxSyntaxError:
		end = " (the file is read no further)"
	}
	c.zone.mistake(line, "%s%s", text, end)
	c.lose(e)
	c.leaveOut(e)
	if end != "" {
		c.zone.lost[setKey{}] = true
	}
	return end == ""
}

// subject names what an entry is, as far as it can be told.
func (c *syntaxChecker) subject(e *entry) string {
	if e.directive() != "" {
		return e.directive()
	}
	rrtype := e.rrtype()
	switch {
	case rrtype == 0 && c.owner == "":
		return ""
	case rrtype == 0:
		return recordName(c.owner)
	case c.owner == "":
		return dns.Type(rrtype).String() + " record"
	}
	return recordName(c.owner) + " " + dns.Type(rrtype).String()
}

// lose notes which records may be missing because of an entry.
func (c *syntaxChecker) lose(e *entry) {
	switch e.directive() {
	case "$TTL":
	case "":
		owner := c.owner
		if owner != "" {
			owner = recordName(owner)
		}
		c.zone.lost[setKey{owner, e.rrtype()}] = true
	default:
		c.zone.lost[setKey{}] = true
	}
}

// leaveOut keeps the lines of an entry only. Records that rely on its TTL get another, for that would be no mistake of theirs.
func (c *syntaxChecker) leaveOut(e *entry) {
	if !c.hasTTL {
		c.out = append(c.out, "$TTL 1"...)
		c.hasTTL = true
	}
	for range bytes.Count(e.text, []byte("\n")) {
		c.out = append(c.out, '\n')
	}
}
