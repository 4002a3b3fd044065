package forecast

import (
	"cmp"
	"slices"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// A mass is one thing that some clients are answered with, and for which share of the queries.
type mass struct {
	id     int32 // of the record's data
	region int32
	share  float64
}

// A book numbers what answers have, alike for both sides.
type book struct {
	ids     map[record]int32
	numbers map[string]int32
	regions []string // by number
}

// A record is what a record says; the zero record is none.
type record struct {
	rrtype uint16
	data   string
}

func newBook() *book { return &book{ids: make(map[record]int32), numbers: make(map[string]int32)} }

func (b *book) id(r record) int32 {
	id, ok := b.ids[r]
	if !ok {
		id = int32(len(b.ids))
		b.ids[r] = id
	}
	return id
}

func (b *book) region(name string) int32 {
	number, ok := b.numbers[name]
	if !ok {
		number = int32(len(b.regions))
		b.numbers[name] = number
		b.regions = append(b.regions, name)
	}
	return number
}

// A side is a snapshot and what its names are answered from.
type side struct {
	snapshot *zones.Snapshot
	book     *book
	pools    []*source          // by number; nil: not asked for yet
	fixed    map[string]*source // by the records
}

// A source is what a name is answered from: a pool, or records that are the same for all clients.
type source struct {
	said   string
	book   *book
	pool   *zones.PoolAnswers // nil: records
	groups [][2][]mass        // by group and family of the client; of records only those of group 0; nil: not asked for yet
}

// of returns what a name is answered from, as a query for it would find that.
func (s *side) of(name string) *source {
	buffer := make([]byte, 256)
	n, err := dns.PackDomainName(name, buffer, 0, nil, false)
	if err != nil {
		return s.records(nil, fromNoName, "nothing")
	}
	zone, _ := s.snapshot.Plan.Zone(buffer[:n])
	if zone == nil || zone.Zone == nil {
		return s.records(nil, fromNoName, "nothing")
	}
	switch m := zone.Find(buffer[:n]); {
	case !m.Name.Exists():
		return s.records(nil, fromNoName, "nothing")
	case m.Name.Cut() || m.Redirected:
		return s.records(nil, fromNowhere, "a delegation")
	case zone.Pool(m.Name) >= 0:
		return s.steered(zone.Pool(m.Name))
	default:
		return s.static(m.Name)
	}
}

func (s *side) steered(pool int) *source {
	if s.pools == nil {
		s.pools = make([]*source, len(s.snapshot.Pools))
	}
	if s.pools[pool] == nil {
		answers := s.snapshot.Pools[pool]
		s.pools[pool] = &source{said: "pool " + answers.Plan.Pool.Name, book: s.book, pool: answers, groups: make([][2][]mass, len(answers.Groups))}
	}
	return s.pools[pool]
}

// static is the records of a name that nothing steers: its addresses, or what it is an alias of.
func (s *side) static(n static.Name) *source {
	var sets [2]*zones.RecordSet
	if alias, ok := n.Set(dns.TypeCNAME); ok {
		sets[zones.IPv4] = &alias
	}
	for family, rrtype := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		if set, ok := n.Set(rrtype); ok {
			sets[family] = &set
		}
	}
	if sets == [2]*zones.RecordSet{} {
		return s.records(nil, fromNowhere, "nothing")
	}
	return s.records(sets[:], fromFile, "the zone file")
}

// records is the source of some records that all clients get; of several the first family's, unless the client's own is there.
func (s *side) records(sets []*zones.RecordSet, region, said string) *source {
	var both [2][]mass
	key := said
	for family := range sets {
		if set := sets[family]; set != nil {
			key += string(set.Bytes)
			both[family] = normal(s.book.masses(set, region, 1))
		}
	}
	if known := s.fixed[key]; known != nil {
		return known
	}
	nothing := []mass{{s.book.id(record{}), s.book.region(region), 1}}
	made := &source{said: said, book: s.book, groups: [][2][]mass{{
		firstOf(both[zones.IPv4], both[zones.IPv6], nothing), firstOf(both[zones.IPv6], both[zones.IPv4], nothing),
	}}}
	if s.fixed == nil {
		s.fixed = make(map[string]*source)
	}
	s.fixed[key] = made
	return made
}

func firstOf(lists ...[]mass) []mass {
	return lists[max(slices.IndexFunc(lists, func(l []mass) bool { return len(l) > 0 }), 0)]
}

// partition is what tells the clients apart; nil: nothing does.
func (s *source) partition() *geo.Partition {
	if s.pool == nil {
		return nil
	}
	return s.pool.Plan.Partition
}

func (s *source) group(c zones.Client) geo.GroupID {
	if s.pool == nil {
		return 0
	}
	g, _ := s.pool.Plan.Group(c)
	return g
}

// masses is what clients of a group and a family are answered, ordered. Where they are answered addresses of their own family they take
// those, else those of the other.
func (s *source) masses(g geo.GroupID, family int) []mass {
	known := &s.groups[g][family]
	if *known != nil {
		return *known
	}
	answers := &s.pool.Groups[g]
	choice := &answers.Families[family]
	if len(choice.Options) == 0 && len(answers.Families[1-family].Options) > 0 {
		family = 1 - family
		choice = &answers.Families[family]
	}
	var all []mass
	rest := uint16(zones.FullRamp)
	for i := range choice.Others {
		o := &choice.Others[i]
		all = append(all, s.chosen(&o.Choice, family, float64(o.To-o.From)/zones.FullRamp)...)
		rest -= o.To - o.From
	}
	*known = normal(append(all, s.chosen(choice, family, float64(rest)/zones.FullRamp)...))
	return *known
}

// chosen is what a part of the clients is answered from a choice. Of several records clients take each alike.
func (s *source) chosen(c *zones.Choice, family int, of float64) (all []mass) {
	if len(c.Options) == 0 {
		return []mass{{s.book.id(record{}), s.book.region(fromNowhere), of}}
	}
	leaves := s.pool.Plan.Leaves
	for i := range c.Options {
		o := &c.Options[i]
		share := of * float64(o.Weight) / float64(c.Total)
		for _, m := range o.Members {
			own := s.book.masses(leaves[m].Sets[family], string(leaves[m].Region), share/float64(len(o.Members)))
			all = append(all, own...)
		}
		switch {
		case len(o.Members) > 0:
		case c.Rung == zones.RungFenced:
			all = append(all, s.book.masses(o.Set, fromFence, share)...)
		default:
			all = append(all, s.book.masses(o.Set, fromLastResort, share)...)
		}
	}
	return all
}

// masses is the records of a set, alike.
func (b *book) masses(set *zones.RecordSet, region string, of float64) (all []mass) {
	for rest := set.Bytes; len(rest) > 0; rest = rest[static.RecordSize(rest):] {
		data := string(rest[static.FixedSize:static.RecordSize(rest)])
		all = append(all, mass{b.id(record{set.Type, data}), b.region(region), of / float64(set.Count)})
	}
	return all
}

// normal orders masses and takes those of one record together. Where it is in several regions, that is the first's.
func normal(all []mass) []mass {
	slices.SortStableFunc(all, func(a, b mass) int { return cmp.Compare(a.id, b.id) })
	once := all[:0]
	for _, m := range all {
		if n := len(once); n > 0 && once[n-1].id == m.id {
			once[n-1].share += m.share
		} else {
			once = append(once, m)
		}
	}
	return once
}
