package rtt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

// A timeline of what the gateway of eu-west says of German clients, an hour at a time, and whom they are sent to. Those of
// us-east are known to take 100 ms.
func TestModelLearnsWithHysteresis(t *testing.T) {
	l := settled(t)
	for _, step := range []struct {
		why   string
		rtt   float64
		count float64
		want  geo.RegionID
	}{
		{"distance alone", 0, 0, "eu-west"},
		{"a few slow samples weigh less than the distance", 300, 3, "eu-west"},
		{"second is faster but not by enough", 112, 1000, "eu-west"},
		{"a gain worth a move", 135, 1000, "us-east"},
		{"back, but not by enough", 95, 1000, "us-east"},
		{"back by enough", 60, 1000, "eu-west"},
	} {
		for range 12 {
			l.tell("us-east", count(anyDE, usEast, 100, 1000))
			if step.count > 0 {
				l.tell("eu-west", count(anyDE, euWest, step.rtt, step.count))
			}
			l.epoch()
		}
		if got := l.first("5.0.0.1"); got != step.want {
			t.Errorf("%s: first region = %s, want %s", step.why, got, step.want)
		}
	}
}

// A model that has just started follows what it hears at once: its orders have not been in force for long enough to be kept.
func TestYoungModelFollows(t *testing.T) {
	slow := count(anyDE, euWest, 300, 1000)
	young, grown := newLab(t), settled(t)
	for i, l := range []*lab{young, grown} {
		before := l.orders
		l.tell("eu-west", slow)
		changed := l.epoch()
		if !l.Adopt(before) || l.Adopt(l.orders) {
			t.Errorf("lab %d: it does not say which of two pictures is late", i)
		}
		if got, want := l.first("5.0.0.1") != "eu-west", i == 0; got != want || changed != true {
			t.Errorf("lab %d: moved %v after an epoch, want %v; a compile is worth it: %v, want true", i, got, want, changed)
		}
	}
	grown.tell("eu-west", slow)
	if grown.epoch() {
		t.Error("a second epoch with the same news is worth a compile")
	}
	if !grown.epoch() || grown.first("5.0.0.1") == "eu-west" {
		t.Error("after three epochs a grown model has not moved")
	}
}

// Within an epoch nothing moves, however much is heard.
func TestOncePerEpoch(t *testing.T) {
	l := newLab(t)
	l.epoch()
	before := l.Model.Orders()
	l.tell("eu-west", count(anyDE, euWest, 300, 1000))
	if l.Advance(l.now.Add(EpochLength/2)) || l.Model.Orders() != before {
		t.Error("the picture changed within an epoch")
	}
	if l.Advance(l.now.Add(-EpochLength)) {
		t.Error("the picture changed as time went back")
	}
}

// Numbers that move nobody are shown after half an hour, at the first sight at once; without news there is nothing to show.
func TestWhatIsWorthACompile(t *testing.T) {
	l := settled(t)
	near := count(anyDE, euWest, 46, 100)
	worth := 0
	for i := range 4 * refreshEpochs {
		l.tell("eu-west", near)
		near.weight++
		if l.epoch() {
			worth++
			if i%refreshEpochs != 0 {
				t.Errorf("epoch %d is worth a compile", i)
			}
		}
	}
	if worth != 4 {
		t.Errorf("%d of %d epochs were worth a compile, want 4", worth, 4*refreshEpochs)
	}
	for i := range 4 * refreshEpochs {
		if l.epoch() && i >= refreshEpochs {
			t.Errorf("epoch %d without news is worth a compile", i)
		}
	}
	l.config.Explore = true
	l.Adopt(l.Model.Orders().For(l.config))
	for range 2 {
		if !l.epoch() {
			t.Error("an epoch is not worth a compile though prefixes are explored")
		}
	}
}

