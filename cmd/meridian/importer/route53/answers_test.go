package route53

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// published is a world that was imported, with the endpoints up but for those that are named.
func published(t *testing.T, input, down string) *zones.Snapshot {
	t.Helper()
	result, err := Import(inputs(t, filepath.Join("testdata", input, "in")), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b geo.Builder
	for prefix, place := range map[string]geo.Place{
		"8.0.0.0/8":   {Country: "US", Continent: "NA", Located: true, At: geo.Coordinates{Latitude: 39, Longitude: -78}},
		"8.2.0.0/16":  {Country: "US", Continent: "NA", Subdivision: "US-CA", Located: true, At: geo.Coordinates{Latitude: 37, Longitude: -120}},
		"91.0.0.0/8":  {Country: "DE", Continent: "EU", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
		"103.0.0.0/8": {Country: "IN", Continent: "AS", Located: true, At: geo.Coordinates{Latitude: 22, Longitude: 79}},
		"105.0.0.0/8": {Country: "KE", Continent: "AF", Located: true, At: geo.Coordinates{Latitude: 0, Longitude: 37}},
	} {
		if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
			t.Fatal(err)
		}
	}
	world, err := zones.Parse(result.Files)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(b.Build(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var statuses []health.Status
	for _, target := range plan.Targets {
		state := health.Up
		if slices.Contains(strings.Fields(down), target.Endpoint) {
			state = health.Down
		}
		statuses = append(statuses, health.Status{Check: target.ID, State: state, Measured: state, Since: now})
	}
	return plan.Publish(nil, zones.Inputs{Health: health.NewView(statuses)}, zones.Change{All: true}, now)
}

// What Route 53 answers, an import answers, for as much as the two are said to be alike. Of shares, every answer that can come is asked for.
func TestAnswers(t *testing.T) {
	const american, californian, german, indian, kenyan, office = "8.1.0.1", "8.2.0.1", "91.0.0.1", "103.0.0.1", "105.0.0.1", "198.51.100.7"
	for _, row := range []struct {
		why, input, name, qtype, client, down string
		want                                  []string
	}{
		{"latency: the nearer region", "listing", "api.shop.example.", "A", german, "", []string{"192.0.2.20"}},
		{"latency: for another client, the other", "listing", "api.shop.example.", "A", american, "", []string{"192.0.2.10"}},
		{"latency: in both families", "listing", "api.shop.example.", "AAAA", american, "", []string{"2001:db8::10"}},
		{"latency: the next when that is down", "listing", "api.shop.example.", "A", american, "api-us", []string{"192.0.2.20"}},
		{"latency: all down is as if all were up", "listing", "api.shop.example.", "A", american, "api-us api-eu", []string{"192.0.2.10"}},
		{"weighted: a pool, and a record with several values, one of them at a time", "listing", "www.shop.example.", "A", german, "",
			[]string{"192.0.2.20", "192.0.2.91", "192.0.2.92"}},
		{"weighted: without values that are down", "listing", "www.shop.example.", "A", german, "www-canary-1", []string{"192.0.2.20", "192.0.2.92"}},
		{"weighted: without a record that is down", "listing", "www.shop.example.", "A", german, "www-canary-1 www-canary-2", []string{"192.0.2.20"}},
		{"alias at the apex: as its target", "listing", "shop.example.", "A", german, "www-canary-1 www-canary-2", []string{"192.0.2.20"}},
		{"alias of a static name", "listing", "twin.shop.example.", "A", german, "", []string{"192.0.2.80 192.0.2.81"}},
		{"alias of a service", "listing", "cdn.shop.example.", "A", german, "", []string{"d111111abcdef8.cloudfront.net."}},
		{"weighted aliases of services", "listing", "lb.shop.example.", "A", german, "",
			[]string{"dualstack.blue-123456789.us-east-1.elb.amazonaws.com.", "dualstack.green-987654321.eu-west-1.elb.amazonaws.com."}},
		{"geo: country", "listing", "docs.shop.example.", "A", german, "", []string{"192.0.2.30"}},
		{"geo: continent", "listing", "docs.shop.example.", "A", kenyan, "", []string{"192.0.2.30"}},
		{"geo: subdivision", "listing", "docs.shop.example.", "A", californian, "", []string{"192.0.2.31"}},
		{"geo: default", "listing", "docs.shop.example.", "A", indian, "", []string{"192.0.2.32"}},
		{"geo without default: whom it serves", "listing", "eu.shop.example.", "A", german, "", []string{"192.0.2.33"}},
		{"geo without default: nobody else", "listing", "eu.shop.example.", "A", indian, "", []string{""}},
		{"multivalue: all, as the check is disabled", "listing", "multi.shop.example.", "A", german, "", []string{"192.0.2.41 192.0.2.42"}},
		{"geoproximity: by distance", "listing", "near.shop.example.", "A", german, "", []string{"192.0.2.52"}},
		{"geoproximity: in America", "listing", "near.shop.example.", "A", american, "", []string{"192.0.2.51"}},
		{"cidr: a listed network", "listing", "office.shop.example.", "A", office, "", []string{"192.0.2.61"}},
		{"cidr: default", "listing", "office.shop.example.", "A", german, "", []string{"192.0.2.63"}},
		{"failover: the primary", "listing", "pay.shop.example.", "A", german, "", []string{"192.0.2.71"}},
		{"failover: the secondary, which has no check", "listing", "pay.shop.example.", "A", german, "pay-primary", []string{"192.0.2.72"}},
		{"SRV: standby is not answered; names in data are whole", "listing", "_.sip.shop.example.", "SRV", german, "", []string{""}},
		{"SRV", "listing", "sip.shop.example.", "SRV", german, "", []string{"10 5 5060 one.shop.example."}},
		{"CNAME: both", "listing", "split.shop.example.", "CNAME", german, "", []string{"a.cdn.example.net.", "b.cdn.example.net."}},
		{"CNAME: one is down", "listing", "split.shop.example.", "CNAME", german, "split-b", []string{"a.cdn.example.net."}},
		{"static: wildcard, and octal escapes", "listing", "shop.example.", "TXT", german, "", []string{`"caf\195\169" "second part" "v=spf1 mx -all"`}},
		{"template: a simple AAAA record goes with the policy of A", "template", "api.bank.example.", "AAAA", german, "", []string{"2001:db8::1"}},
		{"template: a record whose check is not mapped is always up", "template", "api.bank.example.", "A", german, "api-one", []string{"192.0.2.2"}},
		{"template: cidr", "template", "desk.bank.example.", "A", "203.0.113.5", "", []string{"192.0.2.11"}},
		{"template: alias of both families", "template", "four.bank.example.", "A", german, "", []string{"192.0.2.21"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			s := published(t, row.input, row.down)
			got := map[string]bool{}
			rounds := 64
			if len(row.want) > 1 {
				rounds = 512 // so that a small share comes, too
			}
			for i := range rounds {
				q := zones.Question{Name: row.name, Type: dns.StringToType[row.qtype], Client: zones.Client{Source: netip.MustParseAddr(row.client)}, Random: uint32(i * (1 << 32 / rounds))}
				e, err := s.Explain(q)
				if err != nil {
					t.Fatal(err)
				}
				got[dataOf(t, e.Answer)] = true
			}
			if answers := slices.Sorted(maps.Keys(got)); !slices.Equal(answers, row.want) {
				t.Errorf("%s %s from %s, down %q: %q, want %q", row.name, row.qtype, row.client, row.down, answers, row.want)
			}
		})
	}
}

// dataOf returns the data of records, in order; of an alias alone its target.
func dataOf(t *testing.T, records []string) string {
	t.Helper()
	var data []string
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(data)
	return strings.Join(data, " ")
}
