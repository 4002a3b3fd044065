package geo

import (
	"encoding/binary"
	"net/netip"
	"slices"
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
	p := &Partition{other: GroupID(groups[Unknown])}
	groups[Special] = uint32(SpecialGroup)
	for family := range p.tries {
		p.tries[family] = t.tries[family].fold(family, maxScopes[family], groups)
	}
	if t.over != nil || !o.empty() {
		t.list(p, o, groups, group)
	}
	p.single = !slices.ContainsFunc(p.tries[:], func(t trie) bool {
		return slices.ContainsFunc(t.kinds, func(g uint32) bool { return g != groups[Unknown] && g != uint32(SpecialGroup) }) || t.few == nil
	})
	return p
}

// list puts overridden and listed prefixes into a partition that was made without them.
func (t *Table) list(p *Partition, o *Overlay, groups []uint32, group func(place PlaceID, listed uint32) GroupID) {
	var overriding *Overlay
	if t.over != nil {
		overriding = t.over.list
	}
	type pair struct{ a, b uint32 }
	known := make(map[pair]uint32)
	of := func(place, overridden, listed uint32) uint32 {
		if overridden != 0 {
			place = t.over.place(place, overridden)
		}
		if listed == 0 {
			return groups[place]
		}
		g, ok := known[pair{place, listed}]
		if !ok {
			g = uint32(group(PlaceID(place), listed))
			known[pair{place, listed}] = g
		}
		return g
	}
	for family := range p.tries {
		// Which prefixes of the two lists are around addresses, as numbers of pairs, of which the first has none.
		pairs, numbers := []pair{{}}, map[pair]uint32{{}: 0}
		lists := cross(overriding.walk(family), o.walk(family), func(a, b uint32) uint32 {
			n, ok := numbers[pair{a, b}]
			if !ok {
				n = uint32(len(pairs))
				pairs = append(pairs, pair{a, b})
				numbers[pair{a, b}] = n
			}
			return n
		})
		made := newTrieBuilder(family)
		without := p.tries[family].walk(key{})
		head, more := without()
		at := head.value
		for in, ok := lists(); ok; {
			next, follows := lists()
			last := lastKey
			if follows {
				last = next.start.previous()
			}
			if in.value != 0 {
				around := pairs[in.value]
				t.within(family, in.start, last, func(start key, place uint32) { made.add(start, of(place, around.a, around.b)) })
			}
			for ; more && head.start.compare(in.start) <= 0; head, more = without() {
				at = head.value
			}
			if in.value == 0 {
				made.add(in.start, at)
			}
			for ; more && head.start.compare(last) <= 0; head, more = without() {
				if at = head.value; in.value == 0 {
					made.add(head.start, at)
				}
			}
			in, ok = next, follows
		}
		p.tries[family] = made.done()
	}
}

// within tells of the places between two addresses by blocks of the maximal scope: where several places are in one, that of its first
// address counts.
func (t *Table) within(family int, first, last key, tell func(start key, place uint32)) {
	scope := maxScopes[family]
	next := t.tries[family].walk(first.mask(scope))
	at, more := next()
	at.start = first
	for more {
		var head span
		if head, more = next(); more && head.start != head.start.mask(scope) {
			head.start = head.start.last(scope).next() // none begins in the last block of a family: that is special-purpose space
		}
		more = more && head.start.compare(last) <= 0
		if !more || head.start != at.start {
			tell(at.start, at.value)
		}
		at = head
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
