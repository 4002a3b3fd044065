package zones

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

const capacityWorld = `
regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}, as: {coordinates: [19, 73]}}
checks: {c: {type: tcp, port: 80}}
pools:
  near:
    policy: latency
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, capacity: 1000}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, capacity: 1000}
      - {endpoint: as1, region: as, address: 192.0.2.3, capacity: 500}
  open:
    policy: latency
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, capacity: 1000}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
  halves:
    policy: weighted
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, capacity: 30%}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, capacity: 90%}
  pair:
    policy: weighted
    check: c
    members:
      - {endpoint: eu2, region: eu, address: 192.0.2.4}
      - {endpoint: eu3, region: eu, address: 192.0.2.5, capacity: 300}
  nested:
    policy: latency
    check: c
    members:
      - {pool: pair, region: eu, capacity: 800}
      - {endpoint: us1, region: us, address: 192.0.2.1, capacity: 1000}
  families:
    policy: latency
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, capacity: 1000}
      - {endpoint: eu6, region: eu, address: [192.0.2.6, "2001:db8::6"], capacity: 1000}
  wanting:
    policy: failover
    check: c
    min_up: 2
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, capacity: 50%}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
  fenced:
    policy: geo
    check: c
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1, countries: [US], fence: true, fenced: nodata, capacity: 1000}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, default: true, capacity: 1000}
`

// TestSpillIsExplained: to who is answered with a full member, to who is not, and to who would not have been anyway.
func TestSpillIsExplained(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{
		"w.yaml": []byte(capacityWorld + "zones: {example.com: {file: z, steer: {www: {pool: near}}}}\n"),
		"z":      []byte("@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\nns A 192.0.2.53\n"),
	}))
	explain := func(client netip.Prefix, kept uint16) (why string, perMille uint16) {
		t.Helper()
		in := Inputs{Health: statuses(plan, ""), Spill: NewSpill([]Kept{{"near", "eu1", kept}})}
		s := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
		e, err := s.Explain(Question{Name: "www.example.com.", Type: dns.TypeA, Client: Client{Source: netip.MustParseAddr("127.0.0.1"), Subnet: client}})
		if err != nil {
			t.Fatal(err)
		}
		if e.Pool.Prefix != nil {
			perMille = e.Pool.Prefix.PerMille
		}
		for _, m := range e.Pool.Members {
			if m.Endpoint == "eu1" {
				why = m.Why
			}
		}
		return why, perMille
	}
	_, at := explain(german, 500)
	for _, row := range []struct {
		client netip.Prefix
		kept   uint16
		want   string
	}{
		{german, at, "is up (full: it has room for %.3g %% of the prefixes), but not for this prefix"},
		{german, at + 1, "is up (full: it has room for %.3g %% of the prefixes): answered"},
		{american, at, "is up (full: it has room for %.3g %% of the prefixes), but another is preferred"},
	} {
		if got, _ := explain(row.client, row.kept); got != fmt.Sprintf(row.want, float64(row.kept)/10) {
			t.Errorf("%v, whose hash stands at %d, while eu1 keeps %d: eu1 %s, want %s", row.client, at, row.kept, got, row.want)
		}
	}
}

// TestFullPoolIsExplained: a pool in a pool that has no room for a prefix says so.
func TestFullPoolIsExplained(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{
		"w.yaml": []byte(capacityWorld + "zones: {example.com: {file: z, steer: {www: {pool: nested}}}}\n"),
		"z":      []byte("@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\nns A 192.0.2.53\n"),
	}))
	for kept, want := range map[uint16]string{1: "is available, but has nobody for this prefix", 999: "answered"} {
		s := plan.Publish(nil, Inputs{Health: statuses(plan, ""), Spill: NewSpill([]Kept{{"nested", "pair", kept}})}, Change{All: true}, time.Unix(0, 0))
		e, err := s.Explain(Question{Name: "www.example.com.", Type: dns.TypeA, Client: Client{Source: netip.MustParseAddr("127.0.0.1"), Subnet: german}})
		if err != nil {
			t.Fatal(err)
		}
		if m := e.Pool.Members[0]; m.Pool != "pair" || m.Why != want {
			t.Errorf("pair keeps %d: %s %s, want pair %s", kept, m.Pool, m.Why, want)
		}
	}
}

