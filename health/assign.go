package health

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// VantagesPerRegion is how many probe nodes of each region probe a target whose check does not say.
const VantagesPerRegion = 3

// A Vantage is a node that probes.
type Vantage struct {
	Node   NodeID
	Region geo.RegionID
}

// vantagesOf returns which vantages of each region probe a target: those with the highest hashes of (target, node), so
// that every node computes the same, and a node that leaves moves only its own targets (rendezvous hashing). The input
// is ordered by region and node, and so is the result.
func vantagesOf(c CheckID, perRegion int, all []Vantage) []Vantage {
	if perRegion == 0 {
		perRegion = VantagesPerRegion
	}
	var chosen []Vantage
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Region == all[0].Region {
			n++
		}
		region := slices.Clone(all[:n])
		all = all[n:]
		if perRegion != AllVantages && len(region) > perRegion {
			slices.SortFunc(region, func(a, b Vantage) int { return cmp.Compare(rank(c, b.Node), rank(c, a.Node)) })
			region = region[:perRegion]
			slices.SortFunc(region, compareVantages)
		}
		chosen = append(chosen, region...)
	}
	return chosen
}

func compareVantages(a, b Vantage) int {
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node))
}

func rank(c CheckID, node NodeID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(c))
	h.Write([]byte{0})
	h.Write([]byte(node))
	return mix64(h.Sum64())
}
