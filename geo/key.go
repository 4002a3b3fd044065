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
	families
)

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return family4
	}
	return family6
}

// A key is an address as a number of 128 bits. An IPv4 address is the first 32 of them; as the last address of a block, all others
// are set. So blocks and scopes are the same to both families.
type key struct{ hi, lo uint64 }

// lastKey is the last address of a family.
var lastKey = key{^uint64(0), ^uint64(0)}

// keyOf takes an IPv6 address by AsSlice, which the compiler keeps on the stack: of what As16 returns it makes a copy, and a copy of
// 16 bytes just written as two halves has to wait until all that was loaded before has come, which is what a search takes longest for.
func keyOf(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.AsSlice()
	if len(b) != 16 {
		return key{} // of the zero Addr
	}
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k key) compare(o key) int {
	if k.hi != o.hi {
		return cmp.Compare(k.hi, o.hi)
	}
	return cmp.Compare(k.lo, o.lo)
}

func (k key) next() key {
	lo, carry := bits.Add64(k.lo, 1, 0)
	return key{k.hi + carry, lo}
}

func (k key) previous() key {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return key{k.hi - borrow, lo}
}

// mask returns the first address of the block of length n around k, last its last one.
func (k key) mask(n int) key {
	set := suffix(n)
	return key{k.hi &^ set.hi, k.lo &^ set.lo}
}

func (k key) last(n int) key {
	set := suffix(n)
	return key{k.hi | set.hi, k.lo | set.lo}
}

// suffix is the key with all bits past the first n set.
func suffix(n int) key {
	if n >= 64 {
		return key{lo: 1<<(128-n) - 1}
	}
	return key{hi: 1<<(64-n) - 1, lo: ^uint64(0)}
}

// common returns how many leading bits a and b share.
func common(a, b key) int {
	if a.hi != b.hi {
		return bits.LeadingZeros64(a.hi ^ b.hi)
	}
	return 64 + bits.LeadingZeros64(a.lo^b.lo)
}

// A span starts at an address and ends before the next span.
type span struct {
	start key
	value uint32
}
