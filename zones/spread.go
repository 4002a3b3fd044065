package zones

import "slices"

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
	// mostSteps bounds the time that looking for a goal takes, some hundred milliseconds. It takes hundreds of members that are all full to
	// come to that; then the goal is not as good as it could be.
	mostSteps = 500_000
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
	most := sp.steps + mostSteps
	room := make([]float64, len(sp.capacities))
	for i, capacity := range sp.capacities {
		room[i] = part * capacity
	}
	for {
		kept = sp.settle(room, most)
		p := sp.predict(kept)
		if p.over == 0 || sp.steps >= most {
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
func (sp *spreader) settle(room []float64, most int) []uint16 {
	kept := make([]uint16, len(room))
	for i := range kept {
		kept[i] = FullRamp
	}
	movable := sp.movable()
	for again := true; again && sp.steps < most; {
		again = false
		loads := sp.predict(kept).loads
		for i := range room {
			if loads[i] > room[i]*(1+1e-9) && kept[i] > 1 && movable.has(i) {
				if k := sp.most(i, kept, room[i]); k < kept[i] {
					kept[i], again = k, true
				}
			}
		}
	}
	return kept
}

// most returns how many per mille of the prefixes a member can keep with some room, while the others keep what they do; 1 at least.
func (sp *spreader) most(limit int, kept []uint16, room float64) uint16 {
	others := slices.Clone(kept)
	others[limit] = FullRamp
	var slopes [FullRamp + 1]float64 // by how much more comes to it per prefix from there on
	load := 0.0
	for i := range sp.wants {
		w := &sp.wants[i]
		if w.fixed != nil {
			load += w.amount * w.fixed.share(limit)
			continue
		}
		if !w.up.has(limit) {
			continue
		}
		from := uint16(0)
		for _, to := range sp.cuts(w, others) {
			o := sp.outcomeOf(w, from, others)
			if o == nil {
				break
			}
			slope := w.amount * o.share(limit) / FullRamp
			slopes[from] += slope
			slopes[to] -= slope
			from = to
		}
	}
	slope := 0.0
	for k := range uint16(FullRamp) {
		slope += slopes[k]
		if load += slope; load > room*(1+1e-9) {
			return max(k, 1)
		}
	}
	return FullRamp
}
