package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

var testEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A timeline is one table, that of a node in region r0, and vantages that send it a heartbeat every second.
type timeline struct {
	*Table
	now      time.Time
	target   *Target
	vantages []Vantage
	silent   map[NodeID]bool
	speakers map[NodeID]*speaker
	beats    uint64
}

func newTimeline(regions, nodes int, saved ...SavedStatus) *timeline {
	l := &timeline{
		Table: NewTable("r0", testEpoch), now: testEpoch, vantages: vantages(regions, nodes),
		silent: make(map[NodeID]bool), speakers: make(map[NodeID]*speaker),
	}
	l.target = &Target{ID: "c/e0/ipv4", Endpoint: "e0", Region: "r0", Kind: KindTCP, Interval: 10 * time.Second, Fall: 3, Rise: 3, HoldDown: 30 * time.Second}
	l.Load(saved)
	l.SetVantages(l.vantages)
	for _, v := range l.vantages {
		s := &speaker{}
		s.restart()
		l.speakers[v.Node] = s
	}
	return l
}

func (l *timeline) setTargets(targets ...*Target) {
	var regions []geo.RegionID
	for _, v := range l.vantages {
		regions = append(regions, v.Region)
	}
	l.SetTargets(targets, slices.Compact(regions), l.now)
}

// beat is a heartbeat of every vantage that is not silent, with the verdicts that it has.
func (l *timeline) beat() {
	l.beats++
	for _, v := range l.vantages {
		if s := l.speakers[v.Node]; !l.silent[v.Node] {
			full := *s.everything()
			full.Origin = v.Node
			l.Merge(&full)
			l.Hear(&Heartbeat{Origin: v.Node, Incarnation: s.incarnation, Sequence: l.beats, Verdicts: s.sequence, Digest: merged([]*Batch{&full}).digest}, l.now)
		}
	}
}

// pass lets time pass, in steps of a second or less. The table is told the time when it asked to be, and not otherwise.
func (l *timeline) pass(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); {
		step := min(end.Sub(l.now), time.Second)
		l.now = l.now.Add(step)
		l.beat()
		l.Advance(l.now)
	}
}

// do lets something happen: "silent NODE …", "heard NODE …", "restart NODE …", or what some say: "up", "down", "refused"
// (which is down, too), "drain", "nothing". A region means its nodes.
func (l *timeline) do(t *testing.T, event string) {
	words := strings.Fields(event)
	if len(words) == 0 {
		return
	}
	for _, v := range l.vantages {
		if len(words) > 1 && !slices.Contains(words[1:], string(v.Node)) && !slices.Contains(words[1:], string(v.Region)) {
			continue
		}
		s := l.speakers[v.Node]
		switch words[0] {
		case "silent":
			l.silent[v.Node] = true
		case "heard":
			l.silent[v.Node] = false
		case "restart":
			s.restart()
		case "up", "down", "refused", "drain", "nothing":
			state := map[string]State{"up": Up, "down": Down, "refused": Down, "drain": Drain}[words[0]]
			reason := map[string]Reason{"up": ReasonOK, "down": ReasonTimeout, "refused": ReasonRefused, "drain": ReasonDrain}[words[0]]
			s.change(l.target.ID.Key(), state)
			if r, ok := s.records[l.target.ID.Key()]; ok {
				r.Definition, r.Reason = l.target.Digest(), reason
				s.records[l.target.ID.Key()] = r
			}
		default:
			t.Fatalf("unknown event %q", event)
		}
	}
	l.beat()
	l.Advance(l.now)
}

func (l *timeline) show() string {
	s := l.View().Status(l.target.ID, Global)
	text := s.State.String()
	for _, fact := range []struct {
		is   bool
		text string
	}{{s.Held, "held"}, {s.HeldBack, "held back"}, {s.Grace, "grace"}} {
		if fact.is {
			text += ", " + fact.text
		}
	}
	return fmt.Sprintf("%s %d/%d", text, s.Fresh, s.Assigned)
}

