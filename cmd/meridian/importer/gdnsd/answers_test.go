package gdnsd

import (
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer/importtest"
)

// What gdnsd answers, an import answers, but where Features says otherwise. Of shares, every answer that can come is asked for.
func TestAnswers(t *testing.T) {
	const american, californian, mexican, german, indian = importtest.American, importtest.Californian, importtest.Mexican, importtest.German, importtest.Indian
	files := imports(t)["testdata/full"].Files
	for _, row := range []struct {
		why, question, client, down string
		want                        []string
	}{
		{"auto_dc_coords: the nearest datacenter", "www.shop.example. A", german, "", []string{"192.0.2.41"}},
		{"auto_dc_coords: for an Indian another", "www.shop.example. A", indian, "", []string{"192.0.2.43"}},
		{"auto_dc_coords: the next when that is down", "www.shop.example. A", german, "shop-ams", []string{"192.0.2.42"}},
		{"the apex, and records beside it", "shop.example. A", american, "", []string{"192.0.2.42"}},
		{"another TTL is another pool around the same", "www.short.shop.example. A", american, "", []string{"192.0.2.42"}},
		{"one datacenter alone, whoever asks", "ams.shop.example. A", indian, "", []string{"192.0.2.41"}},
		{"map: continent", "hand.shop.example. A", german, "", []string{"192.0.2.51"}},
		{"map: in the order of that place", "hand.shop.example. A", german, "hand-ams", []string{"192.0.2.52", "192.0.2.53"}},
		{"map: default of a continent, of which one address at a time", "hand.shop.example. A", american, "", []string{"192.0.2.52", "192.0.2.53"}},
		{"map: subdivision", "hand.shop.example. A", californian, "", []string{"192.0.2.54"}},
		{"map: country", "hand.shop.example. A", mexican, "hand-nyc-1", []string{"192.0.2.53"}},
		{"map: country within a continent that is not mapped", "hand.shop.example. A", indian, "", []string{"192.0.2.54"}},
		{"map: default", "hand.shop.example. A", importtest.Kenyan, "", []string{"192.0.2.52", "192.0.2.53"}},
		{"nets: before places", "hand.shop.example. A", "198.51.100.1", "", []string{"192.0.2.55"}},
		{"nets: IPv4-compatible addresses are of IPv4", "hand.shop.example. A", "203.0.113.1", "", []string{"192.0.2.54"}},
		{"nets from a file", "nets.shop.example. A", "203.0.113.1", "", []string{"192.0.2.61"}},
		{"nets: default", "nets.shop.example. A", german, "", []string{"192.0.2.62"}},
		{"simplefo: the primary", "pay.shop.example. A", german, "", []string{"192.0.2.1"}},
		{"simplefo: the secondary, of the other family", "pay.shop.example. AAAA", german, "pay-primary", []string{"2001:db8::2"}},
		{"simplefo: both down is the primary", "pay.shop.example. A", german, "pay-primary pay-secondary", []string{"192.0.2.1"}},
		{"multifo: all", "farm.shop.example. A", german, "", []string{"192.0.2.11 192.0.2.12 192.0.2.13"}},
		{"multifo: those that are up", "farm.shop.example. A", german, "farm-lb02", []string{"192.0.2.11 192.0.2.13"}},
		{"multifo: all down is all", "farm.shop.example. A", german, "farm-lb01 farm-lb02 farm-lb03", []string{"192.0.2.11 192.0.2.12 192.0.2.13"}},
		{"what stands beside DYNA", "farm.shop.example. TXT", german, "", []string{`"beside DYNA"`}},
		{"weighted: CNAMEs", "cdn.shop.example. CNAME", german, "", []string{"lb01.cdn.example.net.", "lb02.cdn.example.net."}},
		{"weighted: addresses", "shares.shop.example. A", german, "", []string{"192.0.2.21", "192.0.2.22"}},
		{"weighted: without what is down", "shares.shop.example. A", german, "shares-a", []string{"192.0.2.22"}},
		{"weighted: groups, one address at a time", "groups.shop.example. A", german, "", []string{"192.0.2.26", "192.0.2.27", "192.0.2.28"}},
		{"metafo: the first datacenter", "app.shop.example. A", german, "", []string{"192.0.2.31"}},
		{"metafo: the second", "app.shop.example. A", german, "app-dc1-lb01 app-dc2-lb01", []string{"192.0.2.33"}},
		{"metafo: the third, which is a resource", "app.shop.example. A", german, "app-dc1-lb01 app-dc2-lb01 app-dc2-lb02 shares-b", []string{"192.0.2.21"}},
		{"metafo: CNAMEs", "alias.shop.example. CNAME", german, "", []string{"one.example.net."}},
		{"metafo: a datacenter by another plugin", "script.shop.example. A", german, "", []string{"192.0.2.34"}},
		{"static", "origin6.shop.example. AAAA", german, "", []string{"2001:db8::80"}},
		{"included, and @F", "b.deep.inside.shop.example. A", german, "", []string{"192.0.2.92"}},
		{"@Z in data", "_sip._tcp.shop.example. SRV", german, "", []string{"5 500 5060 mail.shop.example."}},
		{"RFC 2317", "1.0/25.2.0.192.in-addr.arpa. PTR", german, "", []string{"www.shop.example."}},
	} {
		t.Run(row.why, func(t *testing.T) {
			rounds := 32
			if len(row.want) > 1 {
				rounds = 256
			}
			s := importtest.Publish(t, files, row.down)
			if got := importtest.Answers(t, s, row.question, row.client, rounds); !slices.Equal(got, row.want) {
				t.Errorf("%s from %s, down %q: %q, want %q", row.question, row.client, row.down, got, row.want)
			}
		})
	}
}
