package zones

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

const measuredWorld = `
regions:
  us: {coordinates: [39, -77]}
  eu: {coordinates: [53, -6]}
  ap: {coordinates: [19, 72]}
  near-us: {coordinates: [41, -87]}
latency_tables: [rtt/measured.csv]
pools:
  api:
    policy: latency
    explore: 1
    members:
      - {endpoint: us1, region: us, address: 192.0.2.1}
      - {endpoint: eu1, region: eu, address: 192.0.2.2}
      - {endpoint: ap1, region: ap, address: 192.0.2.3}
      - {endpoint: us2, region: near-us, address: 192.0.2.4}
  lists:
    policy: cidr
    members:
      - {pool: api, default: true}
      - {endpoint: eu1, region: eu, address: 192.0.2.2, prefixes: 91.1.128.0/17}
zones: {example.com: {file: z, steer: {api: {pool: api}, lists: {pool: lists}}}}
`

const measuredTable = `client,region,ms
91.1.0.0/16,ap,20
91.1.0.0/16,eu,90
91.1.7.0/24,us,15
IN,us,30
IN,ap,200
`

func measuredPlan(t *testing.T) *Plan {
	t.Helper()
	return planOf(t, worldOf(t, map[string][]byte{"w.yaml": []byte(measuredWorld), "rtt/measured.csv": []byte(measuredTable), "z": []byte(kindsZone)}))
}

// TestMeasuredLatency: what is measured for the prefix counts more than what is for a prefix around it, that more than for the country, and
// that more than the distance; listed prefixes and measured ones go together.
func TestMeasuredLatency(t *testing.T) {
	plan := measuredPlan(t)
	s := publishWith(t, plan, "", "")
	for _, row := range []struct {
		why, pool, client, first string
	}{
		{"distance", "api", "91.2.0.0/24", "eu1"},
		{"prefix", "api", "91.1.3.0/24", "ap1"},
		{"the longer prefix", "api", "91.1.7.0/24", "us1"},
		{"country", "api", "103.1.0.0/24", "us1"},
		{"a listed prefix around measured ones", "lists", "91.1.200.0/24", "eu1"},
		{"measured, within the default of lists", "lists", "91.1.7.0/24", "us1"},
	} {
		got := answerOf(t, s, row.pool, netip.MustParsePrefix(row.client), IPv4)
		if first, _, _ := strings.Cut(strings.TrimPrefix(got, "up: "), " "); first != row.first {
			t.Errorf("%s: %s of %s = %q, want %s", row.why, row.client, row.pool, got, row.first)
		}
	}
	e, err := s.Explain(Question{Name: "api.example.com", Type: 1, Client: Client{Source: netip.MustParseAddr("91.1.7.9")}})
	if err != nil {
		t.Fatal(err)
	}
	if text := e.String(); !strings.Contains(text, "us1 in us (") || !strings.Contains(text, "by table rtt/measured.csv") {
		t.Errorf("the explanation does not say what the order rests on:\n%s", text)
	}
}

// TestExploring: at most the configured share of the prefixes tries another region, and only one that is up; the rest are answered by the
// nearest. Other prefixes do so in another epoch.
func TestExploring(t *testing.T) {
	plan := measuredPlan(t)
	answers := publishWith(t, plan, "", "").Pools[poolNumber(t, plan, "api")]
	explored, groups := 0, 0
	for g := range answers.Groups {
		if answers.Plan.Groups[g].Explore == "" {
			continue
		}
		groups++
		for _, o := range answers.Groups[g].Families[IPv4].Others {
			explored++
			if width := o.To - o.From; width > 10 || !strings.HasPrefix(o.Why, "explores ") {
				t.Errorf("group %d: %d of 1000 prefixes: %s, want at most 10 that explore", g, width, o.Why)
			}
		}
	}
	if groups == 0 || explored != groups {
		t.Errorf("%d of %d groups that have something to explore do", explored, groups)
	}
	p := *plan.Pools[poolNumber(t, plan, "api")]
	before := (&decider{in: Inputs{}, now: time.Unix(0, 0)}).decide(&p)
	p.epoch++
	after := (&decider{in: Inputs{}, now: time.Unix(0, 0)}).decide(&p)
	if before.Digest == after.Digest {
		t.Error("the same prefixes explore in the next epoch")
	}
}
