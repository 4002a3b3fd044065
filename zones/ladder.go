package zones

import (
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A standing says of one leaf what stands in the way of answering with it, by family.
type standing struct {
	permitted bool // enabled, its controls are on, and nobody has forced it down
	drained   bool // by hand: after all others of its rung
	rung      [2]Rung
	held      [2]bool
	ramp      [2]uint16 // per mille of the prefixes that it has back already
	kept      uint16    // per mille of the prefixes that it has room for
}

// whole is the standing of a leaf that is up and has all of its prefixes.
func whole(permitted bool) standing {
	return standing{permitted: permitted, ramp: [2]uint16{FullRamp, FullRamp}, kept: FullRamp}
}

// standings looks at every leaf as the clients of a group are to see it, and says when time alone will change that; zero: never.
func (p *PoolPlan) standings(dst []standing, in Inputs, g *GroupPlan, now time.Time) (_ []standing, until time.Time) {
	dst = slices.Grow(dst[:0], len(p.Leaves))[:len(p.Leaves)]
	p.root.eachLeaf(g, func(number int, region geo.RegionID) {
		var end time.Time
		dst[number], end = p.Leaves[number].standing(in, region, now)
		until = earlier(until, end)
	})
	p.fill(dst, func(limit int) uint16 { return in.Spill.PerMille(p.Pool.Name, p.limits[limit].member) })
	return dst, until
}

// fill notes how much the leaves keep by the limits that they are under.
func (p *PoolPlan) fill(standings []standing, kept func(limit int) uint16) {
	for i := range standings {
		standings[i].kept = FullRamp
	}
	for i := range p.limits {
		for _, leaf := range p.limits[i].leaves {
			standings[leaf].kept = min(standings[leaf].kept, kept(i))
		}
	}
}

// eachLeaf calls visit with every leaf of a level, and the region whose vantages decide for the clients of a group.
func (l *level) eachLeaf(g *GroupPlan, visit func(leaf int, region geo.RegionID)) {
	region := health.Global
	if l.pool.View == Regional {
		region = g.Region
	}
	for m, inner := range l.inner {
		if inner != nil {
			inner.eachLeaf(g.inner[m], visit)
		} else {
			visit(l.leaf[m], region)
		}
	}
}

// standing looks at a leaf as the vantages of a region see it.
func (l *Leaf) standing(in Inputs, region geo.RegionID, now time.Time) (s standing, until time.Time) {
	s = whole(l.enabled && in.permits(l))
	overlay, _ := in.Control.Overlay(l.Endpoint)
	for family, check := range l.checks {
		if check == "" {
			continue
		}
		status := in.Health.Status(check, region)
		if status.Shadow {
			continue
		}
		s.rung[family], s.held[family] = rungOf(status), status.Held
		if s.rung[family] == RungUp && in.latched(l) {
			s.rung[family] = RungHeldBack
		}
		var end time.Time
		s.ramp[family], end = l.ramp(status, now)
		until = earlier(until, end)
	}
	if l.Target != nil { // probed by either family, answered by the first
		s.rung[0], s.held[0], s.ramp[0] = max(s.rung[0], s.rung[1]), s.held[0] || s.held[1], min(s.ramp[0], s.ramp[1])
	}
	switch overlay.State {
	case control.ForceUp:
		forced := whole(s.permitted)
		forced.held = s.held
		return forced, time.Time{}
	case control.ForceDown:
		s.permitted = false
	case control.Drain:
		s.drained = true
		for family := range s.rung {
			s.rung[family] = max(s.rung[family], RungDrain)
		}
	}
	return s, until
}

// permits reports whether all controls of a leaf are on.
func (in Inputs) permits(leaf *Leaf) bool {
	return !slices.ContainsFunc(leaf.controls, func(c control.ControlID) bool { return !in.on(c) })
}

func (in Inputs) on(c control.ControlID) bool {
	return c == "" || in.Control == nil || in.Control.On(c)
}

// latched reports whether an endpoint that is up again waits until somebody resumes it.
func (in Inputs) latched(leaf *Leaf) bool {
	return leaf.Pool.Failback == FailbackManual && in.Control.Latched(leaf.Pool.Name, leaf.Endpoint)
}

// rungOf says from which rung on a status lets a member be answered.
//
//	status                       rung
//	up                           up
//	unknown, in its grace        up          it keeps its rank for 3 intervals
//	down, but measured up        held back   by hold_down
//	unknown                      unknown
//	drain                        drain       it answers, but wants no new clients
//	down                         open
func rungOf(s health.Status) Rung {
	switch {
	case s.State == health.Up || s.State == health.Unknown && s.Grace:
		return RungUp
	case s.HeldBack:
		return RungHeldBack
	case s.State == health.Unknown:
		return RungUnknown
	case s.State == health.Drain:
		return RungDrain
	}
	return RungOpen
}

// A ramp starts with firstRamp of the prefixes and goes on in steps, so that snapshots are published at times that all nodes share but
// for when they noticed the recovery.
const (
	firstRamp = 100
	rampSteps = 20
)

// ramp returns which share of the prefixes an endpoint has back, in per mille, and when that changes; zero: not by itself.
func (l *Leaf) ramp(s health.Status, now time.Time) (ramp uint16, until time.Time) {
	slow := l.Pool.SlowStart
	if l.Pool.Policy == Failover && l.Pool.Failback != FailbackRamp {
		slow = 0
	}
	since := now.Sub(s.Recovered)
	if slow == 0 || s.State != health.Up || s.Recovered.IsZero() || since >= slow {
		return FullRamp, time.Time{}
	}
	step := max(since, 0) * rampSteps / slow
	return uint16(firstRamp + (FullRamp-firstRamp)*step/rampSteps), s.Recovered.Add((step + 1) * slow / rampSteps)
}

// An evaluation chooses what one group of clients is answered by one family.
type evaluation struct {
	plan      *PoolPlan
	group     *GroupPlan
	standings []standing
	family    int

	// What a leaf must be to count.
	rung    Rung   // at most
	minimum bool   // pools with fewer than min_up members that are up count as none
	drained bool   // those that are drained by hand count too, on the rung that takes down ones for up
	prefix  uint16 // one so far in the per mille
	roomy   bool   // those that are full for the prefix count too
	back    bool   // those that the prefix does not have back yet count too
	explore bool   // the region that may be nearer comes first
}

// counts reports whether a leaf may be answered with.
func (e *evaluation) counts(leaf int) bool {
	s := &e.standings[leaf]
	return s.permitted && s.rung[e.family] <= e.rung && (e.back || s.ramp[e.family] > e.prefix) && (e.roomy || s.kept > e.prefix) &&
		e.plan.Leaves[leaf].Sets[e.family] != nil && (e.rung < RungOpen || e.drained || !s.drained)
}

// choose goes down the ladder and stops at the first rung that is not empty.
//
//	of the group's members the family has                 answer
//	permitted ones that are up, enough for min_up         those
//	permitted ones that are up                            those
//	a permitted one that is held back, unknown or
//	draining                                              those of the first such rung
//	none such, behind a fence                             what the fence has
//	none such, while the other family has one that is up  NODATA
//	permitted ones, all down                              as when_all_down says
//	no permitted one                                      last resort if configured, else NODATA
func (e *evaluation) choose() Choice {
	p := e.plan
	best := RungNoData
	otherUp := false
	for leaf := range p.reached(p.root, e.group) {
		s := &e.standings[leaf]
		if !s.permitted {
			continue
		}
		if p.Leaves[leaf].Sets[e.family] != nil {
			best = min(best, s.rung[e.family])
		}
		otherUp = otherUp || p.Leaves[leaf].Sets[1-e.family] != nil && s.rung[1-e.family] == RungUp
	}
	switch {
	case best == RungUp:
		if e.rung, e.minimum = RungUp, p.minimum; e.minimum {
			if c, ok := e.offer(RungUp); ok {
				return c
			}
			e.minimum = false
			return e.must(RungTooFew)
		}
		return e.must(RungUp)
	case best < RungOpen:
		e.rung = best
		return e.must(best)
	case e.group.Fence >= 0:
		return p.fenced(e.group.Fence, e.family)
	case otherUp:
		return Choice{Rung: RungNoData}
	case best == RungOpen && p.Pool.WhenAllDown == Open:
		e.rung = RungOpen
		if c, ok := e.offer(RungOpen); ok {
			return c
		}
		e.drained = true
		return e.must(RungOpen)
	case p.LastResort[e.family] != nil:
		return p.instead(RungLastResort, p.LastResort[e.family])
	}
	return Choice{Rung: RungNoData}
}

// instead is a choice of records that no member has.
func (p *PoolPlan) instead(rung Rung, set *RecordSet) Choice {
	return Choice{Rung: rung, Total: 1, Options: []Option{{Set: set, Weight: 1}}}
}

// fenced is what clients behind a fence are answered when those that match them are not available.
func (p *PoolPlan) fenced(member, family int) Choice {
	sets := p.fences[member]
	switch {
	case sets[family] != nil:
		return p.instead(RungFenced, sets[family])
	case sets[1-family] != nil:
		return Choice{Rung: RungNoData}
	}
	return Choice{Rung: RungFenced, Brief: true}
}

func (e *evaluation) must(rung Rung) Choice {
	c, ok := e.offer(rung)
	if !ok {
		panic("zones: pool " + e.plan.Pool.Name + ": nothing on rung " + rung.String() + ", which is not empty")
	}
	return c
}
