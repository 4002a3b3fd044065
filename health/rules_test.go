package health

import (
	"fmt"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// votesOf are those of regions whose vantages are written as opinions takes them.
func votesOf(regions ...string) (votes []Vote) {
	for i, vantages := range regions {
		votes = append(votes, Vote{geo.RegionID(fmt.Sprint("r", i)), regionVote(opinions(vantages)), opinions(vantages)})
	}
	return votes
}

func TestQuorumPresets(t *testing.T) {
	for _, c := range []struct {
		name    string
		quorum  string
		regions []string
		want    State
	}{
		{"nobody votes", "majority", []string{"s", ""}, Unknown},
		{"route53: of five vantages one is more than 18 %", "route53", []string{"udd", "dd"}, Up},
		{"route53: of six one is not", "route53", []string{"udd", "ddd"}, Down},
		{"route53: what is stale does not count", "route53", []string{"udd", "dds"}, Up},
		{"route53: one region is enough where it has enough vantages", "route53", []string{"uuu", "ddd", "ddd"}, Up},
		{"majority: half is enough", "majority", []string{"u", "u", "d", "d"}, Up},
		{"majority: less is not", "majority", []string{"u", "u", "d", "d", "d"}, Down},
		{"majority: draining ones are not down", "majority", []string{"u", "u", "D", "d", "d"}, Drain},
		{"any: one", "any", regions(1, 9), Up},
		{"any: none", "any", regions(0, 9), Down},
		{"all: every one", "all", regions(3, 0), Up},
		{"all: one missing", "all", regions(9, 1), Down},
		{"all: who does not vote is not missed", "all", []string{"u", "u", "s"}, Up},
		{"a number", "3", regions(3, 6), Up},
		{"one less than the number", "3", regions(2, 7), Down},
		{"all of fewer than the number", "3", []string{"u", "u", "s"}, Up},
	} {
		quorum, err := ParseQuorum(c.quorum)
		if err != nil {
			t.Fatal(err)
		}
		if quorum.String() != c.quorum {
			t.Errorf("%q is spelt %q", c.quorum, quorum)
		}
		if got := quorum.decide(votesOf(c.regions...)); got != c.want {
			t.Errorf("%s: %s of %q = %v, want %v", c.name, c.quorum, c.regions, got, c.want)
		}
	}
	for _, bad := range []string{"", "most", "0", "-1", "1001", "1.5", "Default"} {
		if q, err := ParseQuorum(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, q)
		}
	}
}

// What is up is held back while it would not be without the vantages that see it come and go.
func TestFlaps(t *testing.T) {
	damped := func(regions ...string) []Vote {
		votes := votesOf(regions...)
		for i, r := range regions {
			for j := range r {
				if r[j] == 'f' { // up, damped
					votes[i].Vantages[j].State, votes[i].Vantages[j].Reason = Up, ReasonDamped
				}
			}
			votes[i].State = regionVote(votes[i].Vantages)
		}
		return votes
	}
	for _, c := range []struct {
		name    string
		regions []string
		want    bool
	}{
		{"nobody sees it", []string{"u", "u", "u"}, false},
		{"one of three sees it", []string{"f", "u", "u"}, false},
		{"two of three see it", []string{"f", "f", "u"}, true},
		{"a minority in each region", []string{"fuu", "fuu", "fuu"}, false},
		{"a majority in two of three regions", []string{"ffu", "ffu", "uuu"}, true},
	} {
		votes := damped(c.regions...)
		before := fmt.Sprint(votes)
		if got := (Quorum{}).flaps(votes); got != c.want {
			t.Errorf("%s: flaps(%q) = %v, want %v", c.name, c.regions, got, c.want)
		}
		if fmt.Sprint(votes) != before {
			t.Errorf("%s: the votes were changed", c.name)
		}
	}
}

