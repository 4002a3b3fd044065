package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// warnOfTraps warns of what is allowed, but seldom does what it was written for. Each warning says what comes of it. The world has no
// mistakes by now.
func (l *Loader) warnOfTraps() {
	p := &l.parser
	t := traps{parser: p, steered: make(map[string]bool), around: make(map[string][]string), checks: make(map[string]*Check)}
	for i := range p.world.Zones {
		for _, s := range p.world.Zones[i].Steer {
			t.steered[s.Pool] = true
		}
	}
	for i := range p.world.Pools {
		for _, m := range p.world.Pools[i].Members {
			if m.Endpoint == "" {
				t.around[m.Pool] = append(t.around[m.Pool], p.world.Pools[i].Name)
			}
		}
	}
	for i := range p.world.Checks {
		t.checks[p.world.Checks[i].Name] = &p.world.Checks[i]
		p.trapsOfCheck(&p.source.checks[i], &p.world.Checks[i])
	}
	for i := range p.world.Pools {
		t.ofPool(&p.source.pools[i], &p.world.Pools[i])
	}
	t.ofRegions()
	p.trapsOfRules()
	l.trapsOfZones()
	p.world.written = t.written()
}

// written returns where pools and their members are written.
func (t *traps) written() map[memberKey]strict.Position {
	at := make(map[memberKey]strict.Position)
	for i := range t.source.pools {
		entry := &t.source.pools[i]
		at[memberKey{pool: entry.Name}] = entry.Position
		for _, m := range entry.Value.members {
			at[memberKey{entry.Name, m.Value.name()}] = m.Position
		}
	}
	return at
}

// traps are what the traps of pools follow from beside the pool.
type traps struct {
	*parser
	steered map[string]bool     // pools that a name is answered from
	around  map[string][]string // the pools that a pool is a member of
	checks  map[string]*Check
}

// renewalDays is how many days before the end certificates are renewed by many who issue them for 90.
const renewalDays = 30

func (p *parser) trapsOfCheck(entry *strict.Named[checkKeys], c *Check) {
	if c.OverTLS(c.Kind) && c.Host == "" && c.ServerName == "" && !c.SkipVerify {
		name := "host"
		if c.Kind == health.KindTLS {
			name = "server_name"
		}
		p.warnings.Add(entry.Position, "check %q: %s without %s: a certificate must then be for the address that is probed, and few are: with one for a name every probe fails", c.Name, c.Kind, name)
	}
	p.trapsOfDecision(entry, c)
	if c.MinCertificateDays >= renewalDays {
		p.warnings.Add(entry.Value.minDays.Position, "check %q: min_certificate_days: %d: many certificates are renewed when they have %d days left, or fewer: until then their endpoints are down, and those that share one all at once", c.Name, c.MinCertificateDays, renewalDays)
	}
	if c.Kind == health.KindHTTP {
		for _, h := range entry.Value.headers.Value {
			if strings.EqualFold(h.Name, "Authorization") || strings.EqualFold(h.Name, "Cookie") {
				p.warnings.Add(h.Position, "check %q: headers: %s goes out in clear text, from every vantage (type: https encrypts it)", c.Name, h.Name)
			}
		}
	}
	if c.Kind == health.KindICMP {
		p.warnings.Add(entry.Position, "check %q: icmp: the system of a machine answers, whatever has become of the service on it", c.Name)
	}
	if c.Fall == 1 {
		p.warnings.Add(entry.Position, "check %q: fall: 1: one lost packet is enough for a vantage to say down", c.Name)
	}
	if c.Rise == 1 && c.HoldDown == 0 {
		p.warnings.Add(entry.Position, "check %q: rise: 1 without hold_down: an endpoint that comes and goes takes its clients along each time", c.Name)
	}
}

// fewVantages are too few in a region for one of them to be outvoted.
const fewVantages = 3

