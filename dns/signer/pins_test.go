package signer

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Every signature that was added is found again as it was, of any size and beside any other, and no other is.
func TestPins(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p, twin := new(pins), map[key]sig{}
	draw := func() key { return key{random.Uint64(), random.Uint64()} }
	alike := func(k key) key { // the same slot and tag
		x := random.Uint64() >> 33
		return key{k[0] ^ x, k[1] ^ x}
	}
	sizes := []int{0, 1, 7, 8, 107, 108, places*placeSize - pinRecords, places * placeSize, 3 * places * placeSize}
	var last key
	for i := range 20_000 {
		k := draw()
		if i%3 == 1 {
			k = alike(last)
		}
		last = k
		size := 100 + random.IntN(20)
		if i%100 == 0 {
			size = sizes[i/100%len(sizes)]
		}
		made := sig{records: make([]byte, size), count: uint16(random.Uint32()), renew: random.Int64(), expires: -random.Int64()}
		for j := range made.records {
			made.records[j] = byte(random.Uint32())
		}
		p.add(k, made)
		twin[k] = made
	}
	if p.n != len(twin) {
		t.Errorf("%d signatures, want %d", p.n, len(twin))
	}
	for k, want := range twin {
		got, ok := p.find(k)
		if !ok || !bytes.Equal(got.records, want.records) || got.count != want.count || got.renew != want.renew || got.expires != want.expires {
			t.Fatalf("signature of %d bytes = %d bytes, %t", len(want.records), len(got.records), ok)
		}
		if cap(got.records) != len(got.records) {
			t.Fatal("what is appended to a signature would overwrite the next")
		}
		if _, ok := p.find(alike(k)); ok {
			t.Fatal("a key that is not there is found")
		}
	}
	if _, ok := new(pins).find(last); ok {
		t.Error("a key is found where none is")
	}
}
