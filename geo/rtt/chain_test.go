package rtt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// pull is what n samples of a mean make of an estimate.
func pull(est, mean, n float64) float64 { return (est*Shrinkage + mean*n) / (Shrinkage + n) }

func testTable(t testing.TB, name, lines string) *Table {
	t.Helper()
	var report strict.Report
	table := ParseTable(name, []byte(header+"\n"+lines), []geo.RegionID{"us-east", "eu-west", "ap-south"}, &report)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return table
}

// Each step of the chain pulls the estimate of the one before, and the last one with samples is what it rests on.
func TestChainOfTrust(t *testing.T) {
	prior := float64(Prior(germany.At, euWest.At).Microseconds()) / 1000
	far := geo.Place{Country: "DE", ASN: 64500, Located: true, At: geo.Coordinates{Latitude: 40, Longitude: 30}}
	farther := float64(Prior(far.At, euWest.At).Microseconds()) / 1000
	country, asn := count(anyDE, euWest, prior+20, 30), count(germany, euWest, prior+40, 90)
	cover, prefix := countPrefix("5.0.0.0/20", 300, 970), countPrefix("5.0.1.0/24", 20, 300)
	byCountry, byASN := pull(prior, prior+20, 30), pull(pull(prior, prior+20, 30), prior+40, 90)
	for _, row := range []struct {
		why    string
		tables string
		rows   []row
		client string
		want   float64
		count  uint32
		from   string
	}{
		{"nothing measured", "", nil, "5.0.1.1", prior, 0, "distance"},
		{"as many samples as the distance weighs go half the way", "", []row{country}, "5.0.1.1", prior + 10, 30, "DE"},
		{"an ASN weighs more than its country", "", []row{country, asn}, "5.0.1.1", byASN, 90, "AS64500 in DE"},
		{"another ASN has only its country", "", []row{country, asn}, "5.128.0.1", byCountry, 30, "DE"},
		{"so has a client of no known ASN", "", []row{country, asn}, "7.0.0.1", byCountry, 30, "DE"},
		{"clients elsewhere in the ASN count by what they take beyond their distance", "", []row{count(far, euWest, farther+40, 90)}, "5.0.1.1", pull(prior, prior+40, 90), 90, "AS64500 in DE"},
		{"a covering prefix weighs more than the ASN", "", []row{country, asn, cover}, "5.0.2.1", pull(byASN, 300, 970), 970, "prefix 5.0.0.0/20"},
		{"a prefix weighs more than that around it", "", []row{country, asn, cover, prefix}, "5.0.1.1", pull(pull(byASN, 300, 970), 20, 300), 300, "prefix 5.0.1.0/24"},
		{"beside the prefix there is the one around it", "", []row{country, asn, cover, prefix}, "5.0.0.1", pull(byASN, 300, 970), 970, "prefix 5.0.0.0/20"},
		{"outside there is the ASN", "", []row{country, asn, cover, prefix}, "5.0.16.1", byASN, 90, "AS64500 in DE"},
		{"a table's country", "DE,eu-west,200", nil, "5.0.1.1", pull(prior, 200, TableSamples), 0, "table a.csv"},
		{"a table's ASN", "AS64500,eu-west,200", []row{country}, "5.0.1.1", pull(byCountry, 200, TableSamples), 0, "table a.csv"},
		{"a table's ASN is another one", "AS64501,eu-west,200", []row{country}, "5.0.1.1", byCountry, 30, "DE"},
		{"samples and a table in one step are taken together", "DE,eu-west,200", []row{count(anyDE, euWest, 100, 300)}, "5.0.1.1", pull(prior, (200*TableSamples+100*300)/(TableSamples+300.), TableSamples+300), 300, "DE"},
		{"a table's prefix", "5.0.0.0/9,eu-west,400", []row{country, asn}, "5.0.1.1", pull(byASN, 400, TableSamples), 0, "table a.csv"},
		{"samples of a prefix within a table's", "5.0.0.0/9,eu-west,400", []row{asn, prefix}, "5.0.1.1", pull(pull(pull(prior, prior+40, 90), 400, TableSamples), 20, 300), 300, "prefix 5.0.1.0/24"},
		{"IPv6 likewise", "2a00::/16,eu-west,400", []row{asn, countPrefix("2a00:0:1::/48", 20, 300)}, "2a00:0:1::1", pull(pull(pull(prior, prior+40, 90), 400, TableSamples), 20, 300), 300, "prefix 2a00:0:1::/48"},
		{"without a location what is measured is all there is", "", []row{count(nowhere, euWest, 123, 1)}, "2.0.0.1", 123, 1, "XX"},
		{"faster than light is not believed", "", []row{countPrefix("5.0.1.0/24", 0, 1000), {id: keyOf("DE", 64500, true), rtt: 0, expected: 900_000, weight: 1000 * whole}}, "5.0.1.1", 1, 1000, "AS64500 in DE"},
	} {
		var tables []*Table
		if row.tables != "" {
			tables = append(tables, testTable(t, "a.csv", row.tables))
		}
		l := newLab(t, tables...)
		l.tell("eu-west", row.rows...)
		l.epoch()
		e := l.estimate(row.client, euWest)
		if got := float64(e.RTT.Microseconds()) / 1000; math.Abs(got-row.want) > 0.3 || e.Samples < row.count-row.count/50 || e.Samples > row.count || e.From != row.from {
			t.Errorf("%s: %.3f ms by %d samples of %q, want %.3f by about %d of %q", row.why, got, e.Samples, e.From, row.want, row.count, row.from)
		}
	}
}

