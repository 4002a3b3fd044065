package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// The last line of an explanation is the answer as it goes out, whatever the world, the client, and the state of things.
func TestExplainIsTheAnswer(t *testing.T) {
	table := Table()
	rapid.Check(t, func(t *rapid.T) {
		world := drawWorld(t)
		plan, err := world.Compile(table, rtt.New().Orders())
		if err != nil {
			t.Fatal(err)
		}
		in := zones.Inputs{Health: drawHealth(t, plan), Control: drawControl(t, world), Spill: drawSpill(t, world)}
		snapshot := plan.Publish(nil, in, zones.Change{All: true}, epoch)
		for range 20 {
			q := drawQuestion(t)
			explanation, err := snapshot.Explain(q)
			if err != nil {
				t.Fatalf("Explain(%+v): %v", q, err)
			}
			if got := answerLine(t, snapshot, q); got != explanation.Last() {
				t.Fatalf("%+v is answered\n%s\nand explained\n%s", q, got, explanation)
			}
		}
	})
}

var drawnRegions = []zones.Region{
	{ID: "eu", At: geo.Coordinates{Latitude: 53, Longitude: -6}, Vantage: true},
	{ID: "in", At: geo.Coordinates{Latitude: 19, Longitude: 73}, Vantage: true},
	{ID: "us", At: geo.Coordinates{Latitude: 39, Longitude: -77}, Vantage: true},
}

const drawnZone = `
@        SOA ns1 hostmaster 1 7200 900 1209600 300
@        NS  ns1
ns1      A   192.0.2.1
www      CNAME pool0
www2     CNAME www
away     CNAME www.elsewhere.example.
text     TXT "one" "two"
text     TXT "three"
*.wild   A   192.0.2.80
no.wild  TXT "not the wildcard's"
deep.ent TXT "below an empty non-terminal"
child    NS  ns.child
ns.child A   192.0.2.53
pool1    TXT "beside steered addresses"
`

// drawWorld draws pools of every policy, with members and controls, in one zone.
func drawWorld(t *rapid.T) *zones.World {
	w := &zones.World{Regions: drawnRegions}
	w.Checks = []zones.Check{{Name: "c", Kind: health.KindTCP, Port: 80, Interval: 10 * time.Second, Fall: 3, Rise: 3, HoldDown: 30 * time.Second}}
	panel := control.Panel{Name: "p"}
	for i := range 4 {
		panel.Controls = append(panel.Controls, control.NewControl{Name: control.ControlID(fmt.Sprint("k", i))})
	}
	w.Definitions.Panels = []control.Panel{panel}
	var steer []zones.Steer
	for i := range 3 {
		earlier := ""
		if i > 0 {
			earlier = w.Pools[i-1].Name
		}
		pool := drawPool(t, fmt.Sprint("pool", i), earlier)
		w.Pools = append(w.Pools, pool)
		steer = append(steer, zones.Steer{Owner: pool.Name + ".example.com.", Pool: pool.Name, HTTPS: pool.HTTPS != nil})
	}
	zone, err := zones.ReadZone("example.com.", "zone", strings.NewReader("$TTL 300\n"+drawnZone), steer)
	if err != nil {
		t.Fatal(err)
	}
	w.Zones = []zones.Zone{zone}
	return w
}

