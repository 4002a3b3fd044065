package zones

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type memberKeys struct {
	endpoint     strict.At[string]
	pool         strict.At[string]
	region       strict.At[string]
	addresses    strict.At[[]netip.Addr]
	cname        strict.At[string]
	srv          strict.At[*TargetData]
	mx           strict.At[*TargetData]
	probe        strict.At[netip.Addr]
	port         uint16
	weight       strict.At[int]
	control      strict.At[string]
	enabled      bool
	countries    strict.At[[]string]
	continents   strict.At[[]string]
	subdivisions strict.At[[]string]
	prefixes     strict.At[[]netip.Prefix]
	asns         strict.At[[]uint32]
	byDefault    strict.At[bool]
	fence        strict.At[bool]
	fenced       strict.At[[]netip.Addr] // the zero one: NODATA
	bias         strict.At[int]
	capacity     strict.At[Capacity]
}

func (m *memberKeys) name() string { return cmp.Or(m.endpoint.Value, m.pool.Value) }

var memberObject = strict.Object[memberKeys]{
	strict.Optional("endpoint", "its name, the same in every pool that it is in. Either this or pool is needed", "", strict.Attempted(strict.Name[string]()),
		func(m *memberKeys) *strict.At[string] { return &m.endpoint }),
	strict.Optional("pool", "the pool that is the member, with all its members; it is available when min_up of these are", "", strict.Attempted(strict.Name[string]()),
		func(m *memberKeys) *strict.At[string] { return &m.pool }),
	strict.Optional("region", "the region that it is in; required for an endpoint, and for a pool where the policy is geoproximity or latency", "", strict.Attempted(strict.Name[string]()),
		func(m *memberKeys) *strict.At[string] { return &m.region }),
	strict.Optional("address", "an IPv4 address, an IPv6 address, or a list of one of each. An endpoint needs this, or else cname, srv or mx like all of its pool", "",
		strict.Attempted(strict.NotEmpty(strict.OneOrList(strict.Address(), maxLastResort))), func(m *memberKeys) *strict.At[[]netip.Addr] { return &m.addresses }),
	strict.Optional("cname", "the name that the steered name is an alias of, in place of an address", "", strict.Attempted(targetName),
		func(m *memberKeys) *strict.At[string] { return &m.cname }),
	strict.Optional("srv", "the SRV record (RFC 2782) of the steered name, in place of an address", "",
		strict.Attempted(strict.Convert(srvObject.Type("an SRV record"), "an SRV record", func(t TargetData) (*TargetData, error) { return &t, nil })),
		func(m *memberKeys) *strict.At[*TargetData] { return &m.srv }),
	strict.Optional("mx", "the MX record of the steered name, in place of an address", "",
		strict.Attempted(strict.Convert(mxObject.Type("an MX record"), "an MX record", func(t TargetData) (*TargetData, error) { return &t, nil })),
		func(m *memberKeys) *strict.At[*TargetData] { return &m.mx }),
	strict.Optional("probe", "the address that the check probes, instead of what is answered", "", strict.Placed(strict.Address()),
		func(m *memberKeys) *strict.At[netip.Addr] { return &m.probe }),
	strict.Optional("port", "that is probed, instead of the check's", "", strict.Port(),
		func(m *memberKeys) *uint16 { return &m.port }),
	strict.Optional("weight", "policy weighted: its share, relative to the others'; 0 is standby", "1", strict.Placed(strict.Integer(0, maxWeight)),
		func(m *memberKeys) *strict.At[int] { return &m.weight }),
	strict.Optional("control", "the routing control that must be on for it to be answered", "", strict.Placed(strict.Name[string]()),
		func(m *memberKeys) *strict.At[string] { return &m.control }),
	strict.Optional("enabled", "false takes it out of the answers", "true", strict.Bool(),
		func(m *memberKeys) *bool { return &m.enabled }),
	strict.Optional("countries", "policy geo: the countries that it serves", "",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Parsed("country (ISO 3166-1, such as DE)", country), maxPlaces))),
		func(m *memberKeys) *strict.At[[]string] { return &m.countries }),
	strict.Optional("continents", "policy geo: the continents that it serves", "",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Enum("continent", continents[:]...), maxPlaces))),
		func(m *memberKeys) *strict.At[[]string] { return &m.continents }),
	strict.Optional("subdivisions", "policy geo: the states or provinces that it serves", "",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Parsed("subdivision (ISO 3166-2, such as US-CA)", subdivision), maxPlaces))),
		func(m *memberKeys) *strict.At[[]string] { return &m.subdivisions }),
	strict.Optional("prefixes", "policy cidr: the prefixes that it serves; of several around a client the longest decides. One in private space counts, too", "",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Prefix(), maxListedPrefixes))),
		func(m *memberKeys) *strict.At[[]netip.Prefix] { return &m.prefixes }),
	strict.Optional("asns", "policy cidr: the AS numbers that it serves, where no listed prefix decides; places have them from a database with AS numbers", "",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Parsed("AS number, such as 64500", asNumber), maxListedPrefixes))),
		func(m *memberKeys) *strict.At[[]uint32] { return &m.asns }),
	strict.Optional("default", "policy geo, cidr: it serves whoever no other member serves", "false", strict.Placed(strict.Bool()),
		func(m *memberKeys) *strict.At[bool] { return &m.byDefault }),
	strict.Optional("fence", "policy geo, cidr: whoever it serves is served by no member that matches less; when it is not available, fenced is answered", "false", strict.Placed(strict.Bool()),
		func(m *memberKeys) *strict.At[bool] { return &m.fence }),
	strict.Optional("fenced", "the addresses that are answered then; nodata is a denial that is kept for 5 s", "",
		strict.Attempted(strict.NotEmpty(strict.OneOrList(strict.Parsed("IP address, or nodata", fencedWord), maxLastResort))),
		func(m *memberKeys) *strict.At[[]netip.Addr] { return &m.fenced }),
	strict.Optional("bias", "policy geoproximity: by how many percent its region is taken for nearer than it is; less than 0 is farther", "0", strict.Placed(strict.Integer(-maxBias, maxBias)),
		func(m *memberKeys) *strict.At[int] { return &m.bias }),
	strict.Optional("capacity", "how much it can take: a percentage of all answers from the pool, or requests per second as the gateways count them. Clients for which it has no room are answered the next one", "",
		strict.Placed(strict.Parsed("percentage such as 40%, or requests per second", parseCapacity)), func(m *memberKeys) *strict.At[Capacity] { return &m.capacity }),
}