// What is measured counts half after a half-life, and as much at every node whatever its age there.
func TestHalfLife(t *testing.T) {
	l := newLab(t)
	prior := float64(Prior(germany.At, euWest.At).Microseconds()) / 1000
	l.tell("eu-west", count(anyDE, euWest, prior+100, 480))
	for _, after := range []struct {
		epochs  int
		samples uint32
	}{{0, 480}, {halfEpochs, 240}, {halfEpochs, 120}, {halfEpochs / 2, 85}, {halfEpochs / 2, 60}, {7 * halfEpochs, 0}} {
		for range after.epochs {
			l.epoch()
		}
		if after.epochs == 0 {
			l.Model.picture, _ = l.Model.picture.next(rows{{keyOf("DE", 0, true), uint32(prior*1000) + 100_000, uint32(prior * 1000), uint32(EpochOf(l.now)), 480 * whole, 0}},
				[]geo.RegionID{"eu-west"}, EpochOf(l.now), false)
			l.orders = l.Model.picture
		}
		e := l.orders.Estimate(anyDE, 0, euWest)
		want := pull(prior, prior+100, float64(after.samples))
		if got := float64(e.RTT.Microseconds()) / 1000; e.Samples != after.samples || math.Abs(got-want) > 0.3 {
			t.Errorf("after %v the estimate is %.2f by %d samples, want %.2f by %d", l.now.Sub(start), got, e.Samples, want, after.samples)
		}
	}
	if len(l.told) != 0 {
		t.Errorf("what is of no weight any more is still held: %v", l.told)
	}
}

// An estimate is the less certain the fewer samples each step has.
func TestDeviation(t *testing.T) {
	l := newLab(t)
	share := func(client string) float64 {
		e := l.estimate(client, euWest)
		return float64(e.Deviation) / float64(e.RTT)
	}
	check := func(client string, want float64) {
		t.Helper()
		if got := share(client); math.Abs(got-want) > 0.002 {
			t.Errorf("%s: deviation is %.3f of the estimate, want %.3f", client, got, want)
		}
	}
	check("7.0.0.1", 0.25)
	check("5.0.0.1", math.Sqrt(0.25*0.25+0.15*0.15))
	l.tell("eu-west", count(anyDE, euWest, 50, 30), count(germany, euWest, 50, 90), countPrefix("5.0.1.0/24", 300, 270))
	l.epoch()
	country := 0.25 * 0.25 / 2
	asn := (country + 0.15*0.15) / 4
	check("7.0.0.1", math.Sqrt(country))
	check("5.128.0.1", math.Sqrt(country+0.15*0.15))
	check("5.0.0.1", math.Sqrt(asn))
	check("5.0.1.1", math.Sqrt((asn+0.1*0.1)/10))
}

