package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/zones"
)

var (
	update = flag.Bool("update", false, "write into the scenarios what they show")
	shown  = flag.Bool("shown", true, "compare what scenarios show; without, only what they say must be")
)

// Every scenario in testdata plays as it is written.
func TestScenarios(t *testing.T) {
	scenarios, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(scenarios) == 0 {
		t.Fatalf("%d scenarios, %v", len(scenarios), err)
	}
	for i, file := range scenarios {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if testing.Short() && i%8 != 1 {
				t.Skip("SKIPPED with -short: one goroutine, like those that are run")
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, wrong := RunScript(string(text), func(world string) (*zones.Plan, error) { return plan(t, world) })
			for _, w := range wrong {
				t.Errorf("%s: %s", file, w)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) && *shown {
				t.Errorf("%s shows now (-update writes it):\n%s", file, got)
			}
		})
	}
}
