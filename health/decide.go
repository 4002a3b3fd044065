package health

import "time"

// decide brings the status of a check up to date and returns when time alone may change it again; zero: never.
//
//	fresh vantages   steady ones     votes say       status was   becomes
//	half or fewer    any             -               any          held: as it was, but down on a failure near by
//	more than half   half or fewer   drain, down     better       likewise
//	more than half   any             up              down, or     up after hold_down of up without a break
//	                                                 draining since
//	more than half   any             up              any other    up
//	more than half   more than half  drain, down     better       as they say
//	more than half   any             drain, down     any other    as they say
//
// The vantages on the far side of a cut do not fall silent at the same instant, nor come back at one. While they do, those
// that are left can for a moment be more than half of all, and this side's own blindness a majority among them: so only
// vantages that have been heard steadily are believed when they take an endpoint down.
//
// A state from disk becomes up without hold_down in the first minutes after the start. The first state after unknown
// takes effect at once.
func (t *Table) decide(e *entry, now time.Time) (again time.Time) {
	s := &e.status
	steady := 0
	s.Regions, steady = t.votes(e, now)
	s.Assigned, s.Fresh = e.missing, 0
	for _, vote := range s.Regions {
		s.Assigned += len(vote.Vantages)
		for _, o := range vote.Vantages {
			if o.Fresh {
				s.Fresh++
			}
		}
	}
	was := s.State
	s.HeldBack, s.Grace = false, false
	s.Held = 2*s.Fresh <= s.Assigned
	if !s.Held && 2*steady <= s.Assigned && worse(quorum(s.Regions), s.State) {
		s.Held, again = true, now.Add(steadyAgain)
	}
	if s.Held {
		s.Measured = Unknown
		e.upSince = time.Time{}
		if t.failsNearby(e) {
			s.State = Down
		}
	} else {
		s.Measured = quorum(s.Regions)
		again = e.follow(now, t.started)
		e.fromDisk = false
	}
	if s.State != was {
		s.Since = now
	}
	if s.State == Unknown {
		if end := e.first.Add(graceIntervals * e.target.Interval); now.Before(end) {
			s.Grace, again = true, earliest(again, end)
		}
	}
	return again
}

// steadyAgain is when a status is looked at again that is held only until more vantages are steady.
const steadyAgain = time.Second

// worse reports whether a known state would be left for a worse one.
func worse(next, state State) bool {
	return state == Up && next != Up || state == Drain && next == Down
}

// follow moves the status to what the votes say.
func (e *entry) follow(now, started time.Time) (again time.Time) {
	s := &e.status
	e.recovering = e.recovering || s.State == Down || s.Measured == Down
	if s.Measured != Up {
		s.State, e.upSince = s.Measured, time.Time{}
		return time.Time{}
	}
	if e.upSince.IsZero() {
		e.upSince = now
	}
	end := e.upSince.Add(e.target.HoldDown)
	excused := e.fromDisk && now.Sub(started) < ColdStart
	if e.recovering && now.Before(end) && !excused {
		s.HeldBack = true
		return end
	}
	if s.State != Up && e.recovering {
		s.Recovered = now
	}
	s.State, e.recovering = Up, false
	return time.Time{}
}

// failsNearby reports whether an endpoint of this node's own region is seen to fail, not merely silent, by at least two
// fresh vantages of that region: reason enough even while the world is out of sight.
func (t *Table) failsNearby(e *entry) bool {
	if e.target.Region != t.region {
		return false
	}
	failing := 0
	for _, vote := range e.status.Regions {
		for _, o := range vote.Vantages {
			if vote.Region == t.region && o.Fresh && o.State == Down && o.Reason.Positive() {
				failing++
			}
		}
	}
	return failing >= 2
}

// staleSilent is why the word of a vantage that is not heard does not count.
const staleSilent = "no heartbeat"

// votes returns what each region with assigned vantages says of the check, and how many of the fresh vantages are steady.
func (t *Table) votes(e *entry, now time.Time) (votes []Vote, steady int) {
	key := e.target.ID.Key()
	for _, assigned := range e.assigned {
		o := Opinion{Vantage: assigned.Node, Stale: staleSilent}
		if v := t.origins[assigned.Node]; v != nil {
			r, ok := v.records[key]
			o.State, o.Reason = r.State, r.Reason
			switch {
			case !v.fresh(now):
			case !ok || r.State == Unknown:
				o.Stale = "no verdict"
			case r.Definition != e.definition:
				o.Stale = "another definition of the check"
			default:
				o.Stale, o.Fresh = "", true
				if v.steady(now) {
					steady++
				}
			}
		}
		if n := len(votes); n == 0 || votes[n-1].Region != assigned.Region {
			votes = append(votes, Vote{Region: assigned.Region})
		}
		vote := &votes[len(votes)-1]
		vote.Vantages = append(vote.Vantages, o)
	}
	for i := range votes {
		votes[i].State = regionVote(votes[i].Vantages)
	}
	return votes, steady
}
