package zones

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const zoneHead = "$TTL 300\n@ SOA ns1.example.net. hostmaster.example.net. 1 7200 900 1209600 300\n@ NS ns1.example.net.\n@ NS ns2.example.net.\n"

// parseZone parses a world of one zone, z.example., whose file is the head and these lines from the fifth on.
func parseZone(lines, steer string) (*World, error) {
	return Parse(map[string][]byte{
		"w.yaml": []byte("regions: {r: {coordinates: [0, 0]}}\npools: {p: {policy: failover, members: [{endpoint: e, region: r, address: 192.0.2.1}]}}\nzones: {z.example: {file: z, steer: {" + steer + "}}}\n"),
		"z":      []byte(zoneHead + lines),
	})
}

// The line of a record is where it begins, whatever stands before it.
func TestLinesOfRecords(t *testing.T) {
	const wrong = "www.example.net. 300 IN A 192.0.2.1\n"
	for _, row := range []struct {
		why, before string
		line        int
	}{
		{"after the head", "", 5},
		{"blank lines and comments", "\n\n; a comment ( of no meaning\n \t\n   ; another\n", 10},
		{"a record on several lines", "txt TXT ( \"a\"\n \"b\" ; a comment\n \"c\" )\n", 8},
		{"a quoted line break", "txt TXT \"a\nb\"\n", 7},
		{"a quoted semicolon", "txt TXT \"a;b\" ; (\n", 6},
		{"directives", "$ORIGIN sub.z.example.\n$TTL 60\n", 7},
		{"generated records", "$GENERATE 1-5 h$ 300 A 192.0.2.$\n", 6},
		{"DOS line ends", "a A 192.0.2.1\r\n\r\n", 7},
	} {
		_, err := parseZone(row.before+wrong, "")
		want := fmt.Sprintf("z:%d: www.example.net. A: is outside the zone z.example.", row.line)
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", row.why, err, want)
		}
	}
}

func TestZoneRecords(t *testing.T) {
	for _, row := range []struct {
		why, lines, steer string
		want              string // the names of problems and warnings by line; those of the head are left out
	}{
		{"a type may be written by number", "a TYPE1 \\# 4 C0000201\nb TYPE65280 \\# 2 0102\nc TYPE65280 \\# 0", "", ""},
		{"a name that differs in case is the same", "a A 192.0.2.1\nA CNAME b", "", "6: a.z.example. CNAME: stands beside other records (A on line 5) of the name (RFC 1034, section 3.6.2)"},
		{"an escape makes no other name", "a A 192.0.2.1", "\"\\\\097\": {pool: p}", "3: zone \"z.example.\": owner \"a.z.example.\": is steered, but has an A record of its own at z:5"},
		{"glue of another delegation", "a NS ns.b\nb NS ns2.b\nns.b A 192.0.2.1\nns2.b A 192.0.2.2", "", ""},
		{"a nameserver that is its own zone", "a NS a\na A 192.0.2.1", "", ""},
		{"a nameserver elsewhere needs no glue", "a NS ns.b\n", "", "5: a.z.example. NS: target ns.b.z.example. has no address in this zone, so nobody can reach it"},
		{"a nested delegation is the child's", "a NS ns.c.example.\nb.a NS ns.b.a", "", "6: b.a.z.example. NS: lies below the delegation of a.z.example. and is no address of a nameserver, dropped: resolvers ask the nameservers of that zone for it"},
		{"mail to nowhere", "@ MX 0 .", "", ""},
		{"other types beside steered addresses", "a TXT \"x\"\n@ TXT \"y\"", "a: {pool: p}, \"@\": {pool: p}", ""},
		{"a wildcard may be steered", "", "\"*\": {pool: p}, \"*.a\": {pool: p}", " a.z.example.: exists, as others lie below it, so *.z.example. does not answer it and whoever asks for its address gets none (RFC 4592, section 2.2.1)"},
		{"another wildcard beside it", "*.a TXT \"x\"", "\"*.a\": {pool: p}", ""},
		{"a string that is too long", "a NAPTR 1 1 \"" + strings.Repeat("x", 256) + "\" \"\" \"\" .", "", "5: a.z.example. NAPTR: a string of 256 bytes is too long (at most 255)"},
		{"a long value is cut", "a A " + strings.Repeat("x", 300), "", "5: a.z.example. A: \"" + strings.Repeat("x", 80) + "…\" is not an IPv4 address"},
		{"a quotation mark that may have been forgotten", "a A \"x\nb A 1\nc TXT \"d\nb A 2", "", "5: a.z.example. A: \"\\\"\" is not an IPv4 address (the file is read no further: the quotation mark on line 5 is not closed on its line)"},
		{"a record does not go on in the next line", "a SRV 1\nb A 192.0.2.1\nb CNAME c", "", "5: a.z.example. SRV: ends where a number from 0 to 65535 (Weight) should stand\n7: b.z.example. CNAME: stands beside other records (A on line 6) of the name (RFC 1034, section 3.6.2)"},
		{"an owner of a record that can't be read", "a A 1\n\n  ( ; comment\n  CNAME b\n )\n TXT \"x\"", "", "5: a.z.example. A: \"1\" is not an IPv4 address\n7: a.z.example. CNAME: stands beside other records (TXT on line 10) of the name (RFC 1034, section 3.6.2)"},
		{"a full set is full", "$GENERATE 1-1400 big 300 TXT \"0123456789-$\"", "", ""},
	} {
		world, err := parseZone(row.lines+"\n", row.steer)
		var got []string
		if err != nil {
			got = strings.Split(err.Error(), "\n")
		} else {
			for _, w := range world.Warnings {
				got = append(got, w.String())
			}
		}
		got = slices.DeleteFunc(got, func(p string) bool { return strings.Contains(p, "pool \"p\"") })
		for i, p := range got {
			_, got[i], _ = strings.Cut(p, ":")
		}
		if text := strings.Join(got, "\n"); text != row.want {
			t.Errorf("%s: problems\n%s\nwant\n%s", row.why, text, row.want)
		}
	}
}

