package wire_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// Clients of the world in testdata.
var (
	european = netip.MustParseAddr("5.1.2.3")
	american = netip.MustParseAddr("17.1.2.3")
)

// table places 5.0.0.0/8 and 2a00::/16 in Europe, 17.0.0.0/8 and 2600::/16 in America.
func table(tb testing.TB) *geo.Table {
	tb.Helper()
	var b geo.Builder
	for prefix, place := range map[string]geo.Place{
		"5.0.0.0/8":  {Continent: "EU", Country: "DE"},
		"2a00::/16":  {Continent: "EU", Country: "DE"},
		"17.0.0.0/8": {Continent: "NA", Country: "US"},
		"2600::/16":  {Continent: "NA", Country: "US"},
	} {
		if err := b.Add(netip.MustParsePrefix(prefix), place); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Build()
}

// snapshot publishes the world in testdata.
func snapshot(tb testing.TB) *zones.Snapshot {
	tb.Helper()
	files := make(map[string][]byte)
	for _, name := range []string{"world.yaml", "example.com.zone", "child.example.com.zone", "example.org.zone", "sub.example.org.zone"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			tb.Fatal(err)
		}
		files[name] = data
	}
	world, err := zones.Parse(files)
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := world.Compile(table(tb), rtt.New().Orders())
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, now)
}
