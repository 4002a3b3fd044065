package sim

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed of TestSeeds")
	seeds     = flag.Int("seeds", 120, "how many seeds TestSeeds runs")
)

// leastEvents is how many events a run must have to count as one.
const leastEvents = 100

// setting is that of a seed: five regions of one node, with every fifth seed having two in each.
func setting(t *testing.T, seed uint64) Setting {
	set := Setting{Seed: seed, Plan: goodPlan(t, "seeds"), Nodes: 1, Skew: time.Minute}
	if seed%25 == 0 {
		set.Nodes = 2
	}
	if seed%10 == 7 {
		set.Skew = time.Hour
	}
	return set
}

// Random faults never make a node answer what it must not, and afterwards all agree.
func TestSeeds(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 8) // one goroutine each: the race detector has little to see
	}
	other := goodPlan(t, "changed")
	var next, events atomic.Uint64
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for i := next.Add(1) - 1; i < uint64(n) && !t.Failed(); i = next.Add(1) - 1 {
				seed := *firstSeed + i
				s, violations := Chaos(setting(t, seed), other)
				events.Add(uint64(s.Events))
				if s.Events < leastEvents {
					t.Errorf("seed %d: %d events, want %d at least", seed, s.Events, leastEvents)
				}
				if len(violations) > 0 {
					t.Errorf("seed %d: again by: go test ./cmd/internal/sim -run TestSeeds -seed %d -seeds 1 -v\n%s", seed, seed, report(s, violations, n == 1))
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d seeds, %d events", n, events.Load())
}

// When nothing happens for long enough after the faults, members are full, and all nodes agree on which and how much.
func TestSeedsUntilSomebodyIsFull(t *testing.T) {
	n := min(*seeds, 20)
	if testing.Short() {
		n = 1
	}
	other := goodPlan(t, "changed")
	full := 0
	for i := range n {
		set := setting(t, *firstSeed+uint64(i))
		set.Quiet = 6 * time.Minute
		s, violations := Chaos(set, other)
		if len(violations) > 0 {
			t.Errorf("seed %d: %s", set.Seed, report(s, violations, false))
		}
		if s.hosts[0].snapshot.Spill != nil {
			full++
		}
	}
	t.Logf("%d seeds, in %d somebody was full", n, full)
	if full < n/4 {
		t.Errorf("in %d of %d seeds somebody was full, want a quarter at least", full, n)
	}
}

// report says what was violated, and when asked for a single seed all that happened.
func report(s *Sim, violations []string, all bool) string {
	text := ""
	for _, v := range violations {
		text += v + "\n"
	}
	if all {
		text += s.Log()
	}
	return text
}

// The same seed gives the same run, to the last line of every journal.
func TestSameSeedSameRun(t *testing.T) {
	other := goodPlan(t, "changed")
	for seed := range uint64(3) {
		a, _ := Chaos(setting(t, 25*seed+5), other)
		b, _ := Chaos(setting(t, 25*seed+5), other)
		if a.Log() != b.Log() || a.Events != b.Events || fmt.Sprint(a.Violations()) != fmt.Sprint(b.Violations()) {
			t.Errorf("seed %d: two runs differ", 25*seed+5)
		}
	}
}
