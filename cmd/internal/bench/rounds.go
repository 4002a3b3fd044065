//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/dns/freeport"
)

const (
	serverCPU    = 0
	generatorCPU = 1
	warm         = 100 * time.Millisecond // before each measured time
	slice        = 300 * time.Millisecond // that a server is loaded at a stretch
)

var (
	client1 = netip.MustParseAddr("127.0.0.1")
	client2 = netip.MustParseAddr("127.0.0.2") // who floods
)

// A bench runs loads and keeps what it measured.
type bench struct {
	program string // Meridian's
	before  string // an earlier Meridian; empty: none
	self    string // this program, for the floor
	dir     string // for everything, removed at the end
	rounds  int
	seconds time.Duration // at full load, for each server and round
	only    []string      // servers to compare with; empty: all
	endpoints
	cable  *cable // nil: the loopback interface
	city   string
	absent []string // peers that are not installed
	failed []string // what did not run
}

// A figure is what one round says of a server.
type figure struct {
	name      string
	perMega   usage   // of a million answered queries
	ratio     float64 // to the floor of the same round
	qps       float64
	p50, p99  time.Duration // at plainRate
	lost      uint64        // of both loads
	wrong     uint64
	now, peak int // kB
}

// servers returns the names of those that can serve a load, the floor first.
func (b *bench) servers(others []string) []string {
	names := []string{"floor"}
	for _, name := range others {
		if len(b.only) > 0 && !slices.Contains(b.only, name) {
			continue
		}
		if _, ok := program(peers[name].program); ok {
			names = append(names, name)
		} else if !slices.Contains(b.absent, name) {
			b.absent = append(b.absent, name)
		}
	}
	if b.before != "" {
		names = append(names, "before")
	}
	return append(names, "meridian")
}

// prepare makes a server's files in a new directory.
func (b *bench) prepare(name string, w world) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return nil, err
	}
	w.city, w.health = b.city, b.endpoints.address
	switch name {
	case "meridian", "meridian-xdp", "before":
		w.cable, w.xdp = b.cable, name == "meridian-xdp"
		if !w.byCity {
			w.city = "" // the embedded countries
		}
		s, err := meridian(b.program, dir, w)
		if name == "before" && err == nil {
			s.name, s.argv[0] = name, b.before
		}
		return s, err
	case "floor":
		at, err := freeport.Draw()
		at = b.cable.address(at)
		return &server{name: name, dir: dir, argv: []string{"env", "GODEBUG=asyncpreemptoff=1", b.self, "floor", at.String()}, to: at}, err
	}
	return newPeer(name, dir, w)
}

// discard removes a server's files, unless something did not run: then they may say why.
func (b *bench) discard(s *server) {
	if len(b.failed) > 0 {
		return
	}
	if err := os.RemoveAll(s.dir); err != nil {
		b.fail(s.name, err)
	}
}

// fail notes that something did not run.
func (b *bench) fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "bench: %s: %v\n", what, err)
	b.failed = append(b.failed, fmt.Sprintf("%s: %v", what, err))
}

// A contender is a server that runs for a round.
type contender struct {
	name         string
	server       *server
	process      *process
	spent        usage
	full, steady tally
}

// compare runs a load against all servers.
func (b *bench) compare(l *load) *table { return b.compareServers(l, b.servers(l.peers)) }

func (b *bench) compareServers(l *load, names []string) *table {
	figures := make(map[string][]figure)
	for round := range b.rounds {
		for _, f := range b.round(l, names, round) {
			figures[f.name] = append(figures[f.name], f)
			fmt.Fprintf(os.Stderr, "%s %d %-8s %.3f × floor  cpu %.3f s/M (user %.3f)  %.0f q/s  p50 %v p99 %v  lost %d wrong %d\n", l.name, round+1, f.name,
				f.ratio, f.perMega.total.Seconds(), f.perMega.user.Seconds(), f.qps, f.p50, f.p99, f.lost, f.wrong)
		}
	}
	t := &table{head: []string{l.name, "× floor", "CPU s/M", "of it user", "kq/s", "p50 µs", "p99 µs", "lost", "wrong", "MB", "peak MB", "rounds"}}
	for _, name := range names {
		if f := figures[name]; len(f) > 0 {
			t.add(row(name, f)...)
		}
	}
	return t
}

// round starts all servers, and then loads one of them at a time, in slices so short that what else goes on on the
// machine falls on all of them. The others sleep meanwhile.
func (b *bench) round(l *load, names []string, round int) (figures []figure) {
	var contenders []*contender
	defer func() {
		for _, c := range contenders {
			c.process.stop()
			b.discard(c.server)
		}
	}()
	for _, name := range names {
		s, p, err := b.serve(name, world{signed: l.signed, policies: l.policy, byCity: l.form == withSubnet}, l)
		if err != nil {
			b.fail(fmt.Sprintf("%s, round %d", l.name, round+1), err)
			continue
		}
		contenders = append(contenders, &contender{name: name, server: s, process: p})
	}
	seed := rand.Uint64()
	queries := l.draw(seed)
	for range max(1, int(b.seconds/slice)) {
		for _, c := range contenders {
			seed++
			if err := b.slice(c, queries, seed); err != nil {
				b.fail(fmt.Sprintf("%s, round %d", l.name, round+1), err)
			}
		}
	}
	base := time.Duration(0)
	for _, c := range contenders {
		if c.full.answered == 0 {
			b.fail(fmt.Sprintf("%s, round %d", l.name, round+1), fmt.Errorf("%s answered nothing", c.name))
			continue
		}
		f := c.figure()
		if c.name == "floor" {
			base, f.wrong = f.perMega.total, 0 // it answers one thing to everything
		}
		if base > 0 {
			f.ratio = float64(f.perMega.total) / float64(base)
		}
		figures = append(figures, f)
	}
	return figures
}

