package transfer

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const catalogHead = `cat.example. 0 IN SOA invalid. invalid. 1 3600 600 86400 300
cat.example. 0 IN NS invalid.
version.cat.example. 0 IN TXT "2"
`

func recordsOf(t testing.TB, text string) func(yield func(dns.RR) bool) {
	t.Helper()
	var rrs []dns.RR
	if err := eachOf(strings.NewReader(text), func(rr dns.RR) error { rrs = append(rrs, rr); return nil }); err != nil {
		t.Fatal(err)
	}
	return (&textZone{rrs: rrs}).Records
}

func TestParseCatalog(t *testing.T) {
	for _, test := range []struct{ why, text, want string }{
		{"no members", catalogHead, "[]"},
		{"two members, in any case", catalogHead + "b.zones.cat.example. 0 IN PTR Two.Example.\nA.ZONES.cat.example. 0 IN PTR one.example.\n",
			"[{one.example. a [] } {two.example. b [] }]"},
		{"groups and a change of owner", catalogHead + `a.zones.cat.example. 0 IN PTR one.example.
group.a.zones.cat.example. 0 IN TXT "signed"
group.a.zones.cat.example. 0 IN TXT "big"
coo.a.zones.cat.example. 0 IN PTR other.example.
`, "[{one.example. a [big signed] other.example.}]"},
		{"what is unknown is ignored", catalogHead + `a.zones.cat.example. 0 IN PTR one.example.
a.zones.cat.example. 0 IN TXT "text"
x.ext.cat.example. 0 IN TXT "private"
x.y.z.a.zones.cat.example. 0 IN A 192.0.2.1
coo.b.zones.cat.example. 0 IN PTR other.example.
`, "[{one.example. a [] }]"},
		{"no version", strings.Replace(catalogHead, "version", "vision", 1), "0 version records, want one"},
		{"two versions", catalogHead + `version.cat.example. 0 IN TXT "3"`, "2 version records, want one"},
		{"version 1", strings.Replace(catalogHead, `"2"`, `"1"`, 1), `a catalog of a version that is not known: "1"`},
		{"two zones at one label", catalogHead + "a.zones.cat.example. 0 IN PTR one.example.\na.zones.cat.example. 0 IN PTR two.example.\n", "member a: more than one PTR record"},
		{"one zone at two labels", catalogHead + "a.zones.cat.example. 0 IN PTR one.example.\nb.zones.cat.example. 0 IN PTR ONE.example.\n", "members a and b are both zone one.example."},
		{"two changes of owner", catalogHead + "coo.a.zones.cat.example. 0 IN PTR b.example.\ncoo.a.zones.cat.example. 0 IN PTR c.example.\n", "member a: more than one coo"},
		{"another class", catalogHead + "a.zones.cat.example. 0 CH PTR one.example.\n", "a.zones.cat.example.: class CH"},
		{"too many members", catalogHead + "a.zones.cat.example. 0 IN PTR a.example.\nb.zones.cat.example. 0 IN PTR b.example.\nc.zones.cat.example. 0 IN PTR c.example.\n", "more than 2 members"},
	} {
		members, err := ParseCatalog("cat.example.", recordsOf(t, test.text), 2)
		got := fmt.Sprint(members)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.why, got, test.want)
		}
		if wrong := strings.Contains(test.want, "version that is not known"); wrong != errors.Is(err, ErrCatalogVersion) {
			t.Errorf("%s: %v is ErrCatalogVersion: %v", test.why, err, !wrong)
		}
	}
}

func TestAssign(t *testing.T) {
	one := func(moves string) []Member { return []Member{{Zone: "one.example.", Label: "x", Moves: moves}} }
	for _, test := range []struct {
		why     string
		lists   map[string][]Member
		before  string
		taken   bool
		want    string
		clashes string
	}{
		{"a new zone", map[string][]Member{"b.": one("")}, "", false, "b.", ""},
		{"new in two catalogs: the first", map[string][]Member{"b.": one(""), "a.": one("")}, "", false, "a.", "b. lists one.example."},
		{"it stays where it was", map[string][]Member{"b.": one(""), "a.": one("")}, "b.", false, "b.", "a. lists one.example."},
		{"it moves when its owner says so", map[string][]Member{"b.": one("a."), "a.": one("")}, "b.", false, "a.", "b. lists one.example."},
		{"it does not move when only the other says so", map[string][]Member{"b.": one(""), "a.": one("b.")}, "b.", false, "b.", "a. lists one.example."},
		{"it waits until the other lists it", map[string][]Member{"b.": one("a.")}, "b.", false, "b.", ""},
		{"its owner let it go", map[string][]Member{"a.": one("")}, "b.", false, "a.", ""},
		{"a zone of our own", map[string][]Member{"a.": one("")}, "", true, "", "a. lists one.example."},
		{"nobody lists it", nil, "b.", false, "", ""},
	} {
		before := map[string]listing{}
		if test.before != "" {
			before["one.example."] = listing{catalog: test.before}
		}
		now, clashes := assign(test.lists, before, func(string) bool { return test.taken })
		if got := now["one.example."].catalog; got != test.want || strings.Join(clashes, ", ") != test.clashes {
			t.Errorf("%s: belongs to %q, clashes %q, want %q and %q", test.why, got, clashes, test.want, test.clashes)
		}
	}
}

