package zones

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/static"
)

// A Prefix is the hash of a client's prefix and of the name that is asked for, by which answers differ between prefixes.
type Prefix uint64

// The prefixes of clients that are answered alike (RFC 7871, section 11.1 has them as the longest that resolvers should send).
const (
	PrefixBits4 = 24
	PrefixBits6 = 48
)

// Prefix returns the hash of the client's prefix and a name's seed, and the scope of an answer that follows from it; 0 where the client
// sends no subnet. Which address of the client counts is as in PoolPlan.Group.
func (c Client) Prefix(seed uint64) (p Prefix, scope int) {
	a := c.Source
	if bits := c.Subnet.Bits(); bits > 0 {
		subnet := c.Subnet.Addr()
		v4, offset, embedded := geo.Embedded(subnet, bits)
		_, special := geo.SpecialPrefix(subnet)
		switch {
		case embedded:
			a, scope = v4, offset+PrefixBits4
		case special:
		default:
			a, scope = subnet, prefixBits(subnet)
		}
	} else if v4, _, ok := geo.Embedded(a, a.BitLen()); ok {
		a = v4
	}
	return hashPrefix(a, seed), scope
}

func prefixBits(a netip.Addr) int {
	if a.Is4() {
		return PrefixBits4
	}
	return PrefixBits6
}

func hashPrefix(a netip.Addr, seed uint64) Prefix {
	bytes := a.As16() // an IPv4 address is v4-mapped there, which no client's IPv6 address is
	if a.Is4() {
		return Prefix(mix(seed ^ mix(4<<32|uint64(binary.BigEndian.Uint32(bytes[12:])>>(32-PrefixBits4)))))
	}
	return Prefix(mix(seed ^ mix(6<<56|binary.BigEndian.Uint64(bytes[:])>>(64-PrefixBits6))))
}

// mix spreads every bit of x over all of the result (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// seedOf returns the seed of a name: FNV-1a, mixed.
func seedOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// PerMille is where a prefix stands among all, from 0 to 999.
func (p Prefix) PerMille() uint16 { return uint16(uint64(uint32(p)) * FullRamp >> 32) }

// Pick returns the option for a query: in the part of the choice that the prefix is given, the one that a random number falls on, or if
// the choice is sticky that the prefix has its rendezvous with. It is nil for NODATA. It allocates nothing.
func (c *Choice) Pick(random uint32, prefix Prefix) *Option {
	c = c.Part(prefix)
	if len(c.Options) == 0 {
		return nil
	}
	if c.Sticky {
		return c.meet(prefix)
	}
	at := uint32(uint64(random) * uint64(c.Total) >> 32)
	for i := range c.Options {
		if at < c.Options[i].Weight {
			return &c.Options[i]
		}
		at -= c.Options[i].Weight
	}
	panic("zones: weights of a choice do not add up to its total")
}

// Part returns what a prefix is answered from: the choice, or one of its others.
func (c *Choice) Part(prefix Prefix) *Choice {
	if len(c.Others) == 0 {
		return c
	}
	at := prefix.PerMille()
	for i := range c.Others {
		if o := &c.Others[i]; o.From <= at && at < o.To {
			return &o.Choice
		}
	}
	return c
}

// meet returns the option that a prefix has its rendezvous with: the one of the best score (highest random weight, Thaler and
// Ravishankar 1996), so that when one comes or goes only its own prefixes move; each gets its weight's share of all prefixes.
func (c *Choice) meet(prefix Prefix) *Option {
	switch {
	case len(c.Options) == 1:
		return &c.Options[0]
	case c.slots != nil:
		return &c.Options[c.slots[uint64(prefix)>>32%uint64(len(c.slots))]]
	}
	best, least := 0, math.Inf(1)
	for i := range c.Options {
		if s := score(uint64(prefix), c.Options[i].seed, uint64(c.Options[i].Weight)); s < least {
			best, least = i, s
		}
	}
	return &c.Options[best]
}

// score is less the better a key and something with a seed and a weight go together: of several, each has its weight's share of the
// keys for which its score is the least.
func score(key, seed, weight uint64) float64 {
	x := mix(key ^ seed)
	return -math.Log((float64(x>>11)+0.5)/(1<<53)) / float64(weight)
}

// The slots of a sticky choice with several members: many, unless that makes more sets than may be prebuilt.
const (
	manySlots = 1024
	fewSlots  = maxSets
)

// rendezvous makes the options of a sticky choice whose answers have some certain leaves and so many of the rest. Prefixes share slots, and
// each slot has the leaves of the best scores, so that when one comes or goes only its place in the answers is another's.
func (e *evaluation) rendezvous(c *Choice, certain []int, rest []share, room int) {
	for _, slots := range []int{manySlots, fewSlots} {
		c.Options, c.slots = nil, make([]uint8, slots)
		at := make(map[[2]uint64]uint8)
		for slot := range c.slots {
			leaves := append(slices.Clone(certain), e.best(uint64(slot), rest, room)...)
			key := setKey(leaves)
			i, known := at[key]
			if !known {
				if len(c.Options) == maxSets {
					break
				}
				i = uint8(len(c.Options))
				at[key] = i
				c.Options = append(c.Options, e.several(leaves, 0))
			}
			c.Options[i].Weight++
			c.slots[slot] = i
		}
		c.Total = 0
		for _, o := range c.Options {
			c.Total += o.Weight
		}
		if int(c.Total) == slots {
			return
		}
	}
}

// best returns the leaves of the best scores for a slot.
func (e *evaluation) best(slot uint64, shares []share, room int) []int {
	type scored struct {
		leaf  int
		score float64
	}
	all := make([]scored, len(shares))
	for i, s := range shares {
		all[i] = scored{s.leaf, score(mix(slot^e.plan.seed), e.plan.Leaves[s.leaf].seed, s.weight)}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(a.score, b.score) })
	leaves := make([]int, room)
	for i := range leaves {
		leaves[i] = all[i].leaf
	}
	return leaves
}

// setKey tells sets of leaves apart, in whatever order they stand.
func setKey(leaves []int) (key [2]uint64) {
	for _, leaf := range leaves {
		key[0] += mix(uint64(leaf) + 1)
		key[1] ^= mix(^uint64(leaf))
	}
	return key
}

// Turn returns the number of the record with which an answer begins: the order is rotated, so that clients which take the first one spread.
func (o *Option) Turn(random uint32) int {
	if o.Set.Count <= 1 {
		return 0
	}
	return int(mix(uint64(random)) % uint64(o.Set.Count))
}

// turned returns the option's records, rotated.
func (o *Option) turned(random uint32) RecordSet {
	set := *o.Set
	if first := o.Turn(random); first > 0 {
		at := 0
		for range first {
			at += static.RecordSize(set.Bytes[at:])
		}
		set.Bytes = slices.Concat(set.Bytes[at:], set.Bytes[:at])
	}
	return set
}