// A file of mistakes only is read as far as its problems are told.
func TestManySyntaxErrors(t *testing.T) {
	_, err := parseZone(strings.Repeat("a A 1\n", 100_000), "")
	if err == nil {
		t.Fatal("no error")
	}
	problems := strings.Split(err.Error(), "\n")
	const want = `z:1004: a.z.example. A: "1" is not an IPv4 address (the file is read no further)`
	if last := problems[len(problems)-1]; len(problems) != 1000 || last != want {
		t.Errorf("%d problems, the last %s, want 1000, %s", len(problems), last, want)
	}
}

// What stands in a message must fit into one.
func TestRecordsPack(t *testing.T) {
	world, err := Parse(readWorld(t, "testdata/demo"))
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for rr := range world.Zones[0].Static.Records {
		if _, err := dns.PackRR(rr, buffer, 0, nil, false); err != nil {
			t.Errorf("%v: %v", rr, err)
		}
	}
}

// Duplicates are found in time that does not grow with the square of a large set.
func TestManyRecords(t *testing.T) {
	world, err := parseZone("$GENERATE 1-65000 h$ 300 A 192.0.2.1\n$GENERATE 1-65000 h$ 300 A 192.0.2.1\n", "")
	if err != nil {
		t.Fatal(err)
	}
	if n := world.Zones[0].Static.Count; n != 65003 {
		t.Errorf("%d records, want 65003", n)
	}
}

func TestDomainName(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"@", "z.example."},
		{"WWW", "www.z.example."},
		{"a.b", "a.b.z.example."},
		{"*.a", "*.a.z.example."},
		{"a.z.example.", "a.z.example."},
		{`a\.b`, `a\.b.z.example.`},
		{`\065`, "a.z.example."},
		{strings.Repeat("a", 63), strings.Repeat("a", 63) + ".z.example."},
		{strings.Repeat("a", 64), ""},
		{strings.Repeat("a.", 128), ""},
		{"a..b", ""},
		{".a", ""},
		{`a\`, ""},
	} {
		got, err := domainName(row.text, "z.example.")
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("domainName(%q) = %q, %v, want %q", row.text, got, err, row.want)
		}
	}
}

// FuzzParse reads whatever is in the files, and reads what it accepted once more from its own text.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"demo", "bad/zones", "bad/records", "bad/pools", "bad/syntax", "bad/controls", "bad/mistakes", "good/warnings", "good/spread"} {
		files := readWorld(f, "testdata/"+dir)
		var config, zone []byte
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name := range files {
				if !yield(name) {
					return
				}
			}
		}) {
			if strings.HasSuffix(name, ".yaml") {
				config = append(config, files[name]...)
			} else {
				zone = append(zone, files[name]...)
			}
		}
		f.Add(config, zone)
	}
	f.Fuzz(func(t *testing.T, config, zone []byte) {
		if strings.Contains(strings.ToUpper(string(zone)), "$GENERATE") && len(zone) > 2000 {
			return // large by intent
		}
		// Whatever the configuration is, the zone file is read too.
		zoneFiles := map[string][]byte{"w.yaml": []byte("zones: {example.com: {file: z}}"), "z": zone}
		files := map[string][]byte{"w.yaml": config, "example.com.zone": zone}
		for _, files := range []map[string][]byte{files, zoneFiles} {
			world, err := Parse(files)
			if err != nil {
				for _, p := range err.(Problems) {
					if p.Text == "" || strings.ContainsAny(p.Text, "\n\r") || strings.HasPrefix(p.Text, aBug) {
						t.Errorf("problem %+q", p)
					}
				}
				continue
			}
			again := map[string][]byte{}
			for name, data := range files {
				again[name] = data
			}
			for _, z := range world.Zones {
				var text strings.Builder
				for rr := range z.Static.Records {
					fmt.Fprintf(&text, "%s\n", rr)
				}
				again[z.File] = []byte(text.String())
			}
			second, err := Parse(again)
			if err != nil {
				t.Fatalf("accepted, but its own text is not: %v\n%s", err, again)
			}
			if a, b := describe(world), describe(second); a != b {
				t.Fatalf("parsed\n%s\nagain\n%s", a, b)
			}
		}
	})
}

// faulty are files of which reading one meets a bug.
type faulty struct{ FileMap }

func (f faulty) Open(name string) (io.ReadCloser, Version, error) {
	if name == "a" {
		return io.NopCloser(nil), Version{Size: 1}, nil
	}
	return f.FileMap.Open(name)
}

// A bug in the reading of one zone is its mistake, and the others are read all the same.
func TestBugInReading(t *testing.T) {
	l := NewLoader(faulty{FileMap{
		"w.yaml": []byte("zones: {a.example: {file: a}, b.example: {file: b}}"), "a": []byte(zoneHead), "b": []byte(zoneHead),
	}}, nil)
	r := l.Reader()
	for i := range l.Zones() {
		r.Read(i)
	}
	world, err := l.World()
	if err != nil {
		t.Fatal(err)
	}
	if got := Problems(world.Refused).Error(); !strings.HasPrefix(got, "a: "+aBug) {
		t.Errorf("refused: %s", got)
	}
	if world.Zones[0].Static != nil || world.Zones[1].Static == nil {
		t.Errorf("zones read: %v, %v, want the second alone", world.Zones[0].Static != nil, world.Zones[1].Static != nil)
	}
}
