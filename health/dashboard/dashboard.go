// Package dashboard shows what every vantage believes and why: the HTTP API and the web page.
//
// It decides nothing about health or answers. It reads one node's immutable values through a
// Source, puts them into words and JSON, streams them to browsers as they change, and hands
// commands on routing controls to the voters.
//
// Always holds: a page of another origin can neither change nor read anything, whatever name
// resolves to this address; the safety rules are the voters' to judge, so nothing here lets a
// command past them; every list, body, stream and wait has a limit.
package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// The limits of the server.
const (
	maxConnections = 400
	maxStreams     = 100
	maxBodyBytes   = 64 << 10
	maxHeadBytes   = 16 << 10
	maxEvents      = 1000 // in one response
	maxFindings    = 50   // in a status
	maxListed      = 12   // groups of clients named for one answer

	headWait    = 5 * time.Second  // for a request's head
	requestWait = 10 * time.Second // for the whole of it
	replyWait   = 30 * time.Second // for the response, from the request's head on
	idleWait    = 60 * time.Second
	submitWait  = 10 * time.Second // for the voters
	streamWait  = 10 * time.Second // for a client of a stream to take one write

	beatEvery = 15 * time.Second
	lookEvery = 200 * time.Millisecond // at most so often are streams told of changes
)

// A Source is where the dashboard reads from. Every function is set, returns an immutable value and is safe for
// concurrent use.
type Source struct {
	Node     func() NodeInfo
	Health   func() *health.View    // nil: nothing is known yet
	Control  func() *control.State  // nil: no state was ever seen
	Snapshot func() *zones.Snapshot // nil: no configuration is compiled yet

	// Submit hands a command to the voters. A refusal may come as the result's code or as an error that wraps a sentinel
	// of package control; any other error means that no voter decided, or none is known to have.
	Submit func(context.Context, control.Command) (control.Result, error)

	Keys func() []ZoneKeys // of every zone that has keys of the cluster, ordered by name

	// OrderKeys has the voters decide an order about keys. An error may wrap ErrKeysBusy or ErrKeysOrder; otherwise as Submit.
	OrderKeys func(context.Context, KeyOrder) (control.Result, error)

	// Challenge is Submit for a change of challenges. It returns when every nameserver that can be reached answers by it; an
	// error beside the result of a command that was decided says that some do not yet.
	Challenge func(context.Context, control.Command) (control.Result, error)

	// Changed returns a channel that is closed when any of the others would next return something new.
	Changed func() <-chan struct{}

	// Events returns the events of the journal after a sequence, oldest first, as far back as it is kept.
	Events func(after uint64) []health.Event

	// Journal finds events on disk. The error wraps ErrCursor where the cursor of the query is none.
	Journal func(context.Context, JournalQuery) (JournalPage, error)

	// Past makes what was in force at a time again. The error wraps replay.ErrOutside where that is not kept.
	Past func(ctx context.Context, at time.Time) (Past, error)
}

// A Past is what was in force at a time, made again.
type Past struct {
	Snapshot *zones.Snapshot
	Notes    func(*zones.Explanation) []string // what an explanation by it rests on that could not be made again, a sentence each
}

// Config says how the dashboard is served. It is not changed.
type Config struct {
	Listener net.Listener            // bound to loopback; closed by Close
	Hosts    []string                // names in the Host header that are right beside those of loopback, without port
	Extra    map[string]http.Handler // by path prefix, behind the same guards as the API
	Gatherer prometheus.Gatherer     // what /metrics shows
	Logger   *slog.Logger
}

// A Server serves the dashboard until Close. It is a prometheus.Collector of its own numbers.
type Server struct {
	src     Source
	logger  *slog.Logger
	hosts   map[string]bool
	http    *http.Server
	closing chan struct{}
	opened  chan struct{} // holds one: there is a new stream
	running sync.WaitGroup

	mu      sync.Mutex
	tracker tracker
	latest  picture

	streams     atomic.Int64
	connections *limited
	dropped     [dropReasons]atomic.Uint64
}

// Why something was dropped, as indices of Server.dropped.
const (
	dropConnections = iota // too many connections
	dropStreams            // too many streams
	dropSlow               // a stream's client took too long
	dropHost               // wrong Host
	dropOrigin             // a request of another origin
	dropReasons
)

var dropNames = [dropReasons]string{"connections", "streams", "slow", "host", "origin"}

// Start serves the dashboard on the listener and returns at once.
func Start(cfg Config, src Source) (*Server, error) {
	if cfg.Listener == nil || cfg.Gatherer == nil || cfg.Logger == nil {
		return nil, errors.New("dashboard: listener, gatherer and logger are required")
	}
	if src.Node == nil || src.Health == nil || src.Control == nil || src.Snapshot == nil || src.Submit == nil || src.Challenge == nil ||
		src.Keys == nil || src.OrderKeys == nil || src.Changed == nil || src.Events == nil || src.Journal == nil || src.Past == nil {
		return nil, errors.New("dashboard: every function of the source is required")
	}
	s := &Server{src: src, logger: cfg.Logger, hosts: hostSet(cfg.Hosts), closing: make(chan struct{}), opened: make(chan struct{}, 1), latest: picture{next: make(chan struct{})}}
	handler, err := s.handler(cfg)
	if err != nil {
		return nil, err
	}
	s.connections = &limited{Listener: cfg.Listener, drop: func() { s.drop(dropConnections) }}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headWait,
		ReadTimeout:       requestWait,
		WriteTimeout:      replyWait,
		IdleTimeout:       idleWait,
		MaxHeaderBytes:    maxHeadBytes,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	s.look(time.Now())
	s.running.Go(s.watch)
	s.running.Go(func() {
		if err := s.http.Serve(s.connections); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("dashboard stopped", "err", err)
		}
	})
	return s, nil
}

// Close, called once, ends the streams, lets other requests finish until ctx is done, and then breaks what is left.
func (s *Server) Close(ctx context.Context) error {
	close(s.closing)
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("dashboard: close: %w", err), s.http.Close())
	}
	s.running.Wait()
	return err
}

func (s *Server) drop(reason int) { s.dropped[reason].Add(1) }

var (
	streamsDesc     = prometheus.NewDesc("meridian_dashboard_streams", "Open event streams.", nil, nil)
	connectionsDesc = prometheus.NewDesc("meridian_dashboard_connections", "Open connections.", nil, nil)
	droppedDesc     = prometheus.NewDesc("meridian_dashboard_dropped_total", "Requests, connections and streams turned away.", []string{"reason"}, nil)
)

// Describe makes the server a prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	ch <- streamsDesc
	ch <- connectionsDesc
	ch <- droppedDesc
}

// Collect makes the server a prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(streamsDesc, prometheus.GaugeValue, float64(s.streams.Load()))
	ch <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(s.connections.open.Load()))
	for reason, name := range dropNames {
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.dropped[reason].Load()), name)
	}
}

// limited closes connections past the limit as soon as they are accepted.
type limited struct {
	net.Listener
	open atomic.Int64
	drop func()
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= maxConnections {
			return &counted{Conn: conn, done: func() { l.open.Add(-1) }}, nil
		}
		l.open.Add(-1)
		l.drop()
		conn.Close()
	}
}

// counted is a connection that says once that it was closed.
type counted struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *counted) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
