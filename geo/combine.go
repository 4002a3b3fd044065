package geo

// Combine returns what two tables say together: place is told what each of them knows of addresses.
func (t *Table) Combine(later *Table, place func(earlier, later Place) Place) *Table {
	var ids interner
	ids.begin()
	known := make(map[uint64]uint32)
	lastPair, last := ^uint64(0), uint32(0) // neighbours are often alike
	both := func(a, b uint32) uint32 {
		if a == uint32(Special) || b == uint32(Special) {
			return uint32(Special)
		}
		pair := uint64(a)<<32 | uint64(b)
		if pair == lastPair {
			return last
		}
		id, ok := known[pair]
		if !ok {
			id = uint32(ids.id(place(t.Place(PlaceID(a)), later.Place(PlaceID(b)))))
			known[pair] = id
		}
		lastPair, last = pair, id
		return id
	}
	c := &Table{}
	for family := range c.tries {
		made := newTrieBuilder(family)
		next := cross(t.tries[family].walk(key{}), later.tries[family].walk(key{}), both)
		for s, ok := next(); ok; s, ok = next() {
			made.add(s.start, s.value)
		}
		c.tries[family] = made.done()
	}
	c.places = ids.places()
	c.digest = c.sum()
	return c
}
