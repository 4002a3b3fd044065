package zones

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/static"
)

// Compile makes the plan of a world whose clients are placed by a table and near regions as the orders say. It takes
// long (hundreds of milliseconds with a country database), so a node runs it beside its own work. An error names the
// record or target that can't be packed.
func (w *World) Compile(table *geo.Table, orders *rtt.Orders) (*Plan, error) {
	c := compiler{world: w, table: table, nearest: make(map[string]nearest)}
	c.placeRegions(orders)
	p := &Plan{
		World: w, Table: table, Near: c.near(), estimates: orders,
		Orders:  make(map[geo.Place][]geo.RegionID),
		zones:   make(map[string]*ZoneData, len(w.Zones)),
		byCheck: make(map[health.CheckID][]int), byControl: make(map[control.ControlID][]int),
	}
	for id, order := range c.orders {
		if place := table.Place(geo.PlaceID(id)); orders.Sampled(place) {
			p.Orders[place] = order
		}
	}
	pools := make(map[string]*PoolPlan)
	for i := range w.Pools {
		pool, err := c.pool(&w.Pools[i], i)
		if err != nil {
			return nil, err
		}
		pools[pool.Pool.Name] = pool
		p.add(pool)
	}
	for i := range w.Zones {
		zone, err := w.Zones[i].with(pools)
		if err != nil {
			return nil, err
		}
		p.zones[w.Zones[i].wire] = zone
		p.lengths[len(w.Zones[i].wire)] = true
	}
	if w.ReportAgent != "" {
		var err error
		if p.Reports, err = p.reportsTo(w.ReportAgent); err != nil {
			return nil, err
		}
	}
	p.Targets = c.targets()
	if n := len(p.Targets); n > health.MaxVector {
		return nil, fmt.Errorf("checks: %d targets (one for each address of a checked endpoint), at most %d are probed", n, health.MaxVector)
	}
	p.Digest = p.sum()
	return p, nil
}

// A compiler carries what the pools of one compile share.
type compiler struct {
	world   *World
	table   *geo.Table
	orders  [][]geo.RegionID   // of all regions, by PlaceID; nil where nothing says which is near
	nearest map[string]nearest // by the regions of a latency pool, in the order of its members
}

// nearest is a partition of the clients by their order of some regions.
type nearest struct {
	partition *geo.Partition
	orders    [][]geo.RegionID // by GroupID
	digest    uint64
}

func (c *compiler) regions() []rtt.Region {
	regions := make([]rtt.Region, len(c.world.Regions))
	for i, r := range c.world.Regions {
		regions[i] = rtt.Region{ID: r.ID, At: r.At}
	}
	return regions
}

func (c *compiler) placeRegions(orders *rtt.Orders) {
	regions := c.regions()
	c.orders = make([][]geo.RegionID, c.table.Places())
	for id := range c.orders {
		place := c.table.Place(geo.PlaceID(id))
		known := func(r rtt.Region) bool { estimate, _ := orders.Estimate(place, r); return estimate > 0 }
		if slices.ContainsFunc(regions, known) {
			c.orders[id] = orders.Order(place, regions)
		}
	}
}

// near orders the other regions of each region by distance.
func (c *compiler) near() map[geo.RegionID][]geo.RegionID {
	near := make(map[geo.RegionID][]geo.RegionID)
	for _, r := range c.world.Regions {
		others := slices.DeleteFunc(slices.Clone(c.world.Regions), func(o Region) bool { return o.ID == r.ID })
		slices.SortStableFunc(others, func(a, b Region) int {
			return cmp.Compare(geo.Distance(r.At, a.At), geo.Distance(r.At, b.At))
		})
		for _, o := range others {
			near[r.ID] = append(near[r.ID], o.ID)
		}
	}
	return near
}

