package zones

import (
	"cmp"
	"fmt"
	"hash/fnv"
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
	c := newCompiler(w, table, orders)
	p := &Plan{
		World: w, Table: table, Near: c.neighbours(), Orders: c.picture,
		zones:   make(map[string]*ZoneData, len(w.Zones)),
		byCheck: make(map[health.CheckID][]int), byControl: make(map[control.ControlID][]int), byEndpoint: make(map[string][]int),
		byPool: make(map[string]int),
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
	c.targets(p)
	if n := len(p.Targets); n > health.MaxVector {
		return nil, fmt.Errorf("checks: %d targets (one for each address of a checked endpoint), at most %d are probed", n, health.MaxVector)
	}
	p.Digest = p.sum()
	return p, nil
}

// A compiler carries what the pools of one compile share.
type compiler struct {
	world     *World
	table     *geo.Table
	pools     map[string]*Pool
	at        map[geo.RegionID]geo.Coordinates
	picture   *rtt.Orders  // of which regions are near
	measured  *geo.Overlay // its prefixes
	groupings map[string]grouping
}

func newCompiler(w *World, table *geo.Table, orders *rtt.Orders) *compiler {
	c := &compiler{
		world: w, table: table, pools: make(map[string]*Pool, len(w.Pools)), at: make(map[geo.RegionID]geo.Coordinates, len(w.Regions)),
		groupings: make(map[string]grouping),
	}
	for i := range w.Pools {
		c.pools[w.Pools[i].Name] = &w.Pools[i]
	}
	for _, r := range w.Regions {
		c.at[r.ID] = r.At
	}
	explores := slices.ContainsFunc(w.Pools, func(p Pool) bool { return p.Explore > 0 })
	c.picture = orders.For(rtt.Config{Places: table, Regions: c.regions(), Tables: w.latencyTables(), Explore: explores})
	c.measured = c.picture.Overlay()
	return c
}

func (c *compiler) regions() []rtt.Region {
	regions := make([]rtt.Region, len(c.world.Regions))
	for i, r := range c.world.Regions {
		regions[i] = rtt.Region{ID: r.ID, At: r.At}
	}
	return regions
}

// neighbours orders the other regions of each region by distance.
func (c *compiler) neighbours() map[geo.RegionID][]geo.RegionID {
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

// kindTypes are the types of the records of each family, by kind.
var kindTypes = map[Kind][2]uint16{Addresses: familyTypes, Aliases: {dns.TypeCNAME}, Servers: {dns.TypeSRV}, Mailers: {dns.TypeMX}}

func (c *compiler) pool(pool *Pool, number int) (*PoolPlan, error) {
	p := &PoolPlan{Pool: pool, Number: number, Types: kindTypes[cmp.Or(pool.Kind, Addresses)], ttl: ttlOf(pool), seed: seedOf(pool.Name), epoch: c.picture.Epoch()}
	var err error
	if p.root, err = c.level(p, pool, around{ttl: p.ttl, enabled: true}); err != nil {
		return nil, fmt.Errorf("pool %s: %w", pool.Name, err)
	}
	if p.LastResort, err = packFamilies(p.ttl, pool.LastResort); err != nil {
		return nil, fmt.Errorf("pool %s: last_resort: %w", pool.Name, err)
	}
	for m := range pool.Members {
		fence := pool.Members[m].Fence
		if fence == nil {
			continue
		}
		if p.fences == nil {
			p.fences = make(map[int][2]*RecordSet)
		}
		if p.fences[m], err = packFamilies(p.ttl, fence.Addresses); err != nil {
			return nil, fmt.Errorf("pool %s: member %s: fenced: %w", pool.Name, pool.Members[m].Name(), err)
		}
	}
	p.limits = limitsOf(p.root, "")
	g := c.grouping(p.root)
	p.Partition, p.Groups, p.digest = g.partition, g.groups, g.digest
	return p, nil
}

func ttlOf(pool *Pool) uint32 { return uint32(pool.TTL.Seconds()) }

// around is what the pools around a level hand down to its endpoints.
type around struct {
	path     []string
	controls []control.ControlID
	enabled  bool
	ttl      uint32
}

// level builds the tree below a pool, and adds its endpoints to the leaves of the plan.
func (c *compiler) level(p *PoolPlan, pool *Pool, around around) (*level, error) {
	isPool := func(m Member) bool { return m.Endpoint == "" }
	l := &level{pool: pool, nested: slices.ContainsFunc(pool.Members, isPool), leaf: make([]int, len(pool.Members)), inner: make([]*level, len(pool.Members))}
	p.minimum = p.minimum || pool.MinUp.Of(len(pool.Members)) > 1
	p.explore = max(p.explore, pool.Explore)
	p.regional = p.regional || pool.View == Regional
	for m := range pool.Members {
		member := &pool.Members[m]
		at := around
		at.enabled = at.enabled && member.Enabled
		if member.Control != "" {
			at.controls = append(slices.Clip(at.controls), member.Control)
		}
		if member.Endpoint == "" {
			inner := c.pools[member.Pool]
			if inner == nil {
				return nil, fmt.Errorf("no pool %q", member.Pool)
			}
			at.path, at.ttl = append(slices.Clip(at.path), inner.Name), min(at.ttl, ttlOf(inner))
			var err error
			if l.inner[m], err = c.level(p, inner, at); err != nil {
				return nil, err
			}
			continue
		}
		leaf := Leaf{Member: member, Pool: pool, Path: at.path, controls: at.controls, enabled: at.enabled,
			checks: member.Checks(pool.Check), seed: seedOf(member.Endpoint)}
		leaf.alone = []int{len(p.Leaves)}
		if err := leaf.pack(at.ttl); err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", member.Endpoint, err)
		}
		l.leaf[m] = len(p.Leaves)
		p.Leaves, p.ttl = append(p.Leaves, leaf), min(p.ttl, at.ttl)
	}
	return l, nil
}

// pack packs the records of an endpoint.
func (l *Leaf) pack(ttl uint32) (err error) {
	if l.Target != nil {
		l.Sets[0], err = packTarget(ttl, l.Pool.Kind, l.Target)
		return err
	}
	for family, address := range l.Address {
		if !address.IsValid() {
			continue
		}
		if l.Sets[family], err = packAddresses(ttl, family, address); err != nil {
			return err
		}
	}
	return nil
}

// Checks returns the names of what a check probes of the member, by family; empty: nothing.
func (m *Member) Checks(check string) (ids [2]health.CheckID) {
	for family, address := range m.probed() {
		if check != "" && address.IsValid() {
			ids[family] = CheckID(check, m.Endpoint, family)
		}
	}
	return ids
}

func probedFamily(a netip.Addr) int {
	if a.Is6() {
		return IPv6
	}
	return IPv4
}

func packTarget(ttl uint32, kind Kind, t *TargetData) (*RecordSet, error) {
	header := dns.RR_Header{Name: ".", Rrtype: kindTypes[kind][0], Class: dns.ClassINET, Ttl: ttl}
	var rr dns.RR
	switch kind {
	case Aliases:
		rr = &dns.CNAME{Hdr: header, Target: t.Name}
	case Servers:
		rr = &dns.SRV{Hdr: header, Priority: t.Priority, Weight: t.Weight, Port: t.Port, Target: t.Name}
	case Mailers:
		rr = &dns.MX{Hdr: header, Preference: t.Priority, Mx: t.Name}
	default:
		return nil, fmt.Errorf("kind %q has no target", kind)
	}
	set, err := static.SetOf(rr)
	return &set, err
}

// packFamilies packs addresses of both families.
func packFamilies(ttl uint32, addresses []netip.Addr) (sets [2]*RecordSet, err error) {
	for family := range sets {
		of := slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool { return a.Is4() != (family == IPv4) })
		if len(of) == 0 {
			continue
		}
		if sets[family], err = packAddresses(ttl, family, of...); err != nil {
			return sets, err
		}
	}
	return sets, nil
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

// add numbers a pool's counters and notes what it depends on.
func (p *Plan) add(pool *PoolPlan) {
	pool.counter = len(p.Counters)
	p.byPool[pool.Pool.Name] = pool.Number
	for i := range pool.Leaves {
		leaf := &pool.Leaves[i]
		p.Counters = append(p.Counters, Counter{Pool: pool.Pool.Name, Member: leaf.Endpoint, Region: leaf.Region})
		for _, check := range leaf.checks {
			if check != "" {
				p.byCheck[check] = append(p.byCheck[check], pool.Number)
			}
		}
		for _, id := range leaf.controls {
			p.byControl[id] = append(p.byControl[id], pool.Number)
		}
		p.byEndpoint[leaf.Endpoint] = append(p.byEndpoint[leaf.Endpoint], pool.Number)
	}
	p.Counters = append(p.Counters, Counter{Pool: pool.Pool.Name, Member: "last_resort"})
	if len(pool.limits) > 0 {
		p.capped = append(p.capped, pool)
		for g := range pool.Groups {
			p.Counters = append(p.Counters, Counter{Pool: pool.Pool.Name, Group: pool.Groups[g].Key})
		}
	}
	p.Pools = append(p.Pools, pool)
}

func (p *Plan) sum() health.Hash64 {
	h := fnv.New64a()
	fmt.Fprint(h, uint64(p.World.Digest), p.Table.Digest())
	for _, pool := range p.Pools {
		fmt.Fprint(h, pool.Pool.Name, len(pool.Groups), pool.digest)
	}
	return health.Hash64(h.Sum64())
}
