package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/dns/transfer"
	"github.com/meridian-gslb/meridian/health"
)

var update = flag.Bool("update", false, "write the generated documents anew")

// The references in docs are what the code makes of itself.
func TestReferences(t *testing.T) {
	for _, part := range []string{"world", "node", "api", "cli", "import"} {
		t.Run(part, func(t *testing.T) {
			text, err := reference(part)
			if err != nil {
				t.Fatal(err)
			}
			sameFile(t, "../../docs/"+part+".md", text, "make docs")
		})
	}
}

// sameFile fails unless a file holds a text; renew is the command that writes it anew.
func sameFile(t *testing.T, file, want, renew string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\nrun: %s", err, renew)
	}
	have, wanted := strings.Split(string(text), "\n"), strings.Split(want, "\n")
	for i := range max(len(have), len(wanted)) {
		var h, w string
		if i < len(have) {
			h = have[i]
		}
		if i < len(wanted) {
			w = wanted[i]
		}
		if h != w || (i < len(have)) != (i < len(wanted)) {
			t.Fatalf("%s:%d: %q, want %q\nrun: %s", file, i+1, h, w, renew)
		}
	}
}

// Every example of a command in the documents is one that the program takes.
func TestExamplesInDocuments(t *testing.T) {
	documents := []string{"../../README.md", "../../deploy/example/README.md"}
	more, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, file := range append(documents, more...) {
		for _, e := range examplesOf(t, file) {
			examples++
			parser, err := newParser()
			if err != nil {
				t.Fatal(err)
			}
			if isName(parser.Model.Node, e.args) {
				continue // the command alone is talked about
			}
			if _, err := parser.Parse(longFlags(e.args)); err != nil {
				t.Errorf("%s:%d: meridian %s: %v", file, e.line, strings.Join(e.args, " "), err)
			}
		}
	}
	if examples < 20 {
		t.Errorf("%d examples found, want at least the 20 of the README", examples)
	}
}

// isName reports whether the words lead to a command and say no more.
func isName(n *kong.Node, args []string) bool {
	if len(args) == 0 {
		return true
	}
	i := slices.IndexFunc(n.Children, func(child *kong.Node) bool { return child.Name == args[0] })
	return i >= 0 && isName(n.Children[i], args[1:])
}

// An example is the arguments of a command in a document.
type example struct {
	line int
	args []string
}

// examplesOf finds commands: lines of code blocks, and code within prose, that begin with the program's name.
func examplesOf(t *testing.T, file string) []example {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var examples []example
	add := func(line int, code string) {
		if args, ok := command(code); ok {
			examples = append(examples, example{line, args})
		}
	}
	prose, block := "", false
	for i, line := range strings.Split(string(text), "\n") {
		switch fence := strings.HasPrefix(line, "```"); {
		case fence:
			block = !block
		case block:
			add(i+1, line)
		default:
			prose += line
		}
		prose += "\n"
	}
	line := 1
	for i, piece := range strings.Split(prose, "`") {
		if i%2 == 1 {
			add(line, strings.ReplaceAll(piece, "\n", " "))
		}
		line += strings.Count(piece, "\n")
	}
	return examples
}

// command returns the arguments of a call of the program in a line of shell.
func command(line string) ([]string, bool) {
	line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
	for _, program := range []string{"meridian ", "go run ./cmd/meridian ", "go run ./cmd/meridian@latest "} {
		if rest, ok := strings.CutPrefix(line, program); ok {
			return words(rest), true
		}
	}
	return nil, false
}

