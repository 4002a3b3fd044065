package zones

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/health"
)

var updateParse = flag.Bool("update-parse", false, "write the expected problems of testdata/bad and testdata/good")

// readWorld returns the files of a world's directory, but for the expected problems beside them.
func readWorld(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".txt") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// golden compares text with a file beside the test's input.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *updateParse {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func eachDir(t *testing.T, parent string, test func(t *testing.T, dir string)) {
	dirs, err := os.ReadDir(parent)
	if err != nil || len(dirs) == 0 {
		t.Fatalf("ReadDir(%s) = %v, %v, want some", parent, dirs, err)
	}
	for _, dir := range dirs {
		t.Run(dir.Name(), func(t *testing.T) { test(t, filepath.Join(parent, dir.Name())) })
	}
}

// Every bad world has its exact problems beside it.
func TestBadWorlds(t *testing.T) {
	eachDir(t, "testdata/bad", func(t *testing.T, dir string) {
		world, err := Parse(readWorld(t, dir))
		var problems Problems
		if world != nil || !errors.As(err, &problems) {
			t.Fatalf("Parse = %v, %v, want Problems", world, err)
		}
		for _, p := range problems {
			if p.File == "" || strings.Contains(p.Text, "\n") {
				t.Errorf("problem %+v has no file or more than one line", p)
			}
		}
		golden(t, filepath.Join(dir, "errors.txt"), err.Error()+"\n")
	})
}

