package dnssec

import (
	"encoding/binary"
	"slices"
)

// AppendNext appends the name that follows owner immediately in canonical order: \000.owner (RFC 9824, section 3.1). Where that
// is longer than a name may be, no name can lie below owner, and the follower is its next neighbour (RFC 4471, section
// 3.1.2), see AppendNextBeside. apex and owner are in wire form and lower case.
func AppendNext(dst, owner, apex []byte) []byte {
	if len(owner)+2 <= maxName {
		return append(append(dst, 1, 0), owner...)
	}
	return AppendNextBeside(dst, owner, apex)
}

// AppendNextBeside appends the name that follows owner and all names below it: its first label with a zero byte behind. Where a
// label or a name would become too long, the last byte of the label that can be is raised by one, and what is behind it
// dropped; where a label has none, it is dropped; and the follower of the last possible name is the apex.
//
// It is the next name for an unsigned referral: the NSEC of the parent must not end below the cut, where it says nothing.
func AppendNextBeside(dst, owner, apex []byte) []byte {
	if len(owner) == len(apex) {
		return append(dst, apex...) // nothing is beside the apex
	}
	first := int(owner[0])
	if first < maxLabel && len(owner) < maxName {
		dst = append(dst, byte(first+1))
		dst = append(dst, owner[1:1+first]...)
		dst = append(dst, 0)
		return append(dst, owner[1+first:]...)
	}
	for ; len(owner) > len(apex); owner = owner[1+int(owner[0]):] {
		label, rest := owner[1:1+int(owner[0])], owner[1+int(owner[0]):]
		for n := len(label); n > 0; n-- {
			last := label[n-1]
			if last == 0xFF {
				continue
			}
			last++
			if 'A' <= last && last <= 'Z' { // they sort as small letters, which come later
				last = 'Z' + 1
			}
			dst = append(append(dst, byte(n)), label[:n-1]...)
			return append(append(dst, last), rest...)
		}
	}
	return append(dst, apex...)
}

// AppendNSEC appends an NSEC record in answer form. types may have any order; the caller lists RRSIG and NSEC too.
// TypeNXNAME says that the name does not exist.
func AppendNSEC(dst, next []byte, types []uint16, ttl uint32) []byte {
	dst = appendHead(dst, typeNSEC, ttl, 0)
	begin := len(dst)
	dst = append(dst, next...)
	dst = appendBitmap(dst, types)
	binary.BigEndian.PutUint16(dst[begin-2:], uint16(len(dst)-begin))
	return dst
}

// appendBitmap appends types as RFC 4034, section 4.1.2, has them: for each 256 of them that hold one, the high byte,
// a length, and so many bytes of a bitmap.
func appendBitmap(dst []byte, types []uint16) []byte {
	var few [32]uint16
	sorted := append(few[:0], types...)
	slices.Sort(sorted)
	for len(sorted) > 0 {
		window := sorted[0] >> 8
		n := 1
		for n < len(sorted) && sorted[n]>>8 == window {
			n++
		}
		length := int(sorted[n-1]&0xFF)/8 + 1
		dst = append(dst, byte(window), byte(length))
		dst = append(dst, make([]byte, length)...)
		bits := dst[len(dst)-length:]
		for _, t := range sorted[:n] {
			bits[t&0xFF>>3] |= 0x80 >> (t & 7)
		}
		sorted = sorted[n:]
	}
	return dst
}
