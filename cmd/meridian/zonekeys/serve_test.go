package zonekeys

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// The generation of keys that go by the times in their files rises whenever they do something else.
func TestGenerationByTimes(t *testing.T) {
	dir := t.TempDir()
	add := func(seed byte, flags uint16, timing dnssec.Timing) {
		t.Helper()
		k, err := dnssec.New("example.", flags, dnssec.ECDSAP256SHA256, rand.NewChaCha8([32]byte{seed}), begin)
		if err != nil {
			t.Fatal(err)
		}
		k.Timing = timing
		if err := Create(dir, k); err != nil {
			t.Fatal(err)
		}
	}
	at := func(hours int) time.Time { return begin.Add(time.Duration(hours) * time.Hour) }
	add(1, dnssec.FlagsKSK, dnssec.Timing{Publish: at(-9), Activate: at(-9), SyncPublish: at(1)})
	add(2, dnssec.FlagsZSK, dnssec.Timing{Inactive: at(5), Delete: at(7)})
	add(3, dnssec.FlagsZSK, dnssec.Timing{Publish: at(2), Activate: at(5)})
	var last uint64
	for _, tt := range []struct {
		hours int
		why   string
		rises bool
	}{
		{0, "at first", true}, {1, "the DS is announced", true}, {2, "the next ZSK is published", true}, {3, "nothing", false},
		{5, "the ZSKs change places", true}, {7, "the old one is gone", true}, {99, "nothing more", false},
	} {
		set, err := ForServer(dir, "example.", at(tt.hours))
		if err != nil {
			t.Fatal(err)
		}
		if rises := set.Generation > last; rises != tt.rises || set.Generation < last {
			t.Errorf("%s: generation %d after %d, want it to rise: %v", tt.why, set.Generation, last, tt.rises)
		}
		last = set.Generation
	}
	add(4, dnssec.FlagsZSK, dnssec.Timing{})
	if set, err := ForServer(dir, "example.", at(99)); err != nil || set.Generation <= last {
		t.Errorf("another key: generation %d after %d, %v, want it to rise", set.Generation, last, err)
	}
}
