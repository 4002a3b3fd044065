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

// Keys that BIND's tools made for a later time leave the zone unsigned until then; that there is none left is a mistake.
func TestKeysOfAnotherTime(t *testing.T) {
	for _, tt := range []struct {
		why    string
		timing dnssec.Timing
		signed bool
		bad    bool
	}{
		{"no times", dnssec.Timing{}, true, false},
		{"of the future", dnssec.Timing{Publish: begin.Add(time.Hour), Activate: begin.Add(2 * time.Hour)}, false, false},
		{"published, not active yet", dnssec.Timing{Publish: begin.Add(-time.Hour), Activate: begin.Add(time.Hour)}, false, false},
		{"active", dnssec.Timing{Publish: begin.Add(-time.Hour), Activate: begin}, true, false},
		{"inactive", dnssec.Timing{Activate: begin.Add(-2 * time.Hour), Inactive: begin.Add(-time.Hour)}, false, true},
	} {
		dir := t.TempDir()
		k, err := dnssec.New("example.", dnssec.FlagsKSK, dnssec.ED25519, rand.NewChaCha8([32]byte{}), begin)
		if err != nil {
			t.Fatal(err)
		}
		k.Timing = tt.timing
		if err := Create(dir, k); err != nil {
			t.Fatal(err)
		}
		set, err := ForServer(dir, "example.", begin)
		if (err != nil) != tt.bad || err == nil && set.Signed() != tt.signed {
			t.Errorf("%s: ForServer = %+v, %v, want signed: %t, an error: %t", tt.why, set, err, tt.signed, tt.bad)
		}
	}
}
