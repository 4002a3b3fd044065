package route53

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer/importtest"
)

// What Route 53 answers, an import answers, for as much as the two are said to be alike. Of shares, every answer that can come is asked for.
func TestAnswers(t *testing.T) {
	const american, californian, german, indian, kenyan, office = importtest.American, importtest.Californian, importtest.German, importtest.Indian, importtest.Kenyan, "198.51.100.7"
	files := map[string]map[string][]byte{}
	for dir, result := range imports(t) {
		files[filepath.Base(dir)] = result.Files
	}
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
			rounds := 64
			if len(row.want) > 1 {
				rounds = 512 // so that a small share comes, too
			}
			s := importtest.Publish(t, files[row.input], row.down)
			if got := importtest.Answers(t, s, row.name+" "+row.qtype, row.client, rounds); !slices.Equal(got, row.want) {
				t.Errorf("%s %s from %s, down %q: %q, want %q", row.name, row.qtype, row.client, row.down, got, row.want)
			}
		})
	}
}
