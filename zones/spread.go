package zones

import (
	"slices"
)

// A Demand is how much the clients of pools want, by the pool's name and the key of the clients' group: requests per second where the
// capacities in the pool are in these, else answers per second.
type Demand map[string]map[uint64]float64

// A Load is what a member with a capacity gets, as the demand predicts, in the unit of its capacity: requests or answers per second.
type Load struct {
	Kept
	Load, Capacity float64
}

const (
	// fewAnswers is how many answers per second are too few to tell shares by.
	fewAnswers = 1
	// A member that spills takes more again when it could do so and still had a tenth of its capacity left.
	spareRoom = 0.9
	// mostMore is how much of its capacity a member may get at most in addition with one step.
	mostMore = 0.1
	// lambdas is in how many parts a step is divided when it is too large.
	lambdas = 16
)

// Spread returns the spill that should follow the snapshot's, for a demand, one step at a time: at most a tenth of its capacity comes to
// a member in addition. The snapshot is of this plan. Members beyond their capacity keep as many prefixes as they have room for, and if
// those that could take the rest are full as well, all of them are in proportion beyond theirs. Of pools whose demand is not known all
// stays as it is, and so do members that are not up.
func (p *Plan) Spread(s *Snapshot, d Demand) *Spill {
	var all []Kept
	for _, pool := range p.capped {
		sp, kept := pool.spreader(s, d[pool.Pool.Name])
		if sp != nil {
			kept = sp.step(kept)
		}
		all = append(all, pool.named(kept)...)
	}
	return NewSpill(all)
}

// Loads predicts what the members with capacities get by the snapshot, in the plan's order; nothing for pools whose demand is not known.
func (s *Snapshot) Loads(d Demand) (loads []Load) {
	for _, pool := range s.Plan.capped {
		sp, kept := pool.spreader(s, d[pool.Pool.Name])
		if sp == nil {
			continue
		}
		predicted := sp.predict(kept)
		for i, k := range pool.named(kept) {
			loads = append(loads, Load{k, predicted.all(i), sp.capacities[i]})
		}
	}
	return loads
}

// named names the members of which it is said how much they keep.
func (p *PoolPlan) named(kept []uint16) []Kept {
	named := make([]Kept, len(kept))
	for i := range kept {
		named[i] = Kept{p.Pool.Name, p.limits[i].member, kept[i]}
	}
	return named
}

// A spreader predicts what the members with a capacity in one pool get.
type spreader struct {
	plan       *PoolPlan
	wants      []want
	total      float64
	capacities []float64 // by limit
	above      [][]int   // the limits that each leaf is under
}

// A want is the part of the demand that one group has by one family.
type want struct {
	evaluation // on the rung that it is answered from
	fixed      *Choice
	amount     float64
}

// spreader prepares predictions by a snapshot, and returns what the members keep by it; nil where the demand is not known.
func (p *PoolPlan) spreader(s *Snapshot, demand map[uint64]float64) (*spreader, []uint16) {
	kept := make([]uint16, len(p.limits))
	for i := range kept {
		kept[i] = s.Spill.kept(p.Pool.Name, p.limits[i].member)
	}
	sp := &spreader{plan: p, above: make([][]int, len(p.Leaves))}
	for _, amount := range demand {
		sp.total += amount
	}
	matched := 0.0
	seen := make(map[uint64]bool)
	in := s.inputs()
	in.Spill = nil
	for g := range p.Groups {
		group := &p.Groups[g]
		amount := demand[group.Key]
		if amount <= 0 || seen[group.Key] {
			continue
		}
		seen[group.Key] = true
		matched += amount
		standings, _ := p.standings(nil, in, group, s.Published)
		sp.add(group, standings, amount)
	}
	if matched == 0 || !p.InRequests() && sp.total < fewAnswers {
		return nil, kept
	}
	for i := range sp.wants {
		sp.wants[i].amount *= sp.total / matched // clients of groups that are not known here are like the others
	}
	for i := range p.limits {
		c := p.limits[i].capacity
		sp.capacities = append(sp.capacities, float64(c.Requests)+float64(c.Percent)/100*sp.total)
		for _, leaf := range p.limits[i].leaves {
			sp.above[leaf] = append(sp.above[leaf], i)
		}
	}
	return sp, kept
}

// add adds the demand of a group: each family that it is answered by has an equal part.
func (sp *spreader) add(group *GroupPlan, standings []standing, amount float64) {
	first := len(sp.wants)
	for family, rrtype := range sp.plan.Types {
		if rrtype == 0 {
			continue
		}
		w := want{evaluation: evaluation{plan: sp.plan, group: group, standings: slices.Clone(standings), family: family}}
		c := w.choose()
		if len(c.Options) == 0 {
			continue
		}
		if c.Rung != RungUp && c.Rung != RungTooFew {
			w.fixed = &c
		}
		sp.wants = append(sp.wants, w)
	}
	for i := first; i < len(sp.wants); i++ {
		sp.wants[i].amount = amount / float64(len(sp.wants)-first)
	}
}

// A prediction is what comes of a spill, by limit.
type prediction struct {
	loads  []float64 // of prefixes for which there is room
	excess []float64 // of those for which there is none, which are answered as if there were
	over   float64   // the demand of these
	stuck  []bool    // the member could take it, but for its capacity
}