func (p *parser) trapsOfDecision(entry *strict.Named[checkKeys], c *Check) {
	if c.Group != nil {
		return
	}
	keys, regions := &entry.Value.rule, 0
	for _, r := range p.world.Regions {
		if r.Vantage {
			regions++
		}
	}
	if n := c.Rules.Vantages; n != health.AllVantages && n < fewVantages {
		p.warnings.Add(keys.vantages.Position, "check %q: vantages_per_region: %d: with fewer than %d, one that is wrong is half of its region's vote, or all of it", c.Name, n, fewVantages)
	}
	switch q := c.Rules.Quorum; {
	case q.Preset == health.QuorumAll:
		p.warnings.Add(keys.quorum.Position, "check %q: quorum: all: one region that is cut off or wrong takes endpoints down", c.Name)
	case q.Preset == health.QuorumAny && regions > 1:
		p.warnings.Add(keys.quorum.Position, "check %q: quorum: any: one region that is wrong keeps up what all others see down", c.Name)
	case q.Preset == health.QuorumCount && q.Regions >= regions:
		p.warnings.Add(keys.quorum.Position, "check %q: quorum: %d of %d regions that are vantages: it is as all of them: one that is cut off or wrong takes endpoints down", c.Name, q.Regions, regions)
	case q.Preset == health.QuorumCount && q.Regions == 1:
		p.warnings.Add(keys.quorum.Position, "check %q: quorum: 1: one region that is wrong keeps up what all others see down", c.Name)
	}
}

func (t *traps) ofPool(entry *strict.Named[poolKeys], pool *Pool) {
	keys, context := &entry.Value, fmt.Sprintf("pool %q", entry.Name)
	t.onlyAround(keys, pool, context)
	t.slow(entry, pool, context)
	t.uncheckedSettings(keys, pool, context)
	t.addresses(keys, pool, context)
	t.nestedFamilies(entry, pool, context)
	t.oneControl(entry, pool, context)
	t.places(keys, pool, context)
	t.regional(keys, pool, context)
	t.denials(keys, pool, context)
	t.capacities(keys, pool, context)
	if all, around := len(pool.Members), t.around[pool.Name]; all > 1 && pool.MinUp.Of(all) == all && len(around) > 0 {
		t.warnings.Add(keys.minUp.Position, "%s: min_up: %d of %d members: the first one that goes down takes the whole pool out of %s", context, all, all, shortList(around))
	}
	if check := t.checks[pool.Check]; pool.HTTPS != nil && t.steered[pool.Name] && (check == nil || check.Kind != health.KindHTTPS) {
		t.warnings.Add(keys.https.Position, "%s: https: by such records browsers come by TLS, and no check of the pool probes that (type: https): an endpoint can be up and of no use to them", context)
	}
}

// onlyAround warns of settings that hold where a name is answered from a pool, in a pool that is in others only.
func (t *traps) onlyAround(keys *poolKeys, pool *Pool, context string) {
	if t.steered[pool.Name] || len(t.around[pool.Name]) == 0 {
		return
	}
	for _, key := range []struct {
		name string
		at   strict.Position
	}{
		{"answers", keys.answers.Position}, {"sticky", keys.sticky.Position}, {"when_all_down", keys.whenAllDown.Position},
		{"last_resort", keys.lastResort.Position}, {"https", keys.https.Position},
	} {
		if key.at.Line != 0 {
			t.warnings.Add(key.at, "%s: %s holds only where a name is answered from the pool itself, and it is only in %s: there it has no effect", context, key.name,
				shortList(t.around[pool.Name]))
		}
	}
}

// slow warns where clients keep an endpoint that died for long. Probes that fail are a second apart.
func (t *traps) slow(entry *strict.Named[poolKeys], pool *Pool, context string) {
	if !t.steered[pool.Name] || pool.TTL > longSteeredTTL {
		return
	}
	var slowest *Check
	late := func(c *Check) time.Duration { return c.Interval + time.Duration(c.Fall)*time.Second }
	ttl := pool.TTL
	t.within(pool, func(inner *Pool) {
		ttl = min(ttl, inner.TTL)
		if c := t.checks[inner.Check]; c != nil && (slowest == nil || late(c) > late(slowest)) {
			slowest = c
		}
	})
	if slowest != nil && late(slowest)+ttl > longSteeredTTL {
		t.warnings.Add(entry.Position, "%s: clients keep an endpoint that died for %v: until it is probed (interval %v of check %q), then %d probes that fail, a second apart, then a ttl of %v",
			context, late(slowest)+ttl, slowest.Interval, slowest.Name, slowest.Fall, ttl)
	}
}

