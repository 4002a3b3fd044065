package geo

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Address families, as indices.
const (
	family4 = iota
	family6
)

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return family4
	}
	return family6
}

// A key is an address as a number; an IPv4 address fills the low 32 bits.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	if a.Is4() {
		return key{lo: uint64(key4(a))}
	}
	return key6(a)
}

func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func key6(a netip.Addr) key {
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k key) compare(o key) int { return cmp.Or(cmp.Compare(k.hi, o.hi), cmp.Compare(k.lo, o.lo)) }

func (k key) next() key {
	lo, carry := bits.Add64(k.lo, 1, 0)
	return key{k.hi + carry, lo}
}

func (k key) previous() key {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return key{k.hi - borrow, lo}
}

// mask returns the first address of the block of length n around k, last its last one.
func (k key) mask(n, family int) key {
	set := suffix(n, family)
	return key{k.hi &^ set.hi, k.lo &^ set.lo}
}

func (k key) last(n, family int) key {
	set := suffix(n, family)
	return key{k.hi | set.hi, k.lo | set.lo}
}

// suffix is the key with all bits past the first n of an address set.
func suffix(n, family int) key {
	if family == family4 {
		return key{lo: 1<<(32-n) - 1}
	}
	if n >= 64 {
		return key{lo: 1<<(128-n) - 1}
	}
	return key{hi: 1<<(64-n) - 1, lo: ^uint64(0)}
}

// common returns how many leading bits of an address of the family a and b share.
func common(a, b key, family int) int {
	n := bits.LeadingZeros64(a.hi ^ b.hi)
	if n == 64 {
		n += bits.LeadingZeros64(a.lo ^ b.lo)
	}
	if family == family4 {
		n -= 96
	}
	return n
}

// A span starts at an address and ends before the next span.
type span struct {
	start key
	value uint32
}

// spans4 and spans6 are the spans of a whole family, split into columns so that a search touches only starts.
// index holds, for each value of the first 16 bits, the span that its first address lies in.
type spans4 struct {
	index []uint32
	start []uint32
	value []uint32
}

type spans6 struct {
	index []uint32
	start []key
	value []uint32
}

const indexSize = 1 << 16

func pack4(spans []span) spans4 {
	s := spans4{index: make([]uint32, indexSize+1), start: make([]uint32, len(spans)), value: make([]uint32, len(spans))}
	for i, span := range spans {
		s.start[i], s.value[i] = uint32(span.start.lo), span.value
	}
	at := uint32(0)
	for i := range uint32(indexSize) {
		for int(at)+1 < len(s.start) && s.start[at+1] <= i<<16 {
			at++
		}
		s.index[i] = at
	}
	s.index[indexSize] = uint32(len(spans) - 1)
	return s
}

func pack6(spans []span) spans6 {
	s := spans6{index: make([]uint32, indexSize+1), start: make([]key, len(spans)), value: make([]uint32, len(spans))}
	for i, span := range spans {
		s.start[i], s.value[i] = span.start, span.value
	}
	at := uint32(0)
	for i := range uint64(indexSize) {
		for int(at)+1 < len(s.start) && s.start[at+1].compare(key{hi: i << 48}) <= 0 {
			at++
		}
		s.index[i] = at
	}
	s.index[indexSize] = uint32(len(spans) - 1)
	return s
}

// find returns the span that holds a.
func (s *spans4) find(a uint32) int {
	low, high := int(s.index[a>>16]), int(s.index[a>>16+1]) // the answer is in low…high
	for low < high {
		middle := int(uint(low+high+1) >> 1)
		if s.start[middle] <= a {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

func (s *spans6) find(a key) int {
	low, high := int(s.index[a.hi>>48]), int(s.index[a.hi>>48+1])
	for low < high {
		middle := int(uint(low+high+1) >> 1)
		if s.start[middle].compare(a) <= 0 {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

func (s *spans4) bounds(i int) (first, last key) {
	first, last = key{lo: uint64(s.start[i])}, key{}.last(0, family4)
	if i+1 < len(s.start) {
		last = key{lo: uint64(s.start[i+1]) - 1}
	}
	return first, last
}

func (s *spans6) bounds(i int) (first, last key) {
	first, last = s.start[i], key{}.last(0, family6)
	if i+1 < len(s.start) {
		last = s.start[i+1].previous()
	}
	return first, last
}
