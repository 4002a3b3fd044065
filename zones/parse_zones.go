package zones

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

type zoneKeys struct {
	file  strict.At[string]
	steer []strict.Named[steerKeys]
}

type steerKeys struct {
	pool strict.At[string]
}

var zoneObject = strict.Object[zoneKeys]{
	strict.Required("file", "its zone file (RFC 1035) with the static records; the name is relative to the world's directory", strict.Placed(strict.Text(255)),
		func(z *zoneKeys) *strict.At[string] { return &z.file }),
	strict.Optional("steer", "the names whose addresses a pool answers, relative to the apex; @ is the apex", "",
		strict.Map("owner", strict.Text(255), steerObject.Type("what steers it"), maxSteers),
		func(z *zoneKeys) *[]strict.Named[steerKeys] { return &z.steer }),
}

var steerObject = strict.Object[steerKeys]{
	strict.Required("pool", "the pool that answers", strict.Placed(strict.Name[string]()), func(s *steerKeys) *strict.At[string] { return &s.pool }),
}

func (p *parser) zones() {
	p.source.zones = byName(p, "zone", p.source.zones, maxZones)
	for i := range p.source.zones {
		entry := &p.source.zones[i]
		name := entry.Value.file.Value
		zone := Zone{Apex: entry.Name, File: name}
		data, ok := p.files[name]
		switch {
		case name == "":
			continue // its mistake is noted
		case !ok:
			p.mistakes.Add(entry.Value.file.Position, "zone %q: no file %s in the world", entry.Name, strict.Quote(name))
			continue
		case strings.HasSuffix(name, ".yaml"):
			p.mistakes.Add(entry.Value.file.Position, "zone %q: %s is a configuration file, not a zone file", entry.Name, strict.Quote(name))
			continue
		}
		contents := readZoneFile(zone.Apex, name, data, &p.mistakes, &p.warnings)
		zone.Steer = p.steers(entry, contents)
		contents.warnTargets(zone.Steer, &p.warnings)
		zone.Records = contents.records()
		p.world.Zones = append(p.world.Zones, zone)
	}
}

// steers makes the zone's list of steered names, ordered by owner, and notes those that can't be.
func (p *parser) steers(entry *strict.Named[zoneKeys], contents *zoneFile) []Steer {
	var steers []Steer
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
		}
		s.Name = owner
		if s.Value.pool.Value != "" && !isDefined(p.source.pools, s.Value.pool.Value) {
			p.mistakes.Add(s.Value.pool.Position, "%s: %s", context, strict.Unknown("pool", s.Value.pool.Value, namesOf(p.source.pools)))
		}
		if r := contents.addressOrAlias(owner); r != nil {
			p.mistakes.Add(s.Position, "%s: is steered, but has %s record of its own at %s", context, article(r.rr.Header().Rrtype), strict.Position{File: contents.file, Line: r.line})
		}
		if cut := contents.cutAbove(owner); cut != nil {
			p.mistakes.Add(s.Position, "%s: is not ours to steer: %s is delegated at %s", context, cut.owner, strict.Position{File: contents.file, Line: cut.line})
		}
	}
	for _, s := range byName(p, "steered name", names, maxSteers) {
		steers = append(steers, Steer{s.Name, s.Value.pool.Value})
	}
	return steers
}

func article(rrtype uint16) string {
	name := dns.TypeToString[rrtype]
	if strings.HasPrefix(name, "A") {
		return "an " + name
	}
	return "a " + name
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
