package siphash_test

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/dns/siphash"
)

// The reference vectors: the key is 00 01 … 0f, the input the first n of the bytes 00 01 02 ….
func TestReferenceVectors(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	input := make([]byte, 64)
	for i := range input {
		input[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 2: 0x0d6c8009d9a94f5a, 7: 0xab0200f58b01d137,
		8: 0x93f5f5799a932462, 9: 0x9e0082df0ba9e4b0, 15: 0xa129ca6149be45e5, 63: 0x958a324ceb064572,
	} {
		if got := siphash.Sum(siphash.KeyOf(key), input[:n]); got != want {
			t.Errorf("Sum of %d bytes = %016x, want %016x", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	if got, want := slow(key, nil), uint64(0xabac0158050fc4dc); got != want {
		t.Errorf("slow of nothing = %016x, want %016x", got, want)
	}
	text := []byte("\x03WWW\x07example\x03cOM and bytes that have the bit already: \xff\x20\xa0")
	for n := range len(text) + 1 {
		whole := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1<<63+7), 5<<32+2)
		for _, c := range text[:n] {
			whole = append(whole, c|0x20)
		}
		if got, want := siphash.Table(siphash.KeyOf(key), 1<<63+7, 5<<32+2, 0x20, text[:n]), slow(key, whole); got != want {
			t.Errorf("Table of %q = %016x, want %016x", text[:n], got, want)
		}
	}
}

// slow is SipHash-1-3 as its authors describe it.
func slow(key [16]byte, b []byte) uint64 {
	k0, k1 := binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	mix := func(a, b, turn int) {
		v[a] += v[b]
		v[b] = bits.RotateLeft64(v[b], turn) ^ v[a]
	}
	round := func() {
		mix(0, 1, 13)
		mix(2, 3, 16)
		v[0] = bits.RotateLeft64(v[0], 32)
		mix(2, 1, 17)
		mix(0, 3, 21)
		v[2] = bits.RotateLeft64(v[2], 32)
	}
	padded := append(slices.Clone(b), make([]byte, 8-len(b)%8)...)
	padded[len(padded)-1] = byte(len(b))
	for ; len(padded) > 0; padded = padded[8:] {
		m := binary.LittleEndian.Uint64(padded)
		v[3] ^= m
		round()
		v[0] ^= m
	}
	v[2] ^= 0xFF
	for range 3 {
		round()
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func BenchmarkSum(b *testing.B) {
	data := make([]byte, 32)
	for b.Loop() {
		siphash.Sum(siphash.Key{}, data)
	}
}
