package rtt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

var tableRegions = []geo.RegionID{"us-east", "eu-west", "ap-south"}

func TestParseTable(t *testing.T) {
	csv := `# measured in May
client,region,ms

192.0.2.0/24, eu-west, 12.5
192.0.2.0/24,us-east,90
2001:db8::/32,eu-west,1000
AS64500,us-east,80
DE,eu-west,0.1
AS,ap-south,200
  # American Samoa is a country
NO,eu-west,33
`
	yaml := `
192.0.2.0/24: {eu-west: 12.5, us-east: 90}
2001:db8::/32: {eu-west: 1000}
AS64500: {us-east: 80}
DE: {eu-west: 0.1}
AS: {ap-south: 200}
NO:
  eu-west: 33
`
	want := []string{"AS64500 us-east 80 ms", "AS ap-south 200 ms", "DE eu-west 0.1 ms", "NO eu-west 33 ms", "192.0.2.0/24 eu-west 12.5 ms", "192.0.2.0/24 us-east 90 ms", "2001:db8::/32 eu-west 1000 ms"}
	for name, data := range map[string]string{"a.csv": csv, "b.yaml": yaml, "c.yml": yaml, "crlf.csv": strings.ReplaceAll(csv, "\n", "\r\n")} {
		var report strict.Report
		table := ParseTable(name, []byte(data), tableRegions, &report)
		if err := report.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, e := range table.entries {
			got = append(got, fmt.Sprint(e.id, " ", e.region, " ", e.milliseconds()))
		}
		if !slices.Equal(got, want) || table.Name() != name || table.Len() != len(want) {
			t.Errorf("%s: %q of %q, want %q", name, got, table.Name(), want)
		}
	}
}

// Every mistake is reported, with its line.
func TestBadTables(t *testing.T) {
	for _, row := range []struct{ name, data, want string }{
		{"a.csv", "", `a.csv: is empty (it begins with the header "client,region,ms")`},
		{"a.csv", "# nothing\n\n", `a.csv: is empty (it begins with the header "client,region,ms")`},
		{"a.csv", "DE,eu-west,5\n", `a.csv:1: "DE,eu-west,5" is not the header "client,region,ms"`},
		{"a.csv", "client,region,ms\nDE,eu-wset,5\nde,eu-west,5\nAS0,eu-west,5\nAS01,eu-west,5\n192.0.2.1/24,eu-west,5\n::ffff:192.0.2.0/120,eu-west,5\n2001:db8::/64,eu-west,5\nDE,eu-west\nDE,ap-south,fast\nDE,ap-south,0\nDE,ap-south,NaN\nDE,ap-south,1001\nX,north,-1\n",
			`a.csv:2: unknown region "eu-wset" (have ap-south, eu-west, us-east)
a.csv:3: "de": not a prefix (192.0.2.0/24), an ASN (AS64500) or a country (DE)
a.csv:4: "AS0": not an ASN, such as AS64500
a.csv:5: "AS01": not an ASN, such as AS64500
a.csv:6: "192.0.2.1/24": has bits set past its length (did you mean 192.0.2.0/24?)
a.csv:7: "::ffff:192.0.2.0/120": write an IPv4 prefix as such
a.csv:8: "2001:db8::/64": longer than /48
a.csv:9: "DE,eu-west" has 2 fields, want 3: client,region,ms
a.csv:10: "fast" is not a number of milliseconds from 0.1 to 1000
a.csv:11: "0" is not a number of milliseconds from 0.1 to 1000
a.csv:12: "NaN" is not a number of milliseconds from 0.1 to 1000
a.csv:13: "1001" is not a number of milliseconds from 0.1 to 1000
a.csv:14: "-1" is not a number of milliseconds from 0.1 to 1000
a.csv:14: "X": not a prefix (192.0.2.0/24), an ASN (AS64500) or a country (DE)
a.csv:14: unknown region "north" (have ap-south, eu-west, us-east)`},
		{"a.csv", "client,region,ms\nDE,eu-west,5\nAS1,eu-west,5\nDE,eu-west,7.25\n2001:db8::/32,eu-west,5\n2001:0db8::/32,eu-west,5\n",
			`a.csv:4: DE to eu-west: 7.25 ms, but 5 ms in line 2
a.csv:6: 2001:db8::/32 to eu-west: 5 ms, but 5 ms in line 5`},
		{"a.yaml", "DE: {eu-wset: 5, us-east: fast}\nde: {eu-west: 5}\nFR: 5\n2001:db8::/32: {eu-west: 5}\n2001:0db8::/32: {eu-west: 6}\n",
			`a.yaml:1: region "us-east": "fast" is not a number from 0.1 to 1000
a.yaml:1: unknown region "eu-wset" (have ap-south, eu-west, us-east)
a.yaml:2: "de": not a prefix (192.0.2.0/24), an ASN (AS64500) or a country (DE)
a.yaml:3: client "FR": want a mapping from region names, not "5"
a.yaml:5: 2001:db8::/32 to eu-west: 6 ms, but 5 ms in line 4`},
		{"a.yaml", "[", `a.yaml:1: not YAML: did not find expected node content`},
		{"a.txt", "DE,eu-west,5", `a.txt: is a latency table that is neither .csv nor .yaml`},
		{"a.csv", "client,region,ms\n" + strings.Repeat("#", MaxTableSize), `a.csv: is larger than 16 MiB`},
	} {
		var report strict.Report
		ParseTable(row.name, []byte(row.data), tableRegions, &report)
		if got := report.Problems().Error(); got != row.want {
			t.Errorf("%.60q:\n%s\nwant\n%s", row.data, got, row.want)
		}
	}
}

