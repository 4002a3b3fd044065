// Package replay writes down what the answers of a node followed from, and finds what was in force at a time.
//
// A Moment is one published snapshot, told by what it was made of: which plan, the status of
// every check with the votes behind it, the control state. A Writer makes the records of
// segments; each segment begins with a whole moment and goes on with differences, so that a
// replay reads one segment. Find chooses the segment and the moment, and Moment.Snapshot
// makes the snapshot again, given the plan.
//
// It opens no file and reads no clock. It keeps no world, no geo table and no picture of
// round-trip times, but digests by which a replay can tell whether it has the same. Any bytes
// may be read: a record that was cut or damaged ends what is known of its segment, and
// nothing of another one.
package replay

import (
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A Basis names the plan of a moment by digests.
type Basis struct {
	World  health.Hash64 // zones.World.Digest: the configuration, without the zones that are copied from others
	Places health.Hash64 // geo.Table.Digest
	Plan   health.Hash64 // zones.Plan.Digest: both, and in which order each place has the regions by the round-trip times
}

// BasisOf returns the basis of a plan.
func BasisOf(p *zones.Plan) Basis {
	return Basis{p.World.Digest, health.Hash64(p.Table.Digest()), p.Digest}
}

// A Moment is what the answers of a node followed from, from one publish to the next. It is immutable.
type Moment struct {
	Published time.Time // by the node's clock
	Basis     Basis
	Health    *health.View   // never nil
	Control   *control.State // nil where none was known yet; one that was read has its steering part only
	Spill     *zones.Spill   // nil where nobody was full
	Digest    health.Hash64  // of the snapshot: equal for equal answers
}

// Of returns the moment of a snapshot.
func Of(s *zones.Snapshot) *Moment {
	m := &Moment{s.Published, BasisOf(s.Plan), s.Health, s.Control, s.Spill, s.Digest}
	if m.Health == nil {
		m.Health = &health.View{}
	}
	return m
}

// Inputs are what the moment's snapshot is made of beside the plan.
func (m *Moment) Inputs() zones.Inputs {
	return zones.Inputs{Health: m.Health, Control: m.Control, Spill: m.Spill}
}

// Snapshot makes the moment's snapshot again, by a plan. If that has the moment's basis, the two explain every question alike.
func (m *Moment) Snapshot(p *zones.Plan) *zones.Snapshot {
	return p.Publish(nil, m.Inputs(), zones.Change{All: true}, m.Published)
}

// Premise says what time is replayed, and since when what was in force then was, both in the zone of the former.
func Premise(at, published time.Time) string {
	const clock = "15:04:05.999" // it takes milliseconds to tell snapshots apart
	layout, since := time.DateOnly+"T"+clock+"Z07:00", published.In(at.Location())
	text := fmt.Sprintf("replay of %s: in force since ", at.Format(layout))
	if since.Format(time.DateOnly) == at.Format(time.DateOnly) {
		return text + since.Format(clock)
	}
	return text + since.Format(layout)
}
