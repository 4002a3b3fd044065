package route53

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
)

// Limits of pools, as package zones has them.
const (
	maxMembers  = 64
	maxPrefixes = 1000 // of a member
	minTTL      = 5 * time.Second
	maxTTL      = 24 * time.Hour
)

// poolOf returns the pool that answers a steered name, which is made if it is not there yet; empty where none can be, which is noted.
func (m *mapper) poolOf(z *zoneSets, name string) string {
	pool, made := z.pools[name]
	switch {
	case made:
		return pool
	case z.making[name]:
		return "" // an alias of itself
	}
	z.making[name] = true
	if kinds := z.group(name); kinds != nil {
		pool = m.makePool(z, name, kinds)
	} else if target, ok := z.aliasOf(name); ok {
		if pool = m.poolOf(z, target); pool == "" {
			for _, kind := range []string{"A", "AAAA", "CNAME"} {
				for _, s := range z.sets[name][kind] {
					m.leave(z, s, aliasLost)
				}
			}
		}
	}
	z.making[name] = false
	z.pools[name] = pool
	return pool
}

// makePool makes the pool of the record sets of a name that have a policy.
func (m *mapper) makePool(z *zoneSets, name string, kinds []string) string {
	candidates, policy := m.candidates(z, name, kinds)
	if len(candidates) == 0 {
		return ""
	}
	p := &importer.Pool{Policy: policy}
	p.Name = m.poolNames.New(strings.TrimSuffix(name, "."))
	p.TTL = m.ttlOf(candidates)
	p.Check = mainCheck(candidates)
	if policy == "failover" {
		slices.SortStableFunc(candidates, func(a, b *candidate) int { return cmp.Compare(a.first().failover, b.first().failover) })
	}
	used := map[string]bool{} // endpoints and pools of this pool
	for _, c := range candidates {
		member := m.member(z, name, p, c)
		for _, s := range c.sets {
			m.report.Add(policies[policy], s.at, s.subject(), "")
			if s.alias != nil && c.cnames != nil {
				m.service(s)
			}
		}
		if i := slices.IndexFunc(p.Members, func(other importer.Member) bool { return merges(policy, &other, &member) }); i >= 0 {
			merge(&p.Members[i], &member)
			continue
		}
		if member.Pool != "" && used["pool "+member.Pool] {
			member.Pool = m.wrap(z, name, c, importer.Member{Pool: member.Pool}, "")
		}
		if member.Endpoint != "" && used[member.Endpoint] {
			member.Endpoint = m.endpointNames.New(member.Endpoint)
		}
		used["pool "+member.Pool], used[member.Endpoint] = true, true
		p.Members = append(p.Members, member)
	}
	m.lacksDefault(p, candidates)
	if len(p.Members) > maxMembers {
		m.report.Add(tooMany, candidates[0].first().at, name, "%d", len(p.Members))
		p.Comment = append(p.Comment, fmt.Sprintf("%s%d members more were left out, as a pool has at most %d", importer.Mark, len(p.Members)-maxMembers, maxMembers))
		p.Members = p.Members[:maxMembers]
	}
	p.Comment = append([]string{"answers " + name}, p.Comment...)
	m.world.Pools = append(m.world.Pools, p)
	return p.Name
}

var policies = map[string]importer.Feature{
	"weighted": weighted, "latency": latency, "failover": failover, "geo": geolocation, "geoproximity": geoproximity, "cidr": cidr, "multivalue": multivalue,
}

// ttlOf returns the TTL of a pool, and notes where it is none of its records'.
func (m *mapper) ttlOf(list []*candidate) time.Duration {
	least, most := list[0].ttl, list[0].ttl
	for _, c := range list {
		least, most = min(least, c.ttl), max(most, c.ttl)
	}
	ttl := min(max(least, minTTL), maxTTL)
	if ttl != least || least != most {
		s := list[0].first()
		m.report.Add(ttlRange, s.at, s.subject(), "%v instead of %v to %v", ttl, least, most)
	}
	return ttl
}

func (m *mapper) ttlNamed(pool string) time.Duration {
	for _, p := range m.world.Pools {
		if p.Name == pool {
			return p.TTL
		}
	}
	return aliasTTL * time.Second
}

// mainCheck returns the check that most candidates of a single value have; the first of those that are as many.
func mainCheck(list []*candidate) (check string) {
	count, most := map[string]int{}, 0
	for _, c := range list {
		if c.pool == "" && c.check != "" && c.size() == 1 {
			count[c.check]++
		}
	}
	for _, c := range list {
		if count[c.check] > most {
			check, most = c.check, count[c.check]
		}
	}
	return check
}

