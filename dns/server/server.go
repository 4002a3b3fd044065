// Package server listens for queries over UDP and TCP, has dns/wire answer them, and counts.
//
// It knows nothing of zones: it takes the snapshot of the moment from a function and hands
// it on. It writes no log line for a query, and takes no lock for one that comes over UDP.
//
// Every answer leaves from the address that was asked. Whatever clients do, connections,
// their buffers and the time that they may take are bounded; over a bound is dropped and
// counted. A bug in the answering costs the query that met it, never the server.
package server

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/zones"
)

// A Config says where to listen and what is allowed there. What is zero takes its default.
type Config struct {
	Listen     []netip.AddrPort       // each for UDP and TCP; port 0: any that is free for both
	Snapshot   func() *zones.Snapshot // the one to answer from, for each batch of queries anew; nil results say SERVFAIL
	UDPWorkers int                    // threads for each address; default GOMAXPROCS
	TCP        TCPLimits
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // default slog.Default()
}

// TCPLimits bound what TCP clients may take.
type TCPLimits struct {
	Connections int           // in all; default 1000
	PerClient   int           // from one IPv4 address or IPv6 /64; default 100
	InFlight    int           // queries of a connection that are answered at once; default 64
	Idle        time.Duration // until the next query is there as a whole; default 10 s
	Write       time.Duration // until the client has taken an answer; default 5 s
}

func (c *Config) withDefaults() Config {
	d := *c
	d.UDPWorkers = cmp.Or(d.UDPWorkers, runtime.GOMAXPROCS(0))
	d.TCP.Connections = cmp.Or(d.TCP.Connections, 1000)
	d.TCP.PerClient = cmp.Or(d.TCP.PerClient, 100)
	d.TCP.InFlight = cmp.Or(d.TCP.InFlight, 64)
	d.TCP.Idle = cmp.Or(d.TCP.Idle, 10*time.Second)
	d.TCP.Write = cmp.Or(d.TCP.Write, 5*time.Second)
	d.Logger = cmp.Or(d.Logger, slog.Default())
	return d
}

// A Server is bound to its addresses from Listen until Close. Its methods may be called from any goroutine.
type Server struct {
	config  Config
	bound   []binding
	ledger  *ledger
	clients clients
	tcp     tcpCounters

	closing  atomic.Bool
	started  sync.Once
	closed   sync.Once
	workers  sync.WaitGroup
	panicked atomic.Int64 // when one was logged last, in Unix seconds
}

// A binding is one address with its sockets.
type binding struct {
	address netip.AddrPort
	tcp     *net.TCPListener
	udp     []*udpWorker
}

// Listen binds all addresses, or none: then the error names the one that could not be had. Queries wait until Serve.
func Listen(config Config) (*Server, error) {
	s := &Server{config: config.withDefaults(), ledger: newLedger()}
	s.clients.init(s.config.TCP)
	s.tcp.counters = s.ledger.open(transportTCP)
	if len(s.config.Listen) == 0 {
		return nil, errors.New("dns: no address to listen on (config key listen.dns)")
	}
	for _, address := range s.config.Listen {
		b, err := s.bind(address)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.bound = append(s.bound, b)
	}
	if s.config.Registerer != nil {
		if err := s.config.Registerer.Register(s); err != nil {
			s.config.Registerer = nil
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Addrs returns the addresses as bound, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	addresses := make([]netip.AddrPort, len(s.bound))
	for i, b := range s.bound {
		addresses[i] = b.address
	}
	return addresses
}

// Serve answers until Close. It is called at most once.
func (s *Server) Serve() {
	s.started.Do(func() {
		for _, b := range s.bound {
			s.workers.Go(func() { s.accept(b.tcp) })
			for _, w := range b.udp {
				s.workers.Go(func() { w.serve(s) })
			}
		}
	})
	s.workers.Wait()
}

// Close stops answering, waits until what was begun is done, and frees the addresses.
func (s *Server) Close() {
	s.closed.Do(func() {
		s.closing.Store(true)
		s.started.Do(func() {}) // too late for Serve
		for _, b := range s.bound {
			b.tcp.Close()
		}
		s.clients.hurry()
		s.workers.Wait()
		for _, b := range s.bound {
			closeUDP(b.udp)
		}
		if s.config.Registerer != nil {
			s.config.Registerer.Unregister(s)
		}
	})
}

// logPanic tells of a bug in the answering, once a minute at most: a query that meets it may come any number of times.
func (s *Server) logPanic(cause any) {
	now, last := time.Now().Unix(), s.panicked.Load()
	if now-last >= 60 && s.panicked.CompareAndSwap(last, now) {
		s.config.Logger.Error("panic while answering", "err", cause, "stack", string(debug.Stack()))
	}
}