func (p *prediction) all(limit int) float64 { return p.loads[limit] + p.excess[limit] }

func (sp *spreader) predict(kept []uint16) *prediction {
	n := len(kept)
	p := &prediction{loads: make([]float64, n), excess: make([]float64, n), stuck: make([]bool, n)}
	for i := range sp.wants {
		w := &sp.wants[i]
		if w.fixed != nil {
			sp.give(p.loads, w.fixed, w.amount)
			continue
		}
		sp.plan.fill(w.standings, func(limit int) uint16 { return kept[limit] })
		base, ok := w.among(RungUp)
		if !ok {
			continue
		}
		rest := uint16(FullRamp)
		for part, choice := range w.parts(RungUp) {
			if rest == FullRamp {
				rest = part.from
			}
			width := w.amount * float64(part.to-part.from) / FullRamp
			if choice != nil {
				sp.give(p.loads, choice, width)
				continue
			}
			p.over += width
			sp.give(p.excess, &base, width)
			w.roomy, w.prefix = true, 0
			for leaf := range sp.plan.reached(sp.plan.root, w.group) {
				for _, limit := range sp.above[leaf] {
					p.stuck[limit] = p.stuck[limit] || w.counts(leaf)
				}
			}
			w.roomy = false
		}
		sp.give(p.loads, &base, w.amount*float64(rest)/FullRamp)
	}
	return p
}

// give has the members of a choice share an amount.
func (sp *spreader) give(to []float64, c *Choice, amount float64) {
	for i := range c.Options {
		o := &c.Options[i]
		each := amount * float64(o.Weight) / float64(c.Total) / float64(max(len(o.Members), 1))
		for _, leaf := range o.Members {
			for _, limit := range sp.above[leaf] {
				to[limit] += each
			}
		}
	}
}

// step goes from what members keep towards what they should keep.
func (sp *spreader) step(now []uint16) []uint16 {
	least, most := sp.target(spareRoom), sp.target(1)
	up := sp.up()
	goal := make([]uint16, len(now))
	for i := range now {
		goal[i] = max(min(now[i], most[i]), min(least[i], most[i]))
		if !up[i] {
			goal[i] = now[i]
		}
	}
	before := sp.predict(now)
	next := slices.Clone(now)
	for lambda := lambdas; lambda > 0; lambda-- {
		for i := range next {
			next[i] = uint16(int(now[i]) + (int(goal[i])-int(now[i]))*lambda/lambdas)
		}
		if sp.bearable(before, sp.predict(next)) {
			break
		}
	}
	if slices.Equal(next, now) { // the smallest step is taken in any case
		for i := range next {
			switch {
			case goal[i] > now[i]:
				next[i]++
			case goal[i] < now[i]:
				next[i]--
			}
		}
	}
	return next
}

// bearable reports whether nobody gets too much at once.
func (sp *spreader) bearable(before, after *prediction) bool {
	for i, capacity := range sp.capacities {
		if after.all(i) > before.all(i)+mostMore*capacity {
			return false
		}
	}
	return true
}

// up reports which members could take anything now.
func (sp *spreader) up() []bool {
	up := make([]bool, len(sp.capacities))
	for i := range sp.wants {
		w := &sp.wants[i]
		w.roomy = true
		for leaf := range sp.plan.reached(sp.plan.root, w.group) {
			for _, limit := range sp.above[leaf] {
				up[limit] = up[limit] || w.fixed == nil && w.counts(leaf)
			}
		}
		w.roomy = false
	}
	return up
}

// target returns what the members keep if each takes a part of its capacity at most, or if that is not enough for the demand those that
// have to take more than that all the same part more.
func (sp *spreader) target(part float64) (kept []uint16) {
	room := make([]float64, len(sp.capacities))
	for i, capacity := range sp.capacities {
		room[i] = part * capacity
	}
	for range 64 {
		kept = sp.settle(room)
		p := sp.predict(kept)
		if p.over <= sp.total/FullRamp {
			break
		}
		sum := 0.0
		for i, stuck := range p.stuck {
			if stuck {
				sum += room[i]
			}
		}
		more := 1 + max(p.over/sum, 0.005)
		for i, stuck := range p.stuck {
			if stuck {
				room[i] *= more
			}
		}
	}
	return kept
}

// settle returns the most that members can keep without any having more than its room. What one does not keep comes to others, so it
// goes down from everything until it fits: what comes to a member only grows with that, so there is no going back.
func (sp *spreader) settle(room []float64) []uint16 {
	kept := make([]uint16, len(room))
	for i := range kept {
		kept[i] = FullRamp
	}
	for again := true; again; {
		again = false
		p := sp.predict(kept)
		for i := range room {
			if p.loads[i] <= room[i]*(1+1e-9) || kept[i] == 1 {
				continue
			}
			low, high := uint16(1), kept[i] // low may be kept, high is too much
			for high-low > 1 {
				kept[i] = (low + high) / 2
				if sp.predict(kept).loads[i] <= room[i]*(1+1e-9) {
					low = kept[i]
				} else {
					high = kept[i]
				}
			}
			kept[i], again = low, true
			p = sp.predict(kept)
		}
	}
	return kept
}
