package importtest

import (
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

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

// Golden compares an import with DIR/out, DIR/report.txt and DIR/warnings.txt, what the world that it is warns of; or writes them.
func Golden(t *testing.T, dir string, result *importer.Result, update bool) {
	t.Helper()
	world, err := zones.Parse(result.Files)
	if err != nil {
		t.Fatalf("what was imported can't be read:\n%v", err)
	}
	var warnings strings.Builder
	for _, w := range world.Warnings {
		warnings.WriteString(w.String() + "\n")
	}
	want := map[string]string{"report.txt": result.Report.Text(), "warnings.txt": warnings.String()}
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

// Ask returns the data of the answer to a question ("www.example.com. A") by a snapshot, in order, separated by spaces.
func Ask(t testing.TB, s *zones.Snapshot, question string) string {
	t.Helper()
	name, qtype, _ := strings.Cut(question, " ")
	e, err := s.Explain(zones.Question{Name: name, Type: dns.StringToType[qtype], Client: zones.Client{Source: netip.MustParseAddr("192.0.2.1")}})
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, text := range e.Answer {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(data)
	return strings.Join(data, " ")
}
