package zones

import (
	"math/bits"
	"slices"

	"github.com/meridian-gslb/meridian/zones/static"
)

// A share is a leaf and its weight among those of its rank.
type share struct {
	leaf   int
	weight uint64
}

// unit is the sum of the weights in a pool, to the pool that it is a member of.
const unit = 1 << 32

// maxTotal is the largest sum of the weights of a choice's options.
const maxTotal = 1 << 24

// maxSets is the most prebuilt sets of a group and family whose members are several.
const maxSets = 64

// offer returns what is answered with the leaves that count; not ok without any.
func (e *evaluation) offer(rung Rung) (Choice, bool) {
	c, ok := e.among(rung)
	if ok && (rung == RungUp || rung == RungTooFew) {
		e.others(&c, rung)
	}
	return c, ok
}

func (e *evaluation) among(rung Rung) (Choice, bool) {
	ranks := e.level(e.plan.root, e.group, max(e.plan.Pool.Answers, 1))
	if len(ranks) == 0 {
		return Choice{}, false
	}
	return e.choice(ranks, rung), true
}

// level returns the leaves of a level that may be answered with, by rank: those of the first rank before any others, and within
// one by weight. Without any the level is not available. Once there are enough, no more are looked for.
func (e *evaluation) level(l *level, g *GroupPlan, enough int) (ranks [][]share) {
	if e.minimum && !e.enough(l, g) {
		return nil
	}
	count := 0
	for i := range g.Tiers {
		for _, rank := range e.tier(l, g, &g.Tiers[e.tierAt(l, g, i)], enough) {
			ranks = append(ranks, rank)
			count += len(rank)
		}
		if count >= enough || count > 0 && !l.pool.goesOn() {
			break
		}
	}
	return ranks
}

// goesOn reports whether an answer with several members may have some of the next tier, too: where that is only less wanted. Standbys
// are for when there is no other, and members for other places must not serve a client beside those for its own.
func (p *Pool) goesOn() bool {
	return p.Policy == Failover || p.Policy == Latency || p.Policy == Geoproximity
}

// tierAt returns which tier of a level is the one after so many others: for those who explore, the region that may be nearer is first.
func (e *evaluation) tierAt(l *level, g *GroupPlan, i int) int {
	if !e.explore || g.Explore == "" {
		return i
	}
	first := slices.IndexFunc(g.Tiers, func(t Tier) bool { return l.pool.Members[t.Members[0]].Region == g.Explore })
	switch {
	case i == 0:
		return first
	case i <= first:
		return i - 1
	}
	return i
}

// tier returns the leaves of a tier that may be answered with. Ranks within its members are taken together.
func (e *evaluation) tier(l *level, g *GroupPlan, t *Tier, enough int) (ranks [][]share) {
	for _, m := range t.Members {
		weight := uint64(1)
		if l.pool.Policy == Weighted {
			weight = uint64(max(l.pool.Members[m].Weight, 1)) // in a tier of standbys all are equal
		}
		if l.inner[m] == nil {
			if e.counts(l.leaf[m]) {
				if l.nested {
					weight *= unit
				}
				ranks = addShare(ranks, 0, share{l.leaf[m], weight})
			}
			continue
		}
		for r, shares := range e.level(l.inner[m], g.inner[m], enough) {
			total := sum(shares)
			for _, s := range shares {
				ranks = addShare(ranks, r, share{s.leaf, weight * max(mulDiv(s.weight, unit, total), 1)})
			}
		}
	}
	return ranks
}

func addShare(ranks [][]share, r int, s share) [][]share {
	for len(ranks) <= r {
		ranks = append(ranks, nil)
	}
	ranks[r] = append(ranks[r], s)
	return ranks
}

func sum(shares []share) (total uint64) {
	for _, s := range shares {
		total += s.weight
	}
	return total
}

// mulDiv returns a × b / c, for a below c.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, _ := bits.Div64(hi, lo, c)
	return q
}

