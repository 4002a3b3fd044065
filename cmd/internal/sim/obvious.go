package sim

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// What follows is decided anew and in the obvious way, as slow as it may be: the twin of what nodes decide.

// An oracle says what one client is answered by one family.
type oracle struct {
	plan     *zones.Plan
	client   netip.Addr
	place    geo.Place
	family   int
	statuses *health.View
	state    *control.State
	now      time.Time
	perMille int          // where the client's prefix stands
	spill    []zones.Kept // of the pool that is answered from

	limit   zones.Rung // of a member that counts
	enough  bool       // pools need min_up
	drained bool       // what is drained by hand counts among the down ones
	ramps   bool       // what comes back is for some prefixes only
	roomy   bool       // it does not matter who is full
}

func (o *oracle) pool(name string) *zones.Pool {
	i := slices.IndexFunc(o.plan.World.Pools, func(p zones.Pool) bool { return p.Name == name })
	return &o.plan.World.Pools[i]
}

// find finds the client by its subnet, or if that is in private space of which the pools say nothing by its source. The worlds of
// simulations hold no embedded addresses.
func (o *oracle) find(c zones.Client, root *zones.Pool) {
	o.client = c.Source
	if c.Subnet.Bits() > 0 {
		if _, special := geo.SpecialPrefix(c.Subnet.Addr()); !special || o.names(root, c.Subnet.Addr()) {
			o.client = c.Subnet.Addr()
		}
	}
	o.place = o.plan.Table.Place(o.plan.Table.Lookup(o.client))
}

// names reports whether a pool or one in it lists a prefix around an address.
func (o *oracle) names(pool *zones.Pool, a netip.Addr) bool {
	return slices.ContainsFunc(pool.Members, func(m zones.Member) bool {
		return slices.ContainsFunc(m.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) || m.Endpoint == "" && o.names(o.pool(m.Pool), a)
	})
}

// obvious is what a pool answers a client, worked out anew: the rung, and in which part of the answers each endpoint is; "" is what has no
// endpoint.
func (o *oracle) obvious(root *zones.Pool) (zones.Rung, map[string]float64) {
	lower := []zones.Rung{zones.RungHeldBack, zones.RungUnknown, zones.RungDrain}
	o.limit, o.enough, o.ramps = zones.RungUp, true, true
	for _, o.enough = range []bool{true, false} {
		for _, all := range []struct{ back, roomy bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
			o.ramps, o.roomy = !all.back, all.roomy
			if shares := o.shares(root); len(shares) > 0 {
				if o.enough {
					return zones.RungUp, shares
				}
				return zones.RungTooFew, shares
			}
		}
	}
	for _, o.limit = range lower {
		if shares := o.shares(root); len(shares) > 0 {
			return o.limit, shares
		}
	}
	if fence, behind := o.fence(root); behind {
		of := func(family int) bool {
			return slices.ContainsFunc(fence.Addresses, func(a netip.Addr) bool { return a.Is4() == (family == zones.IPv4) })
		}
		switch {
		case of(o.family):
			return zones.RungFenced, map[string]float64{"": 1}
		case of(1 - o.family):
			return zones.RungNoData, nil
		}
		return zones.RungFenced, nil
	}
	other := *o
	other.family, other.limit, other.enough, other.ramps = 1-o.family, zones.RungUp, false, false
	if len(other.shares(root)) > 0 {
		return zones.RungNoData, nil
	}
	o.limit = zones.RungOpen
	for _, o.drained = range []bool{false, true} {
		if shares := o.shares(root); len(shares) > 0 && root.WhenAllDown == zones.Open {
			return zones.RungOpen, shares
		} else if len(shares) > 0 {
			break
		}
	}
	if slices.ContainsFunc(root.LastResort, func(a netip.Addr) bool { return a.Is4() == (o.family == zones.IPv4) }) {
		return zones.RungLastResort, map[string]float64{"": 1}
	}
	return zones.RungNoData, nil
}

// shares says in which part of the answers each endpoint is.
func (o *oracle) shares(root *zones.Pool) map[string]float64 {
	room := float64(max(root.Answers, 1))
	shares := make(map[string]float64)
	for _, rank := range o.ranks(root, "", true) {
		for room > 0 && len(rank) > 0 { // who is wanted in more than every answer is in every one
			total, most := 0.0, ""
			for name, weight := range rank {
				total += weight
				if most == "" || weight > rank[most] || weight == rank[most] && name < most {
					most = name
				}
			}
			if float64(len(rank)) > room && rank[most]*room < total*(1-1e-9) {
				for name, weight := range rank {
					shares[name] = room * weight / total
				}
				room = 0
				break
			}
			shares[most] = 1
			room--
			delete(rank, most)
		}
	}
	return shares
}

