package gdnsd

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A builder makes pools of resources.
type builder struct {
	config *value
	files  map[string][]byte // of the directory
	report *importer.Report
	world  importer.World

	checkNames, poolNames, endpointNames importer.Names

	services  map[string]watch  // by name
	resources map[string]string // pools by plugin!resource
	making    map[string]bool   // those that are being made
	endpoints map[string]string // names by what they are
	regions   map[string]*importer.Region
	pools     map[string]*importer.Pool
	aliases   map[string]bool // pools whose members are CNAMEs
	told      map[*value]bool // maps whose keys were noted
	mistakes  strict.Report
	uses      map[string]time.Duration // the longest TTL with which a pool answers a name
}

const (
	maxMembers  = 64
	maxAnswers  = 32
	maxWeight   = 65535
	maxPrefixes = 1000
	minTTL      = 5 * time.Second
	maxTTL      = 24 * time.Hour
	unplaced    = "unplaced"
)

// A part is something that a pool can answer with: an endpoint, or a pool.
type part struct {
	at       strict.Position
	label    string
	member   importer.Member // what its place in the policy says of it, and the pool if it is one
	v4, v6   netip.Addr
	cname    string
	watch    watch
	endpoint bool
}

// pool puts parts together under a policy, and returns the pool's name; empty where nothing is left. Names of endpoints begin with the
// subject.
func (b *builder) pool(p *importer.Pool, subject, region string, parts []part) string {
	parts = b.sameKind(p, parts)
	if len(parts) == 0 {
		return ""
	}
	p.Name = b.poolNames.New(p.Name)
	b.aliases[p.Name] = b.isAlias(&parts[0])
	p.Check = mainCheck(parts)
	used := map[string]bool{}
	for i := range parts {
		m := b.member(p, subject, region, &parts[i])
		if m.Pool != "" && p.Policy != "geoproximity" {
			m.Region = ""
		}
		if used[m.Pool] && m.Pool != "" {
			m.Pool = b.wrap(m.Pool, importer.Member{Pool: m.Pool}, "", "once more")
		}
		if used[m.Endpoint] && m.Endpoint != "" {
			m.Endpoint = b.endpointNames.New(m.Endpoint)
		}
		used[m.Pool], used[m.Endpoint] = true, true
		p.Members = append(p.Members, m)
	}
	if extra := len(p.Members) - maxMembers; extra > 0 {
		b.report.Add(tooMany, parts[maxMembers].at, p.Name, "%d", len(p.Members))
		p.Members = p.Members[:maxMembers]
		p.Comment = append(p.Comment, fmt.Sprintf("%s%d members more were left out, as a pool has at most %d", importer.Mark, extra, maxMembers))
	}
	b.add(p)
	return p.Name
}

func (b *builder) add(p *importer.Pool) {
	p.TTL = minTTL
	b.pools[p.Name] = p
	b.world.Pools = append(b.world.Pools, p)
}

// sameKind leaves CNAMEs out where there are addresses: a name has the one or the other. Pools have addresses here.
func (b *builder) sameKind(p *importer.Pool, parts []part) []part {
	if !slices.ContainsFunc(parts, func(one part) bool { return !b.isAlias(&one) }) {
		return parts
	}
	return slices.DeleteFunc(parts, func(one part) bool {
		alias := b.isAlias(&one)
		if alias {
			b.report.Add(cnameBeside, one.at, p.Name, "%s", cmp.Or(one.cname, one.member.Pool))
			p.Comment = append(p.Comment, importer.Mark+"left out, as the other members are addresses: CNAME "+cmp.Or(one.cname, "of pool "+one.member.Pool))
		}
		return alias
	})
}

func (b *builder) isAlias(one *part) bool { return one.cname != "" || b.aliases[one.member.Pool] }

func mainCheck(parts []part) (check string) {
	count := map[string]int{}
	for _, one := range parts {
		if one.endpoint && one.watch.check != "" {
			count[one.watch.check]++
		}
	}
	for _, one := range parts {
		if count[one.watch.check] > count[check] {
			check = one.watch.check
		}
	}
	return check
}