// drawPool draws a pool that may have an earlier one as a member; empty: there is none.
func drawPool(t *rapid.T, name, earlier string) zones.Pool {
	pool := zones.Pool{
		Name: name, TTL: 30 * time.Second, View: rapid.SampledFrom([]zones.View{zones.Global, zones.Regional}).Draw(t, "view"),
		Policy: rapid.SampledFrom([]zones.Policy{zones.Failover, zones.Weighted, zones.Geo, zones.Latency, zones.Geoproximity, zones.CIDR,
			zones.Multivalue}).Draw(t, "policy"),
		WhenAllDown: rapid.SampledFrom([]zones.AllDown{zones.Open, zones.LastResort, zones.NoData}).Draw(t, "when all down"),
		Check:       rapid.SampledFrom([]string{"c", "c", "c", ""}).Draw(t, "check"),
		Answers:     rapid.SampledFrom([]int{1, 1, 2, 3, 8}).Draw(t, "answers"),
		Sticky:      rapid.IntRange(0, 3).Draw(t, "sticky") == 0,
		MinUp:       rapid.SampledFrom([]zones.MinUp{{Count: 1}, {Count: 2}, {Percent: 50}}).Draw(t, "min up"),
		SlowStart:   rapid.SampledFrom([]time.Duration{0, 120 * time.Second}).Draw(t, "slow start"),
		Failback:    rapid.SampledFrom([]zones.Failback{zones.FailbackAuto, zones.FailbackManual, zones.FailbackRamp}).Draw(t, "failback"),
	}
	if rapid.IntRange(0, 3).Draw(t, "https") == 0 {
		pool.HTTPS = &zones.HTTPS{ALPN: []string{"h2"}}
	}
	if pool.WhenAllDown == zones.LastResort {
		pool.LastResort = []netip.Addr{netip.MustParseAddr("192.0.2.98"), netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("2001:db8::99")}
	}
	number := int(name[len(name)-1] - '0')
	for i := range rapid.IntRange(1, 5).Draw(t, "members") {
		m := zones.Member{Endpoint: fmt.Sprintf("%s-e%d", name, i), Enabled: rapid.IntRange(0, 5).Draw(t, "enabled") > 0}
		m.Region = rapid.SampledFrom(drawnRegions).Draw(t, "region").ID
		if i == 1 && earlier != "" && rapid.Bool().Draw(t, "nested") {
			m.Endpoint, m.Pool = "", earlier
		} else {
			drawAddress(t, &m, 20*number+i)
		}
		if rapid.IntRange(0, 2).Draw(t, "capped") == 0 {
			m.Capacity = zones.Capacity{Requests: 100}
		}
		if k := rapid.IntRange(0, 5).Draw(t, "control"); k < 4 {
			m.Control = control.ControlID(fmt.Sprint("k", k))
		}
		drawMatches(t, &m, pool.Policy, i == 0)
		pool.Members = append(pool.Members, m)
	}
	return pool
}

func drawAddress(t *rapid.T, m *zones.Member, number int) {
	families := rapid.IntRange(1, 3).Draw(t, "families")
	if families&1 != 0 {
		m.Address[zones.IPv4] = netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + number)})
	}
	if families&2 != 0 {
		m.Address[zones.IPv6] = netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", 10+number))
	}
}

// drawMatches draws by what the policy knows a member.
func drawMatches(t *rapid.T, m *zones.Member, policy zones.Policy, first bool) {
	switch policy {
	case zones.Weighted:
		m.Weight = rapid.SampledFrom([]int{0, 1, 2, 65535}).Draw(t, "weight")
	case zones.Geoproximity:
		m.Bias = rapid.SampledFrom([]int{0, 0, 50, -50, 99, -99}).Draw(t, "bias")
	case zones.Geo:
		m.Countries = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"US", "DE", "JP"}), 0, 2, rapid.ID[string]).Draw(t, "countries")
		m.Continents = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"EU", "AS"}), 0, 1, rapid.ID[string]).Draw(t, "continents")
	case zones.CIDR:
		listed := []netip.Prefix{netip.MustParsePrefix("5.0.0.0/9"), netip.MustParsePrefix("5.0.0.0/24"), netip.MustParsePrefix("2a00::/20"),
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("17.0.0.0/26")}
		m.Prefixes = rapid.SliceOfNDistinct(rapid.SampledFrom(listed), 0, 2, rapid.ID[netip.Prefix]).Draw(t, "prefixes")
	default:
		return
	}
	if policy != zones.Geo && policy != zones.CIDR {
		return
	}
	m.Default = first || rapid.Bool().Draw(t, "default")
	if len(m.Countries)+len(m.Continents)+len(m.Prefixes) > 0 && rapid.IntRange(0, 3).Draw(t, "fence") == 0 {
		m.Fence = &zones.Fence{Addresses: rapid.SampledFrom([][]netip.Addr{nil, {netip.MustParseAddr("192.0.2.97")}, {netip.MustParseAddr("2001:db8::97")}}).Draw(t, "fenced")}
	}
}

