package sim

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A question is a query for the addresses of a steered name, ready to be sent.
type question struct {
	name   string
	pool   string
	family int
	client zones.Client
	query  []byte
	body   int // where the answer section begins
}

var familyTypes = [...]uint16{dns.TypeA, dns.TypeAAAA}

// questions are all that a plan's steered names can be asked by some clients.
func questions(p *zones.Plan, clients []zones.Client) []question {
	var all []question
	for _, z := range p.World.Zones {
		for _, steer := range z.Steer {
			for family, qtype := range familyTypes {
				for _, client := range clients {
					query, body := pack(steer.Owner, qtype, client)
					all = append(all, question{steer.Owner, steer.Pool, family, client, query, body})
				}
			}
		}
	}
	return all
}

// pack makes a query and says where the answers to it will begin.
func pack(name string, qtype uint16, client zones.Client) (query []byte, body int) {
	var m dns.Msg
	m.SetQuestion(dns.Fqdn(name), qtype)
	bare, err := m.Pack()
	if err == nil && client.Subnet.IsValid() {
		m.SetEdns0(wire.MaxUDP, false)
		family := uint16(1)
		if client.Subnet.Addr().Is6() {
			family = 2
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(client.Subnet.Bits()), Address: client.Subnet.Addr().AsSlice(),
		})
		query, err = m.Pack()
	} else {
		query = bare
	}
	if err != nil {
		panic(fmt.Sprintf("sim: query %s: %v", name, err))
	}
	return query, len(bare)
}

// addresses reads the addresses of an answer to a steered name: the one set, each owner a pointer to the question.
func addresses(answer []byte, body int) (found []netip.Addr, err error) {
	if len(answer) < body {
		return nil, fmt.Errorf("answer of %d bytes", len(answer))
	}
	if rcode := answer[3] & 15; rcode != 0 {
		return nil, fmt.Errorf("rcode %s", dns.RcodeToString[int(rcode)])
	}
	const fixed = 12 // owner, type, class, TTL, length
	for range binary.BigEndian.Uint16(answer[6:]) {
		if len(answer) < body+fixed {
			return nil, fmt.Errorf("answer ends at byte %d", len(answer))
		}
		size := int(binary.BigEndian.Uint16(answer[body+fixed-2:]))
		address, ok := netip.AddrFromSlice(answer[body+fixed : min(len(answer), body+fixed+size)])
		if !ok {
			return nil, fmt.Errorf("answer holds data of %d bytes", size)
		}
		found = append(found, address)
		body += fixed + size
	}
	return found, nil
}

// ask asks a node one of all questions at random: whatever it answers must be of the pool, and permitted.
func (c *checker) ask(h *host) {
	asked := c.questions(h.snapshot.Plan)
	q := &asked[c.rnd.IntN(len(asked))]
	answer, _ := wire.Answer(c.buffer[:0], h.snapshot, nil, &wire.Request{
		Query: q.query, Source: q.client.Source, Limit: wire.MaxMessage, Random: c.rnd.Uint32(),
	})
	c.buffer = answer
	found, err := addresses(answer, q.body)
	if err != nil {
		c.violation(h, "answers %s for %s: %v", q.name, q.client, err)
		return
	}
	pool := poolOf(h.snapshot.Plan, q.pool)
	for _, a := range found {
		if slices.Contains(pool.LastResort, a) {
			continue
		}
		i := slices.IndexFunc(pool.Members, func(m zones.Member) bool { return m.Address[q.family] == a })
		switch {
		case i < 0:
			c.violation(h, "answers %s with %s, which is not in pool %s", q.name, a, q.pool)
		case !pool.Members[i].Enabled:
			c.violation(h, "answers %s with %s, which is not enabled", q.name, pool.Members[i].Endpoint)
		case !on(h.control, pool.Members[i].Control):
			c.violation(h, "answers %s with %s, whose control is off", q.name, pool.Members[i].Endpoint)
		case forcedDown(h.control, pool.Members[i].Endpoint):
			c.violation(h, "answers %s with %s, which is forced down", q.name, pool.Members[i].Endpoint)
		}
	}
}

func poolOf(p *zones.Plan, name string) *zones.Pool {
	i := slices.IndexFunc(p.World.Pools, func(pool zones.Pool) bool { return pool.Name == name })
	return &p.World.Pools[i]
}

func forcedDown(state *control.State, endpoint string) bool {
	overlay, _ := state.Overlay(endpoint)
	return overlay.State == control.ForceDown
}

// current compares a node's answers to one question with what its own view of the world asks for. A snapshot may lag
// behind by the time that publishing waits for company.
func (c *checker) current(h *host, statuses *health.View) {
	if h.snapshot == nil || c.sim.now != h.published && c.sim.now-h.published < publishEvery {
		return
	}
	asked := c.questions(h.snapshot.Plan)
	c.compare(h, &asked[c.rnd.IntN(len(asked))], statuses)
}

func (c *checker) compare(h *host, q *question, statuses *health.View) {
	if differs := disagreement(h.snapshot, q.pool, q.family, q.client, statuses, h.control); differs != "" {
		c.violation(h, "answers %s for %s %s", q.name, q.client, differs)
	}
}

// disagreement says how a snapshot's choice for a client differs from the obvious one; empty: it does not.
func disagreement(s *zones.Snapshot, pool string, family int, client zones.Client, statuses *health.View, state *control.State) string {
	i := slices.IndexFunc(s.Plan.Pools, func(p *zones.PoolPlan) bool { return p.Pool.Name == pool })
	answers := s.Pools[i]
	g, _ := answers.Plan.Group(client)
	prefix, _ := client.Prefix(0)
	choice := answers.Groups[g].Families[family].Part(prefix)
	o := oracle{plan: s.Plan, family: family, statuses: statuses, state: state, now: s.Published, perMille: int(prefix.PerMille())}
	for _, k := range s.Spill.All() {
		if k.Pool == pool {
			o.spill = append(o.spill, k)
		}
	}
	o.find(client, answers.Plan.Pool)
	rung, shares := o.obvious(answers.Plan.Pool)
	got := make(map[string]float64)
	for _, o := range choice.Options {
		if len(o.Members) == 0 {
			got[""] += float64(o.Weight) / float64(choice.Total)
		}
		for _, m := range o.Members {
			got[answers.Plan.Leaves[m].Endpoint] += float64(o.Weight) / float64(choice.Total)
		}
	}
	if rung == choice.Rung && sameShares(got, shares, answers.Plan.Pool) {
		return ""
	}
	return fmt.Sprintf("from rung %q with members %v, and its view asks for rung %q with %v", choice.Rung, got, rung, shares)
}

// sameShares compares shares of the answers. Where the prefix decides between sets of several members, they are as even as hashes are.
func sameShares(a, b map[string]float64, pool *zones.Pool) bool {
	most := 1e-4
	if pool.Sticky && pool.Answers > 1 {
		most = 0.25
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	for name, share := range b {
		if math.Abs(a[name]-share) > most {
			return false
		}
	}
	return true
}
