package gdnsd

import (
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/importtest"
	"github.com/meridian-gslb/meridian/zones/strict"
)

var update = flag.Bool("update", false, "write the golden files anew")

func imports(t *testing.T) map[string]*importer.Result {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*/in")
	if err != nil || len(dirs) < 2 {
		t.Fatalf("inputs %v, %v, want some", dirs, err)
	}
	results := map[string]*importer.Result{}
	for _, in := range dirs {
		result, err := Import(importtest.Tree(t, in))
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		results[filepath.Dir(in)] = result
	}
	return results
}

// Each testdata/NAME/in is imported; testdata/NAME/out is the world's directory that it becomes.
func TestImports(t *testing.T) {
	for dir, result := range imports(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) { importtest.Golden(t, dir, result, *update) })
	}
}

func TestEveryFeature(t *testing.T) {
	var results []*importer.Result
	for _, r := range imports(t) {
		results = append(results, r)
	}
	importtest.EveryFeature(t, Features, results...)
}

// What can't be read is refused as a whole, with its line.
func TestUnreadable(t *testing.T) {
	const zone = "@ SOA a b 1 2 3 4 5\n@ NS a\n"
	for _, row := range []struct {
		why   string
		files map[string][]byte
		want  string
	}{
		{"nothing", map[string][]byte{}, "the directory has neither a file config nor zone files in zones/"},
		{"an open brace", map[string][]byte{"config": []byte("options => {\n a = 1\n")}, "config:3: a { is never closed"},
		{"an open bracket", map[string][]byte{"config": []byte("options = [ a")}, "config:1: a [ is never closed"},
		{"an open quotation mark", map[string][]byte{"config": []byte("a = \"b\n\n")}, "config:3: a quotation mark is never closed"},
		{"a key without value", map[string][]byte{"config": []byte("a\nb = 1")}, `config:2: want = or => after key "a"`},
		{"a value that is missing", map[string][]byte{"config": []byte("a =")}, "config:1: a value is missing"},
		{"a key twice", map[string][]byte{"config": []byte("a = 1\na = 2")}, `config:2: key "a" stands twice`},
		{"a brace too many", map[string][]byte{"config": []byte("a = 1 }")}, `config:1: "}" stands where a text should`},
		{"a bad escape", map[string][]byte{"config": []byte(`a = \999`)}, `config:1: \999 is no escape: want three digits up to 255`},
		{"a list", map[string][]byte{"config": []byte("[ a ]")}, "config:1: is a list, want the keys options, service_types and plugins"},
		{"more after a list", map[string][]byte{"config": []byte("[ a ] b")}, `config:1: "b" stands where the file should end`},
		{"an include that is not there", map[string][]byte{"config": []byte("\na = $include{b}")}, `config:2: $include: no file "b" in the directory`},
		{"an include of all the machine", map[string][]byte{"config": []byte("a = $include{../../etc/passwd}")}, `config:1: $include: no file "../../etc/passwd" in the directory`},
		{"an include of itself", map[string][]byte{"config": []byte("$include{config}")}, "config:1: more than 1000 includes"},
		{"an include within a value of itself", map[string][]byte{"config": []byte("a = $include{config}")}, "config:1: nested more than 64 deep"},
		{"a mistake in an include", map[string][]byte{"config": []byte("a = $include{b}"), "b": []byte("\n\nx")}, `b:3: want = or => after key "x"`},
		{"no include at all", map[string][]byte{"config": []byte("a = $inclde{b}")}, "config:1: want $include{FILE}"},
		{"too deep", map[string][]byte{"config": []byte("a = " + string(slices.Repeat([]byte("["), 100)))}, "config:1: nested more than 64 deep"},
		{"an open parenthesis in a zone", map[string][]byte{"zones/a.example": []byte(zone + "b TXT ( a\n")}, `zones/a.example:3: a "(" is never closed`},
		{"an open quotation mark in a zone", map[string][]byte{"zones/a.example": []byte(zone + "b TXT \"a\nc A 192.0.2.1\n")}, "zones/a.example:3: a quotation mark is never closed"},
		{"an $INCLUDE that is not there", map[string][]byte{"zones/a.example": []byte(zone + "$INCLUDE b\n")}, `zones/a.example:3: $INCLUDE: no file "b" in the directory, or too many`},
		{"an $INCLUDE of itself", map[string][]byte{"zones/a.example": []byte(zone + "$INCLUDE a.example\n")}, `zones/a.example:3: $INCLUDE: no file "a.example" in the directory, or too many`},
		{"a mistake in nets", map[string][]byte{"config": []byte("plugins = { geoip = { maps = { m = { datacenters = a, nets = n } }, resources = { r = { map = m, dcmap = { a = 192.0.2.1 } } } } }"),
			"geoip/n": []byte("\n10.0.0.0/8"), "zones/a.example": []byte(zone + "b 60 DYNA geoip!r\n")}, `geoip/n:2: want = or => after key "10.0.0.0/8"`},
	} {
		result, err := Import(row.files)
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

// The three forms of the manual of gdnsd.config are one.
func TestSyntax(t *testing.T) {
	for _, text := range []string{
		"options = {\n  listen = [ 192.0.2.1, 192.0.2.2 ],\n  http_listen = 127.0.0.1,\n}",
		"\"options\" => {\n  listen => [ 192.0.2.1 192.0.2.2 ]\n  http_listen => \"127.0.0.1\" # so\n}",
		"options={listen=[192.0.2.1 192.0.2.2]http_listen=127.0.0.1}",
		`opt\105ons={listen=[192.0.2.\049 192.0.2.\050]http_listen="\049\0507.0.0.1"};`,
	} {
		left := 1
		v, problem := parseFile(map[string][]byte{"f": []byte(text)}, "f", &left, 0)
		if problem != nil {
			t.Errorf("%s: %v", text, problem)
			continue
		}
		listen := v.get("options").get("listen").list()
		if len(listen) != 2 || listen[0].text != "192.0.2.1" || listen[1].text != "192.0.2.2" || v.get("options").get("http_listen").scalar() != "127.0.0.1" {
			t.Errorf("%s: read as %+v", text, v)
		}
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]uint32{"0": 0, "300": 300, "5M": 300, "1d12h": 129600, "1w": 604800, "1h30": 3630} {
		if got, ok := seconds(text); !ok || got != want {
			t.Errorf("seconds(%s) = %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "x", "m", "5x", "99999999999", "4294967296"} {
		if got, ok := seconds(text); ok {
			t.Errorf("seconds(%s) = %d, want none", text, got)
		}
	}
}

// Any configuration gives a world or problems; what is written is YAML, whose keys and names are good.
func FuzzImport(f *testing.F) {
	full := importtest.Tree(f, "testdata/full/in")
	f.Add(full["config"], full["zones/shop.example"])
	f.Add([]byte("plugins={weighted={a={b={c=[1.2.3.4,5]}}}}"), []byte("@ SOA a b 1 2 3 4 5\n@ NS a\nb 1/1 DYNA weighted!a\n DYNC weighted!a\n"))
	f.Add([]byte("plugins={geoip={maps={m={datacenters=[a,b],nets={1.0.0.0/8=[b],::/0=b},map={EU=b,default=[]}}},resources={r={map=m,dcmap={a=%geoip!r,b=!x,}}}}}"), []byte("b 60 DYNA geoip!r\n"))
	f.Add([]byte("plugins={metafo={resources={r={datacenters=[a,b],dcmap={a=%metafo!r/b,b={plugin=metafo,datacenters=[a],dcmap={a=1.2.3.4}}}}}}}"), []byte("$ORIGIN x.@Z\nb 60 DYNA metafo!r\n"))
	f.Add([]byte("service_types={a={plugin=http_status,url_path=\"/\\032\",ok_codes=[]},b={plugin=tcp_connect}} plugins={multifo={service_types=[a,b],r={x=::1,y=a.b}}}"), []byte("b 60 DYNA multifo!r\n"))
	f.Fuzz(func(t *testing.T, config, zone []byte) {
		result, err := Import(map[string][]byte{"config": config, "services.cfg": full["services.cfg"], "geoip/nets.cfg": full["geoip/nets.cfg"],
			"zones/shop.example": zone, "zones/includes/hosts": full["zones/includes/hosts"]})
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
