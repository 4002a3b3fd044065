package rrl_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/meridian-gslb/meridian/dns/rrl"
)

const second = int64(1e9)

var (
	seed   = [16]byte{1, 2, 3}
	client = netip.MustParseAddr("192.0.2.1")
	www    = []byte("\x03www\x07example\x03com\x00")
)

func limits(change func(*rrl.Limits)) rrl.Limits {
	l := rrl.Default()
	l.Rate = 5
	if change != nil {
		change(&l)
	}
	return l
}

// row counts what becomes of n answers at one instant.
func row(t *rrl.Table, from netip.Addr, kind rrl.Kind, name []byte, now int64, n int) string {
	var text []byte
	for range n {
		text = append(text, "pLsd"[t.Judge(from, kind, name, now)])
	}
	return string(text)
}

func TestTimeline(t *testing.T) {
	for _, test := range []struct {
		reason string
		limits rrl.Limits
		steps  []any // ns after the start, answers, what becomes of them
	}{
		{"a second's worth at once, then every second one slips", limits(nil), []any{int64(1), 9, "pppppdsds"}},
		{"it fills again at the rate", limits(nil), []any{
			int64(1), 5, "ppppp", second / 5, 1, "d", second/5 + 1, 2, "ps", 3 * second, 7, "pppppds"}},
		{"no slip", limits(func(l *rrl.Limits) { l.Slip = 0 }), []any{int64(1), 8, "pppppddd"}},
		{"all slip", limits(func(l *rrl.Limits) { l.Slip = 1 }), []any{int64(1), 8, "pppppsss"}},
		{"leak comes before slip", limits(func(l *rrl.Limits) { l.Slip, l.Leak = 2, 4 }), []any{int64(1), 13, "pppppdsdLdsdL"}},
		{"exempt", limits(func(l *rrl.Limits) { l.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.0.0/16")} }),
			[]any{int64(1), 9, "ppppppppp"}},
		{"somebody else is exempt", limits(func(l *rrl.Limits) { l.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.3.0/24")} }),
			[]any{int64(1), 7, "pppppds"}},
	} {
		table := rrl.New(test.limits, seed)
		for i := 0; i < len(test.steps); i += 3 {
			now, n, want := test.steps[i].(int64), test.steps[i+1].(int), test.steps[i+2].(string)
			if got := row(table, client, rrl.Answer, www, now, n); got != want {
				t.Errorf("%s: at %d ns: %s, want %s", test.reason, now, got, want)
			}
		}
	}
}

// What shares a bucket with 192.0.2.1's answers about www.example.com, and what does not.
func TestBuckets(t *testing.T) {
	for _, test := range []struct {
		reason string
		from   string
		kind   rrl.Kind
		name   string
		shares bool
	}{
		{"the same network", "192.0.2.255", rrl.Answer, "\x03www\x07example\x03com\x00", true},
		{"another case", "192.0.2.1", rrl.Answer, "\x03wWw\x07EXAMPLE\x03com\x00", true},
		{"another network", "192.0.3.1", rrl.Answer, "\x03www\x07example\x03com\x00", false},
		{"another kind", "192.0.2.1", rrl.NoData, "\x03www\x07example\x03com\x00", false},
		{"another name", "192.0.2.1", rrl.Answer, "\x03wwv\x07example\x03com\x00", false},
		{"a longer name", "192.0.2.1", rrl.Answer, "\x03www\x07example\x03com\x00\x00", false},
		{"IPv6 with the same bytes", "c000:200::", rrl.Answer, "\x03www\x07example\x03com\x00", false},
	} {
		table := rrl.New(limits(nil), seed)
		row(table, client, rrl.Answer, www, 1, 5)
		got := table.Judge(netip.MustParseAddr(test.from), test.kind, []byte(test.name), 1) != rrl.Pass
		if got != test.shares {
			t.Errorf("%s: shares the bucket %v, want %v", test.reason, got, test.shares)
		}
	}
	table := rrl.New(limits(nil), seed)
	row(table, netip.MustParseAddr("2001:db8:1:200::1"), rrl.Answer, www, 1, 5)
	if table.Judge(netip.MustParseAddr("2001:db8:1:2ff::"), rrl.Answer, www, 1) == rrl.Pass {
		t.Error("the same /56 has another bucket")
	}
	if table.Judge(netip.MustParseAddr("2001:db8:1:300::"), rrl.Answer, www, 1) != rrl.Pass {
		t.Error("another /56 has the same bucket")
	}
}

// A twin keeps a bucket for everybody, in a map, and counts what it holds instead of when it is full.
type twin struct {
	limits  rrl.Limits
	buckets map[string]*twinBucket
}

type twinBucket struct {
	holds, at int64 // ns
	over      int
}

func (w *twin) judge(from netip.Addr, kind rrl.Kind, name []byte, now int64) rrl.Action {
	bits := w.limits.IPv6
	if from.Is4() {
		bits = w.limits.IPv4
	}
	network, err := from.Prefix(bits)
	if err != nil {
		panic(err)
	}
	key := fmt.Sprint(network, kind, string(bytes.ToLower(name)))
	cost := second / int64(w.limits.Rate)
	most := cost * int64(w.limits.Rate)
	b := w.buckets[key]
	if b == nil {
		b = &twinBucket{holds: most, at: now}
		w.buckets[key] = b
	}
	b.holds, b.at = min(most, b.holds+now-b.at), now
	if b.holds >= cost {
		b.holds -= cost
		return rrl.Pass
	}
	for _, p := range w.limits.Exempt {
		if p.Contains(from) {
			return rrl.Pass
		}
	}
	b.over++
	switch {
	case w.limits.Leak > 0 && b.over%w.limits.Leak == 0:
		return rrl.Leak
	case w.limits.Slip > 0 && b.over%w.limits.Slip == 0:
		return rrl.Slip
	}
	return rrl.Drop
}

func TestTwin(t *testing.T) {
	for s := range uint64(20) {
		rnd := rand.New(rand.NewPCG(s, 1))
		l := rrl.Limits{
			Rate: 1 + rnd.IntN(30), Slip: rnd.IntN(4), Leak: rnd.IntN(6), IPv4: 8 + rnd.IntN(25), IPv6: 30 + rnd.IntN(35), Entries: 1 << 16,
			Exempt: []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16"), netip.MustParsePrefix("2001:db8:3::/48")},
		}
		table, w := rrl.New(l, [16]byte{byte(s)}), twin{l, make(map[string]*twinBucket)}
		var seen [4]int
		now := int64(1)
		for i := range 50_000 {
			now += rnd.Int64N(1 << rnd.IntN(25))
			from := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4)), byte(rnd.IntN(2)), byte(rnd.IntN(2))})
			if rnd.IntN(2) == 0 {
				from = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(rnd.IntN(4)), 0, byte(rnd.IntN(4)), 15: byte(rnd.Uint32())})
			}
			name := [][]byte{www, []byte("\x01A\x07example\x00"), []byte("\x01a\x07exAmple\x00"), {0}}[rnd.IntN(4)]
			kind := rrl.Kind(rnd.IntN(2))
			got, want := table.Judge(from, kind, name, now), w.judge(from, kind, name, now)
			if got != want {
				t.Fatalf("seed %d, answer %d: Judge = %d, want %d", s, i, got, want)
			}
			seen[got]++
		}
		if seen[rrl.Pass] < 1000 || l.Slip+l.Leak == 0 && seen[rrl.Drop] < 1000 {
			t.Errorf("seed %d: %v of each action: not varied enough", s, seen)
		}
	}
}

