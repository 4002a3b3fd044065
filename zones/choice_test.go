package zones

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// TestSamples: each leaf is in as many sets as its weight wants, but for those that would be in more than all; no set has one twice.
func TestSamples(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 5))
		n := 2 + r.IntN(100)
		size := 1 + r.IntN(min(n-1, 31))
		shares := make([]share, n)
		for i := range shares {
			shares[i] = share{leaf: i, weight: 1 + r.Uint64N(1<<r.IntN(40))}
		}
		sets := samples(shares, size, seed)
		if len(sets) > maxSets {
			t.Fatalf("seed %d: %d sets of %d leaves, want at most %d", seed, len(sets), n, maxSets)
		}
		in, total := make([]float64, n), 0.0
		for _, s := range sets {
			if len(s.leaves) != size || len(slices.Compact(slices.Clone(s.leaves))) != size {
				t.Fatalf("seed %d: set %v, want %d leaves, each once", seed, s.leaves, size)
			}
			total += float64(s.weight)
			for _, leaf := range s.leaves {
				in[leaf] += float64(s.weight)
			}
		}
		most := 1e-4
		if n > maxSets {
			most = 1.0 / maxSets
		}
		for leaf, want := range wantedShares(shares, size) {
			if got := in[leaf] / total; got < want-most || got > want+most {
				t.Fatalf("seed %d: leaf %d of %d is in %.4f of the sets of %d, want %.4f", seed, leaf, n, got, size, want)
			}
		}
	}
}

// wantedShares is in which part of the answers each leaf is to be, worked out the slow way: whoever would be in more than all is in all.
func wantedShares(shares []share, size int) []float64 {
	wanted := make([]float64, len(shares))
	for {
		total, room, over := 0.0, float64(size), false
		for i, s := range shares {
			if wanted[i] == 1 {
				room--
			} else {
				total += float64(s.weight)
			}
		}
		for i, s := range shares {
			if wanted[i] != 1 && room*float64(s.weight) >= total {
				wanted[i], over = 1, true
				break
			}
		}
		if !over {
			for i, s := range shares {
				if wanted[i] != 1 {
					wanted[i] = room * float64(s.weight) / total
				}
			}
			return wanted
		}
	}
}

// stickyWorld has pools with so many members of growing weight, one member an answer and three.
func stickyWorld(members int, policy Policy) string {
	var b strings.Builder
	b.WriteString("regions: {us: {coordinates: [39, -77]}}\nchecks: {c: {type: tcp, port: 80}}\npools:\n")
	for _, answers := range []int{1, 3} {
		fmt.Fprintf(&b, "  p%d:\n    policy: %s\n    check: c\n    sticky: prefix\n    answers: %d\n    slow_start: 0s\n    members:\n", answers, policy, answers)
		for i := range members {
			weight := ""
			if policy == Weighted {
				weight = fmt.Sprintf(", weight: %d", 1+i%3)
			}
			fmt.Fprintf(&b, "      - {endpoint: e%d, region: us, address: 192.0.2.%d%s}\n", i, i, weight)
		}
	}
	return b.String()
}

// membersOf is what a prefix is answered by a pool.
func membersOf(p *PoolAnswers, client int) []string {
	prefix, _ := Client{Source: netip.AddrFrom4([4]byte{byte(20 + client>>16), byte(client >> 8), byte(client), 1})}.Prefix(7)
	var names []string
	for _, m := range p.Groups[0].Families[IPv4].Pick(0, prefix).Members {
		names = append(names, p.Plan.Leaves[m].Endpoint)
	}
	return names
}

// TestStickyMovesOnlyWhatItMust: when one of N members goes, only the prefixes that had it get another, and keep what else they had; when
// it comes back all is as before. Each has its weight's share of the prefixes.
func TestStickyMovesOnlyWhatItMust(t *testing.T) {
	const clients = 20_000
	for _, policy := range []Policy{Weighted, Multivalue} {
		for _, members := range []int{2, 5, 12, 40} {
			plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(stickyWorld(members, policy))}))
			before, after := publishWith(t, plan, "", ""), publishWith(t, plan, "e1=down", "")
			for number, p := range before.Pools {
				had := make(map[string]int)
				for client := range clients {
					was, is := membersOf(p, client), membersOf(after.Pools[number], client)
					for _, name := range was {
						had[name]++
						if name != "e1" && !slices.Contains(is, name) {
							t.Fatalf("%s of %d, %s: client %d had %v and has %v, though only e1 went", policy, members, p.Plan.Pool.Name, client, was, is)
						}
					}
					if slices.Contains(is, "e1") {
						t.Fatalf("%s of %d: client %d has %v, and e1 is down", policy, members, client, is)
					}
				}
				if p.Plan.Pool.Answers == 1 {
					checkShares(t, p, had, clients)
				}
			}
		}
	}
}

