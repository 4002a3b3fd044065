package zones

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// The most of each thing about transfers.
const (
	maxGrants     = 64 // of a zone
	maxTargets    = 64 // of a zone
	maxPrimaries  = 16 // of a zone
	maxCatalogs   = 64
	maxGroups     = 64 // of a catalog
	maxUpdateKeys = 64 // of a zone
	maxHosts      = 1000
	maxContents   = 1000 // zones that go out as their default answers
)

type transferKeys struct {
	allow   []Grant
	xot     xotMode
	steered strict.At[steeredMode]
	notify  []strict.At[Target]
}

// A steeredMode says what others are given of a zone that is steered.
type steeredMode string

const (
	steeredRefuse   steeredMode = "refuse"
	steeredDefaults steeredMode = "defaults"
)

// An xotMode says whether a zone is given out over TLS only.
type xotMode string

const (
	xotOptional xotMode = "optional"
	xotRequired xotMode = "required"
)

type secondaryKeys struct{ primaries []strict.At[primaryKeys] }

type primaryKeys struct {
	address netip.AddrPort
	key     string
	tls     *primaryTLSKeys
}

type primaryTLSKeys struct {
	name string
	ca   strict.At[string]
}

type catalogKeys struct {
	primaries []strict.At[primaryKeys]
	groups    []strict.Named[secondaryKeys]
}

// tsigName is the name of a TSIG key, in its canonical form.
var tsigName = strict.Parsed("name of a key of tsig_keys in node.yaml", func(text string) (string, error) {
	name, err := domainName(text, "")
	if err == nil && name == "." {
		err = errNotName
	}
	return name, err
})

// peer is where another nameserver listens.
var peer = strict.Convert(strict.AddrPort(), strict.AddrPort().Doc, func(a netip.AddrPort) (netip.AddrPort, error) {
	if a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
		return a, fmt.Errorf("%q is not the address and port of a nameserver", a)
	}
	return a, nil
})

var grantObject = strict.Object[Grant]{
	strict.Optional("key", "who signs by this key", "", tsigName, func(g *Grant) *string { return &g.Key }),
	strict.Optional("prefix", "who asks from this network; with a key, both must fit", "", strict.Prefix(), func(g *Grant) *netip.Prefix { return &g.Prefix }),
}

var grant = strict.Convert(grantObject.Type("a key, a prefix or both"), "a key, a prefix or both", func(g Grant) (Grant, error) {
	if g == (Grant{}) {
		return g, errors.New("want a key, a prefix or both")
	}
	return g, nil
})

var targetObject = strict.Object[Target]{
	strict.Required("address", "where it listens", peer, func(t *Target) *netip.AddrPort { return &t.Address }),
	strict.Optional("key", "by which the notice is signed", "", tsigName, func(t *Target) *string { return &t.Key }),
}

var transferObject = strict.Object[transferKeys]{
	strict.Optional("allow", "who may have the zone: whom one of these fits; nobody else", "", strict.List(grant, maxGrants),
		func(t *transferKeys) *[]Grant { return &t.allow }),
	strict.Optional("xot", "required: only over TLS 1.3 (RFC 9103), at listen.dot", string(xotOptional), strict.Enum("xot", xotOptional, xotRequired),
		func(t *transferKeys) *xotMode { return &t.xot }),
	strict.Optional("steered", "what others are given of a zone that is steered: nothing, or its defaults, which know neither health nor places", string(steeredRefuse),
		strict.Placed(strict.Enum("value of steered", steeredRefuse, steeredDefaults)), func(t *transferKeys) *strict.At[steeredMode] { return &t.steered }),
	strict.Optional("notify", "the nameservers that hear of changes (RFC 1996)", "", strict.List(strict.Placed(targetObject.Type("a nameserver")), maxTargets),
		func(t *transferKeys) *[]strict.At[Target] { return &t.notify }),
}

var primaryTLSObject = strict.Object[primaryTLSKeys]{
	strict.Required("name", "that its certificate must prove", strict.Parsed("host name", hostName), func(t *primaryTLSKeys) *string { return &t.name }),
	strict.Optional("ca", "file of the world with the certificates that may vouch for it, PEM; none: those of the system", "",
		strict.Placed(strict.Text(255)), func(t *primaryTLSKeys) *strict.At[string] { return &t.ca }),
}

