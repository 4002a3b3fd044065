package zones

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/static"
)

// A Capacity is how much a member of a pool can take: a share of all that the pool's clients want, or requests per second. The zero one
// has no limit.
type Capacity struct {
	Percent  int // 1 to 100; 0: it is in requests
	Requests int // per second
}

const maxRequests = 1_000_000_000

// String writes a capacity as in a file.
func (c Capacity) String() string {
	switch {
	case c == Capacity{}:
		return "none"
	case c.Percent > 0:
		return fmt.Sprintf("%d%%", c.Percent)
	}
	return strconv.Itoa(c.Requests)
}

func parseCapacity(text string) (c Capacity, err error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 1 || strconv.Itoa(n) != digits, percent && n > 100, n > maxRequests:
		return c, errors.New("is neither a percentage from 1% to 100% nor requests per second from 1 to 1000000000")
	case percent:
		return Capacity{Percent: n}, nil
	}
	return Capacity{Requests: n}, nil
}

// A Spill says which members are full, and how much they keep: an input of answers like health and controls. It is immutable; nil is one
// without any.
type Spill struct {
	byPool map[string][]Kept // ordered by member
}

// A Kept is a member that keeps a part of the prefixes only: those whose hash lies below. The others are answered as if it were not
// there. Member is the name of an endpoint or a pool, behind the names of the pools between it and the one that is answered from:
// "use1", "europe/euw1".
type Kept struct {
	Pool, Member string
	PerMille     uint16 // 1 to 999
}

// NewSpill makes a spill; of members that are named twice the last counts, and those that keep nothing or everything are no part of it.
func NewSpill(kept []Kept) *Spill {
	s := &Spill{byPool: make(map[string][]Kept)}
	for _, k := range kept {
		if k.PerMille < 1 || k.PerMille >= FullRamp {
			continue
		}
		list := s.byPool[k.Pool]
		at, found := slices.BinarySearchFunc(list, k.Member, func(k Kept, member string) int { return cmp.Compare(k.Member, member) })
		if found {
			list[at] = k
		} else {
			s.byPool[k.Pool] = slices.Insert(list, at, k)
		}
	}
	if len(s.byPool) == 0 {
		return nil
	}
	return s
}

// All returns the members that are full, ordered by pool and member.
func (s *Spill) All() (all []Kept) {
	if s == nil {
		return nil
	}
	for _, kept := range s.byPool {
		all = append(all, kept...)
	}
	slices.SortFunc(all, func(a, b Kept) int { return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Member, b.Member)) })
	return all
}

// PerMille returns how much of the prefixes a member keeps.
func (s *Spill) PerMille(pool, member string) uint16 {
	if s == nil {
		return FullRamp
	}
	kept := s.byPool[pool]
	if at, found := slices.BinarySearchFunc(kept, member, func(k Kept, member string) int { return cmp.Compare(k.Member, member) }); found {
		return kept[at].PerMille
	}
	return FullRamp
}

// Changed returns the pools of which two spills say different things, in order.
func (s *Spill) Changed(o *Spill) (pools []string) {
	if s == o {
		return nil
	}
	for _, k := range append(s.All(), o.All()...) {
		if s.PerMille(k.Pool, k.Member) != o.PerMille(k.Pool, k.Member) && !slices.Contains(pools, k.Pool) {
			pools = append(pools, k.Pool)
		}
	}
	slices.Sort(pools)
	return pools
}

// A limit is a member with a capacity, at its place in a tree of pools.
type limit struct {
	member   string // as a spill names it
	capacity Capacity
	leaves   []int // the endpoints that it stands for
}

// limitsOf returns the limits of a level and of those in it, the outer ones first.
func limitsOf(l *level, path string) (limits []limit) {
	for m := range l.pool.Members {
		member := &l.pool.Members[m]
		name := path + member.Name()
		if member.Capacity != (Capacity{}) {
			limits = append(limits, limit{name, member.Capacity, l.leavesOf(m)})
		}
		if inner := l.inner[m]; inner != nil {
			limits = append(limits, limitsOf(inner, name+"/")...)
		}
	}
	return limits
}

// leavesOf returns the endpoints that a member stands for.
func (l *level) leavesOf(m int) (leaves []int) {
	inner := l.inner[m]
	if inner == nil {
		return []int{l.leaf[m]}
	}
	for i := range inner.pool.Members {
		leaves = append(leaves, inner.leavesOf(i)...)
	}
	return leaves
}

// InRequests reports whether the capacities in a pool are in requests per second; else they are shares.
func (p *PoolPlan) InRequests() bool { return len(p.limits) > 0 && p.limits[0].capacity.Requests > 0 }

// Capped returns the pools with capacities, in the world's order.
func (p *Plan) Capped() []*PoolPlan { return p.capped }

// Fitting returns those of some members that have a capacity in the plan.
func (p *Plan) Fitting(kept []Kept) (fitting []Kept) {
	for _, k := range kept {
		number, ok := p.byPool[k.Pool]
		if ok && slices.ContainsFunc(p.Pools[number].limits, func(l limit) bool { return l.member == k.Member }) {
			fitting = append(fitting, k)
		}
	}
	return fitting
}

// PoolOf returns the pool with capacities that a host's name is answered from, by a wildcard or behind CNAMEs of its zone too; nil where
// there is none. It allocates nothing.
func (p *Plan) PoolOf(host string) *PoolPlan {
	if len(p.capped) == 0 {
		return nil
	}
	var buffer [2 + 255]byte
	name := appendHost(buffer[:0], host)
	zone, _ := p.Zone(name)
	if zone == nil || zone.Zone == nil {
		return nil
	}
	for range 1 + MaxAliases {
		m := zone.Find(name)
		if !m.Name.Exists() || m.Redirected {
			return nil
		}
		if number := zone.Pool(m.Name); number >= 0 {
			if pool := p.Pools[number]; len(pool.limits) > 0 {
				return pool
			}
			return nil
		}
		alias, ok := m.Name.Set(dns.TypeCNAME)
		if !ok {
			return nil
		}
		name = append(buffer[:0], alias.Bytes[static.FixedSize:]...)
		lower(name)
		if at, _ := p.Zone(name); at != zone {
			return nil
		}
	}
	return nil
}

// appendHost appends a host's name in wire format and lower case; nothing if it is none.
func appendHost(b []byte, host string) []byte {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return b
	}
	empty := b
	for label := range strings.SplitSeq(host, ".") {
		if len(label) < 1 || len(label) > 63 {
			return empty
		}
		b = append(append(b, byte(len(label))), label...)
	}
	lower(b)
	return append(b, 0)
}

// lower makes the letters of a name in wire format lower case: the lengths of labels are below them.
func lower(name []byte) {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
}
