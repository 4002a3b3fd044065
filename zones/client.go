package zones

import (
	"net/netip"

	"github.com/meridian-gslb/meridian/geo"
)

// A Client is what a query says of who asks.
type Client struct {
	Source netip.Addr   // of the packet, never v4-mapped
	Subnet netip.Prefix // of the EDNS client subnet option, masked; the zero Prefix without one
}

// Group returns which group of the pool a client is in, and the scope of the answer (RFC 7871, section 7.2.1): the
// length of the shortest prefix around the client subnet in which every address gets the same. It allocates nothing.
//
// A subnet in private or special-purpose space says nothing of the client: the source decides, and the scope covers
// that space. A subnet of length 0 asks for the same without a scope.
func (p *PoolPlan) Group(c Client) (g geo.GroupID, scope int) {
	if p.Partition == nil {
		return 0, 0
	}
	if g, single := p.Partition.Single(); single {
		return g, 0
	}
	if c.Subnet.Bits() <= 0 {
		return p.groupOf(c.Source), 0
	}
	g, scope = lookup(p.Partition, c.Subnet.Addr(), c.Subnet.Bits())
	if g == geo.SpecialGroup {
		g = p.groupOf(c.Source)
	}
	return g, scope
}

// groupOf returns the group of an address that is known in full.
func (p *PoolPlan) groupOf(a netip.Addr) geo.GroupID {
	g, _ := lookup(p.Partition, a, a.BitLen())
	if g == geo.SpecialGroup {
		return p.Partition.Other()
	}
	return g
}

// lookup finds an address by the IPv4 address that it embeds, if its known bits cover that.
func lookup(p *geo.Partition, a netip.Addr, known int) (g geo.GroupID, scope int) {
	if v4, offset, ok := geo.Embedded(a, known); ok {
		g, scope = p.Lookup(v4)
		return g, offset + scope
	}
	return p.Lookup(a)
}