func TestGoodWorlds(t *testing.T) {
	eachDir(t, "testdata/good", func(t *testing.T, dir string) {
		world, err := Parse(readWorld(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join(dir, "warnings.txt"), Problems(world.Warnings).Error()+"\n")
		golden(t, filepath.Join(dir, "world.txt"), describe(world))
		if err := world.Definitions.Check(); err != nil {
			t.Error(err)
		}
	})
}

// describe writes a world so that a difference shows.
func describe(w *World) string {
	var b strings.Builder
	each(&b, "region", w.Regions)
	each(&b, "check", w.Checks)
	for _, p := range w.Pools {
		members := p.Members
		p.Members = nil
		fmt.Fprintf(&b, "pool %+v\n", p)
		each(&b, "  member", members)
	}
	each(&b, "panel", w.Definitions.Panels)
	each(&b, "pool controls", w.Definitions.Pools)
	each(&b, "service", w.Gateway.Services)
	each(&b, "route", w.Gateway.Routes)
	for _, z := range w.Zones {
		fmt.Fprintf(&b, "zone %s file %s steer %v\n", z.Apex, z.File, z.Steer)
		if z.Transfer != nil {
			fmt.Fprintf(&b, "  transfer %+v\n", *z.Transfer)
		}
		each(&b, "  updates", z.Updates)
		describePrimaries(&b, z.Secondary)
		if z.Static == nil {
			continue
		}
		var records []string
		for rr := range z.Static.Records {
			records = append(records, fmt.Sprintf("  %s\n", rr))
		}
		slices.Sort(records)
		b.WriteString(strings.Join(records, ""))
	}
	for _, c := range w.Catalogs {
		fmt.Fprintf(&b, "catalog %s\n", c.Apex)
		describePrimaries(&b, c.Primaries)
		for _, g := range c.Groups {
			fmt.Fprintf(&b, "  group %s\n", g.Name)
			describePrimaries(&b, g.Primaries)
		}
	}
	return b.String()
}

func describePrimaries(b *strings.Builder, primaries []Primary) {
	for _, p := range primaries {
		fmt.Fprintf(b, "  primary %v key %q", p.Address, p.Key)
		if p.TLS != nil {
			fmt.Fprintf(b, " tls %s %s %q", p.TLS.Name, p.TLS.CA, p.TLS.Roots)
		}
		b.WriteByte('\n')
	}
}

func each[V any](b *strings.Builder, what string, list []V) {
	for _, v := range list {
		fmt.Fprintf(b, "%s %+v\n", what, v)
	}
}

func TestDemoWorld(t *testing.T) {
	world, err := Parse(readWorld(t, "testdata/demo"))
	if err != nil {
		t.Fatal(err)
	}
	want := "example.com.zone:33: special.apps.example.com.: exists, but has no address, so *.apps.example.com. does not answer it and whoever asks for its address gets none (RFC 4592, section 2.2.1)\n" +
		"world.yaml:8: check \"gateway\": an interval under 5s is a load on the endpoints (every vantage probes each of them)"
	if got := Problems(world.Warnings).Error(); got != want {
		t.Errorf("warnings %s, want %s", got, want)
	}
	var policies []Policy
	for _, p := range world.Pools {
		policies = append(policies, p.Policy)
	}
	if !slices.Equal(policies, []Policy{Failover, Latency, Weighted, Geo}) {
		t.Errorf("policies %v", policies)
	}
}

func TestDefaults(t *testing.T) {
	world, err := Parse(readWorld(t, "testdata/good/spread"))
	if err != nil {
		t.Fatal(err)
	}
	c, p := world.Checks[0], world.Pools[0]
	if c.Port != 80 || c.Path != "/" || !slices.Equal(c.ExpectStatus, []health.StatusRange{{Low: 200, High: 399}}) ||
		c.Interval.String() != "10s" || c.Fall != 3 || c.Rise != 3 || c.HoldDown.String() != "30s" {
		t.Errorf("check %+v", c)
	}
	if p.TTL.String() != "30s" || p.WhenAllDown != Open || p.View != Global || p.Members[0].Weight != 1 || !p.Members[0].Enabled {
		t.Errorf("pool %+v", p)
	}
	if world.Regions[0].ID != "ap-south" || !world.Regions[0].Vantage {
		t.Errorf("region %+v", world.Regions[0])
	}
}

func TestDigest(t *testing.T) {
	files := readWorld(t, "testdata/good/spread")
	digest := func() health.Hash64 {
		world, err := Parse(files)
		if err != nil {
			t.Fatal(err)
		}
		return world.Digest
	}
	before := digest()
	files["README"] = []byte("not part of the world")
	if got := digest(); got != before {
		t.Error("the digest covers a file that is not read")
	}
	for _, name := range []string{"commented.yaml", "zones/shared.zone"} {
		files[name] = append(files[name], '\n')
		after := digest()
		if after == before {
			t.Errorf("the digest does not cover %s", name)
		}
		before = after
	}
	files["renamed.yaml"] = files["commented.yaml"]
	delete(files, "commented.yaml")
	if digest() == before {
		t.Error("the digest does not cover the names of files")
	}
}

// A world of too many things is refused, in few words.
func TestLimits(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	region := "regions: {r: {coordinates: [0, 0]}}\n"
	split := func(section string, n int, format string) map[string][]byte {
		return map[string][]byte{
			"a.yaml": []byte(section + many(n, format)),
			"b.yaml": []byte(section + many(1, strings.Replace(strings.Replace(format, "%d", "b%d", 1), "%[1]d", "b%[1]d", 1))),
		}
	}
	zone := func(text string) map[string][]byte {
		return map[string][]byte{"a.yaml": []byte("zones: {z.example: {file: z}}"), "z": []byte("@ 300 IN SOA a. b. 1 3 4 9 6\n@ 300 IN NS a.\n" + text)}
	}
	for _, row := range []struct {
		why   string
		files map[string][]byte
		want  string
	}{
		{"regions of one file", map[string][]byte{"a.yaml": []byte("regions:\n" + many(65, " r%d: {coordinates: [0, 0]}\n"))}, "a.yaml:2: regions: has 65 entries, at most 64 are allowed"},
		{"regions of two files", split("regions:\n", 64, " r%d: {coordinates: [0, 0]}\n"), "65 regions, at most 64 are allowed"},
		{"checks of two files", split("checks:\n", 1000, " c%d: {type: http}\n"), "1001 checks, at most 1000 are allowed"},
		{"pools of two files", split(region+"pools:\n", 20000, " p%d: {policy: failover, members: [{endpoint: e, region: r, address: 192.0.2.1}]}\n"), "20001 pools, at most 20000 are allowed"},
		{"panels of two files", split("controls:\n", 100, " p%d: {members: [m%[1]d]}\n"), "101 panels, at most 100 are allowed"},
		{"services of two files", split(region+"gateway:\n services:\n", 1000, "  s%d: {upstreams: {r: a.example:80}}\n"), "1001 services, at most 1000 are allowed"},
		{"routes of two files", split("gateway:\n routes:\n", 10000, "  - {host: h%d.example, service: s}\n"), "10001 routes, at most 10000 are allowed"},
		{"members of a pool", map[string][]byte{"a.yaml": []byte(region + "pools: {p: {policy: failover, members: [" +
			many(65, "{endpoint: e%d, region: r, address: 192.0.2.1}, ") + "]}}")}, "pool \"p\": members: has 65 values, at most 64 are allowed"},
		{"a YAML file", map[string][]byte{"a.yaml": make([]byte, 4<<20+1)}, "a.yaml: is larger than 4 MiB"},
		{"records of a zone", zone("$GENERATE 0-65535 h$ 300 TXT " + strings.Repeat(strings.Repeat("x", 250)+" ", 17) + "\n"),
			"z: takes more than 256 MiB of memory"},
		{"problems", map[string][]byte{"a.yaml": []byte("checks:\n" + many(1000, " c%d: {x: 1}\n"))}, "1000 more problems"},
	} {
		_, err := Parse(row.files)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			text := fmt.Sprint(err)
			t.Errorf("%s: error %.300s, want %q", row.why, text, row.want)
		}
	}
	files := map[string][]byte{}
	for i := range 10_001 {
		files[fmt.Sprint(i, ".yaml")] = nil
	}
	if _, err := Parse(files); err == nil || err.Error() != "more than 10000 files of configuration" {
		t.Errorf("files: error %v", err)
	}
}