var srvObject = strict.Object[TargetData]{
	strict.Optional("priority", "the lowest is tried first", "0", unsigned16, func(t *TargetData) *uint16 { return &t.Priority }),
	strict.Optional("weight", "its share among those of its priority in one answer", "0", unsigned16, func(t *TargetData) *uint16 { return &t.Weight }),
	strict.Required("port", "that the service is at", strict.Port(), func(t *TargetData) *uint16 { return &t.Port }),
	strict.Required("target", "the host", targetName, func(t *TargetData) *string { return &t.Name }),
}

var mxObject = strict.Object[TargetData]{
	strict.Optional("preference", "the lowest is tried first", "10", unsigned16, func(t *TargetData) *uint16 { return &t.Priority }),
	strict.Required("target", "the mail exchanger", targetName, func(t *TargetData) *string { return &t.Name }),
}

var unsigned16 = strict.Convert(strict.Integer(0, 65535), "integer from 0 to 65535", func(n int) (uint16, error) { return uint16(n), nil })

// targetName is the name of a host elsewhere, with or without its final dot.
var targetName = strict.Parsed("host name, such as host.example.net", func(text string) (string, error) {
	name, err := domainName(text, "")
	if err == nil && name == "." {
		err = errors.New("is the root")
	}
	return name, err
})

func asNumber(text string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "AS"), 10, 32)
	if err != nil || n == 0 {
		return 0, errors.New("is not an AS number from 1 to 4294967295")
	}
	return uint32(n), nil
}

// fencedWord is an address, or the zero one for no answer.
func fencedWord(text string) (a netip.Addr, err error) {
	if text == string(NoData) {
		return a, nil
	}
	if a, err = netip.ParseAddr(text); err != nil || a.Zone() != "" || a.Is4In6() {
		return a, errors.New("is neither an IP address nor nodata")
	}
	return a, nil
}

