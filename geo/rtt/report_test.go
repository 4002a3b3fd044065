package rtt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
)

func someReport() Report {
	return reportOf("eu-west", start, count(germany, euWest, 41.5, 7), count(anyDE, euWest, 43, 990.5), count(nowhere, euWest, 0, 1),
		countPrefix("5.0.1.0/24", 80, 4), countPrefix("5.0.0.0/20", 70, 9), countPrefix("2a00:0:1::/48", 999, 1000))
}

func TestReportTravels(t *testing.T) {
	want := someReport()
	got, err := ParseReport(want.Append(nil))
	if err != nil || got.Region != want.Region || got.epoch != want.epoch || !slices.Equal(got.rows, want.rows) || got.Len() != 6 {
		t.Errorf("ParseReport(Append(%+v)) = %+v, %v", want, got, err)
	}
	if again := want.Append([]byte("before")); !bytes.Equal(again[6:], got.Append(nil)) {
		t.Error("the same report has other bytes")
	}
}

// What a later version appends is passed over, and read as far as it is known.
func TestReportOfALaterVersion(t *testing.T) {
	b := append(someReport().Append(nil), "and more"...)
	if _, err := ParseReport(b); err == nil {
		t.Error("a report of the present format with something behind it is taken")
	}
	b[1]++
	if got, err := ParseReport(b); err != nil || got.Len() != 6 {
		t.Errorf("a report of a later format = %+v, %v", got, err)
	}
}

func TestMalformedReports(t *testing.T) {
	report := func(region string, n uint64, counts ...[]uint64) []byte {
		b := appendText([]byte{0, reportFormat}, region)
		b = binary.AppendUvarint(binary.AppendUvarint(b, 5_900_000), n)
		for _, c := range counts {
			for _, number := range c {
				b = binary.AppendUvarint(b, number)
			}
		}
		return b
	}
	key, prefix := uint64(keyOf("DE", 0, true)), uint64(prefixID(prefixNumber(0)))
	for _, row := range []struct {
		why string
		b   []byte
		ok  bool
	}{
		{"a key", report("eu", 1, []uint64{key, 50_000, whole, 40_000}), true},
		{"a prefix", report("eu", 1, []uint64{prefix, 50_000, whole}), true},
		{"nothing to tell", report("eu", 0), true},
		{"nothing at all", nil, false},
		{"no region", report("", 1, []uint64{key, 50_000, whole, 40_000}), false},
		{"fewer counts than said", report("eu", 2, []uint64{key, 50_000, whole, 40_000}), false},
		{"more counts than said", report("eu", 1, []uint64{prefix, 50_000, whole}, []uint64{prefix, 50_000, whole}), false},
		{"too many counts", report("eu", MaxReport+1, slices.Repeat([][]uint64{{1 << 12, 1, 1}}, MaxReport+1)...), false},
		{"an impossible time", report("eu", 1, []uint64{prefix, 1_000_001, whole}), false},
		{"an impossible weight", report("eu", 1, []uint64{prefix, 50_000, maxWeight + 1}), false},
		{"an impossible distance", report("eu", 1, []uint64{key, 50_000, whole, 1_000_001}), false},
		{"no clients", report("eu", 1, []uint64{0, 50_000, whole}), false},
		{"the same clients twice", report("eu", 2, []uint64{prefix, 50_000, whole}, []uint64{0, 50_000, whole}), false},
		{"past the last id", report("eu", 2, []uint64{prefix, 50_000, whole}, []uint64{^uint64(0), 50_000, whole}), false},
		{"a country of no letters", report("eu", 1, []uint64{uint64('1')<<41 | uint64('1')<<33, 50_000, whole}), false},
		{"a prefix of another length", report("eu", 1, []uint64{prefix + 1, 50_000, whole}), false},
		{"a prefix with bits past its length", report("eu", 1, []uint64{prefix + 1<<addressAt, 50_000, whole}), false},
		{"format 0", func() []byte { b := report("eu", 0); b[1] = 0; return b }(), false},
		{"format 1 in the present form", func() []byte { b := report("eu", 0); b[1] = 1; return b }(), false},
	} {
		r, err := ParseReport(row.b)
		if (err == nil) != row.ok || err != nil && (!errors.Is(err, ErrReport) || r.Len() > 0) {
			t.Errorf("%s: ParseReport(%x) = %+v, %v, want taken: %v", row.why, row.b[:min(len(row.b), 40)], r, err, row.ok)
		}
	}
}

