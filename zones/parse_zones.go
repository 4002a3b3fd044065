package zones

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type zoneKeys struct {
	file      strict.At[string]
	steer     []strict.Named[steerKeys]
	dnssec    *dnssecKeys
	transfer  strict.At[*transferKeys]
	updates   []strict.Named[[]strict.At[string]]
	secondary strict.At[*secondaryKeys]
}

type steerKeys struct {
	pool strict.At[string]
}

type dnssecKeys struct {
	algorithm Algorithm
}

var zoneObject = strict.Object[zoneKeys]{
	strict.Optional("file", "its zone file (RFC 1035) with the static records; the name is relative to the world's directory. Either this or secondary is needed", "", strict.Placed(strict.Text(255)),
		func(z *zoneKeys) *strict.At[string] { return &z.file }),
	strict.Optional("steer", "the names that a pool answers, relative to the apex; @ is the apex. Resolvers keep denials (NXDOMAIN, NODATA) in a zone with this key for 60 s at most, and NODATA of these names for their pool's ttl at most", "",
		strict.Map("owner", strict.Text(255), steerObject.Type("what steers it"), maxSteers),
		func(z *zoneKeys) *[]strict.Named[steerKeys] { return &z.steer }),
	strict.Optional("dnssec", "sign the zone's answers; without it they are not signed, unless the zone file is", "",
		strict.Convert(dnssecObject.Type("how it is signed"), "how it is signed", func(k dnssecKeys) (*dnssecKeys, error) { return &k, nil }),
		func(z *zoneKeys) **dnssecKeys { return &z.dnssec }),
	strict.Optional("transfer", "who may have a copy of the zone; without it nobody. See [transfers](transfers.md)", "",
		strict.Placed(strict.Convert(transferObject.Type("who may have it"), "who may have it", func(k transferKeys) (*transferKeys, error) { return &k, nil })),
		func(z *zoneKeys) *strict.At[*transferKeys] { return &z.transfer }),
	strict.Optional("updates", "which keys may set the ACME challenges of which hosts by dynamic updates; the names of hosts are relative to the apex, @ is the apex", "",
		strict.Map("key", tsigName, updateHosts, maxUpdateKeys), func(z *zoneKeys) *[]strict.Named[[]strict.At[string]] { return &z.updates }),
	strict.Optional("secondary", "where the zone is copied from, instead of a file", "",
		strict.Placed(strict.Convert(secondaryObject.Type("primaries"), "primaries", func(k secondaryKeys) (*secondaryKeys, error) { return &k, nil })),
		func(z *zoneKeys) *strict.At[*secondaryKeys] { return &z.secondary }),
}

var steerObject = strict.Object[steerKeys]{
	strict.Required("pool", "the pool that answers", strict.Placed(strict.Name[string]()), func(s *steerKeys) *strict.At[string] { return &s.pool }),
}

var dnssecObject = strict.Object[dnssecKeys]{
	strict.Optional("algorithm", "of the zone's keys", string(ECDSAP256SHA256), strict.Enum("algorithm", ECDSAP256SHA256, ED25519),
		func(k *dnssecKeys) *Algorithm { return &k.algorithm }),
}

