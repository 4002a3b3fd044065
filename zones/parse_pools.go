package zones

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/zones/strict"
)

type poolKeys struct {
	policy      strict.At[Policy]
	check       strict.At[string]
	ttl         strict.At[time.Duration]
	answers     strict.At[int]
	sticky      strict.At[stickiness]
	minUp       strict.At[MinUp]
	whenAllDown strict.At[AllDown]
	lastResort  strict.At[[]netip.Addr]
	view        strict.At[View]
	failback    strict.At[Failback]
	slowStart   strict.At[time.Duration]
	explore     strict.At[float64]
	https       strict.At[*HTTPS]
	members     []strict.At[memberKeys]
}

// A stickiness says what decides between members that are equally good.
type stickiness string

const (
	stickyNone   stickiness = "none"
	stickyPrefix stickiness = "prefix"
)

// Where the settings of a pool begin and end.
const (
	minSteeredTTL     = 5 * time.Second
	maxSteeredTTL     = 24 * time.Hour
	longSteeredTTL    = 60 * time.Second // more keeps clients at what is down for longer than it took to notice
	maxAnswers        = 32
	multivalueAnswers = 8
	maxSlowStart      = time.Hour
	maxExplore        = 1.0 // percent
	maxWeight         = 65535
	maxLastResort     = 16
	maxPlaces         = 300  // countries, continents or subdivisions of a member
	maxListedPrefixes = 1000 // of a member
	maxBias           = 99
	maxALPN           = 16
	maxLeaves         = 256 // endpoints of a pool and of the pools in it
	maxNesting        = 8
)

var poolObject = strict.Object[poolKeys]{
	strict.Required("policy", "how members are chosen", strict.Placed(strict.Enum("policy", Failover, Weighted, Geo, Geoproximity, Latency, CIDR, Multivalue)),
		func(p *poolKeys) *strict.At[Policy] { return &p.policy }),
	strict.Optional("check", "the check that probes the members; without one they are always up", "", strict.Placed(strict.Name[string]()),
		func(p *poolKeys) *strict.At[string] { return &p.check }),
	strict.Optional("ttl", "of the answers; whole seconds. In pools within pools the shortest on the way to an endpoint holds", "30s", strict.Placed(strict.Duration(minSteeredTTL, maxSteeredTTL)),
		func(p *poolKeys) *strict.At[time.Duration] { return &p.ttl }),
	strict.Optional("answers", "how many members an answer has at most; policy multivalue: 8 if it is not given. Failover, geoproximity and latency go on with the next best", "1",
		strict.Placed(strict.Integer(1, maxAnswers)), func(p *poolKeys) *strict.At[int] { return &p.answers }),
	strict.Optional("sticky", "what decides between members that are equally good: chance, or the client's prefix (/24, /48), which then keeps its member as long as that is available", string(stickyNone),
		strict.Placed(strict.Enum("value of sticky", stickyNone, stickyPrefix)), func(p *poolKeys) *strict.At[stickiness] { return &p.sticky }),
	strict.Optional("min_up", "how many members must be up, of each family: with fewer, the pool is not available to the pool that it is a member of, and one that is answered from says so", "1",
		strict.Placed(strict.Parsed("number, or percentage such as 50%", minUp)), func(p *poolKeys) *strict.At[MinUp] { return &p.minUp }),
	strict.Optional("when_all_down", "what is answered when no member is available: as if all were up, the last_resort addresses, or no address",
		string(Open), strict.Placed(strict.Enum("value of when_all_down", Open, LastResort, NoData)),
		func(p *poolKeys) *strict.At[AllDown] { return &p.whenAllDown }),
	strict.Optional("last_resort", "the addresses of when_all_down: last_resort", "", strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Address(), maxLastResort))),
		func(p *poolKeys) *strict.At[[]netip.Addr] { return &p.lastResort }),
	strict.Optional("view", "whose verdicts count for a client: all regions', or those of the client's own region", string(Global),
		strict.Placed(strict.Enum("view", Global, Regional)), func(p *poolKeys) *strict.At[View] { return &p.view }),
	strict.Optional("failback", "policy failover: how clients return to a preferred member that has come back: at once, when somebody resumes it (meridian pool resume), or by and by over slow_start", string(FailbackAuto),
		strict.Placed(strict.Enum("value of failback", FailbackAuto, FailbackManual, FailbackRamp)), func(p *poolKeys) *strict.At[Failback] { return &p.failback }),
	strict.Optional("slow_start", "how long a member that comes back takes from 10 % to all of the prefixes that are its share; policy failover: only with failback: ramp. 0s: it has them at once", "120s",
		strict.Placed(strict.Duration(0, maxSlowStart)), func(p *poolKeys) *strict.At[time.Duration] { return &p.slowStart }),
	strict.Optional("explore", "policy latency: to how many percent of the prefixes a region is answered that may be nearer than is known, so that it is measured", "0",
		strict.Placed(strict.Decimal(0, maxExplore)), func(p *poolKeys) *strict.At[float64] { return &p.explore }),
	strict.Optional("https", "the HTTPS records (RFC 9460) of the names that are answered from the pool; without it there are none but those of the zone file", "",
		strict.Placed(strict.Convert(httpsObject.Type("what they say"), "what they say", func(h HTTPS) (*HTTPS, error) { return &h, nil })),
		func(p *poolKeys) *strict.At[*HTTPS] { return &p.https }),
	strict.Required("members", "the endpoints and pools to choose from; with failover, first the one that is preferred",
		strict.NotEmpty(strict.List(strict.Placed(memberObject.Type("a member")), maxMembers)), func(p *poolKeys) *[]strict.At[memberKeys] { return &p.members }),
}

