package geo

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// A Table maps every address to a place. It is immutable.
type Table struct {
	places []Place
	v4     spans4
	v6     spans6
	digest uint64
}

// Lookup returns the place of a. A v4-mapped address is looked up as what it is: IPv6, special.
func (t *Table) Lookup(a netip.Addr) PlaceID {
	if a.Is4() {
		return PlaceID(t.v4.value[t.v4.find(key4(a))])
	}
	return PlaceID(t.v6.value[t.v6.find(key6(a))])
}

// Place returns what the table knows of id: the zero Place for Unknown and Special.
func (t *Table) Place(id PlaceID) Place { return t.places[id] }

// Places returns how many places there are; their ids are 0 to Places()-1.
func (t *Table) Places() int { return len(t.places) }

// Networks returns how many stretches of addresses, both families together, the table tells apart.
func (t *Table) Networks() int { return len(t.v4.start) + len(t.v6.start) }

// Digest is equal for tables built from equal prefixes and places.
func (t *Table) Digest() uint64 { return t.digest }

// A Builder collects prefixes for a Table. The zero Builder is ready; it is not safe for concurrent use.
type Builder struct {
	places  []Place
	ids     map[Place]PlaceID
	entries [2][]entry // IPv4, IPv6
	special bool       // the special-purpose prefixes are among them
}

// An entry says that the addresses of a prefix have a value, unless a longer prefix says otherwise. Databases have millions.
type entry struct {
	lo    key // the first address
	value uint32
	bits  uint8
}

// Add places every address of p that no longer prefix covers. Of equal prefixes the last one wins.
// A prefix inside special-purpose space is ignored: no client is placed by it. It errs if p is not a valid, masked prefix.
func (b *Builder) Add(p netip.Prefix, place Place) error { return b.AddID(p, b.Intern(place)) }

// AddID is Add with a place that Intern has returned.
func (b *Builder) AddID(p netip.Prefix, place PlaceID) error {
	if !p.IsValid() || p != p.Masked() {
		return fmt.Errorf("geo: prefix %v: not valid or bits set past its length", p)
	}
	if special, ok := SpecialPrefix(p.Addr()); ok && special.Bits() <= p.Bits() {
		return nil
	}
	family, e := newEntry(p, uint32(place))
	entries := b.entries[family]
	if len(entries) == cap(entries) {
		// By append they would grow by a quarter, and what is not used yet would be cleared each time: fresh memory need not be.
		entries = append(make([]entry, 0, max(1024, 2*len(entries))), entries...)
	}
	b.entries[family] = append(entries, e)
	return nil
}

func newEntry(p netip.Prefix, value uint32) (family int, e entry) {
	return familyOf(p.Addr()), entry{keyOf(p.Addr()), value, uint8(p.Bits())}
}

// Intern returns the number that a place has in the table, which costs more than all else about an address.
func (b *Builder) Intern(place Place) PlaceID {
	if b.ids == nil {
		b.places = []Place{Unknown: {}, Special: {}}
		b.ids = map[Place]PlaceID{{}: Unknown}
	}
	id, ok := b.ids[place]
	if !ok {
		id = PlaceID(len(b.places))
		b.places = append(b.places, place)
		b.ids[place] = id
	}
	return id
}

// Build returns the table of all that was added. The Builder may be used on.
func (b *Builder) Build() *Table {
	b.Intern(Place{})
	if !b.special {
		b.special = true
		for _, p := range specialPrefixes {
			family, e := newEntry(p, uint32(Special))
			b.entries[family] = append(b.entries[family], e)
		}
	}
	t := &Table{places: slices.Clone(b.places)}
	t.v4 = pack4(flatten(b.entries[family4], family4))
	t.v6 = pack6(flatten(b.entries[family6], family6))
	t.digest = t.sum()
	return t
}

func (t *Table) sum() uint64 {
	h := fnv.New64a()
	for _, place := range t.places {
		fmt.Fprintf(h, "%+v;", place)
	}
	var b []byte
	for i, start := range t.v4.start {
		b = binary.BigEndian.AppendUint32(b[:0], start)
		h.Write(binary.BigEndian.AppendUint32(b, t.v4.value[i]))
	}
	for i, start := range t.v6.start {
		b = binary.BigEndian.AppendUint64(b[:0], start.hi)
		b = binary.BigEndian.AppendUint64(b, start.lo)
		h.Write(binary.BigEndian.AppendUint32(b, t.v6.value[i]))
	}
	return h.Sum64()
}

// hi returns the last address of an entry's prefix.
func (e entry) hi(family int) key { return e.lo.last(int(e.bits), family) }

// flatten turns nested prefixes into stretches that cover the whole space once, each with the value of
// the longest prefix around it (Unknown where there is none); neighbours of equal value are one. It orders the entries.
func flatten(entries []entry, family int) []span {
	// The sort is stable: of equal prefixes the last one added stays on top.
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(a.lo.compare(b.lo), cmp.Compare(a.bits, b.bits))
	})
	spans := make([]span, 0, 2*len(entries)+1) // where all begin and end; what is not used is not touched
	emit := func(start key, value uint32) {
		if n := len(spans); n > 0 && spans[n-1].start == start {
			spans[n-1].value = value
			if n > 1 && spans[n-2].value == value {
				spans = spans[:n-1]
			}
			return
		} else if n > 0 && spans[n-1].value == value {
			return
		}
		spans = append(spans, span{start, value})
	}
	last := key{}.last(0, family)
	var open []entry // the prefixes around the sweep's position, outermost first
	closeUntil := func(position key) {
		for len(open) > 0 && open[len(open)-1].hi(family).compare(position) < 0 {
			hi := open[len(open)-1].hi(family)
			open = open[:len(open)-1]
			if hi == last {
				continue
			}
			outer := uint32(Unknown)
			if len(open) > 0 {
				outer = open[len(open)-1].value
			}
			emit(hi.next(), outer)
		}
	}
	emit(key{}, uint32(Unknown))
	for _, e := range entries {
		closeUntil(e.lo)
		emit(e.lo, e.value)
		open = append(open, e)
	}
	closeUntil(last)
	return spans
}
