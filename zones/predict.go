package zones

import (
	"maps"
	"slices"
)

// A spreader predicts what the members with a capacity in one pool get.
type spreader struct {
	plan       *PoolPlan
	wants      []want
	total      float64
	capacities []float64 // by limit
	above      [][]int   // the limits that each leaf is under

	steps   int // that it took so far
	scratch []uint16
}

// A want is the part of the demand that one group has by one family.
type want struct {
	evaluation // on the rung that it is answered from
	amount     float64
	fixed      *outcome // what is answered whoever is full; nil: that depends
	up         limits   // the members that it could be answered with, of those that are up
	ramps      []uint16 // from which prefixes on some do not have a member back, in order
	outcomes   map[without]*outcome
}

// limits are a set of the members with a capacity, by number.
type limits [maxLeaves / 64]uint64

func (l *limits) add(limit int) { l[limit/64] |= 1 << (limit % 64) }

func (l *limits) has(limit int) bool { return l[limit/64]>>(limit%64)&1 == 1 }

// without says what some prefixes do without: members that are full, and those that are not back at so many of the ramps.
type without struct {
	full  limits
	ramps int
}

// An outcome is what the members get of an amount of 1.
type outcome struct{ gets []getting }

type getting struct {
	limit int
	share float64
}

// spreader prepares predictions by a snapshot, and returns what the members keep by it; nil where the demand is not known.
func (p *PoolPlan) spreader(s *Snapshot, demand map[uint64]float64) (*spreader, []uint16) {
	kept := make([]uint16, len(p.limits))
	for i := range kept {
		kept[i] = s.Spill.PerMille(p.Pool.Name, p.limits[i].member)
	}
	sp := &spreader{plan: p, above: make([][]int, len(p.Leaves))}
	for _, key := range slices.Sorted(maps.Keys(demand)) { // in any other order the last bit may be another
		sp.total += demand[key]
	}
	for i := range p.limits {
		c := p.limits[i].capacity
		sp.capacities = append(sp.capacities, float64(c.Requests)+float64(c.Percent)/100*sp.total)
		for _, leaf := range p.limits[i].leaves {
			sp.above[leaf] = append(sp.above[leaf], i)
		}
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
	return sp, kept
}

// add adds the demand of a group: each family that it is answered by has an equal part.
func (sp *spreader) add(group *GroupPlan, standings []standing, amount float64) {
	first := len(sp.wants)
	for family, rrtype := range sp.plan.Types {
		if rrtype == 0 {
			continue
		}
		w := want{
			evaluation: evaluation{plan: sp.plan, group: group, standings: slices.Clone(standings), family: family}, outcomes: make(map[without]*outcome),
		}
		c := w.choose()
		switch {
		case len(c.Options) == 0:
			continue
		case c.Rung != RungUp && c.Rung != RungTooFew:
			w.fixed = sp.outcome(&c)
		default:
			w.ramps = w.steps()
			leaves := make(map[int]bool)
			for leaf := range sp.plan.reached(sp.plan.root, group) {
				if !w.counts(leaf) {
					continue
				}
				leaves[leaf] = true
				for _, limit := range sp.above[leaf] {
					w.up.add(limit)
				}
			}
			if len(leaves) == 1 { // there is nobody else for them, however full it is
				w.fixed = sp.outcome(&c)
			}
		}
		sp.wants = append(sp.wants, w)
	}
	for i := first; i < len(sp.wants); i++ {
		sp.wants[i].amount = amount / float64(len(sp.wants)-first)
	}
}

// outcome says what the members get by a choice.
func (sp *spreader) outcome(c *Choice) *outcome {
	shares := make([]float64, len(sp.plan.limits))
	for i := range c.Options {
		o := &c.Options[i]
		each := float64(o.Weight) / float64(c.Total) / float64(max(len(o.Members), 1))
		for _, leaf := range o.Members {
			for _, limit := range sp.above[leaf] {
				shares[limit] += each
			}
		}
	}
	var o outcome
	for limit, share := range shares {
		if share > 0 {
			o.gets = append(o.gets, getting{limit, share})
		}
	}
	return &o
}

// outcomeOf says what the members get of prefixes from one on; nil where nothing is left on the rung.
func (sp *spreader) outcomeOf(w *want, prefix uint16, kept []uint16) *outcome {
	var key without
	for limit, k := range kept {
		if k <= prefix && w.up.has(limit) {
			key.full.add(limit)
		}
	}
	for key.ramps < len(w.ramps) && w.ramps[key.ramps] <= prefix {
		key.ramps++
	}
	o, known := w.outcomes[key]
	if !known {
		sp.steps += len(sp.plan.Leaves)
		sp.plan.fill(w.standings, func(limit int) uint16 { return kept[limit] })
		w.prefix = prefix
		if c, ok := w.among(RungUp); ok {
			o = sp.outcome(&c)
		}
		w.prefix = 0
		w.outcomes[key] = o
	}
	return o
}

// A prediction is what comes of a spill, by limit.
type prediction struct {
	loads  []float64 // of prefixes for which there is room
	excess []float64 // of those for which there is none, which are answered as if there were
	over   float64   // the demand of these
	stuck  limits    // these could take it, but for their capacity
}

func (p *prediction) all(limit int) float64 { return p.loads[limit] + p.excess[limit] }

func (sp *spreader) predict(kept []uint16) *prediction {
	p := &prediction{loads: make([]float64, len(kept)), excess: make([]float64, len(kept))}
	for i := range sp.wants {
		w := &sp.wants[i]
		if w.fixed != nil {
			w.fixed.give(p.loads, w.amount)
			continue
		}
		from := uint16(0)
		for _, to := range sp.cuts(w, kept) {
			o := sp.outcomeOf(w, from, kept)
			if o == nil {
				width := w.amount * float64(FullRamp-from) / FullRamp
				p.over += width
				sp.outcomeOf(w, 0, kept).give(p.excess, width)
				for word := range p.stuck {
					p.stuck[word] |= w.up[word]
				}
				break
			}
			o.give(p.loads, w.amount*float64(to-from)/FullRamp)
			from = to
		}
	}
	return p
}

// cuts returns where the prefixes of a want begin to do without more members, in order, and where they end.
func (sp *spreader) cuts(w *want, kept []uint16) []uint16 {
	cuts := append(append(sp.scratch[:0], w.ramps...), FullRamp)
	for limit, k := range kept {
		if k < FullRamp && w.up.has(limit) {
			cuts = append(cuts, k)
		}
	}
	slices.Sort(cuts)
	sp.scratch = cuts
	cuts = slices.Compact(cuts)
	sp.steps += len(cuts)
	return cuts
}

// share is what a member gets of an amount of 1.
func (o *outcome) share(limit int) float64 {
	for _, g := range o.gets {
		if g.limit == limit {
			return g.share
		}
	}
	return 0
}

// give has the members share an amount.
func (o *outcome) give(to []float64, amount float64) {
	for _, g := range o.gets {
		to[g.limit] += amount * g.share
	}
}
