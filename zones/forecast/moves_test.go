package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/zones"
)

func TestMoves(t *testing.T) {
	table := table(t)
	const (
		failover = "  a:\n    policy: failover\n    members: [{endpoint: us, region: us-east, address: 192.0.2.1}, {endpoint: eu, region: eu-west, address: 192.0.2.2}]\n"
		turned   = "  a:\n    policy: failover\n    members: [{endpoint: eu, region: eu-west, address: 192.0.2.2}, {endpoint: us, region: us-east, address: 192.0.2.1}]\n"
		byPlace  = "  a:\n    policy: geo\n    members: [{endpoint: us, region: us-east, address: 192.0.2.1, default: true}, {endpoint: eu, region: eu-west, address: 192.0.2.2, countries: DE}]\n"
		wider    = "  a:\n    policy: geo\n    members: [{endpoint: us, region: us-east, address: 192.0.2.1, default: true}, {endpoint: eu, region: eu-west, address: 192.0.2.2, continents: EU}]\n"
		both     = "  a:\n    policy: geo\n    members: [{endpoint: us, region: us-east, address: 192.0.2.1, default: true}, {endpoint: eu, region: eu-west, address: [192.0.2.2, \"2001:db8::2\"], countries: DE}]\n"
	)
	weighted := func(us, eu int, more string) string {
		return fmt.Sprintf("  a:\n    policy: weighted\n%s    members: [{endpoint: us, region: us-east, address: 192.0.2.1, weight: %d}, {endpoint: eu, region: eu-west, address: 192.0.2.2, weight: %d}]\n", more, us, eu)
	}
	for _, c := range []struct {
		why, before, after string
		want               string
	}{
		{"nothing changes", failover, failover, ""},
		{"all move", failover, turned, "100.0/100.0: us-east→eu-west 100.0/100.0"},
		{"one country of four", failover, byPlace, "25.0/25.0: us-east→eu-west 25.0/25.0"},
		{"one more", byPlace, wider, "25.0/25.0: us-east→eu-west 25.0/25.0"},
		{"one country has an IPv6 address, which its IPv6 clients take", byPlace, both, "0.0/25.0: eu-west→eu-west 0.0/25.0"},
		{"weights that come to the same", weighted(1, 1, ""), weighted(7, 7, ""), ""},
		{"weights that do not", weighted(1, 1, ""), weighted(3, 1, ""), "25.0/25.0: eu-west→us-east 25.0/25.0"},
		{"sticky, by the shares of the prefixes", weighted(1, 1, "    sticky: prefix\n"), weighted(3, 1, "    sticky: prefix\n"), "25.0/25.0: eu-west→us-east 25.0/25.0"},
		{"from a policy to another", weighted(1, 1, ""), byPlace, "50.0/50.0: eu-west→us-east 37.5/37.5, us-east→eu-west 12.5/12.5"},
		{"two of two are answered: the client takes either", weighted(1, 3, ""), weighted(1, 3, "    answers: 2\n"), "25.0/25.0: eu-west→us-east 25.0/25.0"},
		{"an endpoint is called otherwise", failover, strings.ReplaceAll(failover, "endpoint: us", "endpoint: use1"), ""},
		{"an endpoint has another address", failover, strings.ReplaceAll(failover, "192.0.2.1}", "192.0.2.3}"), "100.0/100.0: us-east→us-east 100.0/100.0"},
		{"the TTL is another", failover, strings.ReplaceAll(failover, "failover\n", "failover\n    ttl: 20s\n"), ""},
		{"what is preferred starts off", failover, strings.ReplaceAll(failover, "192.0.2.1}", "192.0.2.1, control: c-ap-south}"), "100.0/100.0: us-east→eu-west 100.0/100.0"},
		{"nothing is enabled", failover, strings.ReplaceAll(failover, "}, {", ", enabled: false}, {enabled: false, "), "100.0/100.0: us-east→(no answer) 100.0/100.0"},
		{"last resort", failover, strings.ReplaceAll(strings.ReplaceAll(failover, "}, {", ", enabled: false}, {enabled: false, "), "    members", "    when_all_down: last_resort\n    last_resort: 192.0.2.9\n    members"), "100.0/100.0: us-east→(last resort) 100.0/100.0"},
	} {
		m := Moves(snapshot(t, table, c.before, "www: {pool: a}"), snapshot(t, table, c.after, "www: {pool: a}"), nil)
		if got := movesText(&m); got != c.want {
			t.Errorf("%s: moves %q, want %q", c.why, got, c.want)
		}
	}
}