// Models that have heard the same reports, each source's in order but otherwise in any, know the same.
func TestModelsAgree(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 3))
		labs := []*lab{newLab(t), newLab(t), newLab(t)}
		for range 20 {
			byRegion := make([][]Report, 2*len(regions))
			for s := range byRegion {
				r := regions[s%len(regions)]
				for range random.IntN(4) {
					rows := []row{count(germany, r, float64(30+random.IntN(200)), float64(1+random.IntN(999))), count(anyDE, r, float64(30+random.IntN(200)), float64(1+random.IntN(999)))}
					for i := range random.IntN(5) {
						rows = append(rows, countPrefix(fmt.Sprintf("5.0.%d.0/24", i), float64(20+random.IntN(300)), float64(1+random.IntN(999))))
					}
					byRegion[s] = append(byRegion[s], reportOf(r.ID, labs[0].now, rows...))
				}
			}
			for n, l := range labs {
				shuffled := rand.New(rand.NewPCG(seed, uint64(n)))
				next := make([]int, len(byRegion))
				for left := true; left; {
					left = false
					for _, s := range shuffled.Perm(len(byRegion)) {
						if next[s] < len(byRegion[s]) {
							l.Replace(fmt.Sprint("gateway-", s), byRegion[s][next[s]], l.now)
							next[s]++
							left = true
						}
					}
				}
				l.epoch()
			}
		}
		for _, l := range labs[1:] {
			if got, want := describe(l), describe(labs[0]); got != want {
				t.Fatalf("seed %d: a model that heard the same in another order says\n%s\nwant\n%s", seed, got, want)
			}
		}
	}
}

// describe is all that a model says of a few clients.
func describe(l *lab) (s string) {
	for _, client := range []string{"5.0.0.1", "5.0.1.1", "5.0.2.1", "5.0.3.1", "5.128.0.1", "7.0.0.1", "2.0.0.1", "2a00::1"} {
		s += fmt.Sprintln(client, l.order(client), l.estimate(client, euWest), l.estimate(client, usEast), l.estimate(client, apSouth))
	}
	return s
}

func TestForgetAndReplace(t *testing.T) {
	l := newLab(t)
	l.tell("eu-west", count(anyDE, euWest, 300, 1000))
	l.epoch()
	before := l.orders
	if !l.Forget("gateway-eu-west") || l.Forget("gateway-eu-west") {
		t.Error("Forget does not say whether there was something to forget")
	}
	l.epoch()
	if e := l.estimate("5.0.0.1", euWest); e.From != "distance" {
		t.Errorf("after Forget the estimate is %+v", e)
	}
	l.Replace("another", reportOf("us-east", l.now, count(anyDE, usEast, 10, 1000)), l.now) // in the place of the first
	l.epoch()
	if e := before.Estimate(anyDE, 0, euWest); e.Samples == 0 {
		t.Errorf("a picture from before was changed: %+v", e)
	}
	if e := l.estimate("5.0.0.1", euWest); e.From != "distance" {
		t.Errorf("what another source says counts for the region of the forgotten one: %+v", e)
	}
	l.Replace("another", reportOf("ap-south", l.now, count(anyDE, apSouth, 10, 500)), l.now)
	l.epoch()
	if us, ap := l.estimate("5.0.0.1", usEast), l.estimate("5.0.0.1", apSouth); us.From != "distance" || ap.Samples < 490 {
		t.Errorf("a source that moved counts as %+v where it was and %+v where it is", us, ap)
	}
}

func TestSourcesAreBounded(t *testing.T) {
	m := New()
	for i := range MaxSources + 5 {
		taken := m.Replace(fmt.Sprint(i), reportOf("us-east", start), start)
		if want := i < MaxSources; taken != want {
			t.Fatalf("Replace of source %d = %v, want %v", i, taken, want)
		}
	}
	if !m.Replace("0", reportOf("eu-west", start), start) {
		t.Error("Replace of a known source refused when full")
	}
	m.Forget("7")
	if !m.Replace("one more", reportOf("eu-west", start), start) {
		t.Error("Replace refused though a source was forgotten")
	}
}

// A report of the version before counts only as long as its source sends no other.
func TestOldReports(t *testing.T) {
	l := newLab(t)
	old := func(rtt float64) {
		r, err := ParseReport(reportOf("eu-west", l.now, count(anyDE, euWest, rtt, 100)).AppendOld(nil))
		if err != nil {
			t.Fatal(err)
		}
		l.Replace("gateway-eu-west", r, l.now)
	}
	for _, step := range []struct {
		why  string
		tell func()
		want uint32
		near float64
	}{
		{"an old one is taken", func() { old(200) }, 100, 163},
		{"a newer old one replaces it", func() { old(100) }, 100, 87},
		{"a present one replaces both", func() { l.tell("eu-west", count(germany, euWest, 60, 30)) }, 30, 53},
		{"an old one is passed over then", func() { old(200) }, 30, 53},
	} {
		step.tell()
		l.epoch()
		e := l.estimate("5.0.0.1", euWest)
		if got := float64(e.RTT.Microseconds()) / 1000; e.Samples+2 < step.want || e.Samples > step.want || got < step.near-1.5 || got > step.near+1.5 {
			t.Errorf("%s: %+v, want about %v ms by %d samples", step.why, e, step.near, step.want)
		}
	}
}

