package sim

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant is a mistake in the source.
type mutant struct {
	breaks   string
	file     string
	old, new string
}

func mutants(t *testing.T) []mutant {
	data, err := os.ReadFile("testdata/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []mutant
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		lines := strings.Split(block, "\n")
		if strings.HasPrefix(lines[0], "#") {
			continue
		}
		m := mutant{breaks: lines[0]}
		if len(lines) == 4 {
			m.file = lines[1]
			m.old, _ = strings.CutPrefix(lines[2], "- ")
			m.new, _ = strings.CutPrefix(lines[3], "+ ")
		}
		if m.old == "" || m.new == "" {
			t.Fatalf("mutant %q: want four lines: what it breaks, file, old text, new text", block)
		}
		list = append(list, m)
	}
	return list
}

const module = "../../.."

// source returns the file with the mistake in it.
func (m mutant) source(t *testing.T) (path string, changed string) {
	path, err := filepath.Abs(filepath.Join(module, m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%s has %q %d times, want it once: the list of mutants is out of date", m.file, m.old, n)
	}
	return path, strings.Replace(string(text), m.old, m.new, 1)
}

var every = flag.Int("mutants", 7, "TestMutants makes each mistake of the list whose number this divides; 1: all of them, as make soak does")

// The simulator sees every mistake in the list.
func TestMutants(t *testing.T) {
	for i, m := range mutants(t) {
		path, changed := m.source(t)
		if i%*every != 0 {
			continue
		}
		what, _, _ := strings.Cut(m.breaks, ":")
		t.Run(what, func(t *testing.T) {
			if testing.Short() {
				t.Skip("SKIPPED with -short: builds and runs the tests again for each mutant")
			}
			dir := t.TempDir()
			mutated := filepath.Join(dir, "mutated.go")
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
			if err != nil {
				t.Fatal(err)
			}
			for file, data := range map[string][]byte{mutated: []byte(changed), filepath.Join(dir, "overlay.json"): overlay} {
				if err := os.WriteFile(file, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			run := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-vet=off", "-failfast",
				"-run", "^(TestScenarios|TestSeeds)$", "-shown=false", "-seeds", "60", ".")
			out, err := run.CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("%s: nothing failed", m.breaks)
			case !strings.Contains(string(out), "--- FAIL: ") && !strings.Contains(string(out), "panic: "):
				t.Errorf("%s: it did not run: %v\n%s", m.breaks, err, out)
			default:
				t.Logf("seen: %s", firstLines(string(out)))
			}
		})
	}
}

func firstLines(text string) string {
	lines := strings.SplitN(text, "\n", 5)
	return strings.Join(lines[:min(len(lines), 4)], "\n")
}
