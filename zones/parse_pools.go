package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type poolKeys struct {
	Pool
	policy      strict.At[Policy]
	check       strict.At[string]
	ttl         strict.At[time.Duration]
	whenAllDown strict.At[AllDown]
	lastResort  strict.At[[]netip.Addr]
	members     []strict.At[memberKeys]
}

// Where the settings of a pool begin and end.
const (
	minSteeredTTL = 5 * time.Second
	maxSteeredTTL = 24 * time.Hour
	maxWeight     = 65535
	maxLastResort = 16
	maxPlaces     = 300 // countries, continents or subdivisions of a member
)

var poolObject = strict.Object[poolKeys]{
	strict.Required("policy", "how members are chosen", strict.Placed(strict.Enum("policy", Failover, Weighted, Geo, Latency)),
		func(p *poolKeys) *strict.At[Policy] { return &p.policy }),
	strict.Optional("check", "the check that probes the members; without one they are always up", "", strict.Placed(strict.Name[string]()),
		func(p *poolKeys) *strict.At[string] { return &p.check }),
	strict.Optional("ttl", "of the answers; whole seconds", "30s", strict.Placed(strict.Duration(minSteeredTTL, maxSteeredTTL)),
		func(p *poolKeys) *strict.At[time.Duration] { return &p.ttl }),
	strict.Optional("when_all_down", "what is answered when no member is available: as if all were up, the last_resort addresses, or no address",
		string(Open), strict.Placed(strict.Enum("value of when_all_down", Open, LastResort, NoData)),
		func(p *poolKeys) *strict.At[AllDown] { return &p.whenAllDown }),
	strict.Optional("last_resort", "the addresses of when_all_down: last_resort", "", strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Address(), maxLastResort))),
		func(p *poolKeys) *strict.At[[]netip.Addr] { return &p.lastResort }),
	strict.Optional("view", "whose verdicts count for a client: all regions', or those of the client's own region", string(Global),
		strict.Enum("view", Global, Regional), func(p *poolKeys) *View { return &p.View }),
	strict.Required("members", "the endpoints to choose from; with failover, first the one that is preferred",
		strict.NotEmpty(strict.List(strict.Placed(memberObject.Type("a member")), maxMembers)), func(p *poolKeys) *[]strict.At[memberKeys] { return &p.members }),
}

type memberKeys struct {
	endpoint     string
	region       strict.At[string]
	addresses    strict.At[[]netip.Addr]
	port         uint16
	weight       strict.At[int]
	control      strict.At[string]
	enabled      bool
	countries    strict.At[[]string]
	continents   strict.At[[]string]
	subdivisions strict.At[[]string]
	byDefault    strict.At[bool]
}

var memberObject = strict.Object[memberKeys]{
	strict.Required("endpoint", "its name, the same in every pool that it is in", strict.Name[string](),
		func(m *memberKeys) *string { return &m.endpoint }),
	strict.Required("region", "the region that it is in", strict.Placed(strict.Name[string]()),
		func(m *memberKeys) *strict.At[string] { return &m.region }),
	strict.Required("address", "an IPv4 address, an IPv6 address, or a list of one of each", strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Address(), maxLastResort))),
		func(m *memberKeys) *strict.At[[]netip.Addr] { return &m.addresses }),
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
	strict.Optional("default", "policy geo: it serves whoever no other member serves", "false", strict.Placed(strict.Bool()),
		func(m *memberKeys) *strict.At[bool] { return &m.byDefault }),
}

// A firstUse is a member that was the first with its endpoint's name.
type firstUse struct {
	member *Member
	strict.Position
}

