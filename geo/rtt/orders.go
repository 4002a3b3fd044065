package rtt

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// Orders is an immutable picture of what a model knows in an epoch. A nil one knows distances only.
type Orders struct {
	epoch   uint64
	told    rows           // by gateways
	sources []geo.RegionID // by number: the region that a source measures to
	survey  *survey        // nil: of no configuration yet
	numbers []uint8        // by source: its region's number; elsewhere

	sites  held
	listed held
	units  []unit   // prefixes of which something is told or tabulated, ordered by id
	bySite []uint32 // their numbers, by site

	overlay *geo.Overlay // as For made it
	entries []entry      // by value-1 of the overlay
}

// elsewhere is the number of a region that is not in the configuration.
const elsewhere = math.MaxUint8

// A unit is a prefix with samples or entries of its own.
type unit struct {
	id     id
	site   uint32 // of its first address
	parent int32  // the unit next around it; -1: none
}

// An entry is a listed prefix: a unit, or units side by side that are alike.
type entry struct{ first, last uint32 }

// Epoch returns the number of the epoch that the picture is of; 0 if it is of none.
func (o *Orders) Epoch() uint64 {
	if o == nil {
		return 0
	}
	return o.epoch
}

// number returns a region's number in the configuration.
func (o *Orders) number(r geo.RegionID) (uint8, bool) {
	if o == nil || o.survey == nil {
		return 0, false
	}
	n, ok := o.survey.numbers[r]
	return n, ok
}

// For returns the picture for a configuration, with its overlay. It is cheap where the last one made was for the same table of
// places and equal regions and tables. Orders in force stay in force where the regions are the same.
func (o *Orders) For(c Config) *Orders {
	if o == nil {
		o = &Orders{}
	}
	if o.overlay != nil && o.survey.fits(c) && o.survey.config.Explore == c.Explore {
		return o
	}
	n := *o
	switch {
	case !o.survey.fits(c):
		n = *o.surveyed(newSurvey(c))
	case o.survey.config.Explore != c.Explore:
		s := *o.survey
		s.config.Explore = c.Explore
		n.survey = &s
	}
	n.list()
	return &n
}

// surveyed returns the picture for another survey. A site or prefix that is new follows its estimates at once, and so do all where
// other tables make a gain: somebody wants that.
func (o *Orders) surveyed(s *survey) *Orders {
	n := &Orders{epoch: o.epoch, told: o.told, sources: o.sources, survey: s}
	n.renumber()
	regions := len(s.config.Regions)
	n.sites = newHeld(len(s.sites), regions)
	carried := make([]bool, len(s.sites))
	same := o.survey != nil && slices.Equal(o.survey.config.Tables, s.config.Tables)
	if o.survey != nil && slices.Equal(o.survey.config.Regions, s.config.Regions) {
		for i, j := 0, 0; i < len(s.sites) && j < len(o.survey.sites); {
			c := s.sites[i].compare(o.survey.sites[j])
			if c == 0 {
				n.sites.carry(i, &o.sites, j)
				carried[i] = true
			}
			if c <= 0 {
				i++
			}
			if c >= 0 {
				j++
			}
		}
	} else {
		o = &Orders{}
	}
	fresh, _ := n.locate(o)
	n.sweep(func(i int, est []micros) {
		switch {
		case !carried[i]:
			sorted(n.sites.of(i), est)
		case !same:
			settle(n.sites.of(i), est)
		}
	}, func(u int, est []micros) {
		if fresh[u] {
			n.listed.set(u, n.sites.of(int(n.units[u].site)))
		}
		if fresh[u] || !same {
			settle(n.listed.of(u), est)
		}
	})
	return n
}

// renumber finds the regions of the sources in the configuration.
func (o *Orders) renumber() {
	o.numbers = make([]uint8, len(o.sources))
	for i, r := range o.sources {
		o.numbers[i] = elsewhere
		if n, ok := o.number(r); ok {
			o.numbers[i] = n
		}
	}
}

