package master

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// readRecord reads `[owner] [TTL] [class] type data`, TTL and class in either order (RFC 1035, section 5.1).
func (s *scanner) readRecord() error {
	s.out = Record{Class: dns.ClassINET, Line: s.entry.line}
	if !s.readOwner() || !s.readHead() || !s.readData() || !s.atEnd() {
		return s.refuse()
	}
	if len(s.owner) == 0 {
		if s.mistakes == 0 {
			s.failAt(s.entry.line, "has no owner name, and no record stands before it")
			return s.refuse()
		}
		return s.mistake(Mistake{Line: s.out.Line, Lost: true, Type: s.out.Type})
	}
	s.out.Owner, s.out.Data = s.owner, s.data
	return s.record(&s.out)
}

// readOwner reads the owner name. Without one it stays what it is.
func (s *scanner) readOwner() bool {
	if s.entry.inherits || len(s.entry.words) == 0 {
		return true
	}
	w := s.entry.words[0]
	s.word = 1
	owner, ok := s.appendName(s.owner[:0], w)
	if !ok {
		s.owner = s.owner[:0]
		return s.wrong(w, aName, "")
	}
	s.owner = owner
	return true
}

// readHead reads what stands between owner and data.
func (s *scanner) readHead() bool {
	if len(s.entry.words) == 1 && !s.entry.inherits {
		return s.failAt(s.entry.line, "%s stands alone (want an owner name, a type and data)", quote(s.text(s.entry.words[0])))
	}
	var hasTTL, hasClass bool
	for {
		w, ok := s.next(aType[flags(hasTTL, hasClass)], "")
		if !ok {
			return false
		}
		text := s.text(w)
		if w.kind != plainWord {
			return s.wrong(w, aType[flags(hasTTL, hasClass)], "")
		}
		if s.out.Type, ok = typeOf(text); ok {
			return s.defaultTTL(hasTTL)
		}
		class, isClass := classOf(text)
		switch {
		case isClass && !hasClass:
			s.out.Class, hasClass = class, true
		case isDigit(text[0]) && !hasTTL:
			if s.out.TTL, ok = duration(text); !ok {
				return s.wrong(w, aType[flags(false, false)], "")
			}
			hasTTL = true
			if !s.ttlFixed {
				s.ttl, s.ttlKnown = s.out.TTL, true
			}
		case hasPrefix(text, "TYPE"):
			return s.failAt(int(w.line), "unknown RR type")
		case hasPrefix(text, "CLASS") && !isClass:
			return s.failAt(int(w.line), "unknown class")
		default:
			return s.wrong(w, aType[flags(hasTTL, hasClass)], "")
		}
	}
}

// defaultTTL gives a record the TTL that it does not state: that of $TTL (RFC 2308, section 4), without one the last that was
// stated (RFC 1035, section 5.1), without one the minimum of the SOA record, as name servers did before there was a $TTL.
func (s *scanner) defaultTTL(hasTTL bool) bool {
	switch {
	case hasTTL:
	case s.ttlKnown:
		s.out.TTL = s.ttl
	case s.out.Type != dns.TypeSOA && s.mistakes == 0: // after a mistake, what has no TTL may have lost it there
		return s.failAt(s.entry.line, "has no TTL, and no TTL or $TTL stands before it")
	}
	return true
}

// minimumTTL makes the minimum of the first SOA record its TTL, and that of what follows, where none is known.
func (s *scanner) minimumTTL() {
	if s.out.Type == dns.TypeSOA && !s.ttlKnown {
		s.out.TTL = binary.BigEndian.Uint32(s.data[len(s.data)-4:])
		s.ttl, s.ttlKnown = s.out.TTL, true
	}
}

// noMore wants no more words.
func (s *scanner) noMore() bool {
	if s.word < len(s.entry.words) {
		w := s.entry.words[s.word]
		if w.kind == strayWord {
			return s.wrong(w, "", "")
		}
		return s.failAt(int(w.line), "%s stands after the end of the data", s.shown(w))
	}
	return true
}

// atEnd judges the data as a whole.
func (s *scanner) atEnd() bool {
	if !s.noMore() {
		return false
	}
	if len(s.data) > maxData {
		return s.failAt(s.entry.line, "has %d bytes of data (at most %d)", len(s.data), maxData)
	}
	s.minimumTTL()
	return true
}

// guessType returns the type of a record that can't be read; 0 where it is unknown.
func (s *scanner) guessType() uint16 {
	const headWords = 3 // TTL, class and type
	words := s.entry.words
	if !s.entry.inherits {
		words = words[min(1, len(words)):]
	}
	for _, w := range words[:min(headWords, len(words))] {
		text := s.text(w)
		if w.kind != plainWord {
			break
		}
		if t, ok := typeOf(text); ok {
			return t
		}
		if _, ok := classOf(text); !ok && !hasPrefix(text, "CLASS") && !isDigit(text[0]) {
			break
		}
	}
	return 0
}

func hasPrefix(text []byte, upper string) bool {
	return len(text) >= len(upper) && isWord(text[:len(upper)], upper)
}

func isDigit(c byte) bool {
	return '0' <= c && c <= '9'
}

// flags is an index of aType.
func flags(hasTTL, hasClass bool) int {
	i := 0
	if hasTTL {
		i |= 1
	}
	if hasClass {
		i |= 2
	}
	return i
}
