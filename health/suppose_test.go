package health

import (
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// statusOf is of a check whose regions r0, r1, … have vantages as opinions has them.
func statusOf(state State, regions ...string) Status {
	s := Status{Check: "c", State: state, Measured: state}
	for i, vantages := range regions {
		o := opinions(vantages)
		s.Regions = append(s.Regions, Vote{geo.RegionID(string(rune('a' + i))), regionVote(o), o})
		s.Assigned += len(o)
		for _, one := range o {
			if one.Fresh {
				s.Fresh++
			}
		}
	}
	return s
}

func TestAs(t *testing.T) {
	was := statusOf(Down, "uus", "ddd", "D")
	was.Held, was.HeldBack, was.Grace, was.Recovered = true, true, true, time.Unix(1, 0)
	before := statusOf(Down, "uus", "ddd", "D")
	for _, state := range []State{Up, Down, Drain} {
		s := was.As(state)
		if s.State != state || s.Measured != state || s.Held || s.HeldBack || s.Grace || !s.Recovered.IsZero() || s.Fresh != 7 || s.Assigned != 7 {
			t.Errorf("As(%v) = %+v, want that state by all 7 vantages, and nothing held", state, s)
		}
		for _, vote := range s.Regions {
			if vote.State != state || regionVote(vote.Vantages) != state {
				t.Errorf("As(%v): region %s votes %v by %+v", state, vote.Region, vote.State, vote.Vantages)
			}
		}
		if s.Quorum.decide(s.Regions) != state {
			t.Errorf("As(%v): the quorum of its votes is %v", state, s.Quorum.decide(s.Regions))
		}
	}
	for i := range before.Regions {
		if !slices.Equal(before.Regions[i].Vantages, was.Regions[i].Vantages) || before.Regions[i].State != was.Regions[i].State {
			t.Errorf("As changed the status that it was asked of: %+v", was.Regions[i])
		}
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  Status
		region  geo.RegionID
		state   State
		held    bool
		fresh   int
		because string
	}{
		{"the others see it too", statusOf(Up, "uuu", "uuu", "uuu"), "a", Up, false, 6, "up"},
		{"of three that saw it two are left", statusOf(Up, "uu", "uu", "dd", "dd"), "a", Down, false, 6, "one region of three says up"},
		{"the one that did not see it is gone", statusOf(Down, "dd", "dd", "uu"), "a", Up, false, 4, "two regions: one is enough"},
		{"half are left", statusOf(Up, "uu", "dd"), "a", Up, true, 2, "held"},
		{"too few are left, and it was down", statusOf(Down, "dd", "u"), "a", Down, true, 1, "held"},
		{"no vantage there", statusOf(Up, "uu", "dd"), "z", Up, false, 4, "as it was"},
		{"vantages there that are silent already", statusOf(Up, "ss", "dd", "dd"), "a", Up, false, 4, "as it was"},
		{"decided by nobody", Status{Check: "c", State: Up, Measured: Up}, "a", Up, false, 0, "as it was"},
	} {
		s := c.status.Without(c.region)
		if s.State != c.state || s.Held != c.held || s.Fresh != c.fresh {
			t.Errorf("%s: Without(%s) = %v, held %v, fresh %d; want %v, %v, %d: %s", c.name, c.region, s.State, s.Held, s.Fresh, c.state, c.held, c.fresh, c.because)
		}
		for _, vote := range s.Regions {
			if vote.Region == c.region && (vote.State != Unknown || slices.ContainsFunc(vote.Vantages, func(o Opinion) bool { return o.Fresh || o.Stale == "" })) {
				t.Errorf("%s: region %s still votes: %+v", c.name, c.region, vote)
			}
		}
		for i, vote := range c.status.Regions {
			if vote.State != regionVote(vote.Vantages) {
				t.Errorf("%s: Without changed vote %d of the status that it was asked of", c.name, i)
			}
		}
	}
}
