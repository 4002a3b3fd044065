package forecast

import (
	"cmp"
	"math"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

// A Share is which part of all clients something is about, 0 to 1.
type Share struct {
	IPv4     float64 `json:"ipv4"`     // of the IPv4 addresses that the geo table has a place for
	IPv6     float64 `json:"ipv6"`     // of the IPv6 space that it has a place for
	Prefixes float64 `json:"prefixes"` // of the listed prefixes, by their weights; 0 without a list
}

func (s Share) plus(o Share, times float64) Share {
	return Share{s.IPv4 + o.IPv4*times, s.IPv6 + o.IPv6*times, s.Prefixes + o.Prefixes*times}
}

// most orders shares, the largest first: by the list, as far as there is one.
func (s Share) most(o Share) int {
	return cmp.Or(cmp.Compare(o.Prefixes, s.Prefixes), cmp.Compare(o.IPv4, s.IPv4), cmp.Compare(o.IPv6, s.IPv6))
}

func (s Share) isNothing() bool { return s == Share{} }

// rounded leaves out what only the arithmetic makes.
func (s Share) rounded() Share {
	round := func(x float64) float64 { return math.Round(x*1e9) / 1e9 }
	return Share{round(s.IPv4), round(s.IPv6), round(s.Prefixes)}
}

// Clients says where the clients of steered names go.
type Clients struct {
	Addresses uint64 `json:"ipv4_addresses"` // that the geo table has a place for
	Networks  uint64 `json:"ipv6_networks"`  // how many of length 32 the IPv6 space that it has a place for would fill
	Listed    int    `json:"prefixes"`       // in the list; 0: only the address space was looked at
	Names     int    `json:"names"`          // that are steered before or after
	Moved     Share  `json:"moved"`          // of the clients of all names, each of which counts alike
	Moves     []Move `json:"moves"`          // what moves the most first
	Regions   []Load `json:"regions"`        // of all names, each of which counts alike; what changes the most first
}

// A Move is what happens to the clients of names that are answered from one thing before, and from one after.
type Move struct {
	Names   []string `json:"names"`  // ordered
	Before  string   `json:"before"` // what answers them: "pool api"
	After   string   `json:"after"`
	Moved   Share    `json:"moved"`
	Flows   []Flow   `json:"flows"`   // the largest first; together they are what moved
	Regions []Load   `json:"regions"` // what changes the most first; together they are 1
}

// A Flow is how many clients of a name go from a region to another, or to another answer of the same.
type Flow struct {
	From string `json:"from"`
	To   string `json:"to"`
	Share
}

// A Load is how many clients of a name have answers of a region, or of what is no region.
type Load struct {
	Region string `json:"region"`
	Before Share  `json:"before"`
	After  Share  `json:"after"`
}

// What answers are from that are no region's.
const (
	fromFile       = "(zone file)"
	fromLastResort = "(last resort)"
	fromFence      = "(fenced)"
	fromNowhere    = "(no answer)"
	fromNoName     = "(no such name)"
)

// A mover finds out who moves between two snapshots.
type mover struct {
	before, after side
	prefixes      []Prefix
	space         *geo.Space
	crossed       map[[2]*geo.Partition][]cell
}

// A cell is the clients of one group before and one after.
type cell struct {
	before, after geo.GroupID
	families      [2]Share // those of IPv4, and of IPv6
}

// Moves says which clients go where from one snapshot to another, as Compare does.
func Moves(before, after *zones.Snapshot, prefixes []Prefix) Clients {
	book := newBook()
	m := mover{before: side{snapshot: before, book: book}, after: side{snapshot: after, book: book}, prefixes: prefixes,
		space: after.Plan.Table.Space(), crossed: make(map[[2]*geo.Partition][]cell)}
	extent := m.space.Extent()
	c := Clients{Addresses: extent.IPv4, Networks: (extent.IPv6 + 1<<32 - 1) >> 32, Listed: len(prefixes), Moves: []Move{}, Regions: []Load{}}
	type pair struct{ before, after *source }
	var pairs []pair
	names := make(map[pair][]string)
	for _, name := range steered(before.Plan.World, after.Plan.World) {
		p := pair{m.before.of(name), m.after.of(name)}
		if names[p] == nil {
			pairs = append(pairs, p)
		}
		names[p] = append(names[p], name)
		c.Names++
	}
	all := newLoads()
	for _, p := range pairs {
		move, loads := m.move(p.before, p.after)
		weight := float64(len(names[p])) / float64(c.Names)
		all.add(loads, weight)
		c.Moved = c.Moved.plus(move.Moved, weight)
		if !move.Moved.isNothing() {
			move.Names = names[p]
			c.Moves = append(c.Moves, move)
		}
	}
	slices.SortStableFunc(c.Moves, func(a, b Move) int { return a.Moved.most(b.Moved) })
	c.Moved, c.Regions = c.Moved.rounded(), all.list(book)
	return c
}

// steered returns every name that is steered in one of the worlds, ordered.
func steered(worlds ...*zones.World) []string {
	var names []string
	for _, w := range worlds {
		for i := range w.Zones {
			for _, s := range w.Zones[i].Steer {
				names = append(names, s.Owner)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// move follows the clients of a name from what answers it before to what does after.
func (m *mover) move(before, after *source) (Move, loads) {
	move := Move{Before: before.said, After: after.said}
	loads := newLoads()
	flows := make(map[[2]int32]Share)
	for _, c := range m.cells(before, after) {
		for family, clients := range c.families {
			if clients.isNothing() {
				continue
			}
			was, is := before.masses(c.before, family), after.masses(c.after, family)
			for _, mass := range was {
				loads.before[mass.region] = loads.before[mass.region].plus(clients, mass.share)
			}
			for _, mass := range is {
				loads.after[mass.region] = loads.after[mass.region].plus(clients, mass.share)
			}
			leave(was, is, func(from, to int32, share float64) {
				flows[[2]int32{from, to}] = flows[[2]int32{from, to}].plus(clients, share)
				move.Moved = move.Moved.plus(clients, share)
			})
		}
	}
	book := m.before.book
	move.Flows = make([]Flow, 0, len(flows))
	for ends, share := range flows {
		move.Flows = append(move.Flows, Flow{book.regions[ends[0]], book.regions[ends[1]], share.rounded()})
	}
	slices.SortFunc(move.Flows, func(a, b Flow) int {
		return cmp.Or(a.Share.most(b.Share), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	move.Moved, move.Regions = move.Moved.rounded(), loads.list(book)
	return move, loads
}

// cells crosses the groups of two sources. What lies in both is looked up once for all that tell clients apart alike.
func (m *mover) cells(before, after *source) []cell {
	key := [2]*geo.Partition{before.partition(), after.partition()}
	if known, ok := m.crossed[key]; ok {
		return known
	}
	type groups struct{ before, after geo.GroupID }
	at := make(map[groups]int)
	var cells []cell
	of := func(b, a geo.GroupID) *cell {
		i, ok := at[groups{b, a}]
		if !ok {
			i = len(cells)
			at[groups{b, a}] = i
			cells = append(cells, cell{before: b, after: a})
		}
		return &cells[i]
	}
	whole := m.space.Extent()
	for _, s := range m.space.Shared(key[0], key[1]) {
		c := of(s.A, s.B)
		c.families[zones.IPv4].IPv4 = part(float64(s.IPv4), float64(whole.IPv4))
		c.families[zones.IPv6].IPv6 = part(float64(s.IPv6), float64(whole.IPv6))
	}
	total := 0.0
	for i := range m.prefixes {
		total += m.prefixes[i].Weight
	}
	for i := range m.prefixes {
		p := &m.prefixes[i]
		family := zones.IPv4
		if p.Addr().Is6() {
			family = zones.IPv6
		}
		client := zones.Client{Source: p.Addr(), Subnet: p.Prefix}
		of(before.group(client), after.group(client)).families[family].Prefixes += p.Weight / total
	}
	m.crossed[key] = cells
	return cells
}

func part(of, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return of / whole
}

// leave tells from which regions to which clients go that have weighted answers before and after. The shares are those of the clients:
// together half the sum of the differences. Who gets which of the new answers nobody can know, so each has its part of those who leave
// any other.
func leave(was, is []mass, tell func(from, to int32, share float64)) {
	if slices.Equal(was, is) {
		return
	}
	var gone, come []mass
	moved := 0.0
	for i, j := 0, 0; i < len(was) || j < len(is); {
		var less, more mass
		switch {
		case j == len(is) || i < len(was) && was[i].id < is[j].id:
			less, i = was[i], i+1
		case i == len(was) || is[j].id < was[i].id:
			more, j = is[j], j+1
		default:
			less, more = was[i], is[j]
			less.share, more.share = less.share-more.share, more.share-less.share
			i, j = i+1, j+1
		}
		if less.share > negligible {
			gone, moved = append(gone, less), moved+less.share
		}
		if more.share > negligible {
			come = append(come, more)
		}
	}
	arrived := 0.0
	for _, c := range come {
		arrived += c.share
	}
	for _, g := range gone {
		for _, c := range come {
			tell(g.region, c.region, g.share*c.share/arrived)
		}
	}
}

// negligible is a share that only the arithmetic makes.
const negligible = 1e-9

// loads are how many clients have answers of each region.
type loads struct{ before, after map[int32]Share }

func newLoads() loads { return loads{make(map[int32]Share), make(map[int32]Share)} }

func (l loads) add(o loads, weight float64) {
	for region, share := range o.before {
		l.before[region] = l.before[region].plus(share, weight)
	}
	for region, share := range o.after {
		l.after[region] = l.after[region].plus(share, weight)
	}
}

func (l loads) list(book *book) []Load {
	list := []Load{}
	for region, name := range book.regions {
		before, was := l.before[int32(region)]
		after, is := l.after[int32(region)]
		if was || is {
			list = append(list, Load{name, before.rounded(), after.rounded()})
		}
	}
	change := func(l Load) Share {
		return Share{math.Abs(l.After.IPv4 - l.Before.IPv4), math.Abs(l.After.IPv6 - l.Before.IPv6), math.Abs(l.After.Prefixes - l.Before.Prefixes)}
	}
	slices.SortFunc(list, func(a, b Load) int { return cmp.Or(change(a).most(change(b)), cmp.Compare(a.Region, b.Region)) })
	return list
}
