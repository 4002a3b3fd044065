package rtt

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A desk is a gateway of eu-west beside a model that hears it.
type desk struct {
	*lab
	*Digest
}

func newDesk(t testing.TB) *desk { return &desk{newLab(t), NewDigest(MaxDigest)} }

// sample has clients of a prefix measured so many times in the present epoch.
func (d *desk) sample(prefix string, rtt time.Duration, times uint32) {
	p := netip.MustParsePrefix(prefix)
	place := d.config.Places.Place(d.config.Places.Lookup(p.Addr()))
	d.Digest.Add(Sample{p, rtt, times}, place, euWest, d.Model.Orders(), d.now)
}

// report tells the model what is to be told, and returns whom it is of.
func (d *desk) report() (ids []string) {
	r := d.Report("eu-west", d.now)
	for _, row := range r.rows {
		ids = append(ids, row.id.String())
	}
	d.Replace("gateway", r, d.now)
	return ids
}

func TestWhatIsTold(t *testing.T) {
	d := newDesk(t)
	for _, step := range []struct {
		why     string
		samples func()
		want    []string
	}{
		{"country and ASN at once, a prefix that is like them never", func() { d.sample("5.0.1.0/24", ms(50), 20); d.sample("7.0.0.0/24", ms(50), 20) },
			[]string{"DE", "AS64500 in DE"}},
		{"nothing new, nothing told", func() {}, nil},
		{"a little heavier is no news", func() { d.sample("5.0.1.0/24", ms(50), 2) }, nil},
		{"much heavier is, of whom it is so", func() { d.sample("5.0.2.0/24", ms(50), 3) }, []string{"AS64500 in DE"}},
		{"another time is", func() { d.sample("5.0.1.0/24", ms(200), 1) }, []string{"DE", "AS64500 in DE"}},
	} {
		step.samples()
		if got := d.report(); !slices.Equal(got, step.want) {
			t.Errorf("%s: told of %q, want %q", step.why, got, step.want)
		}
	}
	for i := range newsEpochs {
		d.epoch()
		if got := d.report(); (len(got) > 0) != (i == newsEpochs-1) {
			t.Errorf("%d epochs after it was told it is told of %q", i+1, got)
		}
	}
	d.Retell()
	if got := d.report(); len(got) != 2 {
		t.Errorf("to who has not heard it is told of %q, want 2", got)
	}
	for range 12 * halfEpochs {
		d.epoch()
	}
	if got := d.report(); got != nil {
		t.Errorf("what weighs nothing any more is told: %q", got)
	}
}

// Of prefixes those are told that are ordered otherwise than what is around them, and what they say is not their ASN's any more.
func TestWhichPrefixesAreTold(t *testing.T) {
	d := newDesk(t)
	for epoch := range 12 {
		for i := range 16 {
			d.sample(fmt.Sprintf("5.0.%d.0/24", i), ms(50), 10) // like the ASN
			d.sample(fmt.Sprintf("5.0.%d.0/24", 64+i), ms(250), 10)
			d.sample(fmt.Sprintf("5.1.%d.0/24", i), ms(80), 10) // slower, and still the nearest region
		}
		for i := range 64 {
			d.sample(fmt.Sprintf("5.2.%d.0/24", i), ms(50), 10)
		}
		d.sample("5.0.3.0/24", ms(300), 30)
		d.sample("2a00:0:1::/48", ms(300), 30)
		if epoch == 5 || epoch == 7 {
			d.sample("5.3.0.0/24", ms(1000), 2) // too few to tell by
		}
		d.sample("2a00:0:2::/48", ms(50), 30)
		d.report()
		d.epoch()
		if epoch == 0 && d.notable > 0 {
			t.Errorf("%d prefixes are told of in the first epoch, before anything is known of what is around them", d.notable)
		}
	}
	var got []string
	for i := range d.told {
		if !i.isKey() {
			got = append(got, i.String())
		}
	}
	slices.Sort(got)
	// Of 2a00::/40 the mean differs from the ASN's, and so one of the prefixes in it from that.
	want := []string{"2a00:0:2::/48", "2a00::/40", "5.0.3.0/24", "5.0.64.0/20"}
	if !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
	for client, want := range map[string]geo.RegionID{"5.0.2.1": "eu-west", "5.0.3.1": "ap-south", "5.0.66.1": "ap-south", "5.1.1.1": "eu-west", "2a00:0:1::1": "ap-south", "2a00:0:2::1": "eu-west"} {
		if got := d.first(client); got != want {
			t.Errorf("%s is sent to %s, want %s: %+v", client, got, want, d.estimate(client, euWest))
		}
	}
	var overlay []string
	for i := range d.orders.entries {
		overlay = append(overlay, d.orders.Overlay().Prefix(uint32(i+1)).String())
	}
	if slices.Sort(overlay); !slices.Equal(overlay, want) {
		t.Errorf("the overlay lists %q", overlay)
	}
	told := d.notable
	before := d.estimate("5.2.0.1", euWest)
	for range 3 * halfEpochs {
		d.sample("5.0.3.0/24", ms(900), 30)
		d.report()
		d.epoch()
	}
	if after := d.estimate("5.2.0.1", euWest); after.RTT > before.RTT+ms(3) {
		t.Errorf("a prefix that is known to differ moves its ASN from %v to %v", before.RTT, after.RTT)
	}
	for range 12 * halfEpochs {
		d.epoch()
	}
	if d.report(); d.notable != 0 {
		t.Errorf("of %d prefixes %d are still to be told though nothing was measured for ages", told, d.notable)
	}
}