// parseBefore is how the version before reads a report: a region, and a mean for each country.
func parseBefore(b []byte) (region string, means map[string][2]uint64, ok bool) {
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			b, ok = nil, false
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > 255 || n > uint64(len(b)) {
			ok = false
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	ok = true
	region = text()
	n := number()
	ok = ok && region != "" && n <= 1000
	means = make(map[string][2]uint64)
	for i := uint64(0); ok && i < n; i++ {
		key := text()
		means[key] = [2]uint64{number(), number()}
		ok = ok && means[key][0] <= uint64(time.Minute.Microseconds()) && means[key][1] <= 1000
	}
	return region, means, ok && len(b) == 0 && len(means) == int(n)
}

// The version before reads what is written for it, and nothing else; what it writes is read.
func TestVersionBefore(t *testing.T) {
	r := someReport()
	old := r.AppendOld(nil)
	region, means, ok := parseBefore(old)
	if !ok || region != "eu-west" || len(means) != 2 || means["DE"] != [2]uint64{43_000, 990} || means["XX"] != [2]uint64{0, 1} {
		t.Errorf("the version before reads %v of %q, %v", means, region, ok)
	}
	if _, _, ok := parseBefore(r.Append(nil)); ok {
		t.Error("the version before takes a report of the present format for one of its own")
	}
	got, err := ParseReport(old)
	if err != nil || got.epoch != 0 || got.Len() != 2 || got.rows[0].located() || got.rows.of(keyOf("DE", 0, false))[0].rtt != 43_000 {
		t.Errorf("ParseReport of the version before = %+v, %v", got, err)
	}
	written := appendText(nil, "eu-west")
	written = binary.AppendUvarint(written, 2)
	for _, country := range []string{"DE", "Atlantis"} {
		written = binary.AppendUvarint(binary.AppendUvarint(appendText(written, country), 30_000_000), 1000)
	}
	if got, err := ParseReport(written); err != nil || got.Len() != 1 || got.rows[0].rtt != 1_000_000 {
		t.Errorf("ParseReport of half a minute to DE and Atlantis = %+v, %v, want a second to DE", got, err)
	}
	if got, err := ParseReport(append(written, 0)); err == nil {
		t.Errorf("ParseReport with a byte too much = %+v", got)
	}
}

func (r row) located() bool { return r.id.located() }

func FuzzParseReport(f *testing.F) {
	f.Add(someReport().Append(nil))
	f.Add(someReport().AppendOld(nil))
	f.Add([]byte{1, 'a', 0xff})
	f.Add([]byte{0, 3, 1, 'a', 1, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			return
		}
		m := New()
		m.Adopt(m.Orders().For(Config{Places: testPlaces(t), Regions: regions}))
		m.Replace("gateway", r, start)
		m.Advance(start)
		m.Orders().For(Config{Places: testPlaces(t), Regions: regions})
		if r.epoch == 0 {
			return // format 1 may name a country twice
		}
		if again, err := ParseReport(r.Append(nil)); err != nil || !slices.Equal(again.rows, r.rows) {
			t.Errorf("ParseReport(%x) does not survive a second trip: %v", b, err)
		}
	})
}

func TestIDs(t *testing.T) {
	for _, row := range []struct {
		id   id
		text string
	}{
		{keyOf("DE", 0, true), "DE"}, {keyOf("DE", 64500, false), "AS64500 in DE"}, {keyOf("", 4294967295, true), "AS4294967295"},
		{keyOf("ZZ", 4294967295, true), "AS4294967295 in ZZ"}, {prefixID(prefixNumber(258)), "20.1.2.0/24"},
		{prefixID(prefixNumber(258)).within(20), "20.1.0.0/20"}, {prefixID(prefixNumber(258)).within(20).last(), "20.1.15.0/24"}, {prefixID(prefixNumber(258)).within(0), "0.0.0.0/0"},
	} {
		if got := row.id.String(); got != row.text || row.id.isKey() && !row.id.good() {
			t.Errorf("%x is %q, good: %v, want %q", uint64(row.id), got, row.id.good(), row.text)
		}
	}
	for _, bad := range []id{keyOf("", 0, true), keyOf("de", 0, true), keyOf("DEU", 1, true), keyOf("D1", 1, false)} {
		if bad != 0 {
			t.Errorf("%x is the key of nobody", uint64(bad))
		}
	}
	if a, b := keyOf("DE", 0, true), keyOf("DE", 64500, false); a > b || b > keyOf("DF", 0, false) || b > prefixID(prefixNumber(0)) {
		t.Error("ids are out of order")
	}
}