var httpsObject = strict.Object[HTTPS]{
	strict.Optional("alpn", "the protocols that the endpoints speak, such as h2 and h3", "", strict.NotEmpty(strict.OneOrList(strict.Parsed("protocol, such as h2", protocol), maxALPN)),
		func(h *HTTPS) *[]string { return &h.ALPN }),
	strict.Optional("port", "that they listen on; without it 443", "", strict.Port(), func(h *HTTPS) *uint16 { return &h.Port }),
}

// protocol is an ALPN identifier (RFC 7301, section 3.1) in printable ASCII.
func protocol(text string) (string, error) {
	if text == "" || len(text) > 32 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '"' || r == '\\' }) {
		return "", errors.New("is not a protocol's identifier (RFC 7301, such as h2)")
	}
	return text, nil
}

func minUp(text string) (m MinUp, err error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 1 || strconv.Itoa(n) != digits, percent && n > 100, !percent && n > maxMembers:
		return m, fmt.Errorf("is neither a number from 1 to %d nor a percentage from 1%% to 100%%", maxMembers)
	case percent:
		return MinUp{Percent: n}, nil
	}
	return MinUp{Count: n}, nil
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
		pool := Pool{
			Name: entry.Name, Policy: keys.policy.Value, Check: keys.check.Value, TTL: keys.ttl.Value, Answers: keys.answers.Value,
			Sticky: keys.sticky.Value == stickyPrefix, MinUp: keys.minUp.Value, WhenAllDown: keys.whenAllDown.Value, LastResort: keys.lastResort.Value,
			View: keys.view.Value, Failback: keys.failback.Value, SlowStart: keys.slowStart.Value, Explore: int(keys.explore.Value * 10), HTTPS: keys.https.Value,
		}
		if pool.Policy == Multivalue && !keys.answers.Given() {
			pool.Answers = multivalueAnswers
		}
		p.poolSettings(entry, context)
		used := map[string]bool{}
		for j := range keys.members {
			member, ok := p.member(&pool, keys.members[j], context)
			if !ok {
				continue
			}
			at := keys.members[j].Position
			what := "endpoint"
			if member.Endpoint == "" {
				what = "pool"
			}
			if name := what + " " + strict.Quote(member.Name()); used[name] {
				p.mistakes.Add(at, "%s: %s is in the pool twice", context, name)
				continue
			} else {
				used[name] = true
			}
			pool.Members = append(pool.Members, member)
			if member.Endpoint != "" {
				p.sameEverywhere(endpoints, firstUse{&member, at}, context)
			}
		}
		p.poolMembers(entry, &pool, context)
		p.world.Pools = append(p.world.Pools, pool)
	}
	p.nesting()
	for i := range p.world.Pools {
		p.poolControls(&p.world.Pools[i])
	}
}

