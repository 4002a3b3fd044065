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
	// wholeWay is in how many parts the way is divided to where members are to be.
	wholeWay = 1024
	// mostSteps bounds how long looking for goals takes, all pools together: half a second or so. No pool may look for more than a part of what
	// is left of that, but each for leastSteps. Some twenty members that are all full do not come to that; of many more the goal may not be
	// as good as it could be.
	mostSteps   = 6_000_000
	leastSteps  = 50_000
	partOfSteps = 4
	// mostGroups is how many kinds of clients of a pool are looked at, those that want the most; the others are taken to be like them.
	mostGroups = 500
)

// Spread returns the spill that should follow the snapshot's, for a demand, one step at a time: at most a tenth of its capacity comes to
// a member in addition. The snapshot is of this plan. Members beyond their capacity keep as many prefixes as they have room for, and if
// those that could take the rest are full as well, all of them are in proportion beyond theirs. Of pools whose demand is hardly known all
// stays as it is, and so do members that are not up; where next to nothing is wanted nobody is full.
func (p *Plan) Spread(s *Snapshot, d Demand) *Spill {
	var all []Kept
	left := mostSteps
	for _, pool := range p.capped {
		budget := max(left/partOfSteps, leastSteps)
		sp, kept := pool.spreader(s, d[pool.Pool.Name], false)
		if sp != nil {
			least, most := sp.target(spareRoom, budget), sp.target(1, budget)
			if sp.recovering { // nobody may come back to more than it can take, and meanwhile the others have more
				back, _ := pool.spreader(s, d[pool.Pool.Name], true)
				least, most = lesser(least, back.target(spareRoom, budget)), lesser(most, back.target(1, budget))
				left -= back.steps
			}
			kept = sp.step(kept, least, most, budget)
			left -= sp.steps
		}
		all = append(all, pool.named(kept)...)
	}
	return NewSpill(all)
}

// Loads predicts what the members with capacities get by the snapshot, in the plan's order; nothing for pools whose demand is not known.
func (s *Snapshot) Loads(d Demand) (loads []Load) {
	for _, pool := range s.Plan.capped {
		sp, kept := pool.spreader(s, d[pool.Pool.Name], false)
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

// lesser returns the lesser of two numbers, for each member.
func lesser(a, b []uint16) []uint16 {
	c := make([]uint16, len(a))
	for i := range c {
		c[i] = min(a[i], b[i])
	}
	return c
}

// step goes from what members keep towards what they should keep, at least and at most, as far as nobody gets too much by it. All go the same
// part of their way together, and then each alone as far as it can: those that are to keep the least first, so that nothing comes to one
// that has no room itself.
func (sp *spreader) step(now, least, most []uint16, budget int) []uint16 {
	movable := sp.movable()
	goal := make([]uint16, len(now))
	for i := range now {
		goal[i] = max(min(now[i], most[i]), min(least[i], most[i]))
		if !movable.has(i) {
			goal[i] = now[i]
		}
	}
	before := sp.predict(now)
	budget += sp.steps
	bearable := func(kept []uint16) bool { return sp.steps < budget && sp.bearable(before, sp.predict(kept)) }
	next := between(now, goal, farthest(0, wholeWay, func(part int) bool { return bearable(between(now, goal, part)) }))
	for _, i := range order(goal) {
		next[i] = uint16(farthest(int(next[i]), int(goal[i]), func(k int) bool {
			next[i] = uint16(k)
			return bearable(next)
		}))
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

// farthest returns a number on the way from one, which is good, to another, as far as it is good there.
func farthest(from, to int, good func(int) bool) int {
	if from == to || good(to) {
		return to
	}
	for to-from > 1 || from-to > 1 {
		if middle := from + (to-from)/2; good(middle) {
			from = middle
		} else {
			to = middle
		}
	}
	return from
}

// between is so far on the way from what members keep to what they should keep.
func between(now, goal []uint16, part int) []uint16 {
	there := make([]uint16, len(now))
	for i := range there {
		there[i] = uint16(int(now[i]) + (int(goal[i])-int(now[i]))*part/wholeWay)
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
func (sp *spreader) target(part float64, budget int) (kept []uint16) {
	most := sp.steps + budget
	room := make([]float64, len(sp.capacities))
	for i, capacity := range sp.capacities {
		room[i] = part * capacity
	}
	for {
		kept = sp.settle(room, most)
		p := sp.predict(kept)
		if p.over <= 1e-9*sp.total || sp.steps >= most {
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
	for again := true; again; {
		again = false
		loads := sp.predict(kept).loads
		for i := range room {
			if sp.steps >= most {
				return kept
			}
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
	order := order(others)
	var slopes [FullRamp + 1]float64 // by how much more comes to it per prefix from there on
	load := 0.0
	for i := range sp.wants {
		w := &sp.wants[i]
		sp.steps++
		switch {
		case w.fixed != nil:
			load += w.amount * w.fixed.share(limit)
		case w.up.has(limit):
			sp.walk(w, others, order, func(from, to uint16, a answered) {
				if !a.full {
					slope := w.amount * a.share(limit) / FullRamp
					slopes[from] += slope
					slopes[to] -= slope
				}
			})
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