func TestAged(t *testing.T) {
	for _, weight := range []uint16{0, 1, whole, 1000, maxWeight} {
		for age := range uint32(20 * halfEpochs) {
			want := float64(weight) * math.Exp2(-float64(age)/float64(halfEpochs))
			if got := float64(aged(weight, 7, 7+age)); math.Abs(got-want) > 1 {
				t.Fatalf("aged(%d) after %d epochs = %v, want %.2f", weight, age, got, want)
			}
		}
		if got := aged(weight, 9, 7); got != weight {
			t.Errorf("aged(%d) before it was counted = %d", weight, got)
		}
	}
}

// twin estimates slowly, from all that was ever told and tabulated, in floating point.
type twin struct {
	told   map[string]map[string]row // by source and id, the newest
	region map[string]geo.RegionID   // of a source
	tables []*Table
	places *geo.Table
}

func (w *twin) estimate(p geo.Place, around []netip.Prefix, r Region, now time.Time) (est float64, samples int, from string) {
	est, from = math.Inf(1), ""
	prior := 0.0
	if p.Located {
		prior = float64(Prior(p.At, r.At).Microseconds())
		est, from = prior, "distance"
	}
	step := func(name string, match func(id, bool) bool) {
		var n, sum, mine float64
		for source, rows := range w.told {
			for _, row := range rows {
				if w.region[source] != r.ID || !match(row.id, false) {
					continue
				}
				weight := float64(aged(row.weight, row.epoch, uint32(EpochOf(now)))) / whole
				if weight*whole < leastEver {
					continue
				}
				mean := float64(row.rtt)
				if row.id.located() && p.Located {
					mean += prior - float64(row.expected)
				}
				n, sum, mine = n+weight, sum+weight*mean, mine+weight
			}
		}
		table := ""
		for i := len(w.tables) - 1; i >= 0; i-- {
			for _, e := range w.tables[i].entries {
				if e.region == r.ID && match(e.id, true) {
					n, sum, table = n+TableSamples, sum+TableSamples*float64(e.rtt), w.tables[i].name
				}
			}
		}
		if n == 0 {
			return
		}
		if math.IsInf(est, 1) {
			est = sum / n
		} else {
			est = (sum + est*Shrinkage) / (n + Shrinkage)
		}
		est = max(est, 1000)
		samples, from = int(mine+0.5), name
		if n-mine >= mine {
			from = "table " + table
		}
	}
	step(p.Country, func(i id, _ bool) bool {
		return i.isKey() && i.country() == p.Country && i.asn() == 0 && p.Country != ""
	})
	name := fmt.Sprintf("AS%d in %s", p.ASN, p.Country)
	step(name, func(i id, _ bool) bool {
		return i.isKey() && i.asn() == p.ASN && p.ASN != 0 && (i.country() == p.Country || i.country() == "")
	})
	for _, prefix := range around {
		begins := w.places.Place(w.places.Lookup(prefix.Addr()))
		same := begins.Country == p.Country && begins.ASN == p.ASN && begins.Located == p.Located
		step("prefix "+prefix.String(), func(i id, table bool) bool { return !i.isKey() && i.prefix() == prefix && (same || table) })
	}
	return est, samples, from
}