// poolSettings judges what does not depend on the members.
func (p *parser) poolSettings(entry *strict.Named[poolKeys], context string) {
	keys := &entry.Value
	switch {
	case keys.check.Value == "":
		if !keys.check.Given() && !onlyPools(keys.members) {
			p.warnings.Add(entry.Position, "%s: has no check, so its members count as up and are answered even when they are dead", context)
		}
	case !isDefined(p.source.checks, keys.check.Value):
		p.mistakes.Add(keys.check.Position, "%s: %s", context, strict.Unknown("check", keys.check.Value, namesOf(p.source.checks)))
	}
	if keys.ttl.Value%time.Second != 0 {
		p.mistakes.Add(keys.ttl.Position, "%s: ttl %v is not in whole seconds", context, keys.ttl.Value)
	}
	if keys.ttl.Value > longSteeredTTL && keys.check.Value != "" {
		p.warnings.Add(keys.ttl.Position, "%s: with a ttl of %v resolvers answer with an endpoint for that long after it is found down", context, keys.ttl.Value)
	}
	switch wanted := keys.whenAllDown.Value == LastResort; {
	case wanted && !keys.lastResort.Given():
		p.mistakes.Add(keys.whenAllDown.Position, "%s: when_all_down: last_resort needs the key last_resort, a list of addresses", context)
	case !wanted && keys.lastResort.Given():
		p.mistakes.Add(keys.lastResort.Position, "%s: last_resort is only used with when_all_down: last_resort", context)
	}
	p.hosts(keys.lastResort, context+": last_resort")
	p.poolPolicy(keys, context)
}

func onlyPools(members []strict.At[memberKeys]) bool {
	return !slices.ContainsFunc(members, func(m strict.At[memberKeys]) bool { return !m.Value.pool.Given() })
}

// poolPolicy judges the keys that only some policies have a use for.
func (p *parser) poolPolicy(keys *poolKeys, context string) {
	policy := keys.policy.Value
	if policy == "" {
		return // its mistake is noted
	}
	only := func(given bool, at strict.Position, key string, policies ...Policy) {
		if given && !slices.Contains(policies, policy) {
			p.mistakes.Add(at, "%s: %s is only for policy %s, not %s", context, key, orList(policies), policy)
		}
	}
	only(keys.failback.Given(), keys.failback.Position, "failback", Failover)
	only(keys.explore.Given(), keys.explore.Position, "explore", Latency)
	if keys.failback.Value == FailbackManual && slices.ContainsFunc(keys.members, func(m strict.At[memberKeys]) bool { return m.Value.pool.Given() }) {
		p.mistakes.Add(keys.failback.Position, "%s: failback: manual is for pools of endpoints: a pool in it comes back by its own members", context)
	}
	if keys.slowStart.Given() && policy == Failover && keys.failback.Value != FailbackRamp {
		p.mistakes.Add(keys.slowStart.Position, "%s: slow_start is only used with failback: ramp where the policy is failover", context)
	}
	if keys.sticky.Value == stickyPrefix && policy == Failover {
		p.mistakes.Add(keys.sticky.Position, "%s: sticky: policy failover leaves no choice between members", context)
	}
}

func orList[S ~string](words []S) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	if n := len(texts); n > 1 {
		return strings.Join(texts[:n-1], ", ") + " or " + texts[n-1]
	}
	return strings.Join(texts, "")
}

