package zones

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
)

// A setting is what a policy may go by to order members for clients: their place and their listed prefix, and the regions as
// they are near.
type setting struct {
	place    geo.Place
	prefixes []netip.Prefix // the listed ones around the clients, longest first
	order    []geo.RegionID // all regions, nearest first; nil where nothing says which is near
	picture  *rtt.Orders    // by which they are near; nil likewise
	measured uint32         // value of the client's prefix in its overlay
	regions  map[geo.RegionID]geo.Coordinates
}

// tiers orders the members of a pool for some clients, by its policy.
//
//	policy         tiers
//	failover       one member each, in the order written
//	weighted       those with a weight; standbys
//	multivalue     all
//	geo            those that serve the subdivision; the country; the continent; whoever is elsewhere
//	cidr           those that serve the longest listed prefix, the next around it, …; the AS number; whoever is elsewhere
//	geoproximity   by the biased distance of their regions
//	latency        by the regions' round-trip times
//
// Clients of no known place get the regions in the order of the members. fence is the member that ends the walk, or -1.
func (s *setting) tiers(pool *Pool) (tiers []Tier, fence int) {
	switch pool.Policy {
	case Failover:
		tiers = make([]Tier, len(pool.Members))
		for i := range tiers {
			tiers[i] = Tier{[]int{i}, fmt.Sprintf("rank %d", i+1)}
		}
		return tiers, -1
	case Weighted:
		return weightedTiers(pool), -1
	case Multivalue:
		tier := Tier{Why: "one of all"}
		for i := range pool.Members {
			tier.Members = append(tier.Members, i)
		}
		return []Tier{tier}, -1
	case Geo:
		return walled(pool, s.geoTiers(pool.Members))
	case CIDR:
		return walled(pool, s.cidrTiers(pool.Members))
	case Geoproximity:
		return s.proximityTiers(pool), -1
	case Latency:
		return s.latencyTiers(pool.Members), -1
	}
	panic(fmt.Sprintf("zones: pool %s: policy %q", pool.Name, pool.Policy))
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
	return occupied(weighted, standby)
}

func occupied(tiers ...Tier) []Tier {
	return slices.DeleteFunc(tiers, func(t Tier) bool { return len(t.Members) == 0 })
}

func (s *setting) geoTiers(members []Member) []Tier {
	tiers := []Tier{
		{Why: "subdivision " + s.place.Subdivision}, {Why: "country " + s.place.Country},
		{Why: "continent " + s.place.Continent}, {Why: "default"},
	}
	for i := range members {
		m := &members[i]
		for tier, matches := range []bool{
			s.place.Subdivision != "" && slices.Contains(m.Subdivisions, s.place.Subdivision),
			s.place.Country != "" && slices.Contains(m.Countries, s.place.Country),
			s.place.Continent != "" && slices.Contains(m.Continents, s.place.Continent),
			m.Default,
		} {
			if matches {
				tiers[tier].Members = append(tiers[tier].Members, i)
			}
		}
	}
	return occupied(tiers...)
}

func (s *setting) cidrTiers(members []Member) []Tier {
	var tiers []Tier
	for _, p := range s.prefixes {
		tier := Tier{Why: "prefix " + p.String()}
		for i := range members {
			if slices.Contains(members[i].Prefixes, p) {
				tier.Members = append(tier.Members, i)
			}
		}
		tiers = append(tiers, tier)
	}
	asn, rest := Tier{Why: fmt.Sprintf("AS%d", s.place.ASN)}, Tier{Why: "default"}
	for i := range members {
		if s.place.ASN != 0 && slices.Contains(members[i].ASNs, s.place.ASN) {
			asn.Members = append(asn.Members, i)
		}
		if members[i].Default {
			rest.Members = append(rest.Members, i)
		}
	}
	return occupied(append(tiers, asn, rest)...)
}

// walled ends the walk behind the first tier with a fence.
func walled(pool *Pool, tiers []Tier) ([]Tier, int) {
	for t := range tiers {
		for _, m := range tiers[t].Members {
			if pool.Members[m].Fence != nil {
				tiers[t].Why += ", fenced"
				return tiers[:t+1], m
			}
		}
	}
	return tiers, -1
}

// latencyTiers puts the members of each region into a tier, nearest region first. Regions that are not known to be near or far
// come last, in the order of the members.
func (s *setting) latencyTiers(members []Member) []Tier {
	var tiers []Tier
	of := make(map[geo.RegionID]int)
	for i := range members {
		r := members[i].Region
		at, ok := of[r]
		if !ok {
			at = len(tiers)
			of[r] = at
			tiers = append(tiers, Tier{Why: "region " + string(r)})
		}
		tiers[at].Members = append(tiers[at].Members, i)
	}
	rank := func(t Tier) int {
		if at := slices.Index(s.order, members[t.Members[0]].Region); at >= 0 {
			return at
		}
		return len(s.order)
	}
	slices.SortStableFunc(tiers, func(a, b Tier) int { return cmp.Compare(rank(a), rank(b)) })
	return tiers
}

// proximityTiers puts the members whose regions are equally near, as their biases have it, into a tier, nearest first.
func (s *setting) proximityTiers(pool *Pool) []Tier {
	type seen struct {
		region geo.RegionID
		bias   int
	}
	var tiers []Tier
	of := make(map[seen]int)
	for i := range pool.Members {
		m := &pool.Members[i]
		key := seen{m.Region, m.Bias}
		at, ok := of[key]
		if !ok {
			at = len(tiers)
			of[key] = at
			tiers = append(tiers, Tier{Why: proximityText(m)})
		}
		tiers[at].Members = append(tiers[at].Members, i)
	}
	if s.place.Located {
		far := func(t Tier) float64 { return s.far(&pool.Members[t.Members[0]]) }
		slices.SortStableFunc(tiers, func(a, b Tier) int { return cmp.Compare(far(a), far(b)) })
	}
	return tiers
}

// far returns the biased distance of a member's region from the clients, in kilometres.
func (s *setting) far(m *Member) float64 {
	return geo.Distance(s.place.At, s.regions[m.Region]) * float64(100-m.Bias) / 100
}

func proximityText(m *Member) string {
	if m.Bias == 0 {
		return "region " + string(m.Region)
	}
	return fmt.Sprintf("region %s, bias %+d", m.Region, m.Bias)
}
