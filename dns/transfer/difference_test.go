package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// randomZone returns a zone of some of a hundred records, in any order, some of them with another TTL.
func randomZone(t testing.TB, random *rand.Rand, serial uint32) *textZone {
	var records []string
	for _, i := range random.Perm(100)[:60+random.IntN(40)] {
		records = append(records, fmt.Sprintf("h%d.shop.example. %d IN TXT %q", i, 300+60*random.IntN(2), strings.Repeat("x", i)))
	}
	return zoneOf(t, "shop.example.", serial, records...)
}

// feed has a transfer read records, and returns the whole zone if it is one.
func feed(in *incoming, records func(yield func(dns.RR) bool)) (whole []dns.RR, err error) {
	in.record = func(rr dns.RR) error { whole = append(whole, rr); return nil }
	records(func(rr dns.RR) bool {
		err = in.add(rr)
		return err == nil
	})
	return whole, err
}

// Differences of versions in a row, packed, read and applied, make the last version of the first; against the obvious way.
func TestDifferencesMakeTheNextVersion(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		versions := []*textZone{randomZone(t, random, 1)}
		var entries []entry
		for i := range 1 + random.IntN(3) {
			versions = append(versions, randomZone(t, random, uint32(i)+2))
			d, err := Diff(versions[i], versions[i+1], 1<<20)
			if errors.Is(err, errTooLarge) { // as large as the zone: this pair is of no use here
				versions = versions[:i+1]
				break
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if got, want := len(d.Added)-len(d.Deleted), len(versions[i+1].rrs)-len(versions[i].rrs); got != want {
				t.Fatalf("seed %d: the difference is %d records, the versions differ by %d", seed, got, want)
			}
			e, err := d.entry()
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e)
		}
		if len(entries) == 0 {
			continue
		}
		var packed []byte
		for _, e := range entries {
			packed = append(packed, e.packed...)
		}
		again, err := parseEntries(packed)
		if err != nil || len(again) != len(entries) {
			t.Fatalf("seed %d: %d entries came back of %d (%v)", seed, len(again), len(entries), err)
		}
		first, last := versions[0], versions[len(versions)-1]
		in := &incoming{apex: "shop.example.", serial: 1, ixfr: true, limits: Limits{}.withDefaults()}
		_, err = feed(in, func(yield func(dns.RR) bool) {
			soa := soaOf(last)
			soa.Hdr.Rdlength = 1 // as received
			if yield(soa) {
				eachDifference(again, yield)
				yield(soa)
			}
		})
		if err != nil || !in.done || in.whole {
			t.Fatalf("seed %d: done %v, whole %v, %v", seed, in.done, in.whole, err)
		}
		var made []dns.RR
		err = amend(strings.NewReader(masterFile(first)), in.differences, func(rr dns.RR) error { made = append(made, rr); return nil })
		if err != nil || !slices.Equal(sortedRRs(made), sorted(last.Records)) {
			t.Fatalf("seed %d: %v: %d records, want %d", seed, err, len(made), len(last.rrs))
		}
	}
}

func TestDiffLimits(t *testing.T) {
	old := zoneOf(t, "shop.example.", 1, manyRecords(100)...)
	for _, test := range []struct {
		why  string
		new  *textZone
		most int
		err  error
	}{
		{"one record more", zoneOf(t, "shop.example.", 2, manyRecords(101)...), 2000, nil},
		{"over the limit", zoneOf(t, "shop.example.", 2, manyRecords(150)...), 2000, errTooLarge},
		{"deletions over the limit", zoneOf(t, "shop.example.", 2, manyRecords(70)...), 2000, errTooLarge},
		{"not so large as the new version", zoneOf(t, "shop.example.", 2, manyRecords(70)...), 1 << 20, nil},
		{"larger than the new version", zoneOf(t, "shop.example.", 2, manyRecords(30)...), 1 << 20, errTooLarge},
	} {
		if _, err := Diff(old, test.new, test.most); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.why, err, test.err)
		}
	}
}