func (p *parser) pools() {
	p.source.pools = byName(p, "pool", p.source.pools, maxPools)
	endpoints := map[string]firstUse{}
	for i := range p.source.pools {
		entry := &p.source.pools[i]
		keys := &entry.Value
		context := fmt.Sprintf("pool %q", entry.Name)
		pool := keys.Pool
		pool.Name, pool.Policy, pool.Check, pool.TTL = entry.Name, keys.policy.Value, keys.check.Value, keys.ttl.Value
		pool.WhenAllDown, pool.LastResort = keys.whenAllDown.Value, keys.lastResort.Value
		p.poolSettings(entry, context)
		used := map[string]bool{}
		for j := range keys.members {
			if member, ok := p.member(pool.Policy, keys.members[j], context); ok {
				at := keys.members[j].Position
				if used[member.Endpoint] {
					p.mistakes.Add(at, "%s: endpoint %q is in the pool twice", context, member.Endpoint)
					continue
				}
				used[member.Endpoint] = true
				pool.Members = append(pool.Members, member)
				p.sameEverywhere(endpoints, firstUse{&member, at}, context)
			}
		}
		p.poolMembers(entry, &pool, context)
		p.poolControls(&pool)
		p.world.Pools = append(p.world.Pools, pool)
	}
}

// poolSettings judges what does not depend on the members.
func (p *parser) poolSettings(entry *strict.Named[poolKeys], context string) {
	if entry.Value.View == Regional && entry.Value.policy.Value != Latency {
		p.mistakes.Add(entry.Position, "%s: view regional is only for policy latency, which knows a client's region", context)
	}
	keys := &entry.Value
	switch {
	case keys.check.Value == "":
		if !keys.check.Given() {
			p.warnings.Add(entry.Position, "%s: has no check, so its members are always up", context)
		}
	case !isDefined(p.source.checks, keys.check.Value):
		p.mistakes.Add(keys.check.Position, "%s: %s", context, strict.Unknown("check", keys.check.Value, namesOf(p.source.checks)))
	}
	if keys.ttl.Value%time.Second != 0 {
		p.mistakes.Add(keys.ttl.Position, "%s: ttl %v is not in whole seconds", context, keys.ttl.Value)
	}
	switch wanted := keys.whenAllDown.Value == LastResort; {
	case wanted && !keys.lastResort.Given():
		p.mistakes.Add(keys.whenAllDown.Position, "%s: when_all_down: last_resort needs the key last_resort, a list of addresses", context)
	case !wanted && keys.lastResort.Given():
		p.mistakes.Add(keys.lastResort.Position, "%s: last_resort is only used with when_all_down: last_resort", context)
	}
	p.addresses(keys.lastResort, context+": last_resort")
	for i, a := range keys.lastResort.Value {
		if slices.Contains(keys.lastResort.Value[:i], a) {
			p.mistakes.Add(keys.lastResort.Position, "%s: last_resort has %s twice", context, a)
		}
	}
}

// poolMembers judges the members together.
func (p *parser) poolMembers(entry *strict.Named[poolKeys], pool *Pool, context string) {
	var without [2][]string
	hasDefault, enabled := false, 0
	for i := range pool.Members {
		m := &pool.Members[i]
		hasDefault = hasDefault || m.Default
		if !m.Enabled {
			continue
		}
		enabled++
		for family := range m.Address {
			if !m.Address[family].IsValid() {
				without[family] = append(without[family], m.Endpoint)
			}
		}
	}
	if pool.Policy == Geo && !hasDefault && len(pool.Members) > 0 {
		p.mistakes.Add(entry.Position, "%s: no member has default: true, so clients from elsewhere would get no answer", context)
	}
	for family, endpoints := range without {
		if len(endpoints) > 0 && len(endpoints) < enabled {
			p.warnings.Add(entry.Position, "%s: %s no %s address and others do: whether a client gets one depends on where it is, and resolvers cache a missing one for all clients",
				context, namesHave(endpoints), [...]string{"IPv4", "IPv6"}[family])
		}
	}
	if len(pool.Members) > 0 && enabled == 0 {
		p.warnings.Add(entry.Position, "%s: no member is enabled", context)
	}
}

func namesHave(names []string) string {
	if len(names) == 1 {
		return names[0] + " has"
	}
	return strings.Join(names, ", ") + " have"
}

