package zones

import (
	"maps"
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
	// wholeWay is in how many parts the way is divided to where members are to be.
	wholeWay = 1024
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
		cuts := append(slices.Clone(w.ramps), FullRamp)
		for limit, k := range kept {
			if w.up.has(limit) {
				cuts = append(cuts, k)
			}
		}
		slices.Sort(cuts)
		from := uint16(0)
		for _, to := range slices.Compact(cuts) {
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

// give has the members share an amount.
func (o *outcome) give(to []float64, amount float64) {
	for _, g := range o.gets {
		to[g.limit] += amount * g.share
	}
}

// step goes from what members keep towards what they should keep.
func (sp *spreader) step(now []uint16) []uint16 {
	least, most := sp.target(spareRoom), sp.target(1)
	movable := sp.movable()
	goal := make([]uint16, len(now))
	for i := range now {
		goal[i] = max(min(now[i], most[i]), min(least[i], most[i]))
		if !movable.has(i) {
			goal[i] = now[i]
		}
	}
	next := goal
	if before := sp.predict(now); !sp.bearable(before, sp.predict(goal)) {
		next = now
		for low, high := 0, wholeWay; high-low > 1; {
			way := (low + high) / 2
			if there := between(now, goal, way); sp.bearable(before, sp.predict(there)) {
				low, next = way, there
			} else {
				high = way
			}
		}
	}
	if slices.Equal(next, now) { // the smallest step is taken in any case
		next = slices.Clone(now)
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

// between is so far on the way from what members keep to what they should keep.
func between(now, goal []uint16, way int) []uint16 {
	there := make([]uint16, len(now))
	for i := range there {
		there[i] = uint16(int(now[i]) + (int(goal[i])-int(now[i]))*way/wholeWay)
	}
	return there
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

// movable returns the members that could keep less: they are up, and somebody else is for some of their clients.
func (sp *spreader) movable() (movable limits) {
	for i := range sp.wants {
		if w := &sp.wants[i]; w.fixed == nil {
			for word := range movable {
				movable[word] |= w.up[word]
			}
		}
	}
	return movable
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
		if p.over == 0 {
			break
		}
		sum := 0.0
		for i := range room {
			if p.stuck.has(i) {
				sum += room[i]
			}
		}
		more := 1 + max(p.over/sum, 0.005)
		for i := range room {
			if p.stuck.has(i) {
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
	movable := sp.movable()
	for again := true; again; {
		again = false
		p := sp.predict(kept)
		for i := range room {
			if p.loads[i] <= room[i]*(1+1e-9) || kept[i] == 1 || !movable.has(i) {
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