// drawSpill draws how much the members with a capacity keep.
func drawSpill(t *rapid.T, w *zones.World) *zones.Spill {
	var kept []zones.Kept
	var draw func(root string, pool *zones.Pool, path string)
	draw = func(root string, pool *zones.Pool, path string) {
		for _, m := range pool.Members {
			if m.Capacity != (zones.Capacity{}) {
				kept = append(kept, zones.Kept{Pool: root, Member: path + m.Name(), PerMille: rapid.SampledFrom([]uint16{1, 200, 500, 900, 1000}).Draw(t, "kept")})
			}
			for i := range w.Pools {
				if w.Pools[i].Name == m.Pool {
					draw(root, &w.Pools[i], path+m.Pool+"/")
				}
			}
		}
	}
	for i := range w.Pools {
		draw(w.Pools[i].Name, &w.Pools[i], "")
	}
	return zones.NewSpill(kept)
}

// drawHealth draws what three vantages say of every target, at some time after the start.
func drawHealth(t *rapid.T, p *zones.Plan) *health.View {
	table := health.NewTable("eu", epoch)
	var vantages []health.Vantage
	for _, r := range drawnRegions {
		vantages = append(vantages, health.Vantage{Node: health.NodeID(r.ID), Region: r.ID})
	}
	table.SetVantages(vantages)
	table.SetTargets(p.Targets, nil, epoch)
	now := epoch
	for round := range rapid.IntRange(0, 3).Draw(t, "rounds") {
		now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, 12 * time.Second, time.Minute}).Draw(t, "later"))
		for _, v := range vantages {
			batch := health.Batch{Origin: v.Node, Incarnation: 1, Full: true, Sequence: uint64(100 * (round + 1))}
			for i, target := range p.Targets {
				state := rapid.SampledFrom([]health.State{health.Unknown, health.Up, health.Up, health.Down, health.Down, health.Drain}).Draw(t, "state")
				if state != health.Unknown {
					batch.Records = append(batch.Records, health.Record{Check: target.ID.Key(), Definition: target.Digest(), State: state,
						Sequence: uint64(100*round + i + 1)})
				}
			}
			table.Merge(&batch)
			if rapid.IntRange(0, 3).Draw(t, "silent") > 0 {
				_, _, digest := table.Vector(v.Node)
				table.Hear(&health.Heartbeat{Origin: v.Node, Incarnation: 1, Sequence: uint64(round + 1), Digest: digest}, now)
			}
		}
		table.Advance(now)
	}
	table.Advance(now.Add(rapid.SampledFrom([]time.Duration{0, 20 * time.Second}).Draw(t, "silence")))
	return table.View()
}

func drawControl(t *rapid.T, w *zones.World) *control.State {
	if rapid.IntRange(0, 4).Draw(t, "control known") == 0 {
		return nil
	}
	state, _ := control.New(1).Apply(1, control.Command{Kind: control.KindDefine, Time: epoch, Actor: "a", Reason: "b", Definitions: &w.Definitions})
	command := control.Command{Kind: control.KindSet, Time: epoch, Actor: "a", Reason: "b"}
	for _, c := range state.Controls() {
		command.Switches = append(command.Switches, control.Switch{Control: c.Name, On: rapid.Bool().Draw(t, string(c.Name))})
	}
	state, _ = state.Apply(2, command)
	byHand := control.Command{Kind: control.KindOverlay, Time: epoch, Actor: "a", Reason: "b"}
	latch := control.Command{Kind: control.KindLatch, Time: epoch, Actor: "a", Reason: "b"}
	for _, pool := range w.Pools {
		for _, m := range pool.Members {
			if m.Endpoint == "" {
				continue
			}
			// "" and Auto are of those that nobody touches.
			if hand := rapid.SampledFrom([]control.Manual{"", "", control.Auto, control.ForceUp, control.ForceDown, control.Drain}).Draw(t, "by hand"); hand != "" {
				byHand.Overlays = append(byHand.Overlays, control.OverlaySet{Endpoint: m.Endpoint, State: hand})
			}
			if rapid.IntRange(0, 3).Draw(t, "latched") == 0 {
				latch.Latch = append(latch.Latch, control.Member{Pool: pool.Name, Endpoint: m.Endpoint})
			}
		}
	}
	for _, command := range []control.Command{byHand, latch} {
		if len(command.Overlays)+len(command.Latch) > 0 {
			var result control.Result
			if state, result = state.Apply(state.Index+1, command); result.Err() != nil {
				t.Fatal(result.Err())
			}
		}
	}
	return state
}