// What is no transfer is refused at the record that shows it.
func TestIncoming(t *testing.T) {
	const (
		soa7, soa8, soa9 = "shop.example. 300 IN SOA a. b. 7 1 1 1 1", "shop.example. 300 IN SOA a. b. 8 1 1 1 1", "shop.example. 300 IN SOA a. b. 9 1 1 1 1"
		a, b             = "a.shop.example. 300 IN A 192.0.2.1", "b.shop.example. 300 IN A 192.0.2.2"
	)
	list := func(texts ...string) []string { return texts }
	for _, test := range []struct {
		why     string
		ixfr    bool
		records []string
		want    string // what is read, or the error
	}{
		{"whole", false, list(soa9, a, b, soa9), "whole 3"},
		{"whole, although differences were asked for", true, list(soa9, a, b, soa9), "whole 3"},
		{"whole and empty", true, list(soa9, soa9), "whole 1"},
		{"differences", true, list(soa9, soa7, a, soa8, b, soa8, b, soa9, a, soa9), "differences 2"},
		{"nothing new", true, list(soa7), "current"},
		{"older than the copy", true, list("shop.example. 300 IN SOA a. b. 6 1 1 1 1"), "current"},
		{"not at its end", false, list(soa9, a), "not done"},
		{"only the SOA record so far", true, list(soa9), "not done"},
		{"differences not at their end", true, list(soa9, soa7, a, soa9, b), "not done"},
		{"no SOA record first", false, list(a, soa9), "the first record is no SOA record"},
		{"two serials", false, list(soa9, a, soa8), "SOA records of serials 9 and 8 in one zone"},
		{"more after the end", false, list(soa9, a, soa9, b), "records after the last SOA record"},
		{"differences from another serial", true, list(soa9, soa8, a, soa9), "SOA records of serials 9 and 8 in one zone"},
		{"a gap in the differences", true, list(soa9, soa7, a, soa8, b, soa9), "a difference from serial 9 follows one to 8"},
		{"differences backwards", true, list(soa9, soa7, a, "shop.example. 300 IN SOA a. b. 6 1 1 1 1"), "a difference from serial 7 to 6"},
		{"out of the zone", false, list(soa9, "a.other.example. 300 IN A 192.0.2.1"), "a.other.example. A: is not in the zone"},
		{"above the zone", false, list(soa9, "example. 300 IN NS ns1.shop.example."), "example. NS: is not in the zone"},
		{"an SOA record of another name", false, list(soa9, "a.shop.example. 300 IN SOA a. b. 9 1 1 1 1"), "a.shop.example. SOA: stands only at the apex"},
		{"a record that is cut off", false, list(soa9, `a.shop.example. 300 IN MX \# 2 000a`), "a.shop.example. MX: has no data"},
		{"another class", false, list(soa9, "a.shop.example. 300 CH A 192.0.2.1"), "a.shop.example. A: class CH"},
		{"a type of queries", false, list(soa9, `a.shop.example. 300 IN TYPE250 \# 1 00`), "a.shop.example. TSIG: a type that no zone has"},
	} {
		in := &incoming{apex: "shop.example.", ixfr: test.ixfr, serial: 7, limits: Limits{}.withDefaults()}
		zone := &textZone{}
		for _, text := range test.records {
			rr := rrOf(t, text)
			rr.Header().Rdlength = 1 // as received
			zone.rrs = append(zone.rrs, rr)
		}
		whole, err := feed(in, zone.Records)
		got := "current"
		switch {
		case err != nil:
			got = err.Error()
		case !in.done:
			got = "not done"
		case in.whole:
			got = fmt.Sprint("whole ", len(whole))
		case len(in.differences) > 0:
			got = fmt.Sprint("differences ", len(in.differences))
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.why, got, test.want)
		}
	}
}