// A row lets time pass, something happen, and says what the status must be right after.
type row struct {
	after time.Duration
	event string
	want  string
}

const s = time.Second

// slimmest is by how few of fifteen vantages in five regions an endpoint can be down.
const slimmest = "down r0-n0 r0-n1 r1-n0 r1-n1 r2-n0 r2-n1 r3-n0 r3-n1"

func TestTimelines(t *testing.T) {
	down := SavedStatus{Check: "c/e0/ipv4", State: Down, Since: testEpoch.Add(-time.Hour)}
	up := SavedStatus{Check: "c/e0/ipv4", State: Up, Since: testEpoch.Add(-time.Hour)}
	for _, c := range []struct {
		name           string
		regions, nodes int
		saved          []SavedStatus
		rows           []row
	}{
		{"unknown keeps its rank for three intervals", 3, 1, nil, []row{
			{0, "", "unknown, held, grace 0/3"}, {29 * s, "", "unknown, held, grace 0/3"}, {2 * s, "", "unknown, held 0/3"},
		}},
		{"the first state takes effect at once, up or down", 3, 1, nil, []row{
			{s, "up r0", "unknown, held, grace 1/3"}, {s, "up r1", "up 2/3"}, {s, "up r2", "up 3/3"},
		}},
		{"down is believed at once where nothing was known", 3, 1, nil, []row{
			{s, "down r0 r1", "down 2/3"},
		}},
		{"most regions take it down, and it is held back after it recovers", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {10 * s, "down r1", "up 3/3"}, {s, "down r2", "down 3/3"},
			{60 * s, "up r1", "down, held back 3/3"}, {29 * s, "", "down, held back 3/3"}, {s, "", "up 3/3"},
		}},
		{"hold_down begins anew when the votes change back", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {10 * s, "down", "down 3/3"}, {60 * s, "up", "down, held back 3/3"},
			{20 * s, "down r0 r1", "down 3/3"}, {s, "up", "down, held back 3/3"}, {29 * s, "", "down, held back 3/3"}, {s, "", "up 3/3"},
		}},
		{"a drain is obeyed and ended at once", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {10 * s, "drain", "drain 3/3"}, {10 * s, "up", "up 3/3"},
		}},
		{"a drain between down and up does not shorten hold_down", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {10 * s, "down", "down 3/3"}, {10 * s, "drain", "drain 3/3"}, {s, "up", "drain, held back 3/3"}, {30 * s, "", "up 3/3"},
		}},
		{"one region: what its vantages say", 1, 1, nil, []row{
			{s, "up", "up 1/1"}, {6 * s, "down", "down 1/1"},
		}},
		{"one region of two: both must say down", 1, 2, nil, []row{
			{s, "up", "up 2/2"}, {6 * s, "down r0-n0", "up 2/2"}, {s, "down", "down 2/2"},
		}},
		{"two regions: both must say down", 2, 1, nil, []row{
			{s, "up", "up 2/2"}, {6 * s, "down r0", "up 2/2"}, {s, "down", "down 2/2"},
		}},
		{"two regions: half of them fresh is not enough", 2, 1, nil, []row{
			{s, "up", "up 2/2"}, {6 * s, "silent r1", "up 2/2"}, {16 * s, "down r0", "up, held 1/2"},
		}},
		{"three regions: one that is cut off takes nothing down", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {6 * s, "silent r1 r2", "up 3/3"}, {5 * s, "down r0", "up 3/3"}, {20 * s, "", "up, held 1/3"},
			{10 * time.Minute, "", "up, held 1/3"}, {s, "heard", "up 3/3"},
		}},
		{"down stays down while held", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {6 * s, "down", "down 3/3"}, {s, "silent r1 r2", "down 3/3"}, {20 * s, "up r0", "down, held 1/3"},
		}},
		{"held starts hold_down anew", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {6 * s, "down", "down 3/3"}, {s, "up", "down, held back 3/3"}, {10 * s, "silent r1 r2", "down, held back 3/3"},
			{16 * s, "", "down, held 1/3"}, {s, "heard", "down, held back 3/3"}, {29 * s, "", "down, held back 3/3"}, {s, "", "up 3/3"},
		}},
		{"the last to fall silent are not outvoted by the blind", 5, 1, nil, []row{
			{s, "up", "up 5/5"}, {6 * s, "silent r2", "up 5/5"}, {500 * time.Millisecond, "silent r3", "up 5/5"}, {500 * time.Millisecond, "silent r4", "up 5/5"},
			{5 * s, "down r0 r1", "up 5/5"}, {9500 * time.Millisecond, "", "up 4/5"}, {500 * time.Millisecond, "", "up, held 3/5"}, {s, "", "up, held 2/5"},
		}},
		{"nor are the first that come back", 5, 1, nil, []row{
			{s, "up", "up 5/5"}, {6 * s, "silent r2 r3 r4", "up 5/5"}, {5 * s, "down r0 r1", "up 5/5"}, {20 * s, "", "up, held 2/5"},
			{s, "heard r2", "up, held 3/5"}, {s, "heard r3", "up 4/5"}, {s, "heard r4", "up 5/5"},
		}},
		{"those that came back are believed once they are steady", 5, 1, nil, []row{
			{s, "up", "up 5/5"}, {6 * s, "silent r2 r3 r4", "up 5/5"}, {5 * s, "down r0 r1 r2", "up 5/5"}, {20 * s, "", "up, held 2/5"},
			{s, "heard r2", "up, held 3/5"}, {29 * s, "", "up, held 3/5"}, {s, "", "down 3/5"},
		}},
		{"or what they say is of the time since", 5, 1, nil, []row{
			{s, "up", "up 5/5"}, {6 * s, "silent r2 r3 r4", "up 5/5"}, {5 * s, "down r0 r1 r2", "up 5/5"}, {20 * s, "", "up, held 2/5"},
			{s, "heard r2", "up, held 3/5"}, {s, "refused r2", "up, held 3/5"}, {5 * s, "", "down 3/5"},
		}},
		{"a majority that stays needs not wait", 5, 1, nil, []row{
			{s, "up", "up 5/5"}, {6 * s, "silent r3 r4", "up 5/5"}, {5 * s, "down r0 r1 r2", "up 5/5"}, {10 * s, "", "up 5/5"}, {s, "", "down 3/5"},
		}},
		{"two of its own region see it refused, while held", 3, 2, nil, []row{
			{s, "up", "up 6/6"}, {6 * s, "silent r1 r2", "up 6/6"}, {16 * s, "", "up, held 2/6"}, {s, "refused r0-n0", "up, held 2/6"},
			{s, "refused r0-n1", "down, held 2/6"}, {60 * s, "up r0", "down, held 2/6"},
		}},
		{"two of its own region see it silent, while held", 3, 2, nil, []row{
			{s, "up", "up 6/6"}, {6 * s, "silent r1 r2", "up 6/6"}, {16 * s, "down r0", "up, held 2/6"},
		}},
		{"two of another region see it refused, while held", 3, 2, nil, []row{
			{s, "up", "up 6/6"}, {6 * s, "silent r0 r2", "up 6/6"}, {16 * s, "refused r1", "up, held 2/6"},
		}},
		{"from disk: down until there are votes, and up without hold_down soon after the start", 3, 1, []SavedStatus{down}, []row{
			{0, "", "down, held 0/3"}, {60 * s, "up r0", "down, held 1/3"}, {s, "up r1", "up 2/3"},
		}},
		{"from disk: hold_down long after the start", 3, 1, []SavedStatus{down}, []row{
			{121 * s, "up", "down, held back 3/3"}, {30 * s, "", "up 3/3"},
		}},
		{"from disk: hold_down where it was seen down since the start", 3, 1, []SavedStatus{down}, []row{
			{s, "down", "down 3/3"}, {s, "up", "down, held back 3/3"},
		}},
		{"from disk: up, until steady vantages say otherwise", 3, 1, []SavedStatus{up}, []row{
			{0, "", "up, held 0/3"}, {s, "down", "up, held 3/3"}, {5 * s, "", "down 3/3"},
		}},
		{"a slim majority is believed after 15 s", 5, 3, nil, []row{
			{s, "up", "up 15/15"}, {6 * s, slimmest, "up, held 15/15"}, {14 * s, "", "up, held 15/15"}, {s, "", "down 15/15"},
		}},
		{"or once it is slim no longer", 5, 3, nil, []row{
			{s, "up", "up 15/15"}, {6 * s, slimmest, "up, held 15/15"}, {s, "down r4-n0", "up, held 15/15"}, {s, "down r4-n1", "down 15/15"},
		}},
		{"without a break", 5, 3, nil, []row{
			{s, "up", "up 15/15"}, {6 * s, slimmest, "up, held 15/15"}, {14 * s, "up r0-n0", "up 15/15"}, {s, "down r0-n0", "up, held 15/15"},
			{14 * s, "", "up, held 15/15"}, {s, "", "down 15/15"},
		}},
		{"or in sight of all", 5, 3, nil, []row{
			{s, "up", "up 15/15"}, {6 * s, slimmest, "up, held 15/15"}, {5 * s, "nothing r2 r3 r4", "up, held 6/15"}, {s, "up r2 r3 r4", "up 15/15"},
			{6 * s, slimmest, "up, held 15/15"}, {14 * s, "", "up, held 15/15"}, {s, "", "down 15/15"},
		}},
		{"a drain needs no more than a slim majority", 5, 3, nil, []row{
			{s, "up", "up 15/15"}, {6 * s, strings.Replace(slimmest, "down", "drain", 1), "drain 15/15"}, {s, slimmest, "drain, held 15/15"}, {15 * s, "", "down 15/15"},
		}},
		{"what is not up needs not wait", 5, 3, nil, []row{
			{s, "up", "up 15/15"}, {6 * s, "down", "down 15/15"}, {s, "up r4", "down 15/15"}, {s, "up r0-n0 r1-n0 r2-n0 r3-n0", "down 15/15"},
		}},
		{"a vantage that restarts is missed, and no more", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {s, "restart r1", "up 2/3"}, {s, "restart r2", "up, held 1/3"}, {s, "up", "up 3/3"},
		}},
		{"verdicts that are withdrawn are missed", 3, 1, nil, []row{
			{s, "up", "up 3/3"}, {s, "nothing r1 r2", "up, held 1/3"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newTimeline(c.regions, c.nodes, c.saved...)
			l.setTargets(l.target)
			l.Advance(l.now)
			for i, r := range c.rows {
				l.pass(r.after)
				l.do(t, r.event)
				if got := l.show(); got != r.want {
					t.Fatalf("row %d, %v after the start, %q: %s, want %s", i+1, l.now.Sub(testEpoch), r.event, got, r.want)
				}
			}
		})
	}
}

