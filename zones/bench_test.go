package zones

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

var benchRegions = []geo.RegionID{"ap", "eu", "us"}

// benchWorld has pools of ten members in three regions by latency or failover; each of 10,000 checked endpoints is in as many pools as
// that takes.
func benchWorld(pools int) FileMap {
	files := map[string][]byte{"world.yaml": []byte("regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}, ap: {coordinates: [19, 72]}}\n" +
		"checks: {c: {type: tcp, port: 80}}\n")}
	policies := []Policy{Failover, Latency}
	for at := 0; at < pools; at += 1000 {
		var yaml strings.Builder
		yaml.WriteString("pools:\n")
		for i := at; i < min(at+1000, pools); i++ {
			fmt.Fprintf(&yaml, "  p%d:\n    policy: %s\n    check: c\n    members:\n", i, policies[i%2])
			for j := range 10 {
				n := (10*i + j) % 10_000
				fmt.Fprintf(&yaml, "      - {endpoint: e%d, region: %s, address: 192.%d.%d.%d}\n", n, benchRegions[n%3], n/1000, n/10%100, n%10)
			}
		}
		files[fmt.Sprintf("pools%d.yaml", at)] = []byte(yaml.String())
	}
	return files
}

// benchTable has so many places all over the globe.
func benchTable(b testing.TB, places int) *geo.Table {
	r := rand.New(rand.NewPCG(1, 1))
	var builder geo.Builder
	for i := range places {
		place := geo.Place{Country: "DE", Continent: "EU", City: fmt.Sprint(i), Located: true,
			At: geo.Coordinates{Latitude: 180*r.Float64() - 90, Longitude: 360*r.Float64() - 180}}
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		if err := builder.Add(prefix, place); err != nil {
			b.Fatal(err)
		}
	}
	return builder.Build()
}

// BenchmarkConfiguration reads and compiles 10,000 pools for 100,000 places.
func BenchmarkConfiguration(b *testing.B) {
	files, table := benchWorld(10_000), benchTable(b, 100_000)
	var parsed, compiled time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		world := worldOf(b, files)
		parsed += time.Since(start)
		start = time.Now()
		if _, err := world.Compile(table, nil); err != nil {
			b.Fatal(err)
		}
		compiled += time.Since(start)
	}
	b.ReportMetric(parsed.Seconds()/float64(b.N), "parse-s/op")
	b.ReportMetric(compiled.Seconds()/float64(b.N), "compile-s/op")
}

func BenchmarkPublish(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	world, table := worldOf(b, benchWorld(10_000)), benchTable(b, 100_000)
	empty := heap()
	plan, err := world.Compile(table, nil)
	if err != nil {
		b.Fatal(err)
	}
	planned := heap()
	in := Inputs{Health: statuses(plan, "")}
	first := plan.Publish(nil, in, Change{All: true}, time.Unix(0, 0))
	fmt.Printf("the plan takes %d MB, a snapshot %d MB more\n", (planned-empty)>>20, (heap()-planned)>>20)
	region := func(id geo.RegionID) (change Change) {
		for _, t := range plan.Targets {
			if t.Region == id {
				change.Checks = append(change.Checks, t.ID)
			}
		}
		return change
	}
	for _, row := range []struct {
		name   string
		change Change
	}{
		{"an endpoint of 10000", Change{Checks: []health.CheckID{plan.Targets[17].ID}}},
		{"a region of 3", region("eu")},
		{"all", Change{All: true}},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			var times []time.Duration
			for b.Loop() {
				start := time.Now()
				plan.Publish(first, in, row.change, time.Unix(0, 0))
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "worst-ms")
		})
	}
}

func BenchmarkExplain(b *testing.B) {
	plan := planOf(b, worldOf(b, demoFiles(b)))
	s := plan.Publish(nil, Inputs{Health: statuses(plan, "")}, Change{All: true}, time.Unix(0, 0))
	for b.Loop() {
		if _, err := s.Explain(Question{Name: "api.example.com", Type: 1, Client: Client{Source: german.Addr()}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSpread takes a step for a pool of five regions with three members each, all with a capacity and most of them full, whose
// clients are in a hundred groups.
func BenchmarkSpread(b *testing.B) {
	var text strings.Builder
	text.WriteString("regions: {us: {coordinates: [39, -77]}, eu: {coordinates: [53, -6]}, as: {coordinates: [19, 73]}, sa: {coordinates: [-23, -46]}, au: {coordinates: [-34, 151]}}\n")
	text.WriteString("checks: {c: {type: tcp, port: 80}}\npools:\n  near:\n    policy: latency\n    check: c\n    members:\n")
	for i := range 15 {
		fmt.Fprintf(&text, "      - {endpoint: e%d, region: %s, address: 192.0.2.%d, capacity: 1000}\n", i, []string{"us", "eu", "as", "sa", "au"}[i%5], i+1)
	}
	plan, err := worldOf(b, FileMap{"w.yaml": []byte(text.String())}).Compile(benchTable(b, 10_000), nil)
	if err != nil {
		b.Fatal(err)
	}
	pool := plan.Pools[0]
	for _, each := range []float64{0.5, 0.95, 1.2} {
		demand := Demand{"near": {}}
		for g := range pool.Groups {
			demand["near"][pool.Groups[g].Key] = each * 15000 / float64(len(pool.Groups)) * float64(1+g%3) / 2
		}
		s := plan.Publish(nil, Inputs{Health: statuses(plan, "e0=down")}, Change{All: true}, time.Unix(0, 0))
		b.Run(fmt.Sprintf("demand=%v", each), func(b *testing.B) {
			for b.Loop() {
				plan.Spread(s, demand)
			}
			b.ReportMetric(float64(len(pool.Groups)), "groups")
		})
	}
}
