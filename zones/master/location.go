package master

import (
	"bytes"
	"encoding/binary"
)

// Limits and origins of LOC data (RFC 1876, section 2). Angles are in thousandths of a second of arc, lengths in centimetres.
const (
	degree      = 60 * 60 * 1000
	angleOrigin = 1 << 31    // the equator, the prime meridian
	seaLevel    = 100_000_00 // above the lowest altitude
	maxAltitude = 1<<32 - 1 - seaLevel
	maxLength   = 90_000_000_00
)

// An axis is one of those that a place has an angle on.
type axis struct {
	field              string
	positive, negative byte
	most               uint64    // degrees
	wants              [4]string // what a word may be, by how many stand before it
}

var latitude = axis{"Latitude", 'N', 'S', 90, [...]string{"degrees from 0 to 90", "minutes from 0 to 59, or N or S", "seconds from 0 to 59.999, or N or S", "N or S"}}
var longitude = axis{"Longitude", 'E', 'W', 180, [...]string{"degrees from 0 to 180", "minutes from 0 to 59, or E or W", "seconds from 0 to 59.999, or E or W", "E or W"}}

// angleUnits are those of the words of an angle.
var angleUnits = [...]struct {
	decimals     int
	limit, scale uint64
}{{0, 180, degree}, {0, 59, 60 * 1000}, {3, 59_999, 1}}

// location takes `degrees [minutes [seconds]] N|S degrees [minutes [seconds]] E|W altitude [size [precision [precision]]]`
// (RFC 1876, section 3).
func (s *scanner) location() bool {
	const version = 0
	s.data = append(s.data, version, 0x12, 0x16, 0x13) // 1 m, 10 km, 10 m: the RFC's, where none are written
	if !s.angle(&latitude) || !s.angle(&longitude) || !s.altitude() {
		return false
	}
	for i, field := range [...]string{"Size", "HorizPre", "VertPre"} {
		if s.word == len(s.entry.words) {
			break
		}
		w, _ := s.next("", "")
		n, ok := decimal(metres(s.text(w)), 2, maxLength)
		if !ok || w.kind != plainWord {
			return s.wrong(w, aLength, field)
		}
		s.data[1+i] = power(n)
	}
	return true
}

// angle takes an angle and its direction.
func (s *scanner) angle(a *axis) bool {
	var sum uint64
	for i, want := range a.wants {
		w, ok := s.next(want, a.field)
		if !ok {
			return false
		}
		text := s.text(w)
		if i > 0 && w.kind == plainWord && len(text) == 1 {
			switch text[0] &^ ('a' - 'A') {
			case a.positive:
				s.data = binary.BigEndian.AppendUint32(s.data, angleOrigin+uint32(sum))
				return true
			case a.negative:
				s.data = binary.BigEndian.AppendUint32(s.data, angleOrigin-uint32(sum))
				return true
			}
		}
		var n uint64
		if i < len(angleUnits) {
			n, ok = decimal(text, angleUnits[i].decimals, angleUnits[i].limit)
			sum += n * angleUnits[i].scale
		}
		switch {
		case !ok || w.kind != plainWord || i == len(angleUnits) || i == 0 && n > a.most:
			return s.wrong(w, want, a.field)
		case sum > a.most*degree:
			return s.failAt(int(w.line), "%s makes an angle of more than %d degrees (%s)", s.shown(w), a.most, a.field)
		}
	}
	return false // the last word is a direction, or wrong
}

// altitude takes metres above or below sea level.
func (s *scanner) altitude() bool {
	w, ok := s.next(aHeight, "")
	if !ok {
		return false
	}
	text := metres(s.text(w))
	limit, below := uint64(maxAltitude), false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if below = text[0] == '-'; below {
			limit = seaLevel
		}
		text = text[1:]
	}
	n, ok := decimal(text, 2, limit)
	if !ok || w.kind != plainWord {
		return s.wrong(w, aHeight, "")
	}
	if below {
		s.data = binary.BigEndian.AppendUint32(s.data, seaLevel-uint32(n))
	} else {
		s.data = binary.BigEndian.AppendUint32(s.data, seaLevel+uint32(n))
	}
	return true
}

// metres returns a length without its unit.
func metres(text []byte) []byte {
	if n := len(text) - 1; n >= 0 && text[n]|0x20 == 'm' {
		return text[:n]
	}
	return text
}

// decimal reads a number as a multiple of its last decimal, of at most limit. Decimals behind that must be zeros.
func decimal(text []byte, decimals int, limit uint64) (n uint64, ok bool) {
	if decimals == 0 {
		return number(text, limit)
	}
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	if len(whole) > 0 {
		if n, ok = number(whole, limit); !ok {
			return 0, false
		}
	}
	for i := range max(decimals, len(fraction)) {
		digit := byte('0')
		if i < len(fraction) {
			digit = fraction[i]
		}
		switch {
		case !isDigit(digit), i >= decimals && digit != '0':
			return 0, false
		case i < decimals:
			n = n*10 + uint64(digit-'0')
		}
	}
	return n, n <= limit && len(whole)+len(fraction) > 0
}

// power rounds a length down to one digit and a power of ten, as the wire format has it.
func power(n uint64) byte {
	exponent := byte(0)
	for ; n >= 10; n /= 10 {
		exponent++
	}
	return byte(n)<<4 | exponent
}