// Differences that do not fit the copy are refused.
func TestAmendRefuses(t *testing.T) {
	a, b := rrOf(t, "a.shop.example. 300 IN A 192.0.2.1"), rrOf(t, "b.shop.example. 300 IN A 192.0.2.2")
	copied := zoneOf(t, "shop.example.", 7, a.String())
	from := func(serial uint32) *dns.SOA { return zoneOf(t, "shop.example.", serial).rrs[0].(*dns.SOA) }
	for _, test := range []struct {
		why  string
		d    Difference
		want string
	}{
		{"fits", Difference{From: from(7), To: from(8), Deleted: []dns.RR{a}, Added: []dns.RR{b}}, "<nil>"},
		{"from another serial", Difference{From: from(6), To: from(8)}, "the copy has serial 7, the differences begin at 6"},
		{"what goes is not there", Difference{From: from(7), To: from(8), Deleted: []dns.RR{b}}, "1 records are deleted that are not there"},
		{"what comes is there", Difference{From: from(7), To: from(8), Added: []dns.RR{a}}, "a.shop.example. A is added, and there already"},
		{"what goes goes twice", Difference{From: from(7), To: from(8), Deleted: []dns.RR{a, a}}, "a.shop.example. A is deleted twice"},
	} {
		err := amend(strings.NewReader(masterFile(copied)), []Difference{test.d}, func(dns.RR) error { return nil })
		if fmt.Sprint(err) != test.want {
			t.Errorf("%s: %v, want %s", test.why, err, test.want)
		}
	}
}

// A journal keeps to its limits, and what is damaged on disk is not used.
func TestJournalLimits(t *testing.T) {
	version := func(serial uint32) *textZone {
		return zoneOf(t, "shop.example.", serial, append(manyRecords(100), fmt.Sprintf("v%d.shop.example. 300 IN A 192.0.2.1", serial))...)
	}
	zones := shelfOf(version(1))
	s := open(t, Config{Zones: zones.find, Limits: Limits{Journal: 1000, Journals: 1500}})
	policy := Policy{Allow: []Grant{{Prefix: loopback}}}
	apply(t, s, Setup{Primary: map[string]Policy{"shop.example.": policy, "late.example.": policy}})
	s.Changed(nil, version(1))
	for serial := range uint32(20) {
		zones.put(s, version(serial+2))
	}
	known := func(serial uint32) bool {
		_, ok := s.journals.since(version(21), serial)
		return ok
	}
	if !known(20) || !known(19) || known(1) || s.journals.size > 1000 {
		t.Errorf("knows 20: %v, 19: %v, 1: %v; %d bytes", known(20), known(19), known(1), s.journals.size)
	}
	late := func(serial uint32) *textZone {
		return zoneOf(t, "late.example.", serial, append(lateRecords(60), fmt.Sprintf("v%d.late.example. 300 IN TXT %q", serial, strings.Repeat("x", 250)))...)
	}
	s.Changed(nil, late(1))
	s.Changed(late(1), late(2)) // has no room among all
	if _, ok := s.journals.since(late(2), 1); ok || s.journals.size > 1500 {
		t.Errorf("a journal over the limit of all is kept: %d bytes", s.journals.size)
	}
	file := s.journals.file("shop.example.")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.journals.load(version(21)); err == nil || !strings.Contains(err.Error(), "does not fit the content") {
		t.Errorf("a damaged journal: %v", err)
	}
	zones.put(s, version(5)) // back: nobody can go there by differences
	if known(20) {
		t.Error("a journal goes on although the serial went back")
	}
}

// A zone that went and comes again may be another one with the same serials: nobody gets differences of the life before.
func TestJournalOfAnotherLife(t *testing.T) {
	policy := Policy{Allow: []Grant{{Prefix: loopback}}}
	setup := func(apexes ...string) Setup {
		policies := map[string]Policy{"stays.example.": policy}
		for _, apex := range apexes {
			policies[apex] = policy
		}
		return Setup{Primary: policies}
	}
	version := func(apex string, serial uint32, life string) *textZone {
		return zoneOf(t, apex, serial, append(manyRecords(20), fmt.Sprintf("%s.%s 60 IN A 192.0.2.%d", life, apex, serial))...)
	}
	open := func() *Service {
		s := open(t, Config{})
		apply(t, s, setup("shop.example."))
		for _, apex := range []string{"shop.example.", "stays.example."} {
			s.Changed(nil, version(apex, 5, "first"))
			s.Changed(version(apex, 5, "first"), version(apex, 6, "first"))
			s.Changed(version(apex, 6, "first"), version(apex, 7, "first"))
		}
		return s
	}
	for _, test := range []struct {
		why     string
		between func(s *Service)
		serial  uint32 // with which it comes again
	}{
		{"with a serial on the way", func(*Service) {}, 6},
		{"after a setup without it", func(s *Service) { apply(t, s, setup()) }, 7},
		{"after a setup in which nobody may have it", func(s *Service) {
			none := setup()
			none.Primary["shop.example."] = Policy{Notify: []Target{{Address: loopbackPort}}}
			apply(t, s, none)
		}, 7},
	} {
		s := open()
		if _, ok := s.journals.since(version("shop.example.", 7, "first"), 5); !ok {
			t.Fatal("the first life has no journal")
		}
		whole := s.journals.size
		test.between(s)
		apply(t, s, setup("shop.example."))
		again := version("shop.example.", test.serial, "second")
		s.Changed(nil, again)
		if entries, ok := s.journals.since(again, 5); ok {
			t.Errorf("%s: %d differences of the first life", test.why, len(entries))
		}
		if _, err := os.Stat(s.journals.file("shop.example.")); !os.IsNotExist(err) {
			t.Errorf("%s: the journal is still on disk (%v)", test.why, err)
		}
		if _, ok := s.journals.since(version("stays.example.", 7, "first"), 5); !ok || s.journals.size >= whole || s.journals.size <= 0 {
			t.Errorf("%s: the other zone's journal is kept: %v; %d bytes of %d", test.why, ok, s.journals.size, whole)
		}
	}
}