// member makes a member of its keys; ok is false where it has no name to speak of it by.
func (p *parser) member(pool *Pool, entry strict.At[memberKeys], around string) (m Member, ok bool) {
	keys := &entry.Value
	switch {
	case keys.endpoint.Value == "" && keys.pool.Value == "":
		if !keys.endpoint.Given() && !keys.pool.Given() {
			p.mistakes.Add(entry.Position, "%s: a member has the key endpoint, or the key pool", around)
		}
		return m, false
	case keys.endpoint.Given() && keys.pool.Given():
		p.mistakes.Add(entry.Position, "%s: member %q is either an endpoint or a pool", around, keys.name())
		return m, false
	}
	context := fmt.Sprintf("%s: member %q", around, keys.name())
	m = Member{
		Endpoint: keys.endpoint.Value, Pool: keys.pool.Value, Region: geo.RegionID(keys.region.Value), Port: keys.port, Weight: keys.weight.Value, Enabled: keys.enabled,
		Control: control.ControlID(keys.control.Value), Default: keys.byDefault.Value, Probe: keys.probe.Value, Bias: keys.bias.Value, Capacity: keys.capacity.Value,
		Countries: keys.countries.Value, Continents: keys.continents.Value, Subdivisions: keys.subdivisions.Value, Prefixes: keys.prefixes.Value, ASNs: keys.asns.Value,
	}
	if keys.region.Value != "" {
		p.knownRegion(keys.region.Position, context, keys.region.Value)
	} else if !keys.region.Given() && (m.Endpoint != "" || pool.Policy == Latency || pool.Policy == Geoproximity) {
		p.mistakes.Add(entry.Position, "%s: missing key region (the region that it is in)", context)
	}
	if keys.control.Given() {
		p.knownControl(keys.control.Position, context, keys.control.Value)
	}
	if m.Endpoint == "" {
		p.onlyOfEndpoints(keys, context)
	} else {
		p.endpoint(pool, &m, entry, context)
	}
	p.memberPolicy(pool.Policy, &m, keys, entry.Position, context)
	return m, true
}

// onlyOfEndpoints notes keys that a pool in a pool has of its own.
func (p *parser) onlyOfEndpoints(keys *memberKeys, context string) {
	for _, key := range []struct {
		name string
		at   strict.Position
	}{{"address", keys.addresses.Position}, {"cname", keys.cname.Position}, {"srv", keys.srv.Position}, {"mx", keys.mx.Position}, {"probe", keys.probe.Position}} {
		if key.at.Line != 0 {
			p.mistakes.Add(key.at, "%s: %s is only for endpoints: a pool has its own members", context, key.name)
		}
	}
}

// endpoint makes what an endpoint answers and where it is probed.
func (p *parser) endpoint(pool *Pool, m *Member, entry strict.At[memberKeys], context string) {
	keys := &entry.Value
	var kinds []Kind
	for kind, given := range map[Kind]bool{Addresses: keys.addresses.Given(), Aliases: keys.cname.Given(), Servers: keys.srv.Given(), Mailers: keys.mx.Given()} {
		if given {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) == 0:
		p.mistakes.Add(entry.Position, "%s: missing key address (an IPv4 address, an IPv6 address, or a list of one of each; or instead of it cname, srv or mx)", context)
		return
	case len(kinds) > 1:
		slices.Sort(kinds)
		p.mistakes.Add(entry.Position, "%s: has %s: an endpoint has one of them", context, orList(kinds))
		return
	case pool.Kind == "":
		pool.Kind = kinds[0]
	case pool.Kind != kinds[0]:
		p.mistakes.Add(entry.Position, "%s: has the key %s, and members before it have %s: those of a pool are alike", context, kinds[0], pool.Kind)
		return
	}
	switch kinds[0] {
	case Addresses:
		p.address(m, keys, context)
		return
	case Aliases:
		if keys.cname.Value != "" {
			m.Target = &TargetData{Name: keys.cname.Value}
		}
	case Servers:
		m.Target = keys.srv.Value
	case Mailers:
		m.Target = keys.mx.Value
	}
	if pool.Check != "" && !keys.probe.Given() {
		p.mistakes.Add(entry.Position, "%s: needs the key probe, the address that check %q probes, as the answer is the name of a host", context, pool.Check)
	}
}

func (p *parser) address(m *Member, keys *memberKeys, context string) {
	p.hosts(keys.addresses, context)
	for _, a := range keys.addresses.Value {
		family := IPv4
		if a.Is6() {
			family = IPv6
		}
		if m.Address[family].IsValid() {
			p.mistakes.Add(keys.addresses.Position, "%s: has two %s addresses (an endpoint has at most one of each family: make every address an endpoint)",
				context, familyWords[family])
		}
		m.Address[family] = a
	}
}

