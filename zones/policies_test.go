package zones

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// Four regions, and a pool for each thing that policies can do.
const policiesWorld = `
regions:
  us: {coordinates: [39, -77]}
  eu: {coordinates: [53, -6]}
  ap: {coordinates: [19, 72]}
  sa: {coordinates: [-23, -46]}
checks: {c: {type: tcp, port: 80}}
pools:
  near:
    policy: geoproximity
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
      - {endpoint: ap1, region: ap, address: 192.0.2.3}
  biased:
    policy: geoproximity
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, bias: 80}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, bias: -80}
      - {endpoint: ap1, region: ap, address: 192.0.2.3}
  lists:
    policy: cidr
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, prefixes: [91.1.0.0/24, 10.0.0.0/8]}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, prefixes: [91.1.0.0/16, "2a01::/32"]}
      - {endpoint: sa1, region: sa, address: 192.0.2.4, asns: [64500]}
      - {endpoint: ap1, region: ap, address: 192.0.2.3, default: true}
  walk:
    policy: geo
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, subdivisions: US-CA}
      - {endpoint: us2, region: us, address: 192.0.2.5, countries: US}
      - {endpoint: sa1, region: sa, address: 192.0.2.4, continents: NA}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, countries: DE, fence: true, fenced: [192.0.2.99, 192.0.2.98]}
      - {endpoint: eu2, region: eu, address: 192.0.2.6, countries: IN, fence: true, fenced: nodata}
      - {endpoint: ap1, region: ap, address: 192.0.2.3, default: true}
  all:
    policy: multivalue
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
      - {endpoint: ap1, region: ap, address: 192.0.2.3}
  two-of-failover:
    policy: failover
    check: c
    answers: 2
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
      - {endpoint: ap1, region: ap, address: 192.0.2.3}
  two-of-geo:
    policy: geo
    check: c
    answers: 2
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, countries: US}
      - {endpoint: ap1, region: ap, address: 192.0.2.3, default: true}
  two-nearest:
    policy: latency
    check: c
    answers: 2
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
      - {endpoint: ap1, region: ap, address: 192.0.2.3}
  zeros:
    policy: weighted
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, weight: 0}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, weight: 0}
  enough:
    policy: weighted
    check: c
    min_up: 2
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: us2, region: us, address: 192.0.2.5}
      - {endpoint: us3, region: us, address: 192.0.2.7}
  america: {policy: weighted, check: c, min_up: 66%, members: [{endpoint: us1, region: us, address: 192.0.2.1, weight: 3}, {endpoint: us2, region: us, address: 192.0.2.5, weight: 1}, {endpoint: us3, region: us, address: 192.0.2.7, weight: 0}]}
  europe: {policy: failover, check: c, ttl: 20s, members: [{endpoint: eu1, region: eu, address: 192.0.2.2}, {endpoint: eu2, region: eu, address: 192.0.2.6}]}
  nested:
    policy: failover
    members: [{pool: america}, {pool: europe}]
  shared:
    policy: weighted
    check: c
    members: [{pool: america, weight: 1}, {pool: europe, weight: 2}, {endpoint: ap1, region: ap, address: 192.0.2.3, weight: 1}]
  deep:
    policy: geo
    members: [{pool: shared, continents: EU}, {pool: nested, default: true}]
  nearest-pool:
    policy: latency
    members: [{pool: america, region: us}, {pool: europe, region: eu}]
  seen:
    policy: weighted
    check: c
    view: regional
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
`

var (
	californian = netip.MustParsePrefix("8.2.0.0/24")
	italian     = netip.MustParsePrefix("93.1.0.0/24")
	numbered    = netip.MustParsePrefix("95.1.0.0/24")
)