func lateRecords(n int) []string {
	var records []string
	for i := range n {
		records = append(records, fmt.Sprintf("host-%d.late.example. 300 IN TXT %q", i, strings.Repeat("x", 40)))
	}
	return records
}

func TestFileName(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3)
	seen := map[string]string{}
	for apex, want := range map[string]string{
		"shop.example.": "shop.example", ".": "%", "_x.shop.example.": "_x.shop.example", `a\/b.example.`: "a%5c%2fb.example",
		`\.\.\..example.`: "%5c.%5c.%5c..example", "..": "%2e", long + "one.example.": "", long + "two.example.": "",
	} {
		got := fileName(apex)
		if want != "" && got != want || len(got) > 230 || strings.ContainsAny(got, "/\x00") || strings.HasPrefix(got, ".") {
			t.Errorf("fileName(%q) = %q, want %q", apex, got, want)
		}
		if other, twice := seen[got]; twice {
			t.Errorf("%q and %q share the file %q", apex, other, got)
		}
		seen[got] = apex
	}
}

// FuzzIncoming reads packed records as a transfer, and applies what differences come of it.
func FuzzIncoming(f *testing.F) {
	pack := func(texts ...string) []byte {
		var packed []byte
		buffer := make([]byte, dns.MaxMsgSize)
		for _, text := range texts {
			n, err := dns.PackRR(rrOf(f, text), buffer, 0, nil, false)
			if err != nil {
				f.Fatal(err)
			}
			packed = append(packed, buffer[:n]...)
		}
		return packed
	}
	const soa7, soa9, a = "shop.example. 300 IN SOA a. b. 7 1 1 1 1", "shop.example. 300 IN SOA a. b. 9 1 1 1 1", "a.shop.example. 300 IN A 192.0.2.1"
	f.Add(pack(soa9, soa7, a, soa9, soa9), true)
	f.Add(pack(soa9, a, soa9), false)
	f.Add(pack(soa9, soa7, soa9, a, `x.shop.example. 0 IN TYPE65400 \# 0`, soa9), true)
	f.Fuzz(func(t *testing.T, packed []byte, ixfr bool) {
		in := &incoming{apex: "shop.example.", ixfr: ixfr, serial: 7, limits: Limits{Records: 100, Bytes: 10_000}}
		var out bytes.Buffer
		w := newCopyWriter(&out, in.limits)
		in.record = w.record
		for off := 0; off < len(packed) && !in.done; {
			rr, next, err := dns.UnpackRR(packed, off)
			if err != nil || next == off || in.add(rr) != nil {
				return
			}
			off = next
		}
		if !in.done {
			return
		}
		if len(in.differences) > 0 {
			amend(strings.NewReader(soa7+"\n"+a+"\n"), in.differences, w.record)
		}
		if w.out.Flush() != nil || in.soa == nil {
			t.Fatal("done without an SOA record")
		}
		n := 0
		if err := eachOf(&out, func(dns.RR) error { n++; return nil }); err != nil || in.whole && n != w.records {
			t.Errorf("%d records written, %d read: %v", w.records, n, err)
		}
	})
}
