// Command meridian is the nameserver, probe, gateway and control node, and the tool to work with them.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/zones/whatif"
)

// commands are the verbs of the command line; docs/cli.md is made from them.
type commands struct {
	Demo      demoCommand      `cmd:"" help:"Run three regions on this machine: nameservers, probes, gateways, voters, dashboard."`
	Serve     serveCommand     `cmd:"" help:"Run the node that a file describes."`
	Check     checkCommand     `cmd:"" help:"Read a world's directory or a node's file and report every mistake."`
	Plan      planCommand      `cmd:"" help:"Say what a change of the world would do, and which clients would go where."`
	Explain   explainCommand   `cmd:"" help:"Say what a name is answered with, and why."`
	Why       whyCommand       `cmd:"" help:"Say why an endpoint or a check was up or down at a time."`
	Journal   journalCommand   `cmd:"" help:"List what happened: the journal of a node."`
	Status    statusCommand    `cmd:"" help:"Show what a node sees: checks, peers, what is wrong."`
	Control   controlCommand   `cmd:"" help:"Show and switch routing controls."`
	Endpoint  endpointCommand  `cmd:"" help:"Show endpoints, and set by hand what they count as."`
	Pool      poolCommand      `cmd:"" help:"Resume members of pools with failback by hand."`
	Freeze    freezeCommand    `cmd:"" help:"Stop all automatic change of what is answered, or let it go on."`
	Release   releaseCommand   `cmd:"" help:"End the hold of a mass change: what went down is obeyed."`
	Challenge challengeCommand `cmd:"" help:"Show, set and clear ACME challenges."`
	CA        caCommand        `cmd:"" name:"ca" help:"Make the keys and certificates of a cluster."`
	Keyring   keyringCommand   `cmd:"" help:"Show and change the keys of the mesh, without a cut."`
	Key       keyCommand       `cmd:"" help:"Make, list and roll the DNSSEC keys of zones."`
	TSIG      tsigCommand      `cmd:"" name:"tsig" help:"Make a key for transfers and updates, and print it to standard output as a file for both ends: keep that at mode 0600 (umask 077)."`
	Import    importCommand    `cmd:"" help:"Make a world of the configuration of another nameserver."`
	Docs      docsCommand      `cmd:"" help:"Write the reference of configuration, API or command line as Markdown, or a JSON Schema of the configuration."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// An endpoint is where the commands that ask a running node find it.
type endpoint struct {
	Endpoint string `help:"Address of a node's API." default:"http://127.0.0.1:8053" env:"MERIDIAN_ENDPOINT" placeholder:"URL"`
}

func main() {
	parser, err := newParser()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	context, err := parser.Parse(longFlags(os.Args[1:]))
	if err != nil {
		fmt.Fprintf(os.Stderr, "meridian: %v\n", err)
		os.Exit(2)
	}
	if err := context.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintf(os.Stderr, "meridian: %v\n", err)
		}
		os.Exit(1)
	}
}

// errSaid is returned where the mistakes have been printed already.
var errSaid = errors.New("mistakes")

func newParser() (*kong.Kong, error) {
	return kong.New(new(commands), kong.Name("meridian"), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Global DNS and GSLB health routing."), helpWords)
}

// helpWords are what help texts take from other packages.
var helpWords = kong.Vars{"whatif": whatif.Usage}

// longFlags lets long flags be written with one dash, as Go's own tools do: -config is --config. A dash and a digit begin a flag's value:
// --at -15m is --at=-15m.
func longFlags(args []string) []string {
	long := make([]string, 0, len(args))
	for i, a := range args {
		if a == "--" {
			return append(long, args[i:]...)
		}
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && strings.ToLower(a[1:2]) != strings.ToUpper(a[1:2]) {
			a = "-" + a
		}
		if n := len(long); n > 0 && len(a) > 1 && a[0] == '-' && '0' <= a[1] && a[1] <= '9' && strings.HasPrefix(long[n-1], "--") && !strings.Contains(long[n-1], "=") {
			long[n-1] += "=" + a
			continue
		}
		long = append(long, a)
	}
	return long
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run() error {
	_, err := fmt.Println("meridian", host.Version())
	return err
}