// A region's clients go by vantages that are outside of the endpoint's own network, and by all together where there is none.
func TestRegionalViewFromOutside(t *testing.T) {
	l := newTimeline(3, 2)
	l.target.Address = netip.MustParseAddrPort("192.0.2.1:443")
	l.vantages[0].Address = netip.MustParseAddr("192.0.2.77")
	l.vantages[1].Address = netip.MustParseAddr("192.0.3.77")
	l.SetVantages(l.vantages)
	l.setTargets(l.target)
	l.do(t, "up")
	l.pass(10 * s)
	for _, step := range []struct{ event, region, global string }{
		{"", "up", "up"},
		{"down r0-n1", "down", "up"},   // a tie would be up
		{"nothing r0-n1", "up", "up"},  // nobody outside is left
		{"down r1 r2", "down", "down"}, // so all together decide
		{"up r0-n1", "up", "down"},     // and now somebody outside does
	} {
		l.do(t, step.event)
		l.pass(10 * s)
		regional, global := l.View().Status(l.target.ID, "r0"), l.View().Status(l.target.ID, Global)
		if regional.State.String() != step.region || global.State.String() != step.global {
			t.Errorf("%q: r0 sees %v, all together %v, want %s, %s", step.event, regional.State, global.State, step.region, step.global)
		}
	}
}

