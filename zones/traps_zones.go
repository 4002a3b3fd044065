package zones

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// trapsOfZones warns of steered names that are nameservers, or aliases of themselves.
func (l *Loader) trapsOfZones() {
	p := &l.parser
	for i := range p.source.zones {
		entry, zone := &p.source.zones[i], &p.world.Zones[p.zoneOf[i]]
		if zone.Static == nil || len(zone.Steer) == 0 {
			continue
		}
		ns, _ := zone.Static.At([]byte(zone.Static.Apex)).Set(dns.TypeNS)
		records, _ := ns.RRs(zone.Apex)
		isNameserver := func(name string) bool {
			return slices.ContainsFunc(records, func(rr dns.RR) bool { return dns.CanonicalName(rr.(*dns.NS).Ns) == name })
		}
		for _, s := range entry.Value.steer {
			if isNameserver(s.Name) {
				p.warnings.Add(s.Position, "zone %q: owner %q: is a nameserver of the zone: resolvers reach it by the addresses that the parent has, whatever the pool answers", entry.Name, s.Name)
			}
			p.aliasOfItself(s, entry.Name)
		}
	}
}

// aliasOfItself warns of a name whose pool has an endpoint that is the name itself.
func (p *parser) aliasOfItself(s strict.Named[steerKeys], zone string) {
	pool := p.pool(s.Value.pool.Value)
	if pool.Kind != Aliases {
		return
	}
	t := traps{parser: p}
	t.within(pool, func(inner *Pool) {
		for i := range inner.Members {
			if m := &inner.Members[i]; m.Target != nil && m.Target.Name == s.Name {
				p.warnings.Add(s.Position, "zone %q: owner %q: is an alias of itself by %s in pool %q: resolvers give up on it", zone, s.Name, m.Endpoint, inner.Name)
			}
		}
	})
}