// ranks returns the endpoints of a pool that count, with their weights: each rank before those behind it. The path leads to the pool.
func (o *oracle) ranks(pool *zones.Pool, path string, permitted bool) (ranks []map[string]float64) {
	type available struct {
		order int
		ranks []map[string]float64
		m     zones.Member
	}
	var all []available
	have, up := 0, 0
	order := o.preference(pool)
	for i, m := range pool.Members {
		if !o.has(pool, m) {
			continue
		}
		have++
		a := available{order: order[i], m: m}
		permitted := permitted && m.Enabled && on(o.state, m.Control)
		isUp := permitted && m.Endpoint != "" && o.counts(pool, m)
		if m.Endpoint == "" {
			roomy := *o
			roomy.roomy = true
			isUp = len(roomy.ranks(o.pool(m.Pool), path+m.Pool+"/", permitted)) > 0
			a.ranks = o.ranks(o.pool(m.Pool), path+m.Pool+"/", permitted)
		} else if isUp {
			a.ranks = []map[string]float64{{m.Endpoint: 1}}
		}
		if isUp {
			up++
		}
		if len(a.ranks) > 0 && (m.Capacity == zones.Capacity{} || !o.full(path+m.Name())) {
			all = append(all, a)
		}
	}
	least := pool.MinUp.Count
	if pool.MinUp.Percent > 0 {
		least = int(math.Ceil(float64(pool.MinUp.Percent*have) / 100))
	}
	if o.enough && up < max(least, 1) {
		return nil
	}
	all = slices.DeleteFunc(all, func(a available) bool { return a.order < 0 })
	slices.SortStableFunc(all, func(a, b available) int { return cmp.Compare(a.order, b.order) })
	for i := 0; i < len(all); {
		tier := []map[string]float64{}
		for first := all[i].order; i < len(all) && all[i].order == first; i++ {
			weight := 1.0
			if pool.Policy == zones.Weighted {
				weight = float64(max(all[i].m.Weight, 1))
			}
			for r, rank := range all[i].ranks {
				if len(tier) <= r {
					tier = append(tier, map[string]float64{})
				}
				total := 0.0
				for _, w := range rank {
					total += w
				}
				for name, w := range rank {
					tier[r][name] += weight * w / total
				}
			}
		}
		ranks = append(ranks, tier...)
		if p := pool.Policy; p != zones.Failover && p != zones.Latency && p != zones.Geoproximity {
			break
		}
	}
	return ranks
}

// full reports whether a member has no room for the client's prefix.
func (o *oracle) full(member string) bool {
	return !o.roomy && slices.ContainsFunc(o.spill, func(k zones.Kept) bool { return k.Member == member && o.perMille >= int(k.PerMille) })
}

// has reports whether a member could ever answer by the family.
func (o *oracle) has(pool *zones.Pool, m zones.Member) bool {
	if m.Endpoint != "" {
		return m.Address[o.family].IsValid()
	}
	inner := o.pool(m.Pool)
	return slices.ContainsFunc(inner.Members, func(m zones.Member) bool { return o.has(inner, m) })
}

// counts reports whether an endpoint is good enough for the rung.
func (o *oracle) counts(pool *zones.Pool, m zones.Member) bool {
	overlay, _ := o.state.Overlay(m.Endpoint)
	switch overlay.State {
	case control.ForceUp:
		return true
	case control.ForceDown:
		return false
	}
	rung := o.rungFor(pool, m)
	if overlay.State == control.Drain {
		if rung = max(rung, zones.RungDrain); rung == zones.RungOpen && !o.drained {
			return false
		}
	}
	return rung <= o.limit && (!o.ramps || o.hasBack(pool, m))
}

// hasBack reports whether the client's prefix has an endpoint back that recovers.
func (o *oracle) hasBack(pool *zones.Pool, m zones.Member) bool {
	s := o.status(pool, m)
	if s.State != health.Up || s.Recovered.IsZero() || pool.SlowStart == 0 || pool.Policy == zones.Failover && pool.Failback != zones.FailbackRamp {
		return true
	}
	steps := math.Floor(20 * float64(max(o.now.Sub(s.Recovered), 0)) / float64(pool.SlowStart))
	return steps >= 20 || float64(o.perMille) < 100+45*steps
}

