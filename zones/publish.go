package zones

import (
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// Inputs are what changes between two compiles of a world.
type Inputs struct {
	Health  *health.View
	Control *control.State // nil: not known yet, every control is on
	Spill   *Spill         // nil: nobody is full
}

// A Change names the inputs that may differ from those of the snapshot before.
type Change struct {
	All      bool
	Checks   []health.CheckID
	Controls []control.ControlID

	Endpoints []string // that somebody set by hand, or that may return to a pool
	Pools     []string // whose spill is another
}

// Publish makes the snapshot that follows prev (nil: the first). Only the pools that the change touches are decided
// anew, and all of them if the plan is another one.
func (p *Plan) Publish(prev *Snapshot, in Inputs, change Change, now time.Time) *Snapshot {
	s := &Snapshot{Plan: p, Health: in.Health, Control: in.Control, Spill: in.Spill, Published: now}
	if prev != nil && prev.Plan == p && prev.Control == in.Control && (prev.dynamic.until.IsZero() || now.Before(prev.dynamic.until)) {
		s.dynamic = prev.dynamic
	} else {
		s.dynamic = p.dynamicOf(in, now)
	}
	d := decider{in: in, now: now}
	if prev == nil || prev.Plan != p || change.All {
		s.Pools = make([]*PoolAnswers, len(p.Pools))
		s.Digest = p.Digest ^ s.dynamic.digest
		for i, pool := range p.Pools {
			s.Pools[i] = d.decide(pool)
			s.Digest ^= s.Pools[i].Digest
			s.until = earlier(s.until, s.Pools[i].Until)
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
	for _, endpoint := range change.Endpoints {
		for _, number := range p.byEndpoint[endpoint] {
			touched[number] = true
		}
	}
	for _, name := range change.Pools {
		if number, ok := p.byPool[name]; ok {
			touched[number] = true
		}
	}
	if !prev.until.IsZero() && !now.Before(prev.until) {
		for number, pool := range prev.Pools {
			if !pool.Until.IsZero() && !now.Before(pool.Until) {
				touched[number] = true
			}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(touched)) {
		s.Pools[number] = d.decide(p.Pools[number])
		s.Digest ^= prev.Pools[number].Digest ^ s.Pools[number].Digest
	}
	s.until = prev.until
	if len(touched) > 0 {
		s.until = time.Time{}
		for _, pool := range s.Pools {
			s.until = earlier(s.until, pool.Until)
		}
	}
	return s
}

// earlier returns the earlier of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// A decider decides pools, one after the other, by the same inputs.
type decider struct {
	in        Inputs
	now       time.Time
	standings []standing
}

func (d *decider) decide(p *PoolPlan) *PoolAnswers {
	answers := &PoolAnswers{Plan: p, Groups: make([]GroupAnswers, len(p.Groups))}
	sum := digest(mix(uint64(p.Number)) ^ p.seed)
	for g := range p.Groups {
		if g == 0 || p.regional {
			var until time.Time
			d.standings, until = p.standings(d.standings, d.in, &p.Groups[g], d.now)
			answers.Until = earlier(answers.Until, until)
		}
		group := &answers.Groups[g]
		for family, rrtype := range p.Types {
			if rrtype == 0 {
				continue
			}
			e := evaluation{plan: p, group: &p.Groups[g], standings: d.standings, family: family}
			choice := &group.Families[family]
			*choice = e.choose()
			group.ByPrefix = group.ByPrefix || choice.byPrefix()
			choice.write(&sum)
		}
		p.addHTTPS(group)
	}
	answers.Digest = health.Hash64(sum)
	return answers
}

// byPrefix reports whether the answers from a choice depend on the client's prefix.
func (c *Choice) byPrefix() bool { return len(c.Others) > 0 || c.Sticky && len(c.Options) > 1 }

// A digest is of a sequence of numbers.
type digest uint64

func (d *digest) add(x uint64) { *d = digest(mix(uint64(*d)^x)) + 1 }

// write adds all that the answers from a choice follow from.
func (c *Choice) write(d *digest) {
	d.add(uint64(c.Rung)<<32 | uint64(c.Total))
	for i := range c.Options {
		o := &c.Options[i]
		d.add(uint64(o.Weight)<<32 | uint64(o.Set.Type))
		for _, m := range o.Members {
			d.add(uint64(m) + 1)
		}
	}
	for i := range c.Others {
		d.add(uint64(c.Others[i].From)<<16 | uint64(c.Others[i].To))
		c.Others[i].Choice.write(d)
	}
}