// poolMembers judges the members together.
func (p *parser) poolMembers(entry *strict.Named[poolKeys], pool *Pool, context string) {
	keys := &entry.Value
	hasDefault, hasFence, enabled := false, false, 0
	for i := range pool.Members {
		m := &pool.Members[i]
		hasDefault, hasFence = hasDefault || m.Default, hasFence || m.Fence != nil
		if m.Enabled {
			enabled++
		}
	}
	switch all := len(pool.Members); {
	case all == 0:
		return
	case enabled == 0:
		p.warnings.Add(entry.Position, "%s: no member is enabled, so nobody gets an address from it but those of last_resort", context)
	case pool.MinUp.Count > all:
		p.mistakes.Add(keys.minUp.Position, "%s: min_up: %d of %d members can never be up", context, pool.MinUp.Count, all)
	}
	if pool.Policy == Geo || pool.Policy == CIDR {
		switch {
		case hasDefault:
		case hasFence:
			p.warnings.Add(entry.Position, "%s: no member has default: true, so clients from elsewhere get no answer", context)
		default:
			p.mistakes.Add(entry.Position, "%s: no member has default: true, so clients from elsewhere would get no answer", context)
		}
	}
	if all := len(pool.Members); keys.answers.Given() && pool.Answers > all && onlyEndpoints(pool) {
		p.warnings.Add(keys.answers.Position, "%s: answers: %d, but there are %d members, so every answer has all of them and the policy decides nothing", context, pool.Answers, all)
	}
	p.poolWeights(entry, pool, context)
	p.poolFamilies(entry, pool, context)
	p.poolPrefixes(keys, context)
}

func onlyEndpoints(pool *Pool) bool {
	return !slices.ContainsFunc(pool.Members, func(m Member) bool { return m.Endpoint == "" })
}

// poolWeights warns of weights that mean nothing.
func (p *parser) poolWeights(entry *strict.Named[poolKeys], pool *Pool, context string) {
	if pool.Policy != Weighted {
		return
	}
	some := slices.ContainsFunc(pool.Members, func(m Member) bool { return m.Enabled && m.Weight > 0 })
	switch {
	case len(pool.Members) == 1:
		p.warnings.Add(entry.Position, "%s: has one member, which gets all answers, so its weight decides nothing", context)
	case !some:
		p.warnings.Add(entry.Position, "%s: every weight is 0, so all members are standbys with equal shares, and none is kept in reserve", context)
	}
}

// poolFamilies warns of a family that only some members have.
func (p *parser) poolFamilies(entry *strict.Named[poolKeys], pool *Pool, context string) {
	var without [2][]string
	endpoints := 0
	for i := range pool.Members {
		m := &pool.Members[i]
		if !m.Enabled || m.Endpoint == "" || m.Target != nil {
			continue
		}
		endpoints++
		for family := range m.Address {
			if !m.Address[family].IsValid() {
				without[family] = append(without[family], m.Endpoint)
			}
		}
	}
	for family, names := range without {
		if len(names) > 0 && len(names) < endpoints {
			p.warnings.Add(entry.Position, "%s: %s no %s address and others do: whether a client gets one depends on where it is, and resolvers cache a missing one for all clients",
				context, namesHave(names), familyWords[family])
		}
	}
}

var familyWords = [...]string{"IPv4", "IPv6"}

func namesHave(names []string) string {
	if len(names) == 1 {
		return names[0] + " has"
	}
	return strings.Join(names, ", ") + " have"
}

// poolPrefixes notes prefixes and AS numbers that two members serve, and warns of prefixes within another's.
func (p *parser) poolPrefixes(keys *poolKeys, context string) {
	prefixes, numbers := map[netip.Prefix]string{}, map[uint32]string{}
	for i := range keys.members {
		m := &keys.members[i].Value
		for _, prefix := range m.prefixes.Value {
			if other, twice := prefixes[prefix]; twice {
				p.mistakes.Add(m.prefixes.Position, "%s: prefix %v is listed by %s and by %s", context, prefix, other, m.name())
			}
			prefixes[prefix] = m.name()
		}
		for _, n := range m.asns.Value {
			if other, twice := numbers[n]; twice {
				p.mistakes.Add(m.asns.Position, "%s: AS number %d is listed by %s and by %s", context, n, other, m.name())
			}
			numbers[n] = m.name()
		}
	}
	for i := range keys.members {
		m := &keys.members[i].Value
		for _, prefix := range m.prefixes.Value {
			for bits := prefix.Bits() - 1; bits >= 0; bits-- {
				around, _ := prefix.Addr().Prefix(bits)
				if other, ok := prefixes[around]; ok && other != m.name() {
					p.warnings.Add(m.prefixes.Position, "%s: prefix %v of %s lies within %v of %s: the longer one decides, and the other serves its clients when that has none available",
						context, prefix, m.name(), around, other)
					break
				}
			}
		}
	}
}