// movesText is every move of names in one line: all that moves, then from where to where.
func movesText(c *Clients) string {
	var texts []string
	number := func(s Share) string {
		text := fmt.Sprintf("%.1f/%.1f", 100*s.IPv4, 100*s.IPv6)
		if c.Listed > 0 {
			text += fmt.Sprintf("/%.1f", 100*s.Prefixes)
		}
		return text
	}
	for _, m := range c.Moves {
		var flows []string
		for _, f := range m.Flows {
			flows = append(flows, f.From+"→"+f.To+" "+number(f.Share))
		}
		texts = append(texts, number(m.Moved)+": "+strings.Join(flows, ", "))
	}
	return strings.Join(texts, "; ")
}

// A name that comes or goes is compared with what would have answered it: a wildcard, the zone file, or nothing.
func TestNamesThatComeAndGo(t *testing.T) {
	table := table(t)
	const pools = "  a: {policy: failover, members: [{endpoint: us, region: us-east, address: 192.0.2.1}]}\n  b: {policy: failover, members: [{endpoint: eu, region: eu-west, address: 192.0.2.2}]}\n"
	for _, c := range []struct{ why, before, after, want string }{
		{"a new name", "", "www: {pool: a}", "(no such name)→us-east www.example.com."},
		{"one that is gone", "www: {pool: a}", "", "us-east→(no such name) www.example.com."},
		{"one that the zone file has, too", "", "plain: {pool: a}", "(zone file)→us-east plain.example.com."},
		{"one that a wildcard answered", `"*": {pool: b}`, `"*": {pool: b}, www: {pool: a}`, "eu-west→us-east www.example.com."},
		{"one that a wildcard answers now", `"*": {pool: b}, www: {pool: b}`, `"*": {pool: b}`, ""},
		{"one that others lie below", "a.www: {pool: b}", "a.www: {pool: b}, www: {pool: a}", "(no answer)→us-east www.example.com."},
		{"another pool", "www: {pool: a}, api: {pool: a}, shop: {pool: a}", "www: {pool: b}, api: {pool: b}, shop: {pool: a}", "us-east→eu-west api.example.com. www.example.com."},
	} {
		m := Moves(snapshot(t, table, pools, c.before), snapshot(t, table, pools, c.after), nil)
		var got []string
		for _, move := range m.Moves {
			if len(move.Flows) != 1 {
				t.Errorf("%s: flows %v, want one", c.why, move.Flows)
			}
			got = append(got, move.Flows[0].From+"→"+move.Flows[0].To+" "+strings.Join(move.Names, " "))
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %q, want %q", c.why, text, c.want)
		}
	}
}

func TestListedPrefixes(t *testing.T) {
	table := table(t)
	const pools = "  a:\n    policy: cidr\n    members: [{endpoint: us, region: us-east, address: 192.0.2.1, default: true}, {endpoint: eu, region: eu-west, address: 192.0.2.2, prefixes: [20.0.4.0/24, 10.0.0.0/8]}]\n"
	before := strings.ReplaceAll(pools, "20.0.4.0/24, 10.0.0.0/8", "20.0.5.0/24")
	prefixes, err := ParsePrefixes("f", []byte("20.0.4.0/25 3\n20.0.6.0/24 4\n10.1.0.0/16 2\n2600::/48"))
	if err != nil {
		t.Fatal(err)
	}
	m := Moves(snapshot(t, table, before, "www: {pool: a}"), snapshot(t, table, pools, "www: {pool: a}"), prefixes)
	// One /24 of 16 × 256 goes each way, and three of ten parts of the list; private space says nothing of a client.
	const want = "0.0/0.0/50.0: us-east→eu-west 0.0/0.0/50.0, eu-west→us-east 0.0/0.0/0.0"
	if got := movesText(&m); got != want {
		t.Errorf("moves %q, want %q", got, want)
	}
	if each := 1.0 / (16 * 256); math.Abs(m.Moved.IPv4-2*each) > tolerable || m.Moved.IPv6 != 0 {
		t.Errorf("moved %v, want two /24 of 16 × 256", m.Moved)
	}
}