// checkShares compares how many prefixes have each endpoint with the weights, by chi-square at p = 0.001.
func checkShares(t *testing.T, p *PoolAnswers, had map[string]int, clients int) {
	t.Helper()
	c := &p.Groups[0].Families[IPv4]
	chi2 := 0.0
	for _, o := range c.Options {
		want := float64(clients) * float64(o.Weight) / float64(c.Total)
		got := float64(had[p.Plan.Leaves[o.Members[0]].Endpoint])
		chi2 += (got - want) * (got - want) / want
	}
	if limit := map[int]float64{1: 10.8, 4: 18.5, 11: 31.3, 39: 72.1}[len(c.Options)-1]; chi2 > limit {
		t.Errorf("%s: shares %v do not fit the weights: chi-square %.1f, at most %.1f", p.Plan.Pool.Name, had, chi2, limit)
	}
}

const rampWorld = `
regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}}
checks: {c: {type: tcp, port: 80}}
pools:
  weighted: {policy: weighted, check: c, members: [{endpoint: a, region: us, address: 192.0.2.1}, {endpoint: b, region: us, address: 192.0.2.2}]}
  quick: {policy: weighted, check: c, slow_start: 0s, members: [{endpoint: a, region: us, address: 192.0.2.1}, {endpoint: b, region: us, address: 192.0.2.2}]}
  auto: {policy: failover, check: c, members: [{endpoint: a, region: us, address: 192.0.2.1}, {endpoint: b, region: us, address: 192.0.2.2}]}
  ramp: {policy: failover, failback: ramp, slow_start: 60s, check: c, members: [{endpoint: a, region: us, address: 192.0.2.1}, {endpoint: b, region: us, address: 192.0.2.2}]}
  manual: {policy: failover, failback: manual, check: c, members: [{endpoint: a, region: us, address: 192.0.2.1}, {endpoint: b, region: us, address: 192.0.2.2}]}
  alone: {policy: weighted, check: c, members: [{endpoint: a, region: us, address: 192.0.2.1}]}
`

// recovered makes the statuses of endpoints that came back at some times after the start, and are up.
func recovered(plan *Plan, at map[string]time.Duration) *health.View {
	var list []health.Status
	for _, target := range plan.Targets {
		s := health.Status{Check: target.ID, State: health.Up, Measured: health.Up}
		if after, ok := at[target.Endpoint]; ok {
			s.Recovered = time.Unix(0, 0).Add(after)
		}
		list = append(list, s)
	}
	return health.NewView(list)
}

func TestRamp(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(rampWorld)}))
	for _, row := range []struct {
		why   string
		at    time.Duration
		back  map[string]time.Duration
		pool  string
		want  string
		until time.Duration // when it goes on; 0: not by itself
	}{
		{"a tenth of the prefixes at once", 0, map[string]time.Duration{"a": 0}, "weighted", "up: a*1 b*1 | 100-1000 b", 6 * time.Second},
		{"the same until the next step", 5 * time.Second, map[string]time.Duration{"a": 0}, "weighted", "up: a*1 b*1 | 100-1000 b", 6 * time.Second},
		{"a twentieth of the rest more at each step", 6 * time.Second, map[string]time.Duration{"a": 0}, "weighted", "up: a*1 b*1 | 145-1000 b", 12 * time.Second},
		{"more than half after half the time", 60 * time.Second, map[string]time.Duration{"a": 0}, "weighted", "up: a*1 b*1 | 550-1000 b", 66 * time.Second},
		{"all after slow_start", 120 * time.Second, map[string]time.Duration{"a": 0}, "weighted", "up: a*1 b*1", 0},
		{"two that come back one after the other", 60 * time.Second, map[string]time.Duration{"a": 0, "b": 60 * time.Second}, "weighted", "up: a*1 b*1 | 100-550 a", 66 * time.Second},
		{"two that come back together: nobody is left without", 0, map[string]time.Duration{"a": 0, "b": 0}, "weighted", "up: a*1 b*1", 6 * time.Second},
		{"who is alone has all at once", 0, map[string]time.Duration{"a": 0}, "alone", "up: a", 6 * time.Second},
		{"slow_start: 0s", 0, map[string]time.Duration{"a": 0}, "quick", "up: a*1 b*1", 0},
		{"failover goes back at once", 0, map[string]time.Duration{"a": 0}, "auto", "up: a", 0},
		{"failback: ramp", 30 * time.Second, map[string]time.Duration{"a": 0}, "ramp", "up: a | 550-1000 b", 33 * time.Second},
		{"whose second came back is none the wiser", 30 * time.Second, map[string]time.Duration{"b": 0}, "ramp", "up: a", 33 * time.Second},
	} {
		now := time.Unix(0, 0).Add(row.at)
		s := plan.Publish(nil, Inputs{Health: recovered(plan, row.back)}, Change{All: true}, now)
		if got := answerOf(t, s, row.pool, nobody, IPv4); got != row.want {
			t.Errorf("%s: %s at %v = %q, want %q", row.why, row.pool, row.at, got, row.want)
		}
		until := s.Pools[poolNumber(t, plan, row.pool)].Until
		if want := time.Unix(0, 0).Add(row.until); row.until == 0 && !until.IsZero() || row.until > 0 && !until.Equal(want) {
			t.Errorf("%s: %s at %v changes at %v, want %v", row.why, row.pool, row.at, until, want)
		}
	}
}

