// Package gateway is the regional HTTP gateway: it proxies requests and samples the round-trip time to clients.
//
// It never answers for a host that no route names, never sends a request to a second upstream
// once the first may have acted on it (idempotent requests without a body aside), tunnels
// nothing but WebSocket, and believes no client about who it is. It terminates no TLS: a
// listener may. What an upstream gets is made from parsed parts, never from bytes copied.
//
// A request is matched by the path it is forwarded with. Every wait has a limit, and every
// table a bound: full means refuse or drop, and count. Routes change as a whole, under way
// requests keep those they began with. /healthz on any host is the gateway's own, and no limit
// of requests keeps it from being answered.
//
// The front engine is net/http's server, HTTP/1.1 only. Of what it does by itself: a request
// with Content-Length and Transfer-Encoding is read as chunked and goes on so, without the
// length; unequal lengths, and a missing or second Host, are a 400; a head over the limit is
// a 431, both in plain text; the Host field of a request in absolute form is ignored for the
// authority of its target; a bare LF may end a line of a head but not of a chunk; OPTIONS *
// is answered with an empty 200. Interim responses other than 101 end at the gateway.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/gateway/balance"
	"github.com/meridian-gslb/meridian/gateway/route"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

// pseudonyms of gateways, in CDN-Loop and Via, begin so.
const pseudonym = "meridian-"

// Config says where a gateway stands. The zero value of a field that is not required is its default.
type Config struct {
	Name       string                               // of the node, letters, digits, . _ -; required
	Region     geo.RegionID                         // required
	Listeners  []net.Listener                       // bound; at least one; the gateway closes them
	Order      func() []geo.RegionID                // regions, nearest first; nil: by id
	Samples    func([]Sample)                       // takes the round-trip times of each 10 s, ordered by prefix; nil: none are taken
	Request    func(host string, client netip.Addr) // told of every request but those that a trusted gateway was told of, by many goroutines at once; nil: nobody
	Trusted    []netip.Prefix                       // peers whose forwarded fields and request ids count; nil: none
	Limits     Limits
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none

	dial func(ctx context.Context, network, address string) (net.Conn, error) // tests
}

// Limits bound what a gateway holds and waits for. 0 means the default.
//
// One client is an IPv4 address or an IPv6 /64. Trusted peers, and those of a listener that is no socket, are not
// counted as one: a balancer or a gateway that many clients come through belongs into Trusted.
type Limits struct {
	Requests          int           // at once, tunnels included; 10,000; over it 503
	Connections       int           // of clients at once; 20,000; over it closed
	ClientRequests    int           // of one client, as Requests; 500; over it 503
	ClientConnections int           // of one client, as Connections; 1,000; over it closed
	HeadBytes         int           // of a request or a response; 64 KiB
	Tries             int           // endpoints per request; 8
	Prefixes          int           // with round-trip times per 10 s; 10,000
	ReadHead          time.Duration // 10 s
	KeepAlive         time.Duration // between requests of a connection; 60 s
	Connect           time.Duration // to an endpoint; 1 s
	ResponseHead      time.Duration // after the request is written; 30 s
	Idle              time.Duration // no byte of a body moved; 60 s
	BodyKiB           time.Duration // waited for a KiB of a request's body, twice that for the first; 10 s; over it 408
	TunnelIdle        time.Duration // no byte moved either way; 10 min
	SampleInterval    time.Duration // 10 s
}

func (l Limits) withDefaults() Limits {
	ints := []struct {
		at  *int
		def int
	}{{&l.Requests, 10_000}, {&l.Connections, 20_000}, {&l.ClientRequests, 500}, {&l.ClientConnections, 1_000},
		{&l.HeadBytes, 64 << 10}, {&l.Tries, 8}, {&l.Prefixes, 10_000}}
	for _, i := range ints {
		if *i.at == 0 {
			*i.at = i.def
		}
	}
	waits := []struct {
		at  *time.Duration
		def time.Duration
	}{
		{&l.ReadHead, 10 * time.Second}, {&l.KeepAlive, 60 * time.Second}, {&l.Connect, time.Second},
		{&l.ResponseHead, 30 * time.Second}, {&l.Idle, 60 * time.Second}, {&l.BodyKiB, 10 * time.Second},
		{&l.TunnelIdle, 10 * time.Minute}, {&l.SampleInterval, 10 * time.Second},
	}
	for _, w := range waits {
		if *w.at == 0 {
			*w.at = w.def
		}
	}
	return l
}

