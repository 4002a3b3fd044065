package zones

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// Inputs are what changes between two compiles of a world.
type Inputs struct {
	Health  *health.View
	Control *control.State // nil: not known yet, every control is on
}

// A Change names the inputs that may differ from those of the snapshot before.
type Change struct {
	All      bool
	Checks   []health.CheckID
	Controls []control.ControlID
}

// Publish makes the snapshot that follows prev (nil: the first). Only the pools that the change touches are decided
// anew, and all of them if the plan is another one.
func (p *Plan) Publish(prev *Snapshot, in Inputs, change Change, now time.Time) *Snapshot {
	s := &Snapshot{Plan: p, Health: in.Health, Control: in.Control, Published: now}
	if prev != nil && prev.Plan == p && prev.Control == in.Control && (prev.dynamic.until.IsZero() || now.Before(prev.dynamic.until)) {
		s.dynamic = prev.dynamic
	} else {
		s.dynamic = p.dynamicOf(in, now)
	}
	if prev == nil || prev.Plan != p || change.All {
		s.Pools = make([]*PoolAnswers, len(p.Pools))
		s.Digest = p.Digest ^ s.dynamic.digest
		for i, pool := range p.Pools {
			s.Pools[i] = pool.decide(in)
			s.Digest ^= s.Pools[i].Digest
		}
		return s
	}
	s.Pools, s.Digest = slices.Clone(prev.Pools), prev.Digest^prev.dynamic.digest^s.dynamic.digest
	touched := make(map[int]bool)
	for _, check := range change.Checks {
		for _, number := range p.byCheck[check] {
			touched[number] = true
		}
	}
	for _, id := range change.Controls {
		for _, number := range p.byControl[id] {
			touched[number] = true
		}
	}
	for _, number := range slices.Sorted(maps.Keys(touched)) {
		s.Pools[number] = p.Pools[number].decide(in)
		s.Digest ^= prev.Pools[number].Digest ^ s.Pools[number].Digest
	}
	return s
}

func (p *PoolPlan) decide(in Inputs) *PoolAnswers {
	answers := &PoolAnswers{Plan: p, Groups: make([]GroupAnswers, len(p.Groups))}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s ", p.Number, p.Pool.Name)
	for g := range p.Groups {
		members := p.availability(in, p.Groups[g].Region)
		for family := range familyTypes {
			choice := p.choose(&p.Groups[g], members, family)
			answers.Groups[g].Families[family] = choice
			for _, o := range choice.Options {
				fmt.Fprintf(h, "%d %d %d %d %d ", g, family, o.Member, o.Weight, o.Ramp)
			}
		}
	}
	answers.Digest = health.Hash64(h.Sum64())
	return answers
}

// availability says of one member what stands in the way of answering with it, by family.
type availability struct {
	permitted bool    // enabled, and its control is on
	rung      [2]Rung // the rung from which it may be answered; RungOpen for one that is down
	held      [2]bool // its status
}

// availability looks at every member as the clients near a region are to see it.
func (p *PoolPlan) availability(in Inputs, region geo.RegionID) []availability {
	if p.Pool.View == Global {
		region = health.Global
	}
	members := make([]availability, len(p.Pool.Members))
	for i := range members {
		m := &p.Pool.Members[i]
		members[i].permitted = m.Enabled && in.on(m.Control)
		for family, check := range p.checks[i] {
			members[i].rung[family] = RungUp
			if check != "" {
				status := in.Health.Status(check, region)
				members[i].rung[family], members[i].held[family] = rungOf(status), status.Held
			}
		}
	}
	return members
}

func (in Inputs) on(c control.ControlID) bool {
	return c == "" || in.Control == nil || in.Control.On(c)
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

// choose goes down the ladder for one family and stops at the first rung that is not empty. On each rung the first tier
// with a member answers.
//
//	of the group's members the family has                 answer
//	a permitted one that is up, held back, unknown or
//	draining                                              those of the first such rung
//	none such, while the other family has one             NODATA
//	permitted ones, all down                              as when_all_down says
//	no permitted one                                      last resort if configured, else NODATA
func (p *PoolPlan) choose(g *GroupPlan, members []availability, family int) Choice {
	for rung := RungUp; rung < RungOpen; rung++ {
		if c := p.offer(g, members, family, rung); c.Options != nil {
			return c
		}
	}
	other := 1 - family
	anyPermitted, otherBetter := false, false
	for _, tier := range g.Tiers {
		for _, i := range tier.Members {
			m := members[i]
			anyPermitted = anyPermitted || m.permitted && p.Sets[i][family] != nil
			otherBetter = otherBetter || m.permitted && p.Sets[i][other] != nil && m.rung[other] < RungOpen
		}
	}
	switch {
	case otherBetter:
	case anyPermitted && p.Pool.WhenAllDown == Open:
		return p.offer(g, members, family, RungOpen)
	case p.LastResort[family] != nil:
		return Choice{Rung: RungLastResort, Total: 1, Options: []Option{{
			Set: p.LastResort[family], Weight: 1, Ramp: FullRamp, Member: -1, Counter: p.memberCounter(-1),
		}}}
	}
	return Choice{Rung: RungNoData}
}

// offer returns the permitted members of exactly one rung, in the first tier that has any.
func (p *PoolPlan) offer(g *GroupPlan, members []availability, family int, rung Rung) Choice {
	for _, tier := range g.Tiers {
		c := Choice{Rung: rung}
		for _, i := range tier.Members {
			if !members[i].permitted || members[i].rung[family] != rung || p.Sets[i][family] == nil {
				continue
			}
			weight := uint32(p.Pool.Members[i].Weight)
			if p.Pool.Policy != Weighted || weight == 0 {
				weight = 1 // in a tier of standbys all are equal
			}
			c.Options = append(c.Options, Option{
				Set: p.Sets[i][family], Weight: weight, Ramp: FullRamp, Held: members[i].held[family], Member: i, Counter: p.memberCounter(i),
			})
			c.Total += weight
		}
		if c.Options != nil {
			return c
		}
	}
	return Choice{}
}
