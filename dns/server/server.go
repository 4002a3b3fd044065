// Package server listens for queries over UDP, TCP, TLS, HTTPS and QUIC, has dns/wire answer them, and counts.
//
// It knows nothing of zones: it takes the snapshot of the moment from a function and hands
// it on. It writes no log line for a query, and takes no lock for one for a name that comes
// over UDP.
//
// Every answer leaves from the address that was asked. Whatever clients do, connections,
// their buffers and the time that they may take are bounded; over a bound is dropped and
// counted. A bug in the answering costs the query that met it, never the server.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
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

	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// A Config says where to listen and what is allowed there. What is zero takes its default. Port 0 is any that is free.
type Config struct {
	Listen []netip.AddrPort // each for UDP and TCP
	TLS    []netip.AddrPort // DNS over TLS (RFC 7858)
	HTTPS  []netip.AddrPort // DNS over HTTPS (RFC 8484): HTTP/2 and HTTP/1.1 at the path /dns-query
	QUIC   []netip.AddrPort // DNS over QUIC (RFC 9250), UDP
	XDP    []string         // interfaces, on Linux, whose plain queries over UDP to the addresses of Listen are taken below the sockets

	// Certificate gives the certificate for a handshake of TLS, HTTPS or QUIC, which need it. It is called from any
	// goroutine and must not wait.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	Snapshot func() *zones.Snapshot // the one to answer from, for each batch of queries anew; nil results say SERVFAIL

	// Maintain is asked first for what is about zones rather than names: NOTIFY and UPDATE, AXFR (not over UDP), IXFR and
	// signed queries for an SOA record, but none of them over HTTPS. It runs on a goroutine of its own, so it may take its time and send any number of messages; ctx
	// ends when the server closes, and it has to return then. False, before anything was sent, leaves the request to
	// dns/wire. One for which Limits has no room is answered SERVFAIL, over UDP not at all. Nil: all are left to dns/wire.
	Maintain func(ctx context.Context, r Request) (handled bool)

	Signing    Signing
	UDPWorkers int // threads for each address; default GOMAXPROCS
	Limits     Limits

	Identity  wire.Identity // what it says of itself; its Cookies are made from CookieKey
	CookieKey []byte        // the cluster's, of 32 bytes; nil: no cookies
	BadCookie bool          // under load, who knows of cookies must show a good one; see limiter.loaded
	RRL       RateLimit
	Recorder  func() Recorder // one more, for a worker; nil: none

	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // default slog.Default()
}

// A Recorder is shown every query with its answer, which is empty if there was none, and copies what it keeps. It must
// neither wait nor allocate. One goroutine at a time uses it. protocol is a transport's name.
type Recorder interface {
	Record(protocol string, from, to netip.AddrPort, at time.Time, query, answer []byte)
}

// Limits bound what clients may take. Connections are those of TCP, TLS, HTTPS and QUIC together.
type Limits struct {
	Connections int           // in all; default 1000. When there are as many, the one that has been idle longest gives way to a new one
	PerClient   int           // of them from one IPv4 address or IPv6 /64; default 100
	PerNetwork  int           // of them from one IPv4 /24 or IPv6 /56; default 250
	InFlight    int           // queries of a connection that are answered at once; default 64
	Handshake   time.Duration // until TLS or QUIC is set up; default 5 s
	Idle        time.Duration // until the next query is there as a whole, while less than 80 % of Connections are open; default 10 s
	IdleFull    time.Duration // the same when all are open; between the two it shrinks evenly; default 2 s, at most Idle
	Write       time.Duration // until the client has taken an answer; default 5 s

	Maintain          int // requests that Config.Maintain has at once; default 16
	MaintainPerClient int // of them from one IPv4 address or IPv6 /64; default 4
}

func (c *Config) withDefaults() Config {
	d := *c
	l := &d.Limits
	d.UDPWorkers = cmp.Or(d.UDPWorkers, runtime.GOMAXPROCS(0))
	l.Connections = cmp.Or(l.Connections, 1000)
	l.PerClient = cmp.Or(l.PerClient, 100)
	l.PerNetwork = cmp.Or(l.PerNetwork, 250)
	l.InFlight = cmp.Or(l.InFlight, 64)
	l.Handshake = cmp.Or(l.Handshake, 5*time.Second)
	l.Idle = cmp.Or(l.Idle, 10*time.Second)
	l.IdleFull = min(cmp.Or(l.IdleFull, 2*time.Second), l.Idle)
	l.Write = cmp.Or(l.Write, 5*time.Second)
	l.Maintain = cmp.Or(l.Maintain, 16)
	l.MaintainPerClient = cmp.Or(l.MaintainPerClient, 4)
	d.Signing.Rate = cmp.Or(d.Signing.Rate, 4000)
	d.Signing.PerNetwork = cmp.Or(d.Signing.PerNetwork, 500)
	d.RRL.Mode = cmp.Or(d.RRL.Mode, RateLog)
	if d.RRL.Limits.Rate == 0 {
		d.RRL.Limits = rrl.Default()
	}
	d.Logger = cmp.Or(d.Logger, slog.Default())
	return d
}