// locate finds the prefixes of which something is told or tabulated, and puts the orders that they had before in force; those
// that are new have the order of what is around them. It reports which are new, and whether one that is gone was answered
// otherwise than what is around it.
func (o *Orders) locate(before *Orders) (fresh []bool, gone bool) {
	ids := make([]id, 0, len(before.units))
	told, tables := o.told.from(prefixBit), o.survey.rows.from(prefixBit)
	for len(told) > 0 || len(tables) > 0 {
		next := id(math.MaxUint64)
		if len(told) > 0 {
			next = told[0].id
		}
		if len(tables) > 0 {
			next = min(next, tables[0].id)
		}
		ids = append(ids, next)
		for len(told) > 0 && told[0].id == next {
			told = told[1:]
		}
		for len(tables) > 0 && tables[0].id == next {
			tables = tables[1:]
		}
	}
	o.units, fresh = make([]unit, len(ids)), make([]bool, len(ids))
	o.listed = newHeld(len(ids), len(o.survey.config.Regions))
	var open []int32 // units around the present one, outermost first
	old := 0
	for i, id := range ids {
		for len(open) > 0 && !o.units[open[len(open)-1]].id.holds(id) {
			open = open[:len(open)-1]
		}
		u := &o.units[i]
		u.id, u.parent = id, -1
		if len(open) > 0 {
			u.parent = open[len(open)-1]
		}
		open = append(open, int32(i))
		for ; old < len(before.units) && before.units[old].id < id; old++ {
			gone = gone || before.differs(old)
		}
		same := old < len(before.units) && before.units[old].id == id
		if same && before.survey == o.survey {
			u.site = before.units[old].site
		} else {
			u.site = o.siteAt(id)
		}
		if same {
			o.listed.carry(i, &before.listed, old)
			old++
		} else {
			fresh[i] = true
			o.listed.set(i, o.above(i))
		}
	}
	for ; old < len(before.units); old++ {
		gone = gone || before.differs(old)
	}
	o.bySite = make([]uint32, len(o.units))
	for i := range o.bySite {
		o.bySite[i] = uint32(i)
	}
	slices.SortStableFunc(o.bySite, func(a, b uint32) int { return cmp.Compare(o.units[a].site, o.units[b].site) })
	return fresh, gone
}

// siteAt returns the site at which a prefix begins.
func (o *Orders) siteAt(i id) uint32 {
	places := o.survey.config.Places
	number, ok := o.survey.site(places.Place(places.Lookup(i.prefix().Addr())))
	if !ok {
		panic("rtt: a place of the table is at no site: " + i.prefix().String())
	}
	return uint32(number)
}

// above returns the order in force around a unit.
func (o *Orders) above(u int) []uint8 {
	if parent := o.units[u].parent; parent >= 0 {
		return o.listed.of(int(parent))
	}
	return o.sites.of(int(o.units[u].site))
}

// differs reports whether a unit has another order than what is around it.
func (o *Orders) differs(u int) bool { return !slices.Equal(o.listed.of(u), o.above(u)) }

// ordersAs reports whether two pictures of one survey have the same orders in force.
func (o *Orders) ordersAs(p *Orders) bool {
	if !slices.Equal(o.sites.order, p.sites.order) {
		return false
	}
	next := func(o *Orders, u int) int {
		for u < len(o.units) && !o.differs(u) {
			u++
		}
		return u
	}
	i, j := next(o, 0), next(p, 0)
	for i < len(o.units) && j < len(p.units) {
		if o.units[i].id != p.units[j].id || !slices.Equal(o.listed.of(i), p.listed.of(j)) {
			return false
		}
		i, j = next(o, i+1), next(p, j+1)
	}
	return i == len(o.units) && j == len(p.units)
}

// next returns the picture of an epoch. Young says that orders have not been in force for long enough to be worth keeping.
// Changed says that some client's order is another one.
func (o *Orders) next(told rows, sources []geo.RegionID, epoch uint64, young bool) (n *Orders, changed bool) {
	n = &Orders{epoch: epoch, told: told, sources: sources, survey: o.survey}
	n.renumber()
	if n.survey == nil {
		return n, false
	}
	if len(told) == 0 && len(o.told) == 0 { // distances and tables do not change
		n.sites, n.listed, n.units, n.bySite = o.sites, o.listed, o.units, o.bySite
		return n, false
	}
	n.sites = o.sites.clone()
	_, changed = n.locate(o)
	move := (*held).advance
	if young {
		move = func(h *held, i int, est []micros) bool { return settle(h.of(i), est) }
	}
	n.sweep(
		func(i int, est []micros) { changed = move(&n.sites, i, est) || changed },
		func(u int, est []micros) { changed = move(&n.listed, u, est) || changed })
	return n, changed
}

// Overlay returns the prefixes that are answered otherwise than what is around them, by what is measured there or by what tables
// say; neighbours that order the regions alike are one. It is nil where For was not called.
func (o *Orders) Overlay() *geo.Overlay {
	if o == nil {
		return nil
	}
	return o.overlay
}

