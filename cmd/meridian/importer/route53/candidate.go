package route53

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
)

// A candidate is what can be chosen at a name: a record set, or those for A and AAAA that belong together.
type candidate struct {
	sets      []*recordSet // the first has the policy
	addresses []netip.Addr
	cnames    []string
	mxs       []*importer.MX
	srvs      []*importer.SRV
	pool      string // of the alias's target
	ttl       time.Duration
	probing
}

func (c *candidate) first() *recordSet { return c.sets[0] }

// size is how many values there are to choose from: addresses of both families at once count once.
func (c *candidate) size() int {
	var families [2]int
	for _, a := range c.addresses {
		if a.Is4() {
			families[0]++
		} else {
			families[1]++
		}
	}
	return max(families[0], families[1]) + len(c.cnames) + len(c.mxs) + len(c.srvs)
}

// candidates returns what can be chosen at a name, and the policy. Record sets that can't take part are left out, with a note.
func (m *mapper) candidates(z *zoneSets, name string, kinds []string) (list []*candidate, policy string) {
	for _, kind := range kinds {
		for _, s := range z.sets[name][kind] {
			if p := s.policy(); policy == "" && p != "" {
				policy = p
			}
		}
	}
	var beside []*recordSet
	for _, kind := range kinds {
		for _, s := range z.sets[name][kind] {
			switch {
			case s.policy() == policy:
				c := &candidate{sets: []*recordSet{s}}
				if m.fill(z, c) && !m.joins(list, c) {
					list = append(list, c)
				}
			case s.policy() == "" && s.alias == nil:
				beside = append(beside, s)
			default:
				m.leave(z, s, secondType)
			}
		}
	}
	list = m.sameKind(z, list)
	for _, s := range beside {
		m.beside(z, list, s)
	}
	return list, policy
}

// fill reads what a candidate answers with. It reports whether there is anything; if not, that is noted.
func (m *mapper) fill(z *zoneSets, c *candidate) bool {
	s := c.first()
	values, ttl := s.values, s.ttl
	if s.alias != nil {
		var static bool
		switch values, ttl, static = z.valuesOf(s, 0); {
		case static:
			m.report.Add(aliasMember, s.at, s.subject(), "")
		case z.sets[s.alias.target] != nil && s.alias.target != s.name && z.steered(s.alias.target):
			if c.pool = m.poolOf(z, s.alias.target); c.pool == "" {
				m.leave(z, s, aliasLost)
				return false
			}
			m.report.Add(aliasMember, s.at, s.subject(), "")
			if !s.alias.evaluate {
				m.report.Add(aliasBlind, s.at, s.subject(), "")
			}
			c.ttl = m.ttlNamed(c.pool)
		case dns.IsSubDomain(z.apex, s.alias.target):
			m.leave(z, s, aliasLost)
			return false
		case s.name == z.apex || z.hasOthers(s.name):
			m.leave(z, s, aliasApex)
			return false
		default:
			c.cnames, c.ttl = []string{s.alias.target}, aliasTTL*time.Second
		}
	}
	if ttl != nil {
		c.ttl = time.Duration(*ttl) * time.Second
	} else if c.ttl == 0 {
		c.ttl = aliasTTL * time.Second
	}
	if c.pool == "" && c.cnames == nil {
		m.data(c, values)
	}
	if c.pool == "" && c.size() == 0 {
		m.leave(z, s, unreadable)
		return false
	}
	if s.alias != nil && c.cnames == nil && s.health != "" {
		m.report.Add(aliasHealth, s.at, s.subject(), "")
		if h := m.in.checks[s.health]; h != nil {
			h.used = true
		}
		c.look = "the health check " + s.health + " of the alias is not mapped: the pool is up by its members"
		return true
	}
	c.probing = m.probing(s, len(c.addresses) == 0)
	return true
}

// hasOthers reports whether records stand at a name beside which a CNAME can't.
func (z *zoneSets) hasOthers(name string) bool {
	for kind := range z.sets[name] {
		if kind != "A" && kind != "AAAA" {
			return true
		}
	}
	return false
}

