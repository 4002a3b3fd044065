package forecast

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/whatif"
)

var update = flag.Bool("update", false, "write the expected forecasts of testdata")

// read returns the files of a world below testdata.
func read(t testing.TB, world string) zones.FileMap {
	t.Helper()
	files := zones.FileMap{}
	names, err := filepath.Glob(filepath.Join("testdata", world, "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(world, names, err)
	}
	for _, name := range names {
		if files[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func indented(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func TestCompare(t *testing.T) {
	table := table(t)
	prefixes, err := ParsePrefixes("f", []byte("20.0.0.0/16 6\n20.1.0.0/16 3\n20.2.0.0/16 3\n20.3.0.0/16 1\n2600:6::/32 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	before, after := snapshotOf(t, table, read(t, "old")), snapshotOf(t, table, read(t, "new"))
	f := Compare(before, after, nil)
	text := f.Text(false)
	for _, g := range f.Guards {
		text += "guard " + string(g.Guard) + ": " + g.Found + "\n"
	}
	golden(t, "compare.txt", text)
	golden(t, "compare.json", indented(t, Compare(before, after, prefixes)))
	back := Compare(after, before, prefixes)
	golden(t, "back.txt", back.Text(true))
}

// Of a world that is only written in another order nothing differs.
func TestCompareEqual(t *testing.T) {
	table := table(t)
	files := read(t, "old")
	before := snapshotOf(t, table, files)
	split, rest, _ := strings.Cut(string(files["world.yaml"]), "controls:")
	turned := zones.FileMap{"b.yaml": []byte(split), "a.yaml": []byte("controls:" + rest), "gone.example.zone": files["gone.example.zone"]}
	lines := strings.SplitAfter(string(files["example.com.zone"]), "\n")
	slices.Reverse(lines[2:])
	turned["example.com.zone"] = []byte(strings.Join(lines, ""))
	f := Compare(before, snapshotOf(t, table, turned), nil)
	if len(f.Changes) > 0 || len(f.Records) > 0 || len(f.Clients.Moves) > 0 || len(f.Guards) > 0 {
		t.Errorf("differs by %+v", f)
	}
	golden(t, "equal.txt", f.Text(false))
}

func TestWhatIf(t *testing.T) {
	table := table(t)
	steady := snapshotOf(t, table, read(t, "old"))
	for _, c := range []struct{ file, suppose string }{{"lose.txt", "lose eu-west"}, {"off.txt", "off us, down euw1"}} {
		h, err := whatif.Parse([]string{c.suppose})
		if err != nil {
			t.Fatal(err)
		}
		in, err := h.Apply(steady.Plan, Steady(steady.Plan))
		if err != nil {
			t.Fatal(err)
		}
		then := steady.Plan.Publish(nil, in, zones.Change{All: true}, steady.Published)
		m := Moves(steady, then, nil)
		golden(t, c.file, m.Text(false))
	}
}
