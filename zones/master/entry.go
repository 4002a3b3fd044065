package master

import "bytes"

// An entry is a record or a directive: a line, or more where a parenthesis or a quotation mark is open (RFC 1035, section
// 5.1).
type entry struct {
	text     []byte
	size     int // of text, with the line break that ends it
	line     int // where it begins
	lastLine int
	words    []word
	inherits bool // begins with a blank: has the owner of the entry before

	// What is open at the end of text where the entry does not end in it, and lines that explain it.
	depth      int // of parentheses
	openLine   int // of the first that is open
	quoteLine  int // of the quotation mark that is open; 0 without
	brokenLine int // of the first quotation mark that is open at the end of its line; 0 without
}

// A word is what stands between blanks, or between quotation marks.
type word struct {
	start, end int32 // in the text of the entry, without the quotation marks
	line       int32
	kind       wordKind
	escapes    bool // has a backslash
	joined     bool // no blank stands before it
}

type wordKind uint8

const (
	plainWord wordKind = iota
	quotedWord
	strayWord // a closing parenthesis that was not open, or a backslash at the end of a line
)

// What a byte is outside of quotation marks and comments.
const (
	inWord = iota
	blank
	lineFeed
	carriageReturn // before a line feed, on DOS
	quotationMark
	backslash
	semicolon
	opening
	closing
)

var byteKinds = [256]uint8{
	' ': blank, '\t': blank, '\n': lineFeed, '\r': carriageReturn, '"': quotationMark, '\\': backslash, ';': semicolon,
	'(': opening, ')': closing,
}

// split finds the words of the entry that begins with text, on e.line. It reports whether the entry ends in it.
func (e *entry) split(text []byte) bool {
	e.text, e.lastLine, e.words, e.inherits = text, e.line, e.words[:0], false
	e.depth, e.openLine, e.quoteLine, e.brokenLine = 0, 0, 0, 0
	joined := false
	for i := 0; i < len(text); {
		switch byteKinds[text[i]] {
		case lineFeed:
			i++
			if e.depth == 0 {
				e.size = i
				return true
			}
			e.lastLine++
			joined = false
		case blank:
			e.inherits = e.inherits || len(e.words) == 0
			joined = false
			i++
		case carriageReturn:
			joined = false
			i++
		case semicolon:
			n := bytes.IndexByte(text[i:], '\n')
			if n < 0 {
				return false
			}
			i += n
		case opening:
			if e.depth++; e.depth == 1 {
				e.openLine = e.lastLine
			}
			joined = false
			i++
		case closing:
			if e.depth == 0 {
				e.stray(i)
			} else {
				e.depth--
			}
			joined = false
			i++
		case quotationMark:
			end, ok := e.quoted(i+1, joined)
			if !ok {
				return false
			}
			joined = true
			i = end
		default:
			i = e.plain(i, joined)
			joined = true
		}
	}
	return false
}

// plain takes a word that begins at i and returns where it ends.
func (e *entry) plain(i int, joined bool) int {
	text := e.text
	w := word{start: int32(i), line: int32(e.lastLine), joined: joined}
	for i < len(text) {
		kind := byteKinds[text[i]]
		if kind == inWord {
			i++
			continue
		}
		if kind != backslash {
			break
		}
		if i+1 < len(text) && (text[i+1] == '\n' || text[i+1] == '\r') {
			e.stray(i) // it makes a mistake of the entry, so what stands before it does not matter
			return i + 1
		}
		w.escapes = true
		i = min(i+2, len(text))
	}
	w.end = int32(i)
	e.words = append(e.words, w)
	return i
}

// quoted takes a string whose text begins at i and returns where it ends; false if it is still open at the end of the text.
func (e *entry) quoted(i int, joined bool) (end int, ok bool) {
	text := e.text
	w := word{start: int32(i), line: int32(e.lastLine), kind: quotedWord, joined: joined}
	e.quoteLine = e.lastLine
	for ; i < len(text); i++ {
		switch byteKinds[text[i]] {
		case quotationMark:
			e.quoteLine = 0
			w.end = int32(i)
			e.words = append(e.words, w)
			return i + 1, true
		case lineFeed:
			e.lineBreakInQuotes()
		case backslash:
			w.escapes = true
			if i++; i < len(text) && text[i] == '\n' {
				e.lineBreakInQuotes()
			}
		}
	}
	return i, false
}

func (e *entry) lineBreakInQuotes() {
	if e.brokenLine == 0 {
		e.brokenLine = e.quoteLine
	}
	e.lastLine++
}

func (e *entry) stray(i int) {
	e.words = append(e.words, word{start: int32(i), end: int32(i + 1), line: int32(e.lastLine), kind: strayWord})
}

// appendWords appends words from i on with one blank where blanks stood: what they say on one line.
func (e *entry) appendWords(to []byte, i int) []byte {
	for j, w := range e.words[i:] {
		if j > 0 && !w.joined {
			to = append(to, ' ')
		}
		if w.kind == quotedWord {
			to = append(to, '"')
		}
		to = append(to, e.text[w.start:w.end]...)
		if w.kind == quotedWord {
			to = append(to, '"')
		}
	}
	return to
}

// strayWord returns the first word that can't stand anywhere; false without.
func (e *entry) strayWord() (word, bool) {
	for _, w := range e.words {
		if w.kind == strayWord {
			return w, true
		}
	}
	return word{}, false
}
