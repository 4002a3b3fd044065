package signer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

const composedWorld = `
regions: {eu: {coordinates: [50, 8]}}
checks: {c: {type: tcp, port: 80}}
pools:
  many:
    policy: multivalue
    answers: 2
    check: c
    https: {alpn: h2}
    members:
      - {endpoint: a, region: eu, address: 192.0.2.1}
      - {endpoint: b, region: eu, address: 192.0.2.2}
      - {endpoint: c, region: eu, address: 192.0.2.3}
      - {endpoint: d, region: eu, address: 192.0.2.4}
  one: {policy: failover, check: c, https: {alpn: h3}, members: [{endpoint: a, region: eu, address: 192.0.2.1}, {endpoint: b, region: eu, address: 192.0.2.2}]}
  alias: {policy: failover, members: [{endpoint: e, region: eu, cname: host.example.net}]}
zones:
  example.com: {file: zone, steer: {many: {pool: many}, one: {pool: one}, alias: {pool: alias}}, dnssec: {}}
`

// TestComposedSetsAreSignedAhead: whoever asks first, after a start or a flip of health, finds the signatures over sets of several members
// and over HTTPS records there; they hold in whatever order the records come, and no type is denied that another time has.
func TestComposedSetsAreSignedAhead(t *testing.T) {
	parsed, err := zones.Parse(zones.FileMap{"w.yaml": []byte(composedWorld), "zone": []byte("$TTL 300\n@ SOA ns1.example.org. admin 7 7200 900 1209600 300\n@ NS ns1.example.org.\n@ NS ns2.example.org.\n")})
	if err != nil {
		t.Fatal(err)
	}
	var b geo.Builder
	plan, err := parsed.Compile(b.Build(), nil)
	if err != nil {
		t.Fatal(err)
	}
	statuses := func(down ...string) *health.View {
		var list []health.Status
		for _, target := range plan.Targets {
			s := health.Status{Check: target.ID, State: health.Up}
			for _, d := range down {
				if target.Endpoint == d {
					s.State = health.Down
				}
			}
			list = append(list, s)
		}
		return health.NewView(list)
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := signer.New(signer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.SetKeys(apex, keys(t))
		var last *zones.Snapshot
		for _, down := range [][]string{{}, {"a"}, {"a", "c"}, {}} {
			in := zones.Inputs{Health: statuses(down...)}
			last = plan.Publish(last, in, zones.Change{All: true}, time.Now())
			s.Published(last)
			synctest.Wait()
			a := asker{last, s}
			published, _ := a.ask(t, "example.com.", dns.TypeDNSKEY, false, 0)
			first := make(map[string]bool)
			for random := range uint32(64) {
				for _, q := range []struct {
					name  string
					qtype uint16
				}{{"many", dns.TypeA}, {"many", dns.TypeHTTPS}, {"many", dns.TypeAAAA}, {"one", dns.TypeA}, {"one", dns.TypeHTTPS}, {"alias", dns.TypeA}, {"alias", dns.TypeNSEC}} {
					m, outcome := a.ask(t, q.name+".example.com.", q.qtype, true, random<<26)
					if outcome.Pending {
						t.Fatalf("with %v down: %s %s: a signature is missing", down, q.name, dns.Type(q.qtype))
					}
					if q.qtype != dns.TypeAAAA && len(m.Answer) < 2 {
						t.Fatalf("with %v down: %s %s: %v, want an answer with its signature", down, q.name, dns.Type(q.qtype), m)
					}
					if q.name == "many" && q.qtype == dns.TypeA {
						first[m.Answer[0].String()] = true
					}
					verify(t, q.name, m.Answer, published.Answer, time.Now())
					verify(t, q.name, m.Ns, published.Answer, time.Now())
				}
			}
			if want := 4 - len(down); len(first) != want {
				t.Errorf("with %v down: answers begin with %v, want each of %d endpoints now and then", down, first, want)
			}
		}
	})
}
