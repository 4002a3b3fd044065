package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/route53"
)

// The example of docs/import.md is what the importer makes.
func TestImportDocument(t *testing.T) {
	text := string(readFile(t, "../../docs/import.md"))
	block := func(kind string) string {
		t.Helper()
		found := regexp.MustCompile("(?s)```" + kind + "\n(.*?)```").FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("no example of %s", kind)
		}
		return found[1]
	}
	result, err := route53.Import([]importer.File{{Name: "records.json", Data: []byte(block("json"))}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(result.Files["pools.yaml"]), block("yaml"); got != want {
		t.Errorf("pools.yaml is\n%s\nwant\n%s", got, want)
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