// list makes the overlay.
func (o *Orders) list() {
	type block struct {
		id
		entry
	}
	var lengths [addressBits + 1][]block
	taken := make(map[id]bool, len(o.units))
	for u := range o.units {
		taken[o.units[u].id] = true
		if o.differs(u) {
			id := o.units[u].id
			lengths[id.bits()] = append(lengths[id.bits()], block{id, entry{uint32(u), uint32(u)}})
		}
	}
	alike := func(a, b uint32) bool {
		return o.units[a].site == o.units[b].site && o.units[a].parent == o.units[b].parent &&
			slices.Equal(o.listed.of(int(a)), o.listed.of(int(b)))
	}
	var prefixes []netip.Prefix
	o.entries = nil
	for bits := addressBits; bits >= 0; bits-- {
		blocks := lengths[bits]
		slices.SortFunc(blocks, func(a, b block) int { return cmp.Compare(a.id, b.id) })
		for len(blocks) > 0 {
			a := blocks[0]
			blocks = blocks[1:]
			if bits > 0 && len(blocks) > 0 {
				both, b := a.within(bits-1), blocks[0]
				if both == b.within(bits-1) && !taken[both] && alike(a.first, b.first) {
					lengths[bits-1] = append(lengths[bits-1], block{both, entry{a.entry.first, b.entry.last}})
					blocks = blocks[1:]
					continue
				}
			}
			prefixes, o.entries = append(prefixes, a.prefix()), append(o.entries, a.entry)
		}
	}
	o.overlay = geo.NewOverlay(prefixes)
}

// Order returns regions nearest first for the clients of a place in a listed prefix, 0 where there is none. Regions of which
// nothing is known come last, in the order that they are given in. The order of some regions is that of all with the others left
// out.
func (o *Orders) Order(p geo.Place, listed uint32, regions []Region) []geo.RegionID {
	var numbers [MaxRegions]uint8
	given := numbers[:0]
	for i, r := range regions {
		if o != nil && o.survey != nil && i < len(o.survey.config.Regions) && o.survey.config.Regions[i].ID == r.ID {
			given = append(given, uint8(i)) // mostly all are asked for as they stand there
			continue
		}
		n, ok := o.number(r.ID)
		if !ok {
			return o.orderByDistance(p, regions)
		}
		given = append(given, n)
	}
	order, known := o.inForce(p, listed)
	var rank [MaxRegions]uint8
	for i, n := range order {
		rank[n] = uint8(i)
		if known != nil && known[n].est == unknown {
			rank[n] = MaxRegions
		}
	}
	slices.SortStableFunc(given, func(a, b uint8) int { return cmp.Compare(rank[a], rank[b]) })
	ids := make([]geo.RegionID, len(given))
	for i, n := range given {
		ids[i] = o.survey.config.Regions[n].ID
	}
	return ids
}

// Knows reports whether anything says which region is near for the clients of a place in a listed prefix.
func (o *Orders) Knows(p geo.Place, listed uint32) bool {
	if p.Located || o == nil || o.survey == nil {
		return p.Located
	}
	all, _ := o.weigh(siteOf(p), o.around(listed))
	return slices.ContainsFunc(all, func(w weighed) bool { return w.est != unknown })
}

// inForce returns the order of all regions for the clients of a place in a listed prefix; and estimates, where there may be none
// for some of them.
func (o *Orders) inForce(p geo.Place, listed uint32) (order []uint8, known []weighed) {
	site, tracked := o.survey.site(p)
	if tracked && p.Located {
		if listed == 0 {
			return o.sites.of(site), nil
		}
		if e := o.entries[listed-1]; o.units[e.first].site == uint32(site) {
			return o.listed.of(int(e.first)), nil
		}
	}
	known, _ = o.weigh(siteOf(p), o.around(listed))
	est := make([]micros, len(known))
	for r := range known {
		est[r] = known[r].est
	}
	order = make([]uint8, len(known))
	switch {
	case !tracked:
		sorted(order, est)
	case listed == 0:
		copy(order, o.sites.of(site))
	case o.units[o.entries[listed-1].first].site == uint32(site):
		copy(order, o.listed.of(int(o.entries[listed-1].first)))
	default: // an order is held for where the prefix begins
		copy(order, o.sites.of(site))
		settle(order, est)
	}
	return order, known
}

// orderByDistance is what is known without a configuration.
func (o *Orders) orderByDistance(p geo.Place, regions []Region) []geo.RegionID {
	byDistance := slices.Clone(regions)
	if p.Located {
		slices.SortStableFunc(byDistance, func(a, b Region) int { return cmp.Compare(Prior(p.At, a.At), Prior(p.At, b.At)) })
	}
	ids := make([]geo.RegionID, len(regions))
	for i, r := range byDistance {
		ids[i] = r.ID
	}
	return ids
}
