package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// DissentAfter is for how long a vantage must say otherwise than all together to be worth an event.
const DissentAfter = 5 * time.Minute

// A Dissent is a vantage that says otherwise than the quorum.
type Dissent struct {
	Vantage NodeID    `json:"vantage"`
	Check   CheckID   `json:"check"`
	Says    State     `json:"says"`
	Reason  Reason    `json:"reason"`
	Since   time.Time `json:"since"` // when this was first noticed
}

// A Reach is a check that only one region sees up.
type Reach struct {
	Check  CheckID      `json:"check"`
	Region geo.RegionID `json:"region"`
	Since  time.Time    `json:"since"`
}

// Dissents keeps track of who says otherwise than the quorum, and of what only one region sees. The zero value knows of none; one
// goroutine owns it.
type Dissents struct {
	vantages map[dissenter]time.Time
	reaches  map[reached]time.Time
}

type dissenter struct {
	vantage NodeID
	check   CheckID
	says    State
}

type reached struct {
	check  CheckID
	region geo.RegionID
}

// Look takes a view in and returns what has been so for longer than DissentAfter: ordered by vantage and check, and by check.
func (d *Dissents) Look(v *View, now time.Time) (dissents []Dissent, reaches []Reach) {
	vantages, inPart := make(map[dissenter]time.Time), make(map[reached]time.Time)
	since := func(at time.Time, known bool) time.Time {
		if known {
			return at
		}
		return now
	}
	for _, id := range v.Checks() {
		s := v.statuses[id]
		if s.Measured == Unknown || s.Terms != nil {
			continue
		}
		var up []geo.RegionID
		for _, vote := range s.Regions {
			if vote.State == Up {
				up = append(up, vote.Region)
			}
			for _, o := range vote.Vantages {
				if !o.Fresh || o.State == s.Measured {
					continue
				}
				who := dissenter{o.Vantage, id, o.State}
				at, known := d.vantages[who]
				vantages[who] = since(at, known)
				if at := vantages[who]; now.Sub(at) > DissentAfter {
					dissents = append(dissents, Dissent{o.Vantage, id, o.State, o.Reason, at})
				}
			}
		}
		if s.Measured == Down && len(up) == 1 {
			what := reached{id, up[0]}
			at, known := d.reaches[what]
			inPart[what] = since(at, known)
			if at := inPart[what]; now.Sub(at) > DissentAfter {
				reaches = append(reaches, Reach{id, up[0], at})
			}
		}
	}
	d.vantages, d.reaches = vantages, inPart
	slices.SortFunc(dissents, func(a, b Dissent) int {
		return cmp.Or(cmp.Compare(a.Vantage, b.Vantage), cmp.Compare(a.Check, b.Check))
	})
	return dissents, reaches
}

// Text says what a dissenting vantage says, in a few words.
func (d Dissent) Text() string { return fmt.Sprintf("%s %v (%v)", d.Check, d.Says, d.Reason) }
