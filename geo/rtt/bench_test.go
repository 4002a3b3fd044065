package rtt

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

// benchLab has 100,000 places of 20,000 ASNs in 200 countries, five regions of which two gateways each have told of all that a
// model holds, and 20,000 prefixes.
func benchLab(b *testing.B) *lab {
	random := rand.New(rand.NewPCG(1, 6))
	var builder geo.Builder
	address := uint32(20 << 24)
	var keys []id
	for i := range 20_000 {
		country := string([]byte{'A' + byte(i%200/26), 'A' + byte(i%200%26)})
		for range 5 {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], address)
			place := geo.Place{Country: country, ASN: uint32(i + 1), Located: true, At: geo.Coordinates{Latitude: 120*random.Float64() - 60, Longitude: 360*random.Float64() - 180}}
			if err := builder.Add(netip.PrefixFrom(netip.AddrFrom4(a), 20), place); err != nil {
				b.Fatal(err)
			}
			address += 1 << 12
		}
		keys = append(keys, keyOf(country, uint32(i+1), true))
	}
	for i := range 200 {
		keys = append(keys, keyOf(string([]byte{'A' + byte(i/26), 'A' + byte(i%26)}), 0, true))
	}
	l := &lab{t: b, Model: New(), now: start, config: Config{Places: builder.Build()}}
	for i, at := range []geo.Coordinates{usEast.At, euWest.At, apSouth.At, {Latitude: -23, Longitude: -46}, {Latitude: 35, Longitude: 139}} {
		l.config.Regions = append(l.config.Regions, Region{geo.RegionID(string('a' + rune(i))), at})
	}
	l.Adopt(l.Model.Orders().For(l.config))
	for n := range 10 {
		region := l.config.Regions[n%5].ID
		var rows []row
		for _, k := range keys {
			rows = append(rows, row{id: k, rtt: uint32(random.IntN(300_000)), expected: 100_000, weight: uint16(random.IntN(maxWeight))})
		}
		for range 2000 {
			rows = append(rows, row{id: prefixID(netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(random.IntN(20)), byte(random.IntN(256)), byte(random.IntN(256))}), 24)), rtt: uint32(random.IntN(300_000)), weight: 900 * whole})
		}
		l.Replace(string(region)+string(rune('0'+n)), reportOf(region, l.now, rows...), l.now)
	}
	l.epoch()
	return l
}

// What a compile does for each place.
func BenchmarkOrder(b *testing.B) {
	l := benchLab(b)
	places := l.config.Places
	b.ResetTimer()
	for i := range b.N {
		l.orders.Order(places.Place(geo.PlaceID(2+i%(places.Places()-2))), 0, l.config.Regions)
	}
}

// What a compile does for each place if prefixes explore.
func BenchmarkExplore(b *testing.B) {
	l := benchLab(b)
	places := l.config.Places
	b.ResetTimer()
	for i := range b.N {
		l.orders.Explore(places.Place(geo.PlaceID(2+i%(places.Places()-2))), 0, l.config.Regions)
	}
}

// What a node's goroutine does in every epoch.
func BenchmarkAdvance(b *testing.B) {
	l := benchLab(b)
	b.ResetTimer()
	for range b.N {
		l.now = l.now.Add(EpochLength)
		if l.Model.picture.epoch%uint64(halfEpochs) == 0 {
			b.StopTimer() // before everything has aged away
			for i := range l.told {
				l.told[i].epoch = uint32(EpochOf(l.now))
			}
			b.StartTimer()
		}
		l.Advance(l.now)
	}
}

// What a compile does first, where the table of places is another one, and where it is not.
func BenchmarkFor(b *testing.B) {
	l := benchLab(b)
	for name, o := range map[string]*Orders{"another table": nil, "the same": l.Model.Orders()} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				o.For(l.config)
			}
		})
	}
}

// What a gateway's node does with each sample.
func BenchmarkAdd(b *testing.B) {
	l := benchLab(b)
	d := NewDigest(MaxDigest)
	places := l.config.Places
	random := rand.New(rand.NewPCG(2, 6))
	b.ResetTimer()
	for i := range b.N {
		if i%100_000 == 0 {
			l.now = l.now.Add(EpochLength)
		}
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(random.IntN(8)), byte(random.IntN(256)), byte(random.IntN(256))}), 24)
		d.Add(Sample{p, ms(80), 1}, places.Place(places.Lookup(p.Addr())), l.config.Regions[1], l.Model.Orders(), l.now)
	}
}
