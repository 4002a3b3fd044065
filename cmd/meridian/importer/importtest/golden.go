package importtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones"
)

// Tree returns the files below a folder, by their names in it.
func Tree(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[name], err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("files of %s: %d, %v, want some", dir, len(files), err)
	}
	return files
}

// Golden compares an import, which must be a world without a mistake, with DIR/out and DIR/report.txt; or writes them.
func Golden(t *testing.T, dir string, result *importer.Result, update bool) {
	t.Helper()
	if _, err := zones.Parse(result.Files); err != nil {
		t.Fatalf("what was imported can't be read:\n%v", err)
	}
	want := map[string]string{"report.txt": result.Report.Text()}
	for name, data := range result.Files {
		want["out/"+name] = string(data)
	}
	if update {
		if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	have := Tree(t, dir)
	for name, text := range want {
		if got := string(have[name]); got != text {
			t.Errorf("%s/%s is\n%s\nwant\n%s", dir, name, got, text)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "in/") {
			t.Errorf("%s/%s is not among what was imported", dir, name)
		}
	}
}

// EveryFeature fails unless the reports have met each of the documented features, and no other.
func EveryFeature(t *testing.T, features []importer.Feature, results ...*importer.Result) {
	t.Helper()
	met := map[string]bool{}
	for _, r := range results {
		for _, n := range r.Report.Notes() {
			met[n.Feature.Name] = true
			if !slices.Contains(features, n.Feature) {
				t.Errorf("feature %s is not documented", n.Feature.Name)
			}
		}
	}
	names := map[string]bool{}
	for _, f := range features {
		if !met[f.Name] {
			t.Errorf("no input of the tests has %s (%s)", f.Name, f.Title)
		}
		if names[f.Name] || f.Title == "" || f.How == "" {
			t.Errorf("feature %+v stands twice or says nothing", f)
		}
		names[f.Name] = true
	}
}