// A Server is bound to its addresses from Listen until Close. Its methods may be called from any goroutine.
type Server struct {
	config   Config
	began    time.Time
	identity atomic.Pointer[wire.Identity]
	bound    []binding
	xdp      []*xdpListener
	tls      []*net.TCPListener
	https    []*net.TCPListener
	web      *web
	quic     []*quicListener
	ledger   *ledger
	shared   [len(transportNames)]sharedCounters
	failures handshakeFailures
	dot      *tls.Config
	attempts atomic.Int64 // QUIC connections whose handshake is not done
	clients  clients
	maintain slots
	unsigned chan later // over UDP, whose signatures are missing
	budget   budget     // of signatures
	recorder *streamRecorder
	reporter reporter

	ending   context.Context // ends when Close begins
	end      context.CancelFunc
	closing  atomic.Bool
	started  sync.Once
	closed   sync.Once
	workers  sync.WaitGroup // goroutines and connections
	panicked atomic.Int64   // when one was logged last, in Unix seconds
}

// A binding is one address with its sockets.
type binding struct {
	address netip.AddrPort
	tcp     *net.TCPListener
	udp     []*udpWorker
}

// Listen binds all addresses, or none: then the error names the one that could not be had. Queries wait until Serve.
func Listen(config Config) (*Server, error) {
	s := newServer(config)
	if err := s.bindAll(); err != nil {
		s.Close()
		return nil, err
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

// newServer makes a server without sockets.
func newServer(config Config) *Server {
	s := &Server{config: config.withDefaults(), began: time.Now(), ledger: newLedger()}
	s.identity.Store(&s.config.Identity)
	s.recorder = newStreamRecorder(&s.config)
	s.reporter.log, s.reporter.running = s.config.Logger, &s.workers
	s.ending, s.end = context.WithCancel(context.Background())
	s.unsigned = make(chan later, signQueue)
	s.budget.init(s.config.Signing, s.config.UDPWorkers)
	s.clients.init(s.config.Limits)
	s.maintain.init(s.config.Limits.Maintain, s.config.Limits.MaintainPerClient)
	s.dot = s.tlsConfig("dot")
	s.web = newWeb(s)
	for t := range s.shared {
		s.shared[t].counters = s.ledger.open(transport(t))
	}
	return s
}

// Addrs returns the addresses as bound, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	addresses := make([]netip.AddrPort, len(s.bound))
	for i, b := range s.bound {
		addresses[i] = b.address
	}
	return addresses
}

// EncryptedAddrs returns the addresses of the encrypted transports as bound, in the order of Config.TLS, HTTPS and QUIC.
func (s *Server) EncryptedAddrs() (overTLS, overHTTPS, overQUIC []netip.AddrPort) {
	for _, l := range s.tls {
		overTLS = append(overTLS, l.Addr().(*net.TCPAddr).AddrPort())
	}
	for _, l := range s.https {
		overHTTPS = append(overHTTPS, l.Addr().(*net.TCPAddr).AddrPort())
	}
	for _, l := range s.quic {
		overQUIC = append(overQUIC, l.Addr())
	}
	return overTLS, overHTTPS, overQUIC
}

// Serve answers until Close. It is called at most once.
func (s *Server) Serve() {
	s.started.Do(func() {
		for _, b := range s.bound {
			s.workers.Go(func() { s.accept(b.tcp, transportTCP, s.serveTCP) })
			for _, w := range b.udp {
				s.workers.Go(func() { w.serve(s) })
			}
		}
		for _, l := range s.xdp {
			for _, w := range l.workers {
				s.workers.Go(func() { w.serve(s) })
			}
		}
		if s.config.Signing.Signer != nil {
			for range max(1, s.config.UDPWorkers/2) {
				s.workers.Go(s.signUDP)
			}
		}
		for _, l := range s.tls {
			s.workers.Go(func() { s.accept(l, transportTLS, s.serveTLS) })
		}
		if len(s.https) > 0 {
			s.workers.Go(s.web.serve)
		}
		for _, l := range s.https {
			s.workers.Go(func() { s.accept(l, transportHTTPS, s.serveHTTPS) })
		}
		for _, l := range s.quic {
			s.workers.Go(func() { s.acceptQUIC(l) })
		}
	})
	s.workers.Wait()
}

// Close stops answering, waits until what was begun is done, and frees the addresses. Zone transfers are broken off.
func (s *Server) Close() {
	s.closed.Do(func() {
		for _, l := range s.xdp {
			l.detach() // before its workers end
		}
		s.closing.Store(true)
		s.started.Do(func() {}) // too late for Serve
		s.end()
		for _, b := range s.bound {
			b.tcp.Close()
		}
		closeListeners(s.tls)
		closeListeners(s.https)
		s.clients.hurry()
		s.web.close()
		s.workers.Wait()
		for _, b := range s.bound {
			closeUDP(b.udp)
		}
		for _, l := range s.xdp {
			l.close()
		}
		for _, l := range s.quic {
			l.close()
		}
		if s.config.Registerer != nil {
			s.config.Registerer.Unregister(s)
		}
	})
}

func closeListeners(listeners []*net.TCPListener) {
	for _, l := range listeners {
		l.Close()
	}
}

// logPanic tells of a bug in the answering, once a minute at most: a query that meets it may come any number of times.
func (s *Server) logPanic(cause any) {
	now, last := time.Now().Unix(), s.panicked.Load()
	if now-last >= 60 && s.panicked.CompareAndSwap(last, now) {
		s.config.Logger.Error("panic while answering", "err", cause, "stack", string(debug.Stack()))
	}
}

var (
	errNoAddress     = errors.New("dns: no address to listen on (config key listen.dns)")
	errNoCertificate = errors.New("dns: no certificate for TLS, HTTPS and QUIC (config key tls)")
)
