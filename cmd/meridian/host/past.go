package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/outgoing"
	"github.com/meridian-gslb/meridian/cmd/meridian/past"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// openPast opens what answers followed from, if the node's file has it kept.
func (h *Host) openPast() error {
	limits := past.Limits{Keep: h.cfg.Replay.Keep, Bytes: int64(h.cfg.Replay.SizeMiB) << 20, Worlds: int64(h.cfg.Replay.WorldsMiB) << 20}
	if limits.Bytes == 0 {
		return nil
	}
	var err error
	if h.past, err = past.Open(past.Config{Dir: filepath.Join(h.cfg.Data, "past"), Limits: limits, Logger: h.log}); err != nil {
		return err
	}
	h.compiler.past.store = h.past
	return h.registry.Register(h.past)
}

// replayed makes what was in force at a time again: by the plan of today, or if the world was another one, by that.
func (h *Host) replayed(ctx context.Context, at time.Time) (dashboard.Past, error) {
	if h.past == nil {
		return dashboard.Past{}, fmt.Errorf("%w: replay.size_mib is 0 in the file of this node", replay.ErrOutside)
	}
	found, err := h.past.At(ctx, at)
	if err != nil {
		return dashboard.Past{}, err
	}
	m, plan := found.Moment, h.snapshot.Load().Plan
	if m.Basis.World != plan.World.Digest {
		if plan, err = h.compiler.past.planOf(ctx, m.Basis.World); err != nil {
			return dashboard.Past{}, err
		}
	}
	snapshot := m.Snapshot(plan)
	return dashboard.Past{Snapshot: snapshot, Notes: func(e *zones.Explanation) []string {
		var notes []string
		for _, note := range found.Notes() {
			notes = append(notes, "not certain: "+note)
		}
		for _, note := range otherwise(m, snapshot, e) {
			notes = append(notes, "not as then: "+note)
		}
		return notes
	}}, nil
}

// otherwise says what an explanation rests on that was otherwise when the moment was published, as far as that is known.
func otherwise(m *replay.Moment, s *zones.Snapshot, e *zones.Explanation) (notes []string) {
	basis := replay.BasisOf(s.Plan)
	sampled := e.Pool != nil && slices.ContainsFunc(e.Pool.Members, hasSamples)
	switch {
	case basis.Places != m.Basis.Places:
		notes = append(notes, "clients are placed, and regions are near, by the geo table and the round-trip times of today")
	case basis.Plan != m.Basis.Plan:
		notes = append(notes, "regions are near by the round-trip times of today, which put them into another order for some clients")
	case s.Digest != m.Digest:
		notes = append(notes, "the same facts give other answers: another version of this program gave those, or the clock was set")
	case sampled:
		notes = append(notes, "the round-trip times that are shown are those of today; by those of then, the regions were in the same order")
	}
	for i := range s.Plan.World.Zones {
		z := &s.Plan.World.Zones[i]
		switch {
		case z.Apex != e.Zone:
		case z.Copied:
			notes = append(notes, fmt.Sprintf("the records of zone %s, which is copied from others, are those of today", z.Apex))
		case outgoing.Wanted(z) && e.Type == "SOA":
			notes = append(notes, fmt.Sprintf("the serial of zone %s is that of today", z.Apex))
		}
	}
	return notes
}

func hasSamples(m zones.MemberReason) bool {
	return m.Samples > 0 || slices.ContainsFunc(m.Members, hasSamples)
}