// What can't be placed or is nonsense is passed over or cut.
func TestOddSamples(t *testing.T) {
	d := newDesk(t)
	d.sample("9.9.9.0/24", ms(50), 3)                                                                      // of no place
	d.Digest.Add(Sample{netip.MustParsePrefix("5.0.0.0/24"), ms(50), 0}, germany, euWest, d.orders, d.now) // no sample
	d.Digest.Add(Sample{netip.MustParsePrefix("5.0.0.0/16"), ms(50), 1}, germany, euWest, d.orders, d.now) // whose prefixes?
	d.Digest.Add(Sample{netip.MustParsePrefix("5.0.0.77/32"), ms(-5), 1}, germany, euWest, nil, d.now)     // before any configuration
	d.Digest.Add(Sample{netip.MustParsePrefix("5.0.0.0/24"), time.Hour, 1}, geo.Place{Country: "germany"}, euWest, d.orders, d.now)
	d.Digest.Add(Sample{}, germany, euWest, d.orders, d.now)
	for i, want := range map[id]uint32{keyOf("DE", 0, true): 25_000, prefixID(netip.MustParsePrefix("9.9.9.0/24")): 50_000, prefixID(netip.MustParsePrefix("5.0.0.0/24")): 500_000} {
		m := d.keys.find(i)
		if !i.isKey() {
			m = d.prefixes.find(i)
		}
		if m == nil || m.rtt != want {
			t.Errorf("%v has %+v, want %d µs", i, m, want)
		}
	}
	if len(d.prefixes.means) != 3 || len(d.keys.means) != 2 {
		t.Errorf("%d prefixes and %d keys, want 3 (with the /20 of no place) and 2", len(d.prefixes.means), len(d.keys.means))
	}
}

// A report is bounded, and what was told longest ago comes first: all is told in turn.
func TestReportsAreBounded(t *testing.T) {
	d := NewDigest(10)
	for i := range MaxDigestKeys + 100 {
		d.Add(Sample{netip.MustParsePrefix("5.0.0.0/24"), ms(50), 5}, geo.Place{Country: "DE", ASN: uint32(i + 1)}, euWest, nil, start)
	}
	if len(d.keys.means) != MaxDigestKeys || d.Dropped() != 101 { // the country is one of them
		t.Errorf("%d keys and %d dropped, want %d and 101", len(d.keys.means), d.Dropped(), MaxDigestKeys)
	}
	first, second, third := d.Report("eu-west", start), d.Report("eu-west", start), d.Report("eu-west", start)
	if first.Len() != MaxReport || first.Len()+second.Len() != MaxDigestKeys || third.Len() != 0 {
		t.Errorf("reports of %d, %d and %d, want %d, the rest of %d, and none", first.Len(), second.Len(), third.Len(), MaxReport, MaxDigestKeys)
	}
	for _, row := range first.rows {
		if len(second.rows.of(row.id)) > 0 {
			t.Fatalf("%v is told twice", row.id)
		}
	}
	if n := len(first.Append(nil)); n > 350<<10 {
		t.Errorf("a full report has %d bytes", n)
	}
	if n := d.Countries("eu-west", start).Len(); n != 1 {
		t.Errorf("%d countries, want 1", n)
	}
}

