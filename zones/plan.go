package zones

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A Plan is a world compiled as far as health and controls can't change it. It is immutable.
type Plan struct {
	World    *World
	Table    *geo.Table
	Pools    []*PoolPlan                     // in the world's order
	Targets  []*health.Target                // what the vantages probe, ordered by ID
	Groups   []*health.Group                 // what is decided by several of them, ordered by ID
	Subjects []Subject                       // all that has a status: targets and groups, ordered by ID
	Needs    []*health.Need                  // what pools need of them
	Counters []Counter                       // what a nameserver counts, by number
	Orders   *rtt.Orders                     // that it was compiled by
	Near     map[geo.RegionID][]geo.RegionID // the other regions of each region, nearest first
	Digest   health.Hash64                   // of the world and the geo table
	Reports  *Reports                        // nil: nobody is told of errors with the zones

	zones     map[string]*ZoneData // by apex in wire format, lower case
	lengths   [256]bool            // that an apex has
	byCheck   map[health.CheckID][]int
	byControl map[control.ControlID][]int

	byEndpoint map[string][]int
	byPool     map[string]int
	capped     []*PoolPlan // with capacities
}

// Zone returns the closest zone around a name (wire format, lower case) and how many bytes of the name stand
// before the zone's apex; nil where we serve none. It allocates nothing.
func (p *Plan) Zone(name []byte) (z *ZoneData, offset int) {
	for offset < len(name) {
		if p.lengths[len(name)-offset] { // most ends of a name are told from an apex by this alone
			if z := p.zones[string(name[offset:])]; z != nil {
				return z, offset
			}
		}
		offset += 1 + int(name[offset])
	}
	return nil, 0
}

// MaxAliases is how many CNAMEs of a zone are followed for one answer.
const MaxAliases = 8

// ZoneOf returns the zone to answer a question from: the closest one around the name, but for a DS at its apex the one
// around that, if we serve it: what delegates is the parent's (RFC 4035, section 3.1.4.1). It allocates nothing.
func (p *Plan) ZoneOf(name []byte, qtype uint16) *ZoneData {
	zone, offset := p.Zone(name)
	if zone == nil || offset > 0 || qtype != dns.TypeDS || len(name) == 1 {
		return zone
	}
	if parent, _ := p.Zone(name[1+int(name[0]):]); parent != nil {
		return parent
	}
	return zone
}

// Composes reports whether some pool answers with sets that are made when it is decided: with several members, or HTTPS records.
func (p *Plan) Composes() bool {
	return slices.ContainsFunc(p.Pools, func(pool *PoolPlan) bool { return pool.Pool.Answers > 1 || pool.Pool.HTTPS != nil })
}

// estimate returns what a round trip from a client to a region is expected to take.
func (p *Plan) estimate(client netip.Addr, place geo.Place, region geo.RegionID) rtt.Estimate {
	i := slices.IndexFunc(p.World.Regions, func(r Region) bool { return r.ID == region })
	if i < 0 {
		return rtt.Estimate{}
	}
	return p.Orders.Estimate(place, p.Orders.Overlay().Find(client), rtt.Region{ID: region, At: p.World.Regions[i].At})
}

// A PoolPlan is a pool as far as health can't change it.
type PoolPlan struct {
	Pool       *Pool
	Number     int
	Types      [2]uint16      // of the records of each family; 0 where the kind has no second one
	Partition  *geo.Partition // nil: every client is in group 0
	Groups     []GroupPlan    // by GroupID
	Leaves     []Leaf         // the endpoints in the pool, and in the pools in it, in the order written
	LastResort [2]*RecordSet
	fences     map[int][2]*RecordSet // by member of the pool
	root       *level
	limits     []limit // the members with a capacity
	ttl        uint32
	explore    int    // per mille of the prefixes that explore
	epoch      uint64 // of those
	regional   bool   // some pool goes by what the vantages near its clients see
	minimum    bool   // some pool asks for more than one member that is up
	digest     uint64 // of which places are in which group
	counter    int    // number of the first leaf's counter; the last resort's and the groups' follow
	seed       uint64
}

// A Leaf is an endpoint at its place in a pool, or in a pool in that.
type Leaf struct {
	*Member
	Pool *Pool         // that it is a member of
	Path []string      // the pools around it, from the one that is answered from; without that
	Sets [2]*RecordSet // its records; nil where it has none of the family

	controls []control.ControlID // that must be on: its own and those of the pools around it
	enabled  bool                // and all pools around it
	checks   [2]health.CheckID   // empty where it is always up
	seed     uint64              // of its rendezvous with prefixes
	alone    []int               // itself
}

