package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/gdnsd"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/route53"
)

// The examples of docs/import.md become what it says.
func TestImportDocument(t *testing.T) {
	text := string(readFile(t, "../../docs/import.md"))
	blocks := regexp.MustCompile("(?sm)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	block := func(kind, begin string) string {
		t.Helper()
		for _, b := range blocks {
			if b[1] == kind && strings.HasPrefix(b[2], begin) {
				return b[2]
			}
		}
		t.Fatalf("no example of %s that begins with %q", kind, begin)
		return ""
	}
	result, err := route53.Import([]importer.File{{Name: "records.json", Data: []byte(block("json", "{"))}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(result.Files["pools.yaml"]), block("yaml", "#"); got != want {
		t.Errorf("pools.yaml is\n%s\nwant\n%s", got, want)
	}
	config := block("", "plugins")
	result, err = gdnsd.Import(map[string][]byte{"config": []byte(config), "zones/shop.example": []byte("@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nwww 60 DYNA geoip!shop\n")})
	if err != nil {
		t.Fatal(err)
	}
	if pools, regions := string(result.Files["pools.yaml"]), string(result.Files["regions.yaml"]); !strings.Contains(pools, "policy: geoproximity") || !strings.Contains(regions, "ams: ") || !strings.Contains(regions, "nyc: ") {
		t.Errorf("pools.yaml is\n%s\nand regions.yaml\n%s\nwant as the document says", pools, regions)
	}
	if strings.Contains(text, "{{") {
		t.Error("a table is missing")
	}
}

// What importers write is good by the schema, too: an editor marks nothing in it.
func TestSchemasTakeImports(t *testing.T) {
	world := newValidator(t, "world")
	files := filesBelow(t, "importer")
	outputs := 0
	for _, file := range files {
		if !strings.Contains(filepath.ToSlash(file), "/out/") {
			continue
		}
		outputs++
		lines, why := world.lines(readFile(t, file))
		for _, line := range lines {
			t.Errorf("%s:%d: refused: %s", file, line, why[line])
		}
	}
	if outputs < 5 {
		t.Errorf("%d imported files found, want more", outputs)
	}
}