func TestToldPrefixesAreBounded(t *testing.T) {
	d := NewDigest(2 * MaxTold)
	for i := range MaxTold + 50 {
		d.get(&d.prefixes, prefixID(prefixNumber(i)), 1).weight = whole
		d.tell(prefixID(prefixNumber(i)))
	}
	if d.notable != MaxTold || d.Dropped() != 50 {
		t.Errorf("%d told and %d dropped, want %d and 50", d.notable, d.Dropped(), MaxTold)
	}
	for i := range 2 * MaxTold { // others push out those that are not told
		d.get(&d.prefixes, prefixID(prefixNumber(MaxTold+50+i)), 1).weight = 2 * whole
	}
	if d.notable < MaxTold-MaxTold/candidates || d.notable != len(d.told) || len(d.prefixes.means) != 2*MaxTold {
		t.Errorf("%d of %d told prefixes are left (%d), want most; %d prefixes", d.notable, MaxTold, len(d.told), len(d.prefixes.means))
	}
}

func TestSavedAndRestored(t *testing.T) {
	d := newDesk(t)
	for range 8 {
		for i := range 8 {
			d.sample(fmt.Sprintf("5.0.%d.0/24", i), ms(50), 10)
		}
		d.sample("5.0.3.0/24", ms(300), 30)
		d.report()
		d.epoch()
	}
	d.now = d.now.Add(HalfLife / 2)
	again := NewDigest(MaxDigest)
	for _, r := range d.Saved("eu-west", d.now) {
		parsed, err := ParseReport(r.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		again.Restore(parsed)
	}
	want, got := d.Saved("eu-west", d.now), again.Saved("eu-west", d.now)
	if len(want) != 1 || len(got) != 1 || !slices.Equal(want[0].rows, got[0].rows) || again.notable != 1 {
		t.Errorf("saved %v, restored %v with %d prefixes told", want, got, again.notable)
	}
	if n := again.Report("eu-west", d.now).Len(); n != want[0].Len() {
		t.Errorf("after a restart %d counts are told, want all %d", n, want[0].Len())
	}
}

// A full digest beside a full model takes no more than it should, and so does what a compile makes of it.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory")
	}
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	l := newLab(t)
	before := held()
	d := NewDigest(MaxDigest)
	for i := range MaxDigest + MaxDigest/10 {
		m := d.get(&d.prefixes, prefixID(prefixNumber(i)), 1)
		m.weight, m.rtt = whole, 50_000
	}
	for i := range MaxTold {
		d.tell(prefixID(prefixNumber(MaxDigest + i)))
	}
	for i := range MaxDigestKeys {
		m := d.get(&d.keys, keyOf("DE", uint32(i+1), true), 1)
		m.weight = whole
		d.told[m.id] = told{}
	}
	digest := held()
	if len(d.prefixes.means) != MaxDigest || digest-before > 30<<20 {
		t.Errorf("a digest of %d prefixes takes %.1f MiB, want at most 30", len(d.prefixes.means), mib(digest-before))
	}
	random := rand.New(rand.NewPCG(1, 1))
	for n := range 30 {
		var rows []row
		for i := range MaxReport / 2 {
			rows = append(rows, row{id: prefixID(prefixNumber(n*MaxReport/2 + i)), rtt: uint32(1000 * random.IntN(300)), weight: uint16(500 * whole)},
				row{id: keyOf("DE", uint32(n*MaxReport/2+i+1), true), rtt: 50_000, weight: uint16(500 * whole)})
		}
		l.tell("eu-west", rows...)
	}
	l.epoch()
	l.orders = nil
	model := held()
	if len(l.told) != MaxKeys+MaxPrefixes || model-digest > 30<<20 {
		t.Errorf("a model of %d counts takes %.1f MiB, want %d and at most 30", len(l.told), mib(model-digest), MaxKeys+MaxPrefixes)
	}
	t.Logf("digest of %d prefixes and %d keys: %.1f MiB; model of %d counts: %.1f MiB", len(d.prefixes.means), MaxDigestKeys, mib(digest-before), len(l.told), mib(model-digest))
	runtime.KeepAlive(d)
	runtime.KeepAlive(l)
}