// within calls do with a pool and those in it.
func (t *traps) within(pool *Pool, do func(*Pool)) {
	do(pool)
	for _, m := range pool.Members {
		if m.Endpoint == "" {
			t.within(t.parser.pool(m.Pool), do)
		}
	}
}

// uncheckedSettings warns of what only a check could bring about.
func (t *traps) uncheckedSettings(keys *poolKeys, pool *Pool, context string) {
	if pool.Check != "" || onlyPools(keys.members) {
		return
	}
	for _, key := range []struct {
		name string
		at   strict.Position
	}{{"slow_start", keys.slowStart.Position}, {"failback", keys.failback.Position}} {
		if key.at.Line != 0 {
			t.warnings.Add(key.at, "%s: %s: without a check no endpoint is seen to come back, so it has no effect", context, key.name)
		}
	}
}

// addresses warns of addresses that stand for two endpoints, and of private ones among public ones.
func (t *traps) addresses(keys *poolKeys, pool *Pool, context string) {
	first := make(map[netip.Addr]*Member)
	var private, public []*Member
	for i := range pool.Members {
		m := &pool.Members[i]
		for _, a := range m.Address {
			if !a.IsValid() {
				continue
			}
			if other := first[a]; other != nil {
				t.warnings.Add(keys.members[i].Position, "%s: %s and %s have the same address, %v: it has the share of two, and two checks of it can say different things", context, other.Endpoint, m.Endpoint, a)
			}
			first[a] = m
			if a.IsPrivate() || sharedSpace.Contains(a) {
				private = append(private, m)
			} else {
				public = append(public, m)
			}
		}
	}
	if len(private) > 0 && len(public) > 0 {
		at := slices.IndexFunc(pool.Members, func(m Member) bool { return m.Endpoint == private[0].Endpoint })
		t.warnings.Add(keys.members[at].Position, "%s: %s has a private address and %s a public one: clients that reach the one can hardly reach the other", context, private[0].Endpoint, public[0].Endpoint)
	}
}

// sharedSpace is what providers give their customers instead of public addresses (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// nestedFamilies warns where pools and endpoints of one pool have different families, as poolFamilies does of endpoints.
func (t *traps) nestedFamilies(entry *strict.Named[poolKeys], pool *Pool, context string) {
	if onlyEndpoints(pool) || pool.Kind != Addresses {
		return
	}
	var with, without [2][]string
	for i := range pool.Members {
		m := &pool.Members[i]
		if !m.Enabled {
			continue
		}
		has := [2]bool{m.Address[IPv4].IsValid(), m.Address[IPv6].IsValid()}
		if m.Endpoint == "" {
			t.within(t.parser.pool(m.Pool), func(inner *Pool) {
				for _, m := range inner.Members {
					has[IPv4], has[IPv6] = has[IPv4] || m.Address[IPv4].IsValid(), has[IPv6] || m.Address[IPv6].IsValid()
				}
			})
		}
		for family := range has {
			if has[family] {
				with[family] = append(with[family], m.Name())
			} else {
				without[family] = append(without[family], m.Name())
			}
		}
	}
	for family := range with {
		if len(with[family]) > 0 && len(without[family]) > 0 {
			t.warnings.Add(entry.Position, "%s: %s no %s address and others do: whether a client gets one depends on where it is, and resolvers cache a missing one for all clients",
				context, namesHave(without[family]), familyWords[family])
		}
	}
}

// oneControl warns of a pool that the built-in rule keeps from being switched at all.
func (t *traps) oneControl(entry *strict.Named[poolKeys], pool *Pool, context string) {
	for _, of := range t.world.Definitions.Pools {
		if of.Pool == pool.Name && len(of.Controls) == 1 {
			t.warnings.Add(entry.Position, "%s: every member has the control %s, which can't be switched off without an override: no pool may lose its last one", context, of.Controls[0])
		}
	}
}

