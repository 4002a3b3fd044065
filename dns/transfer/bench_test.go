package transfer

import (
	"bytes"
	"io"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkAXFR sends a zone of 100,000 records, signed.
func BenchmarkAXFR(b *testing.B) {
	key := keyOfTest(b, "peer", "hmac-sha256")
	zone := zoneOf(b, "shop.example.", 7, manyRecords(100_000)...)
	s := open(b, Config{Zones: shelfOf(zone).find})
	apply(b, s, Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Key: "peer"}}}}})
	b.ReportAllocs()
	for b.Loop() {
		m := new(dns.Msg).SetAxfr("shop.example.")
		packed, _, err := dns.TsigGenerate(m.SetTsig(key.Name, key.Algorithm, 300, 0), secretOf(key)[key.Name], "", false)
		if err != nil {
			b.Fatal(err)
		}
		size := int64(0)
		s.Handle(Query{Message: packed, From: loopbackPort, Send: func(m []byte) error { size += int64(len(m)); return nil }})
		if size < 1<<20 {
			b.Fatalf("%d bytes sent", size)
		}
		b.SetBytes(size)
	}
}

// BenchmarkDiff compares two versions of 100,000 records that differ in one.
func BenchmarkDiff(b *testing.B) {
	records := manyRecords(100_000)
	old, new := zoneOf(b, "shop.example.", 7, records...), zoneOf(b, "shop.example.", 8, records[1:]...)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := Diff(old, new, 1<<20); err != nil || len(d.Deleted) != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkAmend writes the copy of a secondary zone of 100,000 records after a difference of one.
func BenchmarkAmend(b *testing.B) {
	records := manyRecords(100_000)
	old, new := zoneOf(b, "shop.example.", 7, records...), zoneOf(b, "shop.example.", 8, records[1:]...)
	d, err := Diff(old, new, 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(masterFile(old))
	b.ReportAllocs()
	for b.Loop() {
		w := newCopyWriter(io.Discard, Limits{}.withDefaults())
		if err := amend(bytes.NewReader(text), []Difference{*d}, w.record); err != nil {
			b.Fatal(err)
		}
	}
}
