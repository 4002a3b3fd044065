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
	for i, start := range t.v4.start {
		s.v4 = appendRun(s.v4, uint64(start), t.v4.value[i])
	}
	for i, start := range t.v6.start {
		s.v6 = appendRun(s.v6, start.hi, t.v6.value[i])
	}
	return &s
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
	a4, a6 := a.sides()
	b4, b6 := b.sides()
	crossSides(a4, b4, end4, measure{runs: s.v4}, func(i, j GroupID, size uint64) { pairs.at(i, j).IPv4 += size })
	crossSides(a6, b6, end6, measure{runs: s.v6}, func(i, j GroupID, size uint64) { pairs.at(i, j).IPv6 += size })
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

// A side is one family of a partition: stretches that begin at positions of a space.
type side struct {
	n     int
	start func(i int) uint64
	group func(i int) GroupID
}

func (p *Partition) sides() (four, six side) {
	if p == nil {
		everyone := side{1, func(int) uint64 { return 0 }, func(int) GroupID { return 0 }}
		return everyone, everyone
	}
	of := func(value uint32) GroupID {
		if g := GroupID(value); g != SpecialGroup {
			return g
		}
		return p.other
	}
	four = side{len(p.v4.start), func(i int) uint64 { return uint64(p.v4.start[i]) }, func(i int) GroupID { return of(p.v4.value[i]) }}
	six = side{len(p.v6.start), func(i int) uint64 { return p.v6.start[i].hi }, func(i int) GroupID { return of(p.v6.value[i]) }}
	return four, six
}

// crossSides tells how much space lies in both of every two stretches that overlap.
func crossSides(a, b side, end uint64, m measure, share func(a, b GroupID, size uint64)) {
	before := uint64(0)
	for i, j := 0, 0; i < a.n && j < b.n; {
		nextA, nextB := end, end
		if i+1 < a.n {
			nextA = a.start(i + 1)
		}
		if j+1 < b.n {
			nextB = b.start(j + 1)
		}
		upTo := m.upTo(min(nextA, nextB))
		if upTo > before {
			share(a.group(i), b.group(j), upTo-before)
			before = upTo
		}
		if nextA <= nextB {
			i++
		}
		if nextB <= nextA {
			j++
		}
	}
}
