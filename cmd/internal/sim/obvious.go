package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// What follows is decided anew and in the obvious way, as slow as it may be: the twin of what nodes decide.

// placeOf says where a client is. The worlds of simulations hold no embedded addresses.
func placeOf(p *zones.Plan, c zones.Client) geo.Place {
	a := c.Source
	if c.Subnet.Bits() > 0 {
		if _, special := geo.SpecialPrefix(c.Subnet.Addr()); !special {
			a = c.Subnet.Addr()
		}
	}
	return p.Table.Place(p.Table.Lookup(a))
}

// obvious is what a pool answers clients of a place, worked out anew: the rung, and the weight of each member (-1: last
// resort).
func obvious(plan *zones.Plan, pool *zones.Pool, place geo.Place, family int, statuses *health.View, state *control.State) (zones.Rung, map[int]uint32) {
	order, region := preference(plan, pool, place)
	rungs := [2]map[int]zones.Rung{{}, {}} // of each family's members that are permitted, and for such clients
	for i, m := range pool.Members {
		for f := range rungs {
			if order[i] >= 0 && m.Enabled && on(state, m.Control) && m.Address[f].IsValid() {
				rungs[f][i] = rungFor(pool, m, f, statuses, region)
			}
		}
	}
	best := func(f int) zones.Rung {
		rung := zones.RungNoData
		for _, r := range rungs[f] {
			rung = min(rung, r)
		}
		return rung
	}
	rung := best(family)
	otherUp := false
	for _, r := range rungs[1-family] {
		otherUp = otherUp || r < zones.RungOpen
	}
	lastResort := slices.ContainsFunc(pool.LastResort, func(a netip.Addr) bool { return a.Is4() == (family == zones.IPv4) })
	if rung >= zones.RungOpen {
		switch {
		case otherUp:
			return zones.RungNoData, nil
		case len(rungs[family]) > 0 && pool.WhenAllDown == zones.Open:
		case lastResort:
			return zones.RungLastResort, map[int]uint32{-1: 1}
		default:
			return zones.RungNoData, nil
		}
	}
	first := len(pool.Members) + 10
	for i, r := range rungs[family] {
		if r == rung {
			first = min(first, order[i])
		}
	}
	shares := make(map[int]uint32)
	for i, r := range rungs[family] {
		if r == rung && order[i] == first {
			shares[i] = 1
			if pool.Policy == zones.Weighted {
				shares[i] = uint32(max(pool.Members[i].Weight, 1))
			}
		}
	}
	return rung, shares
}

// preference gives each member its rank for the clients of a place, equal ones sharing; below 0: it is not for them.
// The region is the nearest that the pool has, for a pool that goes by distance.
func preference(plan *zones.Plan, pool *zones.Pool, place geo.Place) (order []int, region geo.RegionID) {
	near := byDistance(plan, pool, place)
	for i, m := range pool.Members {
		rank := -1
		switch pool.Policy {
		case zones.Failover:
			rank = i
		case zones.Weighted:
			rank = 0
			if m.Weight == 0 {
				rank = 1
			}
		case zones.Latency:
			rank, region = slices.Index(near, m.Region), near[0]
		case zones.Geo:
			switch {
			case place.Country != "" && slices.Contains(m.Countries, place.Country):
				rank = 0
			case place.Continent != "" && slices.Contains(m.Continents, place.Continent):
				rank = 1
			case m.Default:
				rank = 2
			}
		}
		order = append(order, rank)
	}
	return order, region
}

// byDistance returns the regions of a pool, nearest to a place first; as the members are written if nobody knows.
func byDistance(plan *zones.Plan, pool *zones.Pool, place geo.Place) []geo.RegionID {
	var ids []geo.RegionID
	for _, m := range pool.Members {
		if !slices.Contains(ids, m.Region) {
			ids = append(ids, m.Region)
		}
	}
	if place.Located {
		far := make(map[geo.RegionID]float64)
		for _, r := range plan.World.Regions {
			far[r.ID] = geo.Distance(place.At, r.At)
		}
		slices.SortFunc(ids, func(a, b geo.RegionID) int { return cmp.Compare(far[a], far[b]) })
	}
	return ids
}

// rungFor says from which rung on a member may be answered.
func rungFor(pool *zones.Pool, m zones.Member, family int, statuses *health.View, region geo.RegionID) zones.Rung {
	if pool.Check == "" {
		return zones.RungUp
	}
	if pool.View == zones.Global {
		region = health.Global
	}
	s := statuses.Status(zones.CheckID(pool.Check, m.Endpoint, family), region)
	switch {
	case s.State == health.Up, s.State == health.Unknown && s.Grace:
		return zones.RungUp
	case s.HeldBack:
		return zones.RungHeldBack
	}
	return map[health.State]zones.Rung{health.Unknown: zones.RungUnknown, health.Drain: zones.RungDrain, health.Down: zones.RungOpen}[s.State]
}

// obviousQuorum is the quorum as semantics has it, said differently: the share of regions, by whole numbers of hundredths.
func obviousQuorum(votes []health.Vote) health.State {
	var states []health.State
	for _, vote := range votes {
		weights := map[health.State]int{}
		fresh := 0
		for _, o := range vote.Vantages {
			if o.Fresh {
				weights[o.State]++
				fresh++
			}
		}
		switch half := fresh - fresh/2; { // rounded up
		case fresh == 0:
		case weights[health.Up] >= half:
			states = append(states, health.Up)
		case weights[health.Up]+weights[health.Drain] >= half:
			states = append(states, health.Drain)
		default:
			states = append(states, health.Down)
		}
	}
	count := func(s health.State) (n int) {
		for _, state := range states {
			if state == s {
				n++
			}
		}
		return n
	}
	// enough: more than 18 % of the regions, and two of them where there are three
	enough := func(n int) bool { return 100*n > 18*len(states) && (n >= 2 || n == 1 && len(states) < 3) }
	switch {
	case len(states) == 0:
		return health.Unknown
	case enough(count(health.Up)):
		return health.Up
	case enough(count(health.Up) + count(health.Drain)):
		return health.Drain
	}
	return health.Down
}

// on says whether a control is on, as a node was told.
func on(state *control.State, id control.ControlID) bool {
	if id == "" {
		return true
	}
	c, known := state.Control(id)
	return !known || c.On
}
