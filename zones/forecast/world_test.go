package forecast

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

// table places 16 /16 of IPv4 and 8 /32 of IPv6 in four countries, and one more of each in none.
func table(t testing.TB) *geo.Table {
	t.Helper()
	var b geo.Builder
	places := []geo.Place{
		{Continent: "NA", Country: "US", Located: true, At: geo.Coordinates{Latitude: 39, Longitude: -98}},
		{Continent: "EU", Country: "DE", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}},
		{Continent: "EU", Country: "FR", Located: true, At: geo.Coordinates{Latitude: 47, Longitude: 2}},
		{Continent: "AS", Country: "IN", ASN: 64500, Located: true, At: geo.Coordinates{Latitude: 22, Longitude: 79}},
	}
	for i := range 16 {
		add(t, &b, fmt.Sprintf("20.%d.0.0/16", i), places[i%4])
	}
	for i := range 8 {
		add(t, &b, fmt.Sprintf("2600:%x::/32", i), places[i/2])
	}
	return b.Build()
}

func add(t testing.TB, b *geo.Builder, prefix string, place geo.Place) {
	t.Helper()
	if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
		t.Fatal(err)
	}
}

const frame = `
regions:
  us-east: {coordinates: [39.0, -77.5]}
  eu-west: {coordinates: [53.3, -6.3]}
  ap-south: {coordinates: [19.1, 72.9]}
checks:
  web: {type: http}
controls:
  panel: {members: [c-us-east, c-eu-west, {name: c-ap-south, initial: off}]}
`

const (
	zoneFile  = "@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.53\n"
	plainName = "plain 300 A 192.0.2.80\n"
)

// snapshot makes the steady snapshot of a world: the frame, its pools, and the names that they steer. The zone file has the name plain
// unless that is steered.
func snapshot(t testing.TB, table *geo.Table, pools, steer string) *zones.Snapshot {
	t.Helper()
	text := frame + "pools:\n" + pools + "zones:\n  example.com:\n    file: example.com.zone\n    steer: {" + steer + "}\n"
	file := zoneFile
	if !strings.Contains(steer, "plain:") {
		file += plainName
	}
	return snapshotOf(t, table, zones.FileMap{"world.yaml": []byte(text), "example.com.zone": []byte(file)})
}

func snapshotOf(t testing.TB, table *geo.Table, files zones.FileMap) *zones.Snapshot {
	t.Helper()
	w, err := zones.Parse(files)
	if err != nil {
		t.Fatalf("%v\n%s", err, files["world.yaml"])
	}
	plan, err := w.Compile(table, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Publish(nil, Steady(plan), zones.Change{All: true}, time.Unix(0, 0))
}

var regionNames = []string{"us-east", "eu-west", "ap-south"}

// randomPools writes a few pools of any policy, with pools in pools, by chance; p0 is the outermost.
func randomPools(r *rand.Rand) string {
	var b strings.Builder
	inner := ""
	for i := 3; i >= 0; i-- {
		policy := []string{"failover", "weighted", "geo", "geoproximity", "latency", "cidr", "multivalue"}[r.IntN(7)]
		fmt.Fprintf(&b, "  p%d:\n    policy: %s\n    check: web\n", i, policy)
		if r.IntN(3) == 0 && policy != "failover" {
			b.WriteString("    sticky: prefix\n")
		}
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "    answers: %d\n", 1+r.IntN(3))
		}
		if r.IntN(4) == 0 {
			b.WriteString("    when_all_down: last_resort\n    last_resort: [192.0.2.99, \"2001:db8::99\"]\n")
		}
		if policy == "latency" && r.IntN(2) == 0 {
			b.WriteString("    explore: 1\n")
		}
		b.WriteString("    members:\n")
		members := 1 + r.IntN(5)
		for m := range members {
			of := r.IntN(3)
			region, host := regionNames[of], 64*of+10*i+m
			extra := ""
			switch policy {
			case "weighted":
				extra = fmt.Sprintf(", weight: %d", r.IntN(4))
			case "geo":
				extra = ", continents: " + []string{"EU", "NA", "AS"}[r.IntN(3)]
				if m == 0 {
					extra = ", default: true"
				}
			case "cidr":
				extra = fmt.Sprintf(", prefixes: 20.%d.%d.0/%d", r.IntN(16), m*8, 21+r.IntN(4))
				if m == 0 {
					extra = ", default: true"
				}
			}
			if r.IntN(4) == 0 {
				extra += ", control: c-" + region
			}
			if m == 0 && inner != "" && r.IntN(2) == 0 {
				fmt.Fprintf(&b, "      - {pool: %s, region: %s%s}\n", inner, region, extra)
				continue
			}
			address := fmt.Sprintf("192.0.2.%d", host)
			if r.IntN(2) == 0 {
				address = fmt.Sprintf("[%s, \"2001:db8::%d\"]", address, host)
			}
			fmt.Fprintf(&b, "      - {endpoint: e%d, region: %s, address: %s%s}\n", host, region, address, extra)
		}
		inner = fmt.Sprintf("p%d", i)
	}
	return b.String()
}