// A vantage's own region may see an endpoint that the others do not: whoever goes by its own region must hear of that.
func TestRegionalVoteIsAChange(t *testing.T) {
	l := newTimeline(3, 1)
	l.setTargets(l.target)
	l.do(t, "up")
	l.pass(10 * s)
	l.do(t, "")
	full := *l.speakers["r2-n0"].everything()
	full.Origin = "r2-n0"
	full.Sequence++
	full.Records = []Record{{Check: l.target.ID.Key(), Definition: l.target.Digest(), State: Down, Sequence: full.Sequence}}
	l.Merge(&full)
	changed, _ := l.Advance(l.now)
	if !slices.Equal(changed, []CheckID{l.target.ID}) {
		t.Errorf("Advance = %v after a region's vote changed, want %v", changed, l.target.ID)
	}
	for region, want := range map[geo.RegionID]State{Global: Up, "r0": Up, "r2": Down} {
		if got := l.View().Status(l.target.ID, region).State; got != want {
			t.Errorf("as seen from %q it is %v, want %v", region, got, want)
		}
	}
}

// A status changes by time alone only when Advance said that it would.
func TestAdvanceSaysWhen(t *testing.T) {
	l := newTimeline(3, 1)
	l.setTargets(l.target)
	for _, event := range []string{"up", "down", "up", "silent r1 r2", "heard", "down"} {
		l.do(t, event)
		before := l.show()
		_, next := l.Advance(l.now)
		for range 60 {
			l.now = l.now.Add(500 * time.Millisecond)
			changed, again := l.Advance(l.now)
			if now := l.show(); now != before && (next.IsZero() || l.now.Before(next)) {
				t.Fatalf("after %q it changed from %s to %s at %v, and Advance had said %v", event, before, now, l.now, next)
			} else if now == before && len(changed) > 0 {
				t.Fatalf("after %q Advance = %v, and it is %s as before", event, changed, now)
			}
			before, next = l.show(), again
		}
	}
}

