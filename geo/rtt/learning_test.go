package rtt

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

var (
	simFirst = flag.Uint64("seed", 1, "the first seed of TestLearning")
	simSeeds = flag.Int("seeds", fewSeeds, "how many seeds TestLearning runs; of more than four it makes the whole table")
)

const fewSeeds = 4

var simEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Boxes that hold most of the land where people are: latitude from and to, longitude from and to, and how many countries are in
// them.
var land = []struct {
	south, north, west, east float64
	countries                int
}{
	{30, 50, -122, -72, 6}, {8, 25, -105, -65, 4}, {-35, 5, -72, -38, 6}, {37, 60, -9, 35, 12},
	{-32, 33, -12, 40, 8}, {8, 33, 45, 90, 5}, {-8, 42, 95, 142, 8}, {-40, -18, 115, 175, 2},
}

// How far truth strays from the distance, as standard deviations of its logarithm: by country and region, by ASN and region, and by
// prefix and region.
const (
	detourCountry = 0.24
	detourASN     = 0.12
	detourOdd     = 0.30 // of one prefix in a hundred, which goes its own ways
)

// Noise of a sample: a share of it, and what queues add on average.
const (
	noiseShare = 0.10
	noiseQueue = 3 * time.Millisecond
)

// A client is a /24 whose times to all regions are known to the simulation alone.
type client struct {
	prefix netip.Prefix
	place  geo.Place
	truth  []time.Duration // by region
}

func (c *client) best() time.Duration { return slices.Min(c.truth) }

// misled reports whether a region is worse for a client than its best by more than 10 ms and 10 %.
func (c *client) misled(region int) bool {
	t := c.truth[region]
	return t-c.best() > max(10*time.Millisecond, t/10)
}

// A globe is a world of clients and regions.
type globe struct {
	random  *rand.Rand
	clients []client
	config  Config
	number  map[geo.RegionID]int
}

func newGlobe(seed uint64, regions int) *globe {
	g := &globe{random: rand.New(rand.NewPCG(seed, uint64(regions))), number: make(map[geo.RegionID]int)}
	between := func(a, b float64) float64 { return a + (b-a)*g.random.Float64() }
	type city struct{ at geo.Coordinates }
	type country struct {
		code   string
		cities []city
	}
	var countries []country
	var cities []city
	for _, box := range land {
		for range box.countries {
			c := country{code: string([]byte{'A' + byte(len(countries)/26), 'A' + byte(len(countries)%26)})}
			lat, lon := between(box.south, box.north), between(box.west, box.east)
			for range 5 {
				c.cities = append(c.cities, city{geo.Coordinates{Latitude: lat + 2.5*g.random.NormFloat64(), Longitude: lon + 4*g.random.NormFloat64()}})
			}
			cities = append(cities, c.cities...)
			countries = append(countries, c)
		}
	}
	for i, c := range g.random.Perm(len(cities))[:regions] {
		r := Region{geo.RegionID(fmt.Sprintf("region-%d", i)), cities[c].at}
		g.config.Regions = append(g.config.Regions, r)
		g.number[r.ID] = i
	}
	detours := func(deviation float64, around []float64) []float64 {
		d := make([]float64, regions)
		for r := range d {
			d[r] = deviation * g.random.NormFloat64()
			if around != nil {
				d[r] += around[r]
			}
		}
		return d
	}
	var places geo.Builder
	address := uint32(20 << 24)
	for i, c := range countries {
		ofCountry := detours(detourCountry, nil)
		for asn := range 2 + g.random.IntN(4) {
			ofASN := detours(detourASN, ofCountry)
			for range 48 {
				at := c.cities[g.random.IntN(len(c.cities))].at
				one := client{place: geo.Place{Country: c.code, ASN: uint32(64512 + 10*i + asn), Located: true, At: at}}
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], address)
				one.prefix = netip.PrefixFrom(netip.AddrFrom4(a), 24)
				address += 256
				ways := ofASN
				if g.random.IntN(100) == 0 {
					ways = detours(detourOdd, ofASN)
				}
				for r, d := range ways {
					there := g.config.Regions[r].At
					light := time.Duration(geo.Distance(at, there) / 100 * float64(time.Millisecond))
					one.truth = append(one.truth, max(light, time.Duration(float64(Prior(at, there))*math.Exp(d))))
				}
				if err := places.Add(one.prefix, one.place); err != nil {
					panic(err)
				}
				g.clients = append(g.clients, one)
			}
		}
	}
	g.config.Places = places.Build()
	return g
}

