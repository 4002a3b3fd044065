package demand

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

var start = Begin(1_000_000).Add(7 * time.Second)

type fataler interface {
	Fatal(args ...any)
	Errorf(format string, args ...any)
	Helper()
}

// A cluster of ledgers whose reports arrive as a test says.
type cluster struct {
	t       fataler
	now     time.Time
	nodes   map[string]*Ledger
	cut     func(from, to string) bool
	reports map[string]uint64 // epoch of each node's last report
	decides func(by string, l *Ledger) *zones.Spill
	log     []string                 // who decided
	off     map[string]time.Duration // by which clocks are wrong
}

func newCluster(t fataler, names ...string) *cluster {
	c := &cluster{t: t, now: start, nodes: make(map[string]*Ledger), cut: func(_, _ string) bool { return false }, reports: make(map[string]uint64)}
	for _, name := range names {
		c.nodes[name] = NewLedger(name, c.now)
	}
	return c
}

func (c *cluster) names() []string {
	var names []string
	for name := range c.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// run goes on for so long, second by second.
func (c *cluster) run(d time.Duration) {
	for range int(d / time.Second) {
		c.now = c.now.Add(time.Second)
		for _, name := range c.names() {
			l, now := c.nodes[name], c.now.Add(c.off[name])
			l.Advance(now)
			if c.reports[name] != l.Epoch() {
				c.reports[name] = l.Epoch()
				c.tell(name, l.Report([]Count{{Pool: "p", Group: 1, Answers: 60}, {Pool: "p", Group: 2, Answers: 30}}, true, now))
			}
			if l.Deciding(now) {
				c.log = append(c.log, name)
				spill := l.Spill()
				if c.decides != nil {
					spill = c.decides(name, l)
				}
				c.tell(name, l.Decide(spill, now))
			}
		}
	}
}

func (c *cluster) tell(from string, r Report) {
	read, err := ParseReport(r.Append(nil))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, to := range c.names() {
		if to != from && !c.cut(from, to) {
			c.nodes[to].Take(from, read, c.now.Add(c.off[to]))
		}
	}
}

func kept(perMille uint16) *zones.Spill {
	return zones.NewSpill([]zones.Kept{{Pool: "p", Member: "m", PerMille: perMille}})
}

func (c *cluster) want(why string, perMille map[string]uint16) {
	c.t.Helper()
	for name, want := range perMille {
		if got := c.nodes[name].Spill().PerMille("p", "m"); got != want {
			c.t.Errorf("%s: %s has m keep %d, want %d", why, name, got, want)
		}
	}
}

const window = Window * EpochLength

func TestTimeline(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	value := uint16(900)
	c.decides = func(string, *Ledger) *zones.Spill { value -= 10; return kept(value) }

	c.run(window - EpochLength)
	if len(c.log) > 0 {
		t.Errorf("before anybody has heard a window, %v decided", c.log)
	}
	c.run(Begin(EpochOf(c.now) + 2).Sub(c.now))
	c.want("the smallest decides for all", map[string]uint16{"a": 890, "b": 890, "c": 890})
	c.run(EpochLength)
	c.want("and again in the next epoch", map[string]uint16{"a": 880, "b": 880, "c": 880})
	if slices.ContainsFunc(c.log, func(name string) bool { return name != "a" }) {
		t.Errorf("%v decided, want only a", c.log)
	}

	delete(c.nodes, "a")
	c.log = nil
	c.decides = func(by string, l *Ledger) *zones.Spill { return kept(l.Spill().PerMille("p", "m") - 1) }
	c.run(EpochLength)
	c.want("the reference is silent: one report may be lost", map[string]uint16{"b": 880, "c": 880})
	c.run(2 * EpochLength)
	c.want("the reference is lost: the next one goes on from what is in force", map[string]uint16{"b": 878, "c": 878})

	c.nodes["a"] = NewLedger("a", c.now)
	c.run(EpochLength)
	c.want("one that is new goes by the decision of the others", map[string]uint16{"a": 877, "b": 877, "c": 877})
	c.log = nil
	c.run(window + 2*EpochLength)
	if c.log[0] != "b" || c.log[len(c.log)-1] != "a" {
		t.Errorf("%v decided, want b until a has heard a window, then a", c.log)
	}

	side := func(name string) bool { return name == "a" }
	c.cut = func(from, to string) bool { return side(from) != side(to) }
	c.decides = func(by string, _ *Ledger) *zones.Spill {
		return map[string]*zones.Spill{"a": kept(100), "b": kept(200), "c": kept(300)}[by]
	}
	c.run(4 * EpochLength)
	c.want("each part of the network has its own", map[string]uint16{"a": 100, "b": 200, "c": 200})
	c.cut = func(_, _ string) bool { return false }
	c.run(EpochLength)
	c.want("when it is whole again, who was alone does not decide for all", map[string]uint16{"b": 200, "c": 200})
	c.run(2 * EpochLength)
	c.want("and goes by the others' decision", map[string]uint16{"a": 200, "b": 200, "c": 200})
	c.run(2 * EpochLength)
	c.want("until it has heard enough", map[string]uint16{"a": 100, "b": 100, "c": 100})

	c.cut = func(_, to string) bool { return to == "c" }
	c.decides = func(by string, _ *Ledger) *zones.Spill {
		return map[string]*zones.Spill{"a": kept(500), "c": kept(300)}[by]
	}
	c.run(4 * EpochLength)
	c.want("who hears nobody decides for itself", map[string]uint16{"a": 500, "b": 500, "c": 300})
}

// TestGoingOnAfterAPartition: whoever was in which part, and for how long, nodes of the part that was larger go on step by step.
func TestGoingOnAfterAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}
		c := newCluster(t, names...)
		alone := rapid.SampledFrom(names).Draw(t, "alone")
		step := func(l *Ledger, by int) *zones.Spill { return kept(uint16(int(l.Spill().PerMille("p", "m")) + by)) }
		c.decides = func(_ string, l *Ledger) *zones.Spill { return step(l, -1) }
		c.run(window + 2*EpochLength)
		c.cut = func(from, to string) bool { return (from == alone) != (to == alone) }
		c.decides = func(by string, l *Ledger) *zones.Spill {
			if by == alone {
				return step(l, -100)
			}
			return step(l, -1)
		}
		c.run(time.Duration(rapid.IntRange(100, 240).Draw(t, "seconds")) * time.Second)
		c.cut = func(_, _ string) bool { return false }
		c.decides = func(_ string, l *Ledger) *zones.Spill { return step(l, -1) }
		before := make(map[string]uint16)
		for range 8 * int(EpochLength/time.Second) {
			for _, name := range names {
				now := c.nodes[name].Spill().PerMille("p", "m")
				if name != alone && before[name] != 0 && now != before[name] && now+1 != before[name] {
					t.Fatalf("%s goes from %d to %d in one step", name, before[name], now)
				}
				before[name] = now
			}
			c.run(time.Second)
		}
		for _, name := range names {
			if before[name] != before["b"] {
				t.Errorf("%s keeps %d, b %d", name, before[name], before["b"])
			}
		}
		if last := c.log[len(c.log)-1]; last != "a" {
			t.Errorf("%s decides in the end, want a", last)
		}
	})
}

