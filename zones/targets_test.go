package zones

import (
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const groupsWorld = `
regions:
  us-east: {coordinates: [39.0, -77.5]}
  eu-west: {coordinates: [53.3, -6.3]}
  ap-south: {coordinates: [19.1, 72.9]}
checks:
  web: {type: http}
  db: {type: tcp, port: 5432}
  next: {type: tcp, port: 81, shadow: true}
  service: {type: group, of: [web, db, next]}
pools:
  api:
    policy: failover
    check: service
    failback: ramp
    slow_start: 100s
    min_up: 2
    members:
      - {endpoint: use1, region: us-east, address: 192.0.2.1}
      - {endpoint: euw1, region: eu-west, address: 192.0.2.2}
      - {endpoint: aps1, region: ap-south, address: 192.0.2.3}
  shadow:
    policy: failover
    check: next
    failback: ramp
    slow_start: 100s
    members:
      - {endpoint: use1, region: us-east, address: 192.0.2.1}
      - {endpoint: euw1, region: eu-west, address: 192.0.2.2}
zones:
  example.com: {file: zone, steer: {api: {pool: api}, shadow: {pool: shadow}}}
`

func groupsPlan(t *testing.T) *Plan {
	t.Helper()
	zone := "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.53\nns2 A 198.51.100.53\n"
	return planOf(t, worldOf(t, map[string][]byte{"world.yaml": []byte(groupsWorld), "zone": []byte(zone)}))
}

// What a group is of is probed in its place, and a pool needs members, not checks: one is up for it when all of its checks are.
func TestTargetsOfGroups(t *testing.T) {
	p := groupsPlan(t)
	var probed, grouped []string
	for _, target := range p.Targets {
		probed = append(probed, string(target.ID))
	}
	for _, g := range p.Groups {
		grouped = append(grouped, string(g.ID))
	}
	if want := []string{"db/aps1/ipv4", "db/euw1/ipv4", "db/use1/ipv4", "next/aps1/ipv4", "next/euw1/ipv4", "next/use1/ipv4", "web/aps1/ipv4", "web/euw1/ipv4", "web/use1/ipv4"}; !slices.Equal(probed, want) {
		t.Errorf("targets %v, want %v", probed, want)
	}
	if want := []string{"service/aps1/ipv4", "service/euw1/ipv4", "service/use1/ipv4"}; !slices.Equal(grouped, want) {
		t.Errorf("groups %v, want %v", grouped, want)
	}
	if g := p.Groups[0]; g.Need != 2 || len(g.Terms) != 3 || !g.Terms[2].Shadow {
		t.Errorf("group %+v, want two of web and db, and a shadow", g)
	}
	need := p.Needs[0]
	if need.MinUp != 2 || len(need.Members) != 3 || !slices.Equal(need.Members[0], []health.CheckID{"web/use1/ipv4", "db/use1/ipv4"}) {
		t.Errorf("need %+v, want two of three members, each of web and db", need)
	}
	if len(p.Needs) != 1 {
		t.Errorf("%d needs: nobody loses anything by a shadow", len(p.Needs))
	}
	for _, id := range []health.CheckID{"web/use1/ipv4", "service/use1/ipv4"} {
		if s, known := p.Subject(id); !known || s.Endpoint != "use1" || s.Region != "us-east" {
			t.Errorf("Subject(%s) = %+v, %v", id, s, known)
		}
	}
	if _, known := p.Subject("other/use1/ipv4"); known {
		t.Error("Subject knows a check that no pool has")
	}
}

// No answer obeys a shadow: not its state, and not that it has just come back.
func TestShadowIsNotObeyed(t *testing.T) {
	p := groupsPlan(t)
	now := time.Unix(1_800_000_000, 0)
	pool := p.Pools[slices.IndexFunc(p.Pools, func(p *PoolPlan) bool { return p.Pool.Name == "shadow" })]
	for _, s := range []health.Status{
		{State: health.Down, Measured: health.Down},
		{State: health.Down, Measured: health.Up, HeldBack: true},
		{State: health.Drain, Measured: health.Drain},
		{State: health.Unknown, Held: true, Hold: health.HoldSilent},
		{State: health.Up, Measured: health.Up, Recovered: now.Add(-time.Second)},
	} {
		s.Check, s.Shadow = "next/use1/ipv4", true
		in := Inputs{Health: health.NewView([]health.Status{s})}
		got, until := pool.Leaves[0].standing(in, health.Global, now)
		if want := whole(true); got != want || !until.IsZero() {
			t.Errorf("a shadow that is %+v makes %+v until %v, want %+v", s, got, until, want)
		}
	}
}