func (c *compiler) pool(pool *Pool, number int) (*PoolPlan, error) {
	p := &PoolPlan{Pool: pool, Number: number}
	for i := range pool.Members {
		m := &pool.Members[i]
		var sets [2]*RecordSet
		var checks [2]health.CheckID
		for family, address := range m.Address {
			if !address.IsValid() {
				continue
			}
			set, err := packAddresses(p.TTL(), family, address)
			if err != nil {
				return nil, fmt.Errorf("pool %s: endpoint %s: %w", pool.Name, m.Endpoint, err)
			}
			sets[family] = set
			if pool.Check != "" {
				checks[family] = CheckID(pool.Check, m.Endpoint, family)
			}
		}
		p.Sets, p.checks = append(p.Sets, sets), append(p.checks, checks)
	}
	for family := range p.LastResort {
		of := slices.DeleteFunc(slices.Clone(pool.LastResort), func(a netip.Addr) bool { return a.Is4() != (family == IPv4) })
		if len(of) == 0 {
			continue
		}
		set, err := packAddresses(p.TTL(), family, of...)
		if err != nil {
			return nil, fmt.Errorf("pool %s: last_resort: %w", pool.Name, err)
		}
		p.LastResort[family] = set
	}
	switch pool.Policy {
	case Failover:
		p.Groups = []GroupPlan{{Tiers: failoverTiers(pool)}}
	case Weighted:
		p.Groups = []GroupPlan{{Tiers: weightedTiers(pool)}}
	case Geo:
		c.geo(p)
	case Latency:
		c.latency(p)
	default:
		return nil, fmt.Errorf("pool %s: policy %q", pool.Name, pool.Policy)
	}
	return p, nil
}