// memberPolicy judges the keys that only some policies have a use for.
func (p *parser) memberPolicy(policy Policy, m *Member, keys *memberKeys, at strict.Position, context string) {
	if policy == "" {
		return // its mistake is noted
	}
	only := func(given bool, at strict.Position, key string, policies ...Policy) {
		if given && !slices.Contains(policies, policy) {
			p.mistakes.Add(at, "%s: %s is only for policy %s, not %s", context, key, orList(policies), policy)
		}
	}
	only(keys.weight.Given(), keys.weight.Position, "weight", Weighted)
	only(keys.bias.Given(), keys.bias.Position, "bias", Geoproximity)
	only(keys.byDefault.Given(), keys.byDefault.Position, "default", Geo, CIDR)
	only(keys.fence.Given(), keys.fence.Position, "fence", Geo, CIDR)
	only(keys.prefixes.Given(), keys.prefixes.Position, "prefixes", CIDR)
	only(keys.asns.Given(), keys.asns.Position, "asns", CIDR)
	matches := keys.prefixes.Given() || keys.asns.Given()
	for _, place := range []struct {
		key   string
		value strict.At[[]string]
	}{{"countries", keys.countries}, {"continents", keys.continents}, {"subdivisions", keys.subdivisions}} {
		matches = matches || place.value.Given()
		only(place.value.Given(), place.value.Position, place.key, Geo)
		for i, name := range place.value.Value {
			if slices.Contains(place.value.Value[:i], name) {
				p.mistakes.Add(place.value.Position, "%s: %s has %s twice", context, place.key, name)
			}
		}
	}
	switch {
	case policy == Geo && !matches && !keys.byDefault.Value:
		p.mistakes.Add(at, "%s: serves no place (give it countries, continents, subdivisions or default: true)", context)
	case policy == CIDR && !matches && !keys.byDefault.Value:
		p.mistakes.Add(at, "%s: serves no client (give it prefixes, asns or default: true)", context)
	}
	p.fence(policy, m, keys, matches, context)
}

func (p *parser) fence(policy Policy, m *Member, keys *memberKeys, matches bool, context string) {
	fence := keys.fence.Value
	switch {
	case fence && !keys.fenced.Given():
		p.mistakes.Add(keys.fence.Position, "%s: fence: true needs the key fenced: the addresses that are answered when it is not available, or nodata", context)
	case !fence && keys.fenced.Given():
		p.mistakes.Add(keys.fenced.Position, "%s: fenced is only used with fence: true", context)
	case fence && !matches && (policy == Geo || policy == CIDR):
		p.mistakes.Add(keys.fence.Position, "%s: fence: nothing matches less than the default", context)
	}
	fenced := keys.fenced
	if slices.Contains(fenced.Value, netip.Addr{}) {
		if len(fenced.Value) > 1 {
			p.mistakes.Add(fenced.Position, "%s: fenced: nodata stands alone", context)
		}
		fenced.Value = nil
	}
	p.hosts(fenced, context+": fenced")
	if fence && (policy == Geo || policy == CIDR) {
		m.Fence = &Fence{Addresses: fenced.Value}
	}
}

// hosts notes addresses that no client can connect to, and those that stand twice.
func (p *parser) hosts(list strict.At[[]netip.Addr], context string) {
	for i, a := range list.Value {
		switch {
		case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			p.mistakes.Add(list.Position, "%s: %s is not the address of a host", context, a)
		case slices.Contains(list.Value[:i], a):
			p.mistakes.Add(list.Position, "%s: has %s twice", context, a)
		}
	}
}

// sameEverywhere notes an endpoint that is not the same thing as in an earlier pool: checks go by the endpoint's name.
func (p *parser) sameEverywhere(endpoints map[string]firstUse, use firstUse, context string) {
	m := use.member
	if m.Region == "" || m.Address == [2]netip.Addr{} && m.Target == nil {
		return // its mistake is noted
	}
	first, known := endpoints[m.Endpoint]
	if !known {
		endpoints[m.Endpoint] = use
		return
	}
	differs := ""
	switch other := first.member; {
	case m.Region != other.Region:
		differs = "region"
	case m.Address != other.Address:
		differs = "address"
	case (m.Target == nil) != (other.Target == nil) || m.Target != nil && *m.Target != *other.Target:
		differs = "target"
	case m.Probe != other.Probe:
		differs = "probe"
	case m.Port != other.Port:
		differs = "port"
	default:
		return
	}
	p.mistakes.Add(use.Position, "%s: endpoint %q has another %s than at %s (one name is one endpoint)", context, m.Endpoint, differs, first.Position)
}