// wanted makes the demand of one pool of amounts by client.
func wanted(t testing.TB, plan *Plan, pool string, amounts map[netip.Prefix]float64) Demand {
	t.Helper()
	p := plan.Pools[poolNumber(t, plan, pool)]
	demand := make(map[uint64]float64)
	for client, amount := range amounts {
		g, _ := p.Group(Client{Source: netip.MustParseAddr("127.0.0.1"), Subnet: client})
		demand[p.Groups[g].Key] += amount
	}
	return Demand{pool: demand}
}

// loadText writes what the members get, and how much they keep if it is not all.
func loadText(loads []Load) string {
	var words []string
	for _, l := range loads {
		word := fmt.Sprintf("%s %.0f/%.0f", l.Member, l.Load, l.Capacity)
		if l.PerMille < FullRamp {
			word += fmt.Sprintf(" keeps %d", l.PerMille)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// after takes so many steps.
func after(plan *Plan, s *Snapshot, d Demand, steps int) *Snapshot {
	for range steps {
		in := s.inputs()
		spill := in.Spill
		in.Spill = plan.Spread(s, d)
		s = plan.Publish(s, in, Change{Pools: spill.Changed(in.Spill)}, s.Published)
	}
	return s
}

func TestSpread(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	type amounts = map[netip.Prefix]float64
	for _, row := range []struct {
		why, pool, health string
		demand            amounts
		want              string
	}{
		{"everyone has room", "near", "", amounts{american: 900, german: 1000, indian: 100}, "us1 900/1000, eu1 1000/1000, as1 100/500"},
		{"what is too much comes to the next", "near", "", amounts{american: 900, german: 1200, indian: 100}, "us1 900/1000, eu1 1000/1000 keeps 833, as1 300/500"},
		{"and what is too much for that to the one behind it", "near", "", amounts{american: 500, german: 1500, indian: 300}, "us1 802/1000, eu1 999/1000 keeps 666, as1 499/500 keeps 832"},
		{"all are full, and are in proportion beyond their capacities", "near", "", amounts{american: 1000, german: 1500, indian: 250}, "us1 1100/1000, eu1 1101/1000 keeps 734, as1 549/500 keeps 943"},
		{"a region is lost", "near", "us1=down", amounts{american: 500, german: 700, indian: 100}, "us1 0/1000, eu1 1000/1000 keeps 833, as1 300/500"},
		{"one without a capacity takes everything", "open", "", amounts{american: 9000}, "us1 999/1000 keeps 111"},
		{"nobody else is there", "near", "eu1=down as1=down", amounts{german: 5000}, "us1 5000/1000, eu1 0/1000, as1 0/500"},
		{"shares: less than its weight says", "halves", "", amounts{american: 50, german: 50}, "us1 30/30 keeps 600, eu1 70/90"},
		{"shares: of too few answers nothing follows", "halves", "", amounts{german: 0.9}, ""},
		{"a pool in the pool, and an endpoint in that", "nested", "", amounts{german: 1000, american: 100}, "pair 800/800 keeps 800, pair/eu3 300/300 keeps 600, us1 300/1000"},
		{"who is full is still up for min_up", "wanting", "", amounts{german: 100}, "us1 50/50 keeps 500"},
		{"nobody else may serve the clients behind a fence, and others have room", "fenced", "", amounts{american: 1500, german: 900}, "us1 1500/1000, eu1 900/1000"},
		{"nobody else has IPv6, so only clients by IPv4 go to the next one", "families", "", amounts{german: 1600}, "us1 600/1000, eu6 1000/1000 keeps 250"},
		{"nobody else has IPv6, and that alone is too much: in proportion", "families", "", amounts{german: 3000, american: 200}, "us1 1594/1000, eu6 1606/1000 keeps 4"},
		{"nothing is known of the demand", "near", "", nil, ""},
	} {
		demand := wanted(t, plan, row.pool, row.demand)
		s := plan.Publish(nil, Inputs{Health: statuses(plan, row.health)}, Change{All: true}, time.Unix(0, 0))
		s = after(plan, s, demand, 60)
		if got := loadText(s.Loads(demand)); got != row.want {
			t.Errorf("%s: %s\nwant %s", row.why, got, row.want)
		}
	}
}

// TestSpreadWhileMembersRecover: a ramp is nobody's fullness. It neither undoes a spill nor takes long to see through.
func TestSpreadWhileMembersRecover(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	demand := wanted(t, plan, "near", map[netip.Prefix]float64{american: 100, german: 1500, indian: 100})
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	s = after(plan, s, demand, 60)
	if got, want := loadText(s.Loads(demand)), "us1 202/1000, eu1 999/1000 keeps 666, as1 499/500 keeps 936"; got != want {
		t.Fatalf("before: %s, want %s", got, want)
	}
	for _, row := range []struct {
		why, want string
		back      map[string]time.Duration
	}{
		{"all come back at once, and so have everybody", "us1 202/1000, eu1 999/1000 keeps 666, as1 499/500 keeps 936", map[string]time.Duration{"us1": 0, "eu1": 0, "as1": 0}},
		{"the one that is full comes back", "us1 983/1000, eu1 218/1000 keeps 666, as1 499/500 keeps 448", map[string]time.Duration{"eu1": 0}},
	} {
		in := s.inputs()
		in.Health = recovered(plan, row.back)
		r := plan.Publish(s, in, Change{All: true}, time.Unix(6, 0))
		r = after(plan, r, demand, 10)
		if got := loadText(r.Loads(demand)); got != row.want {
			t.Errorf("%s: %s\nwant %s", row.why, got, row.want)
		}
		sp, _ := r.Pools[poolNumber(t, plan, "near")].Plan.spreader(r, demand["near"], false)
		if sp.target(1, mostSteps); sp.steps > 5000 {
			t.Errorf("%s: a goal takes %d steps", row.why, sp.steps)
		}
	}
}

// TestSpreadEnds: where next to nothing is wanted nobody is full, and where that is not known all stays.
func TestSpreadEnds(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	spill := NewSpill([]Kept{{"halves", "us1", 600}, {"near", "eu1", 400}})
	s := plan.Publish(nil, Inputs{Health: statuses(plan, ""), Spill: spill}, Change{All: true}, time.Unix(0, 0))
	for _, row := range []struct {
		why    string
		demand Demand
		want   string
	}{
		{"nothing is wanted", nil, "[]"},
		{"hardly anything is", wanted(t, plan, "halves", map[netip.Prefix]float64{german: 0.4}), "[]"},
		{"a little is: too little to tell shares by", wanted(t, plan, "halves", map[netip.Prefix]float64{german: 0.8}), "[{halves us1 600}]"},
		{"by groups that are no more", Demand{"halves": {12345: 100}, "near": {12345: 100}}, "[{halves us1 600} {near eu1 400}]"},
	} {
		if got := fmt.Sprint(plan.Spread(s, row.demand).All()); got != row.want {
			t.Errorf("%s: %s, want %s", row.why, got, row.want)
		}
	}
}

// TestManyGroups: groups that are answered alike are one, however many they are.
func TestManyGroups(t *testing.T) {
	var text strings.Builder
	text.WriteString("regions: {us: {coordinates: [39, -77]}}\npools:\n  p:\n    policy: cidr\n    members:\n")
	const each = 3 * mostGroups / 2
	for m := range 2 {
		fmt.Fprintf(&text, "      - {endpoint: a%d, region: us, address: 192.0.2.%d, capacity: 450, prefixes: [", m, m+1)
		for i := range each {
			fmt.Fprintf(&text, "%d.%d.%d.0/24, ", 8+m, i/256, i%256)
		}
		text.WriteString("]}\n")
	}
	text.WriteString("      - {endpoint: b, region: us, address: 192.0.2.9, default: true}\n")
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(text.String())}))
	demand := Demand{"p": {}}
	for g := range plan.Pools[0].Groups {
		if tiers := plan.Pools[0].Groups[g].Tiers; len(tiers) > 1 {
			demand["p"][plan.Pools[0].Groups[g].Key] = 1
		}
	}
	if n := len(demand["p"]); n <= 2*mostGroups {
		t.Fatalf("%d groups, want more than %d", n, 2*mostGroups)
	}
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	s = after(plan, s, demand, 30)
	if got, want := loadText(s.Loads(demand)), "a0 450/450 keeps 600, a1 450/450 keeps 600"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestSmallNeighbour: one that can take hardly anything does not slow down what goes to the one behind it.
func TestSmallNeighbour(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(strings.ReplaceAll(capacityWorld, "192.0.2.3, capacity: 500", "192.0.2.3, capacity: 10"))}))
	demand := wanted(t, plan, "near", map[netip.Prefix]float64{german: 1900})
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	s = after(plan, s, demand, 14)
	if got, want := loadText(s.Loads(demand)), "us1 891/1000, eu1 1001/1000 keeps 527, as1 8/10 keeps 531"; got != want {
		t.Errorf("after 7 minutes: %s, want %s", got, want)
	}
}

