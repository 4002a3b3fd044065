package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/zones"
)

type docsCommand struct {
	Part string `arg:"" help:"Which reference: world, node, api or cli." enum:"world,node,api,cli"`
}

// Run prints a reference.
func (c docsCommand) Run() error {
	text, err := reference(c.Part)
	if err != nil {
		return err
	}
	_, err = fmt.Print(text)
	return err
}

// reference makes the text of docs/world.md, docs/node.md, docs/api.md or docs/cli.md from the code.
func reference(part string) (string, error) {
	const made = "<!-- Made by `meridian docs %s`; make docs renews it. -->\n\n"
	text := fmt.Sprintf(made, part)
	switch part {
	case "world":
		return text + "# The world: what all nodes share\n\n" + worldIntroduction + zones.Reference(), nil
	case "node":
		return text + "# node.yaml: who a node is\n\n" + nodeIntroduction + nodefile.Reference(), nil
	case "api":
		return text + "# The HTTP API\n\n" + apiIntroduction + dashboard.Reference(), nil
	}
	help, err := cliReference()
	return text + "# The command line\n\n" + help, err
}

const worldIntroduction = `A directory of YAML files and RFC 1035 zone files, the same on every node and best kept in git. The sections of all
` + "`*.yaml`" + ` files in it are taken together. A node reads it at start, when a file changes (within 2 s) and on SIGHUP; YAML with
mistakes is refused as a whole and the world in force stays. A zone file with mistakes is refused alone: its zone stays as it was
(where it never was: SERVFAIL), and all else is taken. ` + "`meridian check DIR`" + ` reports every mistake with its line.
An example is in ` + "`deploy/example/world`" + `.

`

const nodeIntroduction = `Each node has a file of its own. Relative paths in it start at the file's directory. ` + "`deploy/node.yaml`" + ` is
that of a nameserver in production, ` + "`deploy/example`" + ` has those of three nodes on one machine.

`

const apiIntroduction = `Every node serves its dashboard, API and metrics at ` + "`listen.api`" + `, which must be a loopback address. The API checks the
` + "`Host`" + ` of a request, refuses writes from pages of other origins, and takes nothing but JSON. Errors are problem documents
(RFC 9457).

`

// cliReference runs the help of every command.
func cliReference() (string, error) {
	var b strings.Builder
	if err := os.Setenv("COLUMNS", "80"); err != nil { // kong wraps by it, and the text must be the same in every terminal
		return "", err
	}
	parser, err := newParser()
	if err != nil {
		return "", err
	}
	var walk func(n *kong.Node, path []string) error
	walk = func(n *kong.Node, path []string) error {
		help, err := helpOf(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "## meridian %s\n\n```\n%s\n```\n\n", strings.Join(path, " "), help)
		for _, child := range n.Children {
			if err := walk(child, append(path[:len(path):len(path)], child.Name)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, n := range parser.Model.Children {
		if err := walk(n, []string{n.Name}); err != nil {
			return "", err
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

func helpOf(path []string) (string, error) {
	var out bytes.Buffer
	parser, err := kong.New(new(commands), kong.Name("meridian"), kong.Writers(&out, &out), kong.Exit(func(int) {}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return "", err
	}
	parser.Parse(append(path, "--help")) // with --help it prints and gives the error that nothing ran
	return strings.TrimSpace(out.String()), nil
}