func packAddresses(ttl uint32, family int, addresses ...netip.Addr) (*RecordSet, error) {
	var rrs []dns.RR
	for _, a := range addresses {
		header := dns.RR_Header{Name: ".", Rrtype: familyTypes[family], Class: dns.ClassINET, Ttl: ttl}
		if family == IPv4 {
			rrs = append(rrs, &dns.A{Hdr: header, A: a.AsSlice()})
		} else {
			rrs = append(rrs, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
		}
	}
	set, err := static.SetOf(rrs...)
	return &set, err
}

// failoverTiers is one member a tier, in the order written.
func failoverTiers(pool *Pool) []Tier {
	tiers := make([]Tier, len(pool.Members))
	for i := range tiers {
		tiers[i] = Tier{[]int{i}, fmt.Sprintf("rank %d", i+1)}
	}
	return tiers
}

// weightedTiers is the members with a weight, and behind them the standby ones.
func weightedTiers(pool *Pool) []Tier {
	weighted, standby := Tier{Why: "by weight"}, Tier{Why: "standby: weight 0"}
	for i := range pool.Members {
		if pool.Members[i].Weight > 0 {
			weighted.Members = append(weighted.Members, i)
		} else {
			standby.Members = append(standby.Members, i)
		}
	}
	return slices.DeleteFunc([]Tier{weighted, standby}, func(t Tier) bool { return len(t.Members) == 0 })
}

// fold groups the places that what describes alike, and returns the description of each group.
// The digest tells which places are in which group.
func fold[T any](table *geo.Table, describe func(geo.Place, geo.PlaceID) (T, string)) (_ *geo.Partition, groups []T, digest uint64) {
	h := fnv.New64a()
	ids := make(map[string]geo.GroupID)
	partition := table.Partition(func(id geo.PlaceID) geo.GroupID {
		description, text := describe(table.Place(id), id)
		g, ok := ids[text]
		if !ok {
			g = geo.GroupID(len(groups))
			ids[text] = g
			groups = append(groups, description)
		}
		fmt.Fprintln(h, g)
		return g
	})
	return partition, groups, h.Sum64()
}

// latency puts the members of each region into a tier, nearest region first. Clients of whom nothing is known get the
// regions in the order of the members.
func (c *compiler) latency(p *PoolPlan) {
	members := make(map[geo.RegionID][]int)
	var regions []geo.RegionID
	for i := range p.Pool.Members {
		r := p.Pool.Members[i].Region
		if members[r] == nil {
			regions = append(regions, r)
		}
		members[r] = append(members[r], i)
	}
	near, ok := c.nearest[fmt.Sprint(regions)]
	if !ok {
		near.partition, near.orders, near.digest = fold(c.table, func(_ geo.Place, id geo.PlaceID) ([]geo.RegionID, string) {
			order := slices.DeleteFunc(slices.Clone(c.orders[id]), func(r geo.RegionID) bool { return members[r] == nil })
			if len(order) == 0 {
				order = regions
			}
			return order, fmt.Sprint(order)
		})
		c.nearest[fmt.Sprint(regions)] = near
	}
	p.Partition, p.digest = near.partition, near.digest
	for _, order := range near.orders {
		group := GroupPlan{Region: order[0]}
		for _, r := range order {
			group.Tiers = append(group.Tiers, Tier{members[r], "region " + string(r)})
		}
		p.Groups = append(p.Groups, group)
	}
}

// geo puts the members that match a place most specifically first, and behind them those that match less.
func (c *compiler) geo(p *PoolPlan) {
	p.Partition, p.Groups, p.digest = fold(c.table, func(place geo.Place, _ geo.PlaceID) (GroupPlan, string) {
		group := GroupPlan{Tiers: geoTiers(p.Pool.Members, place)}
		return group, fmt.Sprint(group.Tiers)
	})
}

func geoTiers(members []Member, place geo.Place) []Tier {
	tiers := []Tier{
		{Why: "subdivision " + place.Subdivision}, {Why: "country " + place.Country},
		{Why: "continent " + place.Continent}, {Why: "default"},
	}
	for i, m := range members {
		for tier, matches := range []bool{
			place.Subdivision != "" && slices.Contains(m.Subdivisions, place.Subdivision),
			place.Country != "" && slices.Contains(m.Countries, place.Country),
			place.Continent != "" && slices.Contains(m.Continents, place.Continent),
			m.Default,
		} {
			if matches {
				tiers[tier].Members = append(tiers[tier].Members, i)
			}
		}
	}
	return slices.DeleteFunc(tiers, func(t Tier) bool { return len(t.Members) == 0 })
}

// add numbers a pool's counters and notes what it depends on.
func (p *Plan) add(pool *PoolPlan) {
	pool.counter = len(p.Counters)
	for i := range pool.Pool.Members {
		m := &pool.Pool.Members[i]
		p.Counters = append(p.Counters, Counter{Pool: pool.Pool.Name, Member: m.Endpoint, Region: m.Region})
		for _, check := range pool.checks[i] {
			if check != "" {
				p.byCheck[check] = append(p.byCheck[check], pool.Number)
			}
		}
		if m.Control != "" {
			p.byControl[m.Control] = append(p.byControl[m.Control], pool.Number)
		}
	}
	p.Counters = append(p.Counters, Counter{Pool: pool.Pool.Name, Member: "last_resort"})
	for g := range pool.Groups {
		p.Counters = append(p.Counters, Counter{Pool: pool.Pool.Name, Group: geo.GroupID(g)})
	}
	p.Pools = append(p.Pools, pool)
}

// targets applies the checks to the addresses of the pools that name them; pools that share an endpoint share its targets.
func (c *compiler) targets() []*health.Target {
	checks := make(map[string]*Check)
	for i := range c.world.Checks {
		checks[c.world.Checks[i].Name] = &c.world.Checks[i]
	}
	targets := make(map[health.CheckID]*health.Target)
	for i := range c.world.Pools {
		pool := &c.world.Pools[i]
		check := checks[pool.Check]
		if check == nil {
			continue
		}
		for j := range pool.Members {
			for family, address := range pool.Members[j].Address {
				if address.IsValid() {
					t := check.target(&pool.Members[j], family)
					targets[t.ID] = t
				}
			}
		}
	}
	return slices.SortedFunc(maps.Values(targets), func(a, b *health.Target) int { return cmp.Compare(a.ID, b.ID) })
}

func (c *Check) target(m *Member, family int) *health.Target {
	port := c.Port
	if m.Port != 0 {
		port = m.Port
	}
	return &health.Target{
		ID: CheckID(c.Name, m.Endpoint, family), Endpoint: m.Endpoint, Region: m.Region,
		Kind: c.Kind, Address: netip.AddrPortFrom(m.Address[family], port),
		Host: c.Host, SkipVerify: c.SkipVerify, Path: c.Path, ExpectStatus: c.ExpectStatus, ExpectBody: c.ExpectBody,
		Interval: c.Interval, Fall: c.Fall, Rise: c.Rise, HoldDown: c.HoldDown,
	}
}

func (p *Plan) sum() health.Hash64 {
	h := fnv.New64a()
	fmt.Fprint(h, uint64(p.World.Digest), p.Table.Digest())
	for _, pool := range p.Pools {
		fmt.Fprint(h, pool.Pool.Name, pool.Groups, pool.digest)
	}
	return health.Hash64(h.Sum64())
}
