package geo

import (
	"net/netip"
	"slices"
)

// An Overlay lists prefixes that a policy tells apart beside the places of a table: configured ones, or those of which
// something was measured. The zero Overlay and a nil one list nothing. It is immutable.
type Overlay struct {
	prefixes []netip.Prefix   // by value-1, each once
	parents  []uint32         // by value-1: the next shorter listed prefix around it; 0: none
	spans    [families][]span // the longest listed prefix of every address
}

// NewOverlay lists prefixes, each of which has its place in the list, counted from 1, as its value; of equal ones the first
// counts. Prefixes that are not valid or not masked are a bug of the caller.
func NewOverlay(prefixes []netip.Prefix) *Overlay {
	o := &Overlay{prefixes: slices.Clone(prefixes), parents: make([]uint32, len(prefixes))}
	var entries [families][]entry
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
		o.spans[family] = flatten(entries[family]) // orders the entries too: those around one come before it
		var open []entry
		for _, e := range entries[family] {
			for len(open) > 0 && open[len(open)-1].hi().compare(e.lo) < 0 {
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

// walk gives the stretches of a family; one of value 0 where nothing is listed.
func (o *Overlay) walk(family int) walk {
	if o == nil || len(o.spans[family]) == 0 {
		return walkOf([]span{{}})
	}
	return walkOf(o.spans[family])
}

func (o *Overlay) empty() bool { return o == nil || len(o.prefixes) == 0 }
