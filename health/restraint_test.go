package health

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A crowd is a table over many targets, and a vantage in each of three regions that says of them what it is told to, every second.
type crowd struct {
	*Table
	now     time.Time
	targets []*Target
	says    map[NodeID]map[CheckID]Record
	count   uint64
}

var crowdNodes = []NodeID{"r0-n0", "r1-n0", "r2-n0"}

func newCrowd(targets int) *crowd {
	c := &crowd{Table: NewTable("r0", testEpoch), now: testEpoch, says: make(map[NodeID]map[CheckID]Record)}
	c.SetVantages(vantages(3, 1))
	for i := range targets {
		c.targets = append(c.targets, &Target{ID: CheckID(fmt.Sprintf("c/e%02d/ipv4", i)), Endpoint: fmt.Sprintf("e%02d", i), Region: geo.RegionID(fmt.Sprint("r", i%3)),
			Interval: 10 * time.Second, Fall: 3, Rise: 3, Proof: 1})
	}
	c.SetTargets(c.targets, []geo.RegionID{"r0", "r1", "r2"}, c.now)
	for _, node := range crowdNodes {
		c.says[node] = make(map[CheckID]Record)
	}
	return c
}

// say has some vantages (none: all) say something of some targets from now on.
func (c *crowd) say(state State, reason Reason, targets []*Target, nodes ...NodeID) {
	if len(nodes) == 0 {
		nodes = crowdNodes
	}
	for _, node := range nodes {
		for _, target := range targets {
			c.says[node][target.ID] = Record{Check: target.ID.Key(), Definition: target.Digest(), State: state, Reason: reason}
		}
	}
}

func (c *crowd) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(time.Second)
		c.count++
		for _, node := range crowdNodes {
			batch := Batch{Origin: node, Incarnation: 1, Sequence: c.count * 1000, Full: true}
			sequence := (c.count - 1) * 1000
			for _, target := range c.targets {
				if r, ok := c.says[node][target.ID]; ok {
					sequence++
					r.Sequence = sequence
					batch.Records = append(batch.Records, r)
				}
			}
			c.Merge(&batch)
			c.Hear(&Heartbeat{Origin: node, Incarnation: 1, Sequence: c.count, Verdicts: batch.Sequence, Digest: merged([]*Batch{&batch}).digest}, c.now)
		}
		c.Advance(c.now)
	}
}

// show is a letter for each target: u, d or ?, in capitals where it is held.
func (c *crowd) show() string {
	var b strings.Builder
	for _, target := range c.targets {
		s := c.View().Status(target.ID, Global)
		letter := map[State]string{Unknown: "?", Up: "u", Down: "d", Drain: "r"}[s.State]
		if s.Held {
			letter = strings.ToUpper(letter)
		}
		b.WriteString(letter)
	}
	return b.String()
}

func (c *crowd) want(t *testing.T, what, want string) {
	t.Helper()
	if got := c.show(); got != want {
		t.Errorf("%s, at %v: %s, want %s", what, c.now.Sub(testEpoch), got, want)
	}
}

// needs makes pools of four targets each that need one of them.
func (c *crowd) needs() {
	var needs []*Need
	for i := 0; i+4 <= len(c.targets); i += 4 {
		need := &Need{MinUp: 1}
		for _, target := range c.targets[i : i+4] {
			need.Members = append(need.Members, []CheckID{target.ID})
		}
		needs = append(needs, need)
	}
	c.SetGroups(nil, needs)
}

func TestMassChange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fails  func(c *crowd)
		before string // 10 s after
		after  string // 130 s after
	}{
		{"all alike: held where a pool would have nobody", func(c *crowd) { c.say(Down, ReasonTimeout, c.targets[:9]) }, "UUUUUUUUduuu", "ddddddddduuu"},
		{"of many kinds: believed", func(c *crowd) {
			c.say(Down, ReasonTimeout, c.targets[:4])
			c.say(Down, ReasonStatus, c.targets[4:9])
		}, "ddddddddduuu", "ddddddddduuu"},
		{"for want of a route: doubtful though some fail otherwise", func(c *crowd) {
			c.say(Down, ReasonNoRoute, c.targets[:6])
			c.say(Down, ReasonStatus, c.targets[6:9])
		}, "UUUUUUUUduuu", "ddddddddduuu"},
		{"not more than 60 %", func(c *crowd) { c.say(Down, ReasonTimeout, c.targets[:7]) }, "ddddddduuuuu", "ddddddduuuuu"},
		{"a drain is no mass change", func(c *crowd) { c.say(Drain, ReasonDrain, c.targets) }, "rrrrrrrrrrrr", "rrrrrrrrrrrr"},
	} {
		c := newCrowd(12)
		c.needs()
		c.say(Up, ReasonOK, c.targets)
		c.pass(20 * time.Second)
		tt.fails(c)
		c.pass(10 * time.Second)
		c.want(t, tt.name, tt.before)
		c.pass(120 * time.Second)
		c.want(t, tt.name+", when its time is over", tt.after)
		c.pass(5 * time.Minute)
		c.want(t, tt.name+", long after", tt.after)
	}
}