// Whatever the pools are: what leaves a region arrives in others, all shares are of one whole, and there is no move between equals.
func TestSharesSumUp(t *testing.T) {
	table := table(t)
	prefixes, err := ParsePrefixes("f", []byte("20.0.0.0/24 3\n20.1.9.0/24\n20.2.8.0/21 2.5\n20.3.3.3\n2600::/48\n2600:7::/40 2\n20.200.0.0/16\n"))
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	const steer = "a: {pool: p0}, b: {pool: p1}, c: {pool: p2}, d: {pool: p2}"
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 1))
		first, second := randomPools(r), randomPools(r)
		before, after := snapshot(t, table, first, steer), snapshot(t, table, second, steer)
		there, back := Moves(before, after, prefixes), Moves(after, before, prefixes)
		for _, m := range there.Moves {
			moved++
			checkMove(t, seed, &m)
		}
		checkLoads(t, seed, "all names", there.Regions)
		if d := distance(there.Moved, back.Moved); d > tolerable {
			t.Errorf("seed %d: %v move there and %v back", seed, there.Moved, back.Moved)
		}
		again := snapshot(t, table, first, steer)
		if m := Moves(before, again, prefixes); len(m.Moves) > 0 || m.Moved != (Share{}) {
			t.Errorf("seed %d: %v moves between equal worlds", seed, movesText(&m))
		}
	}
	if moved < 150 {
		t.Errorf("only %d names moved", moved)
	}
}

func checkMove(t *testing.T, seed uint64, m *Move) {
	t.Helper()
	var flows Share
	net := map[string]Share{}
	for _, f := range m.Flows {
		if f.IPv4 < 0 || f.IPv6 < 0 || f.Prefixes < 0 {
			t.Errorf("seed %d: %v: negative flow %v", seed, m.Names, f)
		}
		flows = flows.plus(f.Share, 1)
		net[f.From] = net[f.From].plus(f.Share, -1)
		net[f.To] = net[f.To].plus(f.Share, 1)
	}
	if distance(flows, m.Moved) > tolerable {
		t.Errorf("seed %d: %v: flows come to %v, moved is %v", seed, m.Names, flows, m.Moved)
	}
	checkLoads(t, seed, m.Names[0], m.Regions)
	for _, l := range m.Regions {
		if gain := l.After.plus(l.Before, -1); distance(gain, net[l.Region]) > tolerable {
			t.Errorf("seed %d: %v: %s has %v more, but the flows bring %v", seed, m.Names, l.Region, gain, net[l.Region])
		}
	}
}

func checkLoads(t *testing.T, seed uint64, what string, loads []Load) {
	t.Helper()
	var before, after Share
	for _, l := range loads {
		before, after = before.plus(l.Before, 1), after.plus(l.After, 1)
	}
	if one := (Share{1, 1, 1}); distance(before, one) > tolerable || distance(after, one) > tolerable {
		t.Errorf("seed %d: %s: the regions have %v before and %v after, want 1 of everything", seed, what, before, after)
	}
}

// tolerable is what the rounding of many shares comes to.
const tolerable = 1e-7

func distance(a, b Share) float64 {
	d := a.plus(b, -1)
	return max(math.Abs(d.IPv4), math.Abs(d.IPv6), math.Abs(d.Prefixes))
}