// slice loads a server fully for a moment, and then as much as it takes to measure latency.
func (b *bench) slice(c *contender, queries []query, seed uint64) error {
	s := stream{from: b.cable.source(), queries: queries}
	full, spent, err := b.load(c.process, run{to: c.server.to, streams: []stream{s}, warm: warm, measure: slice, seed: seed})
	if err != nil {
		return err
	}
	c.full.add(&full[0])
	c.spent = c.spent.plus(spent)
	s.rate = plainRate
	steady, _, err := b.load(c.process, run{to: c.server.to, streams: []stream{s}, warm: warm / 2, measure: slice, seed: seed})
	if err != nil {
		return err
	}
	c.steady.add(&steady[0])
	return nil
}

func (c *contender) figure() figure {
	per := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) / (float64(c.full.answered) / 1e6))
	}
	f := figure{name: c.name, perMega: usage{per(c.spent.total), per(c.spent.user), per(c.spent.system)}, qps: c.full.qps(),
		p50: c.steady.latency.percentile(50), p99: c.steady.latency.percentile(99),
		lost: c.full.lost + c.steady.lost, wrong: c.full.wrong + c.steady.wrong}
	f.now, f.peak = memory(c.process.tree())
	return f
}

func row(name string, figures []figure) []string {
	micro := func(d time.Duration) float64 { return float64(d) / 1000 }
	var lost, wrong uint64
	now, peak := 0, 0
	for _, f := range figures {
		lost, wrong, now, peak = lost+f.lost, wrong+f.wrong, max(now, f.now), max(peak, f.peak)
	}
	return []string{name,
		spread("%.2f", column(figures, func(f figure) float64 { return f.ratio })),
		spread("%.2f", column(figures, func(f figure) float64 { return f.perMega.total.Seconds() })),
		spread("%.2f", column(figures, func(f figure) float64 { return f.perMega.user.Seconds() })),
		spread("%.0f", column(figures, func(f figure) float64 { return f.qps / 1000 })),
		spread("%.0f", column(figures, func(f figure) float64 { return micro(f.p50) })),
		spread("%.0f", column(figures, func(f figure) float64 { return micro(f.p99) })),
		fmt.Sprint(lost), fmt.Sprint(wrong), fmt.Sprint(now / 1024), fmt.Sprint(peak / 1024), fmt.Sprint(len(figures)),
	}
}

// serve makes a server ready for a load, on its processor.
func (b *bench) serve(name string, w world, l *load) (*server, *process, error) {
	s, err := b.prepare(name, w)
	if err != nil {
		return nil, nil, err
	}
	probe := newQuery(l.shares[0].name(rand.New(rand.NewPCG(0, 0)))+"."+apex, typeA, plain, positive)
	if l.signed {
		probe = newQuery("h0."+apex, typeA, withDO, signedPositive)
	}
	b.cable.serve(s)
	p, err := s.start(serverCPU, probe)
	return s, p, err
}

// load runs the generator and returns what the server spent in the measured time.
func (b *bench) load(p *process, r run) (tallies []tally, spent usage, err error) {
	pids := p.tree()
	r.cpu, r.cable = generatorCPU, b.cable
	var before usage
	r.begin = func() { before = usageOf(pids) }
	r.end = func() { spent = usageOf(pids).minus(before) }
	tallies, err = r.do()
	return tallies, spent, err
}

// ready compares how long servers take until they serve zones.
func (b *bench) ready(title string, zones []bigZone) *table {
	t := &table{head: []string{title, "ready s", "MB", "peak MB", "rounds"}}
	for _, name := range b.servers([]string{"gdnsd", "knot", "nsd"})[1:] {
		s, err := b.prepare(name, world{zones: zones})
		if err != nil {
			b.fail(title, err)
			continue
		}
		var all []readiness
		for range min(b.rounds, 3) {
			r, err := measureReady(s, zones, rand.Uint64())
			if err != nil {
				b.fail(title, err)
				break
			}
			all = append(all, r)
		}
		if len(all) > 0 {
			t.add(name, spread("%.1f", column(all, func(r readiness) float64 { return r.seconds })),
				spread("%.0f", column(all, func(r readiness) float64 { return float64(r.now) / 1024 })),
				spread("%.0f", column(all, func(r readiness) float64 { return float64(r.peak) / 1024 })), fmt.Sprint(len(all)))
		}
		b.discard(s)
	}
	return t
}
