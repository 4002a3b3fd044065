//go:build linux

// Bench compares what an answer costs Meridian and other nameservers, and prints Markdown tables.
//
// The yardstick is a ratio, because machines are noisy and differ: processor time of the server (user and system) for a
// million answered queries, divided by that of a loop that only takes packets and sends them back, the floor, in the same
// round. Servers run on processor 0, one after the other in each round; the generator runs on processor 1. Ports, the
// order of queries and the clients' networks are drawn anew for each round. Every answer is looked at.
//
// It never decides whether a figure is good; it fails only if something did not run.
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "floor" {
		address, err := netip.ParseAddrPort(os.Args[2])
		if err == nil {
			err = floor(address)
		}
		exit(err)
	}
	exit(compareAll())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// specials are the loads that are no comparison of costs.
var specials = []string{"flood", "events", "records", "zones", "xdp"}

const defaultLoads = "mix,geo,weighted,failover,signed,signed-nodata,signed-denials,flood,events,records,zones"

func compareAll() error {
	b := &bench{}
	var names, only, writeCity string
	flag.StringVar(&b.program, "meridian", "bin/meridian", "the program under test")
	flag.StringVar(&b.before, "before", "", "another build of it, that has its turn in each round too")
	flag.StringVar(&names, "loads", defaultLoads, "what is measured, of "+strings.Join(append(loadNames(), specials...), ", "))
	flag.StringVar(&only, "peers", "gdnsd,knot,nsd", "which other nameservers are asked, if they are installed")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each server has its turn")
	flag.DurationVar(&b.seconds, "time", 1500*time.Millisecond, "of full load, for each server and round")
	flag.StringVar(&b.city, "city", "", "a city database in MaxMind's format; without one, one is made up")
	flag.StringVar(&writeCity, "write-city", "", "write a made-up city database with as many networks as the largest there are to this file, and measure nothing")
	flag.Parse()
	if writeCity != "" {
		return os.WriteFile(writeCity, cityDatabase(allCities), 0o600)
	}
	b.only = strings.Split(only, ",")
	wanted, err := chosen(names)
	if err != nil {
		return err
	}
	if b.program, err = filepath.Abs(b.program); err != nil {
		return err
	}
	if b.before != "" {
		if b.before, err = filepath.Abs(b.before); err != nil {
			return err
		}
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "meridian-bench-"); err != nil {
		return err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	go func() {
		s := <-interrupted
		stopAll()
		exit(fmt.Errorf("ended by %v, files are in %s", s, b.dir))
	}()
	if b.endpoints, err = openEndpoints(); err != nil {
		return err
	}
	defer b.endpoints.close()
	if err := b.needCity(); err != nil {
		return err
	}
	b.report(wanted)
	if len(b.failed) > 0 {
		return fmt.Errorf("%d did not run, logs are in %s:\n%s", len(b.failed), b.dir, strings.Join(b.failed, "\n"))
	}
	return os.RemoveAll(b.dir)
}

func loadNames() []string {
	var names []string
	for _, l := range loads {
		names = append(names, l.name)
	}
	return names
}

// chosen returns the names of a list.
func chosen(list string) ([]string, error) {
	names := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	known := append(loadNames(), specials...)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown load %q (have %s)", name, strings.Join(known, ", "))
		}
	}
	return names, nil
}

// needCity makes a city database up unless one was named.
func (b *bench) needCity() (err error) {
	if b.city != "" {
		b.city, err = filepath.Abs(b.city)
		return err
	}
	b.city = filepath.Join(b.dir, "city.mmdb")
	return os.WriteFile(b.city, cityDatabase(someCities), 0o600)
}

// report measures and prints.
func (b *bench) report(wanted []string) {
	fmt.Printf("%s, %d processors, Go %s, %d rounds. Median (least–most).\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(),
		strings.TrimPrefix(runtime.Version(), "go"), b.rounds)
	for _, name := range wanted {
		var t *table
		switch i := slices.Index(loadNames(), name); {
		case i >= 0:
			t = b.compare(&loads[i])
		case name == "flood":
			t = b.flooded()
		case name == "events":
			t = b.disturb()
		case name == "xdp":
			t = b.overCable()
		case name == "records":
			t = b.ready("1 million records in a zone", oneBigZone(1_000_000))
		case name == "zones":
			t = b.ready("100,000 zones", manyZones(100_000))
		}
		fmt.Printf("\n%s", t)
	}
	if len(b.absent) > 0 {
		fmt.Printf("\nNot installed, so not compared (make bench-deps): %s.\n", strings.Join(b.absent, ", "))
	}
}
