package sim

import (
	"io/fs"
	"os"
	"testing"

	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/zones"
)

// files returns those of a world in testdata.
func files(tb testing.TB, world string) map[string][]byte {
	tb.Helper()
	dir := os.DirFS("testdata/worlds/" + world)
	names, err := fs.Glob(dir, "*")
	if err != nil || len(names) == 0 {
		tb.Fatalf("world %s: %d files, %v", world, len(names), err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if files[name], err = fs.ReadFile(dir, name); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

// plan compiles a world in testdata; the error is that of a world with mistakes.
func plan(tb testing.TB, world string) (*zones.Plan, error) {
	tb.Helper()
	parsed, err := zones.Parse(files(tb, world))
	if err != nil {
		return nil, err
	}
	p, err := parsed.Compile(Table(), rtt.New().Orders())
	if err != nil {
		tb.Fatal(err)
	}
	return p, nil
}

func goodPlan(tb testing.TB, world string) *zones.Plan {
	tb.Helper()
	p, err := plan(tb, world)
	if err != nil {
		tb.Fatalf("world %s: %v", world, err)
	}
	return p
}