var primaryObject = strict.Object[primaryKeys]{
	strict.Required("address", "where it listens", peer, func(p *primaryKeys) *netip.AddrPort { return &p.address }),
	strict.Optional("key", "by which queries and answers are signed", "", tsigName, func(p *primaryKeys) *string { return &p.key }),
	strict.Optional("tls", "it is asked over TLS 1.3 (RFC 9103)", "",
		strict.Convert(primaryTLSObject.Type("who it has to be"), "who it has to be", func(t primaryTLSKeys) (*primaryTLSKeys, error) { return &t, nil }),
		func(p *primaryKeys) **primaryTLSKeys { return &p.tls }),
}

var primaryList = strict.NotEmpty(strict.List(strict.Placed(primaryObject.Type("a primary")), maxPrimaries))

var secondaryObject = strict.Object[secondaryKeys]{
	strict.Required("primaries", "asked in this order, but for one that sent a notice", primaryList,
		func(s *secondaryKeys) *[]strict.At[primaryKeys] { return &s.primaries }),
}

var updateHosts = strict.NotEmpty(strict.OneOrList(strict.Placed(strict.Text(255)), maxHosts))

var catalogObject = strict.Object[catalogKeys]{
	strict.Required("primaries", "of the catalog, and of its members", primaryList, func(c *catalogKeys) *[]strict.At[primaryKeys] { return &c.primaries }),
	strict.Optional("groups", "where members of a group are copied from instead", "",
		strict.Map("group", strict.Text(255), secondaryObject.Type("primaries"), maxGroups),
		func(c *catalogKeys) *[]strict.Named[secondaryKeys] { return &c.groups }),
}

// transfers fills in what a zone says of other nameservers.
func (l *Loader) transfers(entry *strict.Named[zoneKeys], zone *Zone) {
	p, keys := &l.parser, &entry.Value
	if s := keys.secondary.Value; s != nil {
		zone.Copied = true
		zone.Secondary = l.primaries(fmt.Sprintf("zone %q", entry.Name), s.primaries)
	}
	if t := keys.transfer.Value; t != nil {
		zone.Transfer = &Transfer{Allow: t.allow, XoT: t.xot == xotRequired, Defaults: t.steered.Value == steeredDefaults}
		for _, n := range t.notify {
			zone.Transfer.Notify = append(zone.Transfer.Notify, n.Value)
		}
		switch steered := len(keys.steer) > 0; {
		case steered && !zone.Transfer.Defaults:
			p.warnings.Add(keys.transfer.Position, "zone %q: transfer: a zone that is steered is given to nobody without steered: %s, so whoever is to copy it gets nothing", entry.Name, steeredDefaults)
		case zone.Transfer.Defaults && !steered:
			p.mistakes.Add(t.steered.Position, "zone %q: transfer: steered: the zone has no steered names", entry.Name)
		case zone.Transfer.Defaults:
			if p.defaults++; p.defaults == maxContents+1 {
				p.mistakes.Add(t.steered.Position, "zone %q: transfer: more than %d zones go out as their default answers", entry.Name, maxContents)
			}
		}
	}
	for _, u := range keys.updates {
		key := UpdateKey{Key: u.Name}
		for _, host := range u.Value {
			name, err := domainName(host.Value, entry.Name)
			switch {
			case err != nil:
				p.mistakes.Add(host.Position, "zone %q: updates: %s %v", entry.Name, strict.Quote(host.Value), err)
			case !dns.IsSubDomain(entry.Name, name) || strings.Contains(name, "*"):
				p.mistakes.Add(host.Position, "zone %q: updates: %s is not the name of a host in the zone", entry.Name, strict.Quote(host.Value))
			default:
				key.Hosts = append(key.Hosts, name)
			}
		}
		slices.Sort(key.Hosts)
		key.Hosts = slices.Compact(key.Hosts)
		zone.Updates = append(zone.Updates, key)
	}
	slices.SortFunc(zone.Updates, func(a, b UpdateKey) int { return strings.Compare(a.Key, b.Key) })
	for i, u := range zone.Updates {
		if i > 0 && zone.Updates[i-1].Key == u.Key {
			p.mistakes.Add(entry.Position, "zone %q: updates: key %s stands twice", entry.Name, strict.Quote(u.Key))
		}
	}
}

// primaries returns the primaries that are configured, with the certificates that vouch for them.
func (l *Loader) primaries(context string, list []strict.At[primaryKeys]) (primaries []Primary) {
	for _, keys := range list {
		k := &keys.Value
		primary := Primary{Address: k.address, Key: k.key}
		if t := k.tls; t != nil {
			primary.TLS = &PrimaryTLS{Name: t.name, CA: t.ca.Value}
			if t.ca.Value != "" {
				var err error
				if primary.TLS.Roots, err = readAll(l.files, t.ca.Value); err != nil {
					l.parser.mistakes.Add(t.ca.Position, "%s: ca: %v", context, err)
				}
				l.sum.Write(primary.TLS.Roots)
			}
		}
		primaries = append(primaries, primary)
	}
	return primaries
}

