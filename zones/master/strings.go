package master

import (
	"encoding/base32"
	"encoding/base64"
)

// strings takes the strings to the end of the entry.
func (s *scanner) strings() bool {
	for s.word < len(s.entry.words) {
		if !s.string("Txt") {
			return false
		}
	}
	return true
}

// string takes one string (RFC 1035, section 3.3).
func (s *scanner) string(field string) bool {
	w, ok := s.next(aString, field)
	if !ok {
		return false
	}
	at := len(s.data)
	s.data = append(s.data, 0)
	if !s.appendText(w) {
		return false
	}
	size := len(s.data) - at - 1
	if size > maxString {
		return s.failAt(int(w.line), "a string of %d bytes is too long (at most %d)", size, maxString)
	}
	s.data[at] = byte(size)
	return true
}

// appendText appends what a word says, quoted or not.
func (s *scanner) appendText(w word) bool {
	text := s.text(w)
	switch {
	case w.kind == strayWord:
		return s.wrong(w, "", "")
	case !w.escapes:
		s.data = append(s.data, text...)
		return true
	}
	for i := 0; i < len(text); i++ {
		c, ok := text[i], true
		if c == '\\' {
			if c, i, ok = unescape(text, i); !ok {
				return s.failAt(int(w.line), `%s has a \ before digits that are no byte (\000 to \255)`, quote(text))
			}
		}
		s.data = append(s.data, c)
	}
	return true
}

// tag takes a property of a CAA record: a tag of letters and digits, and a value that has no limit of its own.
func (s *scanner) tag() bool {
	tag, ok := s.next(aTag, "Tag")
	if !ok {
		return false
	}
	text := s.text(tag)
	if tag.kind != plainWord || len(text) > maxString {
		return s.wrong(tag, aTag, "Tag")
	}
	for _, c := range text {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') {
			return s.wrong(tag, aTag, "Tag")
		}
	}
	s.data = append(s.data, byte(len(text)))
	s.data = append(s.data, text...)
	if s.word == len(s.entry.words) {
		return s.failAt(int(tag.line), "bad CAA Value: %s", quote(text))
	}
	s.word++
	return s.appendText(s.entry.words[s.word-1])
}

const notHex = 0xff

// hexDigits holds what a byte is as a digit.
var hexDigits = func() (digits [256]byte) {
	for c := range digits {
		switch {
		case isDigit(byte(c)):
			digits[c] = byte(c) - '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f' && c < 0x80:
			digits[c] = byte(c|0x20) - 'a' + 10
		default:
			digits[c] = notHex
		}
	}
	return digits
}()

// hex takes bytes as hexadecimal digits to the end of the entry, with blanks among them.
func (s *scanner) hex(field string) bool {
	joined, ok := s.rest(someHex, field)
	return ok && (s.appendHex(joined) || s.failAt(s.entry.lastLine, "%s is not %s", quote(joined), wish(someHex, field)))
}

func (s *scanner) appendHex(text []byte) bool {
	if len(text)%2 == 1 {
		return false
	}
	for i := 0; i < len(text); i += 2 {
		high, low := hexDigits[text[i]], hexDigits[text[i+1]]
		if high == notHex || low == notHex {
			return false
		}
		s.data = append(s.data, high<<4|low)
	}
	return true
}

// base64 takes bytes in base 64 to the end of the entry, with blanks among them (RFC 4648, section 4).
func (s *scanner) base64(field string) bool {
	joined, ok := s.rest(someBytes, field)
	if !ok {
		return false
	}
	data, err := base64.StdEncoding.AppendDecode(s.data, joined)
	if err != nil || len(data) == len(s.data) {
		return s.failAt(s.entry.lastLine, "%s is not %s", quote(joined), wish(someBytes, field))
	}
	s.data = data
	return true
}

// rest takes all words that are left, without the blanks among them. There is one at least.
func (s *scanner) rest(want, field string) ([]byte, bool) {
	w, ok := s.next(want, field)
	s.scratch = s.scratch[:0]
	for ; ok; w, ok = s.next(want, field) {
		if w.kind != plainWord {
			return nil, s.wrong(w, want, field)
		}
		s.scratch = append(s.scratch, s.text(w)...)
		if s.word == len(s.entry.words) {
			return s.scratch, true
		}
	}
	return nil, false
}

// salt takes the salt of NSEC3, "-" for none.
func (s *scanner) salt() bool {
	w, ok := s.next(aSalt, "")
	if !ok {
		return false
	}
	at := len(s.data)
	s.data = append(s.data, 0)
	if text := s.text(w); w.kind == plainWord && string(text) == "-" {
		return true
	} else if w.kind != plainWord || len(text) > 2*maxString || !s.appendHex(text) {
		return s.wrong(w, aSalt, "")
	}
	s.data[at] = byte(len(s.data) - at - 1)
	return true
}

var base32Hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// hashedOwner takes the next hashed owner name of NSEC3 (RFC 5155, section 3.3).
func (s *scanner) hashedOwner() bool {
	w, ok := s.next(aHash, "")
	if !ok {
		return false
	}
	s.scratch = s.scratch[:0]
	for _, c := range s.text(w) {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		s.scratch = append(s.scratch, c)
	}
	at := len(s.data)
	data, err := base32Hex.AppendDecode(append(s.data, 0), s.scratch)
	size := len(data) - at - 1
	if w.kind != plainWord || err != nil || size == 0 || size > maxString {
		return s.wrong(w, aHash, "")
	}
	s.data = data
	s.data[at] = byte(size)
	return true
}