// listZones makes the list of zones: those that are configured one by one, and those of whole directories.
func (l *Loader) listZones() {
	p := &l.parser
	p.source.zones = byName(p, "zone", p.source.zones, maxZones)
	p.source.zones = slices.DeleteFunc(p.source.zones, func(entry strict.Named[zoneKeys]) bool {
		name, secondary := entry.Value.file.Value, entry.Value.secondary
		switch {
		case secondary.Given() && (entry.Value.file.Given() || len(entry.Value.steer) > 0 || entry.Value.dnssec != nil):
			p.mistakes.Add(secondary.Position, "zone %q: a secondary zone is as its primaries have it: leave file, steer and dnssec out", entry.Name)
			return true
		case secondary.Given():
			return secondary.Value == nil // its mistake is noted
		case name == "" && !entry.Value.file.Given():
			p.mistakes.Add(entry.Position, "zone %q: needs a file, or with the key secondary primaries to copy it from", entry.Name)
			return true
		case name == "":
			return true // its mistake is noted
		case l.files.Version(name) == Version{}:
			p.mistakes.Add(entry.Value.file.Position, "zone %q: no file %s in the world", entry.Name, strict.Quote(name))
			return true
		case strings.HasSuffix(name, ".yaml"):
			p.mistakes.Add(entry.Value.file.Position, "zone %q: %s is a configuration file, not a zone file", entry.Name, strict.Quote(name))
			return true
		}
		return false
	})
	for i := range p.source.zones {
		entry := &p.source.zones[i]
		zone := Zone{Apex: entry.Name, File: entry.Value.file.Value, Steer: p.steers(entry)}
		if k := entry.Value.dnssec; k != nil {
			zone.Sign = k.algorithm
		}
		l.transfers(entry, &zone)
		p.world.Zones = append(p.world.Zones, zone)
	}
	for _, dir := range p.source.directories {
		l.listDirectory(dir)
	}
	slices.SortStableFunc(p.world.Zones, func(a, b Zone) int { return strings.Compare(a.Apex, b.Apex) })
	p.world.Zones = p.once(p.world.Zones)
	p.zoneOf = make([]int, len(p.source.zones))
	for i := range p.source.zones {
		p.zoneOf[i], _ = slices.BinarySearchFunc(p.world.Zones, p.source.zones[i].Name, func(z Zone, apex string) int { return strings.Compare(z.Apex, apex) })
	}
}

// listDirectory adds the zones of a directory.
func (l *Loader) listDirectory(dir strict.At[string]) {
	p := &l.parser
	names, err := l.files.List(dir.Value)
	if err != nil {
		p.mistakes.Add(dir.Position, "zone_directories: %s: %v", strict.Quote(dir.Value), err)
		return
	}
	if room := maxZones - len(p.world.Zones); len(names) > room {
		p.mistakes.Add(dir.Position, "zone_directories: %s: with its %d files there are more than %d zones", strict.Quote(dir.Value), len(names), maxZones)
		return
	}
	p.world.Zones = slices.Grow(p.world.Zones, len(names))
	for _, name := range names {
		base, ok := strings.CutSuffix(name, zoneSuffix)
		if !ok {
			continue
		}
		file := dir.Value + "/" + name
		apex, err := domainName(base+".", "")
		if base == "@" {
			apex, err = ".", nil
		}
		if err != nil {
			p.mistakes.Add(strict.Position{File: file}, "its name %s %v", strict.Quote(base), err)
			continue
		}
		p.world.Zones = append(p.world.Zones, Zone{Apex: apex, File: file})
	}
}

// once leaves the zones of a directory out that are configured with the same file, and notes those that have two.
func (p *parser) once(zones []Zone) []Zone {
	kept := zones[:0]
	for _, z := range zones {
		if n := len(kept); n == 0 || kept[n-1].Apex != z.Apex {
			kept = append(kept, z)
		} else if kept[n-1].Copied {
			p.mistakes.Add(strict.Position{File: z.File}, "zone %q is configured as a secondary zone", z.Apex)
		} else if kept[n-1].File != z.File {
			p.mistakes.Add(strict.Position{File: z.File}, "zone %q has another file, %s", z.Apex, kept[n-1].File)
		}
	}
	return kept
}

const zoneSuffix = ".zone"

