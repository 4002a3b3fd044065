package health

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A Status is what all vantages together say of a check. It is a value; its slices are shared and not to be written.
type Status struct {
	Check     CheckID   `json:"check"`
	State     State     `json:"state"`               // what answers obey
	Measured  State     `json:"measured"`            // what the fresh votes say now, before hold_down
	Quorum    Quorum    `json:"quorum"`              // the rule by which they say it
	Held      bool      `json:"held,omitempty"`      // the last state stays, whatever is measured
	Hold      Hold      `json:"hold,omitempty"`      // why
	HeldBack  bool      `json:"held_back,omitempty"` // measured up, but not yet for hold_down, or damped
	Damped    bool      `json:"damped,omitempty"`    // held back because it came and went too often
	Shadow    bool      `json:"shadow,omitempty"`    // no answer obeys it
	Grace     bool      `json:"grace,omitempty"`     // unknown for less than 3 intervals: keeps its rank
	Since     time.Time `json:"since"`               // when State last changed
	Recovered time.Time `json:"recovered,omitzero"`  // when State last became Up after it had been worse; zero: never
	Assigned  int       `json:"assigned"`            // vantages that should probe it
	Fresh     int       `json:"fresh"`               // those whose verdict counts
	Regions   []Vote    `json:"regions"`             // every region with assigned vantages, ordered by id

	Terms []TermState `json:"terms,omitempty"` // of a group: what its checks say
}

// A Hold is why a status is held.
type Hold string

const (
	HoldNone     Hold = ""
	HoldSilent   Hold = "silent"   // half or fewer of the vantages are fresh
	HoldUnsteady Hold = "unsteady" // half or fewer are heard steadily, with a word of the time since
	HoldUnproven Hold = "unproven" // nothing was ever up under the present definition of the check
	HoldFrozen   Hold = "frozen"   // somebody froze all automatic change
	HoldMass     Hold = "mass"     // most targets went down at once, by doubtful evidence
	HoldSlim     Hold = "slim"     // down by a majority that coincidence could make, and not yet for long
)

// A Vote is what the vantages of one region say of a check.
type Vote struct {
	Region   geo.RegionID `json:"region"`
	State    State        `json:"state"` // Unknown: no fresh vantage, the region does not vote
	Vantages []Opinion    `json:"vantages"`
}

// An Opinion is one vantage's verdict as the table that shows it knows it.
type Opinion struct {
	Vantage NodeID `json:"vantage"`
	State   State  `json:"state"`
	Reason  Reason `json:"reason"`
	Fresh   bool   `json:"fresh"`
	Near    bool   `json:"near,omitempty"`  // in the endpoint's own network
	Stale   string `json:"stale,omitempty"` // why it is not fresh
}

// A View is an immutable picture of a Table. Its zero value knows no check.
type View struct {
	statuses map[CheckID]*Status
	ordered  []CheckID
	mass     *Mass
	frozen   bool
}

// Mass returns the mass change that is held; nil: none.
func (v *View) Mass() *Mass { return v.mass }

// Frozen reports whether all automatic change is stopped.
func (v *View) Frozen() bool { return v.frozen }

// NewView makes a view of statuses that no table decided, for what-ifs and tests.
func NewView(statuses []Status) *View {
	v := &View{statuses: make(map[CheckID]*Status, len(statuses))}
	for _, s := range statuses {
		v.statuses[s.Check] = &s
	}
	v.ordered = slices.Sorted(maps.Keys(v.statuses))
	return v
}

// Global addresses the status of all regions together.
const Global geo.RegionID = ""

// Status returns the status of a check as clients of a region are to see it: for Global the quorum's, for a region
// its own vote where it has one, by vantages outside of the endpoint's own network. A check that is not known is Unknown.
func (v *View) Status(c CheckID, region geo.RegionID) Status {
	status, ok := v.statuses[c]
	if !ok {
		return Status{Check: c}
	}
	if region == Global {
		return *status
	}
	regional := *status
	for _, vote := range status.Regions {
		if state := vote.outside(); vote.Region == region && state != Unknown && status.Hold != HoldFrozen {
			regional.State, regional.Measured, regional.Held, regional.HeldBack = state, state, false, false
			regional.Hold, regional.Damped, regional.Recovered = HoldNone, false, time.Time{}
		}
	}
	return regional
}

// outside is what the vantages of a region say that are not in the endpoint's own network; Unknown where there is none that is fresh.
func (v *Vote) outside() State {
	if !slices.ContainsFunc(v.Vantages, func(o Opinion) bool { return o.Near }) {
		return v.State
	}
	return regionVote(slices.DeleteFunc(slices.Clone(v.Vantages), func(o Opinion) bool { return o.Near }))
}

// Checks returns the checks of the view in order. The slice is not to be written.
func (v *View) Checks() []CheckID { return v.ordered }

// Since returns the statuses that are not as in an earlier view (nil: one that knows no check), in order, and the checks that only that
// one knows. What a table has not looked at again between the two costs no more than to see that.
func (v *View) Since(earlier *View) (changed []Status, gone []CheckID) {
	if earlier == nil {
		earlier = &View{}
	}
	for _, id := range v.ordered {
		is, was := v.statuses[id], earlier.statuses[id]
		if is != was && (was == nil || !is.equal(was)) {
			changed = append(changed, *is)
		}
	}
	for _, id := range earlier.ordered {
		if v.statuses[id] == nil {
			gone = append(gone, id)
		}
	}
	return changed, gone
}

func (s *Status) equal(o *Status) bool {
	return s.Check == o.Check && s.State == o.State && s.Measured == o.Measured && s.Held == o.Held && s.HeldBack == o.HeldBack && s.Grace == o.Grace &&
		s.Quorum == o.Quorum && s.Hold == o.Hold && s.Damped == o.Damped && s.Shadow == o.Shadow && slices.Equal(s.Terms, o.Terms) &&
		s.Since.Equal(o.Since) && s.Recovered.Equal(o.Recovered) && s.Assigned == o.Assigned && s.Fresh == o.Fresh &&
		slices.EqualFunc(s.Regions, o.Regions, func(a, b Vote) bool {
			return a.Region == b.Region && a.State == b.State && slices.Equal(a.Vantages, b.Vantages)
		})
}

// Summary says in a few words what the status rests on.
func (s *Status) Summary() string {
	up, voting := 0, 0
	reasons := make(map[Reason]int)
	for _, vote := range s.Regions {
		if vote.State != Unknown {
			voting++
		}
		if vote.State == Up {
			up++
		}
		for _, o := range vote.Vantages {
			if o.Fresh && o.State != Up {
				reasons[o.Reason]++
			}
		}
	}
	text := fmt.Sprintf("%d of %d regions say up, %d of %d vantages fresh", up, voting, s.Fresh, s.Assigned)
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		text += fmt.Sprintf(", %d × %v", reasons[r], r)
	}
	return text
}