// The first verdicts are no mass change, few targets make none, and one that comes slowly is none.
func TestNoMassChange(t *testing.T) {
	c := newCrowd(12)
	c.needs()
	c.say(Up, ReasonOK, c.targets[:1])
	c.say(Down, ReasonTimeout, c.targets[1:])
	c.pass(10 * time.Second)
	c.want(t, "first verdicts", "uddddddddddd")

	c = newCrowd(9)
	c.needs()
	c.say(Up, ReasonOK, c.targets)
	c.pass(20 * time.Second)
	c.say(Down, ReasonTimeout, c.targets)
	c.pass(10 * time.Second)
	c.want(t, "nine targets", "ddddddddd")

	c = newCrowd(12)
	c.needs()
	c.say(Up, ReasonOK, c.targets)
	c.pass(20 * time.Second)
	for i := range c.targets {
		c.say(Down, ReasonTimeout, c.targets[i:i+1])
		c.pass(15 * time.Second)
	}
	c.want(t, "one after the other", "dddddddddddd")
}

// A release ends the hold, and lets none begin for the same.
func TestRelease(t *testing.T) {
	c := newCrowd(12)
	c.needs()
	c.say(Up, ReasonOK, c.targets)
	c.pass(20 * time.Second)
	c.say(Down, ReasonRefused, c.targets)
	c.pass(5 * time.Second)
	c.want(t, "a mass change", "UUUUUUUUUUUU")
	if m := c.View().Mass(); m == nil || m.Of != 12 || m.Why == "" {
		t.Errorf("Mass() = %+v, want it shown", m)
	}
	c.Release(c.now)
	c.pass(time.Second)
	c.want(t, "released", "dddddddddddd")
	c.pass(90 * time.Second)
	c.want(t, "and later", "dddddddddddd")
	if m := c.View().Mass(); m != nil {
		t.Errorf("Mass() = %+v after it was released", m)
	}
}

// While frozen nothing changes, not even what is failing near by; then everything follows.
func TestFrozenTable(t *testing.T) {
	c := newCrowd(3)
	c.say(Up, ReasonOK, c.targets)
	c.pass(20 * time.Second)
	c.Freeze(true)
	c.say(Down, ReasonRefused, c.targets[:1])
	c.pass(time.Minute)
	c.want(t, "frozen", "UUU")
	if s := c.View().Status(c.targets[0].ID, Global); s.Measured != Down || s.Hold != HoldFrozen || !c.View().Frozen() {
		t.Errorf("frozen, it is measured %v and held %q, want down, frozen", s.Measured, s.Hold)
	}
	c.Freeze(false)
	c.pass(time.Second)
	c.want(t, "thawed", "duu")
}

// A definition under which nothing was ever up takes nothing down; one that is proven by one target does, for all.
func TestProof(t *testing.T) {
	c := newCrowd(3)
	c.say(Down, ReasonStatus, c.targets)
	c.pass(20 * time.Second)
	c.want(t, "never green", "???")
	for _, target := range c.targets {
		if s := c.View().Status(target.ID, Global); s.Hold != HoldUnproven {
			t.Errorf("%s is held %q, want unproven", target.ID, s.Hold)
		}
	}
	c.say(Up, ReasonOK, c.targets[:1], "r1-n0")
	c.pass(time.Second)
	if c.Proven(c.targets[0].ID) {
		t.Error("one vantage of three proves a definition")
	}
	c.say(Up, ReasonOK, c.targets[:1], "r2-n0")
	c.pass(time.Second)
	c.want(t, "one of them is up", "udd")
	saved := c.Saved()

	// Who loads it believes it, and so does who hears of it from a vantage that knows.
	later := newCrowd(3)
	later.Load(saved)
	later.SetTargets(nil, nil, later.now)
	later.SetTargets(later.targets, []geo.RegionID{"r0", "r1", "r2"}, later.now)
	if !later.Proven(later.targets[2].ID) {
		t.Error("the proof is not on disk")
	}
	other := newCrowd(3)
	other.say(Down, ReasonStatus, other.targets)
	for id, r := range other.says["r1-n0"] {
		r.Proven = true
		other.says["r1-n0"][id] = r
	}
	other.pass(20 * time.Second)
	other.want(t, "a vantage knows", "ddd")
}

// A vantage that abstains is missed and not counted, and the table says why.
func TestAbstaining(t *testing.T) {
	c := newCrowd(1)
	c.say(Up, ReasonOK, c.targets)
	c.pass(10 * time.Second)
	c.say(Unknown, ReasonReferences, c.targets, "r0-n0")
	c.pass(time.Second)
	s := c.View().Status(c.targets[0].ID, Global)
	if s.Fresh != 2 || s.Regions[0].State != Unknown || s.Regions[0].Vantages[0].Stale != "abstains: references fail" {
		t.Errorf("one abstains: %d fresh, %+v", s.Fresh, s.Regions[0])
	}
	c.say(Unknown, ReasonAlone, c.targets, "r1-n0")
	c.say(Down, ReasonTimeout, c.targets, "r2-n0")
	c.pass(30 * time.Second)
	c.want(t, "two abstain", "U")
}

