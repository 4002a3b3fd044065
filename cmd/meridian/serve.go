package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/meridian-gslb/meridian/cmd/meridian/host"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/zones"
)

type serveCommand struct {
	Config string `help:"The node's file." required:"" placeholder:"NODE.yaml"`
}

// Run serves until it is told to end (SIGINT, SIGTERM); SIGHUP reads the world, the files that clients are placed by and the certificate again.
func (c serveCommand) Run() error {
	text, err := os.ReadFile(c.Config)
	if err != nil {
		return err
	}
	cfg, err := nodefile.Parse(c.Config, text)
	if err != nil {
		return mistakes(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	workers := spareProcessor()
	h, err := host.Start(*cfg, host.Options{Logger: log, UDPWorkers: workers})
	if err != nil {
		return mistakes(err)
	}
	log.Info("serving", "node", cfg.Name, "region", cfg.Region, "dns", cfg.DNS, "api", cfg.API, "version", host.Version())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				h.Reload()
				continue
			}
			log.Info("ending", "signal", s.String())
			return h.Close()
		case err := <-h.Fatal():
			return fmt.Errorf("can't go on: %w", err)
		}
	}
}

// spareProcessor has the scheduler run one goroutine more at once than there are processors. A worker that waits for queries then
// keeps its place: with none to spare, the scheduler looks each 20 µs whether it still waits, takes the place away, and each
// batch begins with getting it back. It returns how many processors there are.
func spareProcessor() int {
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + 1)
	return n
}

// mistakes prints the problems of a configuration one a line, or returns any other error.
func mistakes(err error) error {
	var problems zones.Problems
	if !errors.As(err, &problems) {
		return err
	}
	fmt.Fprintln(os.Stderr, problems)
	return errSaid
}

type checkCommand struct {
	Path         string   `arg:"" help:"A world's directory, or a node's file." placeholder:"CONFIG"`
	Geo          []string `help:"MaxMind-format files that place clients; none: the embedded country database." placeholder:"FILE"`
	GeoOverrides []string `help:"YAML files that place prefixes over what the databases say." placeholder:"FILE"`
}

// Run prints mistakes and warnings; mistakes make it fail.
func (c checkCommand) Run() error {
	info, err := os.Stat(c.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return c.checkNode()
	}
	return c.checkWorld()
}

func (c checkCommand) checkNode() error {
	text, err := os.ReadFile(c.Path)
	if err != nil {
		return err
	}
	cfg, err := nodefile.Parse(c.Path, text)
	if err != nil {
		return mistakes(err)
	}
	cfg.Geo, cfg.GeoOverrides = append(c.Geo, cfg.Geo...), append(c.GeoOverrides, cfg.GeoOverrides...)
	plan, wrong := host.Check(*cfg)
	for _, err := range wrong {
		var problems zones.Problems
		if errors.As(err, &problems) && err.Error() == problems.Error() { // of the world, whose files it names
			fmt.Fprintln(os.Stderr, problems)
			continue
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(os.Stderr, "%s: %s\n", c.Path, line)
		}
	}
	if len(wrong) > 0 {
		return errSaid
	}
	tellWorld(cfg.World, plan)
	fmt.Printf("%s: good: node %s in %s with roles %s\n", c.Path, cfg.Name, cfg.Region, strings.Join(cfg.Roles.Names(), ", "))
	return nil
}

func (c checkCommand) checkWorld() error {
	table, err := readPlaces(c.Geo, c.GeoOverrides)
	if err != nil {
		return mistakes(err)
	}
	plan, err := host.Load(c.Path, table)
	if err != nil {
		return mistakes(err)
	}
	tellWorld(c.Path, plan)
	return nil
}

// readPlaces reads where clients are.
func readPlaces(databases, overrides []string) (*geo.Table, error) {
	places, err := mmdb.Sources{Databases: databases, Overrides: overrides}.Read(nil)
	if err != nil {
		return nil, err
	}
	return places.Table, nil
}

// tellWorld prints the warnings about a good world, and what is in it.
func tellWorld(dir string, plan *zones.Plan) {
	for _, w := range plan.Warnings() {
		fmt.Println("warning:", w)
	}
	w := plan.World
	fmt.Printf("%s: good: %d regions, %d zones, %d pools, %d checks of %d targets\n",
		dir, len(w.Regions), len(w.Zones), len(w.Pools), len(w.Checks), len(plan.Targets))
}