// The estimates are those of the twin, for all places and all prefixes that are known, whether one by one or in a sweep.
func TestEstimatesTwin(t *testing.T) {
	prefixes := []string{"5.0.0.0/20", "5.0.1.0/24", "5.0.2.0/24", "5.128.0.0/20", "5.127.240.0/20", "7.0.0.0/24", "2.0.0.0/24", "2a00:0:100::/40", "2a00:0:1::/48", "9.9.9.0/24"}
	places := []geo.Place{germany, cable, anyDE, nowhere}
	compared, seeds := 0, uint64(60)
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 2))
		csv := ""
		for _, client := range []string{"DE", "XX", "AS64500", "AS64501", "5.0.0.0/8", "5.0.0.0/12", "5.0.1.0/24", "2.0.0.0/7", "2a00::/12"} {
			for _, r := range regions {
				if random.IntN(4) == 0 {
					csv += fmt.Sprintf("%s,%s,%d\n", client, r.ID, 10+random.IntN(300))
				}
			}
		}
		l := newLab(t, testTable(t, "random.csv", csv))
		w := twin{told: make(map[string]map[string]row), region: make(map[string]geo.RegionID), tables: l.config.Tables, places: l.config.Places}
		for range 40 {
			source := fmt.Sprint("gateway-", random.IntN(5))
			at := regions[int(source[8]-'0')%len(regions)]
			var rows []row
			for _, p := range places {
				if random.IntN(3) == 0 {
					rows = append(rows, count(p, at, float64(20+random.IntN(200)), float64(random.IntN(MaxCount))))
				}
			}
			for _, p := range prefixes {
				if random.IntN(8) == 0 {
					rows = append(rows, countPrefix(p, float64(20+random.IntN(400)), float64(random.IntN(MaxCount))))
				}
			}
			if w.told[source] == nil {
				w.told[source], w.region[source] = make(map[string]row), at.ID
			}
			for _, row := range rows {
				row.epoch = uint32(EpochOf(l.now))
				w.told[source][row.id.String()+fmt.Sprint(row.id.located())] = row
			}
			l.Replace(source, reportOf(at.ID, l.now, rows...), l.now)
			for range random.IntN(40) {
				l.epoch()
			}
		}
		l.epoch()
		check := func(what string, got micros, p geo.Place, around []netip.Prefix, r Region) {
			t.Helper()
			compared++
			want, _, _ := w.estimate(p, around, r, l.now)
			if got == unknown && math.IsInf(want, 1) {
				return
			}
			if math.Abs(float64(got)-want) > 10 {
				t.Fatalf("seed %d: %s %v in %v to %s = %d µs, want %.0f", seed, what, p, around, r.ID, got, want)
			}
		}
		outwards := func(u int) (around []netip.Prefix) {
			for _, u := range l.orders.outwards(int32(u)) {
				around = append(around, l.orders.units[u[0]].id.prefix())
			}
			return around
		}
		placeAt := func(number uint32) geo.Place {
			for _, p := range append(places, geo.Place{}) {
				if siteOf(p) == l.orders.survey.sites[number] {
					return p
				}
			}
			t.Fatalf("no place is at site %d", number)
			return geo.Place{}
		}
		l.orders.sweep(func(i int, est []micros) {
			for n, r := range regions {
				check("sweep", est[n], placeAt(uint32(i)), nil, r)
			}
		}, func(u int, est []micros) {
			for n, r := range regions {
				check("sweep", est[n], placeAt(l.orders.units[u].site), outwards(u), r)
			}
		})
		for _, p := range places {
			all, _ := l.orders.weigh(siteOf(p), nil)
			for n, r := range regions {
				check("estimate", all[n].est, p, nil, r)
				e := l.orders.Estimate(p, 0, r)
				if _, samples, from := w.estimate(p, nil, r, l.now); e.From != from || math.Abs(float64(samples)-float64(e.Samples)) > 2 {
					t.Fatalf("seed %d: %v to %s is by %d of %q, want %d of %q", seed, p, r.ID, e.Samples, e.From, samples, from)
				}
			}
			for u := range l.orders.units {
				all, _ := l.orders.weigh(siteOf(p), l.orders.outwards(int32(u)))
				for n, r := range regions {
					check("estimate", all[n].est, p, outwards(u), r)
				}
			}
		}
	}
	if compared < int(seeds)*150 {
		t.Errorf("compared %d estimates only", compared)
	}
}
