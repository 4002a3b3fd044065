package bind

import (
	"errors"
	"flag"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer/importtest"
	"github.com/meridian-gslb/meridian/zones/strict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// from opens files of a map.
func from(files map[string][]byte) Open {
	return func(name string) ([]byte, error) {
		data, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return data, nil
	}
}

// testdata/full/in is imported; testdata/full/out is the world's directory that it becomes.
func TestImports(t *testing.T) {
	result, err := Import("named.conf", from(importtest.Tree(t, "testdata/full/in")))
	if err != nil {
		t.Fatal(err)
	}
	importtest.Golden(t, "testdata/full", result, *update)
	importtest.EveryFeature(t, Features, result)
	for name, data := range result.Files {
		if strings.Contains(string(data), "c2VjcmV0") {
			t.Errorf("%s has the secret of a key", name)
		}
	}
	if strings.Contains(result.Report.Text(), "c2VjcmV0") {
		t.Error("the report has the secret of a key")
	}
}

// A zone file that is put together holds what BIND would load: the records of the files that it includes, with their origins.
func TestFlattened(t *testing.T) {
	result, err := Import("named.conf", from(importtest.Tree(t, "testdata/full/in")))
	if err != nil {
		t.Fatal(err)
	}
	s := importtest.Publish(t, result.Files, "")
	for name, want := range map[string]string{
		"host-2.example.com. A":            "192.0.2.2",
		"a.sub.example.com. A":             "192.0.2.90",
		"a.sub.example.com. AAAA":          "2001:db8::90",
		"b.below.sub.example.com. A":       "192.0.2.91",
		"first.example.com. TXT":           `"an owner" "of the owner before, whatever was included"`,
		"a.example.com. AAAA":              "2001:db8::90",
		"b.below.example.com. A":           "192.0.2.91",
		"x.deep.example.com. A":            "192.0.2.80",
		"db.inside.example. A":             "10.0.0.1",
		"1.0/25.2.0.192.in-addr.arpa. PTR": "www.example.com.",
	} {
		if got := importtest.Answers(t, s, name, importtest.German, 1); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
}

// What can't be read is refused as a whole, with its line.
func TestUnreadable(t *testing.T) {
	for _, row := range []struct {
		why   string
		files map[string][]byte
		want  string
	}{
		{"nothing", nil, "open named.conf: file does not exist"},
		{"an open block", map[string][]byte{"named.conf": []byte("options {\n recursion no;\n")}, "named.conf:3: ends within a statement or block"},
		{"an open statement", map[string][]byte{"named.conf": []byte("options")}, "named.conf:1: ends within a statement or block"},
		{"a semicolon that is missing", map[string][]byte{"named.conf": []byte("options {\n recursion no\n};")}, "named.conf:3: a ; or { is missing before }"},
		{"a brace too many", map[string][]byte{"named.conf": []byte("};")}, "named.conf:1: a ; or { is missing before }"},
		{"an open quotation mark", map[string][]byte{"named.conf": []byte("\ninclude \"a;\n")}, "named.conf:2: a quotation mark is never closed"},
		{"an open comment", map[string][]byte{"named.conf": []byte("/* a")}, "named.conf:1: a comment is never closed"},
		{"an include that is not there", map[string][]byte{"named.conf": []byte("\ninclude \"a\";\n")}, "named.conf:2: open a: file does not exist"},
		{"an include of itself", map[string][]byte{"named.conf": []byte("include \"named.conf\";")}, "named.conf:1: include: more than 100 files in one another"},
		{"a zone file that is not there", map[string][]byte{"named.conf": []byte("zone \"a\" {\n type primary; file \"b\"; };")}, "named.conf:1: open b: file does not exist"},
		{"a name that is none", map[string][]byte{"named.conf": []byte("zone \"a..b\" { type primary; file \"b\"; };")}, `named.conf:1: zone "a..b" is not a domain name`},
		{"an $INCLUDE that is not there", map[string][]byte{"named.conf": []byte("zone a { type primary; file b; };"), "b": []byte("\n$INCLUDE c\n")}, "b:2: open c: file does not exist"},
		{"an $INCLUDE of itself", map[string][]byte{"named.conf": []byte("zone a { type primary; file b; };"), "b": []byte("$INCLUDE b\n")}, "b:1: $INCLUDE: more than 100 files in one another"},
		{"a zone file that can't be split", map[string][]byte{"named.conf": []byte("zone a { type primary; file b; };"), "b": []byte("$INCLUDE c\n"), "c": []byte("a TXT (\n")}, `c:1: a "(" is never closed`},
		{"blocks in blocks", map[string][]byte{"named.conf": []byte(strings.Repeat("a { ", 100))}, "named.conf:1: more than 64 blocks in one another"},
	} {
		result, err := Import("named.conf", from(row.files))
		var problems strict.Problems
		if result != nil || !errors.As(err, &problems) {
			t.Errorf("%s: Import = %v, %v, want problems", row.why, result, err)
			continue
		}
		if got := problems.Error(); got != row.want {
			t.Errorf("%s: problems\n%s\nwant\n%s", row.why, got, row.want)
		}
	}
}

// Lists of primaries that name themselves or each other, each more than once, are read once.
func TestListsOfLists(t *testing.T) {
	result, err := Import("named.conf", from(map[string][]byte{"named.conf": []byte(
		`primaries p {p; q; p; 192.0.2.1; }; primaries q {p; 192.0.2.2; q; p; }; zone b { type secondary; primaries { q; 192.0.2.3; p; }; };`)}))
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, data := range result.Files {
		all += string(data)
	}
	first, second, third := strings.Count(all, "192.0.2.1"), strings.Count(all, "192.0.2.2"), strings.Count(all, "192.0.2.3")
	if first != 1 || second != 1 || third != 1 {
		t.Errorf("the primaries are there %d, %d and %d times, want once each:\n%s", first, second, third, all)
	}
}

// Files that include themselves twice are refused as soon as those that do it once.
func TestIncludesOfThemselves(t *testing.T) {
	for _, files := range []map[string][]byte{
		{"named.conf": []byte("include \"named.conf\"; include \"named.conf\";")},
		{"named.conf": []byte("zone a { type primary; file b; };"), "b": []byte("$INCLUDE b\n$INCLUDE b\n")},
	} {
		if _, err := Import("named.conf", from(files)); err == nil || !strings.Contains(err.Error(), "more than 100 files in one another") {
			t.Errorf("Import = %v, want a refusal", err)
		}
	}
}

// Paths are as named has them: absolute ones, and others in its directory.
func TestPaths(t *testing.T) {
	asked := ""
	_, err := Import("/etc/bind/named.conf", func(name string) ([]byte, error) {
		asked += name + "\n"
		if name == "/var/cache/bind/c.conf" {
			return nil, fs.ErrNotExist
		}
		return map[string][]byte{
			"/etc/bind/named.conf":               []byte(`include "/etc/bind/zones/a.conf"; include "b.conf"; options { directory "/var/cache/bind"; }; include "c.conf";`),
			"/etc/bind/c.conf":                   nil,
			"/etc/bind/zones/a.conf":             []byte(`zone "a.example" { type primary; file "/etc/bind/db.a"; };`),
			"/etc/bind/b.conf":                   []byte(`zone "b.example" { type primary; file "db.b"; };`),
			"/etc/bind/db.a":                     []byte("$INCLUDE db.c\n"),
			"/var/cache/bind/db.b":               nil,
			path.Join("/var/cache/bind", "db.c"): []byte("@ A 192.0.2.1\n"),
		}[name], nil
	})
	const want = "/etc/bind/named.conf\n/etc/bind/zones/a.conf\n/etc/bind/b.conf\n/var/cache/bind/c.conf\n/etc/bind/c.conf\n/etc/bind/db.a\n/var/cache/bind/db.c\n/var/cache/bind/db.b\n"
	if err != nil || asked != want {
		t.Errorf("asked for\n%s%v\nwant\n%s", asked, err, want)
	}
}

// Any configuration gives a world or problems; what is written has good keys and names.
func FuzzImport(f *testing.F) {
	files := importtest.Tree(f, "testdata/full/in")
	f.Add(files["named.conf"], files["db/example.com.db"])
	f.Add(files["db/zones.conf"], files["db/more.db"])
	f.Add([]byte(`zone a{type master;file "db/example.com.db";};primaries p{p;::1 port 0;};zone b{type slave;masters{p;};};`), []byte("$INCLUDE db/more.db\n A 192.0.2.1\n"))
	f.Fuzz(func(t *testing.T, config, zone []byte) {
		result, err := Import("named.conf", from(map[string][]byte{"named.conf": config, "db/zones.conf": files["db/zones.conf"], "db/example.com.db": zone,
			"db/more.db": files["db/more.db"], "db/reverse.db": files["db/reverse.db"], "db/inside.db": files["db/inside.db"]}))
		if err != nil {
			var problems strict.Problems
			if result != nil || !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("Import = %v, %v, want problems alone", result, err)
			}
			return
		}
		importtest.CheckFiles(t, result.Files)
	})
}
