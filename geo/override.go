package geo

import (
	"fmt"
	"hash/fnv"
)

// overrides place listed prefixes anew, over the places of a table.
type overrides struct {
	base   *Table
	list   *Overlay
	ids    map[overridden]uint32
	places []Place // behind the table's
}

// An overridden place is one of the table's under a listed prefix.
type overridden struct{ place, listed uint32 }

// base returns the table before it was overridden.
func (t *Table) base() *Table {
	if t.over != nil {
		return t.over.base
	}
	return t
}

// place returns the place of an address that a table has at a place and the list in a prefix.
func (o *overrides) place(place, listed uint32) uint32 {
	if listed == 0 {
		return place
	}
	if id, ok := o.ids[overridden{place, listed}]; ok {
		return id
	}
	return place
}

// Override returns the table with listed prefixes placed anew: place is told what the table knows of addresses, and the value of the
// longest listed prefix around them, and says what is known then. A listed prefix counts in full, however much finer the table is.
// Special-purpose space stays so, unless the listed prefix lies in it: then place is told the zero Place. The places
// that Override adds have ids behind those of the table, which shares its memory. Without a list it returns the table.
//
// A table is overridden once: a second time is a bug of the caller.
func (t *Table) Override(list *Overlay, place func(p Place, listed uint32) Place) *Table {
	if list.empty() {
		return t
	}
	if t.over != nil {
		panic("geo: table is overridden already")
	}
	o := &overrides{base: t, list: list, ids: make(map[overridden]uint32)}
	numbers := make(map[Place]uint32)
	known := func(at, listed uint32) {
		which := overridden{at, listed}
		if _, ok := o.ids[which]; ok {
			return
		}
		if at == uint32(Special) && !withinSpecial(list, listed) {
			return
		}
		p := place(t.places.of(PlaceID(at)), listed)
		id, ok := numbers[p]
		if !ok {
			id = uint32(len(t.places.records) + len(o.places))
			o.places = append(o.places, p)
			numbers[p] = id
		}
		o.ids[which] = id
	}
	for family := range list.spans {
		list.ranges(family, func(first, last key, listed uint32) {
			// From the start of the block that the first address is in: in a partition its place is that of the whole block.
			next := t.tries[family].walk(first.mask(maxScopes[family]))
			for s, ok := next(); ok && s.start.compare(last) <= 0; s, ok = next() {
				known(s.value, listed)
			}
		})
	}
	over := *t
	over.over = o
	h := fnv.New64a()
	fmt.Fprintln(h, t.digest, list.prefixes, o.places)
	over.digest = h.Sum64()
	return &over
}

func withinSpecial(list *Overlay, listed uint32) bool {
	p := list.Prefix(listed)
	special, ok := SpecialPrefix(p.Addr())
	return ok && special.Bits() <= p.Bits()
}

// spans gives the places of a family, overrides included.
func (t *Table) spans(family int) walk {
	all := t.tries[family].walk(key{})
	if t.over == nil {
		return all
	}
	return cross(all, t.over.list.walk(family), t.over.place)
}

// ranges tells of the stretches of a family in which something is listed.
func (o *Overlay) ranges(family int, tell func(first, last key, listed uint32)) {
	spans := o.spans[family]
	for i, s := range spans {
		last := lastKey
		if i+1 < len(spans) {
			last = spans[i+1].start.previous()
		}
		if s.value != 0 {
			tell(s.start, last, s.value)
		}
	}
}
