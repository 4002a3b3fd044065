package mmdb

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gslb/meridian/geo"
)

func placeOf(table *geo.Table, addr string) geo.Place {
	return table.Place(table.Lookup(netip.MustParseAddr(addr)))
}

func TestDefault(t *testing.T) {
	table, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		why, addr string
		want      geo.Place
	}{
		{"a resolver in the United States", "8.8.8.8",
			geo.Place{Continent: "NA", Country: "US", Located: true, At: geo.Coordinates{Latitude: 38.92, Longitude: -98.98}}},
		{"a German host", "5.9.0.1",
			geo.Place{Continent: "EU", Country: "DE", Located: true, At: geo.Coordinates{Latitude: 50.98, Longitude: 10.36}}},
		{"the same host's IPv6", "2a01:4f8::1",
			geo.Place{Continent: "EU", Country: "DE", Located: true, At: geo.Coordinates{Latitude: 50.98, Longitude: 10.36}}},
		{"an Indian access network", "49.36.1.1",
			geo.Place{Continent: "AS", Country: "IN", Located: true, At: geo.Coordinates{Latitude: 22.58, Longitude: 79.57}}},
		{"the same network's IPv6", "2405:200::1",
			geo.Place{Continent: "AS", Country: "IN", Located: true, At: geo.Coordinates{Latitude: 22.58, Longitude: 79.57}}},
		{"a Kenyan access network", "41.90.1.1",
			geo.Place{Continent: "AF", Country: "KE", Located: true, At: geo.Coordinates{Latitude: 0.6, Longitude: 37.8}}},
		{"never announced", "240.0.0.1", geo.Place{}},
		{"documentation", "192.0.2.1", geo.Place{}},
	} {
		if got := placeOf(table, row.addr); got != row.want {
			t.Errorf("%s: place of %s = %+v, want %+v", row.why, row.addr, got, row.want)
		}
	}
}

func TestDefaultInfo(t *testing.T) {
	table, infos, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Info{{Embedded, "country ipvAll", time.Date(2026, 6, 17, 19, 54, 21, 0, time.UTC), 400859}}
	if !slices.Equal(infos, want) {
		t.Errorf("Read(nil) infos = %+v, want %+v", infos, want)
	}
	if len(embedded) > 3<<20 {
		t.Errorf("the embedded database has %d bytes, want at most 3 MB", len(embedded))
	}
	if table.Places() > 300 {
		t.Errorf("%d places, want about one per country", table.Places())
	}
}

// The twin of our table is the library's own look-up in the same database.
func TestDefaultTwin(t *testing.T) {
	table, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	data, err := unpack(embedded)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	var v6 []netip.Addr // IPv6 is so empty that random addresses hit nothing: take the edges of networks
	for result := range reader.Networks() {
		if p := result.Prefix(); p.Addr().Is6() {
			v6 = append(v6, p.Addr(), p.Addr().Prev())
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	found := map[bool]int{}
	for i := range 8000 {
		a := v6[r.IntN(len(v6))]
		if i%2 == 0 {
			a = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, r.Uint32())))
		}
		if _, special := geo.SpecialPrefix(a); special {
			continue
		}
		var record struct {
			Country string `maxminddb:"country_code"`
		}
		if err := reader.Lookup(a).Decode(&record); err != nil {
			t.Fatal(err)
		}
		want := record.Country
		if _, wide := wideCodes[want]; wide {
			want = ""
		}
		if got := table.Place(table.Lookup(a)).Country; got != want {
			t.Errorf("country of %v = %q, want %q", a, got, want)
		}
		if want != "" {
			found[a.Is4()]++
		}
	}
	if found[true] < 1000 || found[false] < 1000 {
		t.Errorf("only %d IPv4 and %d IPv6 addresses had a country: the twin proves little", found[true], found[false])
	}
}

func TestEveryPlaceOfTheDefaultIsComplete(t *testing.T) {
	table, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for id := geo.Special + 1; int(id) < table.Places(); id++ {
		p := table.Place(id)
		// The exception is AP, "Asia and the Pacific": a continent, but no country and no coordinates.
		if p == (geo.Place{Continent: "AS"}) {
			continue
		}
		if p.Country == "" || p.Continent == "" || !p.Located || !p.At.Valid() {
			t.Errorf("place %d = %+v, want country, continent and coordinates", id, p)
		}
	}
}

func TestCountries(t *testing.T) {
	if len(countries) != 250 {
		t.Errorf("%d countries, want the 249 of ISO 3166-1 and XK", len(countries))
	}
	for i, c := range countries {
		if i > 0 && countries[i-1].code >= c.code {
			t.Errorf("%s is not after %s", c.code, countries[i-1].code)
		}
		if !slices.Contains(continents, c.continent) || !c.centroid.Valid() || c.centroid == (geo.Coordinates{}) {
			t.Errorf("%s = %+v, want a continent of %v and a centroid", c.code, c, continents)
		}
	}
	// The centroid is of the largest piece of land, wherever the rest of the country is.
	for _, row := range []struct {
		why, code string
		near      geo.Coordinates
	}{
		{"not drawn off by French Guiana", "FR", geo.Coordinates{Latitude: 46.5, Longitude: 2.5}},
		{"not drawn off by Alaska", "US", geo.Coordinates{Latitude: 39, Longitude: -99}},
		{"not drawn off by the Caribbean Netherlands", "NL", geo.Coordinates{Latitude: 52.2, Longitude: 5.6}},
		{"where its people live, not in Siberia", "RU", geo.Coordinates{Latitude: 55.8, Longitude: 49.1}},
		{"has another country inside it", "ZA", geo.Coordinates{Latitude: -28.9, Longitude: 25.1}},
		{"only in the finer atlas", "TV", geo.Coordinates{Latitude: -8.5, Longitude: 179.2}},
		{"found by its name", "XK", geo.Coordinates{Latitude: 42.6, Longitude: 20.9}},
		{"drawn as a part of France", "RE", geo.Coordinates{Latitude: -21.1, Longitude: 55.5}},
	} {
		c, ok := countryOf(row.code)
		if d := geo.Distance(c.centroid, row.near); !ok || d > 100 {
			t.Errorf("%s: centroid of %s = %+v, %.0f km from %+v, want within 100 km", row.why, row.code, c.centroid, d, row.near)
		}
	}
}

func BenchmarkDefault(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Default(); err != nil {
			b.Fatal(err)
		}
	}
}