// steers makes the zone's list of steered names, ordered by owner, and notes those that can't be.
func (p *parser) steers(entry *strict.Named[zoneKeys]) (steers []Steer) {
	names := entry.Value.steer
	for i := range names {
		s := &names[i]
		context := fmt.Sprintf("zone %q: owner %q", entry.Name, s.Name)
		owner, err := domainName(s.Name, entry.Name)
		switch {
		case err != nil:
			p.mistakes.Add(s.Position, "%s: %v", context, err)
			continue
		case !dns.IsSubDomain(entry.Name, owner):
			p.mistakes.Add(s.Position, "%s: is outside the zone", context)
			continue
		case !dns.IsFqdn(s.Name) && dns.IsSubDomain(entry.Name, dns.Fqdn(s.Name)):
			p.warnings.Add(s.Position, "%s: is %s, as it is relative to the apex, so the name that was probably meant is not steered; a whole name ends with a dot", context, owner)
		}
		s.Name = owner
		if s.Value.pool.Value != "" && !isDefined(p.source.pools, s.Value.pool.Value) {
			p.mistakes.Add(s.Value.pool.Position, "%s: %s", context, strict.Unknown("pool", s.Value.pool.Value, namesOf(p.source.pools)))
		}
	}
	entry.Value.steer = byName(p, "steered name", names, maxSteers)
	for _, s := range entry.Value.steer {
		steer := Steer{Owner: s.Name, Pool: s.Value.pool.Value}
		if pool := p.pool(steer.Pool); pool != nil {
			steer.Kind, steer.HTTPS = pool.Kind, pool.HTTPS != nil
		}
		if steer.Kind == Aliases && s.Name == entry.Name {
			p.mistakes.Add(s.Position, "zone %q: owner %q: pool %q has aliases, and an apex can't be one, as it has other records (RFC 1034, section 3.6.2); a pool of addresses can answer it",
				entry.Name, s.Name, steer.Pool)
		}
		steers = append(steers, steer)
	}
	return steers
}

// pool returns the pool with a name; nil if there is none.
func (p *parser) pool(name string) *Pool {
	i, ok := slices.BinarySearchFunc(p.world.Pools, name, func(pool Pool, name string) int { return strings.Compare(pool.Name, name) })
	if !ok {
		return nil
	}
	return &p.world.Pools[i]
}

// domainName returns a name as all names are compared: fully qualified, in lower case, without needless escapes. A name
// without a final dot is relative to the origin; @ is the origin itself.
func domainName(text, origin string) (string, error) {
	switch {
	case text == "@" && origin != "":
		return origin, nil
	case !dns.IsFqdn(text):
		if slashes := len(text) - len(strings.TrimRight(text, `\`)); slashes%2 == 1 {
			return "", errNotName // it would escape the dot
		}
		text += "." + origin
	}
	return canonicalName(text)
}

var errNotName = errors.New("is not a domain name (RFC 1035: labels of 1 to 63 bytes, 255 bytes in all)")

// canonicalName returns a name through its wire format, in which one name has one form.
func canonicalName(name string) (string, error) {
	var wire [256]byte
	n, err := dns.PackDomainName(dns.Fqdn(name), wire[:], 0, nil, false)
	if err != nil || n > 255 {
		return "", errNotName
	}
	text, _, err := dns.UnpackDomainName(wire[:n], 0)
	return dns.CanonicalName(text), err
}

// warnOfHTTPS warns of HTTPS records at steered names whose members are not probed by TLS: where such a record is, browsers take no
// other way (RFC 9460, section 9.5), and a member can be up by its check and of no use to them.
func (l *Loader) warnOfHTTPS() {
	p := &l.parser
	byTLS := map[string]bool{}
	for _, pool := range p.world.Pools {
		check := slices.IndexFunc(p.world.Checks, func(c Check) bool { return c.Name == pool.Check })
		byTLS[pool.Name] = check >= 0 && p.world.Checks[check].Kind == health.KindHTTPS
	}
	for i := range p.source.zones {
		entry, zone := &p.source.zones[i], &p.world.Zones[p.zoneOf[i]]
		if zone.Static == nil {
			continue
		}
		for _, s := range entry.Value.steer {
			owner, err := wireName(s.Name)
			if err != nil || byTLS[s.Value.pool.Value] {
				continue
			}
			if _, ok := zone.Static.Find(owner).Name.Set(dns.TypeHTTPS); ok {
				p.warnings.Add(s.Value.pool.Position, "zone %q: owner %q: has an HTTPS record, by which browsers come by TLS, and no check of pool %q probes that (type: https): an endpoint can be up and of no use to them",
					entry.Name, s.Name, s.Value.pool.Value)
			}
		}
	}
}
