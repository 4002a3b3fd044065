package zones

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const givenZone = "@ 300 SOA ns1 admin 7 7200 900 432000 60\n@ 300 NS ns1\n@ 300 NS ns2.example.net.\nns1 300 A 192.0.2.53\napi 300 TXT beside\n" +
	"sub 300 NS ns.sub\nns.sub 300 A 192.0.2.54\n"

// givenWorld is a world whose name api.given.example is steered by a pool.
func givenWorld(t *testing.T, pool string) *World {
	t.Helper()
	return worldOf(t, FileMap{"given.zone": []byte(givenZone), "world.yaml": []byte(`
regions: {us-east: {coordinates: [39.0, -77.5]}, eu-west: {coordinates: [53.3, -6.3]}}
controls: {p: {members: [on, {name: off, initial: off}]}}
pools:
  api: ` + pool + `
zones:
  given.example: {file: given.zone, steer: {api: {pool: api}}, transfer: {steered: defaults, allow: [{key: peer}]}}
`)})
}

// given returns what a plan gives out of a name, as text without owner and class.
func given(t *testing.T, p *Plan, name string) string {
	t.Helper()
	zone := p.zones["\x05given\x07example\x00"]
	var got []string
	for owner, set := range p.Given(zone) {
		text, _, err := dns.UnpackDomainName(owner, 0)
		if err != nil || text != name {
			continue
		}
		rrs, err := set.RRs(text)
		if err != nil {
			t.Fatal(err)
		}
		if int(set.Count) != len(rrs) || set.Type != rrs[0].Header().Rrtype {
			t.Errorf("a set of type %d has %d records, says %d", set.Type, len(rrs), set.Count)
		}
		for _, rr := range rrs {
			got = append(got, strings.Join(strings.Fields(rr.String())[1:], " "))
		}
	}
	slices.Sort(got)
	return strings.Join(got, " | ")
}

func TestDefaultAnswers(t *testing.T) {
	many := "{policy: weighted, members: ["
	for i := range 20 {
		many += fmt.Sprintf("{endpoint: e%d, region: us-east, address: 192.0.2.%d}, ", i, i+1)
	}
	for _, tt := range []struct{ name, pool, want string }{
		{"the first in rank", "{policy: failover, ttl: 20s, members: [{endpoint: a, region: us-east, address: 192.0.2.1}, {endpoint: b, region: eu-west, address: 192.0.2.2}]}",
			"20 IN A 192.0.2.1"},
		{"each family has its own first", `{policy: failover, members: [{endpoint: a, region: us-east, address: 192.0.2.1}, {endpoint: b, region: eu-west, address: "2001:db8::2"}]}`,
			"30 IN A 192.0.2.1 | 30 IN AAAA 2001:db8::2"},
		{"one that is not enabled, or whose control starts off, is left out", "{policy: failover, members: [{endpoint: a, region: us-east, address: 192.0.2.1, enabled: false}, " +
			"{endpoint: b, region: us-east, address: 192.0.2.2, control: off}, {endpoint: c, region: us-east, address: 192.0.2.3, control: on}]}", "30 IN A 192.0.2.3"},
		{"none is left", "{policy: failover, when_all_down: last_resort, last_resort: [192.0.2.9, 192.0.2.10], members: [{endpoint: a, region: us-east, address: 192.0.2.1, enabled: false}]}",
			"30 IN A 192.0.2.10 | 30 IN A 192.0.2.9"},
		{"none is left, and no last resort", "{policy: failover, members: [{endpoint: a, region: us-east, address: 192.0.2.1, enabled: false}]}", ""},
		{"the greatest weight", "{policy: weighted, members: [{endpoint: a, region: us-east, address: 192.0.2.1, weight: 10}, {endpoint: b, region: us-east, address: 192.0.2.2, weight: 90}]}",
			"30 IN A 192.0.2.2"},
		{"equal weights, an address twice, and a standby", "{policy: weighted, members: [{endpoint: a, region: us-east, address: 192.0.2.1}, {endpoint: b, region: us-east, address: 192.0.2.2}, " +
			"{endpoint: c, region: eu-west, address: 192.0.2.1}, {endpoint: d, region: eu-west, address: 192.0.2.4, weight: 0}]}", "30 IN A 192.0.2.1 | 30 IN A 192.0.2.2"},
		{"twenty equal weights", many + "]}", "30 IN A 192.0.2.1 | 30 IN A 192.0.2.2 | 30 IN A 192.0.2.3 | 30 IN A 192.0.2.4 | 30 IN A 192.0.2.5 | 30 IN A 192.0.2.6 | 30 IN A 192.0.2.7 | 30 IN A 192.0.2.8"},
		{"the default place", "{policy: geo, members: [{endpoint: a, region: us-east, address: 192.0.2.1, countries: [US]}, {endpoint: b, region: eu-west, address: 192.0.2.2, default: true}]}",
			"30 IN A 192.0.2.2"},
		{"the first region that is written", "{policy: latency, members: [{endpoint: a, region: eu-west, address: 192.0.2.1}, {endpoint: b, region: us-east, address: 192.0.2.2}, {endpoint: c, region: eu-west, address: 192.0.2.3}]}",
			"30 IN A 192.0.2.1 | 30 IN A 192.0.2.3"},
	} {
		want := strings.TrimPrefix(tt.want+` | 300 IN TXT "beside"`, " | ")
		plan := planOf(t, givenWorld(t, tt.pool))
		if got := given(t, plan, "api.given.example."); got != want {
			t.Errorf("%s: given %s, want %s", tt.name, got, want)
		}
		if got, want := given(t, plan, "ns.sub.given.example."), "300 IN A 192.0.2.54"; got != want {
			t.Errorf("%s: glue %s, want %s", tt.name, got, want)
		}
	}
}