// places warns of places that two members serve alike.
func (t *traps) places(keys *poolKeys, pool *Pool, context string) {
	first := make(map[string]string)
	for i := range pool.Members {
		m := &pool.Members[i]
		for _, place := range slices.Concat(m.Subdivisions, m.Countries, prefixed("continent ", m.Continents)) {
			if other, twice := first[place]; twice {
				t.warnings.Add(keys.members[i].Position, "%s: %s is served by %s and by %s: chance decides between them for each query", context, place, other, m.Name())
			}
			first[place] = m.Name()
		}
	}
}

func prefixed(prefix string, names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = prefix + name
	}
	return all
}

// capacities warns of capacities that can't be kept, and of some that nobody measures.
func (t *traps) capacities(keys *poolKeys, pool *Pool, context string) {
	sum, capped := 0, 0
	var first strict.Position
	for i := range pool.Members {
		if c := pool.Members[i].Capacity; c != (Capacity{}) {
			if capped == 0 {
				first = keys.members[i].Value.capacity.Position
			}
			sum, capped = sum+c.Percent, capped+1
		}
	}
	switch {
	case capped == 0:
	case sum == 0 && len(t.world.Gateway.Routes) == 0:
		t.warnings.Add(first, "%s: capacity in requests per second: gateways count requests, and this world has none (gateway): nobody will ever be full; percentages go by the answers that nameservers give", context)
	case sum > 0 && sum < 100 && capped == len(pool.Members):
		t.warnings.Add(first, "%s: capacity: all members together have %d%%: even while all are up they are beyond their capacities", context, sum)
	}
}

// regional warns where the vantages of a client's own region can't say what it can reach.
func (t *traps) regional(keys *poolKeys, pool *Pool, context string) {
	if pool.View != Regional {
		return
	}
	var blind []string
	for _, r := range t.world.Regions {
		if !r.Vantage {
			blind = append(blind, string(r.ID))
		}
	}
	if len(blind) > 0 {
		t.warnings.Add(keys.view.Position, "%s: view: regional: no vantages in %s: clients there are answered by the votes of all regions, whatever they can reach themselves", context, strings.Join(blind, ", "))
	}
	for i := range pool.Members {
		if m := &pool.Members[i]; m.Target == nil && m.Probe.IsValid() {
			t.warnings.Add(keys.members[i].Position, "%s: member %q: view: regional, but %v is probed, not the address that clients have to reach: it may answer its own network while it is cut off from the region's clients",
				context, m.Endpoint, m.Probe)
		}
	}
}

// denials warns of NODATA that some clients get and others don't: resolvers keep it for all of theirs (RFC 7871, section 7.4).
func (t *traps) denials(keys *poolKeys, pool *Pool, context string) {
	for i := range keys.members {
		if m := &keys.members[i].Value; m.fence.Value && len(m.fenced.Value) == 1 && !m.fenced.Value[0].IsValid() {
			t.warnings.Add(m.fenced.Position, "%s: member %q: fenced: nodata: resolvers keep a denial for all their clients, also for those whom other members serve", context, m.name())
		}
	}
	byPlace := pool.Policy == Geo || pool.Policy == CIDR || pool.View == Regional
	if pool.WhenAllDown == NoData && byPlace {
		t.warnings.Add(keys.whenAllDown.Position, "%s: when_all_down: nodata: some clients may have a member that is up while others have none, and resolvers keep a denial for all their clients", context)
	}
}

// ofRegions warns of endpoints that no vantage is near.
func (t *traps) ofRegions() {
	in := make(map[geo.RegionID][]string)
	for i := range t.world.Pools {
		pool := &t.world.Pools[i]
		for j := range pool.Members {
			m := &pool.Members[j]
			if pool.Check != "" && m.Endpoint != "" && m.Enabled && !slices.Contains(in[m.Region], m.Endpoint) {
				in[m.Region] = append(in[m.Region], m.Endpoint)
			}
		}
	}
	for i, r := range t.world.Regions {
		if endpoints := in[r.ID]; !r.Vantage && len(endpoints) > 0 {
			t.warnings.Add(t.source.regions[i].Position, "region %q: has endpoints (%s) and no vantages: when the region is cut off they count as down, though its own clients can reach them",
				r.ID, shortList(endpoints))
		}
	}
}

// shortList names a few things.
func shortList(names []string) string {
	const most = 5
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}