// What was loaded from disk is not lost by saving before the world is known.
func TestSavedKeepsWhatWaitsForAWorld(t *testing.T) {
	down := SavedStatus{Check: "c/e0/ipv4", State: Down, Since: testEpoch}
	other := SavedStatus{Check: "a/gone/ipv4", State: Up, Since: testEpoch}
	l := newTimeline(3, 1, down, other)
	if got := l.Saved(); len(got) != 2 || got[0] != other || got[1] != down {
		t.Errorf("Saved = %v before there is a world, want %v and %v", got, other, down)
	}
	l.setTargets(l.target)
	l.Advance(l.now)
	if got := l.Saved(); len(got) != 2 || got[1].State != Down {
		t.Errorf("Saved = %v with a world, want %v still down", got, down)
	}
}

// Statuses come back from disk as they went there.
func TestStateText(t *testing.T) {
	for _, state := range []State{Unknown, Up, Down, Drain} {
		text, err := state.MarshalText()
		var back State
		if err == nil {
			err = back.UnmarshalText(text)
		}
		if back != state || err != nil {
			t.Errorf("%v comes back as %v, %v", state, back, err)
		}
	}
	var back State
	if err := back.UnmarshalText([]byte("sideways")); err == nil {
		t.Errorf("UnmarshalText(sideways) = %v, want an error", back)
	}
}