func TestDamping(t *testing.T) {
	type row struct {
		after   time.Duration
		results string
		damped  bool
	}
	for _, c := range []struct {
		why  string
		off  bool
		rows []row
	}{
		{"one failure is forgiven", false, []row{{0, "o3t3o", false}}},
		{"two soon after each other are not", false, []row{{0, "o3t3o3t10o", false}, {0, "3t10o", true}}},
		{"unless it is turned off", true, []row{{0, "o3t3o3t10o", false}, {0, "3t10o3t10o", false}}},
		{"loss is not, and is over after some minutes without", false, []row{{0, "oototootootootoottooottooto3t10o", true}, {6 * time.Minute, "o", true}, {4 * time.Minute, "o", false}}},
		{"failures before those in a row are loss", false, []row{{0, "otooto3t10o", true}}},
		{"a failure now and then makes it longer", false, []row{{0, "otooto3t10o", true}, {3 * time.Minute, "too", true}, {3 * time.Minute, "too", true}, {3 * time.Minute, "o", true}, {10 * time.Minute, "o", false}}},
		{"to stay down makes it no longer", false, []row{{0, "otooto3t", false}, {0, "100t", false}, {9 * time.Minute, "10o", false}}},
		{"half an hour without a failure is enough after whatever", false, []row{{0, "o" + times("3t10o", 200), true}, {30 * time.Minute, "o", false}}},
	} {
		d := NewDetector(3, 3, !c.off)
		now := time.Unix(1_000_000_000, 0)
		for i, r := range c.rows {
			now = now.Add(r.after)
			for _, reason := range expand(t, r.results) {
				now = now.Add(time.Second)
				d.Observe(reason, now)
			}
			if got := d.Reason() == ReasonDamped; got != r.damped {
				t.Errorf("%s: row %d: after %.20q: %v (%v), penalty %.0f, want damped %v", c.why, i, r.results, d.State(), d.Reason(), d.penalty, r.damped)
			}
		}
	}
}

func times(s string, n int) (all string) {
	for range n {
		all += s
	}
	return all
}

func TestGroup(t *testing.T) {
	state := map[byte]State{'u': Up, 'd': Down, 'D': Drain, '?': Unknown}
	plain := func(n int) (terms []Term) { return make([]Term, n) }
	for _, c := range []struct {
		name   string
		need   int
		terms  []Term
		states string
		want   State
	}{
		{"all are up", 2, plain(2), "uu", Up},
		{"one of all is down", 2, plain(2), "ud", Down},
		{"one of all drains", 2, plain(2), "uD", Drain},
		{"one of all is unknown", 2, plain(2), "u?", Unknown},
		{"any is up", 1, plain(3), "ddu", Up},
		{"none of any is up", 1, plain(3), "ddd", Down},
		{"two of three", 2, plain(3), "udu", Up},
		{"one of three, and one unknown", 2, plain(3), "ud?", Unknown},
		{"one of three", 2, plain(3), "udd", Down},
		{"a veto is down", 1, []Term{{}, {Veto: true}}, "ud", Down},
		{"a veto that is up is nothing", 1, []Term{{}, {Veto: true}}, "du", Down},
		{"a veto that is unknown is none", 1, []Term{{}, {Veto: true}}, "u?", Up},
		{"a shadow that is down is nothing", 1, []Term{{}, {Shadow: true, Veto: true}}, "ud", Up},
		{"nothing is needed", 0, []Term{{Veto: true}}, "u", Up},
	} {
		g := Group{Need: c.need, Terms: c.terms}
		var states []State
		for i := range c.states {
			states = append(states, state[c.states[i]])
		}
		if got := g.state(states); got != c.want {
			t.Errorf("%s: state(%q) = %v, want %v", c.name, c.states, got, c.want)
		}
	}
	for s, want := range map[State]State{Up: Down, Drain: Down, Down: Up, Unknown: Unknown} {
		if got := s.inverted(); got != want {
			t.Errorf("%v inverted is %v, want %v", s, got, want)
		}
	}
}