func TestTablesAreBounded(t *testing.T) {
	var data strings.Builder
	data.WriteString(header + "\n")
	for i := range MaxTableEntries + 2 {
		fmt.Fprintf(&data, "AS%d,eu-west,50\n", i+1)
	}
	var report strict.Report
	table := ParseTable("a.csv", []byte(data.String()), tableRegions, &report)
	if got, want := report.Problems().Error(), fmt.Sprintf("a.csv:%d: is the first of more than %d entries", MaxTableEntries+2, MaxTableEntries); got != want || table.Len() != MaxTableEntries {
		t.Errorf("%q and %d entries, want %q", got, table.Len(), want)
	}
}

func TestCheckTables(t *testing.T) {
	a, b := testTable(t, "a.csv", "DE,eu-west,5\nDE,us-east,90\nFR,eu-west,7"), testTable(t, "b.csv", "FR,eu-west,7\nIT,eu-west,5\nDE,us-east,80")
	var report strict.Report
	CheckTables([]*Table{a, b}, &report)
	want := "b.csv:2: FR to eu-west: 7 ms, but 7 ms in a.csv:4\nb.csv:4: DE to us-east: 80 ms, but 90 ms in a.csv:3"
	if got := report.Problems().Error(); got != want {
		t.Errorf("two tables:\n%s\nwant\n%s", got, want)
	}
	if l := newLab(t, a, b); l.estimate("5.0.0.1", usEast).RTT > ms(105) {
		t.Logf("the first table counts: %+v", l.estimate("5.0.0.1", usEast))
	}
}

// A table for a region that is gone is passed over: the world that names it is not compiled.
func TestTableOfAnotherWorld(t *testing.T) {
	l := newLab(t, testTable(t, "a.csv", "DE,eu-west,5"))
	l.config.Regions = []Region{usEast, apSouth}
	o := l.orders.For(l.config)
	if got := o.Order(germany, 0, l.config.Regions); !slices.Equal(got, []geo.RegionID{"ap-south", "us-east"}) {
		t.Errorf("Order = %v", got)
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add("a.csv", []byte("client,region,ms\nDE,eu-west,5\n192.0.2.0/24,us-east,7\n# x\nAS1,us-east,9"))
	f.Add("a.yaml", []byte("DE: {eu-west: 5}\n2001:db8::/32: {us-east: 7}"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		var report strict.Report
		table := ParseTable(name, data, tableRegions, &report)
		if report.Err() != nil {
			return
		}
		CheckTables([]*Table{table}, &report)
		for _, e := range table.entries {
			if again, err := parseClient(e.id.String()); err != nil || again != e.id || e.rtt == 0 {
				t.Errorf("entry %+v of %v is read again as %v, %v", e, e.id, again, err)
			}
		}
		o := New().Orders().For(Config{Places: testPlaces(t), Regions: regions, Tables: []*Table{table}})
		for _, r := range regions {
			if e := o.Estimate(germany, 0, r); e.RTT <= 0 {
				t.Errorf("estimate with the table = %+v", e)
			}
		}
	})
}
