package geo

import "net/netip"

// A GroupID numbers the parts of a partition, from 0.
type GroupID uint32

// SpecialGroup is the group of private and special-purpose space: the address says nothing about the client.
const SpecialGroup = ^GroupID(0)

// The longest scopes: a boundary finer than these is moved up to the next block (the block's first address decides).
const (
	MaxScope4 = 24
	MaxScope6 = 56
)

// A Partition says of every address which group it is in, and how large a block around it is in the same one.
// It is immutable.
type Partition struct {
	v4     spans4
	v6     spans6
	other  GroupID // of clients whose place is not known
	single bool
}

// Partition folds the table's places into groups. Each block of a maximal scope goes to the group of its first address.
func (t *Table) Partition(group func(PlaceID) GroupID) *Partition {
	return t.PartitionWith(nil, func(place PlaceID, _ uint32) GroupID { return group(place) })
}

// appendSpan adds a span whose start is rounded up to a block of length scope, and merges it with its neighbours.
func appendSpan(spans []span, start key, value uint32, family, scope int) []span {
	if block := start.mask(scope, family); block != start {
		last := start.last(scope, family)
		if last == (key{}).last(0, family) {
			return spans
		}
		start = last.next()
	}
	if n := len(spans); n > 0 && spans[n-1].start == start {
		spans = spans[:n-1]
	}
	if n := len(spans); n > 0 && spans[n-1].value == value {
		return spans
	}
	return append(spans, span{start, value})
}

// Single reports whether all clients of both families are in one group, and which.
func (p *Partition) Single() (GroupID, bool) { return p.other, p.single }

// Other returns the group of clients whose place is not known.
func (p *Partition) Other() GroupID { return p.other }

// Networks returns how many stretches of addresses, both families together, the partition tells apart.
func (p *Partition) Networks() int { return len(p.v4.start) + len(p.v6.start) }

// Lookup returns the group of a, SpecialGroup included, and the length of the shortest prefix around a in which
// every address is in that group, at least 1. It allocates nothing.
func (p *Partition) Lookup(a netip.Addr) (g GroupID, scope int) {
	if a.Is4() {
		k := key4(a)
		i := p.v4.find(k)
		first, last := p.v4.bounds(i)
		return GroupID(p.v4.value[i]), scopeWithin(key{lo: uint64(k)}, first, last, family4)
	}
	k := key6(a)
	i := p.v6.find(k)
	first, last := p.v6.bounds(i)
	return GroupID(p.v6.value[i]), scopeWithin(k, first, last, family6)
}

// scopeWithin returns the length of the largest block around a that stays inside first…last: it must part from
// the addresses just outside.
func scopeWithin(a, first, last key, family int) int {
	scope := 1
	if first != (key{}) {
		scope = max(scope, common(a, first.previous(), family)+1)
	}
	if last != (key{}).last(0, family) {
		scope = max(scope, common(a, last.next(), family)+1)
	}
	return scope
}
