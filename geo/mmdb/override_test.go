package mmdb

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each testdata/overrides/bad/*.yaml has its exact error beside it.
func TestBadOverrides(t *testing.T) {
	files, err := filepath.Glob("testdata/overrides/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		o, err := ReadOverrides([]string{file})
		if err == nil {
			t.Fatalf("%s: %v, want an error", file, o)
		}
		got, golden := err.Error()+"\n", strings.TrimSuffix(file, ".yaml")+".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || got != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s%v", file, got, want, err)
		}
	}
}

func TestMistakesInSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := file("a.yaml", "198.51.100.0/24: {country: DE}\n198.51.101.0/24: {country: XX}\n")
	b := file("b.yaml", "\n198.51.100.0/24: {country: DE}\n198.51.100.0/25: {country: DE}\n")
	missing := filepath.Join(dir, "c.yaml")
	_, err := ReadOverrides([]string{b, missing, a})
	want := a + `:1: prefix 198.51.100.0/24 stands twice (first at ` + b + `:2)
` + a + `:2: prefix "198.51.101.0/24": country: "XX": is not a country (ISO 3166-1 alpha-2, such as DE)
` + missing + ": no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("ReadOverrides: %v, want\n%s", err, want)
	}
}

func TestOverrides(t *testing.T) {
	table := load(t, testDB{kind: "GeoLite2-City", version: 6, recordSize: 24, networks: map[string]record{
		"5.0.0.0/8": germany, "5.5.0.0/16": sanJose, "198.0.0.0/7": usa, "2001:d00::/24": sanJose,
	}})
	o, err := ReadOverrides([]string{"testdata/overrides/good.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	over := o.Apply(table)
	berlin := geo.Coordinates{Latitude: 52.52, Longitude: 13.405}
	centerIN := geo.Coordinates{Latitude: 22.58, Longitude: 79.57}
	fresno := inSanJose
	fresno.City, fresno.At = "Fresno", inUS.At
	for _, row := range []struct {
		why, addr string
		want      geo.Place
	}{
		{"all is said", "198.51.100.1", geo.Place{Continent: "EU", Country: "DE", Subdivision: "DE-BE", City: "Berlin", ASN: 64500, Located: true, At: berlin}},
		{"the longer prefix alone counts, not the one around it", "198.51.100.130", geo.Place{Continent: "NA", Country: "US", Subdivision: "US-CA", Located: true, At: inUS.At}},
		{"a private network", "10.1.255.255", geo.Place{Continent: "AS", Country: "IN", Located: true, At: centerIN}},
		{"other private networks are placed nowhere", "10.2.0.0", geo.Place{}},
		{"coordinates alone, of nobody known", "2001:db8:1::1", geo.Place{Located: true, At: geo.Coordinates{Latitude: -33.9, Longitude: 151.2}}},
		{"inside, an autonomous system alone", "2001:db8:1:2::1", geo.Place{ASN: 64501}},
		{"another country than the database's takes its city", "5.5.5.5", inDE},
		{"another city takes the coordinates", "5.5.6.1", fresno},
		{"an autonomous system beside the database's city", "5.5.7.1", in(inSanJose, 64502)},
		{"what the database says too", "5.0.0.1", inDE},
		{"not listed", "5.5.8.1", inSanJose},
	} {
		if got := placeOf(over, row.addr); got != row.want {
			t.Errorf("%s: place of %s = %+v, want %+v", row.why, row.addr, got, row.want)
		}
	}
	if o.Prefixes() != 9 {
		t.Errorf("%d prefixes, want 9", o.Prefixes())
	}
	none, err := ReadOverrides(nil)
	if err != nil || none.Prefixes() != 0 || none.Apply(table) != table {
		t.Errorf("no files: %v, %v, want the table as it is", none, err)
	}
}

// The twin of merged files with overrides is a look-up in each file and then in the list, by longest prefix.
func TestOverriddenFilesTwin(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 4))
		draw := func(shortest int) netip.Prefix {
			if r.IntN(3) == 0 {
				p, _ := netip.AddrFrom16([16]byte{0x2a, byte(r.Uint32()), byte(r.Uint32())}).Prefix(shortest + r.IntN(16))
				return p
			}
			p, _ := netip.AddrFrom4([4]byte{5, byte(r.Uint32()), byte(r.Uint32())}).Prefix(shortest + r.IntN(25-shortest))
			return p
		}
		var dbs []testDB
		for _, kind := range []string{"country ipvAll", "GeoLite2-ASN"}[:1+r.IntN(2)] {
			db := testDB{kind: kind, version: 6, recordSize: 24, networks: map[string]record{}}
			for range 20 {
				db.networks[draw(9).String()] = map[string]record{
					"country ipvAll": {"country_code": []string{"DE", "US", "IN"}[r.IntN(3)]},
					"GeoLite2-ASN":   {"autonomous_system_number": uint32(1 + r.IntN(5))},
				}[kind]
			}
			dbs = append(dbs, db)
		}
		said := map[netip.Prefix]geo.Place{}
		for range 1 + r.IntN(20) {
			said[draw(8)] = []geo.Place{{Country: "DE"}, {Country: "US", City: "X"}, {ASN: 7}, {Country: "US", Subdivision: "US-CA"}}[r.IntN(4)]
		}
		table := overridesOf(t, said).Apply(load(t, dbs...))
		for range 400 {
			a := draw(24).Addr()
			var want geo.Place
			for _, db := range dbs {
				if p, ok := longestOf(maps.Keys(db.networks), a); ok {
					want = refine(want, rawPlace(db.networks[p]))
				}
			}
			var listed []string
			for p := range said {
				listed = append(listed, p.String())
			}
			if p, ok := longestOf(slices.Values(listed), a); ok {
				want = refine(complete(want), said[netip.MustParsePrefix(p)])
			}
			if got := table.Place(table.Lookup(a)); got != complete(want) {
				t.Fatalf("seed %d: place of %v = %+v, want %+v", seed, a, got, complete(want))
			}
		}
	}
}

// overridesOf writes a file of overrides and reads it.
func overridesOf(t *testing.T, said map[netip.Prefix]geo.Place) *Overrides {
	t.Helper()
	var text strings.Builder
	for p, place := range said {
		var keys []string
		for _, k := range []struct {
			key, value string
			given      bool
		}{
			{"country", place.Country, place.Country != ""}, {"subdivision", place.Subdivision, place.Subdivision != ""},
			{"city", place.City, place.City != ""}, {"asn", fmt.Sprint(place.ASN), place.ASN != 0},
		} {
			if k.given {
				keys = append(keys, k.key+": "+k.value)
			}
		}
		fmt.Fprintf(&text, "%v: {%s}\n", p, strings.Join(keys, ", "))
	}
	path := filepath.Join(t.TempDir(), "overrides.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := ReadOverrides([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func FuzzOverrides(f *testing.F) {
	for _, file := range []string{"good.yaml", "bad/values.yaml", "bad/prefixes.yaml"} {
		text, err := os.ReadFile("testdata/overrides/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	var b geo.Builder
	table := b.Build()
	f.Fuzz(func(t *testing.T, data []byte) {
		var p overridesParser
		p.file("x.yaml", data)
		o, err := p.overrides()
		if err != nil {
			return
		}
		over := o.Apply(table)
		for _, l := range p.listed {
			place := over.Place(over.Lookup(l.prefix.Addr()))
			if special, ok := geo.SpecialPrefix(l.prefix.Addr()); ok && special.Bits() > l.prefix.Bits() {
				continue
			}
			if i := slices.IndexFunc(p.listed, func(m listedPlace) bool {
				return m.prefix.Bits() > l.prefix.Bits() && m.prefix.Contains(l.prefix.Addr())
			}); i < 0 && place != complete(l.place) {
				t.Errorf("%v is at %+v, want %+v", l.prefix, place, complete(l.place))
			}
		}
	})
}

// A prefix around more than the addresses that carry an IPv4 address is not refused for these.
func TestOverridesAroundCarriedAddresses(t *testing.T) {
	for _, row := range []struct {
		prefix string
		good   bool
	}{
		{"::/0", true}, {"0.0.0.0/0", true}, {"2001::/16", true}, {"2002::/15", true}, {"2001::/32", false}, {"2002::/16", false}, {"::ffff:0:0/96", false},
	} {
		path := filepath.Join(t.TempDir(), "overrides.yaml")
		if err := os.WriteFile(path, []byte(`"`+row.prefix+`": {country: DE}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadOverrides([]string{path}); (err == nil) != row.good {
			t.Errorf("%s: %v, want it good: %v", row.prefix, err, row.good)
		}
	}
}

// The prefixes of all addresses may be listed, over a database that says nothing.
func TestOverridesOfEverything(t *testing.T) {
	empty := testDB{kind: "GeoLite2-City", version: 6, recordSize: 24, networks: map[string]record{}}
	path := filepath.Join(t.TempDir(), "overrides.yaml")
	if err := os.WriteFile(path, []byte("0.0.0.0/0: {country: DE}\n::/0: {country: US}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := mustRead(t, Sources{Databases: []string{empty.write(t)}, Overrides: []string{path}}, nil)
	groups := p.Table.Partition(func(id geo.PlaceID) geo.GroupID { return geo.GroupID(len(p.Table.Place(id).Country)) })
	for _, row := range []struct {
		address, country string
		group            geo.GroupID
	}{
		{"8.8.8.8", "DE", 2}, {"223.255.255.255", "DE", 2}, {"2600::1", "US", 2}, {"3fff:ffff::", "US", 2},
		{"10.0.0.1", "", geo.SpecialGroup}, {"255.255.255.255", "", geo.SpecialGroup}, {"::1", "", geo.SpecialGroup}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", geo.SpecialGroup},
	} {
		a := netip.MustParseAddr(row.address)
		if got := p.Table.Place(p.Table.Lookup(a)).Country; got != row.country {
			t.Errorf("%v is in %q, want %q", a, got, row.country)
		}
		if got, _ := groups.Lookup(a); got != row.group {
			t.Errorf("%v is in group %d, want %d", a, got, row.group)
		}
	}
	var cache bytes.Buffer
	if err := p.WriteCache(&cache); err != nil {
		t.Fatal(err)
	}
	if _, _, err := parseCache(&cache, int64(cache.Len()), &p.header); err != nil {
		t.Errorf("the cache of a database that says nothing: %v", err)
	}
}

// An override file that can't be what it should be is not read into memory, and named.
func TestOverridesTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxFileSize+1); err != nil {
		t.Fatal(err)
	}
	_, err := ReadOverrides([]string{path})
	if want := fmt.Sprintf("%s: larger than %d bytes", path, strict.MaxSize); err == nil || err.Error() != want {
		t.Errorf("ReadOverrides = %v, want %s", err, want)
	}
}

// A file without any prefix, as before the first one is written, says nothing; it is good.
func TestOverridesWithoutAny(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.yaml")
	for _, text := range []string{"", "# None yet.\n", "{}\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := ReadOverrides([]string{path})
		if err != nil || o.Prefixes() != 0 {
			t.Errorf("%q: %d prefixes, %v", text, o.Prefixes(), err)
		}
	}
}

// The example of docs/geo.md places what it says that it places.
func TestOverridesOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/geo.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(text), "```\n# Own networks.\n")
	example, _, ends := strings.Cut(example, "```\n")
	if !ok || !ends {
		t.Fatal("docs/geo.md has no example of overrides")
	}
	path := filepath.Join(t.TempDir(), "places.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	table := mustRead(t, Sources{Overrides: []string{path}}, nil).Table
	for _, row := range []struct{ address, want string }{
		{"198.51.100.1", "DE DE-BE Berlin 64500"}, {"198.51.100.129", "US US-CA  0"}, {"10.1.2.3", "IN   0"}, {"203.0.113.9", "JP   0"},
	} {
		p := placeOf(table, row.address)
		if got := fmt.Sprintln(p.Country, p.Subdivision, p.City, p.ASN); got != row.want+"\n" {
			t.Errorf("%s is in %q, want %q", row.address, got, row.want)
		}
	}
	if at := placeOf(table, "2001:db8:1::1").At; at.Latitude != -33.9 || at.Longitude != 151.2 {
		t.Errorf("2001:db8:1::1 is at %v", at)
	}
	if _, keys, _ := strings.Cut(overridingObject.Reference(), "\n\n"); keys == "" || !strings.Contains(string(text), keys) {
		t.Errorf("docs/geo.md lacks the keys as they are:\n%s", keys)
	}
}