// member makes a member of its keys; ok is false where it has no name to speak of it by.
func (p *parser) member(policy Policy, entry strict.At[memberKeys], pool string) (m Member, ok bool) {
	keys := &entry.Value
	if keys.endpoint == "" {
		return m, false
	}
	context := fmt.Sprintf("%s: member %q", pool, keys.endpoint)
	m = Member{
		Endpoint: keys.endpoint, Region: geo.RegionID(keys.region.Value), Port: keys.port, Weight: keys.weight.Value, Enabled: keys.enabled,
		Control: control.ControlID(keys.control.Value), Default: keys.byDefault.Value,
		Countries: keys.countries.Value, Continents: keys.continents.Value, Subdivisions: keys.subdivisions.Value,
	}
	if keys.region.Given() {
		p.knownRegion(keys.region.Position, context, keys.region.Value)
	}
	if keys.control.Given() {
		p.knownControl(keys.control.Position, context, keys.control.Value)
	}
	p.addresses(keys.addresses, context)
	for _, a := range keys.addresses.Value {
		family := IPv4
		if a.Is6() {
			family = IPv6
		}
		if m.Address[family].IsValid() {
			p.mistakes.Add(keys.addresses.Position, "%s: has two %s addresses (an endpoint has at most one of each family: make every address an endpoint)",
				context, [...]string{"IPv4", "IPv6"}[family])
		}
		m.Address[family] = a
	}
	p.memberPolicy(policy, keys, entry.Position, context)
	return m, true
}

// memberPolicy judges the keys that only one policy has a use for.
func (p *parser) memberPolicy(policy Policy, keys *memberKeys, at strict.Position, context string) {
	if keys.weight.Given() && policy != Weighted && policy != "" {
		p.mistakes.Add(keys.weight.Position, "%s: weight is only for policy weighted, not %s", context, policy)
	}
	places := []struct {
		key   string
		value strict.At[[]string]
	}{{"countries", keys.countries}, {"continents", keys.continents}, {"subdivisions", keys.subdivisions}}
	serves := keys.byDefault.Value
	for _, place := range places {
		serves = serves || place.value.Given()
		if place.value.Given() && policy != Geo && policy != "" {
			p.mistakes.Add(place.value.Position, "%s: %s is only for policy geo, not %s", context, place.key, policy)
		}
		for i, name := range place.value.Value {
			if slices.Contains(place.value.Value[:i], name) {
				p.mistakes.Add(place.value.Position, "%s: %s has %s twice", context, place.key, name)
			}
		}
	}
	switch {
	case keys.byDefault.Given() && policy != Geo && policy != "":
		p.mistakes.Add(keys.byDefault.Position, "%s: default is only for policy geo, not %s", context, policy)
	case policy == Geo && !serves:
		p.mistakes.Add(at, "%s: serves no place (give it countries, continents, subdivisions or default: true)", context)
	}
}

// addresses notes those that no client can connect to.
func (p *parser) addresses(list strict.At[[]netip.Addr], context string) {
	for _, a := range list.Value {
		if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			p.mistakes.Add(list.Position, "%s: %s is not the address of a host", context, a)
		}
	}
}

// sameEverywhere notes an endpoint that is not the same thing as in an earlier pool: checks go by the endpoint's name.
func (p *parser) sameEverywhere(endpoints map[string]firstUse, use firstUse, context string) {
	m := use.member
	if m.Region == "" || m.Address == [2]netip.Addr{} {
		return // its mistake is noted
	}
	first, known := endpoints[m.Endpoint]
	if !known {
		endpoints[m.Endpoint] = use
		return
	}
	differs := ""
	switch {
	case m.Region != first.member.Region:
		differs = "region"
	case m.Address != first.member.Address:
		differs = "address"
	case m.Port != first.member.Port:
		differs = "port"
	default:
		return
	}
	p.mistakes.Add(use.Position, "%s: endpoint %q has another %s than at %s (one name is one endpoint)", context, m.Endpoint, differs, first.Position)
}
