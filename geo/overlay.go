package geo

import (
	"net/netip"
	"slices"
)

// An Overlay lists prefixes that a policy tells apart beside the places of a table: configured ones, or those of which
// something was measured. The zero Overlay and a nil one list nothing. It is immutable.
type Overlay struct {
	prefixes []netip.Prefix // by value-1, each once
	parents  []uint32       // by value-1: the next shorter listed prefix around it; 0: none
	spans    [2][]span      // the longest listed prefix of every address
}

// NewOverlay lists prefixes, each of which has its place in the list, counted from 1, as its value; of equal ones the first
// counts. Prefixes that are not valid or not masked are a bug of the caller.
func NewOverlay(prefixes []netip.Prefix) *Overlay {
	o := &Overlay{prefixes: slices.Clone(prefixes), parents: make([]uint32, len(prefixes))}
	var entries [2][]entry
	values := make(map[netip.Prefix]uint32, len(prefixes))
	for i, p := range o.prefixes {
		if !p.IsValid() || p != p.Masked() {
			panic("geo: overlay of " + p.String())
		}
		if _, twice := values[p]; twice {
			continue
		}
		values[p] = uint32(i + 1)
		family, e := newEntry(p, uint32(i+1))
		entries[family] = append(entries[family], e)
	}
	for family := range entries {
		o.spans[family] = flatten(entries[family], family) // orders the entries too: those around one come before it
		var open []entry
		for _, e := range entries[family] {
			for len(open) > 0 && open[len(open)-1].hi(family).compare(e.lo) < 0 {
				open = open[:len(open)-1]
			}
			if len(open) > 0 {
				o.parents[e.value-1] = open[len(open)-1].value
			}
			open = append(open, e)
		}
	}
	return o
}

// Prefix returns the prefix with a value, which is not 0.
func (o *Overlay) Prefix(value uint32) netip.Prefix { return o.prefixes[value-1] }

// Around returns the value of the longest listed prefix that holds the one with a value; 0 if there is none.
func (o *Overlay) Around(value uint32) uint32 { return o.parents[value-1] }

// Find returns the value of the longest listed prefix that holds an address; 0 if there is none.
func (o *Overlay) Find(a netip.Addr) uint32 {
	family, k := familyOf(a), keyOf(a)
	if o == nil || len(o.spans[family]) == 0 {
		return 0
	}
	spans := o.spans[family]
	i, exact := slices.BinarySearchFunc(spans, k, func(s span, k key) int { return s.start.compare(k) })
	if !exact {
		i--
	}
	return spans[i].value
}

// Values calls yield with every value of a listed prefix, in order; not with those of repeated ones.
func (o *Overlay) Values(yield func(uint32) bool) {
	if o == nil {
		return
	}
	seen := make(map[netip.Prefix]bool, len(o.prefixes))
	for i, p := range o.prefixes {
		if !seen[p] && !yield(uint32(i+1)) {
			return
		}
		seen[p] = true
	}
}

// of returns the stretches of a family; one of value 0 where nothing is listed.
func (o *Overlay) of(family int) []span {
	if o == nil || len(o.spans[family]) == 0 {
		return []span{{}}
	}
	return o.spans[family]
}

func (o *Overlay) empty() bool { return o == nil || len(o.prefixes) == 0 }

// PartitionWith is Partition for a policy that goes by listed prefixes too: group is told the value of the longest one around
// the addresses, 0 where there is none. Blocks of a maximal scope are cut only where a listed prefix is finer. Special-purpose
// space that is listed is like any other.
func (t *Table) PartitionWith(o *Overlay, group func(place PlaceID, listed uint32) GroupID) *Partition {
	groups := make([]uint32, len(t.places))
	for id := range groups {
		groups[id] = uint32(group(PlaceID(id), 0))
	}
	other := groups[Unknown]
	groups[Special] = uint32(SpecialGroup)
	value := func(place uint32) uint32 { return groups[place] }
	if !o.empty() {
		value = func(place uint32) uint32 { return place }
	}
	var four, six []span
	for i, start := range t.v4.start {
		four = appendSpan(four, key{lo: uint64(start)}, value(t.v4.value[i]), family4, MaxScope4)
	}
	for i, start := range t.v6.start {
		six = appendSpan(six, start, value(t.v6.value[i]), family6, MaxScope6)
	}
	if !o.empty() {
		type where struct{ place, listed uint32 }
		known := make(map[where]uint32)
		of := func(place, listed uint32) uint32 {
			if listed == 0 {
				return groups[place]
			}
			g, ok := known[where{place, listed}]
			if !ok {
				g = uint32(group(PlaceID(place), listed))
				known[where{place, listed}] = g
			}
			return g
		}
		four, six = cross(four, o.of(family4), of), cross(six, o.of(family6), of)
	}
	p := &Partition{other: GroupID(other), v4: pack4(four), v6: pack6(six)}
	differs := func(s span) bool { return s.value != other && s.value != uint32(SpecialGroup) }
	p.single = !slices.ContainsFunc(four, differs) && !slices.ContainsFunc(six, differs)
	return p
}

// cross takes two lists of stretches together, each of which covers the whole space; neighbours that come to the same are one.
func cross(a, b []span, value func(a, b uint32) uint32) []span {
	crossed := make([]span, 0, len(a)+len(b))
	for i, j := 0, 0; ; {
		start := a[i].start
		if b[j].start.compare(start) > 0 {
			start = b[j].start
		}
		if v := value(a[i].value, b[j].value); len(crossed) == 0 || crossed[len(crossed)-1].value != v {
			crossed = append(crossed, span{start, v})
		}
		moreA, moreB := i+1 < len(a), j+1 < len(b)
		if !moreA && !moreB {
			return crossed
		}
		order := 0
		if moreA && moreB {
			order = a[i+1].start.compare(b[j+1].start)
		} else if moreB {
			order = 1
		} else {
			order = -1
		}
		if order <= 0 {
			i++
		}
		if order >= 0 {
			j++
		}
	}
}