// data reads values by the type of their set. One that stands twice counts once.
func (m *mapper) data(c *candidate, values []string) {
	s := c.first()
	seen := map[string]bool{}
	for _, value := range values {
		rr := record(s.kind, value)
		if rr == nil {
			m.report.Add(unreadable, s.at, s.subject(), "%q", value)
			continue
		}
		if seen[rr.String()] {
			continue
		}
		seen[rr.String()] = true
		switch rr := rr.(type) {
		case *dns.A, *dns.AAAA:
			c.addresses = append(c.addresses, addressesOf([]string{value})...)
		case *dns.CNAME:
			c.cnames = append(c.cnames, dns.CanonicalName(rr.Target))
		case *dns.MX:
			c.mxs = append(c.mxs, &importer.MX{Preference: rr.Preference, Target: dns.CanonicalName(rr.Mx)})
		case *dns.SRV:
			c.srvs = append(c.srvs, &importer.SRV{Priority: rr.Priority, Weight: rr.Weight, Port: rr.Port, Target: dns.CanonicalName(rr.Target)})
		}
	}
}

// joins adds a candidate to the one for the other family that has the same place in the policy, if there is one.
func (m *mapper) joins(list []*candidate, c *candidate) bool {
	s := c.first()
	for _, other := range list {
		o := other.first()
		if len(other.sets) > 1 || o.kind == s.kind || placeIn(o) != placeIn(s) || o.policy() == "weighted" && *o.weight != *s.weight {
			continue
		}
		switch {
		case c.pool != "" && c.pool == other.pool:
		case c.cnames != nil && slices.Equal(c.cnames, other.cnames):
		case c.pool == "" && other.pool == "" && c.cnames == nil && other.cnames == nil && c.check == other.check && c.control == other.control:
			other.addresses = append(other.addresses, c.addresses...)
			if other.address != c.address {
				other.address = netip.Addr{} // each family is probed at its own address
			}
		default:
			continue
		}
		other.ttl = min(other.ttl, c.ttl)
		other.sets = append(other.sets, s)
		m.report.Add(families, s.at, s.subject(), "")
		return true
	}
	return false
}

// placeIn says for what a record set stands in its policy: no two of a type do for the same, but for those that only their names tell apart.
func placeIn(s *recordSet) string {
	switch s.policy() {
	case "latency":
		return s.region
	case "failover":
		return s.failover
	case "geo":
		return fmt.Sprint(*s.geo)
	case "geoproximity":
		at := place{}
		if s.proximity.at != nil {
			at = *s.proximity.at
		}
		return fmt.Sprint(s.proximity.region, s.proximity.localZone, at, s.proximity.bias)
	case "cidr":
		return fmt.Sprint(*s.cidr)
	}
	return s.id
}

// sameKind leaves the CNAMEs out where others are addresses: a name has the one or the other.
func (m *mapper) sameKind(z *zoneSets, list []*candidate) []*candidate {
	isAddress := func(c *candidate) bool { return c.cnames == nil }
	if !slices.ContainsFunc(list, isAddress) {
		return list
	}
	return slices.DeleteFunc(list, func(c *candidate) bool {
		if isAddress(c) {
			return false
		}
		for _, s := range c.sets {
			m.leave(z, s, aliasMixed)
		}
		return true
	})
}

// beside adds the address of a simple record to every candidate that has none of its family.
func (m *mapper) beside(z *zoneSets, list []*candidate, s *recordSet) {
	addresses := addressesOf(s.values)
	fits := func(c *candidate) bool {
		return c.pool == "" && c.cnames == nil && len(c.addresses) == 1 && c.addresses[0].Is4() != addresses[0].Is4()
	}
	if len(addresses) != 1 || slices.ContainsFunc(list, func(c *candidate) bool { return !fits(c) }) {
		m.leave(z, s, secondType)
		return
	}
	m.report.Add(simpleBeside, s.at, s.subject(), "")
	for _, c := range list {
		c.addresses = append(c.addresses, addresses[0])
		if s.ttl != nil {
			c.ttl = min(c.ttl, time.Duration(*s.ttl)*time.Second)
		}
	}
}