// A sender whose clock is ahead does not keep what it says from ageing.
func TestClockAhead(t *testing.T) {
	l := newLab(t)
	l.Replace("gateway", reportOf("eu-west", l.now.Add(1000*EpochLength), count(anyDE, euWest, 300, 400)), l.now)
	for range halfEpochs {
		l.epoch()
	}
	if e := l.estimate("5.0.0.1", euWest); e.Samples != 200 {
		t.Errorf("after a half-life %d samples of 400 count", e.Samples)
	}
}

// A picture stays what it was while the model goes on.
func TestPicturesStay(t *testing.T) {
	l := newLab(t)
	type kept struct {
		lab  lab
		said string
	}
	var pictures []kept
	random := rand.New(rand.NewPCG(1, 7))
	for range 30 {
		for _, r := range regions {
			l.tell(r.ID, count(germany, r, float64(30+random.IntN(200)), 900), count(anyDE, r, float64(30+random.IntN(200)), 900),
				countPrefix(fmt.Sprintf("5.0.%d.0/24", random.IntN(4)), float64(20+random.IntN(300)), 900))
		}
		l.epoch()
		pictures = append(pictures, kept{*l, describe(l)})
	}
	l.Forget("gateway-us-east")
	l.epoch()
	l.config.Places = testPlaces(t)
	l.Adopt(l.orders.For(l.config))
	l.epoch()
	for i := range pictures {
		if got := describe(&pictures[i].lab); got != pictures[i].said {
			t.Errorf("picture %d says\n%s\nand said\n%s", i, got, pictures[i].said)
		}
	}
}

// Past its limits a model keeps what weighs most, and says how much it dropped. Between two epochs it takes much more than waits.
func TestMemoryIsCapped(t *testing.T) {
	old, now := uint32(EpochOf(start)), uint32(EpochOf(start))+uint32(halfEpochs)
	var all rows
	for i := range 3000 {
		all = append(all, row{id: keyOf("DE", uint32(i+1), true), weight: uint16(whole + i), epoch: now}, row{id: prefixID(prefixNumber(i)), weight: uint16(7000 - 2*i), epoch: old})
	}
	slices.SortFunc(all, row.compare)
	kept, dropped := merge(nil, all, now, 1000, 500)
	keys := len(kept) - len(kept.from(prefixBit))
	if keys != 1000 || len(kept)-keys != 500 || dropped != 4500 {
		t.Fatalf("kept %d keys and %d prefixes, dropped %d, want 1000, 500, 4500", keys, len(kept)-keys, dropped)
	}
	for _, r := range kept {
		if w := r.now(now); r.id.isKey() && w < whole+2000 || !r.id.isKey() && w < 3000 {
			t.Errorf("%v of weight %d was kept, others of more went", r.id, w)
		}
	}
	if !slices.IsSortedFunc(kept, row.compare) {
		t.Error("what is kept is out of order")
	}
	l := newLab(t)
	for n := range 20 {
		var many []row
		for i := range MaxReport {
			many = append(many, row{id: keyOf("DE", uint32(n*MaxReport+i+1), true), rtt: 50_000, expected: 40_000, weight: uint16(100 + n)})
		}
		l.tell("eu-west", many...)
		if len(l.pending) > maxPending+MaxReport || len(l.told) > MaxKeys {
			t.Fatalf("%d counts are pending and %d held", len(l.pending), len(l.told))
		}
	}
	l.epoch()
	if got, want := l.Dropped(), uint64(20*MaxReport-MaxKeys); len(l.told) != MaxKeys || got != want {
		t.Errorf("%d counts held and %d dropped, want %d and %d", len(l.told), got, MaxKeys, want)
	}
}
