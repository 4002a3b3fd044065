package health

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// When many targets go down at once, either the world is ill or those that look at it. A mass change is held for a while if its
// evidence is doubtful, and only where a pool would lose what it needs: where others are up, clients are moved as ever.
const (
	massTargets = 10 // fewer targets, or in fewer regions, have no mass change
	massRegions = 3
	massShare   = 0.6
	massWindow  = 60 * time.Second
	massFor     = 120 * time.Second // at most; then the vantages are believed
	massRecent  = 10 * time.Minute  // what changed since is doubted
	massAlike   = 0.95              // of the failures with one and the same reason, before any byte
)

// A Need is what a pool needs of its members of one family: MinUp of them up. A member is up when all of its checks are; shadows are none.
type Need struct {
	Members [][]CheckID // the checks of each
	MinUp   int
}

// A Mass is a mass change that is held. It is immutable.
type Mass struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // at the latest
	Down  int       `json:"down"`  // targets that went down within a minute
	Of    int       `json:"of"`
	Why   string    `json:"why"` // the evidence is doubted
}

// A flip is a target that went down.
type flip struct {
	at  time.Time
	was Status
}

// note remembers who went down; but not what was held of a mass change whose time is over.
func (t *Table) note(was, is *Status, now time.Time) {
	if was.State == Up && is.State == Down && !is.Shadow && !now.Before(t.quiet) {
		t.flips[is.Check] = flip{now, *was}
	}
}

// Freeze stops or resumes all automatic change: while frozen every status stays as it is, and what is measured is shown.
func (t *Table) Freeze(on bool) {
	if t.frozen != on {
		t.frozen = on
		t.dirtyAll()
	}
}

// Release ends a mass hold that began before a time, and lets none begin for what went down before it.
func (t *Table) Release(at time.Time) {
	if !at.After(t.released) {
		return
	}
	t.released = at
	if t.mass != nil && !t.mass.Since.After(at) {
		t.endMass()
	}
	clear(t.flips)
}

func (t *Table) endMass() {
	t.quiet = t.mass.Since.Add(massFor + massWindow)
	t.mass = nil
	clear(t.flips)
	t.dirtyAll()
}

func (t *Table) dirtyAll() {
	for id := range t.checks {
		t.dirty[id] = true
	}
}

// massChange looks whether what went down lately is too much to be believed, and gives back what did if so, and what goes on to.
func (t *Table) massChange(now time.Time) (restored []CheckID) {
	for id, f := range t.flips {
		e := t.checks[id]
		if e == nil || e.status.State != Down || now.Sub(f.at) > massWindow && (t.mass == nil || t.mass.Since.Sub(f.at) > massWindow) {
			delete(t.flips, id)
		}
	}
	if t.mass == nil {
		t.mass = t.suspect(now)
	}
	if t.mass == nil {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(t.flips)) {
		if t.massHolds(id) {
			t.restore(id, now)
			restored = append(restored, id)
		}
	}
	return restored
}

// suspect returns the mass change that has just happened, if its evidence is doubtful.
func (t *Table) suspect(now time.Time) *Mass {
	if len(t.flips) < massTargets*massShare || t.frozen {
		return nil
	}
	known, regions := 0, make(map[geo.RegionID]bool)
	for _, e := range t.checks {
		if e.status.State != Unknown && !e.status.Shadow {
			known++
			regions[e.target.Region] = true
		}
	}
	if known < massTargets || len(regions) < massRegions || float64(len(t.flips)) <= massShare*float64(known) {
		return nil
	}
	why := t.doubts(now)
	if why == "" {
		return nil
	}
	return &Mass{now, now.Add(massFor), len(t.flips), known, why}
}

// restore gives a check back what it was before it went down.
func (t *Table) restore(id CheckID, now time.Time) {
	e, was := t.checks[id], t.flips[id].was
	e.status.State, e.status.Since, e.status.Recovered = was.State, was.Since, was.Recovered
	e.status.Hold, e.status.Held, e.recovering = HoldMass, true, false
	t.pending[id] = now.Add(lookAgain)
	delete(t.flips, id)
}

// massHolds reports whether a mass change is on and some pool would have fewer members up, freshly seen, than it needs without this check.
func (t *Table) massHolds(id CheckID) bool {
	if t.mass == nil {
		return false
	}
	for _, need := range t.needs[id] {
		up := 0
		for _, checks := range need.Members {
			if !slices.Contains(checks, id) && !slices.ContainsFunc(checks, func(other CheckID) bool { return !t.freshlyUp(other) }) {
				up++
			}
		}
		if up < need.MinUp {
			return true
		}
	}
	return false
}

func (t *Table) freshlyUp(id CheckID) bool {
	e := t.checks[id]
	return e != nil && e.status.State == Up && !e.status.Held
}

// doubts says why the evidence by which targets went down is doubtful; empty: it is not.
//
//	reference targets of a vantage fail too
//	most failures are for want of a route: the vantages' own network
//	19 of 20 failures are the same, before any byte came
//	most of the vantages that say down restarted in the last 10 minutes, perhaps as another version
//	most of the checks changed their definition in the last 10 minutes
func (t *Table) doubts(now time.Time) string {
	changed, failures := 0, 0
	reasons := make(map[Reason]int)
	says, restarted := make(map[NodeID]bool), 0
	for id := range t.flips {
		e := t.checks[id]
		if now.Sub(e.defined) < massRecent {
			changed++
		}
		for _, vote := range e.status.Regions {
			for _, o := range vote.Vantages {
				if o.Reason == ReasonReferences && !o.Fresh {
					return fmt.Sprintf("the reference targets of %s fail too", o.Vantage)
				}
				if !o.Fresh || o.State != Down {
					continue
				}
				failures++
				reasons[o.Reason]++
				if v := t.origins[o.Vantage]; !says[o.Vantage] && now.Sub(v.restarted) < massRecent {
					restarted++
				}
				says[o.Vantage] = true
			}
		}
	}
	if 2*reasons[ReasonNoRoute] > failures {
		return fmt.Sprintf("%d of %d failures are for want of a route", reasons[ReasonNoRoute], failures)
	}
	for _, r := range []Reason{ReasonTimeout, ReasonRefused, ReasonReset, ReasonOther} {
		if float64(reasons[r]) >= massAlike*float64(failures) {
			return fmt.Sprintf("%d of %d failures are alike: %v", reasons[r], failures, r)
		}
	}
	switch {
	case 2*restarted > len(says):
		return fmt.Sprintf("%d of %d vantages that say down restarted in the last %v", restarted, len(says), massRecent)
	case 2*changed > len(t.flips):
		return fmt.Sprintf("%d of %d checks changed their definition in the last %v", changed, len(t.flips), massRecent)
	}
	return ""
}