// TestSpreadOfUnknownGroups: clients of groups that this node does not have are like the others.
func TestSpreadOfUnknownGroups(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	demand := wanted(t, plan, "near", map[netip.Prefix]float64{american: 600, german: 600})
	demand["near"][12345] = 600
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	if got, want := loadText(s.Loads(demand)), "us1 900/1000, eu1 900/1000, as1 0/500"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := s.Loads(Demand{"near": {12345: 600}}); got != nil {
		t.Errorf("nothing but an unknown group: %v, want nothing", got)
	}
}

// TestSpreadIsTheSameEverywhere: to the last bit, in whatever order the demand is read.
func TestSpreadIsTheSameEverywhere(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	demand := wanted(t, plan, "near", map[netip.Prefix]float64{american: 500, german: 1500, indian: 300})
	for key := range uint64(60) {
		demand["near"][key+1] = 1 / float64(key+3)
	}
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	first := fmt.Sprint(s.Loads(demand))
	for range 100 {
		if got := fmt.Sprint(s.Loads(demand)); got != first {
			t.Fatalf("%s, and then %s", first, got)
		}
	}
}

// TestSpillAnswers: the prefixes that a member keeps are answered with it, the others with the next one, and explanations say so.
func TestSpillAnswers(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	for _, row := range []struct {
		why, pool, health string
		kept              []Kept
		client            netip.Prefix
		want              string
	}{
		{"nobody is full", "near", "", nil, german, "up: eu1"},
		{"the next one", "near", "", []Kept{{"near", "eu1", 400}}, german, "up: eu1 | 400-1000 as1"},
		{"clients of others are not touched", "near", "", []Kept{{"near", "eu1", 400}}, american, "up: us1"},
		{"two that are full", "near", "", []Kept{{"near", "eu1", 400}, {"near", "as1", 700}}, german, "up: eu1 | 400-700 as1 | 700-1000 us1"},
		{"for who is full for all, others are as if it had room", "near", "", []Kept{{"near", "eu1", 400}, {"near", "as1", 300}, {"near", "us1", 500}}, german, "up: eu1 | 400-500 us1"},
		{"who is not up gets nobody", "near", "as1=down", []Kept{{"near", "eu1", 400}}, german, "up: eu1 | 400-1000 us1"},
		{"with nobody up all count", "near", "all=down", []Kept{{"near", "eu1", 400}}, german, "open: eu1"},
		{"of another pool", "open", "", []Kept{{"near", "eu1", 400}}, german, "up: eu1"},
		{"a pool in the pool", "nested", "", []Kept{{"nested", "pair", 500}}, german, "up: eu2*1 eu3*1 | 500-1000 us1"},
		{"an endpoint in a pool in the pool", "nested", "", []Kept{{"nested", "pair/eu3", 500}}, german, "up: eu2*1 eu3*1 | 500-1000 eu2"},
		{"which is not the same as in that pool alone", "pair", "", []Kept{{"nested", "pair/eu3", 500}}, german, "up: eu2*1 eu3*1"},
		{"who is full is up for min_up", "wanting", "", []Kept{{"wanting", "us1", 500}}, german, "up: us1 | 500-1000 eu1"},
	} {
		in := Inputs{Health: statuses(plan, row.health), Spill: NewSpill(row.kept)}
		s := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
		if got := answerOf(t, s, row.pool, row.client, IPv4); got != row.want {
			t.Errorf("%s: %q, want %q", row.why, got, row.want)
		}
		in.Spill = nil
		before := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
		step := plan.Publish(before, s.inputs(), Change{Pools: before.Spill.Changed(s.Spill)}, time.Unix(0, 0))
		if step.Digest != s.Digest {
			t.Errorf("%s: digest %v after a change of the spill, %v anew", row.why, step.Digest, s.Digest)
		}
	}
}