// member makes the member of a pool for a part.
func (b *builder) member(p *importer.Pool, subject, region string, one *part) importer.Member {
	m := one.member
	if one.watch.look != "" {
		m.Comment = append(m.Comment, importer.Mark+one.watch.look)
	}
	if !one.endpoint {
		return m
	}
	e := importer.Member{Region: cmp.Or(m.Region, region), CNAME: one.cname, Disabled: one.watch.down}
	for _, a := range []netip.Addr{one.v4, one.v6} {
		if a.IsValid() {
			e.Address = append(e.Address, a)
		}
	}
	key := fmt.Sprint(e.Region, e.Address, e.CNAME)
	if b.endpoints[key] == "" {
		b.endpoints[key] = b.endpointNames.New(subject + "-" + one.label)
	}
	e.Endpoint = b.endpoints[key]
	check := one.watch.check
	if one.cname != "" && check != "" {
		m.Comment = append(m.Comment, importer.Mark+"its check "+check+" needs probe, the address to probe, as the answer is the name of a host")
		check = ""
	}
	if check == p.Check {
		m.Endpoint, m.Region, m.CNAME, m.Address, m.Disabled = e.Endpoint, e.Region, e.CNAME, e.Address, e.Disabled
		return m
	}
	m.Pool = b.wrap(e.Endpoint, e, check, "a check of its own, or none")
	return m
}

// wrap makes a pool of one member.
func (b *builder) wrap(name string, m importer.Member, check, why string) string {
	p := &importer.Pool{Name: b.poolNames.New(name), Policy: "failover", Check: check, Members: []importer.Member{m}, Comment: []string{why}}
	b.aliases[p.Name] = m.CNAME != "" || b.aliases[m.Pool]
	b.add(p)
	return p.Name
}

// region returns the region that a datacenter is in; coordinates are nil where they are not known.
func (b *builder) region(at strict.Position, datacenter string, coordinates *[2]float64) string {
	name := cmp.Or(importer.Slug(datacenter), unplaced)
	r := b.regions[name]
	switch {
	case r == nil:
		r = &importer.Region{Name: name}
		b.regions[name] = r
	case coordinates == nil || !r.NoVantage:
		return name
	}
	if coordinates == nil {
		b.report.Add(placeless, at, name, "")
		r.NoVantage = true
		r.Comment = []string{importer.Mark + "where this is, is not in the input: write its coordinates"}
	} else {
		r.Latitude, r.Longitude, r.NoVantage, r.Comment = coordinates[0], coordinates[1], false, nil
	}
	return name
}

// settle gives every pool the longest TTL with which it answers, by itself or in another, so that the pool that answers a name decides.
func (b *builder) settle() {
	for name, ttl := range b.uses {
		b.pools[name].TTL = max(b.pools[name].TTL, ttl)
	}
	for changed := true; changed; {
		changed = false
		for _, p := range b.world.Pools {
			for _, m := range p.Members {
				if inner := b.pools[m.Pool]; inner != nil && inner.TTL < p.TTL {
					inner.TTL, changed = p.TTL, true
				}
			}
		}
	}
}

// withTTL returns a pool that answers as another does, with a TTL. It is called when all pools are settled.
func (b *builder) withTTL(name string, ttl time.Duration) string {
	if b.pools[name].TTL == ttl {
		return name
	}
	key := fmt.Sprintf("%s %v", name, ttl)
	if b.resources[key] == "" {
		p := &importer.Pool{Name: b.poolNames.New(name + "-" + strict.Short(ttl)), Policy: "failover", TTL: ttl,
			Members: []importer.Member{{Pool: name}}, Comment: []string{"with a TTL of its own"}}
		b.pools[p.Name] = p
		b.world.Pools = append(b.world.Pools, p)
		b.resources[key] = p.Name
	}
	return b.resources[key]
}

func clamp(ttl time.Duration) time.Duration { return min(max(ttl, minTTL), maxTTL) }
