package whatif

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []string
		want  string // or the error, after "!"
	}{
		{"nothing", nil, ""},
		{"one", []string{"lose eu-west"}, "lose eu-west"},
		{"several texts", []string{"down a", "off b"}, "down a, off b"},
		{"several in one, with blanks", []string{"  down a ,up\tb,drain c , on d"}, "down a, up b, drain c, on d"},
		{"the same twice counts once", []string{"down a", "down a"}, "down a"},
		{"drained and down at once", []string{"drain a, down a"}, "drain a, down a"},
		{"an endpoint and a control of one name", []string{"down a, off a, on b"}, "down a, off a, on b"},
		{"a region lost but for one endpoint", []string{"lose a, up b"}, "lose a, up b"},
		{"an unknown word", []string{"loose eu-west"}, `!"loose eu-west": unknown word "loose": want ` + Usage},
		{"no name", []string{"down"}, `!"down": want down and the name of one endpoint`},
		{"two names", []string{"lose a b"}, `!"lose a b": want lose and the name of one region`},
		{"empty", []string{""}, "!nothing is supposed: want " + Usage},
		{"nothing after a comma", []string{"down a,"}, "!nothing is supposed: want " + Usage},
		{"up and down", []string{"down a", "up a"}, `!"down a" and "up a" contradict each other`},
		{"on and off", []string{"off a, on a"}, `!"off a" and "on a" contradict each other`},
		{"every mistake", []string{"off", "x y"}, "!\"off\": want off and the name of one control\n\"x y\": unknown word \"x\": want " + Usage},
		{"too many", []string{strings.Repeat("down a,", maxSuppositions-1) + "down b"}, "down a, down b"},
	} {
		h, err := Parse(c.texts)
		got := h.String()
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: Parse(%q) = %q, want %q", c.name, c.texts, got, c.want)
		}
	}
	var many []string
	for i := range maxSuppositions + 1 {
		many = append(many, "down "+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	if _, err := Parse(many); err == nil || !strings.Contains(err.Error(), "more than 100") {
		t.Errorf("Parse of %d suppositions: %v, want an error that says how many are allowed", len(many), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("down a, lose b")
	f.Add(",,up")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse([]string{text})
		if err != nil {
			return
		}
		again, err := Parse([]string{h.String()})
		if err != nil || !slices.Equal(h, again) {
			t.Errorf("Parse(%q) = %q, and of that %q, %v", text, h, again, err)
		}
	})
}

const world = `
regions:
  us-east: {coordinates: [39.0, -77.5]}
  eu-west: {coordinates: [53.3, -6.3]}
  ap-south: {coordinates: [19.1, 72.9]}
  empty: {coordinates: [0, 0], vantage: false}
checks:
  web: {type: http}
controls:
  panel: {members: [c-us, c-eu]}
pools:
  www:
    policy: failover
    check: web
    members:
      - {endpoint: eu, region: eu-west, address: 192.0.2.1, control: c-eu}
      - {endpoint: us, region: us-east, address: 192.0.2.2, control: c-us}
      - {endpoint: ap, region: ap-south, address: 192.0.2.3}
  plain:
    policy: failover
    members:
      - {endpoint: eu, region: eu-west, address: 192.0.2.1}
      - {endpoint: ap, region: ap-south, address: 192.0.2.3}
  slow:
    policy: failover
    failback: manual
    check: web
    members:
      - {endpoint: eu, region: eu-west, address: 192.0.2.1}
      - {endpoint: us, region: us-east, address: 192.0.2.2}
zones:
  example.com:
    file: example.com.zone
    steer: {www: {pool: www}, plain: {pool: plain}, slow: {pool: slow}}
`

func compile(t *testing.T) *zones.Plan {
	t.Helper()
	w, err := zones.Parse(zones.FileMap{"world.yaml": []byte(world), "example.com.zone": []byte("@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.53\n")})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := w.Compile(new(geo.Builder).Build(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// inputs are those of a world in which three regions of two vantages each see every endpoint in a state.
func inputs(plan *zones.Plan, state health.State) zones.Inputs {
	var statuses []health.Status
	for _, target := range plan.Targets {
		s := health.Status{Check: target.ID, Assigned: 6, Fresh: 6}
		for _, region := range []geo.RegionID{"ap-south", "eu-west", "us-east"} {
			s.Regions = append(s.Regions, health.Vote{Region: region, Vantages: []health.Opinion{{Vantage: health.NodeID(region + "-1"), Fresh: true}, {Vantage: health.NodeID(region + "-2"), Fresh: true}}})
		}
		statuses = append(statuses, s.As(state))
	}
	return zones.Inputs{Health: health.NewView(statuses), Control: control.Initial(plan.World.Definitions)}
}

func TestApply(t *testing.T) {
	plan := compile(t)
	for _, c := range []struct {
		name, suppose string
		all           health.State // what the vantages say
		manual        map[string]control.Manual
		www, plain    string // the endpoints that are answered then
	}{
		{"nothing", "", health.Up, nil, "192.0.2.1", "192.0.2.1"},
		{"the first is down", "down eu", health.Up, nil, "192.0.2.2", "192.0.2.1"},
		{"the first two are", "down eu, down us", health.Up, nil, "192.0.2.3", "192.0.2.1"},
		{"all are", "down eu, down us, down ap", health.Up, nil, "192.0.2.1", "192.0.2.1"},
		{"of those that are down one is up", "up us", health.Down, nil, "192.0.2.2", "192.0.2.1"},
		{"drained by hand, which needs no check", "drain eu", health.Up, nil, "192.0.2.2", "192.0.2.3"},
		{"drained comes before down", "drain eu, down us, down ap", health.Up, nil, "192.0.2.1", "192.0.2.3"},
		{"a region is lost", "lose eu-west", health.Up, nil, "192.0.2.2", "192.0.2.1"},
		{"but not the endpoint", "lose eu-west, up eu", health.Up, nil, "192.0.2.1", "192.0.2.1"},
		{"a control is off", "off c-eu", health.Up, nil, "192.0.2.2", "192.0.2.1"},
		{"off wins over up", "off c-eu, up eu", health.Down, nil, "192.0.2.2", "192.0.2.1"},
		{"forced up stays so", "down eu", health.Up, map[string]control.Manual{"eu": control.ForceUp}, "192.0.2.1", "192.0.2.1"},
		{"forced down stays so", "up eu", health.Up, map[string]control.Manual{"eu": control.ForceDown}, "192.0.2.2", "192.0.2.3"},
		{"a drain takes the place of what was set", "drain eu", health.Up, map[string]control.Manual{"eu": control.ForceUp}, "192.0.2.2", "192.0.2.3"},
	} {
		in := inputs(plan, c.all)
		in.Control = in.Control.Suppose(nil, c.manual)
		before := answers(t, plan, in)
		var texts []string
		if c.suppose != "" {
			texts = []string{c.suppose}
		}
		h, err := Parse(texts)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Apply(plan, in)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if a := answers(t, plan, got); a["www"] != c.www || a["plain"] != c.plain {
			t.Errorf("%s: with %q www is %s and plain %s, want %s and %s", c.name, c.suppose, a["www"], a["plain"], c.www, c.plain)
		}
		if after := answers(t, plan, in); after["www"] != before["www"] || after["plain"] != before["plain"] {
			t.Errorf("%s: the inputs without %q are others than before", c.name, c.suppose)
		}
	}
}

// answers returns what each name is answered.
func answers(t *testing.T, plan *zones.Plan, in zones.Inputs) map[string]string {
	t.Helper()
	s := plan.Publish(nil, in, zones.Change{All: true}, time.Unix(0, 0))
	got := map[string]string{}
	for _, name := range []string{"www", "plain"} {
		e, err := s.Explain(zones.Question{Name: name + ".example.com.", Type: dns.TypeA, Client: zones.Client{Source: netip.MustParseAddr("8.8.8.8")}})
		if err != nil || len(e.Answer) != 1 {
			t.Fatalf("%s: %v, %v", name, e, err)
		}
		got[name] = e.Answer[0][strings.LastIndexByte(e.Answer[0], ' ')+1:]
	}
	return got
}

// A region that is lost takes its votes along: what only it and one other saw up is down.
func TestLostVantages(t *testing.T) {
	plan := compile(t)
	up, down := inputs(plan, health.Up).Health.Status("web/us/ipv4", health.Global), inputs(plan, health.Down).Health.Status("web/us/ipv4", health.Global)
	mixed := up
	mixed.Assigned, mixed.Fresh = 8, 8
	mixed.Regions = append(slices.Clone(up.Regions[:2]), down.Regions[2], health.Vote{Region: "zz", State: health.Down, Vantages: down.Regions[0].Vantages})
	in := zones.Inputs{Health: health.NewView([]health.Status{mixed})}
	h := Hypothesis{{Lose, "eu-west"}}
	got, err := h.Apply(plan, in)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Health.Status("web/us/ipv4", health.Global); s.State != health.Down || s.Fresh != 6 {
		t.Errorf("an endpoint that is seen up by one region of three is %v by %d vantages, want down by 6", s.State, s.Fresh)
	}
	if got.Control != nil {
		t.Error("there is a control state, though nothing was said of controls and there was none")
	}
}

// Who is full stays so, whatever is supposed.
func TestWhoIsFull(t *testing.T) {
	plan := compile(t)
	in := inputs(plan, health.Up)
	in.Spill = zones.NewSpill([]zones.Kept{{Pool: "www", Member: "eu", PerMille: 400}})
	for _, s := range []Supposition{{Down, "us"}, {Lose, "ap-south"}, {Off, "c-us"}, {Drain, "ap"}} {
		if got, err := (Hypothesis{s}).Apply(plan, in); err != nil || got.Spill != in.Spill {
			t.Errorf("%v: %v are full, %v; want %v", s, got.Spill.All(), err, in.Spill.All())
		}
	}
}

func TestUnknownNames(t *testing.T) {
	h, err := Parse([]string{"down euw1, lose eu, off c-de, drain us"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `"down euw1": unknown endpoint "euw1" (have ap, eu, us)
"lose eu": unknown region "eu" (have ap-south, empty, eu-west, us-east)
"off c-de": unknown control "c-de" (have c-eu, c-us)`
	if _, err := h.Apply(compile(t), zones.Inputs{}); err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
}

func TestNotes(t *testing.T) {
	plan := compile(t)
	for _, c := range []struct {
		name, suppose string
		manual        map[string]control.Manual
		want          []string
	}{
		{"all is probed", "down us", nil, nil},
		{"a pool without a check", "lose eu-west", nil, []string{"endpoint eu has no check in pool plain, so nobody notices and it stays answered there"}},
		{"up as it is", "lose eu-west, up eu", nil, nil},
		{"a region without endpoints", "lose empty", nil, []string{"region empty has no endpoints"}},
		{"forced up", "down us", map[string]control.Manual{"us": control.ForceUp}, []string{"endpoint us is set to force_up by what-if, which holds though it is down"}},
		{"forced down", "up us", map[string]control.Manual{"us": control.ForceDown}, []string{"endpoint us is set to force_down by what-if, which holds though it is up"}},
		{"to be drained in place of that", "drain us", map[string]control.Manual{"us": control.ForceDown}, []string{"endpoint us is set to force_down by what-if now; drain takes the place of that"}},
		{"drained already", "drain us", map[string]control.Manual{"us": control.Drain}, nil},
	} {
		in := inputs(plan, health.Up)
		in.Control = in.Control.Suppose(nil, c.manual)
		h, err := Parse([]string{c.suppose})
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Notes(plan, in); !slices.Equal(got, c.want) {
			t.Errorf("%s: Notes of %q are %q, want %q", c.name, c.suppose, got, c.want)
		}
	}
}

func TestNoteOfLatch(t *testing.T) {
	plan := compile(t)
	in := inputs(plan, health.Up)
	latch := control.Command{Kind: control.KindLatch, Actor: "node", Reason: "failed away from", Time: time.Unix(1000, 0), Latch: []control.Member{{Pool: "slow", Endpoint: "eu"}}}
	in.Control, _ = control.New(1).Apply(1, latch)
	h, err := Parse([]string{"up eu"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"endpoint eu waits to be resumed in pool slow, though it is up"}
	if got := h.Notes(plan, in); !slices.Equal(got, want) {
		t.Errorf("Notes are %q, want %q", got, want)
	}
}
