package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/bind"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/gdnsd"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/route53"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/zones"
)

type docsCommand struct {
	Part string `arg:"" help:"Which reference: world, node, api, cli or import, as Markdown; or schema, as JSON Schema." enum:"world,node,api,cli,import,schema"`
	Of   string `arg:"" optional:"" help:"With schema, of which files: world, for the YAML files of a world, or node." enum:",world,node" default:""`
}

// Run prints a reference.
func (c docsCommand) Run() error {
	var text string
	var err error
	switch {
	case c.Part == "schema" && c.Of != "":
		text = schema(c.Of)
	case c.Part == "schema":
		err = errors.New("docs schema: of which files? (have node, world)")
	case c.Of != "":
		err = fmt.Errorf("docs %s: unexpected argument %s (only schema takes one)", c.Part, c.Of)
	default:
		text, err = reference(c.Part)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Print(text)
	return err
}

// schema makes the text of deploy/schema/world.schema.json or node.schema.json.
func schema(of string) string {
	if of == "world" {
		return zones.Schema()
	}
	return nodefile.Schema()
}

// reference makes the text of docs/world.md, docs/node.md, docs/api.md, docs/cli.md or docs/import.md from the code.
func reference(part string) (string, error) {
	const made = "<!-- Made by `meridian docs %s`; make docs renews it. -->\n\n"
	text := fmt.Sprintf(made, part)
	switch part {
	case "world":
		return text + "# The world: what all nodes share\n\n" + worldIntroduction + zones.Reference(), nil
	case "node":
		return text + "# node.yaml: who a node is\n\n" + nodeIntroduction + nodefile.Reference(), nil
	case "import":
		return text + strings.NewReplacer("{{route53}}\n", importer.Table(route53.Features), "{{gdnsd}}\n", importer.Table(gdnsd.Features), "{{bind}}\n", importer.Table(bind.Features)).Replace(importer.Guide), nil
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

` + inAnEditor + `A line at the head of a file, with the path from that file to the schema, is enough:

` + "```yaml" + `
# yaml-language-server: $schema=../schema/world.schema.json
` + "```" + `

So is a setting of VS Code, with paths from the folder that is open:

` + "```json" + `
{"yaml.schemas": {"./schema/world.schema.json": "/world/*.yaml", "./schema/node.schema.json": "/node.yaml"}}
` + "```" + `

Other editors give ` + "`yaml-language-server`" + ` the same setting, or read the same line.

`

const inAnEditor = `**In an editor** that speaks JSON Schema, such as VS Code with Red Hat's extension YAML, keys are completed, explained and checked
while they are written. The schemas are in ` + "`deploy/schema`" + `; ` + "`meridian docs schema world`" + ` and ` + "`meridian docs schema node`" + ` print those of
the program at hand. A schema takes all that ` + "`meridian check`" + ` takes, and leaves to it what it can't see: names that are not
defined, keys that do not go together, the length of a duration.
`

const nodeIntroduction = `Each node has a file of its own. Relative paths in it start at the file's directory. ` + "`deploy/node.yaml`" + ` is
that of a nameserver in production, ` + "`deploy/example`" + ` has those of three nodes on one machine.

` + inAnEditor + `[The world](world.md) says how an editor is told of one.

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
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), helpWords)
	if err != nil {
		return "", err
	}
	parser.Parse(append(path, "--help")) // with --help it prints and gives the error that nothing ran
	return strings.TrimSpace(out.String()), nil
}
