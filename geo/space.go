package geo

import (
	"cmp"
	"slices"
)

// An Extent is an amount of address space. Extents add up exactly.
type Extent struct {
	IPv4 uint64 // addresses
	IPv6 uint64 // networks of length 64
}

// A Space is the address space that a table has a place for, which is what is announced if its sources know that: neither
// what no source knows nor special-purpose space. It is immutable.
type Space struct{ v4, v6 []run }

// A run is a stretch of addresses that are all in a space, or all not, up to the next run.
type run struct {
	start  uint64
	before uint64 // how much of the space lies before it
	placed bool
}

// Space returns the address space that the table has a place for.
func (t *Table) Space() *Space {
	var s Space
	for family, runs := range []*[]run{&s.v4, &s.v6} {
		next := t.spans(family)
		for at, ok := next(); ok; at, ok = next() {
			*runs = appendRun(*runs, position(family, at.start), at.value)
		}
	}
	return &s
}

// position returns where a key is in a space.
func position(family int, k key) uint64 {
	if family == family4 {
		return k.hi >> 32
	}
	return k.hi
}

// appendRun appends what begins at a start, unless it goes on as before; what ends within one network of length 64 is nothing.
func appendRun(runs []run, start uint64, place uint32) []run {
	r := run{start: start, placed: PlaceID(place) != Unknown && PlaceID(place) != Special}
	n := len(runs)
	if n > 0 && runs[n-1].start == start {
		runs[n-1].placed = r.placed
		return runs
	}
	if n > 0 {
		last := &runs[n-1]
		if last.placed == r.placed {
			return runs
		}
		r.before = last.before
		if last.placed {
			r.before += start - last.start
		}
	}
	return append(runs, r)
}

// The ends of the families, as positions in a space. No space reaches the end of IPv6, which is special.
const (
	end4 = uint64(1) << 32
	end6 = ^uint64(0)
)

// Extent returns how much the space is.
func (s *Space) Extent() Extent {
	four, six := measure{runs: s.v4}, measure{runs: s.v6}
	return Extent{four.upTo(end4), six.upTo(end6)}
}

// A measure says how much of a space lies before positions that rise.
type measure struct {
	runs []run
	at   int
}

func (m *measure) upTo(position uint64) uint64 {
	for m.at+1 < len(m.runs) && m.runs[m.at+1].start <= position {
		m.at++
	}
	r := m.runs[m.at]
	if r.placed {
		return r.before + position - r.start
	}
	return r.before
}

// Shared is the space that a group of one partition and a group of another have in common.
type Shared struct {
	A, B GroupID
	Extent
}

// Shared crosses two partitions; nil is everyone in group 0. It returns the pairs of groups that have some of the space in common,
// ordered; together they are the whole space. What a partition takes for special-purpose space counts as that of clients whose
// place is not known.
func (s *Space) Shared(a, b *Partition) []Shared {
	var pairs pairs
	for family, runs := range [][]run{s.v4, s.v6} {
		shareOf(a.groups(family), b.groups(family), family, measure{runs: runs}, func(i, j GroupID, size uint64) {
			if e := pairs.at(i, j); family == family4 {
				e.IPv4 += size
			} else {
				e.IPv6 += size
			}
		})
	}
	list := make([]Shared, 0, len(pairs.extents))
	for p, e := range pairs.extents {
		list = append(list, Shared{p.a, p.b, *e})
	}
	slices.SortFunc(list, func(x, y Shared) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	return list
}

// pairs are the extents of pairs of groups. Few of them come up again and again, which a map alone is slow for.
type pairs struct {
	extents map[pair]*Extent
	recent  [256]struct {
		pair
		*Extent
	}
}

type pair struct{ a, b GroupID }

func (p *pairs) at(a, b GroupID) *Extent {
	recent := &p.recent[(a*16+b)%GroupID(len(p.recent))]
	if recent.Extent != nil && recent.pair == (pair{a, b}) {
		return recent.Extent
	}
	e := p.extents[pair{a, b}]
	if e == nil {
		if p.extents == nil {
			p.extents = make(map[pair]*Extent)
		}
		e = new(Extent)
		p.extents[pair{a, b}] = e
	}
	recent.pair, recent.Extent = pair{a, b}, e
	return e
}

// groups gives the groups of a family.
func (p *Partition) groups(family int) walk {
	if p == nil {
		return walkOf([]span{{}})
	}
	next := p.tries[family].walk(key{})
	return func() (span, bool) {
		s, ok := next()
		if GroupID(s.value) == SpecialGroup {
			s.value = uint32(p.other)
		}
		return s, ok
	}
}

// shareOf tells how much of a space lies in both of every two stretches that overlap.
func shareOf(a, b walk, family int, m measure, share func(a, b GroupID, size uint64)) {
	var inA, inB, before uint64
	tell := func(upTo uint64) {
		if lies := m.upTo(upTo); lies > before {
			share(GroupID(inA), GroupID(inB), lies-before)
			before = lies
		}
	}
	headA, moreA := a()
	headB, moreB := b()
	for moreA || moreB {
		first := moreA && (!moreB || headA.start.compare(headB.start) <= 0)
		second := moreB && (!moreA || headB.start.compare(headA.start) <= 0)
		start := headB.start
		if first {
			start = headA.start
		}
		tell(position(family, start))
		if first {
			inA = uint64(headA.value)
			headA, moreA = a()
		}
		if second {
			inB = uint64(headB.value)
			headB, moreB = b()
		}
	}
	tell([]uint64{end4, end6}[family])
}