// TestSleep: a node that slept does not decide before it has heard a window again.
func TestSleep(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.run(window + 2*EpochLength)
	asleep := c.nodes["a"]
	delete(c.nodes, "a")
	c.run(5 * EpochLength)
	c.nodes["a"], c.log = asleep, nil
	woken := c.now
	c.run(window - EpochLength)
	if slices.Contains(c.log, "a") {
		t.Errorf("%v decided in %v after a had slept", c.log, c.now.Sub(woken))
	}
	c.run(3 * EpochLength)
	if last := c.log[len(c.log)-1]; last != "a" {
		t.Errorf("%s decides in the end, want a", last)
	}
}

// TestOrder: in whatever order the reports of several nodes come, the same is in force from the same instant, and the same is wanted.
func TestOrder(t *testing.T) {
	plan := pools(t)
	rapid.Check(t, func(t *rapid.T) {
		now := Begin(1000)
		one, other := NewLedger("m", now), NewLedger("m", now)
		for range rapid.IntRange(1, 40).Draw(t, "instants") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
			type told struct {
				by     string
				report Report
			}
			var all []told
			for _, name := range []string{"a", "k", "z"} {
				for range rapid.IntRange(0, 2).Draw(t, name) { // of one node they come in order
					r := Report{Epoch: EpochOf(now) - uint64(rapid.IntRange(0, 3).Draw(t, "age")), Decision: rapid.Bool().Draw(t, "decision")}
					if r.Decision {
						r.Spill = kept(uint16(rapid.IntRange(1, 999).Draw(t, "keeps"))).All()
					} else {
						r.Counts = []Count{{Pool: "p", Group: 1, Answers: uint64(rapid.IntRange(0, 1<<30).Draw(t, "answers"))}}
					}
					all = append(all, told{name, r})
				}
			}
			for _, x := range all {
				one.Take(x.by, x.report, now)
			}
			by := slices.Clone(all) // the nodes in the other order
			slices.SortStableFunc(by, func(x, y told) int { return strings.Compare(y.by, x.by) })
			for _, x := range by {
				other.Take(x.by, x.report, now)
			}
			changed := one.Advance(now)
			if again := other.Advance(now); again != changed || !reflect.DeepEqual(one.Spill().All(), other.Spill().All()) {
				t.Fatalf("%v and %v are in force at %v", one.Spill().All(), other.Spill().All(), now)
			}
			if a, b := one.Demand(plan), other.Demand(plan); !reflect.DeepEqual(a, b) {
				t.Fatalf("%v and %v are wanted", a, b)
			}
		}
	})
}

