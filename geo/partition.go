package geo

import (
	"encoding/binary"
	"net/netip"
)

// A GroupID numbers the parts of a partition, from 0.
type GroupID uint32

// SpecialGroup is the group of private and special-purpose space: the address says nothing about the client.
const SpecialGroup = ^GroupID(0)

// The longest scopes: a boundary finer than these is moved up to the next block (the block's first address decides).
const (
	MaxScope4 = 24
	MaxScope6 = 56
)

var maxScopes = [families]int{MaxScope4, MaxScope6}

// A Partition says of every address which group it is in, and how large a block around it is in the same one.
// It is immutable.
type Partition struct {
	tries  [families]trie
	other  GroupID // of clients whose place is not known
	single bool
}

// Partition folds the table's places into groups. Each block of a maximal scope goes to the group of its first address, but
// what is overridden there is of the group of its own place.
func (t *Table) Partition(group func(PlaceID) GroupID) *Partition {
	return t.PartitionWith(nil, func(place PlaceID, _ uint32) GroupID { return group(place) })
}

// PartitionWith is Partition for a policy that goes by listed prefixes too: group is told the value of the longest one around
// the addresses, 0 where there is none. Blocks of a maximal scope are cut only where a listed prefix is finer. Special-purpose
// space that is listed is like any other.
func (t *Table) PartitionWith(o *Overlay, group func(place PlaceID, listed uint32) GroupID) *Partition {
	groups := make([]uint32, t.Places())
	for id := range groups {
		groups[id] = uint32(group(PlaceID(id), 0))
	}
	p := &Partition{other: GroupID(groups[Unknown]), single: true}
	groups[Special] = uint32(SpecialGroup)
	of := func(place, listed uint32) uint32 { return groups[place] }
	if !o.empty() {
		type where struct{ place, listed uint32 }
		known := make(map[where]uint32)
		of = func(place, listed uint32) uint32 {
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
	}
	for family := range p.tries {
		base := t.blocks(family)
		if t.over != nil {
			base = cross(base, t.over.list.walk(family), t.over.place)
		}
		if !o.empty() {
			base = cross(base, o.walk(family), of)
		} else {
			places := base
			base = func() (span, bool) {
				s, ok := places()
				if ok {
					s.value = groups[s.value]
				}
				return s, ok
			}
		}
		made := newTrieBuilder(family)
		for s, ok := base(); ok; s, ok = base() {
			p.single = p.single && (s.value == groups[Unknown] || s.value == uint32(SpecialGroup))
			made.add(s.start, s.value)
		}
		p.tries[family] = made.done()
	}
	return p
}

// blocks gives the places of a family by blocks of the maximal scope: where several places are in one, that of its first address counts.
func (t *Table) blocks(family int) walk {
	next, scope := t.tries[family].walk(key{}), maxScopes[family]
	head, more := next()
	return func() (span, bool) {
		if !more {
			return span{}, false
		}
		s := head
		for {
			// The next span that does not begin where s does, all rounded up.
			if head, more = next(); !more {
				return s, true
			}
			if head.start != head.start.mask(scope) {
				head.start = head.start.last(scope).next() // no network begins in the last block of a family: that is special-purpose space
			}
			if head.start != s.start {
				return s, true
			}
			s.value = head.value
		}
	}
}

// Single reports whether all clients of both families are in one group, and which.
func (p *Partition) Single() (GroupID, bool) { return p.other, p.single }

// Other returns the group of clients whose place is not known.
func (p *Partition) Other() GroupID { return p.other }

// Networks returns how many stretches of addresses, both families together, the partition tells apart.
func (p *Partition) Networks() int { return p.tries[family4].count + p.tries[family6].count }

// Lookup returns the group of a, SpecialGroup included, and the length of the shortest prefix around a in which
// every address is in that group, at least 1. It allocates nothing.
func (p *Partition) Lookup(a netip.Addr) (g GroupID, scope int) {
	var value uint32
	if a.Is4() {
		b := a.As4()
		value, scope = p.tries[family4].scope(key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32})
	} else {
		value, scope = p.tries[family6].scope(keyOf(a))
	}
	return GroupID(value), scope
}
