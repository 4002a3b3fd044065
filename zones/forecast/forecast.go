// Package forecast says what a change does before it is made: what differs between two worlds, and which clients move where.
//
// Compare takes two snapshots: of two worlds with everything up, or of one world as it is
// and as it would be if something were otherwise. Clients move as far as their answers
// differ, taken as weighted lists of endpoints: the share that moves is half the sum of
// the differences, also where a share of prefixes, or chance, decides. So nobody moves
// between equal snapshots, and what leaves a region arrives in others, nothing else.
//
// The package looks at no traffic. A share is of the address space that the geo table has
// a place for, and of a list of client prefixes if there is one. It decides nothing: the
// answers are those of the snapshots. Equal arguments give equal forecasts.
package forecast

import (
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A Forecast is what differs from a world to another one.
type Forecast struct {
	Changes []Change  `json:"changes"` // of the configuration
	Records []Records `json:"records"` // of zones whose static records differ, ordered by apex
	Clients Clients   `json:"clients"`
	// Unproven are checks of which other things are asked than before: until an endpoint is up by them, they take nothing down.
	Unproven []string  `json:"unproven,omitempty"`
	Guards   []Finding `json:"guards"` // what somebody has to allow
}

// unproven names the checks of a world that are asked otherwise than those of the same name in another, or are new, ordered.
func unproven(before, after *zones.World) (names []string) {
	asked := make(map[string]uint64)
	for i := range before.Checks {
		asked[before.Checks[i].Name] = before.Checks[i].Proof()
	}
	for i := range after.Checks {
		c := &after.Checks[i]
		if proof, known := asked[c.Name]; c.Group == nil && (!known || proof != c.Proof()) {
			names = append(names, c.Name)
		}
	}
	return names
}

// Steady returns the inputs of a plan with every endpoint up and every routing control as it starts.
func Steady(plan *zones.Plan) zones.Inputs {
	up := make([]health.Status, len(plan.Subjects))
	for i, s := range plan.Subjects {
		up[i] = health.Status{Check: s.Check, State: health.Up, Measured: health.Up}
	}
	return zones.Inputs{Health: health.NewView(up), Control: control.Initial(plan.World.Definitions)}
}

// Compare says what differs from a world to another one, each as it answers, for the clients of a list (nil: there is none) too.
func Compare(before, after *zones.Snapshot, prefixes []Prefix) *Forecast {
	f := &Forecast{
		Changes: changes(before.Plan.World, after.Plan.World), Records: records(before.Plan.World, after.Plan.World),
		Clients: Moves(before, after, prefixes),
	}
	f.Unproven = unproven(before.Plan.World, after.Plan.World)
	f.Guards = f.guards(before.Plan.World, after.Plan.World)
	return f
}