// A Gateway is running from Start to Shutdown. Its methods are safe for concurrent use.
type Gateway struct {
	cfg      Config
	name     string // pseudonym
	limits   Limits
	log      *slog.Logger
	metrics  *metrics
	upstream *upstream
	server   *http.Server
	tunnels  tunnels
	samples  *digests // nil: none are taken

	clientConnections *tally
	clientRequests    *tally

	routes   atomic.Pointer[routes]
	setting  sync.Mutex // one SetRoutes at a time
	draining atomic.Bool
	closed   atomic.Bool // shut down, or a listener was lost
	requests atomic.Int64

	abort    context.CancelFunc // cuts what is under way
	stop     context.CancelFunc // ends the gateway's own goroutines
	workers  sync.WaitGroup
	shutdown sync.Once
	err      error // of the shutdown
}

// routes are one configuration as requests see it. Immutable but for the services' balance.
type routes struct {
	table    *route.Table
	services map[string]*service
}

// A service is shared by all configurations that have one of its name.
type service struct {
	name string
	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	up   balance.Upstreams
}

// Start serves g on the listeners until Shutdown.
func Start(cfg Config, g zones.Gateway) (*Gateway, error) {
	if cfg.Name == "" || strings.Trim(cfg.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return nil, fmt.Errorf("gateway: name %q: want letters, digits, . _ -", cfg.Name)
	}
	if cfg.Region == "" || len(cfg.Listeners) == 0 {
		return nil, fmt.Errorf("gateway: %s: needs a region and a listener", cfg.Name)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	gw := &Gateway{cfg: cfg, name: pseudonym + cfg.Name, limits: cfg.Limits.withDefaults(), log: cfg.Logger, metrics: m}
	gw.routes.Store(&routes{table: &route.Table{}})
	if err := gw.SetRoutes(g); err != nil {
		m.unregister()
		return nil, err
	}
	gw.upstream = newUpstream(gw.limits, cfg.dial)
	gw.clientConnections, gw.clientRequests = newTally(gw.limits.ClientConnections), newTally(gw.limits.ClientRequests)
	base, abort := context.WithCancel(context.Background())
	own, stop := context.WithCancel(context.Background())
	gw.abort, gw.stop = abort, stop
	if cfg.Samples != nil {
		gw.samples = newDigests(gw.limits.Prefixes)
		gw.workers.Go(func() { gw.handOut(own) })
	}
	gw.server = newServer(gw, base)
	for _, l := range cfg.Listeners {
		gw.workers.Go(func() {
			if err := gw.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				gw.closed.Store(true)
				gw.log.Error("gateway listener lost", "address", l.Addr().String(), "err", err)
			}
		})
	}
	return gw, nil
}

// SetRoutes replaces services and routes as a whole. On an error those of before stay.
func (g *Gateway) SetRoutes(z zones.Gateway) error {
	table, err := route.New(z)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.setting.Lock()
	defer g.setting.Unlock()
	old := g.routes.Load()
	next := &routes{table: table, services: make(map[string]*service, len(z.Services))}
	for _, s := range z.Services {
		svc := old.services[s.Name]
		if svc == nil {
			svc = &service{name: s.Name, rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
		}
		svc.mu.Lock()
		svc.up.Update(s.Upstreams)
		svc.mu.Unlock()
		next.services[s.Name] = svc
	}
	g.routes.Store(next)
	return nil
}

// Ready reports whether clients should be sent here: listening, not draining, and with something to serve.
func (g *Gateway) Ready() bool {
	return !g.draining.Load() && !g.closed.Load() && g.routes.Load().table.Len() > 0
}

// Drain says at /healthz that clients should go elsewhere, or no longer so. Requests are served all the same.
func (g *Gateway) Drain(on bool) {
	if g.draining.Swap(on) != on {
		g.log.Info("gateway drain", "region", g.cfg.Region, "on", on)
	}
}

// Shutdown stops accepting, closes tunnels and idle connections, and waits for the requests under way,
// which it cuts when ctx ends. It hands out the last samples. Later calls return what the first did.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.shutdown.Do(func() {
		g.closed.Store(true)
		g.tunnels.close()
		if g.err = g.server.Shutdown(ctx); g.err != nil {
			g.abort()
			g.server.Close()
		}
		g.tunnels.wait()
		g.abort()
		g.stop()
		g.workers.Wait()
		g.upstream.close()
		g.metrics.unregister()
	})
	return g.err
}

func (g *Gateway) trusted(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	return slices.ContainsFunc(g.cfg.Trusted, func(p netip.Prefix) bool { return p.Contains(peer) })
}