func policiesPlan(t testing.TB) *Plan {
	t.Helper()
	var b geo.Builder
	for prefix, place := range map[string]geo.Place{
		"8.0.0.0/8":   {Country: "US", Continent: "NA", Located: true, At: geo.Coordinates{Latitude: 39, Longitude: -98}},
		"8.2.0.0/16":  {Country: "US", Continent: "NA", Subdivision: "US-CA", Located: true, At: geo.Coordinates{Latitude: 37, Longitude: -120}},
		"91.0.0.0/8":  {Country: "DE", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
		"93.0.0.0/8":  {Country: "IT", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 42, Longitude: 12}},
		"95.0.0.0/8":  {Country: "RU", Continent: "EU", ASN: 64500},
		"103.0.0.0/8": {Country: "IN", Continent: "AS", Located: true, At: geo.Coordinates{Latitude: 22, Longitude: 79}},
		"2a00::/12":   {Country: "DE", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
	} {
		if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := worldOf(t, map[string][]byte{"w.yaml": []byte(policiesWorld)}).Compile(b.Build(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestPolicies(t *testing.T) {
	plan := policiesPlan(t)
	for _, row := range []struct {
		why    string
		pool   string
		health string
		client netip.Prefix
		want   string
	}{
		{"geoproximity: the least distance", "near", "", german, "up: eu1"},
		{"geoproximity: the next when that is down", "near", "eu1=down", german, "up: ap1"},
		{"geoproximity: bias draws clients near, and pushes them away", "biased", "", german, "up: us1"},
		{"geoproximity: but not those who are far nearer to another", "biased", "", indian, "up: ap1"},
		{"geoproximity: who is nowhere gets the members as written", "biased", "", nobody, "up: us1"},

		{"cidr: the longest listed prefix", "lists", "", german, "up: us1"},
		{"cidr: the next around it when that is not available", "lists", "us1=down", german, "up: eu1"},
		{"cidr: and then the default", "lists", "us1=down eu1=down", german, "up: ap1"},
		{"cidr: the shorter prefix where the longer one does not reach", "lists", "", netip.MustParsePrefix("91.1.1.0/24"), "up: eu1"},
		{"cidr: IPv6", "lists", "", netip.MustParsePrefix("2a01:0:1::/48"), "up: eu1"},
		{"cidr: AS number", "lists", "", numbered, "up: sa1"},
		{"cidr: from the AS number to the default", "lists", "sa1=down", numbered, "up: ap1"},
		{"cidr: default", "lists", "", indian, "up: ap1"},

		{"geo: subdivision before country", "walk", "", californian, "up: us1"},
		{"geo: country when the subdivision has none available", "walk", "us1=down", californian, "up: us2"},
		{"geo: continent then", "walk", "us1=down us2=down", californian, "up: sa1"},
		{"geo: default at last", "walk", "us1=down us2=down sa1=down", californian, "up: ap1"},
		{"geo: a fence serves its own", "walk", "", german, "up: eu1"},
		{"geo: a fence ends the walk with its own records", "walk", "eu1=down", german, "fenced: fenced"},
		{"geo: a fence lets nothing through that is only held back elsewhere", "walk", "eu1=heldback", german, "held back: eu1"},
		{"geo: a fence answers nothing only on request", "walk", "eu2=down", indian, "fenced:"},
		{"geo: a fence of one is nothing to others", "walk", "eu1=down", italian, "up: ap1"},
		{"geo: a fence outranks fail-open", "walk", "all=down", german, "fenced: fenced"},
		{"geo: fail-open keeps to the place", "walk", "all=down", californian, "open: us1"},

		{"multivalue: all that are available, up to 8", "all", "", german, "up: us1+eu1+ap1"},
		{"multivalue: without those that are down", "all", "eu1=down", german, "up: us1+ap1"},
		{"multivalue: fail-open gives all", "all", "all=down", german, "open: us1+eu1+ap1"},

		{"answers: failover goes on with the next best", "two-of-failover", "", german, "up: us1+eu1"},
		{"answers: and passes over what is down", "two-of-failover", "eu1=down", german, "up: us1+ap1"},
		{"answers: fewer where there are fewer", "two-of-failover", "eu1=down ap1=down", german, "up: us1"},
		{"answers: geo does not mix in who is for others", "two-of-geo", "", american, "up: us1"},
		{"answers: latency goes on with the next nearest", "two-nearest", "", german, "up: eu1+ap1"},
		{"answers: for another client, others", "two-nearest", "", american, "up: us1+eu1"},

		{"weighted: all 0 is equal", "zeros", "", german, "up: us1*1 eu1*1"},
		{"min_up met", "enough", "us3=down", german, "up: us1*1 us2*1"},
		{"min_up not met is a rung of its own, and still answers", "enough", "us3=down us2=down", german, "too few up: us1"},

		{"nested: the first pool, by its weights", "nested", "", german, "up: us1*3 us2*1"},
		{"nested: min_up in percent holds, with the standby up", "nested", "us2=down", german, "up: us1"},
		{"nested: below min_up the pool is not available", "nested", "us2=down us3=down", german, "up: eu1"},
		{"nested: another pool that is up comes before the one with too few", "nested", "us2=down us3=down eu1=down", german, "up: eu2"},
		{"nested: with too few before held back ones", "nested", "us2=down us3=down eu1=heldback eu2=heldback", german, "too few up: us1"},
		{"nested: all down opens by the same policies", "nested", "all=down", german, "open: us1*3 us2*1"},
		{"nested: weights multiply along the path", "shared", "", german, "up: us1*3 us2*1 eu1*8 ap1*4"},
		{"nested: a pool that is not available leaves its share to the others", "shared", "eu1=down eu2=down", german, "up: us1*3 us2*1 ap1*4"},
		{"nested three deep, by place", "deep", "", italian, "up: us1*3 us2*1 eu1*8 ap1*4"},
		{"nested three deep, elsewhere", "deep", "us1=down us3=down", indian, "up: eu1"},
		{"nested: pools by latency", "nearest-pool", "", american, "up: us1*3 us2*1"},
		{"nested: the nearest pool without min_up is passed over", "nearest-pool", "us1=down us2=down", indian, "up: eu1"},
	} {
		s := publishWith(t, plan, row.health, "")
		if got := answerOf(t, s, row.pool, row.client, IPv4); got != row.want {
			t.Errorf("%s: %s = %q, want %q", row.why, row.pool, got, row.want)
		}
	}
}

// A listed prefix in private space is for clients that come from there; else such an address says nothing.
func TestListedPrivateSpace(t *testing.T) {
	plan := policiesPlan(t)
	s := publishWith(t, plan, "", "")
	p := s.Pools[poolNumber(t, plan, "lists")]
	for _, row := range []struct {
		why    string
		client Client
		want   string
	}{
		{"source", Client{Source: netip.MustParseAddr("10.1.1.1")}, "up: us1"},
		{"subnet", Client{Source: netip.MustParseAddr("103.1.1.1"), Subnet: netip.MustParsePrefix("10.1.1.0/24")}, "up: us1"},
		{"other private space", Client{Source: netip.MustParseAddr("91.1.1.1"), Subnet: netip.MustParsePrefix("192.168.1.0/24")}, "up: eu1"},
	} {
		g, _ := p.Plan.Group(row.client)
		if got := choiceText(p, &p.Groups[g].Families[IPv4]); got != row.want {
			t.Errorf("%s: %v = %q, want %q", row.why, row.client, got, row.want)
		}
	}
	if _, scope := p.Plan.Group(Client{Subnet: german}); scope != 24 {
		t.Errorf("scope of a listed /24 = %d, want 24", scope)
	}
}

func poolNumber(t testing.TB, plan *Plan, name string) int {
	t.Helper()
	i := slices.IndexFunc(plan.Pools, func(p *PoolPlan) bool { return p.Pool.Name == name })
	if i < 0 {
		t.Fatalf("no pool %q", name)
	}
	return i
}

// The TTL is the least on the way to an endpoint, for the answer as a whole and for what it denies.
func TestNestedTTL(t *testing.T) {
	plan := policiesPlan(t)
	p := plan.Pools[poolNumber(t, plan, "shared")]
	want := map[string]uint32{"us1": 30, "us2": 30, "us3": 30, "eu1": 20, "eu2": 20, "ap1": 30}
	for _, leaf := range p.Leaves {
		if got := leaf.Sets[IPv4].TTL; got != want[leaf.Endpoint] {
			t.Errorf("TTL of %s = %d, want %d", leaf.Endpoint, got, want[leaf.Endpoint])
		}
	}
	if p.TTL() != 20 {
		t.Errorf("TTL of the pool = %d, want 20", p.TTL())
	}
}

// What the vantages of the client's own region say decides, whatever the policy.
func TestRegionalViewOfAnyPolicy(t *testing.T) {
	plan := policiesPlan(t)
	var list []health.Status
	for _, target := range plan.Targets {
		s := health.Status{Check: target.ID, State: health.Up, Measured: health.Up}
		if strings.HasPrefix(target.Endpoint, "us1") {
			s.Regions = []health.Vote{{Region: "ap", State: health.Down}, {Region: "eu", State: health.Up}}
		}
		list = append(list, s)
	}
	s := plan.Publish(nil, Inputs{Health: health.NewView(list)}, Change{All: true}, time.Unix(0, 0))
	if got, want := answerOf(t, s, "seen", indian, IPv4), "up: eu1"; got != want {
		t.Errorf("who is near ap = %q, want %q: its vantages don't see us1", got, want)
	}
	if got, want := answerOf(t, s, "seen", german, IPv4), "up: us1*1 eu1*1"; got != want {
		t.Errorf("who is near eu = %q, want %q", got, want)
	}
}

const kindsWorld = `
regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}}
checks: {c: {type: tcp, port: 80}}
pools:
  alias:
    policy: failover
    check: c
    members:
      - {endpoint: one, region: us, cname: one.example.net, probe: 192.0.2.1}
      - {endpoint: two, region: eu, cname: two.example.net., probe: "2001:db8::2"}
  sip: {policy: multivalue, members: [{endpoint: s1, region: us, srv: {target: a.example.net, port: 5060, priority: 1, weight: 2}}, {endpoint: s2, region: us, srv: {target: b.example.net, port: 5061}}]}
  mail: {policy: failover, answers: 2, members: [{endpoint: m1, region: us, mx: {target: a.example.net}}, {endpoint: m2, region: us, mx: {target: b.example.net, preference: 20}}]}
  web:
    policy: failover
    check: c
    https: {alpn: [h3, h2], port: 8443}
    members:
      - {endpoint: w1, region: us, address: [192.0.2.1, "2001:db8::1"]}
      - {endpoint: w2, region: us, address: 192.0.2.2}
  spread: {policy: weighted, check: c, https: {alpn: h2}, members: [{endpoint: w1, region: us, address: [192.0.2.1, "2001:db8::1"]}, {endpoint: w2, region: us, address: 192.0.2.2}]}
  kept: {policy: weighted, sticky: prefix, check: c, https: {alpn: h2}, members: [{endpoint: w1, region: us, address: [192.0.2.1, "2001:db8::1"]}, {endpoint: w3, region: us, address: [192.0.2.3, "2001:db8::3"]}]}
zones:
  example.com: {file: z, steer: {alias: {pool: alias}, _sip._tcp: {pool: sip}, "@": {pool: mail}, www: {pool: web}, spread: {pool: spread}, kept: {pool: kept}}}
`

const kindsZone = `$ORIGIN example.com.
$TTL 300
@ SOA ns1.example.org. host 1 2 3 4 5
@ NS ns1.example.org.
@ NS ns2.example.org.
`

// TestKinds asks each kind of pool in words: what the explanation's last line says is what goes out.
func TestKinds(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(kindsWorld), "z": []byte(kindsZone)}))
	for _, row := range []struct {
		why, health, name string
		qtype             uint16
		want              string
	}{
		{"alias", "", "alias", dns.TypeA, "alias.example.com. 30 IN CNAME one.example.net."},
		{"alias, for all types", "", "alias", dns.TypeTXT, "alias.example.com. 30 IN CNAME one.example.net."},
		{"alias, as itself", "", "alias", dns.TypeANY, "alias.example.com. 30 IN CNAME one.example.net."},
		{"alias, when the probed address is down", "one=down", "alias", dns.TypeAAAA, "alias.example.com. 30 IN CNAME two.example.net."},
		{"alias, when all are down", "all=down", "alias", dns.TypeA, "alias.example.com. 30 IN CNAME one.example.net."},
		{"SRV", "", "_sip._tcp", dns.TypeSRV, "_sip._tcp.example.com. 30 IN SRV 1 2 5060 a.example.net. | _sip._tcp.example.com. 30 IN SRV 0 0 5061 b.example.net."},
		{"SRV has no addresses", "", "_sip._tcp", dns.TypeA, "nothing"},
		{"MX at an apex", "", "@", dns.TypeMX, "example.com. 30 IN MX 10 a.example.net. | example.com. 30 IN MX 20 b.example.net."},
		{"HTTPS with hints where no choice is left", "", "www", dns.TypeHTTPS, `www.example.com. 30 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`},
		{"HTTPS has the hints of what is answered", "w1/ipv4=down", "www", dns.TypeHTTPS, `www.example.com. 30 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.2" ipv6hint="2001:db8::1"`},
		{"HTTPS without hints where chance decides", "", "spread", dns.TypeHTTPS, `spread.example.com. 30 IN HTTPS 1 . alpn="h2"`},
		{"HTTPS with hints again where one is left", "w2=down", "spread", dns.TypeHTTPS, `spread.example.com. 30 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"`},
	} {
		s := publishWith(t, plan, row.health, "")
		name := row.name + ".example.com."
		if row.name == "@" {
			name = "example.com."
		}
		e, err := s.Explain(Question{Name: name, Type: row.qtype, Client: Client{Source: german.Addr()}, Random: 3})
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(e.Last(), "scope /0: ")
		if got != row.want {
			t.Errorf("%s: %s %s = %q, want %q", row.why, name, dns.TypeToString[row.qtype], got, row.want)
		}
	}
}

// Where the choice is sticky, the hints of each prefix are the addresses that it is answered.
func TestStickyHints(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(kindsWorld), "z": []byte(kindsZone)}))
	s := publishWith(t, plan, "", "")
	seen := map[string]bool{}
	for i := range 100 {
		client := Client{Source: netip.AddrFrom4([4]byte{91, 1, byte(i), 7})}
		answer := func(qtype uint16) string {
			e, err := s.Explain(Question{Name: "kept.example.com.", Type: qtype, Client: client, Random: uint32(i) << 24})
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(e.Answer, " ")
		}
		four, six, https := answer(dns.TypeA), answer(dns.TypeAAAA), answer(dns.TypeHTTPS)
		a, b := four[strings.LastIndex(four, " ")+1:], six[strings.LastIndex(six, " ")+1:]
		if want := `ipv4hint="` + a + `" ipv6hint="` + b + `"`; !strings.Contains(https, want) {
			t.Fatalf("HTTPS of %v = %s, want %s", client.Source, https, want)
		}
		if a[len(a)-1] != b[len(b)-1] {
			t.Fatalf("%v gets %s and %s, of two endpoints", client.Source, a, b)
		}
		seen[a] = true
	}
	if len(seen) != 2 {
		t.Errorf("100 prefixes have %v, want both endpoints", seen)
	}
}