// TestSpreadTimeline has a survivor take over what a dead region had, step by step, and give it back.
func TestSpreadTimeline(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	demand := func(scale float64) Demand {
		return wanted(t, plan, "near", map[netip.Prefix]float64{american: 500 * scale, german: 950 * scale, indian: 100 * scale})
	}
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	step := func(why, health string, scale float64, want string) {
		t.Helper()
		in := s.inputs()
		in.Health = statuses(plan, health)
		in.Spill = plan.Spread(s, demand(scale))
		s = plan.Publish(s, in, Change{All: true}, s.Published)
		if got := loadText(s.Loads(demand(scale))); got != want {
			t.Errorf("%s: %s\nwant %s", why, got, want)
		}
	}
	step("eu1 is near its capacity", "", 1, "us1 500/1000, eu1 950/1000, as1 100/500")
	step("its clients come to as1 at once, more than that can take", "eu1=down", 1, "us1 500/1000, eu1 0/1000, as1 1050/500")
	step("us1 gets a tenth of its capacity", "eu1=down", 1, "us1 600/1000, eu1 0/1000, as1 950/500 keeps 905")
	step("and a tenth again", "eu1=down", 1, "us1 700/1000, eu1 0/1000, as1 850/500 keeps 810")
	for range 10 {
		s = after(plan, s, demand(1), 1)
	}
	step("until both have too much in proportion", "eu1=down", 1, "us1 1033/1000, eu1 0/1000, as1 517/500 keeps 492")
}

