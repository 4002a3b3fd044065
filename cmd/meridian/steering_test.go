package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/geo/mmdb"
)

// The world of docs/steering.md is good, and what it says of explanations is what they say.
func TestSteeringDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/steering.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	explained := 0
	for _, block := range regexp.MustCompile("(?s)```(?:yaml)?\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		body := block[1]
		switch {
		case strings.HasPrefix(body, "regions:"):
			err = os.WriteFile(filepath.Join(dir, "world.yaml"), []byte(body), 0o600)
		case strings.HasPrefix(body, "$TTL"):
			err = os.WriteFile(filepath.Join(dir, "example.com.zone"), []byte(body), 0o600)
		case strings.HasPrefix(body, "$ meridian "):
			line, want, _ := strings.Cut(body, "\n")
			args, _ := command(line)
			args[len(args)-1] = dir // the world
			if got := printed(t, args); got != want {
				t.Errorf("%s\n%s\nwant\n%s", line, got, want)
			}
			explained++
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if explained < 2 {
		t.Errorf("%d explanations, want at least 2", explained)
	}
	table, err := mmdb.Default()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := host.Load(dir, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range plan.World.Warnings {
		t.Errorf("warning: %v", w)
	}
}

// printed runs a command and returns what it writes to standard output.
func printed(t *testing.T, args []string) string {
	t.Helper()
	parser, err := newParser()
	if err != nil {
		t.Fatal(err)
	}
	context, err := parser.Parse(longFlags(args))
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	err = context.Run()
	os.Stdout = stdout
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