// TestWrongClock: a node whose clock is an hour off goes by the others' decisions, and they by its own.
func TestWrongClock(t *testing.T) {
	for _, wrong := range []string{"a", "c"} {
		c := newCluster(t, "a", "b", "c")
		c.off = map[string]time.Duration{wrong: time.Hour + 17*time.Second}
		c.nodes[wrong] = NewLedger(wrong, c.now.Add(c.off[wrong]))
		c.decides = func(by string, _ *Ledger) *zones.Spill {
			return map[string]*zones.Spill{"a": kept(100), "b": kept(200), "c": kept(300)}[by]
		}
		c.run(window + 3*EpochLength)
		c.want(wrong+"'s clock is wrong", map[string]uint16{"a": 100, "b": 100, "c": 100})
		if got := c.nodes["b"].Demand(pools(t))["p"][1]; got != 6 {
			t.Errorf("%s's clock is wrong: %v answers a second are wanted, want 6", wrong, got)
		}
	}
}

func TestTake(t *testing.T) {
	now := Begin(1000).Add(DecideAfter)
	count := []Count{{Pool: "p", Group: 1, Answers: 120}}
	decides := func(epoch uint64, perMille uint16) Report {
		return Report{Epoch: epoch, Decision: true, Spill: kept(perMille).All()}
	}
	for _, row := range []struct {
		why   string
		take  func(l *Ledger)
		at    time.Duration // after now
		keeps uint16
		wants float64
	}{
		{"a decision of this epoch", func(l *Ledger) { l.Take("b", decides(1000, 400), now) }, 5 * time.Second, 400, 0},
		{"not before its instant", func(l *Ledger) { l.Take("b", decides(1000, 400), now) }, 4 * time.Second, 1000, 0},
		{"one of another epoch counts at once", func(l *Ledger) { l.Take("b", decides(7, 400), now) }, 0, 400, 0},
		{"until its instant the one before it counts", func(l *Ledger) {
			l.Take("b", decides(7, 400), now)
			l.Advance(now)
			l.Take("b", decides(1000, 300), now)
		}, 4 * time.Second, 400, 0},
		{"and then it does", func(l *Ledger) {
			l.Take("b", decides(7, 400), now)
			l.Advance(now)
			l.Take("b", decides(1000, 300), now)
		}, 5 * time.Second, 300, 0},
		{"two decisions", func(l *Ledger) {
			l.Take("c", decides(1000, 300), now)
			l.Take("b", decides(1000, 400), now)
		}, 5 * time.Second, 400, 0},
		{"an old one and a younger one of another", func(l *Ledger) {
			l.Take("b", decides(1000, 400), now)
			l.Advance(now.Add(time.Minute))
			l.Take("c", decides(1002, 300), now.Add(time.Minute))
		}, 66 * time.Second, 300, 0},
		{"an old one alone", func(l *Ledger) {
			l.Take("b", decides(1000, 400), now)
			l.Advance(now.Add(5 * time.Second))
		}, time.Hour, 400, 0},
		{"counts", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Counts: count}, now) }, 0, 1000, 1},
		{"of two nodes", func(l *Ledger) {
			l.Take("b", Report{Epoch: 1000, Counts: count}, now)
			l.Take("c", Report{Epoch: 999, Counts: count}, now)
		}, 0, 1000, 2},
		{"more than a window has", func(l *Ledger) {
			for range 6 {
				l.Take("b", Report{Epoch: 1000, Counts: count}, now)
			}
		}, 0, 1000, Window},
		{"of pools that have no capacity", func(l *Ledger) {
			l.Take("b", Report{Epoch: 1000, Counts: []Count{{Pool: "q", Group: 1, Answers: 5}}}, now)
		}, 0, 1000, 0},
		{"forgotten after the window", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Counts: count}, now) }, window, 1000, 0},
	} {
		l := NewLedger("a", now)
		row.take(l)
		l.Advance(now.Add(row.at))
		if got := l.Spill().PerMille("p", "m"); got != row.keeps {
			t.Errorf("%s: m keeps %d, want %d", row.why, got, row.keeps)
		}
		if got := l.Demand(pools(t))["p"][1]; got != row.wants {
			t.Errorf("%s: %v a second are wanted, want %v", row.why, got, row.wants)
		}
	}
}

