package master

import (
	"strings"

	"github.com/miekg/dns"
)

// typeOf returns the type that a word names: a mnemonic or TYPE and a number (RFC 3597, section 5).
func typeOf(text []byte) (uint16, bool) {
	var buffer [maxMnemonic]byte
	if len(text) == 0 || len(text) > len(buffer) { // none: it is quoted
		return 0, false
	}
	upper := buffer[:len(text)]
	for i, c := range text {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	switch string(upper) { // a look-up in a table would be the better part of reading a short record
	case "A":
		return dns.TypeA, true
	case "AAAA":
		return dns.TypeAAAA, true
	case "CNAME":
		return dns.TypeCNAME, true
	case "IN":
		return 0, false
	case "MX":
		return dns.TypeMX, true
	case "NS":
		return dns.TypeNS, true
	case "NSEC":
		return dns.TypeNSEC, true
	case "NSEC3":
		return dns.TypeNSEC3, true
	case "PTR":
		return dns.TypePTR, true
	case "RRSIG":
		return dns.TypeRRSIG, true
	case "TXT":
		return dns.TypeTXT, true
	}
	if isDigit(upper[0]) {
		return 0, false
	}
	if t, ok := dns.StringToType[string(upper)]; ok {
		return t, true
	}
	return numbered(upper, "TYPE")
}

// maxMnemonic is the length of the longest mnemonic of a type or class.
const maxMnemonic = 16

// classOf returns the class that a word names.
func classOf(text []byte) (uint16, bool) {
	if len(text) > maxMnemonic {
		return 0, false
	}
	if len(text) == 2 && text[0]|0x20 == 'i' && text[1]|0x20 == 'n' {
		return dns.ClassINET, true
	}
	if isDigit(text[0]) {
		return 0, false
	}
	upper := strings.ToUpper(string(text))
	if c, ok := dns.StringToClass[upper]; ok {
		return c, true
	}
	return numbered([]byte(upper), "CLASS")
}

// numbered reads a prefix and a number of 16 bits.
func numbered(text []byte, prefix string) (uint16, bool) {
	if len(text) <= len(prefix) || string(text[:len(prefix)]) != prefix {
		return 0, false
	}
	n, ok := number(text[len(prefix):], 1<<16-1)
	return uint16(n), ok
}

// coveredType takes the type that a signature is for.
func (s *scanner) coveredType() bool {
	t, ok := s.typeWord()
	s.data = append(s.data, byte(t>>8), byte(t))
	return ok
}

func (s *scanner) typeWord() (uint16, bool) {
	want := aType[flags(true, true)]
	w, ok := s.next(want, "")
	if !ok {
		return 0, false
	}
	t, ok := typeOf(s.text(w))
	if !ok || w.kind != plainWord {
		return 0, s.wrong(w, want, "")
	}
	return t, true
}

// A bitmap holds types.
type bitmap struct {
	octets  [1 << 13]byte // as they go into the wire format, but with those that are 0
	windows [256]uint8    // how many of the octets of a window count
	used    int           // of the windows: those behind have no types
}

func (b *bitmap) add(t uint16) {
	b.octets[t/8] |= 0x80 >> (t % 8)
	window := t / 256
	b.windows[window] = max(b.windows[window], uint8(t/8%32)+1)
	b.used = max(b.used, int(window)+1)
}

// appendTo appends the wire format (RFC 4034, section 4.1.2), and empties the bitmap.
func (b *bitmap) appendTo(data []byte) []byte {
	for window, size := range b.windows[:b.used] {
		if size == 0 {
			continue
		}
		octets := b.octets[window*32:][:size]
		data = append(data, byte(window), size)
		data = append(data, octets...)
		clear(octets)
		b.windows[window] = 0
	}
	b.used = 0
	return data
}

// bitmap takes the types that a name has, to the end of the entry.
func (s *scanner) bitmap() bool {
	if s.types == nil {
		s.types = new(bitmap)
	}
	for s.word < len(s.entry.words) {
		t, ok := s.typeWord()
		if !ok {
			s.data = s.types.appendTo(s.data)
			return false
		}
		s.types.add(t)
	}
	s.data = s.types.appendTo(s.data)
	return true
}

// mayBeEmpty reports whether records of a type may have no data: those without a form of their own, which are for the
// receiver to judge, and lists.
func mayBeEmpty(rrtype uint16) bool {
	_, known := dns.TypeToRR[rrtype]
	return !known || rrtype == dns.TypeNULL || rrtype == dns.TypeAPL || rrtype == dns.TypeOPT || rrtype >= 128 && rrtype <= 255
}