func TestContentsFollowWhatIsGiven(t *testing.T) {
	const pool = "{policy: failover, members: [{endpoint: a, region: us-east, address: 192.0.2.1}]}"
	digest := func(w *World) uint64 {
		t.Helper()
		if c := w.Definitions.Contents; len(c) != 1 || c[0].Zone != "given.example." {
			t.Fatalf("contents %v, want those of given.example.", c)
		}
		return w.Definitions.Contents[0].Digest
	}
	first, again := givenWorld(t, pool), givenWorld(t, pool)
	if digest(first) != digest(again) {
		t.Error("equal worlds have different contents")
	}
	for _, pair := range [][2]string{
		{"192.0.2.1", "192.0.2.2"}, {"192.0.2.1", `"2001:db8::1"`}, {"us-east", "eu-west"}, {"192.0.2.1", "192.0.2.1, enabled: false"}, {"192.0.2.1", "192.0.2.1, control: on"},
		{"failover", "latency"}, {"failover", "failover, ttl: 20s"}, {"failover", "failover, when_all_down: nodata"},
	} {
		if other := givenWorld(t, strings.Replace(pool, pair[0], pair[1], 1)); digest(other) == digest(first) {
			t.Errorf("with %s for %s the content is the same", pair[1], pair[0])
		}
	}
	if len(worldOf(t, demoFiles(t)).Definitions.Contents) != 0 {
		t.Error("zones that do not go out have contents")
	}
	var zones strings.Builder
	for i := range maxContents + 1 {
		fmt.Fprintf(&zones, "  z%d.example: {file: z, steer: {api: {pool: p}}, transfer: {steered: defaults}}\n", i)
	}
	_, err := Parse(FileMap{"z": []byte(givenZone), "w.yaml": []byte("regions: {r: {coordinates: [0, 0]}}\n" +
		"pools: {p: {policy: failover, members: [{endpoint: e, region: r, address: 192.0.2.1}]}}\nzones:\n" + zones.String())})
	if want := "more than 1000 zones go out as their default answers"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%d zones: %v, want %s", maxContents+1, err, want)
	}
}

// Every SOA record of a zone has the serial, and the plan before still has its own.
func TestWithSerials(t *testing.T) {
	plan := planOf(t, givenWorld(t, "{policy: failover, members: [{endpoint: a, region: us-east, address: 192.0.2.1}]}"))
	serials := func(p *Plan) (serials []uint32) {
		zone := p.zones["\x05given\x07example\x00"]
		soa, _ := zone.Find([]byte(zone.Apex)).Name.Set(dns.TypeSOA)
		serials = append(serials, zone.Serial)
		for _, set := range []RecordSet{soa, zone.Negative, zone.steers[0].negative} {
			rrs, err := set.RRs("given.example.")
			if err != nil {
				t.Fatal(err)
			}
			serials = append(serials, rrs[0].(*dns.SOA).Serial)
		}
		return serials
	}
	later := plan.WithSerials(map[string]uint32{"\x05given\x07example\x00": 4_000_000_000, "\x04gone\x00": 1})
	if got := serials(later); !slices.Equal(got, []uint32{4_000_000_000, 4_000_000_000, 4_000_000_000, 4_000_000_000}) {
		t.Errorf("serials %d, want 4000000000 everywhere", got)
	}
	if got := serials(plan); !slices.Equal(got, []uint32{7, 7, 7, 7}) {
		t.Errorf("the plan before has serials %d, want 7 everywhere", got)
	}
	if later.Digest != plan.Digest {
		t.Error("another serial changes the digest, so nodes that are no nameservers would seem to differ")
	}
	if got, want := given(t, later, "given.example."), "300 IN NS ns1.given.example. | 300 IN NS ns2.example.net. | "+
		"300 IN SOA ns1.given.example. admin.given.example. 4000000000 7200 900 432000 60"; got != want {
		t.Errorf("given %s, want %s", got, want)
	}
}
