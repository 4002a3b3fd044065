package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

// countries3 is a table of three countries and one AS number, without subdivisions; with them if asked for.
func countries3(t *testing.T, subdivisions bool) *geo.Table {
	t.Helper()
	var b geo.Builder
	for i, place := range []geo.Place{
		{Continent: "NA", Country: "US", Subdivision: "US-CA", ASN: 64500, Located: true, At: geo.Coordinates{Latitude: 39, Longitude: -98}},
		{Continent: "EU", Country: "DE", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
		{Continent: "EU", Country: "FR", Located: true, At: geo.Coordinates{Latitude: 47, Longitude: 2}},
	} {
		if !subdivisions {
			place.Subdivision, place.ASN = "", 0
		}
		if err := b.Add(netip.MustParsePrefix(fmt.Sprintf("20.%d.0.0/16", i)), place); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

// A member that nobody can get is said to be that, and no other.
func TestUnreached(t *testing.T) {
	const us, eu = "endpoint: us, region: us-east, address: 192.0.2.1", "endpoint: eu, region: eu-west, address: 192.0.2.2"
	both := func(a, b string) string { return "members: [{" + us + a + "}, {" + eu + b + "}]" }
	const tail = "member \"eu\": no client can ever get it: us, which come before it, have neither a check nor a control and so always count as up"
	const nobody = "no client can ever get it: the geo table has nobody where it serves"
	for _, c := range []struct{ why, pools, want string }{
		{"the second of two that are probed", "a: {policy: failover, check: web, " + both("", "") + "}", ""},
		{"the second of two that are not", "a: {policy: failover, " + both("", "") + "}", "a: " + tail},
		{"the first has a control", "a: {policy: failover, " + both(", control: c", "") + "}", ""},
		{"the first is not enabled", "a: {policy: failover, " + both(", enabled: false", "") + "}", ""},
		{"one that is not enabled itself", "a: {policy: failover, " + both("", ", enabled: false") + "}", ""},
		{"two are answered", "a: {policy: failover, answers: 2, " + both("", "") + "}", ""},
		{"the first has no IPv6 address", "a: {policy: failover, " + both("", "") + "}", "a: " + tail},
		{"the second has an IPv6 address, which the first has not", "a: {policy: failover, members: [{" + us + "}, {endpoint: eu, region: eu-west, address: [192.0.2.2, \"2001:db8::2\"]}]}", ""},
		{"a standby", "a: {policy: weighted, " + both("", ", weight: 0") + "}", "a: " + tail},
		{"a standby of what is probed", "a: {policy: weighted, check: web, " + both("", ", weight: 0") + "}", ""},
		{"a standby, and two are answered", "a: {policy: weighted, answers: 2, " + both("", ", weight: 0") + "}", "a: " + tail},
		{"places of its own", "a: {policy: geo, " + both(", default: true", ", countries: DE") + "}", ""},
		{"a continent whose countries are taken", "a: {policy: geo, members: [{" + us + ", countries: [DE, FR], default: true}, {" + eu + ", continents: EU}]}", "a: " + tail},
		{"a continent of which a country is left", "a: {policy: geo, members: [{" + us + ", countries: [DE], default: true}, {" + eu + ", continents: EU}]}", ""},
		{"a continent that nobody is in", "a: {policy: geo, " + both(", default: true", ", continents: AN") + "}", "a: member \"eu\": " + nobody},
		{"a default behind a fence around all", "a: {policy: geo, members: [{" + us + ", continents: [NA, EU], fence: true, fenced: 192.0.2.9}, {" + eu + ", default: true}]}", ""},
		{"a prefix that longer ones cover", "a: {policy: cidr, members: [{" + us + ", prefixes: [20.0.0.0/17, 20.0.128.0/17], default: true}, {" + eu + ", prefixes: 20.0.0.0/16}]}", "a: " + tail},
		{"a prefix that they cover in part", "a: {policy: cidr, members: [{" + us + ", prefixes: 20.0.0.0/17, default: true}, {" + eu + ", prefixes: 20.0.0.0/16}]}", ""},
		{"a region that is nobody's nearest", "a: {policy: geoproximity, " + both(", bias: 99", "") + "}", "a: " + tail},
		{"a region that is somebody's nearest", "a: {policy: latency, " + both("", "") + "}", ""},
		{"behind a pool that always has one", "a: {policy: failover, members: [{pool: b}, {" + eu + "}]}\n  b: {policy: failover, members: [{" + us + "}]}", "a: " + tail},
		{"behind a pool that has a control", "a: {policy: failover, members: [{pool: b, control: c}, {" + eu + "}]}\n  b: {policy: failover, members: [{" + us + "}]}", ""},
		{"in a pool that is behind", "a: {policy: failover, members: [{" + us + "}, {pool: b}]}\n  b: {policy: failover, members: [{" + eu + "}]}", "b: " + tail},
		{"behind a pool that wants more than it has for certain", "a: {policy: failover, members: [{pool: b}, {" + eu + "}]}\n  b: {policy: weighted, min_up: 2, members: [{" + us + "}, {pool: d}]}\n  d: {policy: failover, check: web, members: [{endpoint: x, region: us-east, address: 192.0.2.3}]}", ""},
	} {
		world := frameOfTraps + c.pools + "\nzones:\n  example.com: {file: z, steer: {www: {pool: a}}}\n"
		w, err := Parse(FileMap{"world.yaml": []byte(world), "z": []byte("@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.53\n")})
		if err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		plan, err := w.Compile(countries3(t, true), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, warning := range plan.Warnings() {
			if strings.Contains(warning.Text, "no client can ever") {
				if warning.File != "world.yaml" || warning.Line == 0 {
					t.Errorf("%s: %v has no place", c.why, warning)
				}
				got = append(got, strings.NewReplacer("pool \"a\"", "a", "pool \"b\"", "b").Replace(warning.Text))
			}
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %q, want %q", c.why, text, c.want)
		}
	}
}

const frameOfTraps = `
regions:
  us-east: {coordinates: [39.0, -77.5]}
  eu-west: {coordinates: [53.3, -6.3]}
checks: {web: {type: http}}
controls: {panel: {members: [c]}}
pools:
  `

func TestUnknownPlaces(t *testing.T) {
	world := frameOfTraps + `a: {policy: geo, check: web, members: [{endpoint: us, region: us-east, address: 192.0.2.1, subdivisions: US-CA, default: true}]}
  b: {policy: cidr, check: web, members: [{endpoint: us, region: us-east, address: 192.0.2.1, asns: 64500, default: true}]}
zones:
  example.com: {file: z, steer: {www: {pool: a}, api: {pool: b}}}
`
	w, err := Parse(FileMap{"world.yaml": []byte(world), "z": []byte("@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.53\n")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		known bool
		want  []string
	}{
		{true, nil},
		{false, []string{
			`world.yaml:8: pool "a": goes by subdivisions, of which the geo table has none: nobody is matched by them without a database that has them (geo: in node.yaml, such as GeoLite2-City)`,
			`world.yaml:9: pool "b": goes by AS numbers, of which the geo table has none: nobody is matched by them without a database that has them (geo: in node.yaml, such as GeoLite2-ASN)`,
		}},
	} {
		plan, err := w.Compile(countries3(t, c.known), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, warning := range plan.Warnings() {
			if !slices.Contains(w.Warnings, warning) {
				got = append(got, warning.String())
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("with subdivisions and AS numbers %v: %q, want %q", c.known, got, c.want)
		}
	}
}
