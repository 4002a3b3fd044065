package zones

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
)

// A grouping is how some pools tell clients apart, and what they do with each group. Pools that are laid out alike share it.
type grouping struct {
	partition *geo.Partition // nil: all clients are in group 0
	groups    []GroupPlan
	digest    uint64 // of which places and prefixes are in which group
}

// needs are what the policies of a tree of pools go by.
type needs struct {
	place    bool           // where the client is
	near     bool           // which regions are near it
	prefixes []netip.Prefix // listed ones, each once, in order
}

// add notes the needs of a level and of those in it.
func (n *needs) add(l *level) {
	switch l.pool.Policy {
	case Geo, Geoproximity:
		n.place = true
	case CIDR:
		n.place = true // for its AS number
	case Latency:
		n.near = true
	}
	n.near = n.near || l.pool.View == Regional
	for m, inner := range l.inner {
		n.prefixes = append(n.prefixes, l.pool.Members[m].Prefixes...)
		if inner != nil {
			n.add(inner)
		}
	}
}

// layout writes down all that the groups of a level follow from, but for the clients.
func (l *level) layout(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s %t(", l.pool.Policy, l.pool.View, l.pool.Explore > 0)
	for m := range l.pool.Members {
		member := &l.pool.Members[m]
		fmt.Fprintf(b, "%s %t %d %v %v %v %t %t %v %v;", member.Region, member.Weight > 0, member.Bias, member.Subdivisions, member.Countries,
			member.Continents, member.Default, member.Fence != nil, member.Prefixes, member.ASNs)
		if inner := l.inner[m]; inner != nil {
			inner.layout(b)
		}
	}
	b.WriteByte(')')
}

// grouping groups the clients that a tree of pools treats alike.
func (c *compiler) grouping(root *level) grouping {
	var layout strings.Builder
	root.layout(&layout)
	if known, ok := c.groupings[layout.String()]; ok {
		return known
	}
	var n needs
	n.add(root)
	var g grouping
	if !n.place && !n.near && len(n.prefixes) == 0 {
		everyone := setting{regions: c.at}
		g.groups = []GroupPlan{*everyone.group(root)}
	} else {
		g = c.fold(root, c.listed(&n), n.near)
	}
	c.groupings[layout.String()] = g
	return g
}

// listed are the prefixes beside the places of the table that matter to a tree of pools.
type listed struct {
	overlay    *geo.Overlay
	configured map[netip.Prefix]bool
	measured   map[netip.Prefix]uint32 // their values in the overlay of the round-trip times; nil: it is that overlay
}

func (c *compiler) listed(n *needs) listed {
	learned := c.measured
	if !n.near {
		learned = nil
	}
	if len(n.prefixes) == 0 {
		return listed{overlay: learned}
	}
	l := listed{configured: make(map[netip.Prefix]bool), measured: make(map[netip.Prefix]uint32)}
	var all []netip.Prefix
	for _, p := range n.prefixes {
		if !l.configured[p] {
			l.configured[p] = true
			all = append(all, p)
		}
	}
	for value := range learned.Values {
		l.measured[learned.Prefix(value)] = value
		all = append(all, learned.Prefix(value))
	}
	l.overlay = geo.NewOverlay(all)
	return l
}

// around returns the configured prefixes around a listed one, itself included, longest first, and the value of the longest measured
// one.
func (l *listed) around(value uint32) (configured []netip.Prefix, measured uint32) {
	if l.measured == nil {
		return nil, value
	}
	for ; value != 0; value = l.overlay.Around(value) {
		p := l.overlay.Prefix(value)
		if l.configured[p] {
			configured = append(configured, p)
		}
		if measured == 0 {
			measured = l.measured[p]
		}
	}
	return configured, measured
}

// fold groups the places and the listed prefixes that come to the same.
func (c *compiler) fold(root *level, l listed, near bool) (g grouping) {
	h := fnv.New64a()
	var number [4]byte
	ids := make(map[string]geo.GroupID)
	var text strings.Builder
	all := c.regions()
	g.partition = c.table.PartitionWith(l.overlay, func(id geo.PlaceID, value uint32) geo.GroupID {
		s := setting{place: c.table.Place(id), regions: c.at}
		var measured uint32
		s.prefixes, measured = l.around(value)
		if near && c.picture.Knows(s.place, measured) {
			s.picture, s.measured = c.picture, measured
			s.order = c.picture.Order(s.place, measured, all)
		}
		plan := s.group(root)
		text.Reset()
		plan.write(&text, true)
		group, ok := ids[text.String()]
		if !ok {
			group = geo.GroupID(len(g.groups))
			ids[text.String()] = group
			g.groups = append(g.groups, *plan)
			io.WriteString(h, text.String())
		}
		binary.BigEndian.PutUint32(number[:], uint32(group))
		h.Write(number[:])
		return group
	})
	g.digest = h.Sum64()
	return g
}

// group orders the members of a tree of pools for some clients.
func (s *setting) group(l *level) *GroupPlan {
	g := &GroupPlan{inner: make([]*GroupPlan, len(l.inner))}
	g.Tiers, g.Fence = s.tiers(l.pool)
	switch {
	case l.pool.Policy == Latency || l.pool.Policy == Geoproximity:
		g.Region = l.pool.Members[g.Tiers[0].Members[0]].Region
	case l.pool.View == Regional && len(s.order) > 0:
		g.Region = s.order[0]
	}
	if l.pool.Explore > 0 {
		g.Explore = s.worthATry(l.pool)
	}
	for m, inner := range l.inner {
		if inner != nil {
			g.inner[m] = s.group(inner)
		}
	}
	var text strings.Builder
	g.write(&text, false)
	g.Key = seedOf(text.String())
	return g
}

// worthATry returns the region of a pool that may be nearer to the clients than what is thought the nearest; empty: none.
func (s *setting) worthATry(pool *Pool) geo.RegionID {
	var regions []rtt.Region
	for i := range pool.Members {
		r := rtt.Region{ID: pool.Members[i].Region, At: s.regions[pool.Members[i].Region]}
		if !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	region, _ := s.picture.Explore(s.place, s.measured, regions)
	return region
}

// write writes all of a group plan that answers follow from, or of that what is not tried out.
func (g *GroupPlan) write(b *strings.Builder, explore bool) {
	b.WriteString(string(g.Region))
	b.WriteByte(' ')
	if explore {
		b.WriteString(string(g.Explore))
	}
	for _, t := range g.Tiers {
		b.WriteString(t.Why)
		for _, m := range t.Members {
			b.WriteString(strconv.Itoa(m))
			b.WriteByte(',')
		}
		b.WriteByte(';')
	}
	for _, inner := range g.inner {
		if inner != nil {
			b.WriteByte('(')
			inner.write(b, explore)
			b.WriteByte(')')
		}
	}
}