// member makes the member of a pool for a candidate.
func (m *mapper) member(z *zoneSets, name string, p *importer.Pool, c *candidate) importer.Member {
	var member importer.Member
	region := m.attributes(&member, c)
	if c.look != "" {
		member.Comment = append(member.Comment, importer.Mark+c.look)
	}
	switch {
	case c.pool != "":
		member.Pool = c.pool
	case c.size() == 1 && c.check == p.Check:
		m.endpoint(&member, z, name, region, c, 0)
	case c.size() == 1:
		endpoint := importer.Member{}
		m.endpoint(&endpoint, z, name, region, c, 0)
		member.Pool = m.wrap(z, name, c, endpoint, c.check)
	default:
		m.report.Add(severalValues, c.first().at, c.first().subject(), "%d", c.size())
		member.Pool = m.several(z, name, region, c)
	}
	if c.control != "" {
		member.Control = c.control
	}
	if member.Pool != "" && p.Policy != "latency" && p.Policy != "geoproximity" {
		member.Region = ""
	}
	return member
}

// wrap makes a pool of one member, for what its own pool can't say of it.
func (m *mapper) wrap(z *zoneSets, name string, c *candidate, member importer.Member, check string) string {
	p := &importer.Pool{Name: m.poolNames.New(m.labelOf(z, name, c)), Policy: "failover", Check: check, TTL: m.clamp(c.ttl), Members: []importer.Member{member}}
	p.Comment = []string{fmt.Sprintf("of %s: a health check of its own, or none", c.first().subject())}
	m.world.Pools = append(m.world.Pools, p)
	return p.Name
}

// several makes a pool of all values of a record set. A pool in a pool answers with one of its members at a time.
func (m *mapper) several(z *zoneSets, name, region string, c *candidate) string {
	p := &importer.Pool{Name: m.poolNames.New(m.labelOf(z, name, c)), Policy: "multivalue", Check: c.check, TTL: m.clamp(c.ttl)}
	p.Comment = []string{fmt.Sprintf("of %s: all its values", c.first().subject())}
	n := min(c.size(), maxMembers)
	if n < c.size() {
		m.report.Add(tooMany, c.first().at, c.first().subject(), "%d", c.size())
	}
	for i := range n {
		var member importer.Member
		m.endpoint(&member, z, name, region, c, i)
		p.Members = append(p.Members, member)
	}
	m.world.Pools = append(m.world.Pools, p)
	return p.Name
}

func (m *mapper) clamp(ttl time.Duration) time.Duration { return min(max(ttl, minTTL), maxTTL) }

// labelOf returns what endpoints and pools of a candidate are named by.
func (m *mapper) labelOf(z *zoneSets, name string, c *candidate) string {
	owner := importer.Relative(name, z.apex)
	if owner == "@" {
		owner = strings.TrimSuffix(z.apex, ".")
	}
	return owner + "-" + cmp.Or(c.first().id, c.first().policy())
}

// endpoint makes a member of the i-th value of a candidate.
func (m *mapper) endpoint(member *importer.Member, z *zoneSets, name, region string, c *candidate, i int) {
	member.Region = region
	switch {
	case len(c.cnames) > 0:
		member.CNAME = c.cnames[i]
	case len(c.mxs) > 0:
		member.MX = c.mxs[i]
	case len(c.srvs) > 0:
		member.SRV = c.srvs[i]
	default:
		for _, is4 := range []bool{true, false} {
			n := 0
			for _, a := range c.addresses {
				if a.Is4() == is4 {
					if n == i {
						member.Address = append(member.Address, a)
					}
					n++
				}
			}
		}
	}
	if c.check != "" && c.address.IsValid() && !slices.Contains(member.Address, c.address) {
		member.Probe = c.address
		if len(member.Address) > 0 {
			m.report.Add(otherAddress, c.first().at, c.first().subject(), "%v", c.address)
		}
	}
	key := fmt.Sprint(region, member.Address, member.CNAME, member.MX, member.SRV, member.Probe)
	if member.MX != nil {
		key += fmt.Sprint(*member.MX)
	}
	if member.SRV != nil {
		key += fmt.Sprint(*member.SRV)
	}
	if m.endpoints[key] == "" {
		text := m.labelOf(z, name, c)
		if c.size() > 1 {
			text += "-" + strconv.Itoa(i+1)
		}
		m.endpoints[key] = m.endpointNames.New(text)
	}
	member.Endpoint = m.endpoints[key]
}

// merges reports whether two members of a pool are one that serves more.
func merges(policy string, a, b *importer.Member) bool {
	if policy != "geo" && policy != "cidr" {
		return false
	}
	return !a.Off && !b.Off && len(a.Prefixes)+len(b.Prefixes) <= maxPrefixes && a.Endpoint == b.Endpoint && a.Pool == b.Pool && a.Control == b.Control && slices.Equal(a.Comment, b.Comment)
}

func merge(into, m *importer.Member) {
	into.Countries = append(into.Countries, m.Countries...)
	into.Continents = append(into.Continents, m.Continents...)
	into.Subdivisions = append(into.Subdivisions, m.Subdivisions...)
	into.Prefixes = append(into.Prefixes, m.Prefixes...)
	into.Default = into.Default || m.Default
}