// pools are one whose capacity is a share, and one without any.
func pools(t testing.TB) []*zones.PoolPlan {
	t.Helper()
	world, err := zones.Parse(map[string][]byte{"w.yaml": []byte(`
regions: {us: {coordinates: [39, -77]}}
pools:
  p: {policy: failover, members: [{endpoint: m, region: us, address: 192.0.2.1, capacity: 40%}]}
  q: {policy: failover, members: [{endpoint: m, region: us, address: 192.0.2.1}]}
`)})
	if err != nil {
		t.Fatal(err)
	}
	var b geo.Builder
	plan, err := world.Compile(b.Build(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Capped()
}

// TestAgreement: whatever is lost and in whatever order reports come, nodes that heard the same decision have the same in force, and once
// nothing is lost all have the same after one epoch.
func TestAgreement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 1))
		names := []string{"a", "b", "c", "d"}
		c := newCluster(nil, names...)
		c.decides = func(string, *Ledger) *zones.Spill { return kept(uint16(1 + random.IntN(998))) }
		loss := rapid.SampledFrom([]float64{0, 0.2, 0.9}).Draw(t, "loss")
		c.cut = func(_, _ string) bool { return random.Float64() < loss }
		for range rapid.IntRange(1, 8).Draw(t, "epochs") {
			c.run(EpochLength)
			if random.IntN(3) == 0 {
				name := names[random.IntN(len(names))]
				c.nodes[name] = NewLedger(name, c.now)
			}
		}
		c.cut = func(_, _ string) bool { return false }
		c.run(window + 2*EpochLength)
		for _, name := range names {
			if got, want := c.nodes[name].Spill().All(), c.nodes["a"].Spill().All(); !reflect.DeepEqual(got, want) || len(got) != 1 {
				t.Fatalf("%s has %v in force, a has %v", name, got, want)
			}
		}
	})
}

func TestMostIsReported(t *testing.T) {
	l := NewLedger("a", start)
	var counts []Count
	for i := range MaxCounts + 10 {
		counts = append(counts, Count{Pool: fmt.Sprint("p", i%3), Group: uint64(i), Answers: uint64(i + 1)})
	}
	r := l.Report(counts, true, start)
	if len(r.Counts) != MaxCounts || slices.ContainsFunc(r.Counts, func(c Count) bool { return c.Answers <= 10 }) {
		t.Errorf("%d counts are reported, want the %d that count most", len(r.Counts), MaxCounts)
	}
	if _, err := ParseReport(r.Append(nil)); err != nil {
		t.Error(err)
	}
}

// TestGroupOnce: others refuse a report in which a group stands twice.
func TestGroupOnce(t *testing.T) {
	counts := []Count{{"p", 2, 5, 0}, {"q", 1, 0, 1}, {"p", 1, 1, 1}, {"p", 2, 7, 2}}
	given := slices.Clone(counts)
	r := NewLedger("a", start).Report(counts, true, start)
	if want := []Count{{"p", 1, 1, 1}, {"p", 2, 12, 2}, {"q", 1, 0, 1}}; !slices.Equal(r.Counts, want) {
		t.Errorf("%v are reported as %v, want %v", counts, r.Counts, want)
	}
	if _, err := ParseReport(r.Append(nil)); err != nil {
		t.Error(err)
	}
	if !slices.Equal(counts, given) {
		t.Errorf("what was given has become %v", counts)
	}
}
