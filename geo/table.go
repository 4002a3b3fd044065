package geo

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// A Table maps every address to a place. It is immutable.
type Table struct {
	places places
	tries  [families]trie
	digest uint64
	over   *overrides // nil: none
}

// Lookup returns the place of a. A v4-mapped address is looked up as what it is: IPv6, special.
func (t *Table) Lookup(a netip.Addr) PlaceID {
	var place uint32
	if a.Is4() {
		b := a.As4()
		place = t.tries[family4].find(key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32})
	} else {
		place = t.tries[family6].find(keyOf(a))
	}
	if t.over != nil {
		place = t.over.place(place, t.over.list.Find(a))
	}
	return PlaceID(place)
}

// Place returns what the table knows of id: the zero Place for Unknown and Special.
func (t *Table) Place(id PlaceID) Place {
	if n := len(t.places.records); int(id) >= n {
		return t.over.places[int(id)-n]
	}
	return t.places.of(id)
}

// Places returns how many places there are; their ids are 0 to Places()-1.
func (t *Table) Places() int {
	n := len(t.places.records)
	if t.over != nil {
		n += len(t.over.places)
	}
	return n
}

// Networks returns how many stretches of addresses, both families together, the table tells apart, what was overridden not counted.
func (t *Table) Networks() int { return t.tries[family4].count + t.tries[family6].count }

// Digest is equal for tables built from equal prefixes and places.
func (t *Table) Digest() uint64 { return t.digest }

// A Builder collects prefixes for a Table. The zero Builder is ready; it is not safe for concurrent use.
//
// Prefixes take the least time and memory if each family's come in order: by their first address, the longer of two that begin
// together later.
type Builder struct {
	interner
	lists [families]list
}

// A list is the prefixes of a family.
type list struct {
	starts4   column[uint32] // of IPv4; of IPv6 the next
	starts6   column[key]
	values    column[uint32]
	lengths   column[uint8]
	last      entry
	unordered bool
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
	b.lists[family].add(e, family)
	return nil
}

// Intern returns the number that a place has in the table, which costs more than all else about an address. There may be up to
// 65536 different pairs of continent and country.
func (b *Builder) Intern(place Place) PlaceID { return b.id(place) }

func (l *list) add(e entry, family int) {
	if e.compare(l.last) < 0 {
		l.unordered = true
	}
	l.last = e
	if family == family4 {
		l.starts4.add(uint32(e.lo.hi >> 32))
	} else {
		l.starts6.add(e.lo)
	}
	l.values.add(e.value)
	l.lengths.add(e.bits)
}

// entries gives the prefixes in order.
func (l *list) entries(family int) func() (entry, bool) {
	starts4, starts6, values, lengths := l.starts4.next(), l.starts6.next(), l.values.next(), l.lengths.next()
	next := func() (e entry, ok bool) {
		e.value, ok = values()
		e.bits, _ = lengths()
		if family == family6 {
			e.lo, _ = starts6()
			return e, ok
		}
		start, _ := starts4()
		e.lo.hi = uint64(start) << 32
		return e, ok
	}
	if !l.unordered {
		return next
	}
	var all []entry
	for e, ok := next(); ok; e, ok = next() {
		all = append(all, e)
	}
	slices.SortStableFunc(all, entry.compare) // of equal prefixes the last one stays last
	return func() (e entry, ok bool) {
		if len(all) == 0 {
			return e, false
		}
		e, all = all[0], all[1:]
		return e, true
	}
}

// Build returns the table of all that was added. The Builder may be used on.
func (b *Builder) Build() *Table {
	t := &Table{places: b.interner.places()}
	for family := range t.tries {
		l := &b.lists[family]
		made := newTrieBuilder(family)
		w := sweep{add: made.add}
		special := specialEntries[family]
		next := l.entries(family)
		for e, ok := next(); ok; e, ok = next() {
			for len(special) > 0 && special[0].compare(e) < 0 {
				w.next(special[0])
				special = special[1:]
			}
			w.next(e)
		}
		for _, e := range special {
			w.next(e)
		}
		w.end()
		t.tries[family] = made.done()
	}
	t.digest = t.sum()
	return t
}

func (t *Table) sum() uint64 {
	h := fnv.New64a()
	var b []byte
	for id := range t.places.records {
		b = append(appendPlace(b[:0], t.places.of(PlaceID(id))), ';')
		h.Write(b)
	}
	for family := range t.tries {
		next := t.tries[family].walk(key{})
		for s, ok := next(); ok; s, ok = next() {
			if family == family4 {
				b = binary.BigEndian.AppendUint32(b[:0], uint32(s.start.hi>>32))
			} else {
				b = binary.BigEndian.AppendUint64(b[:0], s.start.hi)
				b = binary.BigEndian.AppendUint64(b, s.start.lo)
			}
			h.Write(binary.BigEndian.AppendUint32(b, s.value))
		}
	}
	return h.Sum64()
}