// measure is the mean of some samples of a client's connections to a region.
func (g *globe) measure(c *client, region int, count uint32) time.Duration {
	n := math.Sqrt(float64(count))
	t := float64(c.truth[region])*(1+noiseShare*g.random.NormFloat64()/n) + float64(noiseQueue)*(1+g.random.NormFloat64()/n)
	return time.Duration(max(t, 0))
}

// A run is a globe whose clients are sent to regions, whose gateways measure them, and a nameserver that learns from that.
type run struct {
	*globe
	explore                 bool
	enough                  uint32 // samples of an ASN and a region after which no more are taken; 0: none
	now                     time.Time
	model                   *Model
	orders                  *Orders
	digests                 []*Digest
	sent                    []int // by client: the region it is sent to, but for trying others
	answers, tries, changes int
}

// votesEvery is how often a gateway hands samples over: a prefix has one vote each time.
const votesEvery = 10 * time.Second

func newRun(g *globe, explore bool, enough uint32) *run {
	r := &run{globe: g, explore: explore, enough: enough, now: simEpoch, model: New(), sent: make([]int, len(g.clients))}
	g.config.Explore = explore
	for range g.config.Regions {
		r.digests = append(r.digests, NewDigest(MaxDigest))
	}
	r.orders = (*Orders)(nil).For(g.config)
	r.model.Adopt(r.orders)
	r.send()
	return r
}

// send looks up to which region each client is sent.
func (r *run) send() {
	for i := range r.clients {
		c := &r.clients[i]
		region := r.number[r.orders.Order(c.place, r.orders.Overlay().Find(c.prefix.Addr()), r.config.Regions)[0]]
		if r.sent[i] != region {
			r.changes++
		}
		r.sent[i] = region
	}
}

// missing returns how many samples a region that is tried may still give.
func (r *run) missing(c *client, region int) uint32 {
	if r.enough == 0 {
		return MaxCount
	}
	have := uint32(0)
	if m := r.digests[region].keys.find(keyOf(c.place.Country, c.place.ASN, true)); m != nil {
		have = uint32(m.now(uint32(EpochOf(r.now)))+whole-1) / whole
	}
	return r.enough - min(r.enough, have)
}

// epoch is five minutes of clients' answers, samples and reports.
func (r *run) epoch() {
	for i := range r.clients {
		c := &r.clients[i]
		region := r.sent[i]
		r.answers++
		if r.explore && Explored(c.prefix, EpochOf(r.now), 10) {
			var open []Region
			for n, candidate := range r.config.Regions {
				if n == region || r.missing(c, n) > 0 {
					open = append(open, candidate)
				}
			}
			if other, ok := r.orders.Explore(c.place, r.orders.Overlay().Find(c.prefix.Addr()), open); ok {
				region = r.number[other]
				r.tries++
			}
		}
		n := uint32(EpochLength / votesEvery)
		if region != r.sent[i] {
			n = min(n, r.missing(c, region))
		}
		r.digests[region].Add(Sample{c.prefix, r.measure(c, region, n), n}, c.place, r.config.Regions[region], r.model.Orders(), r.now)
	}
	r.now = r.now.Add(EpochLength)
	for i, d := range r.digests {
		report, err := ParseReport(d.Report(r.config.Regions[i].ID, r.now).Append(nil))
		if err != nil {
			panic(err)
		}
		r.model.Replace(string(r.config.Regions[i].ID), report, r.now)
	}
	if r.model.Advance(r.now) {
		r.orders = r.model.Orders().For(r.config)
		r.model.Adopt(r.orders)
		r.send()
	}
}

func (r *run) misled() float64 {
	n := 0
	for i := range r.clients {
		if r.clients[i].misled(r.sent[i]) {
			n++
		}
	}
	return float64(n) / float64(len(r.clients))
}

// learn runs for some hours.
func (r *run) learn(hours int) {
	for range hours * int(time.Hour/EpochLength) {
		r.epoch()
	}
}