// A level is a pool at its place in a tree of pools.
type level struct {
	pool   *Pool
	nested bool     // some member is a pool
	leaf   []int    // by member: its leaf, of an endpoint
	inner  []*level // by member: its level, of a pool
}

// A GroupPlan orders the members for the clients of one group: the first tier with an available member answers,
// and within it the weights decide. Groups of clients alike are shared by pools alike.
type GroupPlan struct {
	Tiers   []Tier
	Region  geo.RegionID // nearest to the group's clients; empty where the policy does not say
	Explore geo.RegionID // that may be nearer than is known; empty: none
	Fence   int          // the member whose fence ends the walk; -1: none
	Key     uint64       // the same for the same tiers, on any node, whichever number the group has
	inner   []*GroupPlan // by member: of a pool
}

// A Tier is a set of members that are equally good for a group.
type Tier struct {
	Members []int  // numbers in the pool, ascending
	Why     string // for people: "country DE", "eu-west"
}

// TTL returns the TTL of the pool's answers in seconds: the least of those around any endpoint.
func (p *PoolPlan) TTL() uint32 { return p.ttl }

// GroupCounter returns the number of the counter of a group's clients; -1 where nobody counts them.
func (p *PoolPlan) GroupCounter(g geo.GroupID) int {
	if len(p.limits) == 0 {
		return -1
	}
	return p.counter + len(p.Leaves) + 1 + int(g)
}

// memberCounter returns the number of the counter of answers with a leaf; -1 is the last resort.
func (p *PoolPlan) memberCounter(leaf int) int {
	if leaf < 0 {
		return p.counter + len(p.Leaves)
	}
	return p.counter + leaf
}

// Counter returns the number of the counter of answers with an option whose records begin with the one that has a number.
func (p *PoolPlan) Counter(o *Option, first int) int {
	if len(o.Members) == 0 {
		return p.memberCounter(-1)
	}
	return p.memberCounter(o.Members[first])
}

// Answers reports whether questions of a type are the pool's to answer. An alias is for all types.
func (p *PoolPlan) Answers(qtype uint16) bool {
	return qtype == p.Types[0] || qtype == p.Types[1] && qtype != 0 || p.Pool.Kind == Aliases || qtype == dns.TypeHTTPS && p.Pool.HTTPS != nil
}

// EverySet calls yield with every set that the pool could ever answer with, as far as these are few: not with those that hold
// several members.
func (p *PoolPlan) EverySet(yield func(*RecordSet) bool) {
	for family := range p.Types {
		if set := p.LastResort[family]; set != nil && !yield(set) {
			return
		}
		for i := range p.Leaves {
			if set := p.Leaves[i].Sets[family]; set != nil && !yield(set) {
				return
			}
		}
		for _, m := range slices.Sorted(maps.Keys(p.fences)) {
			if set := p.fences[m][family]; set != nil && !yield(set) {
				return
			}
		}
	}
}

// groupHasFamily reports whether any member for the clients of a group has records of the family.
func (p *PoolPlan) groupHasFamily(g, family int) bool {
	for leaf := range p.reached(p.root, &p.Groups[g]) {
		if p.Leaves[leaf].Sets[family] != nil {
			return true
		}
	}
	return false
}

// HasFamily reports whether the pool could ever answer with records of the family.
func (p *PoolPlan) HasFamily(family int) bool {
	for set := range p.EverySet {
		if set.Type == p.Types[family] {
			return true
		}
	}
	return false
}

// types returns the types that the pool could ever answer with.
func (p *PoolPlan) types() (types []uint16) {
	for family, rrtype := range p.Types {
		if rrtype != 0 && p.HasFamily(family) {
			types = append(types, rrtype)
		}
	}
	if p.Pool.HTTPS != nil {
		types = append(types, dns.TypeHTTPS)
	}
	return types
}

// reached yields the leaves that may answer the clients of a group, some of them more than once.
func (p *PoolPlan) reached(l *level, g *GroupPlan) iter.Seq[int] {
	return func(yield func(int) bool) { l.reach(g, yield) }
}

func (l *level) reach(g *GroupPlan, yield func(int) bool) bool {
	for t := range g.Tiers {
		for _, m := range g.Tiers[t].Members {
			if inner := l.inner[m]; inner != nil {
				if !inner.reach(g.inner[m], yield) {
					return false
				}
			} else if !yield(l.leaf[m]) {
				return false
			}
		}
	}
	return true
}
