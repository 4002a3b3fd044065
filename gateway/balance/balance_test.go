package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func upstreams(east, west string) *Upstreams {
	u := &Upstreams{}
	u.Update(map[geo.RegionID][]string{"east": strings.Fields(east), "west": strings.Fields(west)})
	return u
}

var both = []geo.RegionID{"east", "west"}

func TestPickLeastOutstandingAndRotate(t *testing.T) {
	u := upstreams("a b c", "d")
	var got []string
	var picks []Pick
	for range 7 {
		p, _ := u.Pick(both, nil, start)
		picks = append(picks, p)
		got = append(got, p.Address)
	}
	if want := strings.Fields("a b c a b c a"); !slices.Equal(got, want) {
		t.Errorf("ties give %v, want %v", got, want)
	}
	u.Release(picks[2])
	if p, _ := u.Pick(both, nil, start); p.Address != "c" {
		t.Errorf("least outstanding is %v, want c", p.Address)
	}
	tried := []*Endpoint{picks[0].Endpoint, picks[1].Endpoint, picks[2].Endpoint}
	if p, _ := u.Pick(both, tried, start); p.Address != "d" {
		t.Errorf("with all of east tried: %v, want d", p.Address)
	}
	if p, ok := u.Pick(both[:1], tried, start); ok {
		t.Errorf("with all of east tried and no other region: %v, want none", p.Address)
	}
	if p, ok := u.Pick([]geo.RegionID{"north"}, nil, start); ok {
		t.Errorf("of an unknown region: %v, want none", p.Address)
	}
}

// A timeline of one service with a in east and b in west. Events: "fail" and "take" are connects of the next pick;
// "start" leaves it under way, "end" ends it without a connect.
func TestEjection(t *testing.T) {
	u := upstreams("a", "b")
	rng := rand.New(rand.NewPCG(1, 1))
	now := start
	var open Pick
	for i, row := range []struct {
		after  time.Duration
		event  string
		want   string // the endpoint picked
		lo, hi time.Duration
	}{
		{0, "fail", "a", 0, 0},
		{0, "fail", "a", 0, 0},
		{0, "take", "a", 0, 0}, // the count starts again
		{0, "fail", "a", 0, 0},
		{0, "fail", "a", 0, 0},
		{0, "fail", "a", 27 * time.Second, 33 * time.Second},
		{0, "take", "b", 0, 0},
		{26 * time.Second, "take", "b", 0, 0},
		{8 * time.Second, "start", "a", 0, 0}, // the probe
		{0, "take", "b", 0, 0},                // only one
		{0, "end", "a", 0, 0},
		{0, "fail", "a", 54 * time.Second, 66 * time.Second}, // the next probe fails
		{67 * time.Second, "fail", "a", 81 * time.Second, 99 * time.Second},
		{0, "fail", "b", 0, 0},
		{0, "fail", "b", 0, 0},
		{0, "fail", "b", 0, 0}, // never the last one
		{0, "fail", "b", 0, 0},
		{99 * time.Second, "take", "a", 0, 0},                // readmitted
		{0, "fail", "a", 0, 0},                               //
		{0, "fail", "a", 0, 0},                               //
		{0, "fail", "a", 27 * time.Second, 33 * time.Second}, // from the first step again
	} {
		now = now.Add(row.after)
		p := open
		if row.event != "end" {
			p, _ = u.Pick(both, nil, now)
		}
		var out time.Duration
		switch row.event {
		case "fail":
			out = u.ConnectFailed(p, now, rng)
		case "take":
			u.Connected(p)
		}
		if row.event == "start" {
			open = p
		} else {
			u.Release(p)
		}
		if p.Address != row.want || out < row.lo || out > row.hi {
			t.Fatalf("row %d: %s: %s out for %v, want %s for %v to %v", i, row.event, p.Address, out, row.want, row.lo, row.hi)
		}
	}
}

func TestEjectionIsCapped(t *testing.T) {
	u := upstreams("a", "b")
	rng := rand.New(rand.NewPCG(1, 1))
	now := start
	longest := time.Duration(0)
	for range 100 {
		p, _ := u.Pick(both[:1], nil, now)
		d := u.ConnectFailed(p, now, rng)
		u.Release(p)
		longest = max(longest, d)
		now = now.Add(d)
	}
	if longest != outMax {
		t.Errorf("longest ejection = %v, want %v", longest, outMax)
	}
}

func TestUpdateKeepsState(t *testing.T) {
	u := upstreams("a b", "c")
	p, _ := u.Pick(both, nil, start)
	u.Update(map[geo.RegionID][]string{"east": {"b", "a", "a"}})
	if q, _ := u.Pick(both, nil, start); p.Address != "a" || q.Address != "b" {
		t.Errorf("after a was picked and the list turned round: %s, want b", q.Address)
	}
	if got, want := u.Order("west", nil), []geo.RegionID{"east"}; !slices.Equal(got, want) {
		t.Errorf("Order = %v, want %v", got, want)
	}
}

func TestOrder(t *testing.T) {
	u := &Upstreams{}
	u.Update(map[geo.RegionID][]string{"a": {"1"}, "b": {"1"}, "c": {"1"}, "d": {"1"}, "e": {"1"}})
	if got, want := fmt.Sprint(u.Order("c", []geo.RegionID{"x", "e", "c", "b"})), "[c e b a d]"; got != want {
		t.Errorf("Order = %s, want %s", got, want)
	}
}

// Any run of events keeps what the package promises.
func TestAnyRun(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		u := upstreams("a b c", "d e")
		now := start
		var open []Pick
		for range 300 {
			now = now.Add(time.Duration(rng.IntN(20)) * time.Second)
			if p, ok := u.Pick(both, nil, now); ok {
				open = append(open, p)
			} else {
				t.Fatalf("seed %d: nothing offered", seed)
			}
			for len(open) > 0 && rng.IntN(3) > 0 {
				i := rng.IntN(len(open))
				if rng.IntN(4) > 0 {
					u.ConnectFailed(open[i], now, rng)
				} else {
					u.Connected(open[i])
				}
				u.Release(open[i])
				open = slices.Delete(open, i, i+1)
			}
			if u.in() == 0 {
				t.Fatalf("seed %d: all are out", seed)
			}
		}
		for _, p := range open {
			u.Release(p)
		}
		for _, r := range u.regions {
			for _, e := range r.endpoints {
				if e.outstanding != 0 || e.probing {
					t.Fatalf("seed %d: %s has %d outstanding, probing %v", seed, e.Address, e.outstanding, e.probing)
				}
			}
		}
	}
}