// words splits a line as a shell does, as far as the documents need it: quotes, and an end at a comment, a pipe or a list.
func words(line string) []string {
	var args []string
	var word strings.Builder
	quote, inside := rune(0), false
	end := func() {
		if inside {
			args = append(args, word.String())
		}
		word.Reset()
		inside = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inside = r, true
		case r == ' ':
			end()
		case !inside && strings.ContainsRune("#|&;>", r):
			return args
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	end()
	return args
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
	}{
		{"demo    # three regions", []string{"demo"}},
		{"control set api off --reason 'try it'  # refused", []string{"control", "set", "api", "off", "--reason", "try it"}},
		{`explain "" | less`, []string{"explain", ""}},
		{"status && echo well", []string{"status"}},
	} {
		if got := words(tt.line); !slices.Equal(got, tt.want) {
			t.Errorf("words(%q) = %q, want %q", tt.line, got, tt.want)
		}
	}
	if got := fmt.Sprint(command("go run ./cmd/meridian demo")); got != "[demo] true" {
		t.Errorf("command = %s, want [demo] true", got)
	}
}

// A metric that a document speaks of is one of docs/metrics.md, which a test of package host keeps true.
func TestMetricsInDocuments(t *testing.T) {
	table, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bmeridian_[a-z0-9_]+`).FindAllString(string(text), -1) {
			named++
			if !strings.Contains(string(table), "`"+name+"`") {
				t.Errorf("%s: no metric %s (docs/metrics.md has all)", file, name)
			}
		}
	}
	if named == 0 {
		t.Error("no metric found in any document")
	}
}

// The explanation in docs/operation.md is the one that a scenario of the simulator shows.
func TestReplayInDocuments(t *testing.T) {
	document, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	scenario, err := os.ReadFile("../internal/sim/testdata/scenarios/replay.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(scenario), "explain us-east api.shop.example A from 5.1.2.3 at 3h12m\n")
	want := "$ meridian explain api.shop.example --client 5.1.2.3 --at 03:12\n"
	for line := range strings.Lines(rest) {
		shown, ok := strings.CutPrefix(line, "| ")
		if !ok {
			break
		}
		want += shown
	}
	if strings.Count(want, "\n") < 10 || !strings.Contains(string(document), "```\n"+want+"```\n") {
		t.Errorf("docs/operation.md lacks the example\n%s", want)
	}
}

// The world, the zone file and the keys of docs/transfers.md belong together: a node with them is good.
func TestTransfersDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/transfers.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const tsig = "/etc/meridian/tsig/"
	document := strings.ReplaceAll(string(text), tsig, dir+"/")
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range regexp.MustCompile(`(?m)^meridian tsig (\S+) > (\S+)$`).FindAllStringSubmatch(document, -1) {
		key, err := transfer.NewKey(made[1], "hmac-sha256")
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Base(made[2]), key.Declaration())
	}
	var node string
	for _, block := range regexp.MustCompile("(?s)```(?:yaml)?\n(.*?)```").FindAllStringSubmatch(document, -1) {
		switch body := block[1]; {
		case strings.HasPrefix(body, "dns:"):
			node = body
		case strings.HasPrefix(body, "regions:"):
			write("world/world.yaml", body)
		case strings.HasPrefix(body, "$TTL"):
			write("world/shop.example.zone", body)
		}
	}
	if err := keys.Init(filepath.Join(dir, "keys"), "example"); err != nil {
		t.Fatal(err)
	}
	id := pki.Identity{Name: "ns1", Region: "eu-west", Roles: health.RoleDNS}
	if err := keys.Issue(filepath.Join(dir, "keys"), id, time.Hour); err != nil {
		t.Fatal(err)
	}
	cfg, err := nodefile.Parse(filepath.Join(dir, "node.yaml"), []byte(`{name: ns1, region: eu-west, roles: [dns], world: world, data: data,
listen: {dns: ["127.0.0.1:53"], gossip: "127.0.0.1:7946"},
keys: {gossip: keys/gossip.key, certificate: keys/ns1.crt, key: keys/ns1.key, ca: keys/ca.crt},
`+strings.Replace(node, "dns:\n  tsig_keys: ", "dns: {tsig_keys: ", 1)+"}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	plan, wrong := host.Check(*cfg)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for _, w := range plan.World.Warnings {
		t.Errorf("warning: %v", w)
	}
}
