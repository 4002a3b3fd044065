//go:build linux

package mmdb

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/geo"
)

var cityFile = flag.String("city", "", "a large city database in MaxMind's format, by which BenchmarkCity measures; bench -write-city makes one")

func cityPath(b *testing.B) string {
	if *cityFile == "" {
		b.Skip("no -city")
	}
	return *cityFile
}

// byDistance makes groups of the clients by their order of five regions.
func byDistance(table *geo.Table) *geo.Partition {
	regions := []geo.Coordinates{
		{Latitude: 38.9, Longitude: -77}, {Latitude: 50.1, Longitude: 8.7}, {Latitude: 1.35, Longitude: 103.8}, {Latitude: -33.9, Longitude: 151.2}, {Latitude: -23.5, Longitude: -46.6},
	}
	ids := map[[5]int]geo.GroupID{}
	return table.Partition(func(id geo.PlaceID) geo.GroupID {
		order, at := [5]int{0, 1, 2, 3, 4}, table.Place(id).At
		slices.SortStableFunc(order[:], func(a, b int) int {
			return int(geo.Distance(at, regions[a]) - geo.Distance(at, regions[b]))
		})
		g, ok := ids[order]
		if !ok {
			g = geo.GroupID(len(ids))
			ids[order] = g
		}
		return g
	})
}

// BenchmarkCityCompile and BenchmarkCityCached: how long it takes until clients can be placed, and what memory is used then: the table
// alone, with a partition by five regions, and the most that it took.
func BenchmarkCityCompile(b *testing.B) {
	measureRead(b, Sources{Databases: []string{cityPath(b)}, Version: "bench"})
}

func BenchmarkCityCached(b *testing.B) {
	s := Sources{Databases: []string{cityPath(b)}, Version: "bench", Cache: filepath.Join(b.TempDir(), "cache")}
	made, err := s.Read(nil)
	if err != nil {
		b.Fatal(err)
	}
	var cache bytes.Buffer
	if err := made.WriteCache(&cache); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(s.Cache, cache.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cache.Len())/1e6, "cache-MB")
	made, cache = nil, bytes.Buffer{}
	debug.FreeOSMemory()
	measureRead(b, s)
}

func measureRead(b *testing.B, s Sources) {
	var p *Places
	var spent time.Duration
	for b.Loop() {
		begun := processTime()
		var err error
		if p, err = s.Read(nil); err != nil {
			b.Fatal(err)
		}
		spent += processTime() - begun
	}
	if p.Cached != (s.Cache != "") {
		b.Fatalf("cached %v: %v", p.Cached, p.Missed)
	}
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(megabytes("VmHWM"), "peak-MB")
	debug.FreeOSMemory()
	b.ReportMetric(heap(), "table-MB")
	partition := byDistance(p.Table)
	debug.FreeOSMemory()
	b.ReportMetric(heap(), "both-MB")
	b.ReportMetric(megabytes("VmRSS"), "rss-MB")
	b.ReportMetric(float64(p.Table.Networks()), "stretches")
	b.ReportMetric(float64(p.Table.Places()), "places")
	b.ReportMetric(float64(partition.Networks()), "parts")
	runtime.KeepAlive(p)
	runtime.KeepAlive(partition)
}

// BenchmarkCityLookup looks up random addresses of random networks, or all addresses alike, and says what one cost in processor time: the
// least, the median and the most of some rounds. In waits, each look-up waits for the one before it, as one answer's does.
func BenchmarkCityLookup(b *testing.B) {
	path := cityPath(b)
	table, err := Load([]string{path})
	if err != nil {
		b.Fatal(err)
	}
	p := byDistance(table)
	for _, family := range []string{"IPv4", "IPv6"} {
		addresses := drawAddresses(b, path, family == "IPv4")
		debug.FreeOSMemory()
		b.Run("place/"+family, func(b *testing.B) {
			rounds(b, addresses, func(a netip.Addr) int { return int(table.Lookup(a)) })
		})
		b.Run("group/"+family, func(b *testing.B) {
			rounds(b, addresses, func(a netip.Addr) int {
				g, scope := p.Lookup(a)
				return int(g) + scope
			})
		})
	}
}

// drawAddresses draws addresses of random networks of a family.
func drawAddresses(b *testing.B, path string, v4 bool) []netip.Addr {
	reader, err := maxminddb.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	var all []netip.Prefix
	for r := range reader.Networks() {
		if p := r.Prefix(); p.Addr().Is4() == v4 {
			all = append(all, p)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	addresses := make([]netip.Addr, 1<<18)
	for i := range addresses {
		p := all[random.IntN(len(all))]
		bytes := p.Addr().AsSlice()
		for bit := p.Bits(); bit < 8*len(bytes); bit++ {
			bytes[bit/8] |= byte(random.IntN(2)) << (7 - bit%8)
		}
		addresses[i], _ = netip.AddrFromSlice(bytes)
	}
	return addresses
}

func rounds(b *testing.B, addresses []netip.Addr, f func(netip.Addr) int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var together, waiting []float64
	for b.Loop() {
		for range 15 {
			sum, begun := 0, threadTime()
			for _, a := range addresses {
				sum += f(a)
			}
			together = append(together, float64(threadTime()-begun)/float64(len(addresses)))
			begun = threadTime()
			for i := range addresses {
				sum = f(addresses[i^sum&1])
			}
			waiting = append(waiting, float64(threadTime()-begun)/float64(len(addresses)))
			sink += sum
		}
	}
	slices.Sort(together)
	slices.Sort(waiting)
	b.ReportMetric(0, "ns/op")
	for name, figures := range map[string][]float64{"": together, "waits-": waiting} {
		b.ReportMetric(figures[0], name+"least-ns")
		b.ReportMetric(figures[len(figures)/2], name+"median-ns")
		b.ReportMetric(figures[len(figures)-1], name+"most-ns")
	}
}

var sink int

func threadTime() time.Duration  { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }
func processTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// megabytes returns a line of what the kernel says of this process.
func megabytes(key string) float64 {
	text, _ := os.ReadFile("/proc/self/status") // without it, 0
	for line := range strings.Lines(string(text)) {
		var kB float64
		if n, _ := fmt.Sscanf(line, key+": %f kB", &kB); n == 1 {
			return kB / 1024
		}
	}
	return 0
}

func heap() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