// The slow twin asks for many clients what they are answered, and takes the first address of each.
func TestMovesAgreeWithAnswers(t *testing.T) {
	table := table(t)
	const draws = 20_000
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		before, after := snapshot(t, table, randomPools(r), "www: {pool: p0}"), snapshot(t, table, randomPools(r), "www: {pool: p0}")
		m := Moves(before, after, nil)
		want := map[string][2]float64{}
		for _, l := range m.Regions {
			want[l.Region] = [2]float64{l.Before.IPv4, l.After.IPv4}
		}
		for i, s := range []*zones.Snapshot{before, after} {
			got := map[string]float64{}
			for range draws {
				a := netip.AddrFrom4([4]byte{20, byte(r.IntN(16)), byte(r.IntN(256)), byte(r.IntN(256))})
				got[drawn(s, a, r.Uint32())] += 1.0 / draws
			}
			for region := range want {
				if d := math.Abs(got[region] - want[region][i]); d > 0.02 {
					t.Errorf("seed %d: %s has %.3f of the answers drawn, want %.3f", seed, region, got[region], want[region][i])
				}
			}
		}
	}
}

// drawn returns the region that a client goes to.
func drawn(s *zones.Snapshot, a netip.Addr, random uint32) string {
	zone, _ := s.Plan.Zone([]byte("\x07example\x03com\x00"))
	number, seed := zone.Steering(zone.Find([]byte("\x03www\x07example\x03com\x00")).Name)
	pool := s.Pools[number]
	client := zones.Client{Source: a}
	g, _ := pool.Plan.Group(client)
	prefix, _ := client.Prefix(seed)
	for family := range 2 {
		choice := pool.Groups[g].Families[family].Part(prefix)
		o := choice.Pick(random, prefix)
		switch {
		case o == nil:
		case len(o.Members) == 0:
			return fromLastResort
		default:
			return string(pool.Plan.Leaves[o.Members[o.Turn(random)]].Region)
		}
	}
	return fromNowhere
}

// Of a sticky pool each prefix has its member: as many change it as are said to move.
func TestStickyMovesAsSaid(t *testing.T) {
	table := table(t)
	pool := func(members string) string {
		return "  p0:\n    policy: weighted\n    sticky: prefix\n    members:\n" + members
	}
	two := pool("      - {endpoint: us, region: us-east, address: 192.0.2.1, weight: 2}\n      - {endpoint: eu, region: eu-west, address: 192.0.2.2, weight: 1}\n")
	three := two + "      - {endpoint: ap, region: ap-south, address: 192.0.2.3, weight: 1}\n"
	before, after := snapshot(t, table, two, "www: {pool: p0}"), snapshot(t, table, three, "www: {pool: p0}")
	moved, all := 0, 0
	for second := range 16 {
		for third := range 256 {
			a := netip.AddrFrom4([4]byte{20, byte(second), byte(third), 1})
			if drawn(before, a, 0) != drawn(after, a, 0) {
				moved++
			}
			all++
		}
	}
	m := Moves(before, after, nil)
	if got := float64(moved) / float64(all); math.Abs(got-m.Moved.IPv4) > 0.03 || math.Abs(m.Moved.IPv4-0.25) > tolerable {
		t.Errorf("%.3f of the prefixes have another member, %.3f are said to move, want 0.25", got, m.Moved.IPv4)
	}
}

func TestOrderOfLists(t *testing.T) {
	table := table(t)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		const steer = "a: {pool: p0}, b: {pool: p1}, c: {pool: p2}"
		m := Moves(snapshot(t, table, randomPools(r), steer), snapshot(t, table, randomPools(r), steer), nil)
		if !slices.IsSortedFunc(m.Moves, func(a, b Move) int { return a.Moved.most(b.Moved) }) {
			t.Errorf("seed %d: moves are not ordered: %v", seed, movesText(&m))
		}
		for _, move := range m.Moves {
			if !slices.IsSortedFunc(move.Flows, func(a, b Flow) int { return a.Share.most(b.Share) }) {
				t.Errorf("seed %d: flows are not ordered: %v", seed, move.Flows)
			}
		}
	}
}
