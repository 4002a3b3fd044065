package zones

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// The clients of the tests, one in each of three regions, and one nobody knows.
var (
	american = netip.MustParsePrefix("8.1.0.0/24")
	german   = netip.MustParsePrefix("91.1.0.0/24")
	indian   = netip.MustParsePrefix("103.1.0.0/24")
	nobody   = netip.MustParsePrefix("45.1.0.0/24")
)

func testTable(t testing.TB) *geo.Table {
	t.Helper()
	var b geo.Builder
	for prefix, place := range map[string]geo.Place{
		"8.0.0.0/8":   {Country: "US", Continent: "NA", Located: true, At: geo.Coordinates{Latitude: 39, Longitude: -98}},
		"8.2.0.0/16":  {Country: "US", Continent: "NA", Subdivision: "US-CA", Located: true, At: geo.Coordinates{Latitude: 37, Longitude: -120}},
		"91.0.0.0/8":  {Country: "DE", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
		"103.0.0.0/8": {Country: "IN", Continent: "AS", Located: true, At: geo.Coordinates{Latitude: 22, Longitude: 79}},
		"2a00::/12":   {Country: "DE", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
	} {
		if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

func worldOf(t testing.TB, files map[string][]byte) *World {
	t.Helper()
	world, err := Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return world
}

func demoFiles(t testing.TB) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	names, err := filepath.Glob("testdata/demo/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = data
	}
	return files
}

func planOf(t testing.TB, world *World) *Plan {
	t.Helper()
	plan, err := world.Compile(testTable(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// statuses makes all targets of a plan up, but for those that words like "use1=down" say of an endpoint.
func statuses(plan *Plan, words string) *health.View {
	var list []health.Status
	for _, target := range plan.Targets {
		s := health.Status{Check: target.ID, State: health.Up, Measured: health.Up}
		for _, word := range strings.Fields(words) {
			endpoint, state, _ := strings.Cut(word, "=")
			if endpoint != target.Endpoint && endpoint != "all" && endpoint != target.Endpoint+"/"+familyOf(target.ID) {
				continue
			}
			switch state {
			case "down":
				s.State, s.Measured = health.Down, health.Down
			case "heldback":
				s.State, s.Measured, s.HeldBack = health.Down, health.Up, true
			case "unknown":
				s.State = health.Unknown
			case "new":
				s.State, s.Grace = health.Unknown, true
			case "drain":
				s.State = health.Drain
			case "up":
				s.State = health.Up
			}
		}
		list = append(list, s)
	}
	return health.NewView(list)
}

func familyOf(id health.CheckID) string { return string(id)[strings.LastIndexByte(string(id), '/')+1:] }

// controls returns the plan's controls with some of them off.
func controls(t testing.TB, plan *Plan, off string) *control.State {
	t.Helper()
	s, result := control.New(1).Apply(1, control.Command{Kind: control.KindDefine, Actor: "test", Reason: "test", Definitions: &plan.World.Definitions, Time: time.Unix(1, 0)})
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	for i, id := range strings.Fields(off) {
		s, result = s.Apply(uint64(i+2), control.Command{Kind: control.KindSet, Actor: "test", Reason: "test", Time: time.Unix(int64(1000*(i+2)), 0),
			Switches: []control.Switch{{Control: control.ControlID(id)}}, Overrides: overrides(plan, s)})
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// overrides names every rule, built-in ones included.
func overrides(plan *Plan, s *control.State) []string {
	var rules []string
	for _, panel := range plan.World.Definitions.Panels {
		for _, r := range panel.Rules {
			rules = append(rules, r.Name)
		}
	}
	for _, pool := range plan.World.Definitions.Pools {
		rules = append(rules, control.LastOn+pool.Pool)
	}
	return rules
}

func publishWith(t testing.TB, plan *Plan, words, off string) *Snapshot {
	t.Helper()
	return plan.Publish(nil, Inputs{Health: statuses(plan, words), Control: controls(t, plan, off)}, Change{All: true}, time.Unix(0, 0))
}

// choiceText writes a choice as "rung: member*weight …".
func choiceText(p *PoolAnswers, c *Choice) string {
	text := c.Rung.String() + ":"
	for _, o := range c.Options {
		var names []string
		for _, m := range o.Members {
			names = append(names, p.Plan.Leaves[m].Endpoint)
		}
		if names == nil {
			names = []string{strings.ReplaceAll(c.Rung.String(), " ", "_")}
		}
		text += " " + strings.Join(names, "+")
		if c.Total != o.Weight {
			text += fmt.Sprintf("*%d", o.Weight)
		}
	}
	for _, o := range c.Others {
		text += fmt.Sprintf(" | %d-%d %s", o.From, o.To, strings.TrimPrefix(choiceText(p, &o.Choice), "up: "))
	}
	return text
}

func answerOf(t testing.TB, s *Snapshot, pool string, client netip.Prefix, family int) string {
	t.Helper()
	for _, p := range s.Pools {
		if p.Plan.Pool.Name == pool {
			g, _ := p.Plan.Group(Client{Source: netip.MustParseAddr("127.0.0.1"), Subnet: client})
			return choiceText(p, &p.Groups[g].Families[family])
		}
	}
	t.Fatalf("no pool %q", pool)
	return ""
}

func TestLadderOfEveryPolicy(t *testing.T) {
	plan := planOf(t, worldOf(t, demoFiles(t)))
	for _, row := range []struct {
		why    string
		health string
		off    string
		pool   string
		client netip.Prefix
		want   string
	}{
		{"latency: nearest region", "", "", "api", german, "up: euw1"},
		{"latency: another client, another region", "", "", "api", indian, "up: aps1"},
		{"latency: and a third", "", "", "api", american, "up: use1"},
		{"latency: a client of no known place gets the first member", "", "", "api", nobody, "up: use1"},
		{"latency: next nearest when the nearest is down", "euw1=down", "", "api", german, "up: aps1"},
		{"held back comes after any that is up", "euw1=heldback", "", "api", german, "up: aps1"},
		{"held back comes before unknown", "euw1=heldback use1=unknown aps1=unknown", "", "api", german, "held back: euw1"},
		{"unknown keeps its rank within its grace", "euw1=new", "", "api", german, "up: euw1"},
		{"unknown comes after up past its grace", "euw1=unknown", "", "api", german, "up: aps1"},
		{"drain comes after unknown", "euw1=drain aps1=unknown use1=down", "", "api", german, "unknown: aps1"},
		{"drain comes before down", "euw1=down aps1=down use1=drain", "", "api", german, "drain: use1"},
		{"all down: the policy runs as if all were up", "all=down", "", "api", german, "open: euw1"},
		{"a control that is off is passed over", "", "api-eu-west", "api", german, "up: aps1"},
		{"a control that is off stays off when all others are down", "all=down", "api-eu-west", "api", german, "open: aps1"},
		{"all controls off: nothing", "", "api-eu-west api-us-east api-ap-south", "api", german, "nodata:"},

		{"geo: continent", "", "", "shop", german, "up: euw1"},
		{"geo: default", "", "", "shop", nobody, "up: use1"},
		{"geo: from continent to default when the match is down", "euw1=down", "", "shop", german, "up: use1"},
		{"geo: subdivision", "", "", "shop", netip.MustParsePrefix("8.2.0.0/24"), "up: use1"},
		{"geo: all down", "all=down", "", "shop", german, "open: euw1"},

		{"weighted: shares", "", "", "canary", german, "up: use1*2 euw1*1"},
		{"weighted: the rest takes all", "use1=down", "", "canary", german, "up: euw1"},
		{"weighted: standby only when every other is down", "use1=down euw1=down", "", "canary", german, "up: aps1"},
		{"weighted: all down, standby stays out", "all=down", "", "canary", german, "open: use1*2 euw1*1"},

		{"failover: first", "", "", "admin", german, "up: use1"},
		{"failover: second", "use1=down", "", "admin", german, "up: euw1"},
		{"failover: last resort", "all=down", "", "admin", german, "last resort: last_resort"},
	} {
		s := publishWith(t, plan, row.health, row.off)
		if got := answerOf(t, s, row.pool, row.client, IPv4); got != row.want {
			t.Errorf("%s: %s = %q, want %q", row.why, row.pool, got, row.want)
		}
	}
}

const dualWorld = `
regions: {a: {coordinates: [0, 0]}, b: {coordinates: [10, 10]}, c: {coordinates: [20, 20]}}
checks: {c: {type: tcp, port: 80}}
pools:
  dual:
    policy: failover
    check: c
    members:
      - {endpoint: four, region: a, address: 192.0.2.1}
      - {endpoint: both, region: b, address: [192.0.2.2, "2001:db8::2"]}
      - {endpoint: off, region: b, address: 192.0.2.3, enabled: false}
`

func TestFamiliesOfOnePool(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(dualWorld)}))
	for _, row := range []struct {
		why, health string
		four, six   string
	}{
		{"each family takes the first that has it", "", "up: four", "up: both"},
		{"a family opens only if the other has nothing up", "both/ipv6=down", "up: four", "nodata:"},
		{"both families open when nothing is up", "all=down", "open: four", "open: both"},
		{"what is not enabled is never answered", "four=down both=down", "open: four", "open: both"},
		{"what is not known in the other family does not keep this one closed", "four=down both/ipv4=down both/ipv6=unknown", "open: four", "unknown: both"},
		{"nor what is held back there", "four=down both/ipv4=down both/ipv6=heldback", "open: four", "held back: both"},
	} {
		s := publishWith(t, plan, row.health, "")
		if four := answerOf(t, s, "dual", nobody, IPv4); four != row.four {
			t.Errorf("%s: IPv4 = %q, want %q", row.why, four, row.four)
		}
		if six := answerOf(t, s, "dual", nobody, IPv6); six != row.six {
			t.Errorf("%s: IPv6 = %q, want %q", row.why, six, row.six)
		}
	}
}

func TestWeightedSharesAreExact(t *testing.T) {
	plan := planOf(t, worldOf(t, demoFiles(t)))
	s := publishWith(t, plan, "", "")
	number := slices.IndexFunc(s.Pools, func(p *PoolAnswers) bool { return p.Plan.Pool.Name == "canary" })
	choice := &s.Pools[number].Groups[0].Families[IPv4]
	r := rand.New(rand.NewPCG(1, 2))
	const picks = 30_000
	counts := make([]float64, len(choice.Options))
	for range picks {
		o := choice.Pick(r.Uint32(), 0)
		counts[slices.IndexFunc(choice.Options, func(other Option) bool { return slices.Equal(other.Members, o.Members) })]++
	}
	chi2 := 0.0
	for i, o := range choice.Options {
		want := picks * float64(o.Weight) / float64(choice.Total)
		chi2 += (counts[i] - want) * (counts[i] - want) / want
	}
	if chi2 > 10.8 { // one degree of freedom, p = 0.001
		t.Errorf("shares %v do not fit the weights: chi-square %.1f", counts, chi2)
	}
}

// A publish of what changed gives what a publish of everything does, and shares what it did not touch.
func TestPublishOfAChangeEqualsPublishOfAll(t *testing.T) {
	plan := planOf(t, worldOf(t, demoFiles(t)))
	r := rand.New(rand.NewPCG(3, 4))
	states := []string{"up", "down", "heldback", "unknown", "drain"}
	s := publishWith(t, plan, "", "")
	words := ""
	for range 200 {
		target := plan.Targets[r.IntN(len(plan.Targets))]
		words += fmt.Sprintf(" %s=%s", target.Endpoint, states[r.IntN(len(states))])
		var change Change
		for _, other := range plan.Targets {
			if other.Endpoint == target.Endpoint {
				change.Checks = append(change.Checks, other.ID)
			}
		}
		in := Inputs{Health: statuses(plan, words), Control: s.Control}
		next := plan.Publish(s, in, change, time.Unix(0, 0))
		all := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
		if next.Digest != all.Digest {
			t.Fatalf("digest after %q = %v, want %v", words, next.Digest, all.Digest)
		}
		for i := range next.Pools {
			touched := slices.ContainsFunc(plan.Pools[i].Pool.Members, func(m Member) bool { return m.Endpoint == target.Endpoint })
			if !touched && next.Pools[i] != s.Pools[i] {
				t.Fatalf("pool %s was decided anew though nothing touched it", plan.Pools[i].Pool.Name)
			}
		}
		s = next
	}
}

func TestScopes(t *testing.T) {
	plan := planOf(t, worldOf(t, demoFiles(t)))
	source := netip.MustParseAddr("91.1.2.3")
	for _, row := range []struct {
		why    string
		pool   string
		subnet netip.Prefix
		scope  int
		group  string // of the client that must be in the same one
	}{
		{"answers do not depend on the client", "canary", german, 0, ""},
		{"as short as the group allows", "api", german, 8, ""},
		{"private space is ignored, and covered", "api", netip.MustParsePrefix("10.1.2.0/24"), 8, "91.1.2.3"},
		{"length 0 asks by the source", "api", netip.PrefixFrom(netip.IPv4Unspecified(), 0), 0, "91.1.2.3"},
		{"6to4 is placed by the IPv4 address inside", "api", netip.MustParsePrefix("2002:5b01:203::/48"), 24, "91.1.2.3"},
		{"6to4 cut short says nothing", "api", netip.MustParsePrefix("2002:5b01::/32"), 16, "91.1.2.3"},
		{"IPv6", "api", netip.MustParsePrefix("2a01:1::/48"), 12, "91.1.2.3"},
	} {
		for _, p := range plan.Pools {
			if p.Pool.Name != row.pool {
				continue
			}
			g, scope := p.Group(Client{Source: source, Subnet: row.subnet})
			if scope != row.scope {
				t.Errorf("%s: scope of %v = %d, want %d", row.why, row.subnet, scope, row.scope)
			}
			if row.group != "" {
				if want, _ := p.Group(Client{Source: netip.MustParseAddr(row.group)}); g != want {
					t.Errorf("%s: group of %v = %d, want %d", row.why, row.subnet, g, want)
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	world := worldOf(t, map[string][]byte{
		"w.yaml": []byte("zones: {example.org: {file: org.zone}}\n"),
		"org.zone": []byte(`$ORIGIN example.org.
$TTL 300
@ IN SOA ns1 host 1 2 3 4 500
@ IN NS ns1
@ IN NS ns2
ns1 IN A 192.0.2.1
ns2 IN A 192.0.2.2
a.ent IN TXT "x"
*.wild IN TXT "w"
sub IN NS ns.sub
sub IN NS ns2
ns.sub IN A 192.0.2.9
`)})
	zone, _ := planOf(t, world).Zone(mustWire(t, "example.org."))
	for _, row := range []struct {
		why, name string
		exists    bool
		wildcard  bool
		cut       bool
	}{
		{"exact", "ns1.example.org.", true, false, false},
		{"empty non-terminal", "ent.example.org.", true, false, false},
		{"below an empty non-terminal", "b.ent.example.org.", false, false, false},
		{"wildcard", "x.y.wild.example.org.", true, true, false},
		{"the wildcard's parent is no match", "wild.example.org.", true, false, false},
		{"delegation", "sub.example.org.", true, false, true},
		{"below a delegation", "x.ns.sub.example.org.", true, false, true},
		{"nowhere", "nope.example.org.", false, false, false},
	} {
		m := zone.Find(mustWire(t, row.name))
		cut := m.Name.Exists() && m.Name.Cut()
		if m.Name.Exists() != row.exists || m.Wildcard != row.wildcard || cut != row.cut {
			t.Errorf("%s: Find(%s) = %+v, want exists %v, wildcard %v, cut %v", row.why, row.name, m, row.exists, row.wildcard, row.cut)
		}
	}
	if own, _ := zone.Find(mustWire(t, "sub.example.org.")).Name.Glue(); own.Count != 1 {
		t.Errorf("glue of sub.example.org. = %d records, want 1", own.Count)
	}
}

func mustWire(t testing.TB, name string) []byte {
	t.Helper()
	wire, err := wireName(name)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// A vantage can't say more verdicts than its peers remember, so a world with more targets is refused.
func TestTooManyTargets(t *testing.T) {
	w := World{Checks: []Check{{Name: "c", Kind: health.KindTCP, Port: 80, Interval: time.Second}}, Regions: []Region{{ID: "eu"}}}
	pool := Pool{Name: "p", Policy: Failover, Check: "c", TTL: 30 * time.Second}
	address := netip.MustParseAddr("10.0.0.0")
	for i := range health.MaxVector + 1 {
		address = address.Next()
		pool.Members = append(pool.Members, Member{Endpoint: fmt.Sprint("e", i), Region: "eu", Address: [2]netip.Addr{address}})
	}
	w.Pools = []Pool{pool}
	if _, err := w.Compile(testTable(t), nil); err == nil || !strings.Contains(err.Error(), "20001 targets") {
		t.Errorf("Compile of %d targets: %v, want an error that says so", len(pool.Members), err)
	}
	w.Pools[0].Members = pool.Members[1:]
	if _, err := w.Compile(testTable(t), nil); err != nil {
		t.Errorf("Compile of %d targets: %v", len(pool.Members)-1, err)
	}
}

func TestNegativeTTLOfASteeredName(t *testing.T) {
	plan := planOf(t, worldOf(t, demoFiles(t)))
	zone, _ := plan.Zone(mustWire(t, "example.com."))
	if ttl := zone.Negative.TTL; ttl > 60 {
		t.Errorf("negative TTL of a zone that steers = %d, want at most 60", ttl)
	}
	name := zone.Find(mustWire(t, "canary.example.com.")).Name
	rrs, err := zone.NoData(name).RRs("example.com.")
	if soa := rrs[0].(*dns.SOA); err != nil || soa.Hdr.Ttl != 10 || soa.Minttl != 10 {
		t.Errorf("SOA of a NODATA at a name with TTL 10 = %v (%v), want TTL and minimum 10", soa, err)
	}
	if types := zone.Types(nil, name); !slices.Equal(types, []uint16{dns.TypeA}) {
		t.Errorf("types of canary = %v, want A only", types)
	}
}
