package health

import (
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// decide brings the status of a check up to date and returns when time alone may change it again; zero: never.
//
//	fresh vantages   steady ones     votes say       status was   becomes
//	half or fewer    any             -               any          held: as it was, but down on a failure near by
//	more than half   half or fewer   drain, down     better       likewise
//	more than half   any             any             any          held as it was, if something restrains it; see restraint
//	more than half   any             up              down, or     up after hold_down of up without a break, and once it
//	                                                 draining     is no longer damped
//	                                                 since
//	more than half   any             up              any other    up
//	more than half   more than half  drain, down     better       as they say
//	more than half   any             drain, down     any other    as they say
//
// The vantages on the far side of a cut do not fall silent at the same instant, nor come back at one, and when they come back
// their word is of the time of the cut. While they do, those that are left can for a moment be more than half of all, and this
// side's own blindness a majority among them: so only vantages that have been heard steadily are believed when they take an
// endpoint down.
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
	was := e.status
	s.Quorum, s.Shadow = e.target.Rules.Quorum, e.target.Rules.Shadow
	s.HeldBack, s.Damped, s.Grace, s.Hold = false, false, false, HoldNone
	s.Measured = s.Quorum.decide(s.Regions)
	switch {
	case 2*s.Fresh <= s.Assigned:
		s.Hold = HoldSilent
	case 2*steady <= s.Assigned && worse(s.Measured, s.State):
		s.Hold, again = HoldUnsteady, now.Add(lookAgain)
	}
	if s.Hold != HoldNone {
		s.Measured = Unknown
		e.upSince, e.slimSince = time.Time{}, time.Time{}
		if !t.frozen && t.failsNearby(e) {
			s.State = Down
		}
	} else if s.Hold = t.restraint(e, now); s.Hold != HoldNone {
		e.upSince = time.Time{}
		again = now.Add(lookAgain)
	} else {
		again = e.follow(now, t.started)
		e.fromDisk = false
	}
	s.Held = s.Hold != HoldNone
	if s.State != was.State {
		s.Since = now
		t.note(&was, s, now)
	}
	if s.State == Unknown {
		if end := e.first.Add(graceIntervals * e.target.Interval); now.Before(end) {
			s.Grace, again = true, earliest(again, end)
		}
	}
	return again
}

const (
	lookAgain = time.Second      // a status that is held until something else changes is looked at again
	slimFor   = 15 * time.Second // a slim majority is believed; half of what a passing error takes
)

// restraint says what keeps a status from following the votes.
//
//	the table is frozen                                                      frozen
//	down, and no target of the check was ever up under its definition        unproven: the definition may be the mistake
//	down while most others go down too, by doubtful evidence, and a pool     mass
//	would lose by it what it needs
//	down for less than 15 s, by less than two thirds of the fresh vantages   slim
func (t *Table) restraint(e *entry, now time.Time) Hold {
	s := &e.status
	if s.Measured != Down || !worse(Down, s.State) || !s.Quorum.slim(s.Regions) {
		e.slimSince = time.Time{}
	} else if e.slimSince.IsZero() {
		e.slimSince = now
	}
	if s.Measured == Up || s.Measured == Drain { // who drains answers as the definition has it
		t.prove(e)
	}
	switch {
	case t.frozen:
		return HoldFrozen
	case s.Measured == Down && s.State != Down && !t.isProven(e):
		return HoldUnproven
	case s.Measured == Down && s.State == Up && t.massHolds(s.Check):
		return HoldMass
	case !e.slimSince.IsZero() && now.Sub(e.slimSince) < slimFor:
		return HoldSlim
	}
	return HoldNone
}

// prove notes that a target of a check's definition is up: from now on the definition is to be believed.
func (t *Table) prove(e *entry) {
	if !t.isProven(e) {
		t.proven[e.target.Proof] = true
		for id, other := range t.checks {
			if other.target.Proof == e.target.Proof && other.status.Hold == HoldUnproven {
				t.dirty[id] = true
			}
		}
	}
}

func (t *Table) isProven(e *entry) bool { return e.target.Proof == 0 || t.proven[e.target.Proof] }

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
	if s.State != Up && s.Quorum.flaps(s.Regions) {
		if s.State == Unknown {
			s.State = Down
		}
		s.HeldBack, s.Damped, e.recovering = true, true, true
		return time.Time{} // the vantages will say when it is over
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

// Why the word of a vantage does not count.
const (
	staleSilent     = "no heartbeat"
	staleNone       = "no verdict"
	staleDefinition = "another definition of the check"
	staleAbstains   = "abstains: "
)

// votes returns what each region with assigned vantages says of the check, and how many of the fresh vantages are steady.
func (t *Table) votes(e *entry, now time.Time) (votes []Vote, steady int) {
	key := e.target.ID.Key()
	for _, assigned := range e.assigned {
		o := Opinion{Vantage: assigned.Node, Stale: staleSilent, Near: assigned.near(e.target.Address.Addr())}
		if v := t.origins[assigned.Node]; v != nil {
			r, ok := v.records[key]
			o.State, o.Reason = r.State, r.Reason
			switch {
			case !v.fresh(now):
			case r.Reason.Abstains():
				o.Stale = staleAbstains + r.Reason.String()
			case !ok || r.State == Unknown:
				o.Stale = staleNone
			case r.Definition != e.definition:
				o.Stale = staleDefinition
			default:
				o.Stale, o.Fresh = "", true
				if v.steady(now) && !v.outdated(r, e.target.Interval, now) {
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

// outdated reports whether a verdict may be of the time when its vantage was not heard: it was there when that came back, and there was
// no time to probe anew since.
func (v *vector) outdated(r Record, interval time.Duration, now time.Time) bool {
	return !v.back.IsZero() && r.Sequence <= v.old && now.Sub(v.back) < freshIntervals*interval
}

// SeenElsewhere reports whether at least two regions other than one see a check in a state, by the word of vantages that are heard steadily.
func (t *Table) SeenElsewhere(id CheckID, state State, region geo.RegionID, now time.Time) bool {
	e := t.checks[id]
	if e == nil {
		return false
	}
	agreeing, key := 0, id.Key()
	for rest := e.assigned; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Region == rest[0].Region {
			n++
		}
		var heard tally
		for _, vantage := range rest[:n] {
			v := t.origins[vantage.Node]
			if v == nil || vantage.Region == region || !v.steady(now) {
				continue
			}
			if r := v.records[key]; r.State != Unknown && r.Definition == e.definition && !v.outdated(r, e.target.Interval, now) {
				heard.add(r.State)
			}
		}
		if heard.state((heard.voting+1)/2) == state {
			agreeing++
		}
		rest = rest[n:]
	}
	return agreeing >= 2
}