func TestHear(t *testing.T) {
	l := newTimeline(3, 1)
	l.setTargets(l.target)
	l.do(t, "up")
	v := l.origins["r1-n0"]
	synced := v.synced
	for _, c := range []struct {
		name      string
		heartbeat Heartbeat
		behind    bool
		renewed   bool
	}{
		{"a replay", Heartbeat{Incarnation: 1, Sequence: l.beats, Digest: v.digest}, false, false},
		{"an older one", Heartbeat{Incarnation: 1, Sequence: l.beats - 1, Digest: v.digest}, false, false},
		{"of a former life", Heartbeat{Incarnation: 0, Sequence: 100, Digest: v.digest}, false, false},
		{"a newer one of other verdicts", Heartbeat{Incarnation: 1, Sequence: l.beats + 1, Digest: v.digest + 1}, true, false},
		{"a newer one of the same verdicts", Heartbeat{Incarnation: 1, Sequence: l.beats + 2, Digest: v.digest}, false, true},
		{"a new life without verdicts", Heartbeat{Incarnation: 2, Sequence: 1}, false, true},
	} {
		l.now = l.now.Add(s)
		c.heartbeat.Origin = "r1-n0"
		if behind := l.Hear(&c.heartbeat, l.now); behind != c.behind || v.synced.After(synced) != c.renewed {
			t.Errorf("%s: Hear = %v, renewed %v, want %v, %v", c.name, behind, v.synced.After(synced), c.behind, c.renewed)
		}
		synced = v.synced
	}
	if l.Hear(&Heartbeat{Origin: "stranger", Incarnation: 1, Sequence: 1, Digest: 5}, l.now) {
		t.Error("Hear of a stranger asks for its verdicts")
	}
}

func TestSetTargets(t *testing.T) {
	l := newTimeline(3, 1)
	l.setTargets(l.target)
	l.do(t, "up")
	changed := *l.target
	changed.Path = "/other"
	l.setTargets(&changed)
	l.Advance(l.now)
	if got := l.show(); got != "up, held 0/3" {
		t.Errorf("with another definition it is %s, want up, held 0/3 until there are verdicts under it", got)
	}
	l.target = &changed
	l.do(t, "up")
	if got := l.show(); got != "up 3/3" {
		t.Errorf("with verdicts under the new definition it is %s, want up 3/3", got)
	}

	other := *l.target
	other.ID = "b/e0/ipv4"
	group := &Group{ID: "a/e0/ipv4", Need: 1, Terms: []Term{{Check: l.target.ID}, {Check: other.ID}}}
	for _, step := range []struct {
		targets []*Target
		groups  []*Group
		want    []CheckID
	}{
		{[]*Target{l.target, &other}, []*Group{group}, []CheckID{"a/e0/ipv4", "b/e0/ipv4", "c/e0/ipv4"}},
		{[]*Target{l.target, &other}, nil, []CheckID{"b/e0/ipv4", "c/e0/ipv4"}},
		{[]*Target{&other}, []*Group{group}, []CheckID{"a/e0/ipv4", "b/e0/ipv4"}},
		{[]*Target{l.target}, nil, []CheckID{"c/e0/ipv4"}},
		{nil, nil, nil},
	} {
		l.setTargets(step.targets...)
		l.SetGroups(step.groups, nil)
		l.Advance(l.now)
		if got := l.View().Checks(); !slices.Equal(got, step.want) || len(l.View().statuses) != len(got) {
			t.Errorf("the view has %v and %d statuses, want %v", got, len(l.View().statuses), step.want)
		}
	}
}

// A node that starts hears first that a vantage says nothing, and then, late or from another's relay, what it said long ago.
func TestOldVerdictsAfterASync(t *testing.T) {
	now := time.Unix(1000, 0)
	table := NewTable("eu", now)
	target := &Target{ID: "c/e/ipv4", Interval: time.Second, Fall: 3, Rise: 3}
	table.SetVantages([]Vantage{{Node: "v", Region: "eu"}})
	table.SetTargets([]*Target{target}, nil, now)
	if table.Hear(&Heartbeat{Origin: "v", Incarnation: 1, Sequence: 9, Verdicts: 7}, now) {
		t.Fatal("behind a vantage that says nothing")
	}
	table.Merge(&Batch{Origin: "v", Incarnation: 1, Sequence: 5, Full: true,
		Records: []Record{{Check: target.ID.Key(), Definition: target.Digest(), State: Up, Sequence: 5}}})
	table.Advance(now)
	if s := table.View().Status(target.ID, Global); s.Fresh != 0 {
		t.Errorf("a verdict that was withdrawn before the vantage was last heard counts as fresh: %+v", s)
	}
}
