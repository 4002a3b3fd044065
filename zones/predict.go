package zones

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A spreader predicts what the members with a capacity in one pool get.
type spreader struct {
	plan       *PoolPlan
	wants      []want
	total      float64
	capacities []float64 // by limit
	above      [][]int   // the limits that each leaf is under

	recovering bool // somebody does not have all of its prefixes back
	steps      int  // that it took so far
}

// A want is the part of the demand that one group has by one family.
type want struct {
	evaluation // on the rung that it is answered from
	amount     float64
	fixed      *outcome // what is answered whoever is full; nil: that depends
	up         limits   // the members that it could be answered with, of those that are up
	ramps      []uint16 // from which prefixes on some do not have a member back, in order
	outcomes   map[without]answered
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

// spreader prepares predictions by a snapshot, as it is or as it will be when all who recover are back, and returns what the members keep by
// it; nil where the demand is not known.
func (p *PoolPlan) spreader(s *Snapshot, demand map[uint64]float64, back bool) (*spreader, []uint16) {
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
	switch {
	case sp.total == 0 || !p.InRequests() && sp.total < fewAnswers/2.0:
		for i := range kept { // so few want anything that nobody is full
			kept[i] = FullRamp
		}
		return nil, kept
	case !p.InRequests() && sp.total < fewAnswers:
		return nil, kept
	}
	groups, known := p.wanting(demand)
	if known < sp.total/2 { // most is of groups that there are no more: what is known of these says too little
		return nil, kept
	}
	looked := 0.0
	in := s.inputs()
	in.Spill = nil
	for _, g := range groups {
		looked += g.amount
		standings, _ := p.standings(nil, in, g.GroupPlan, s.Published)
		for i := range standings {
			for family, ramp := range standings[i].ramp {
				if ramp < FullRamp {
					sp.recovering = true
				}
				if back {
					standings[i].ramp[family] = FullRamp
				}
			}
		}
		sp.add(g.GroupPlan, standings, g.amount)
	}
	for i := range sp.wants {
		sp.wants[i].amount *= sp.total / looked // clients of other groups are like these
	}
	return sp, kept
}

// A wanting is how much all groups want that are answered alike, and one of them.
type wanting struct {
	*GroupPlan
	amount float64
}

// wanting returns what groups want, those that want the most if they are many, and what all want that are known.
func (p *PoolPlan) wanting(demand map[uint64]float64) (groups []wanting, known float64) {
	seen, at := make(map[uint64]bool), make(map[string]int)
	var text strings.Builder
	for g := range p.Groups {
		group := &p.Groups[g]
		amount := demand[group.Key]
		if amount <= 0 || seen[group.Key] {
			continue
		}
		seen[group.Key] = true
		known += amount
		text.Reset()
		group.shape(&text)
		i, alike := at[text.String()]
		if !alike {
			i = len(groups)
			at[text.String()] = i
			groups = append(groups, wanting{GroupPlan: group})
		}
		groups[i].amount += amount
	}
	slices.SortStableFunc(groups, func(a, b wanting) int { return cmp.Compare(b.amount, a.amount) })
	return groups[:min(len(groups), mostGroups)], known
}

// shape writes what tells groups apart that are answered otherwise.
func (g *GroupPlan) shape(b *strings.Builder) {
	fmt.Fprintf(b, "%s %d", g.Region, g.Fence)
	for _, t := range g.Tiers {
		fmt.Fprint(b, t.Members)
	}
	for _, inner := range g.inner {
		if inner != nil {
			b.WriteByte('(')
			inner.shape(b)
			b.WriteByte(')')
		}
	}
}

// add adds the demand of a group: each family that it is answered by has an equal part.
func (sp *spreader) add(group *GroupPlan, standings []standing, amount float64) {
	first := len(sp.wants)
	for family, rrtype := range sp.plan.Types {
		if rrtype == 0 {
			continue
		}
		w := want{
			evaluation: evaluation{plan: sp.plan, group: group, standings: slices.Clone(standings), family: family}, outcomes: make(map[without]answered),
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

// outcomeOf says what the members get of prefixes from one on, which do without some members.
func (sp *spreader) outcomeOf(w *want, prefix uint16, key without, kept []uint16) answered {
	a, known := w.outcomes[key]
	if !known {
		sp.steps += len(sp.plan.Leaves)
		sp.plan.fill(w.standings, func(limit int) uint16 { return kept[limit] })
		w.prefix = prefix
		c, full, ok := w.without(RungUp)
		if a.full = full; ok {
			a.outcome = sp.outcome(&c)
		}
		w.prefix = 0
		w.outcomes[key] = a
	}
	return a
}

// An answered is what comes of prefixes, and whether nobody had room for them.
type answered struct {
	*outcome
	full bool
}

// walk goes by the prefixes of a want, from those that do without nobody on. order has the limits by how much they keep.
func (sp *spreader) walk(w *want, kept []uint16, order []int, visit func(from, to uint16, a answered)) {
	var key without
	next := 0
	for from := uint16(0); from < FullRamp; {
		for ; next < len(order) && kept[order[next]] <= from; next++ {
			if w.up.has(order[next]) {
				key.full.add(order[next])
			}
		}
		for key.ramps < len(w.ramps) && w.ramps[key.ramps] <= from {
			key.ramps++
		}
		to := uint16(FullRamp)
		if key.ramps < len(w.ramps) {
			to = w.ramps[key.ramps]
		}
		for _, limit := range order[next:] {
			if sp.steps++; w.up.has(limit) {
				to = min(to, kept[limit])
				break
			}
		}
		sp.steps++
		visit(from, to, sp.outcomeOf(w, from, key, kept))
		from = to
	}
}

// order returns the limits by how much they keep.
func order(kept []uint16) []int {
	order := make([]int, len(kept))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(kept[a], kept[b]) })
	return order
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
	order := order(kept)
	for i := range sp.wants {
		w := &sp.wants[i]
		if sp.steps++; w.fixed != nil {
			w.fixed.give(p.loads, w.amount)
			continue
		}
		sp.walk(w, kept, order, func(from, to uint16, a answered) {
			width := w.amount * float64(to-from) / FullRamp
			if !a.full {
				a.give(p.loads, width)
				return
			}
			a.give(p.excess, width)
			p.over += width
			for word := range p.stuck {
				p.stuck[word] |= w.up[word]
			}
		})
	}
	return p
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
