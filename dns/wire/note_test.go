package wire_test

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// Where that is switched on, a steered answer says by the extended error Other that all is down or health is held, but never at the price
// of a record, and an answer that nothing is amiss with says nothing.
func TestExtendedErrorsOfHealth(t *testing.T) {
	world, err := zones.Parse(zones.FileMap{
		"world.yaml": []byte(`
regions: {eu-west: {coordinates: [53.3, -6.3]}}
checks: {http: {type: http, interval: 10s}}
pools:
  open: {policy: failover, check: http, members: [{endpoint: one, region: eu-west, address: 192.0.2.1}]}
  last: {policy: failover, check: http, when_all_down: last_resort, last_resort: [192.0.2.9], members: [{endpoint: two, region: eu-west, address: 192.0.2.2}]}
zones: {example.com: {file: example.com.zone, steer: {open: {pool: open}, last: {pool: last}}}}
`),
		"example.com.zone": []byte("$TTL 60\n@ SOA ns1 admin 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.53\nalias CNAME open\nstatic A 192.0.2.8\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(table(t), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	published := func(s health.Status) *zones.Snapshot {
		var all []health.Status
		for _, target := range plan.Targets {
			s.Check = target.ID
			all = append(all, s)
		}
		return plan.Publish(nil, zones.Inputs{Health: health.NewView(all)}, zones.Change{All: true}, now)
	}
	up, down := health.Status{State: health.Up}, health.Status{State: health.Down}
	heldUp, heldDown := up, down
	heldUp.Held, heldDown.Held = true, true
	const (
		held = "health is held: too few vantages are heard"
		open = "all endpoints are down: answered as if they were up"
		last = "all endpoints are down: the last resort"
	)
	for _, tt := range []struct {
		name    string
		status  health.Status
		explain bool
		edns    bool
		limit   int
		want    string // the extended error; empty: none
	}{
		{"open.example.com.", up, true, true, wire.MaxUDP, ""},
		{"open.example.com.", down, true, true, wire.MaxUDP, open},
		{"open.example.com.", heldUp, true, true, wire.MaxUDP, held},
		{"open.example.com.", heldDown, true, true, wire.MaxUDP, open},
		{"open.example.com.", down, false, true, wire.MaxUDP, ""},
		{"open.example.com.", down, true, false, wire.MaxUDP, ""},
		{"open.example.com.", down, true, true, 80, ""},
		{"last.example.com.", down, true, true, wire.MaxUDP, last},
		{"last.example.com.", heldUp, true, true, wire.MaxUDP, held},
		{"alias.example.com.", down, true, true, wire.MaxUDP, open},
		{"static.example.com.", down, true, true, wire.MaxUDP, ""},
	} {
		q := new(dns.Msg).SetQuestion(tt.name, dns.TypeA)
		if tt.edns {
			q.SetEdns0(1232, false)
		}
		packed, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := wire.Answer(nil, published(tt.status), &wire.Identity{Explain: tt.explain}, &wire.Request{Query: packed, Source: netip.MustParseAddr("192.0.2.200"), Limit: tt.limit})
		m := new(dns.Msg)
		if err := m.Unpack(answer); err != nil {
			t.Fatal(err)
		}
		got := ""
		if opt := m.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if e, ok := o.(*dns.EDNS0_EDE); ok && e.InfoCode == dns.ExtendedErrorCodeOther {
					got += e.ExtraText
				}
			}
		}
		if got != tt.want || m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 || m.Truncated {
			t.Errorf("%s, %+v, explain %t, EDNS %t, limit %d: %d records, extended error %q, want %q", tt.name, tt.status.State, tt.explain, tt.edns, tt.limit, len(m.Answer), got, tt.want)
		}
	}
}