func (l *Loader) listCatalogs() {
	p := &l.parser
	p.source.catalogs = byName(p, "catalog", p.source.catalogs, maxCatalogs)
	for _, entry := range p.source.catalogs {
		context := fmt.Sprintf("catalog %q", entry.Name)
		if isDefined(p.source.zones, entry.Name) {
			p.mistakes.Add(entry.Position, "%s: is one of the zones too", context)
		}
		catalog := Catalog{Apex: entry.Name, Primaries: l.primaries(context, entry.Value.primaries)}
		for _, group := range entry.Value.groups {
			catalog.Groups = append(catalog.Groups, CatalogGroup{group.Name, l.primaries(context, group.Value.primaries)})
		}
		slices.SortFunc(catalog.Groups, func(a, b CatalogGroup) int { return strings.Compare(a.Name, b.Name) })
		p.world.Catalogs = append(p.world.Catalogs, catalog)
	}
}

// warnOfCopies warns of copies that would answer otherwise than we do.
func (l *Loader) warnOfCopies() {
	for i := range l.parser.source.zones {
		entry, zone := &l.parser.source.zones[i], &l.parser.world.Zones[l.parser.zoneOf[i]]
		if zone.Transfer == nil || zone.Static == nil {
			continue
		}
		warn := func(format string, args ...any) {
			l.parser.warnings.Add(entry.Value.transfer.Position, "zone %q: transfer: "+format, append([]any{entry.Name}, args...)...)
		}
		if len(zone.Steer) > 0 {
			zone.targetsInNS(warn)
		}
		if expire := zone.expire(); zone.Sign != "" && expire > GivenLife {
			warn("expire %d of the SOA record lets a secondary keep a copy for longer than its signatures are good for, and resolvers that validate refuse what it then answers: make it %d at most",
				int(expire.Seconds()), int(GivenLife.Seconds()))
		}
	}
}

// targetsInNS warns of nameservers that resolvers ask and that are to copy a steered zone: the copy answers without health, place or
// controls.
func (z *Zone) targetsInNS(warn func(format string, args ...any)) {
	for _, address := range z.nameservers() {
		for _, target := range z.Transfer.Notify {
			if target.Address.Addr() == address {
				warn("notify: %v is one of its nameservers, and the zone is steered: from its copy it would answer alike to all clients, whatever is down", address)
			}
		}
		for _, grant := range z.Transfer.Allow {
			if grant.Prefix.IsValid() && grant.Prefix.Contains(address) {
				warn("allow: %v has %v, one of its nameservers, and the zone is steered: from its copy it would answer alike to all clients, whatever is down", grant.Prefix, address)
			}
		}
	}
}

// expire returns for how long a copy of the zone is good.
func (z *Zone) expire() time.Duration {
	soa, _ := z.Static.Find([]byte(z.Static.Apex)).Name.Set(dns.TypeSOA)
	records, _ := soa.RRs(z.Apex)
	for _, rr := range records {
		return time.Duration(rr.(*dns.SOA).Expire) * time.Second
	}
	return 0
}

// nameservers returns the addresses of the zone's nameservers that the zone itself has.
func (z *Zone) nameservers() (addresses []netip.Addr) {
	ns, _ := z.Static.Find([]byte(z.Static.Apex)).Name.Set(dns.TypeNS)
	records, _ := ns.RRs(z.Apex)
	for _, rr := range records {
		name, err := wireName(rr.(*dns.NS).Ns)
		if err != nil || !ends(name, []byte(z.Static.Apex)) {
			continue
		}
		m := z.Static.Find(name)
		if !m.Name.Exists() || m.Offset > 0 {
			continue
		}
		for _, rrtype := range familyTypes {
			set, _ := m.Name.Set(rrtype)
			rrs, _ := set.RRs(z.Apex)
			for _, rr := range rrs {
				var address netip.Addr
				switch rr := rr.(type) {
				case *dns.A:
					address, _ = netip.AddrFromSlice(rr.A)
				case *dns.AAAA:
					address, _ = netip.AddrFromSlice(rr.AAAA)
				}
				addresses = append(addresses, address.Unmap())
			}
		}
	}
	return addresses
}