// TestSpreadIsSteady: a demand that goes up and down a little moves nobody.
func TestSpreadIsSteady(t *testing.T) {
	plan := planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(capacityWorld)}))
	demand := func(scale float64) Demand {
		return wanted(t, plan, "near", map[netip.Prefix]float64{american: 300 * scale, german: 1500 * scale, indian: 100 * scale})
	}
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	s = after(plan, s, demand(1.04), 60)
	before := s.Spill
	for i := range 100 {
		s = after(plan, s, demand(1+0.04*math.Sin(float64(i))), 1)
		if changed := before.Changed(s.Spill); changed != nil {
			t.Fatalf("step %d: %v, before %v", i, s.Spill.All(), before.All())
		}
	}
	s = after(plan, s, demand(0.5), 60)
	if s.Spill != nil {
		t.Errorf("there is room again, and the spill is %v, want none", s.Spill.All())
	}
}

// TestSpreadKeepsItsPromises draws pools, demands and what is up.
func TestSpreadKeepsItsPromises(t *testing.T) {
	clients := []netip.Prefix{american, german, indian, nobody}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		text.WriteString("regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}, as: {coordinates: [19, 73]}}\nchecks: {c: {type: tcp, port: 80}}\npools:\n")
		policy := rapid.SampledFrom([]string{"latency", "weighted", "failover", "multivalue"}).Draw(t, "policy")
		fmt.Fprintf(&text, "  p:\n    policy: %s\n    check: c\n    answers: %d\n", policy, rapid.IntRange(1, 3).Draw(t, "answers"))
		if policy == "weighted" && rapid.Bool().Draw(t, "sticky") {
			text.WriteString("    sticky: prefix\n")
		}
		text.WriteString("    members:\n")
		members := rapid.IntRange(1, 6).Draw(t, "members")
		var down []string
		for i := range members {
			capacity := ""
			if rapid.IntRange(0, 4).Draw(t, "capped") > 0 {
				capacity = fmt.Sprintf(", capacity: %d", rapid.IntRange(10, 1000).Draw(t, "capacity"))
			}
			fmt.Fprintf(&text, "      - {endpoint: m%d, region: %s, address: 192.0.2.%d%s}\n", i, rapid.SampledFrom([]string{"us", "eu", "as"}).Draw(t, "region"), i+1, capacity)
			if rapid.IntRange(0, 4).Draw(t, "down") == 0 {
				down = append(down, fmt.Sprintf("m%d=down", i))
			}
		}
		world, err := Parse(map[string][]byte{"w.yaml": []byte(text.String())})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := world.Compile(testTable(nopTB{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		amounts := make(map[netip.Prefix]float64)
		total := 0.0
		for _, c := range clients {
			amounts[c] = float64(rapid.IntRange(0, 800).Draw(t, "demand"))
			total += amounts[c]
		}
		demand := wanted(nopTB{}, plan, "p", amounts)
		s := plan.Publish(nil, Inputs{Health: statuses(plan, strings.Join(down, " "))}, Change{All: true}, time.Unix(0, 0))
		before := s.Loads(demand)
		for i := range 40 {
			s = after(plan, s, demand, 1)
			loads := s.Loads(demand)
			for j, l := range loads {
				// A thousandth of the prefixes may move in any case.
				if more := l.Load - before[j].Load; more > mostMore*l.Capacity+total/FullRamp+1e-6 && total > 0 {
					t.Fatalf("%s\nstep %d brings %s %.1f of %.0f more:\n%s\n%s", text.String(), i, l.Member, more, l.Capacity, loadText(before), loadText(loads))
				}
			}
			before = loads
		}
		for _, l := range before {
			if counted := counted(s, demand, l.Member); math.Abs(counted-l.Load) > 1e-6*max(total, 1) {
				t.Fatalf("%s\n%s gets %.3f by its answers, predicted are %.3f", text.String(), l.Member, counted, l.Load)
			}
		}
		if policy == "latency" && len(down) < members {
			promised(t, s, demand, text.String())
		}
	})
}

// promised checks what an end state of a pool whose members all may serve everybody has to be like: nobody is beyond its capacity while
// another has room.
func promised(t *rapid.T, s *Snapshot, demand Demand, world string) {
	over, room := "", ""
	total := 0.0
	for _, amount := range demand["p"] {
		total += amount
	}
	p := s.Plan.Pools[0]
	standings, _ := p.standings(nil, s.inputs(), &p.Groups[0], s.Published)
	for i := range p.Leaves {
		if standings[i].rung[IPv4] == RungUp && p.Leaves[i].Capacity == (Capacity{}) {
			room = p.Leaves[i].Endpoint
		}
	}
	for _, l := range s.Loads(demand) {
		up := slicesIndexLeaf(p, l.Member)
		if standings[up].rung[IPv4] != RungUp {
			continue
		}
		if l.Load > l.Capacity+0.02*total {
			over = l.Member
		}
		if l.Load < 0.85*l.Capacity-0.02*total {
			room = l.Member
		}
	}
	if over != "" && room != "" {
		t.Fatalf("%s\n%s is beyond its capacity while %s has room:\n%s", world, over, room, loadText(s.Loads(demand)))
	}
}

func slicesIndexLeaf(p *PoolPlan, endpoint string) int {
	for i := range p.Leaves {
		if p.Leaves[i].Endpoint == endpoint {
			return i
		}
	}
	return -1
}

// counted is what a member gets by the answers of a snapshot, prefix for prefix.
func counted(s *Snapshot, demand Demand, member string) (load float64) {
	p := s.Pools[0]
	for g := range p.Groups {
		amount := demand["p"][p.Plan.Groups[g].Key]
		for at := range FullRamp {
			c := &p.Groups[g].Families[IPv4]
			for _, o := range c.Others {
				if int(o.From) <= at && at < int(o.To) {
					c = &o.Choice
					break
				}
			}
			for _, o := range c.Options {
				for _, leaf := range o.Members {
					if p.Plan.Leaves[leaf].Endpoint == member {
						load += amount / FullRamp * float64(o.Weight) / float64(c.Total) / float64(len(o.Members))
					}
				}
			}
		}
	}
	return load
}

// nopTB stands in where a helper wants a test to fail: it panics.
type nopTB struct{ testing.TB }

func (nopTB) Helper()           {}
func (nopTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestPoolOf(t *testing.T) {
	world, err := Parse(map[string][]byte{"w.yaml": []byte(`
regions: {us: {coordinates: [39, -77]}}
pools:
  full: {policy: failover, members: [{endpoint: us1, region: us, address: 192.0.2.1, capacity: 1000}]}
  plain: {policy: failover, members: [{endpoint: us1, region: us, address: 192.0.2.1}]}
zones:
  example.com: {file: com, steer: {www: {pool: full}, "*": {pool: full}, plain: {pool: plain}, "@": {pool: full}}}
  example.org: {file: org, steer: {"@": {pool: full}}}
`), "com": []byte("@ SOA ns h 1 3600 900 604800 60\n@ NS ns\nns A 192.0.2.53\nshop CNAME Store\nstore CNAME WWW\nout CNAME example.org.\n" +
		"round CNAME round2\nround2 CNAME round\na.b A 192.0.2.1\nlow NS ns\n"),
		"org": []byte("@ SOA ns.example.com. h 1 3600 900 604800 60\n@ NS ns.example.com.\n@ DNAME example.com.\n")})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(testTable(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a.", 125)
	for _, row := range []struct {
		why, host string
		full      bool
	}{
		{"a name", "www.example.com", true},
		{"in other letters, with its root", "WWW.Example.COM.", true},
		{"an apex", "example.com", true},
		{"the wildcard's", "anything.example.com", true},
		{"far below the wildcard's parent", "x.y.example.com", true},
		{"a name that is there itself, with nothing but addresses", "ns.example.com", false},
		{"an empty non-terminal", "b.example.com", false},
		{"below one, where the wildcard does not answer", "c.b.example.com", false},
		{"another zone's, by delegation", "low.example.com", false},
		{"by two CNAMEs", "shop.example.com", true},
		{"by a CNAME to another zone: not followed, as in answers", "out.example.com", false},
		{"by CNAMEs that come round", "round.example.com", false},
		{"a pool without capacities", "plain.example.com", false},
		{"no zone of ours", "www.example.net", false},
		{"no name", "", false},
		{"an address", "192.0.2.1", false},
		{"an empty label", "www..example.com", false},
		{"a label too long", strings.Repeat("a", 64) + ".example.com", false},
		{"a name too long", long + "example.com", false},
		{"the longest", long[:253-len("example.com")-1] + "." + "example.com", true},
		{"at a DNAME", "example.org", true},
		{"below it: not followed", "www.example.org", false},
	} {
		want := ""
		if row.full {
			want = "full"
		}
		got := ""
		if p := plan.PoolOf(row.host); p != nil {
			got = p.Pool.Name
		}
		if got != want {
			t.Errorf("%s: %q is answered from %q, want %q", row.why, row.host, got, want)
		}
		if n := testing.AllocsPerRun(10, func() { plan.PoolOf(row.host) }); n > 0 {
			t.Errorf("%q allocates %v times", row.host, n)
		}
	}
}