// TestRampMovesAClientOnce publishes as a node does, whenever the last snapshot expires: each prefix moves once, in the end all have.
func TestRampMovesAClientOnce(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(rampWorld)}))
	number := poolNumber(t, plan, "ramp")
	in := Inputs{Health: recovered(plan, map[string]time.Duration{"a": 0})}
	now := time.Unix(0, 0)
	s := plan.Publish(nil, in, Change{All: true}, now)
	moved := make([]bool, 2000)
	shares := []int{}
	for !s.Expires().IsZero() {
		back := 0
		for client := range moved {
			switch membersOf(s.Pools[number], client)[0] {
			case "a":
				moved[client] = true
				back++
			case "b":
				if moved[client] {
					t.Fatalf("client %d went back to b at %v", client, now)
				}
			}
		}
		if len(shares) == 0 || shares[len(shares)-1] != back {
			shares = append(shares, back)
		}
		now = s.Expires()
		next := plan.Publish(s, in, Change{}, now)
		if all := plan.Publish(nil, in, Change{All: true}, now); all.Digest != next.Digest {
			t.Fatalf("at %v: a publish of what the time changes = %v, of all = %v", now, next.Digest, all.Digest)
		}
		s = next
	}
	if first := shares[0]; first < 150 || first > 250 || len(shares) != rampSteps+1 {
		t.Errorf("of 2000 clients came back, step by step: %v, want about 200 at first and %d steps", shares, rampSteps)
	}
	if got := choiceText(s.Pools[number], &s.Pools[number].Groups[0].Families[IPv4]); got != "up: a" {
		t.Errorf("in the end = %q, want a", got)
	}
}

// byHand returns a control state with overlays and a latch.
func byHand(t *testing.T, text string) *control.State {
	t.Helper()
	s, err := control.Decode([]byte(`{"version":1,"epoch":1,"index":5,"time":"2026-01-01T00:00:00Z",` + text + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func overlayText(endpoint string, state control.Manual) string {
	return fmt.Sprintf(`{"endpoint":%q,"state":%q,"changed":"2026-01-01T00:00:00Z","epoch":1,"index":4,"actor":"op","reason":"test"}`, endpoint, state)
}

func TestManualStates(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(rampWorld)}))
	for _, row := range []struct {
		why, health string
		manual      control.Manual // of a
		pool, want  string
	}{
		{"force_down takes an endpoint out that is up", "", control.ForceDown, "auto", "up: b"},
		{"and it is not taken for up when all are down", "all=down", control.ForceDown, "auto", "open: b"},
		{"force_up answers with one that is down", "a=down", control.ForceUp, "auto", "up: a"},
		{"drain lets another go before", "", control.Drain, "auto", "up: b"},
		{"drain comes before one that is down", "b=down", control.Drain, "auto", "drain: a"},
		{"drain comes after one of which nothing is known", "b=unknown", control.Drain, "auto", "unknown: b"},
		{"drained and down comes last of all", "all=down", control.Drain, "auto", "open: b"},
		{"drained and down is better than nothing", "all=down", control.Drain, "alone", "open: a"},
		{"force_down of the only one: nothing", "", control.ForceDown, "alone", "nodata:"},
	} {
		in := Inputs{Health: statuses(plan, row.health), Control: byHand(t, `"overlays":[`+overlayText("a", row.manual)+`]`)}
		s := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
		if got := answerOf(t, s, row.pool, nobody, IPv4); got != row.want {
			t.Errorf("%s: %s = %q, want %q", row.why, row.pool, got, row.want)
		}
	}
}
