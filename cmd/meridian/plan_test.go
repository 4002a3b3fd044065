package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands in docs/plan.md print what stands below them there; -update writes that anew.
func TestPlanDocument(t *testing.T) {
	const file = "../../docs/plan.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "world"), os.DirFS("../../deploy/example/world")); err != nil {
		t.Fatal(err)
	}
	var made strings.Builder
	block, commands, ran := false, false, 0
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			block, commands = !block, false
			made.WriteString(line)
		case block && isCommand:
			commands = true
			made.WriteString(line)
			made.WriteString(shell(t, dir, command))
			ran++
		case commands: // what the command printed when the document was written
		default:
			made.WriteString(line)
		}
	}
	if ran < 5 {
		t.Errorf("%d commands in %s, want all of its examples", ran, file)
	}
	sameFile(t, file, made.String(), "go test ./cmd/meridian -run TestPlanDocument -update")
}

// shell returns what a command prints.
func shell(t *testing.T, dir, command string) string {
	t.Helper()
	sh := exec.Command("sh", "-c", command)
	sh.Dir = dir
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}
