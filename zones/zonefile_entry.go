package zones

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
	"github.com/miekg/dns"
)

// An entry is a record or a directive of a zone file: a line, or more where a parenthesis or a quotation mark is open.
type entry struct {
	text       []byte // with the line break that ends it
	line       int
	words      []string // the first few
	inherits   bool     // begins with a blank: has the owner of the record before
	open       string   // the parenthesis or quotation mark that is open at the end of the file
	openLine   int
	unopened   bool // a parenthesis is closed that was not open
	brokenLine int  // of the first quotation mark that is open at the end of its line
}

// maxEntryWords are owner, TTL, class and type, or a directive and its value.
const maxEntryWords = 4

// cutEntry cuts the first entry off, where the parser too sees its end: at a line break that is not within quotation marks
// or parentheses.
func cutEntry(data []byte, line int) *entry {
	e := &entry{text: data, line: line}
	var word []byte
	var quote, escape, comment bool
	depth, quoteLine := 0, 0
	endWord := func() {
		if len(word) > 0 && len(e.words) < maxEntryWords {
			e.words = append(e.words, string(word))
		}
		word = word[:0]
	}
	for i, b := range data {
		escaped := escape
		escape = false
		switch {
		case b == '\n':
			line++
			comment = false
			if quote && e.brokenLine == 0 {
				e.brokenLine = quoteLine
			}
			if !quote && depth == 0 {
				endWord()
				e.text = data[:i+1]
				return e
			}
		case comment, b == '\r':
		case b == '"' && !escaped:
			endWord()
			word = append(word, b)
			quote, quoteLine = !quote, line
		case b == '\\' && !escaped:
			word = append(word, b)
			escape = true
		case escaped || quote:
			word = append(word, b)
		case b == ' ', b == '\t':
			e.inherits = e.inherits || len(e.words) == 0 && len(word) == 0
			endWord()
		case b == ';':
			endWord()
			comment = true
		case b == '(':
			if depth++; depth == 1 {
				e.openLine = line
			}
		case b == ')':
			e.unopened = e.unopened || depth == 0
			depth = max(0, depth-1)
		default:
			word = append(word, b)
		}
	}
	endWord()
	switch {
	case quote:
		e.open, e.openLine = "quotation mark", e.brokenLine
	case depth > 0:
		e.open = "parenthesis"
	}
	return e
}

func (e *entry) word(i int) string {
	if i < len(e.words) {
		return e.words[i]
	}
	return ""
}

// directive returns which directive an entry is; empty for a record.
func (e *entry) directive() string {
	switch name := strings.ToUpper(e.word(0)); {
	case e.inherits:
	case name == "$ORIGIN", name == "$TTL", name == "$INCLUDE", name == "$GENERATE":
		return name
	}
	return ""
}

// rrtype returns the type of a record that may not be readable; 0 where it is unknown.
func (e *entry) rrtype() uint16 {
	rrtype, _ := e.head()
	return rrtype
}

// head returns what stands between owner and data.
func (e *entry) head() (rrtype uint16, hasTTL bool) {
	words := e.words
	if !e.inherits {
		words = words[min(1, len(words)):]
	}
	for _, w := range words {
		w = strings.ToUpper(w)
		if rrtype, ok := dns.StringToType[w]; ok {
			return rrtype, hasTTL
		}
		if digits, ok := strings.CutPrefix(w, "TYPE"); ok {
			n, err := strconv.ParseUint(digits, 10, 16)
			if err != nil {
				break
			}
			return uint16(n), hasTTL
		}
		if _, isClass := dns.StringToClass[w]; isClass || strings.HasPrefix(w, "CLASS") {
			continue
		}
		if w[0] < '0' || w[0] > '9' {
			break
		}
		hasTTL = true
	}
	return 0, hasTTL
}

