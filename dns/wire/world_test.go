package wire_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/wire"
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
func snapshot(tb testing.TB) *zones.Snapshot { return snapshotWith(tb, "") }

// snapshotWith publishes the world in testdata with something more in its configuration.
func snapshotWith(tb testing.TB, more string) *zones.Snapshot {
	tb.Helper()
	files := make(map[string][]byte)
	for _, name := range []string{"world.yaml", "example.com.zone", "child.example.com.zone", "example.org.zone", "sub.example.org.zone"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			tb.Fatal(err)
		}
		files[name] = data
	}
	files["world.yaml"] = append(files["world.yaml"], more...)
	world, err := zones.Parse(files)
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := world.Compile(table(tb), rtt.New().Orders())
	if err != nil {
		tb.Fatal(err)
	}
	return plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, now)
}

var (
	now     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	secrets = cookie.Derive([]byte("a key of the cluster, 32 bytes.."), now)
)

// identity is of a nameserver that says what it can.
func identity(tb testing.TB) *wire.Identity {
	tb.Helper()
	id := &wire.Identity{NSID: []byte("ns1"), Cookies: &secrets}
	for name, text := range map[string]string{"id.server": "ns1.example.com", "version.bind": "none of your business"} {
		c, err := wire.NewChaosName(name, text)
		if err != nil {
			tb.Fatal(err)
		}
		id.Chaos = append(id.Chaos, c)
	}
	return id
}

// answerTo has a query answered by a nameserver that says nothing of itself.
func answerTo(dst []byte, s *zones.Snapshot, query []byte, from netip.Addr, limit int, random uint32) ([]byte, wire.Outcome) {
	return wire.Answer(dst, s, nil, &wire.Request{Query: query, Source: from, Limit: limit, Random: random})
}
