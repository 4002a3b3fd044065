package health

import (
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// As returns the status as if all assigned vantages had seen a state for long, for what-ifs: nothing is held, held back or only
// just recovered. Since stays as it is. The result shares no slice with s.
func (s Status) As(state State) Status {
	s.State, s.Measured = state, state
	s.Held, s.HeldBack, s.Grace, s.Recovered = false, false, false, time.Time{}
	s.Hold, s.Damped = HoldNone, false
	reason := [...]Reason{Unknown: ReasonNone, Up: ReasonOK, Down: ReasonTimeout, Drain: ReasonDrain}[state]
	return s.revote(func(vote *Vote) {
		vote.State = state
		for i := range vote.Vantages {
			o := &vote.Vantages[i]
			o.State, o.Reason, o.Fresh, o.Stale = state, reason, state != Unknown, ""
		}
	})
}

// Without returns the status as if the vantages of a region had been silent for long, for what-ifs: those that are left decide if they
// are more than half of all, else the status is held. One that no vantage of the region counts for stays as it is. The result shares
// no slice with s.
func (s Status) Without(region geo.RegionID) Status {
	fresh := s.Fresh
	s = s.revote(func(vote *Vote) {
		if vote.Region != region {
			return
		}
		vote.State = Unknown
		for i := range vote.Vantages {
			vote.Vantages[i].Fresh, vote.Vantages[i].Stale = false, staleSilent
		}
	})
	if s.Fresh == fresh {
		return s
	}
	s.Held, s.Hold, s.HeldBack, s.Damped = false, HoldNone, false, false
	if 2*s.Fresh <= s.Assigned {
		s.Held, s.Hold, s.Measured = true, HoldSilent, Unknown
		return s
	}
	s.Measured = s.Quorum.decide(s.Regions)
	s.State = s.Measured
	return s
}

// revote returns the status with changed votes of its own, its fresh vantages counted anew.
func (s Status) revote(change func(*Vote)) Status {
	s.Regions, s.Fresh = slices.Clone(s.Regions), 0
	for i := range s.Regions {
		vote := &s.Regions[i]
		vote.Vantages = slices.Clone(vote.Vantages)
		change(vote)
		for _, o := range vote.Vantages {
			if o.Fresh {
				s.Fresh++
			}
		}
	}
	return s
}