// preference gives each member of a pool its rank for the client, equal ones sharing; below 0: it is not for it.
func (o *oracle) preference(pool *zones.Pool) (order []int) {
	near := o.byDistance(pool)
	prefixes := o.listed(pool)
	walls := math.MaxInt
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
		case zones.Multivalue:
			rank = 0
		case zones.Latency:
			rank = slices.Index(near, m.Region)
		case zones.Geoproximity:
			rank = i
			if o.place.Located {
				rank = int(1e6 * geo.Distance(o.place.At, o.at(m.Region)) * (1 - float64(m.Bias)/100))
			} else if first := slices.IndexFunc(pool.Members, func(o zones.Member) bool { return o.Region == m.Region && o.Bias == m.Bias }); first < i {
				rank = first
			}
		case zones.Geo, zones.CIDR:
			if rank = o.match(&m, prefixes); rank >= 0 && m.Fence != nil {
				walls = min(walls, rank)
			}
		}
		order = append(order, rank)
	}
	for i := range order {
		if order[i] > walls {
			order[i] = -1
		}
	}
	return order
}

// match says how closely a member matches the client, the closest first; below 0: not at all.
func (o *oracle) match(m *zones.Member, prefixes []netip.Prefix) int {
	for i, p := range prefixes {
		if slices.Contains(m.Prefixes, p) {
			return i
		}
	}
	const behindPrefixes = 1000
	switch {
	case o.place.ASN != 0 && slices.Contains(m.ASNs, o.place.ASN):
		return behindPrefixes
	case o.place.Country != "" && slices.Contains(m.Countries, o.place.Country):
		return behindPrefixes + 1
	case o.place.Continent != "" && slices.Contains(m.Continents, o.place.Continent):
		return behindPrefixes + 2
	case m.Default:
		return behindPrefixes + 3
	}
	return -1
}

// listed returns the prefixes that a pool lists around the client, longest first.
func (o *oracle) listed(pool *zones.Pool) (around []netip.Prefix) {
	for _, m := range pool.Members {
		for _, p := range m.Prefixes {
			if p.Contains(o.client) && !slices.Contains(around, p) {
				around = append(around, p)
			}
		}
	}
	slices.SortFunc(around, func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
	return around
}

// fence returns the fence that the client is behind, if it is behind one.
func (o *oracle) fence(pool *zones.Pool) (*zones.Fence, bool) {
	prefixes := o.listed(pool)
	closest := slices.DeleteFunc(slices.Clone(pool.Members), func(m zones.Member) bool { return m.Fence == nil || o.match(&m, prefixes) < 0 })
	if len(closest) == 0 || pool.Policy != zones.Geo && pool.Policy != zones.CIDR {
		return nil, false
	}
	m := slices.MinFunc(closest, func(a, b zones.Member) int { return cmp.Compare(o.match(&a, prefixes), o.match(&b, prefixes)) })
	return m.Fence, true
}

func (o *oracle) at(region geo.RegionID) geo.Coordinates {
	i := slices.IndexFunc(o.plan.World.Regions, func(r zones.Region) bool { return r.ID == region })
	return o.plan.World.Regions[i].At
}

// byDistance returns the regions of a pool, nearest to the client first; as the members are written if nobody knows.
func (o *oracle) byDistance(pool *zones.Pool) []geo.RegionID {
	var ids []geo.RegionID
	for _, m := range pool.Members {
		if !slices.Contains(ids, m.Region) {
			ids = append(ids, m.Region)
		}
	}
	if o.place.Located {
		far := func(r geo.RegionID) float64 { return geo.Distance(o.place.At, o.at(r)) }
		slices.SortStableFunc(ids, func(a, b geo.RegionID) int { return cmp.Compare(far(a), far(b)) })
	}
	return ids
}

// status is what decides for the client: the quorum's word, or that of the region which is near it.
func (o *oracle) status(pool *zones.Pool, m zones.Member) health.Status {
	region := health.Global
	if pool.View == zones.Regional {
		order := o.preference(pool)
		switch p := pool.Policy; {
		case p == zones.Latency || p == zones.Geoproximity:
			region = pool.Members[slices.Index(order, slices.Min(order))].Region
		case o.place.Located:
			nearest := slices.MinFunc(o.plan.World.Regions, func(a, b zones.Region) int {
				return cmp.Compare(geo.Distance(o.place.At, a.At), geo.Distance(o.place.At, b.At))
			})
			region = nearest.ID
		}
	}
	return o.statuses.Status(zones.CheckID(pool.Check, m.Endpoint, o.family), region)
}

// rungFor says from which rung on a member may be answered.
func (o *oracle) rungFor(pool *zones.Pool, m zones.Member) zones.Rung {
	if pool.Check == "" {
		return zones.RungUp
	}
	s := o.status(pool, m)
	up := s.State == health.Up || s.State == health.Unknown && s.Grace
	switch {
	case up && pool.Failback == zones.FailbackManual && o.state.Latched(pool.Name, m.Endpoint):
		return zones.RungHeldBack
	case up:
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
