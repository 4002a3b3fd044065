package mmdb

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
)

func names(english string) record { return record{"names": record{"de": "?", "en": english}} }

var (
	sanJose = record{
		"continent": record{"code": "NA"}, "country": record{"iso_code": "US"}, "city": names("San Jose"),
		"subdivisions": []any{record{"iso_code": "CA"}, record{"iso_code": "085"}},
		"location":     record{"latitude": 37.3388, "longitude": -121.8914, "time_zone": "America/Los_Angeles"},
		"postal":       record{"code": "95141"},
	}
	usa       = record{"continent": record{"code": "NA"}, "country": record{"iso_code": "US"}}
	germany   = record{"continent": record{"code": "EU"}, "country": record{"iso_code": "DE"}}
	asia      = record{"continent": record{"code": "AS"}}
	as64500   = record{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example"}
	as64501   = record{"autonomous_system_number": uint32(64501)}
	frankfurt = record{
		"country_code": "DE", "state1": "Hesse", "state2": "", "city": "Frankfurt am Main", "postcode": "60313",
		"latitude": float32(50.1109), "longitude": float32(8.6821), "timezone": "Europe/Berlin",
	}
)

// Places as the tests expect them.
var (
	inUS        = geo.Place{Continent: "NA", Country: "US", Located: true, At: geo.Coordinates{Latitude: 38.92, Longitude: -98.98}}
	inDE        = geo.Place{Continent: "EU", Country: "DE", Located: true, At: geo.Coordinates{Latitude: 50.98, Longitude: 10.36}}
	inSanJose   = geo.Place{Continent: "NA", Country: "US", Subdivision: "US-CA", City: "San Jose", Located: true, At: geo.Coordinates{Latitude: 37.3388, Longitude: -121.8914}}
	inFrankfurt = geo.Place{Continent: "EU", Country: "DE", City: "Frankfurt am Main", Located: true, At: geo.Coordinates{Latitude: 50.1109, Longitude: 8.6821}}
)

func in(p geo.Place, asn uint32) geo.Place {
	p.ASN = asn
	return p
}

func load(t *testing.T, dbs ...testDB) *geo.Table {
	t.Helper()
	var paths []string
	for _, db := range dbs {
		paths = append(paths, db.write(t))
	}
	table, err := Load(paths)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestSchemas(t *testing.T) {
	for _, row := range []struct {
		kind   string
		record record
		want   geo.Place
	}{
		{"GeoLite2-City", sanJose, inSanJose},
		{"GeoLite2-City", usa, inUS},
		{"GeoLite2-City", asia, geo.Place{Continent: "AS"}},
		{"GeoIP2-Enterprise", sanJose, inSanJose},
		{"DBIP-Location (compat=City)", sanJose, inSanJose},
		{"GeoLite2-Country", sanJose, inUS},
		{"DBIP-Country-Lite", germany, inDE},
		{"GeoLite2-ASN", as64500, geo.Place{ASN: 64500}},
		{"GeoIP2-ISP", as64500, geo.Place{ASN: 64500}},
		{"city ipv4", frankfurt, inFrankfurt},
		{"city ipv4", record{"country_code": "us", "state1": "CA"}, geo.Place{Continent: "NA", Country: "US", Subdivision: "US-CA", Located: true, At: inUS.At}},
		{"country ipvAll", record{"country_code": "DE"}, inDE},
		{"country ipvAll", record{"country_code": "AP"}, geo.Place{Continent: "AS"}},
		{"country ipvAll", record{"country_code": "None"}, geo.Place{}},
		{"country ipvAll", record{"country_code": "ZZ"}, geo.Place{Country: "ZZ"}},
		{"asn ipv6", as64500, geo.Place{ASN: 64500}},
		{"city ipv4", record{"latitude": 91.0, "longitude": 0.0, "country_code": "DE"}, inDE},
	} {
		db := testDB{kind: row.kind, version: 4, recordSize: 24, networks: map[string]record{"8.8.0.0/16": row.record}}
		if got := placeOf(load(t, db), "8.8.8.8"); got != row.want {
			t.Errorf("%s: place of %v = %+v, want %+v", row.kind, row.record, got, row.want)
		}
	}
}

func TestTrees(t *testing.T) {
	networks := map[string]record{"5.0.0.0/8": germany, "5.6.7.8/32": usa, "2a00::/12": germany, "2a01:1::/64": sanJose}
	for _, size := range []int{24, 28, 32} {
		for _, aliases := range []bool{false, true} {
			table := load(t, testDB{kind: "GeoLite2-City", version: 6, recordSize: size, networks: networks, aliases: aliases})
			for _, row := range []struct {
				why, addr string
				want      geo.Place
			}{
				{"IPv4 of an IPv6 tree", "5.6.7.7", inDE},
				{"one address", "5.6.7.8", inUS},
				{"after it", "5.6.7.9", inDE},
				{"outside", "6.0.0.0", geo.Place{}},
				{"IPv6", "2a01::1", inDE},
				{"a longer one", "2a01:1::1", inSanJose},
				{"an alias places nobody", "2002:506:708::", geo.Place{}},
			} {
				if got := placeOf(table, row.addr); got != row.want {
					t.Errorf("%d bits, aliases %v: %s: place of %s = %+v, want %+v", size, aliases, row.why, row.addr, got, row.want)
				}
			}
		}
	}
}

func TestALeafAboveTheIPv4Subtree(t *testing.T) {
	table, infos, err := Read([]string{
		testDB{kind: "GeoLite2-Country", version: 6, recordSize: 24, networks: map[string]record{"::/1": germany}}.write(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]geo.Place{"8.8.8.8": inDE, "2a00::1": inDE, "a000::1": {}} {
		if got := placeOf(table, addr); got != want {
			t.Errorf("place of %s = %+v, want %+v", addr, got, want)
		}
	}
	if infos[0].Networks != 1 {
		t.Errorf("Networks = %d, want 1", infos[0].Networks)
	}
}

func TestMergeOfFiles(t *testing.T) {
	cities := testDB{kind: "GeoLite2-City", version: 6, recordSize: 28, networks: map[string]record{
		"5.0.0.0/8": germany, "5.5.0.0/16": sanJose, "6.0.0.0/16": usa, "2a00::/16": germany, "2a00:1::/32": sanJose,
	}}
	asns := testDB{kind: "GeoLite2-ASN", version: 6, recordSize: 24, networks: map[string]record{
		"5.0.0.0/9": as64500, "5.5.5.0/24": as64501, "6.0.0.0/8": as64500, "2a00:1::/33": as64500,
	}}
	for _, table := range []*geo.Table{load(t, cities, asns), load(t, asns, cities)} {
		for _, row := range []struct {
			why, addr string
			want      geo.Place
		}{
			{"the ASN network inside the country's", "5.4.0.0", in(inDE, 64500)},
			{"the country goes on after it", "5.128.0.0", inDE},
			{"both have something finer", "5.5.4.255", in(inSanJose, 64500)},
			{"the ASN is finer still", "5.5.5.5", in(inSanJose, 64501)},
			{"and ends", "5.5.6.0", in(inSanJose, 64500)},
			{"the country network inside the ASN's", "6.0.255.255", in(inUS, 64500)},
			{"the ASN goes on after it", "6.1.0.0", geo.Place{ASN: 64500}},
			{"IPv6, both", "2a00:1::1", in(inSanJose, 64500)},
			{"IPv6, the city only", "2a00:1:8000::1", inSanJose},
			{"IPv6, the country only", "2a00:2::1", inDE},
		} {
			if got := placeOf(table, row.addr); got != row.want {
				t.Errorf("%s: place of %s = %+v, want %+v", row.why, row.addr, got, row.want)
			}
		}
	}
}

func TestRefine(t *testing.T) {
	at := geo.Coordinates{Latitude: 1, Longitude: 2}
	full := geo.Place{Continent: "NA", Country: "US", Subdivision: "US-CA", City: "San Jose", ASN: 1, Located: true, At: at}
	for _, row := range []struct {
		why                  string
		earlier, later, want geo.Place
	}{
		{"nothing new", full, geo.Place{}, full},
		{"nothing old", geo.Place{}, full, full},
		{"the later ASN", full, geo.Place{ASN: 2}, in(full, 2)},
		{"agreement keeps what is finer", full, geo.Place{Continent: "NA", Country: "US"}, full},
		{"another country takes all but the ASN", full, geo.Place{Country: "DE"}, geo.Place{Country: "DE", ASN: 1}},
		{"another continent too", full, geo.Place{Continent: "EU"}, geo.Place{Continent: "EU", ASN: 1}},
		{"another continent for the same country takes nothing", full, geo.Place{Continent: "SA", Country: "US"},
			geo.Place{Continent: "SA", Country: "US", Subdivision: "US-CA", City: "San Jose", ASN: 1, Located: true, At: at}},
		{"a flat country is on its own continent", geo.Place{Country: "DE"}, geo.Place{Continent: "AS"}, geo.Place{Continent: "AS"}},
		{"a first country decides the continent", geo.Place{Continent: "EU"}, geo.Place{Country: "US"}, geo.Place{Country: "US"}},
		{"another subdivision takes the city", full, geo.Place{Country: "US", Subdivision: "US-NY"},
			geo.Place{Continent: "NA", Country: "US", Subdivision: "US-NY", ASN: 1}},
		{"another city takes the coordinates", full, geo.Place{City: "Fresno"},
			geo.Place{Continent: "NA", Country: "US", Subdivision: "US-CA", City: "Fresno", ASN: 1}},
	} {
		if got := refine(row.earlier, row.later); got != row.want {
			t.Errorf("%s: refine(%+v, %+v) = %+v, want %+v", row.why, row.earlier, row.later, got, row.want)
		}
	}
}

// The twin of merge is a look-up in each file's own table, refined file by file.
func TestMergeTwin(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		var dbs []testDB
		for _, kind := range []string{"country ipvAll", "GeoLite2-ASN", "city ipvAll"} {
			db := testDB{kind: kind, version: 6, recordSize: 24, networks: map[string]record{}}
			for range 20 {
				// Few high bits and a narrow space, so that networks of the files nest and meet often.
				p, _ := netip.AddrFrom4([4]byte{5, byte(r.Uint32()), byte(r.Uint32())}).Prefix(9 + r.IntN(16))
				if r.IntN(3) == 0 {
					p, _ = netip.AddrFrom16([16]byte{0x2a, byte(r.Uint32()), byte(r.Uint32())}).Prefix(9 + r.IntN(16))
				}
				db.networks[p.String()] = map[string]record{
					"country ipvAll": {"country_code": []string{"DE", "US", "IN"}[r.IntN(3)]},
					"GeoLite2-ASN":   {"autonomous_system_number": uint32(1 + r.IntN(5))},
					"city ipvAll":    {"country_code": []string{"DE", ""}[r.IntN(2)], "city": fmt.Sprint(r.IntN(3))},
				}[kind]
			}
			dbs = append(dbs, db)
		}
		merged := load(t, dbs...)
		for range 500 {
			a := netip.AddrFrom4([4]byte{5, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
			if r.IntN(3) == 0 {
				a = netip.AddrFrom16([16]byte{0x2a, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
			}
			var want geo.Place
			for _, db := range dbs {
				if p, ok := longestOf(maps.Keys(db.networks), a); ok {
					want = refine(want, rawPlace(db.networks[p]))
				}
			}
			want = complete(want)
			if got := merged.Place(merged.Lookup(a)); got != want {
				t.Fatalf("seed %d: place of %v = %+v, want %+v", seed, a, got, want)
			}
		}
	}
}

// longestOf returns the longest prefix around an address.
func longestOf(prefixes iter.Seq[string], a netip.Addr) (longest string, ok bool) {
	bits := -1
	for text := range prefixes {
		if p := netip.MustParsePrefix(text); p.Contains(a) && p.Bits() > bits {
			longest, bits, ok = text, p.Bits(), true
		}
	}
	return longest, ok
}

// rawPlace is what the records of TestMergeTwin say.
func rawPlace(r record) geo.Place {
	country, _ := r["country_code"].(string)
	city, _ := r["city"].(string)
	asn, _ := r["autonomous_system_number"].(uint32)
	return geo.Place{Country: country, City: city, ASN: asn}
}