// What is given back can be taken once more, and a bucket never holds more than it can.
func TestGiveBack(t *testing.T) {
	table := rrl.New(limits(func(l *rrl.Limits) { l.Rate, l.Slip, l.Leak = 3, 0, 0 }), [16]byte{})
	from := netip.MustParseAddr("192.0.2.1")
	b := table.Bucket(from, rrl.Answer, nil)
	passed := func() (n int) {
		for table.Take(b, from, 1) == rrl.Pass {
			n++
		}
		return n
	}
	for range 5 {
		table.GiveBack(b)
	}
	if got := passed(); got != 3 {
		t.Errorf("a full bucket that is given something holds %d, want 3", got)
	}
	table.GiveBack(b)
	table.GiveBack(b)
	if got := passed(); got != 2 {
		t.Errorf("an empty bucket that is given two holds %d", got)
	}
}

// A table that is far too small forgets, but who asks little is never limited in it, and who asks too much is still limited
// while others come and go.
func TestFullTableErrsTowardsAnswering(t *testing.T) {
	table := rrl.New(limits(func(l *rrl.Limits) { l.Entries = 64 }), seed)
	dropped := 0
	for i := range 10_000 {
		now := int64(i + 1)
		stranger := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		if got := table.Judge(stranger, rrl.Answer, www, now); got != rrl.Pass {
			t.Fatalf("stranger %d: Judge = %d, want pass", i, got)
		}
		if table.Judge(client, rrl.Answer, www, now) != rrl.Pass {
			dropped++
		}
	}
	if dropped < 9_900 {
		t.Errorf("%d of 10,000 answers of a flood were over the bound, want nearly all", dropped)
	}
}

func TestNoAllocations(t *testing.T) {
	table := rrl.New(rrl.Default(), seed)
	now := int64(0)
	if allocs := testing.AllocsPerRun(1000, func() { now += 1000; table.Judge(client, rrl.Answer, www, now) }); allocs != 0 {
		t.Errorf("Judge allocates %v times", allocs)
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, bench := range []struct {
		name     string
		networks uint32
	}{{"one network", 1}, {"100,000 networks", 100_000}} {
		b.Run(bench.name, func(b *testing.B) {
			table := rrl.New(rrl.Default(), seed)
			var n uint32
			now := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				now += 250
				n++
				k := n % bench.networks << 8
				table.Judge(netip.AddrFrom4([4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), 1}), rrl.Answer, www, now)
			}
		})
	}
}
