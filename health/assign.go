package health

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// VantagesPerRegion is how many probe nodes of each region probe a target whose check does not say.
const VantagesPerRegion = 3

// A Vantage is a node that probes.
type Vantage struct {
	Node    NodeID
	Region  geo.RegionID
	Address netip.Addr // where it probes from, as far as the mesh knows; may be the zero Addr
}

// near reports whether a vantage is in the network of an endpoint: the same /24, or /48. What it sees says nothing of who reaches that
// network from outside.
func (v Vantage) near(endpoint netip.Addr) bool {
	bits := 24
	if endpoint.Is6() {
		bits = 48
	}
	network, err := endpoint.Prefix(bits)
	return err == nil && network.Contains(v.Address)
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
