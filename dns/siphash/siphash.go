// Package siphash computes SipHash-2-4 and SipHash-1-3, short keyed hashes (Aumasson and Bernstein, "SipHash: a fast short-input PRF").
//
// It keeps no state and knows nothing of what it hashes: server cookies want it by name (RFC 9018,
// section 4.4), and tables that strangers fill want it so that nobody can aim at a slot.
//
// Equal keys and bytes give equal sums on every machine. It allocates nothing.
package siphash

import (
	"encoding/binary"
	"math/bits"
)

// A Key is secret. Any value is as good as another.
type Key struct{ low, high uint64 }

// KeyOf reads a key of 16 bytes as the reference implementation does.
func KeyOf(b [16]byte) Key {
	return Key{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// Sum returns the hash of b. The reference writes it as eight bytes, the lowest first.
func Sum(k Key, b []byte) uint64 {
	v0, v1 := k.low^0x736f6d6570736575, k.high^0x646f72616e646f6d
	v2, v3 := k.low^0x6c7967656e657261, k.high^0x7465646279746573
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		m := binary.LittleEndian.Uint64(b)
		v3 ^= m
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xFF
	for range 4 {
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// Table returns SipHash-1-3 of two words and of b, in whose bytes the bits of set are set: fewer rounds, enough for the slots of a
// table, whose hashes nobody sees.
func Table(k Key, first, second uint64, set byte, b []byte) uint64 {
	v0, v1 := k.low^0x736f6d6570736575, k.high^0x646f72616e646f6d
	v2, v3 := k.low^0x6c7967656e657261, k.high^0x7465646279746573
	v3 ^= first
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0 ^= first
	v3 ^= second
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0 ^= second
	mask := uint64(set) * 0x0101_0101_0101_0101
	last, rest := uint64(16+len(b))<<56, b
	for ; len(rest) >= 8; rest = rest[8:] {
		m := binary.LittleEndian.Uint64(rest) | mask
		v3 ^= m
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
		v0 ^= m
	}
	if n := len(rest); n > 0 && len(b) >= 8 {
		last |= (binary.LittleEndian.Uint64(b[len(b)-8:]) | mask) >> (64 - 8*n)
	} else {
		for i, c := range rest {
			last |= uint64(c|set) << (8 * i)
		}
	}
	v3 ^= last
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xFF
	for range 3 {
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func round(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v1
	v0 += v3
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}
