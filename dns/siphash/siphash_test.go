package siphash_test

import (
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
	if got, want := siphash.Table(siphash.KeyOf(key), nil), uint64(0xabac0158050fc4dc); got != want {
		t.Errorf("Table of nothing = %016x, want %016x", got, want)
	}
	if a, b := siphash.Table(siphash.KeyOf(key), []byte("12345678")), siphash.Table(siphash.KeyOf(key), []byte("12345679")); a == b {
		t.Errorf("Table of two texts = %016x both", a)
	}
}

func BenchmarkSum(b *testing.B) {
	data := make([]byte, 32)
	for b.Loop() {
		siphash.Sum(siphash.Key{}, data)
	}
}
