// Package probe runs checks on their schedule and reports results.
//
// It starts the probes of the targets that are assigned to this vantage when health.Pace says so, each in a goroutine and
// on a connection of its own unless its target keeps one, and hands every result to one function. What a probe does is a function in a map,
// by kind: http and https ask for a path and judge head and text, tcp only connects, tls makes a handshake, grpc asks the health
// service, dns asks for a name, icmp wants an echo, exec runs a program.
//
// It never decides that anything is up or down, resolves no name, follows no redirect, decompresses nothing, obeys no proxy setting, sends
// nothing to an address in Config.Deny and runs no program but those in Config.Exec.
//
// At most Config.Slots probes run at once and none longer than its time limit, but for the second that a program has to die in; a probe that finds
// no slot starts late, and is counted.
// What this vantage can't or may not probe is no fault of the target: nothing is observed of it. What bars a target is logged once, and looked at
// again each minute.
// A result is of a target as it is assigned: after Assign took a target away, or Close returned, nothing is started for it.
package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// A Dial opens a connection. It gives up when its context ends.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what a Runner needs. Only Observe has no default.
type Config struct {
	Observe    func(health.Result)   // called from many goroutines; the probe keeps its slot until it returns, so it must not block
	Seed       uint64                // of the jitter; different on every vantage, so that they do not probe in step
	Deny       []netip.Prefix        // addresses never probed, however they are written
	Dial       Dial                  // nil: the network
	Ping       Listen                // nil: the kernel
	Source     [2]netip.Addr         // IPv4, IPv6: where probes come from, but for Dial's; the zero Addr: as the kernel chooses
	Exec       []string              // programs that may be run, absolute paths
	Roots      *x509.CertPool        // nil: the host's
	Slots      int                   // probes at once; 0: 4096
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none

	programs chan struct{}                         // one in it for each that runs
	launch   func(*health.Target) (process, error) // nil: the kernel
}

// DefaultSlots is how many probes run at once.
const DefaultSlots = 4096

// A Runner probes what it is assigned until it is closed. Its methods are safe for concurrent use.
type Runner struct {
	config  Config
	metrics *metrics
	log     *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	assign chan *health.Assignment
	retry  chan []health.CheckID
	ended  chan ended
	probes sync.WaitGroup
	closed chan struct{} // after the last goroutine
}

// ready returns a config with its defaults.
func (c Config) ready() Config {
	if c.Slots <= 0 {
		c.Slots = DefaultSlots
	}
	c.Deny = slices.Clone(c.Deny)
	for i, prefix := range c.Deny {
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			c.Deny[i] = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
	}
	if c.Dial == nil {
		c.Dial = c.dialNetwork
	}
	if c.Ping == nil {
		c.Ping = listenPing
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.launch == nil {
		c.launch = launch
	}
	c.programs = make(chan struct{}, programsAtOnce)
	return c
}

// dialNetwork is the Dial of the network: from the source, and never to what is denied, whatever it was asked for.
func (c Config) dialNetwork(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	if why := c.denies(to.Addr()); why != "" {
		return nil, errors.New(why)
	}
	d := net.Dialer{KeepAlive: -1}
	source := c.Source[0]
	if to.Addr().Unmap().Is6() {
		source = c.Source[1]
	}
	switch from := netip.AddrPortFrom(source, 0); {
	case !source.IsValid():
	case network == "udp":
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	default:
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	return d.DialContext(ctx, network, address)
}

// Start returns a runner that probes nothing yet.
func Start(config Config) *Runner {
	config = config.ready()
	r := &Runner{
		config:  config,
		metrics: newMetrics(config.Registerer),
		log:     config.Logger,
		assign:  make(chan *health.Assignment),
		retry:   make(chan []health.CheckID),
		ended:   make(chan ended),
		closed:  make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	go r.run()
	return r
}

// Assign replaces what is probed; nil changes nothing. A target whose ID and digest are as before keeps its schedule and its probes in
// flight; the probes of the others are broken off and their results dropped. The assignment is kept and not to be written.
func (r *Runner) Assign(a *health.Assignment) {
	if a == nil {
		return
	}
	select {
	case r.assign <- a:
	case <-r.ctx.Done():
	}
}

// Retry has those of some targets probed at once that failed when they were probed last, and in a hurry anew: whatever kept them from being
// reached may be over. What is not assigned is passed over.
func (r *Runner) Retry(checks []health.CheckID) {
	select {
	case r.retry <- checks:
	case <-r.ctx.Done():
	}
}

// Close breaks all probes off and returns when none is left. No result is observed after it. A program that can't be killed is left behind.
func (r *Runner) Close() {
	r.cancel()
	<-r.closed
}

// together is how long a probe may wait for others, so that a vantage of many targets wakes up for many at once: with 10,000 targets each 10 s a
// probe takes three quarters of the processor time that it takes with a wake-up of its own.
const together = 20 * time.Millisecond

// run is the goroutine that owns the schedule.
func (r *Runner) run() {
	defer close(r.closed)
	defer r.metrics.unregister()
	s := schedule{runner: r, entries: map[health.CheckID]*entry{}}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var wake <-chan time.Time
		if next, ok := s.startDue(time.Now()); ok {
			timer.Reset(max(time.Until(next), together))
			wake = timer.C
		}
		select {
		case <-wake:
		case a := <-r.assign:
			s.assign(a, time.Now())
		case checks := <-r.retry:
			s.retry(checks, time.Now())
		case e := <-r.ended:
			s.end(e, time.Now())
		case <-r.ctx.Done():
			r.probes.Wait()
			return
		}
	}
}
