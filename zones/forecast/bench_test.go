package forecast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/zones"
)

// large is a thousand names, each with a pool of its own of 20 endpoints in 10 regions, by turns by latency, place and weight. The
// first region is where latitude says.
func large(b *testing.B, table *geo.Table, latitude int) *zones.Snapshot {
	b.Helper()
	var text, steer strings.Builder
	text.WriteString("regions:\n")
	for r := range 10 {
		at := latitude
		if r > 0 {
			at = 12*r - 50
		}
		fmt.Fprintf(&text, "  r%d: {coordinates: [%d, %d]}\n", r, at, 36*r-170)
	}
	text.WriteString("checks: {web: {type: http}}\npools:\n")
	for p := range 1000 {
		policy := []string{"latency", "geo", "weighted", "geoproximity"}[p%4]
		fmt.Fprintf(&text, "  p%d:\n    policy: %s\n    check: web\n    members:\n", p, policy)
		fmt.Fprintf(&steer, "      n%d: {pool: p%d}\n", p, p)
		for m := range 20 {
			extra := ""
			switch {
			case policy == "geo" && m == 0:
				extra = ", default: true"
			case policy == "geo":
				extra = ", countries: " + []string{"US", "DE", "FR", "IN", "CN", "JP", "BR", "GB", "AU", "ZA", "CA"}[(m+p/4)%11]
			case policy == "weighted":
				extra = fmt.Sprintf(", weight: %d", 1+(m+latitude+50)%7)
			case policy == "geoproximity":
				extra = fmt.Sprintf(", bias: %d", (m+p)%10)
			}
			region := (m + p/4) % 10
			fmt.Fprintf(&text, "      - {endpoint: e%d, region: r%d, address: 192.0.2.%d%s}\n", 10*m+region, region, 10*m+region+1, extra)
		}
	}
	text.WriteString("zones:\n  example.com:\n    file: z\n    steer:\n" + steer.String())
	w, err := zones.Parse(zones.FileMap{"world.yaml": []byte(text.String()), "z": []byte(zoneFile)})
	if err != nil {
		b.Fatal(err)
	}
	plan, err := w.Compile(table, nil)
	if err != nil {
		b.Fatal(err)
	}
	return plan.Publish(nil, Steady(plan), zones.Change{All: true}, time.Unix(0, 0))
}

// What a plan takes beside reading and compiling the worlds.
func BenchmarkCompare(b *testing.B) {
	table, err := mmdb.Default()
	if err != nil {
		b.Fatal(err)
	}
	before, after := large(b, table, 40), large(b, table, -40)
	b.ResetTimer()
	for b.Loop() {
		if f := Compare(before, after, nil); len(f.Clients.Moves) == 0 {
			b.Fatal("nobody moves")
		}
	}
}
