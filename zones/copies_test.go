package zones

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const copyText = "@ 300 IN SOA ns hostmaster 1 7200 900 1209600 300\n@ 300 IN NS ns.example.org.\n@ 300 IN NS ns2.example.org.\n"

// worldOfCopies has a zone of its own and one that is to be copied.
func worldOfCopies(t *testing.T) *World {
	t.Helper()
	world, err := Parse(FileMap{
		"world.yaml": []byte("regions: {us: {coordinates: [1, 1]}}\nzones:\n  own.example: {file: own.zone}\n" +
			"  copied.example: {secondary: {primaries: [{address: \"192.0.2.1:53\"}]}}\n"),
		"own.zone": []byte(copyText),
	})
	if err != nil {
		t.Fatal(err)
	}
	return world
}

func serials(w *World) string {
	var all []string
	for _, z := range w.Zones {
		serial := "none"
		if z.Static != nil {
			serial = string(rune('0' + z.Static.Serial))
		}
		all = append(all, strings.TrimSuffix(z.Apex, ".example.")+" "+serial)
	}
	return strings.Join(all, ", ")
}

// TestWithCopies follows a world through what becomes of its copies.
func TestWithCopies(t *testing.T) {
	version := func(serial string) []byte {
		return []byte(strings.Replace(copyText, "hostmaster 1", "hostmaster "+serial, 1))
	}
	files := FileMap{"c.zone": version("1"), "m.zone": version("5")}
	copied, member := Copy{"copied.example.", "c.zone"}, Copy{"member.example.", "m.zone"}
	world := worldOfCopies(t)
	for _, step := range []struct {
		name     string
		change   func()
		copies   []Copy
		want     string
		problems string
	}{
		{"without any copy there is no data", func() {}, nil, "copied none, own 1", ""},
		{"a copy comes, and a member of a catalog", func() {}, []Copy{copied, member}, "copied 1, member 5, own 1", ""},
		{"a new version is read", func() { files["c.zone"] = version("2") }, []Copy{copied, member}, "copied 2, member 5, own 1", ""},
		{"one with a mistake leaves the one before", func() { files["c.zone"] = append(version("3"), "x A y\n"...) }, []Copy{copied, member},
			"copied 2, member 5, own 1", `c.zone:4: x.copied.example. A: "y" is not an IPv4 address`},
		{"which is told once", func() {}, []Copy{copied, member}, "copied 2, member 5, own 1", ""},
		{"a mended one is read", func() { files["c.zone"] = version("4") }, []Copy{copied, member}, "copied 4, member 5, own 1", ""},
		{"an expired one has no data, a dropped member is gone", func() {}, []Copy{{"copied.example.", ""}}, "copied none, own 1", ""},
		{"it comes back", func() {}, []Copy{copied}, "copied 4, own 1", ""},
		{"a zone of the world is not replaced", func() {}, []Copy{copied, {"own.example.", "c.zone"}}, "copied 4, own 1", ""},
	} {
		step.change()
		var problems []Problem
		before := world
		world, problems = world.WithCopies(files, step.copies, world)
		if got := serials(world); got != step.want {
			t.Errorf("%s: zones %s, want %s", step.name, got, step.want)
		}
		if got := Problems(problems).Error(); got != step.problems {
			t.Errorf("%s: problems %q, want %q", step.name, got, step.problems)
		}
		if world.Digest != before.Digest {
			t.Errorf("%s: the digest of the configuration changed", step.name)
		}
	}
}

// TestWithCopiesReadsOnlyWhatChanged proves it by the pointers of the zones, over a reload of the configuration too.
func TestWithCopiesReadsOnlyWhatChanged(t *testing.T) {
	files := FileMap{"c.zone": []byte(copyText), "m.zone": []byte(copyText)}
	copies := []Copy{{"copied.example.", "c.zone"}, {"member.example.", "m.zone"}}
	first, _ := worldOfCopies(t).WithCopies(files, copies, nil)
	files["m.zone"] = []byte(strings.Replace(copyText, "hostmaster 1", "hostmaster 2", 1))
	second, _ := worldOfCopies(t).WithCopies(files, copies, first)
	at := func(w *World, apex string) *Zone {
		i := slices.IndexFunc(w.Zones, func(z Zone) bool { return z.Apex == apex })
		return &w.Zones[i]
	}
	if at(first, "copied.example.").Static != at(second, "copied.example.").Static {
		t.Error("a copy that has not changed was read again")
	}
	if at(first, "member.example.").Static == at(second, "member.example.").Static {
		t.Error("a copy that has changed was not read again")
	}
}

func TestCopiesAreAnsweredFrom(t *testing.T) {
	world, _ := worldOfCopies(t).WithCopies(FileMap{"c.zone": []byte(copyText)}, []Copy{{"copied.example.", "c.zone"}}, nil)
	plan, err := world.Compile(testTable(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	zone := plan.ZoneOf([]byte("\x06copied\x07example\x00"), dns.TypeSOA)
	if zone == nil || zone.Zone == nil || zone.Serial != 1 {
		t.Errorf("ZoneOf(copied.example.) = %+v, want the copy", zone)
	}
}
