package zones

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// targets applies the checks to the addresses of the pools that name them; pools that share an endpoint share its targets. What a group is
// of is probed in its place.
func (c *compiler) targets(p *Plan) {
	checks := make(map[string]*Check)
	for i := range c.world.Checks {
		checks[c.world.Checks[i].Name] = &c.world.Checks[i]
	}
	targets, groups := make(map[health.CheckID]*health.Target), make(map[health.CheckID]*health.Group)
	for i := range c.world.Pools {
		pool := &c.world.Pools[i]
		check := checks[pool.Check]
		if check == nil {
			continue
		}
		var needs [2]health.Need
		for j := range pool.Members {
			m := &pool.Members[j]
			for family, address := range m.probed() {
				if !address.IsValid() {
					continue
				}
				var obeyed []health.CheckID
				for _, probed := range check.probed(checks) {
					t := probed.target(m, family, address)
					targets[t.ID] = t
					if !probed.Rules.Shadow {
						obeyed = append(obeyed, t.ID)
					}
				}
				if len(obeyed) > 0 {
					needs[family].Members = append(needs[family].Members, obeyed)
				}
				if check.Group != nil {
					g := check.group(checks, m, family)
					groups[g.ID] = g
				}
			}
		}
		for family := range needs {
			if n := len(needs[family].Members); n > 0 {
				needs[family].MinUp = pool.MinUp.Of(n)
				p.Needs = append(p.Needs, &needs[family])
			}
		}
	}
	p.Targets = slices.SortedFunc(maps.Values(targets), func(a, b *health.Target) int { return cmp.Compare(a.ID, b.ID) })
	p.Groups = slices.SortedFunc(maps.Values(groups), func(a, b *health.Group) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range p.Targets {
		p.Subjects = append(p.Subjects, Subject{t.ID, t.Endpoint, t.Region})
	}
	for _, g := range p.Groups {
		p.Subjects = append(p.Subjects, Subject{g.ID, g.Endpoint, g.Region})
	}
	slices.SortFunc(p.Subjects, func(a, b Subject) int { return cmp.Compare(a.Check, b.Check) })
}

// A Subject is something of an endpoint that has a status.
type Subject struct {
	Check    health.CheckID
	Endpoint string
	Region   geo.RegionID
}

// Subject returns what a check is about; not known, if no pool goes by it.
func (p *Plan) Subject(id health.CheckID) (s Subject, known bool) {
	i, known := slices.BinarySearchFunc(p.Subjects, id, func(s Subject, id health.CheckID) int { return cmp.Compare(s.Check, id) })
	if !known {
		return Subject{}, false
	}
	return p.Subjects[i], true
}

// probed returns the checks that are probed for a check: itself, or those that a group is of.
func (c *Check) probed(checks map[string]*Check) []*Check {
	if c.Group == nil {
		return []*Check{c}
	}
	var of []*Check
	for _, term := range c.Group.Terms {
		of = append(of, checks[term.Check])
	}
	return of
}

// group applies a group to one address of an endpoint.
func (c *Check) group(checks map[string]*Check, m *Member, family int) *health.Group {
	g := &health.Group{ID: CheckID(c.Name, m.Endpoint, family), Endpoint: m.Endpoint, Region: m.Region, Need: c.Group.Need}
	for _, term := range c.Group.Terms {
		g.Terms = append(g.Terms, health.Term{
			Check: CheckID(term.Check, m.Endpoint, family), Invert: term.Invert, Veto: term.Veto, Shadow: checks[term.Check].Rules.Shadow,
		})
	}
	return g
}

// probed returns the addresses that checks probe: the member's own, or in place of each of them the one that is to be probed.
func (m *Member) probed() (addresses [2]netip.Addr) {
	if !m.Probe.IsValid() {
		return m.Address
	}
	if m.Target != nil {
		addresses[probedFamily(m.Probe)] = m.Probe
		return addresses
	}
	for family, own := range m.Address {
		if own.IsValid() {
			addresses[family] = m.Probe
		}
	}
	return addresses
}

func (c *Check) target(m *Member, family int, address netip.Addr) *health.Target {
	port := c.Port
	if m.Port != 0 {
		port = m.Port
	}
	return &health.Target{
		ID: CheckID(c.Name, m.Endpoint, family), Endpoint: m.Endpoint, Region: m.Region,
		Kind: c.Kind, Address: netip.AddrPortFrom(address, port),
		Host: c.Host, ServerName: c.ServerName, SkipVerify: c.SkipVerify, Path: c.Path, ExpectStatus: c.ExpectStatus, ExpectBody: c.ExpectBody, Options: c.Options,
		Interval: c.Interval, Fall: c.Fall, Rise: c.Rise, HoldDown: c.HoldDown, Rules: c.Rules, Proof: c.Proof(),
	}
}

// Proof is a digest of what every target of a check is asked, wherever that is. Under one that nothing was ever up under, nothing is down.
func (c *Check) Proof() uint64 {
	asked := *c
	asked.Interval, asked.Fall, asked.Rise, asked.HoldDown, asked.Rules = 0, 0, 0, 0, health.Rules{}
	h := fnv.New64a()
	fmt.Fprintf(h, "%+v", asked)
	return h.Sum64()
}
