package zones

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// nesting judges the pools in pools: that they exist, do not come round, and are of one kind and not too many. A pool without
// endpoints of its own is of the kind of those in it.
func (p *parser) nesting() {
	number := make(map[string]int, len(p.world.Pools))
	for i := range p.world.Pools {
		number[p.world.Pools[i].Name] = i
	}
	n := nester{p: p, number: number, seen: make([]nested, len(p.world.Pools))}
	for i := range p.world.Pools {
		n.visit(i, nil)
	}
	for i := range p.world.Pools {
		pool := &p.world.Pools[i]
		pool.Kind = cmp.Or(pool.Kind, Addresses)
		p.kindOfPool(&p.source.pools[i], pool)
	}
}

type nester struct {
	p      *parser
	number map[string]int
	seen   []nested
}

// nested is what is known of a pool and of those in it.
type nested struct {
	done, open bool
	leaves     int
	depth      int
	capacity   Capacity // of the first member that has one, in this pool or in those in it
	capacities int
}

func (n *nester) visit(i int, path []string) {
	p, s, pool := n.p, &n.seen[i], &n.p.world.Pools[i]
	if s.done {
		return
	}
	s.open = true
	path = append(path, pool.Name)
	entry := &p.source.pools[i]
	for _, m := range entry.Value.members {
		c := m.Value.capacity
		if c.Given() {
			s.capacities++
			alike := func(o strict.At[memberKeys]) bool { return o.Value.name() == m.Value.name() && o.Line != m.Line }
			if slices.ContainsFunc(entry.Value.members, alike) {
				p.mistakes.Add(c.Position, "pool %q: member %q: capacity: an endpoint and a pool of that name are both members, and could not be told apart (rename one)", pool.Name, m.Value.name())
			}
		}
		n.sameUnit(s, c.Value, c.Position, pool.Name, "another member has")
	}
	kept := pool.Members[:0]
	for _, m := range pool.Members {
		if m.Endpoint != "" {
			s.leaves++
			kept = append(kept, m)
			continue
		}
		at := positionOf(entry, m.Pool)
		j, known := n.number[m.Pool]
		switch {
		case !known:
			p.mistakes.Add(at, "pool %q: %s", pool.Name, strict.Unknown("pool", m.Pool, namesOf(p.source.pools)))
			continue
		case n.seen[j].open:
			from := slices.Index(path, m.Pool)
			p.mistakes.Add(at, "pool %q: pools come round: %s → %s", pool.Name, strings.Join(path[from:], " → "), m.Pool)
			continue
		}
		n.visit(j, path)
		inner := &p.world.Pools[j]
		switch {
		case inner.Kind == "":
		case pool.Kind == "":
			pool.Kind = inner.Kind
		case pool.Kind != inner.Kind:
			p.mistakes.Add(at, "pool %q: its members have the key %s, and those of pool %q have %s: they must be alike", pool.Name, pool.Kind, inner.Name, inner.Kind)
		}
		s.leaves += n.seen[j].leaves
		s.depth = max(s.depth, n.seen[j].depth+1)
		s.capacities += n.seen[j].capacities
		n.sameUnit(s, n.seen[j].capacity, at, pool.Name, "one around that pool has")
		kept = append(kept, m)
	}
	pool.Members = kept
	if s.leaves > maxLeaves {
		p.mistakes.Add(entry.Position, "pool %q: comes to %d endpoints, those of the pools in it included; at most %d are allowed", pool.Name, s.leaves, maxLeaves)
	}
	if s.capacities > maxLeaves {
		p.mistakes.Add(entry.Position, "pool %q: comes to %d members with a capacity, those of the pools in it included; at most %d are allowed", pool.Name, s.capacities, maxLeaves)
	}
	if s.depth > maxNesting {
		p.mistakes.Add(entry.Position, "pool %q: has pools in pools %d deep, at most %d are allowed", pool.Name, s.depth, maxNesting)
	}
	s.done, s.open = true, false
}

// sameUnit notes a capacity that can't be compared with those before it.
func (n *nester) sameUnit(s *nested, c Capacity, at strict.Position, pool, who string) {
	switch {
	case c == Capacity{}:
	case s.capacity == Capacity{}:
		s.capacity = c
	case (s.capacity.Percent > 0) != (c.Percent > 0):
		n.p.mistakes.Add(at, "pool %q: capacity %s, and %s %s: in a pool all are percentages, or all are requests per second", pool, c, who, s.capacity)
	}
}

// positionOf is where a pool is written as a member.
func positionOf(entry *strict.Named[poolKeys], pool string) strict.Position {
	for _, m := range entry.Value.members {
		if m.Value.pool.Value == pool {
			return m.Value.pool.Position
		}
	}
	return entry.Position
}

// kindOfPool notes keys that only pools of addresses have a use for.
func (p *parser) kindOfPool(entry *strict.Named[poolKeys], pool *Pool) {
	keys := &entry.Value
	if pool.Kind == Addresses {
		return
	}
	for _, key := range []struct {
		name string
		at   strict.Position
	}{{"last_resort", keys.lastResort.Position}, {"https", keys.https.Position}} {
		if key.at.Line != 0 {
			p.mistakes.Add(key.at, "pool %q: %s is only for pools of addresses, not of %s", pool.Name, key.name, pool.Kind)
		}
	}
	if pool.Kind == Aliases && pool.Answers > 1 && pool.Policy != Multivalue {
		p.mistakes.Add(keys.answers.Position, "pool %q: answers: a name has one CNAME record at most (RFC 1034, section 3.6.2)", pool.Name)
	} else if pool.Kind == Aliases && pool.Policy == Multivalue {
		p.mistakes.Add(keys.policy.Position, "pool %q: policy multivalue: a name has one CNAME record at most (RFC 1034, section 3.6.2)", pool.Name)
	}
	for _, m := range keys.members {
		if slices.ContainsFunc(m.Value.fenced.Value, netip.Addr.IsValid) {
			p.mistakes.Add(m.Value.fenced.Position, "pool %q: member %q: fenced: a pool of %s can only have nodata there", pool.Name, m.Value.name(), pool.Kind)
		}
	}
}