func drawQuestion(t *rapid.T) zones.Question {
	name := rapid.SampledFrom([]string{"pool0", "pool0", "pool1", "pool2", "Pool2", "www", "www2", "away", "text", "a.wild", "no.wild", "x.no.wild", "ent",
		"child", "x.child", "X.Child", "nothing", ""}).Draw(t, "name")
	q := zones.Question{Name: strings.TrimPrefix(name+".example.com.", "."), Client: rapid.SampledFrom(Clients()).Draw(t, "client"), Random: rapid.Uint32().Draw(t, "random")}
	q.Type = rapid.SampledFrom([]uint16{dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeTXT, dns.TypeCNAME, dns.TypeDS, dns.TypeSOA, dns.TypeANY}).Draw(t, "type")
	if rapid.IntRange(0, 20).Draw(t, "elsewhere") == 0 {
		q.Name = "www.example.org."
	}
	return q
}

// answerLine asks over the wire, and writes the answer as an explanation does.
func answerLine(t *rapid.T, s *zones.Snapshot, q zones.Question) string {
	query, _ := pack(q.Name, q.Type, q.Client)
	answer, _ := wire.Answer(nil, s, nil, &wire.Request{Query: query, Source: q.Client.Source, Limit: wire.MaxMessage, Random: q.Random})
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("answer to %+v: %v", q, err)
	}
	e := zones.Explanation{RCode: dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		e.Answer = append(e.Answer, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	for _, rr := range m.Ns {
		if rr.Header().Rrtype == dns.TypeNS {
			e.Refer = append(e.Refer, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
				e.Scope = int(subnet.SourceScope)
			}
		}
	}
	return e.Last()
}

// Each option of a choice gets its weight's share of the answers.
func TestSharesOfAnswers(t *testing.T) {
	s := New(Setting{Seed: 1, Plan: goodPlan(t, "seeds")})
	s.RunUntil(10 * time.Second)
	rnd := rand.New(rand.NewPCG(1, 2))
	query, body := pack("canary.shop.example.", dns.TypeA, zones.Client{Source: netip.MustParseAddr("5.1.2.3")})
	const n = 100_000
	counts := make(map[netip.Addr]int)
	for range n {
		answer, _ := wire.Answer(nil, s.hosts[0].snapshot, nil, &wire.Request{
			Query: query, Source: netip.MustParseAddr("5.1.2.3"), Limit: wire.MaxUDP, Random: rnd.Uint32(),
		})
		found, err := addresses(answer, body)
		if err != nil || len(found) != 1 {
			t.Fatalf("answer %v, %v, want one address", found, err)
		}
		counts[found[0]]++
	}
	for address, want := range map[string]float64{"192.0.2.10": 2.0 / 3, "192.0.2.20": 1.0 / 3, "192.0.2.30": 0} {
		if share := float64(counts[netip.MustParseAddr(address)]) / n; share < want-0.01 || share > want+0.01 {
			t.Errorf("%s has %.3f of the answers, want %.3f", address, share, want)
		}
	}
}
