package zones

import (
	"time"

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
	Counters []Counter                       // what a nameserver counts, by number
	Orders   map[geo.Place][]geo.RegionID    // all regions, nearest first, as compiled for the places with samples
	Near     map[geo.RegionID][]geo.RegionID // the other regions of each region, nearest first
	Digest   health.Hash64                   // of the world and the geo table
	Reports  *Reports                        // nil: nobody is told of errors with the zones

	estimates *rtt.Orders          // that the plan was compiled by
	zones     map[string]*ZoneData // by apex in wire format, lower case
	lengths   [256]bool            // that an apex has
	byCheck   map[health.CheckID][]int
	byControl map[control.ControlID][]int
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

// estimate returns what a round trip from a place to a region is expected to take, and how many samples say so.
func (p *Plan) estimate(place geo.Place, region geo.RegionID) (time.Duration, uint32) {
	for _, r := range p.World.Regions {
		if r.ID == region {
			return p.estimates.Estimate(place, rtt.Region{ID: r.ID, At: r.At})
		}
	}
	return 0, 0
}

// A PoolPlan is a pool as far as health can't change it.
type PoolPlan struct {
	Pool       *Pool
	Number     int
	Partition  *geo.Partition  // nil: every client is in group 0
	Groups     []GroupPlan     // by GroupID
	Sets       [][2]*RecordSet // by member: its addresses, packed; nil where it has none of the family
	LastResort [2]*RecordSet
	checks     [][2]health.CheckID // by member; empty where a member is always up
	digest     uint64              // of which places are in which group
	counter    int                 // number of the first member's counter; the last resort's and the groups' follow
}

// A GroupPlan orders the members for the clients of one group: the first tier with an available member answers,
// and within it the weights decide.
type GroupPlan struct {
	Tiers  []Tier
	Region geo.RegionID // nearest to the group's clients; empty where the policy does not say
}

// A Tier is a set of members that are equally good for a group.
type Tier struct {
	Members []int  // numbers in the pool, ascending
	Why     string // for people: "country DE", "eu-west"
}

// TTL returns the TTL of the pool's answers in seconds.
func (p *PoolPlan) TTL() uint32 { return uint32(p.Pool.TTL.Seconds()) }

// GroupCounter returns the number of the counter of a group's clients.
func (p *PoolPlan) GroupCounter(g geo.GroupID) int {
	return p.counter + len(p.Pool.Members) + 1 + int(g)
}

// memberCounter returns the number of the counter of answers with a member; -1 is the last resort.
func (p *PoolPlan) memberCounter(member int) int {
	if member < 0 {
		return p.counter + len(p.Pool.Members)
	}
	return p.counter + member
}

// EverySet calls yield with every set that the pool could ever answer with.
func (p *PoolPlan) EverySet(yield func(*RecordSet) bool) {
	for _, sets := range append(p.Sets, p.LastResort) {
		for _, set := range sets {
			if set != nil && !yield(set) {
				return
			}
		}
	}
}

// groupHasFamily reports whether any member for the clients of a group has an address of the family.
func (p *PoolPlan) groupHasFamily(g, family int) bool {
	for _, tier := range p.Groups[g].Tiers {
		for _, i := range tier.Members {
			if p.Sets[i][family] != nil {
				return true
			}
		}
	}
	return false
}

// hasFamily reports whether the pool could ever answer with an address of the family.
func (p *PoolPlan) hasFamily(family int) bool {
	if p.LastResort[family] != nil {
		return true
	}
	for _, sets := range p.Sets {
		if sets[family] != nil {
			return true
		}
	}
	return false
}