// A group follows its checks, and what is held of them only where it matters.
func TestGathered(t *testing.T) {
	c := newCrowd(3)
	group := &Group{ID: "g/e/ipv4", Need: 2, Terms: []Term{{Check: c.targets[0].ID}, {Check: c.targets[1].ID}, {Check: c.targets[2].ID, Invert: true, Veto: true}}}
	c.SetGroups([]*Group{group}, nil)
	for _, step := range []struct {
		name  string
		says  string
		state State
		held  bool
	}{
		{"nothing is known", "???", Unknown, false},
		{"two up, the inverted veto down", "uud", Up, false},
		{"the veto", "uuu", Down, false},
		{"over", "uud", Up, false},
		{"one is down", "udd", Down, false},
	} {
		for i, letter := range step.says {
			switch letter {
			case 'u':
				c.say(Up, ReasonOK, c.targets[i:i+1])
			case 'd':
				c.say(Down, ReasonTimeout, c.targets[i:i+1])
			}
		}
		c.pass(10 * time.Second)
		s := c.View().Status("g/e/ipv4", Global)
		if s.State != step.state || s.Held != step.held || len(s.Terms) != 3 {
			t.Errorf("%s: %v, held %v (%s), terms %+v, want %v, held %v", step.name, s.State, s.Held, s.Hold, s.Terms, step.state, step.held)
		}
		if regional := c.View().Status("g/e/ipv4", "r1"); step.state != Unknown && regional.State != step.state {
			t.Errorf("%s: r1 sees %v, want %v", step.name, regional.State, step.state)
		}
	}
}

func TestDissents(t *testing.T) {
	c := newCrowd(4)
	c.say(Up, ReasonOK, c.targets)
	c.pass(10 * time.Second)
	var d Dissents
	look := func() string {
		dissents, reaches := d.Look(c.View(), c.now)
		var said []string
		for _, d := range dissents {
			said = append(said, string(d.Vantage)+" "+d.Text())
		}
		for _, r := range reaches {
			said = append(said, fmt.Sprintf("%s only from %s", r.Check, r.Region))
		}
		return strings.Join(said, "; ")
	}
	c.say(Down, ReasonRefused, c.targets[:2], "r2-n0")
	c.say(Down, ReasonTimeout, c.targets[3:], "r0-n0", "r1-n0")
	for passed := time.Duration(0); passed < 5*time.Minute; passed += 10 * time.Second {
		c.pass(10 * time.Second)
		if got := look(); got != "" {
			t.Fatalf("after %v: %s, want nothing yet", passed, got)
		}
	}
	c.pass(20 * time.Second)
	want := "r2-n0 c/e00/ipv4 down (refused); r2-n0 c/e01/ipv4 down (refused); r2-n0 c/e03/ipv4 up (ok); c/e03/ipv4 only from r2"
	if got := look(); got != want {
		t.Errorf("after five minutes: %s, want %s", got, want)
	}
	c.say(Up, ReasonOK, c.targets)
	c.pass(10 * time.Second)
	if got := look(); got != "" {
		t.Errorf("when all agree: %s", got)
	}
	c.say(Down, ReasonRefused, c.targets[:1], "r2-n0")
	c.pass(time.Second)
	if got := look(); got != "" {
		t.Errorf("right after another begins: %s", got)
	}
}

// A member is up for its pool when all of its checks are, and shadows neither make a mass change nor are held by one.
func TestMassChangeOfMembersWithSeveralChecks(t *testing.T) {
	c := newCrowd(12)
	var need Need
	for i := 0; i < 12; i += 2 {
		need.Members = append(need.Members, []CheckID{c.targets[i].ID, c.targets[i+1].ID})
	}
	need.MinUp = 1
	c.SetGroups(nil, []*Need{&need})
	c.say(Up, ReasonOK, c.targets)
	c.pass(20 * time.Second)
	for i := 0; i < 12; i += 2 {
		c.say(Down, ReasonTimeout, c.targets[i:i+1])
	}
	c.say(Down, ReasonTimeout, c.targets[1:4])
	c.pass(10 * time.Second)
	c.want(t, "one check of every member, and both of two", "UUUUUuUuUuUu")

	c = newCrowd(12)
	for _, target := range c.targets[:6] {
		target.Rules.Shadow = true
	}
	c.SetTargets(c.targets, []geo.RegionID{"r0", "r1", "r2"}, c.now)
	c.needs()
	c.say(Up, ReasonOK, c.targets)
	c.pass(20 * time.Second)
	c.say(Down, ReasonTimeout, c.targets[:9])
	c.pass(10 * time.Second)
	c.want(t, "six of nine are shadows", "ddddddddduuu")
}
