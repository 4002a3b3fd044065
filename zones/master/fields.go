package master

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

// number reads a decimal number of at most limit.
func number(text []byte, limit uint64) (uint64, bool) {
	var n uint64
	for _, c := range text {
		if !isDigit(c) {
			return 0, false
		}
		if n = n*10 + uint64(c-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(text) > 0
}

// duration reads seconds, or numbers with units like 1h30m.
func duration(text []byte) (uint32, bool) {
	const limit = 1<<32 - 1
	var sum, n uint64
	digits := 0
	for _, c := range text {
		if isDigit(c) {
			digits++
			if n = n*10 + uint64(c-'0'); n > limit {
				return 0, false
			}
			continue
		}
		unit := uint64(0)
		switch c | 0x20 {
		case 's':
			unit = 1
		case 'm':
			unit = 60
		case 'h':
			unit = 60 * 60
		case 'd':
			unit = 24 * 60 * 60
		case 'w':
			unit = 7 * 24 * 60 * 60
		}
		if unit == 0 || digits == 0 {
			return 0, false
		}
		if sum += n * unit; sum > limit {
			return 0, false
		}
		n, digits = 0, 0
	}
	return uint32(sum + n), len(text) > 0 && sum+n <= limit
}

// integer takes a decimal number.
func (s *scanner) integer(limit uint64, want, field string) (uint64, bool) {
	w, ok := s.next(want, field)
	if !ok {
		return 0, false
	}
	n, ok := number(s.text(w), limit)
	if !ok || w.kind != plainWord {
		return 0, s.wrong(w, want, field)
	}
	return n, true
}

func (s *scanner) number8(field string) bool {
	n, ok := s.integer(1<<8-1, aByte, field)
	s.data = append(s.data, byte(n))
	return ok
}

func (s *scanner) number16(field string) bool {
	n, ok := s.integer(1<<16-1, aNumber16, field)
	s.data = binary.BigEndian.AppendUint16(s.data, uint16(n))
	return ok
}

func (s *scanner) number32(field string) bool {
	n, ok := s.integer(1<<32-1, aNumber32, field)
	s.data = binary.BigEndian.AppendUint32(s.data, uint32(n))
	return ok
}

// soa takes two names, a serial and four times that may have units.
func (s *scanner) soa() bool {
	for range 2 {
		if !s.name() {
			return false
		}
	}
	serial, ok := s.integer(1<<32-1, aTimer, "")
	if !ok {
		return false
	}
	s.data = binary.BigEndian.AppendUint32(s.data, uint32(serial))
	for range 4 {
		w, ok := s.next(aTimer, "")
		if !ok {
			return false
		}
		n, ok := duration(s.text(w))
		if !ok || w.kind != plainWord {
			return s.wrong(w, aTimer, "")
		}
		s.data = binary.BigEndian.AppendUint32(s.data, n)
	}
	return true
}

// time reads YYYYMMDDHHmmSS or seconds since 1970, both modulo 2^32 (RFC 4034, sections 3.1.5 and 3.2).
func (s *scanner) time(field string) bool {
	w, ok := s.next(aTime, field)
	if !ok {
		return false
	}
	text := s.text(w)
	seconds, ok := number(text, 1<<32-1)
	if len(text) == len("20060102150405") {
		seconds, ok = date(text)
	}
	if !ok || w.kind != plainWord {
		return s.wrong(w, aTime, field)
	}
	s.data = binary.BigEndian.AppendUint32(s.data, uint32(seconds))
	return true
}

func date(text []byte) (seconds uint64, ok bool) {
	var parts [6]int
	for i, size := range [...]int{4, 2, 2, 2, 2, 2} {
		n, ok := number(text[:size], 9999)
		if !ok {
			return 0, false
		}
		parts[i], text = int(n), text[size:]
	}
	t := time.Date(parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5], 0, time.UTC)
	year, month, day := t.Date()
	same := year == parts[0] && int(month) == parts[1] && day == parts[2] // the 31st of April is the 1st of May
	return uint64(t.Unix()), same && parts[3] < 24 && parts[4] < 60 && parts[5] < 60
}

// algorithm reads a number or a mnemonic of DNSSEC (RFC 4034, appendix A.1).
func (s *scanner) algorithm() bool {
	const want = "a number from 0 to 255 or a mnemonic (Algorithm)"
	w, ok := s.next(want, "")
	if !ok {
		return false
	}
	text := s.text(w)
	n, ok := number(text, 1<<8-1)
	if !ok {
		for mnemonic, a := range dns.StringToAlgorithm {
			if isWord(text, mnemonic) {
				n, ok = uint64(a), true
			}
		}
	}
	if !ok || w.kind != plainWord {
		return s.wrong(w, want, "")
	}
	s.data = append(s.data, byte(n))
	return true
}

func (s *scanner) ipv4() bool {
	w, ok := s.next(anIPv4, "")
	if !ok {
		return false
	}
	if s.data, ok = appendIPv4(s.data, s.text(w)); !ok || w.kind != plainWord {
		return s.wrong(w, anIPv4, "")
	}
	return true
}

// appendIPv4 reads four decimal numbers without leading zeros, which other readers take for octal.
func appendIPv4(to, text []byte) ([]byte, bool) {
	n, digits, parts := 0, 0, 0
	for _, c := range text {
		switch {
		case isDigit(c):
			if digits++; digits > 1 && n == 0 {
				return to, false
			}
			if n = n*10 + int(c-'0'); n > 255 {
				return to, false
			}
		case c == '.' && digits > 0 && parts < 3:
			to = append(to, byte(n))
			parts++
			n, digits = 0, 0
		default:
			return to, false
		}
	}
	return append(to, byte(n)), digits > 0 && parts == 3
}

func (s *scanner) ipv6() bool {
	w, ok := s.next(anIPv6, "")
	if !ok {
		return false
	}
	if s.data, ok = appendIPv6(s.data, s.text(w)); !ok || w.kind != plainWord {
		return s.wrong(w, anIPv6, "")
	}
	return true
}

// appendIPv6 reads the text forms of RFC 4291, section 2.2.
func appendIPv6(to, text []byte) ([]byte, bool) {
	var groups [16]byte
	n, gap := 0, -1 // bytes read, and where :: stands
	if len(text) >= 2 && text[0] == ':' && text[1] == ':' {
		gap, text = 0, text[2:]
	}
	for len(text) > 0 {
		if n == len(groups) {
			return to, false
		}
		value, digits := 0, 0
		for digits < len(text) && digits <= 4 && hexDigits[text[digits]] != notHex {
			value = value<<4 | int(hexDigits[text[digits]])
			digits++
		}
		if digits == 0 || digits > 4 {
			return to, false
		}
		if digits < len(text) && text[digits] == '.' {
			tail, ok := appendIPv4(groups[:n], text)
			if !ok || n+4 > len(groups) {
				return to, false
			}
			n, text = len(tail), nil
			break
		}
		groups[n], groups[n+1] = byte(value>>8), byte(value)
		n += 2
		text = text[digits:]
		switch {
		case len(text) == 0:
		case text[0] != ':' || len(text) == 1:
			return to, false
		case text[1] == ':' && gap >= 0:
			return to, false
		case text[1] == ':':
			gap, text = n, text[2:]
		default:
			text = text[1:]
		}
	}
	if gap < 0 {
		return append(to, groups[:]...), n == len(groups)
	}
	if n == len(groups) {
		return to, false // :: stands for one group at least
	}
	to = append(to, groups[:gap]...)
	for range len(groups) - n {
		to = append(to, 0)
	}
	return append(to, groups[gap:n]...), true
}