// How long it takes until all that is worth a try has been tried, and how long until the regions that clients are sent to are
// known.
const triedHours, servedHours = 5, 2

// A nameserver that learns sends far fewer clients to a region that is worse than their best by more than 10 ms and 10 %. Samples come only
// from the regions that clients are sent to, and from those that 1 % of the prefixes try; of one that is tried, no more than so many in
// each ASN in a country.
//
//	go test ./geo/rtt -run TestLearning -v -args -seeds 20
func TestLearning(t *testing.T) {
	sets, enough := []int{5}, []uint32{100}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	if *simSeeds > fewSeeds {
		sets, enough = []int{3, 5, 8}, []uint32{10, 30, 100, 300, 1000}
	}
	t.Logf("%d seeds; misled clients, in %% (least to most)", *simSeeds)
	t.Logf("regions | by distance | without exploration | samples of each region tried: %d", enough)
	for _, regions := range sets {
		var before, without []float64
		with := make([][]float64, len(enough))
		for seed := *simFirst; seed < *simFirst+uint64(*simSeeds); seed++ {
			g := newGlobe(seed, regions)
			r := newRun(g, false, 0)
			before = append(before, r.misled())
			r.learn(servedHours)
			without = append(without, r.misled())
			for i, n := range enough {
				r := newRun(g, true, n)
				r.learn(triedHours)
				with[i] = append(with[i], r.misled())
				if share := float64(r.tries) / float64(r.answers); share > 0.011 {
					t.Errorf("seed %d: %.2f %% of the answers try another region", seed, 100*share)
				}
				if most := 0.03; n >= 100 && regions <= 5 && r.misled() > most {
					t.Errorf("seed %d, %d regions, %d samples: %.2f %% are misled, want at most %.0f", seed, regions, n, 100*r.misled(), 100*most)
				}
			}
		}
		line := fmt.Sprintf("%7d | %s | %s", regions, spread(before), spread(without))
		for i, n := range enough {
			line += " | " + spread(with[i])
			most := 0.01
			if *simSeeds <= fewSeeds {
				most = 0.012 // they are not enough for an average
			}
			if n >= 100 && regions <= 5 && average(with[i]) > most {
				t.Errorf("%d regions, %d samples: on average %.2f %% are misled, want at most %.1f", regions, n, 100*average(with[i]), 100*most)
			}
		}
		t.Log(line)
		if average(without) > 0.6*average(before) {
			t.Errorf("%d regions: without exploration %s are misled, by distance alone %s", regions, spread(without), spread(before))
		}
	}
}

// average is the mean of some numbers.
func average(x []float64) (sum float64) {
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func spread(x []float64) string {
	return fmt.Sprintf("%.2f (%.1f–%.1f)", 100*average(x), 100*slices.Min(x), 100*slices.Max(x))
}

// Noise moves nobody. The same estimates without hysteresis would move many.
func TestNoFlapping(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const hours = 3
	seeds := min(*simSeeds, fewSeeds/2)
	var held, unheld float64
	for seed := *simFirst; seed < *simFirst+uint64(seeds); seed++ {
		r := newRun(newGlobe(seed, 5), false, 0)
		r.learn(hours)
		before := r.changes
		var last []uint8
		moves := 0
		for range hours * int(time.Hour/EpochLength) {
			r.epoch()
			first := make([]uint8, 0, len(last))
			order := make([]uint8, len(r.config.Regions))
			r.model.Orders().sweep(func(_ int, est []micros) {
				sorted(order, est)
				first = append(first, order[0])
			}, func(int, []micros) {})
			for i := range last {
				if first[i] != last[i] {
					moves++
				}
			}
			last = first
		}
		held += float64(r.changes-before) / float64(hours*len(r.clients)*seeds)
		unheld += float64(moves) / float64(hours*len(last)*seeds)
	}
	t.Logf("%d seeds: an hour of noise moves %.4f %% of the clients; without hysteresis %.2f %% of the places", seeds, 100*held, 100*unheld)
	if held > 0.0005 || unheld < 5*held {
		t.Error("want 0.05 % at most, and a fifth of those without hysteresis")
	}
}