// explain says what the parser's error means, and on which line it is.
func (e *entry) explain(err error) (line int, text string) {
	if err == nil {
		return e.line, "has no data, or too little"
	}
	line, _ = parserWords(err)
	line = e.line + min(max(0, line-1), max(0, bytes.Count(e.text, []byte("\n"))-1))
	if e.directive() == "$GENERATE" {
		line = e.line // the parser counts the lines of what it generates
	}
	what, quoted, _ := strings.Cut(strings.TrimPrefix(err.Error(), "dns: "), `: "`)
	quoted, _ = strconv.QuotedPrefix(`"` + quoted)
	token, _ := strconv.Unquote(quoted)
	switch {
	case token == "unknown RR type", token == "unknown class":
		return line, token // the parser keeps the word to itself
	case token == "extra closing brace":
		return line, `")" has no "(" before it`
	case len(e.words) == 1 && !e.inherits && e.directive() == "":
		return e.line, strict.Quote(e.words[0]) + " stands alone (want an owner name, a type and data)"
	}
	return line, reworded(what, token)
}

// reworded says in the field's words what the parser says in its own.
func reworded(what, token string) string {
	switch what {
	case "missing TTL with no previous value":
		return "has no TTL, and no TTL or $TTL stands before it"
	case "garbage after rdata":
		return strict.Quote(token) + " stands after the end of the data"
	case "$INCLUDE directive not allowed":
		return "is not allowed (write the records of " + strict.Quote(token) + " here)"
	case "nested $GENERATE directive not allowed":
		return "can't generate another $GENERATE"
	}
	want := wanted(what)
	switch {
	case what == "":
		return strict.Quote(token) + " is not understood"
	case want == "" && len(what) > maxParserWords:
		return what[:maxParserWords] + "…"
	case want == "":
		return what + ": " + strict.Quote(token)
	case strings.TrimSpace(token) == "":
		return "ends where " + want + " should stand"
	}
	return strict.Quote(token) + " is not " + want
}

// wanted names the good values where the parser found another; empty where it says it well enough.
func wanted(what string) string {
	switch what {
	case "bad A A":
		return "an IPv4 address"
	case "bad AAAA AAAA":
		return "an IPv6 address"
	case "bad SOA zone parameter":
		return "a number (serial, refresh, retry, expire, minimum; all but the serial may be durations like 2h)"
	case "not a TTL", "expecting RR type, TTL or class, not this...", "no blank after owner":
		return "a type (A, AAAA, CNAME, MX, NS, TXT, ...), a class (IN) or a TTL (300, 5m)"
	case "expecting RR type or class, not this...", "no blank before TTL":
		return "a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a class (IN)"
	case "expecting RR type or TTL, not this...", "no blank before class":
		return "a type (A, AAAA, CNAME, MX, NS, TXT, ...) or a TTL (300, 5m)"
	case "unknown RR type", "no blank before RR type", "unexpected newline":
		return "a type (A, AAAA, CNAME, MX, NS, TXT, ...)"
	case "expecting $TTL value, not this...", "no blank after $TTL-directive":
		return "a TTL (300, 5m)"
	case "bad owner name", "bad origin name", "expecting $ORIGIN value, not this...", "no blank after $ORIGIN-directive":
		return "a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all)"
	case "bad start-stop in $GENERATE range", "bad start in $GENERATE range", "bad stop in $GENERATE range", "bad step in $GENERATE range",
		"bad range in $GENERATE range", "expecting $GENERATE value, not this...", "no blank after $GENERATE-directive":
		return "a range (1-100, or 0-100/2; at most 65536 values)"
	}
	words := strings.Fields(what)
	if len(words) != 3 || words[0] != "bad" {
		return ""
	}
	switch words[2] {
	case "Ns", "Ptr", "Mbox", "Mx", "Host", "Hostname", "Exchanger", "Target", "Replacement":
		return "a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all)"
	case "Pref", "Preference", "Priority", "Weight", "Port", "Order", "KeyTag":
		return "a number from 0 to 65535 (" + words[2] + ")"
	}
	return ""
}

// An entryReader hands an entry to the parser byte by byte, and knows whether the parser wanted more: a record then ended
// too early.
type entryReader struct {
	text []byte
	past bool
}

func (r *entryReader) ReadByte() (byte, error) {
	if len(r.text) == 0 {
		r.past = true
		return 0, io.EOF
	}
	b := r.text[0]
	r.text = r.text[1:]
	return b, nil
}

func (r *entryReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}