// An endless file is read as far as a zone file may be long.
func TestEndlessZoneFile(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: reads half a gigabyte")
	}
	_, err := ReadZone("z.example.", "z", endless{}, nil)
	if want := "z: is larger than 512 MiB"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("ReadZone of an endless file = %v, want %s", err, want)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '\n'
	}
	return len(b), nil
}

// A directory of zone files is as many zones; one of them may be configured by itself too, with the same file.
func TestZoneDirectories(t *testing.T) {
	const soa = "@ 300 SOA a. b. 1 3 4 9 6\n@ 300 NS a.\n@ 300 NS c.\n"
	files := FileMap{
		"w.yaml":              []byte("zone_directories: [more, deep/er]\nzones: {b.example: {file: more/b.example.zone, dnssec: {algorithm: ED25519}}}\n"),
		"more/A.example.zone": []byte(soa), "more/b.example.zone": []byte(soa), "more/README": []byte("no zone"), "deep/er/@.zone": []byte(soa),
		"deep/not.here.zone": []byte("nonsense"),
	}
	world, err := Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, z := range world.Zones {
		got = append(got, z.Apex+" "+z.File+" "+string(z.Sign))
	}
	if want := []string{". deep/er/@.zone ", "a.example. more/A.example.zone ", "b.example. more/b.example.zone ED25519"}; !slices.Equal(got, want) {
		t.Errorf("zones %q, want %q", got, want)
	}
	files["deep/er/b.example.zone"], files["more/a..b.zone"], files["more/c.example.zone"] = []byte(soa), []byte(soa), []byte("@ 300 A 1\n")
	files["w.yaml"] = append(files["w.yaml"], "checks: {c: {}}\n"...)
	_, err = Parse(files)
	want := "deep/er/b.example.zone: zone \"b.example.\" has another file, more/b.example.zone\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "more/a..b.zone: its name \"a..b\" is not a domain name") ||
		!strings.Contains(err.Error(), "more/c.example.zone:1: c.example. A: \"1\" is not an IPv4 address") {
		t.Errorf("problems\n%v\nwant two files of one zone, a file that is named like no zone, and what is in the files", err)
	}
}

// Neither the order of files in the map nor that of sections in files matters.
func TestParseIsDeterministic(t *testing.T) {
	for _, dir := range []string{"testdata/demo", "testdata/bad/pools", "testdata/bad/twice"} {
		files := readWorld(t, dir)
		first, firstErr := Parse(files)
		for range 10 {
			again, err := Parse(files)
			if fmt.Sprint(err) != fmt.Sprint(firstErr) {
				t.Fatalf("%s: error %v, then %v", dir, firstErr, err)
			}
			if firstErr == nil && (describe(first) != describe(again) || first.Digest != again.Digest) {
				t.Fatalf("%s: two worlds of the same files differ", dir)
			}
		}
	}
}

func TestCompareRoutes(t *testing.T) {
	world, err := Parse(readWorld(t, "testdata/good/spread"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range world.Gateway.Routes {
		got = append(got, r.Host+r.Path)
	}
	want := []string{"a.example/", "b.example/a", "b.example/", "*.b.example/a/b", "*.b.example/a", "*.example/"}
	if !slices.Equal(got, want) {
		t.Errorf("routes %v, want %v", got, want)
	}
}

func TestPoolControls(t *testing.T) {
	const head = "regions: {r: {coordinates: [0, 0]}}\ncontrols: {p: {members: [a, b]}}\npools:\n p:\n  policy: failover\n  members:\n"
	for _, row := range []struct{ why, members, want string }{
		{"each control once", "   - {endpoint: x, region: r, address: 192.0.2.1, control: a}\n   - {endpoint: y, region: r, address: 192.0.2.2, control: a}\n", "[{p [a]}]"},
		{"a member without control always answers", "   - {endpoint: x, region: r, address: 192.0.2.1, control: a}\n   - {endpoint: y, region: r, address: 192.0.2.2}\n", "[]"},
		{"a member that is not enabled never does", "   - {endpoint: x, region: r, address: 192.0.2.1, control: a}\n   - {endpoint: y, region: r, address: 192.0.2.2, enabled: false}\n", "[{p [a]}]"},
	} {
		world, err := Parse(map[string][]byte{"w.yaml": []byte(head + row.members)})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(world.Definitions.Pools); got != row.want {
			t.Errorf("%s: pools %s, want %s", row.why, got, row.want)
		}
	}
}

func TestReference(t *testing.T) {
	text := Reference()
	for _, want := range []string{
		"## `pools.NAME.members[]`",
		"| `interval` | duration from 1s to 5m | `10s` |",
		"| `policy` | failover · weighted · geo · geoproximity · latency · cidr · multivalue | *required* |",
		"## `gateway.routes[]`",
		"## `zones.NAME.steer.NAME`",
		"## `controls.NAME.rules[]`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("Reference() has no %q:\n%s", want, text)
		}
	}
}
