package health

import (
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A Group is the status of one address of an endpoint by several checks of it, as Route 53's calculated checks. It is immutable.
type Group struct {
	ID       CheckID
	Endpoint string
	Region   geo.RegionID // of the endpoint
	Need     int          // how many of the terms that are no veto must be up
	Terms    []Term
}

// A Term is one check of a group.
type Term struct {
	Check  CheckID
	Invert bool // up counts as down, and down as up
	Veto   bool // down is enough for the group to be down, and up counts for nothing
	Shadow bool // counts for nothing
}

// A TermState is what a term of a group says. State is what counts: after inversion.
type TermState struct {
	Check  CheckID `json:"check"`
	State  State   `json:"state"`
	Invert bool    `json:"invert,omitempty"`
	Veto   bool    `json:"veto,omitempty"`
	Shadow bool    `json:"shadow,omitempty"`
}

// A gathering is what a table knows of a group.
type gathering struct {
	group  *Group
	status Status
}

// state is what the terms come to.
//
//	a veto is down                          down
//	`Need` of the others up                 up
//	as many up or draining                  drain
//	as many up, draining or unknown         unknown
//	fewer                                   down
func (g *Group) state(states []State) State {
	up, drain, unknown := 0, 0, 0
	for i, term := range g.Terms {
		switch {
		case term.Shadow:
		case term.Veto && states[i] == Down:
			return Down
		case term.Veto:
		case states[i] == Up:
			up++
		case states[i] == Drain:
			drain++
		case states[i] == Unknown:
			unknown++
		}
	}
	switch {
	case up >= g.Need:
		return Up
	case up+drain >= g.Need:
		return Drain
	case up+drain+unknown >= g.Need:
		return Unknown
	}
	return Down
}

// inverted is what an inverted term takes a state for. Draining is an answer.
func (s State) inverted() State {
	switch s {
	case Up, Drain:
		return Down
	case Down:
		return Up
	}
	return s
}

// gather brings the status of a group up to date by those of its checks.
func (t *Table) gather(g *gathering, now time.Time) {
	s, terms := &g.status, g.group.Terms
	was := s.State
	*s = Status{Check: g.group.ID, Since: s.Since}
	states, held, back, measured := make([]State, len(terms)), make([]State, len(terms)), make([]State, len(terms)), make([]State, len(terms))
	var regions []geo.RegionID
	for i, term := range terms {
		var of Status
		if e := t.checks[term.Check]; e != nil {
			of = e.status
		}
		fit := func(state State) State {
			if term.Invert {
				return state.inverted()
			}
			return state
		}
		states[i], held[i], back[i], measured[i] = fit(of.State), fit(of.State), fit(of.State), fit(of.Measured)
		if of.HeldBack {
			back[i] = fit(Up)
		}
		if of.Held {
			held[i], measured[i] = Unknown, Unknown
		}
		s.Terms = append(s.Terms, TermState{term.Check, states[i], term.Invert, term.Veto, term.Shadow})
		if term.Shadow {
			continue
		}
		s.Assigned, s.Fresh = s.Assigned+of.Assigned, s.Fresh+of.Fresh
		s.Damped, s.Grace = s.Damped || of.Damped, s.Grace || of.Grace
		if of.Recovered.After(s.Recovered) {
			s.Recovered = of.Recovered
		}
		if of.Held && s.Hold == HoldNone {
			s.Hold = of.Hold
		}
		for _, vote := range of.Regions {
			regions = append(regions, vote.Region)
		}
	}
	s.State, s.Measured = g.group.state(states), g.group.state(measured)
	if g.group.state(held) == s.State { // by what is not held alone
		s.Hold = HoldNone
	}
	s.Held = s.Hold != HoldNone
	s.HeldBack = s.State != Up && g.group.state(back) == Up
	s.Damped, s.Grace = s.Damped && s.HeldBack, s.Grace && s.State == Unknown
	slices.Sort(regions)
	for _, region := range slices.Compact(regions) {
		s.Regions = append(s.Regions, Vote{Region: region, State: t.regional(g.group, region)})
	}
	if s.State != was || s.Since.IsZero() {
		s.Since = now
	}
}

// regional is what a group comes to by the votes of one region.
func (t *Table) regional(g *Group, region geo.RegionID) State {
	states := make([]State, len(g.Terms))
	for i, term := range g.Terms {
		if e := t.checks[term.Check]; e != nil {
			if at := slices.IndexFunc(e.status.Regions, func(v Vote) bool { return v.Region == region }); at >= 0 {
				states[i] = e.status.Regions[at].State
			}
		}
		if term.Invert {
			states[i] = states[i].inverted()
		}
	}
	return g.state(states)
}
