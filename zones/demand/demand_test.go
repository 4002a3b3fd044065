package demand

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

var start = Begin(1_000_000).Add(7 * time.Second)

// A cluster of ledgers whose reports arrive as a test says.
type cluster struct {
	t       testing.TB
	now     time.Time
	nodes   map[string]*Ledger
	cut     func(from, to string) bool
	reports map[string]uint64 // epoch of each node's last report
	decides func(by string, l *Ledger) *zones.Spill
	log     []string // who decided
}

func newCluster(t testing.TB, names ...string) *cluster {
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

// run goes on for so long, as hosts do.
func (c *cluster) run(d time.Duration) {
	for end := c.now.Add(d); ; {
		next := Next(c.now)
		if next.After(end) {
			c.now = end
			return
		}
		c.now = next
		for _, name := range c.names() {
			l := c.nodes[name]
			l.Advance(c.now)
			if c.reports[name] != l.Epoch() {
				c.reports[name] = l.Epoch()
				c.tell(name, l.Report([]Count{{Pool: "p", Group: 1, Answers: 60}, {Pool: "p", Group: 2, Answers: 30}}, true))
			}
		}
		for _, name := range c.names() {
			if l := c.nodes[name]; l.Deciding(c.now) {
				c.log = append(c.log, name)
				spill := l.Spill()
				if c.decides != nil {
					spill = c.decides(name, l)
				}
				c.tell(name, l.Decide(spill))
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
			c.nodes[to].Take(from, read)
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

	c.run(window)
	if len(c.log) > 0 {
		t.Errorf("before anybody has heard a window, %v decided", c.log)
	}
	c.run(Next(c.now).Sub(c.now) + EpochLength)
	c.want("the smallest decides for all", map[string]uint16{"a": 890, "b": 890, "c": 890})
	c.run(EpochLength)
	c.want("and again in the next epoch", map[string]uint16{"a": 880, "b": 880, "c": 880})
	if slices.ContainsFunc(c.log, func(name string) bool { return name != "a" }) {
		t.Errorf("%v decided, want only a", c.log)
	}

	delete(c.nodes, "a")
	c.log = nil
	c.decides = func(_ string, l *Ledger) *zones.Spill { return kept(l.Spill().PerMille("p", "m") - 1) }
	c.run(EpochLength)
	c.want("the reference is lost: the next one goes on from what is in force", map[string]uint16{"b": 879, "c": 879})

	c.nodes["a"] = NewLedger("a", c.now)
	c.run(EpochLength)
	c.want("one that is new goes by the decision of the others", map[string]uint16{"a": 878, "b": 878, "c": 878})
	c.log = nil
	c.run(window + EpochLength)
	if c.log[0] != "b" || c.log[len(c.log)-1] != "a" {
		t.Errorf("%v decided, want b until a has heard a window, then a", c.log)
	}

	side := func(name string) bool { return name == "a" }
	c.cut = func(from, to string) bool { return side(from) != side(to) }
	c.decides = func(by string, _ *Ledger) *zones.Spill {
		return map[string]*zones.Spill{"a": kept(100), "b": kept(200), "c": kept(300)}[by]
	}
	c.run(2 * EpochLength)
	c.want("each part of the network has its own", map[string]uint16{"a": 100, "b": 200, "c": 200})
	c.cut = func(_, _ string) bool { return false }
	c.run(EpochLength)
	c.want("when it is whole again the smallest name's holds", map[string]uint16{"a": 100, "b": 100, "c": 100})

	c.cut = func(_, to string) bool { return to == "c" }
	c.decides = func(by string, _ *Ledger) *zones.Spill {
		return map[string]*zones.Spill{"a": kept(500), "c": kept(300)}[by]
	}
	c.run(2 * EpochLength)
	c.want("who hears nobody decides for itself", map[string]uint16{"a": 500, "b": 500, "c": 300})
}

func TestTake(t *testing.T) {
	now := Begin(1000).Add(DecideAfter)
	count := []Count{{Pool: "p", Group: 1, Answers: 120}}
	for _, row := range []struct {
		why   string
		take  func(l *Ledger)
		at    time.Time
		keeps uint16
		wants float64
	}{
		{"a decision of this epoch", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Decision: true, Spill: kept(400).All()}) }, now.Add(5 * time.Second), 400, 0},
		{"not before its instant", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Decision: true, Spill: kept(400).All()}) }, now.Add(4 * time.Second), 1000, 0},
		{"of the epoch before", func(l *Ledger) { l.Take("b", Report{Epoch: 999, Decision: true, Spill: kept(400).All()}) }, now.Add(5 * time.Second), 1000, 0},
		{"of the next one", func(l *Ledger) { l.Take("b", Report{Epoch: 1001, Decision: true, Spill: kept(400).All()}) }, now.Add(5 * time.Second), 1000, 0},
		{"two decisions", func(l *Ledger) {
			l.Take("c", Report{Epoch: 1000, Decision: true, Spill: kept(300).All()})
			l.Take("b", Report{Epoch: 1000, Decision: true, Spill: kept(400).All()})
		}, now.Add(5 * time.Second), 400, 0},
		{"a decision that comes late is not missed by the next epoch's", func(l *Ledger) {
			l.Advance(now.Add(5 * time.Second))
			l.Take("b", Report{Epoch: 1000, Decision: true, Spill: kept(400).All()})
		}, now.Add(6 * time.Second), 1000, 0},
		{"counts", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Counts: count}) }, now, 1000, 1},
		{"twice the same", func(l *Ledger) {
			l.Take("b", Report{Epoch: 1000, Counts: count})
			l.Take("b", Report{Epoch: 1000, Counts: count})
		}, now, 1000, 1},
		{"of two nodes", func(l *Ledger) {
			l.Take("b", Report{Epoch: 1000, Counts: count})
			l.Take("c", Report{Epoch: 999, Counts: count})
		}, now, 1000, 2},
		{"of too long ago", func(l *Ledger) { l.Take("b", Report{Epoch: 998, Counts: count}) }, now, 1000, 0},
		{"of a clock that is far ahead", func(l *Ledger) { l.Take("b", Report{Epoch: 1002, Counts: count}) }, now, 1000, 0},
		{"of pools that have no capacity", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Counts: []Count{{Pool: "q", Group: 1, Answers: 5}}}) }, now, 1000, 0},
		{"forgotten after the window", func(l *Ledger) { l.Take("b", Report{Epoch: 1000, Counts: count}) }, now.Add(window), 1000, 0},
	} {
		l := NewLedger("a", now)
		row.take(l)
		l.Advance(row.at)
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
	r := l.Report(counts, true)
	if len(r.Counts) != MaxCounts || slices.ContainsFunc(r.Counts, func(c Count) bool { return c.Answers <= 10 }) {
		t.Errorf("%d counts are reported, want the %d that count most", len(r.Counts), MaxCounts)
	}
	if _, err := ParseReport(r.Append(nil)); err != nil {
		t.Error(err)
	}
}