// enough reports whether as many members of a level are available as its pool wants. Those that are full are.
func (e *evaluation) enough(l *level, g *GroupPlan) bool {
	roomy := e.roomy
	e.roomy = true
	defer func() { e.roomy = roomy }()
	available, have := 0, 0
	for m := range l.pool.Members {
		inner := l.inner[m]
		switch {
		case inner != nil && e.plan.holds(inner, e.family):
			have++
			if len(e.level(inner, g.inner[m], 1)) > 0 {
				available++
			}
		case inner == nil && e.plan.Leaves[l.leaf[m]].Sets[e.family] != nil:
			have++
			if e.counts(l.leaf[m]) {
				available++
			}
		}
	}
	return available >= l.pool.MinUp.Of(have)
}

// holds reports whether any endpoint of a level has records of a family.
func (p *PoolPlan) holds(l *level, family int) bool {
	for m, inner := range l.inner {
		if inner != nil && p.holds(inner, family) || inner == nil && p.Leaves[l.leaf[m]].Sets[family] != nil {
			return true
		}
	}
	return false
}

// choice makes the options of an answer with up to as many members as the pool's answers have.
func (e *evaluation) choice(ranks [][]share, rung Rung) Choice {
	pool := e.plan.Pool
	c := Choice{Rung: rung, Sticky: pool.Sticky}
	if pool.Answers <= 1 {
		scale(ranks[0])
		c.Options = make([]Option, len(ranks[0]))
		for i, s := range ranks[0] {
			leaf := &e.plan.Leaves[s.leaf]
			c.Options[i] = Option{
				Set: leaf.Sets[e.family], Weight: uint32(s.weight), Held: e.standings[s.leaf].held[e.family], Members: leaf.alone,
				seed: leaf.seed,
			}
			c.Total += c.Options[i].Weight
		}
		return c
	}
	var certain []int // that every answer has
	var rest []share  // of which there are more than have room
	for _, rank := range ranks {
		room := pool.Answers - len(certain)
		if len(rank) > room {
			rest = rank
			break
		}
		for _, s := range rank {
			certain = append(certain, s.leaf)
		}
	}
	switch room := pool.Answers - len(certain); {
	case room == 0 || len(rest) == 0:
		c.Options = []Option{e.several(certain, 1)}
		c.Total = 1
	case pool.Sticky:
		e.rendezvous(&c, certain, rest, room)
	default:
		for _, sample := range samples(rest, room, e.plan.seed) {
			o := e.several(append(slices.Clone(certain), sample.leaves...), sample.weight)
			c.Options = append(c.Options, o)
			c.Total += o.Weight
		}
	}
	return c
}

// scale makes the weights of shares as small as options want them, each at least 1.
func scale(shares []share) {
	divisor := shares[0].weight
	for _, s := range shares[1:] {
		for rest := s.weight; rest != 0; {
			divisor, rest = rest, divisor%rest
		}
	}
	for i := range shares {
		shares[i].weight /= divisor
	}
	if total := sum(shares); total > maxTotal {
		for i := range shares {
			shares[i].weight = max(mulDiv(shares[i].weight, maxTotal, total+1), 1)
		}
	}
}

// several makes the option of an answer with several members, in their order.
func (e *evaluation) several(leaves []int, weight uint32) Option {
	slices.Sort(leaves)
	leaves = slices.Compact(leaves)
	o := Option{Weight: weight}
	set := RecordSet{Type: e.plan.Types[e.family]}
	for _, leaf := range leaves {
		own := e.plan.Leaves[leaf].Sets[e.family]
		o.Held = o.Held || e.standings[leaf].held[e.family]
		if set.Count == 0 || own.TTL < set.TTL {
			set.TTL = own.TTL
		}
		if !holdsRecord(set.Bytes, own.Bytes) { // RFC 2181, section 5
			set.Bytes, set.Count = append(set.Bytes, own.Bytes...), set.Count+own.Count
			o.Members = append(o.Members, leaf)
		}
	}
	set = set.WithTTL(set.TTL) // RFC 2181, section 5.2
	o.Set = &set
	return o
}

// holdsRecord reports whether records have the data of another.
func holdsRecord(records, other []byte) bool {
	for rest := records; len(rest) > 0; rest = rest[static.RecordSize(rest):] {
		if slices.Equal(rest[static.FixedSize:static.RecordSize(rest)], other[static.FixedSize:]) {
			return true
		}
	}
	return false
}