// Members come, go, move and are reset as their catalogs say; a catalog that breaks changes nothing, over a restart too.
func TestCatalog(t *testing.T) {
	zones := shelfOf(zoneOf(t, "one.example.", 1), zoneOf(t, "two.example.", 1))
	primary := open(t, Config{Zones: zones.find})
	address, _ := front(t, primary, nil)
	events, dir := make(told, 1000), t.TempDir()
	config := events.config(dir)
	config.Own = func(apex string) bool { return apex == "own.example." }
	s := open(t, config)
	notices, _ := front(t, s, nil)
	policies := map[string]Policy{}
	for _, apex := range []string{"one.example", "two.example", "cat.example", "dog.example"} {
		policies[apex] = Policy{Allow: []Grant{{Prefix: loopback}}, Notify: []Target{{Address: notices}}}
	}
	apply(t, primary, Setup{Primary: policies})
	serial := uint32(1)
	list := func(apex, version string, records ...string) {
		serial++
		records = append(records, fmt.Sprintf(`version.%s 0 IN TXT %q`, apex, version))
		for i := range records {
			records[i] = strings.ReplaceAll(records[i], "CAT", apex)
		}
		zones.put(primary, zoneOf(t, apex, serial, records...))
	}
	setup := func() Setup {
		c := Catalog{Secondary: Secondary{[]Primary{{Address: address}}},
			Groups: map[string]Secondary{"nowhere": {[]Primary{{Address: netip.MustParseAddrPort("127.0.0.1:1")}}}}}
		return Setup{Catalogs: map[string]Catalog{"cat.example": c, "dog.example": c}}
	}
	list("cat.example.", "2", "a.zones.CAT 0 IN PTR one.example.", "o.zones.CAT 0 IN PTR own.example.")
	list("dog.example.", "2", "d.zones.CAT 0 IN PTR one.example.")
	apply(t, s, setup())
	wait := func(want ...string) { // for all of these, in any order among others
		t.Helper()
		for deadline := time.After(20 * time.Second); len(want) > 0; {
			select {
			case got := <-events:
				want = slices.DeleteFunc(want, func(w string) bool { return strings.HasPrefix(got, w) })
			case <-deadline:
				t.Fatalf("not told %q", want)
			}
		}
	}
	member := func(apex string) string {
		s.secondaries.Lock()
		defer s.secondaries.Unlock()
		if z := s.secondaries.zones[apex]; z != nil {
			return z.want.member
		}
		return ""
	}
	wait("loaded one.example.", "event cat.example. lists own.example. catalog member clashes")
	owner := member("one.example.")
	if owner != "a" && owner != "d" { // the catalog that came first has it
		t.Fatalf("one.example is member %q", owner)
	}
	if member("own.example.") != "" {
		t.Error("a catalog took a zone of our own")
	}
	list("dog.example.", "2")
	list("cat.example.", "2", "a.zones.CAT 0 IN PTR one.example.", "b.zones.CAT 0 IN PTR two.example.")
	wait("loaded two.example.")
	within(t, "member a", func() bool { return member("one.example.") == "a" })

	list("cat.example.", "3") // unknown: nothing changes
	wait("event cat.example. catalog not used")
	s.catalogs.read(s, "cat.example.") // whatever it does is done now
	apply(t, s, setup())
	if member("one.example.") != "a" || member("two.example.") != "b" {
		t.Error("a catalog of an unknown version changed its members")
	}
	s.Close()
	s = open(t, config)
	s.secondaries.silent(address, time.Now().Add(time.Hour))
	apply(t, s, setup())
	wait("loaded one.example.", "loaded two.example.") // although the copy of the catalog is broken
	s.Close()

	s = open(t, config)
	apply(t, s, setup())
	list("cat.example.", "2", "a.zones.CAT 0 IN PTR one.example.", "c.zones.CAT 0 IN PTR two.example.", "group.c.zones.CAT 0 IN TXT nowhere")
	apply(t, s, setup())
	s.secondaries.notified("cat.example.", netip.Addr{}, nil)
	wait("dropped two.example.") // another label is another zone
	within(t, "member c", func() bool { return member("two.example.") == "c" })
	if _, err := os.Stat(s.copyFile("two.example.")); !os.IsNotExist(err) {
		t.Errorf("the zone that was replaced has a copy (%v)", err)
	}
	list("cat.example.", "2")
	s.secondaries.notified("cat.example.", netip.Addr{}, nil)
	wait("dropped one.example.", "dropped two.example.")
	if _, err := os.Stat(s.copyFile("one.example.")); err != nil {
		t.Errorf("the copy of a dropped zone is gone at once: %v", err)
	}
}

func FuzzParseCatalog(f *testing.F) {
	f.Add(catalogHead + "a.zones.cat.example. 0 IN PTR one.example.\n")
	f.Add(catalogHead + "coo.a.zones.cat.example. 0 IN PTR b.example.\ngroup.a.zones.cat.example. 0 IN TXT \"x\" \"y\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		var rrs []dns.RR
		if eachOf(strings.NewReader(text), func(rr dns.RR) error { rrs = append(rrs, rr); return nil }) != nil {
			return
		}
		members, err := ParseCatalog("cat.example.", (&textZone{rrs: rrs}).Records, 10)
		if err == nil && (len(members) > 10 || !slices.IsSortedFunc(members, func(a, b Member) int { return strings.Compare(a.Zone, b.Zone) })) {
			t.Errorf("members %v", members)
		}
	})
}
