// Package transfer moves zones between nameservers, and takes updates of challenges.
//
// As a primary it sends zones whole (AXFR, RFC 5936) or as differences (IXFR, RFC 1995),
// and tells others of changes (NOTIFY, RFC 1996). As a secondary it keeps copies of zones of
// others on disk, and lists of such zones (catalogs, RFC 9432). It takes dynamic updates
// (RFC 2136) of ACME's challenges and of nothing else. All of it may be signed (TSIG,
// RFC 8945) and go over TLS (XoT, RFC 9103).
//
// It opens no listener, knows nothing of snapshots, and steers nothing: zones, messages and
// changes come and go through functions. Nobody may do anything that a Setup does not
// allow. A transfer that fails or is not a zone leaves the copy that was there. Messages,
// records, transfers at once, their time, journals and retries all have limits.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// A Zone is one version of a zone that this node serves. It never changes.
type Zone interface {
	Apex() string   // canonical: lower case, with the last dot
	Serial() uint32 // of its SOA record
	// Records yields every record once, the SOA record first, the others in any order, until yield returns false. What it
	// yields is the caller's: miekg/dns writes into a record that it packs.
	Records(yield func(dns.RR) bool)
}

// What Config.Zones and Config.SOA say of a zone that they do not return; any other error is answered with SERVFAIL.
var (
	ErrNoZone  = errors.New("not a zone of this node")
	ErrRefused = errors.New("not given out") // such as a steered zone: a copy would not steer
)

// A Config says what a Service works with. What is zero takes its default, but for Dir, Zones and SOA. Loaded, Expired and
// Dropped are called one at a time and must not call Apply or Close.
type Config struct {
	Dir     string                                // journals and copies of zones are kept here
	Zones   func(apex string) (Zone, error)       // the version in force; errors are ErrNoZone, ErrRefused or others, wrapped or not
	SOA     func(name string) (*dns.SOA, error)   // a copy of that of the zone that a name is in, steered or not; errors as of Zones
	Own     func(apex string) bool                // a zone of the node's own, which no catalog may take
	Loaded  func(apex, file string)               // a secondary zone has a good copy in file, from the disk or newly transferred
	Expired func(apex string)                     // a secondary zone was not refreshed for so long that its copy is no longer good
	Dropped func(apex string)                     // a zone is no longer one of the secondary zones
	Known   func(name string) (values []TXT)      // the values of a challenge that have not expired
	Change  func(context.Context, []Change) error // makes changes of challenges known to every nameserver; nil when all confirm
	Event   func(zone, text string)               // what an operator wants to see, beside the log
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Limits  Limits

	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // default slog.Default()
}

// Limits bound what transfers may take. What is zero takes its default.
type Limits struct {
	Out          int           // transfers to others at once; default 16
	OutTime      time.Duration // of one of them; default 15 m
	In           int           // refreshes and transfers from others at once; default 10
	InTime       time.Duration // of one of them; default 15 m
	Idle         time.Duration // until the next message of a transfer from others; default 30 s
	Records      int           // of a secondary zone; default 1,000,000
	Bytes        int           // of a secondary zone's records as packed; default 128 MiB
	Members      int           // of a catalog; default 100,000, which is the most
	Journal      int           // bytes of the differences kept of a zone; default 1 MiB
	Journals     int           // bytes of the differences kept of all zones; default 64 MiB
	Keep         time.Duration // for which the file of a dropped zone stays; default 7 days
	Update       time.Duration // until every nameserver has confirmed an update; default 10 s
	Values       int           // of one challenge; default 8
	Names        int           // challenges of one zone that have values; default 100
	ChallengeTTL time.Duration // after which a challenge expires; default 1 h
}

const maxMembers = 100_000

func (c *Config) withDefaults() Config {
	d := *c
	if d.Own == nil {
		d.Own = func(string) bool { return false }
	}
	if d.Loaded == nil {
		d.Loaded = func(string, string) {}
	}
	if d.Expired == nil {
		d.Expired = func(string) {}
	}
	if d.Dropped == nil {
		d.Dropped = func(string) {}
	}
	if d.Event == nil {
		d.Event = func(string, string) {}
	}
	if d.Dial == nil {
		d.Dial = new(net.Dialer).DialContext
	}
	d.Logger = cmp.Or(d.Logger, slog.Default())
	d.Limits = d.Limits.withDefaults()
	return d
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Out:          cmp.Or(l.Out, 16),
		OutTime:      cmp.Or(l.OutTime, 15*time.Minute),
		In:           cmp.Or(l.In, 10),
		InTime:       cmp.Or(l.InTime, 15*time.Minute),
		Idle:         cmp.Or(l.Idle, 30*time.Second),
		Records:      cmp.Or(l.Records, 1_000_000),
		Bytes:        cmp.Or(l.Bytes, 128<<20),
		Members:      min(cmp.Or(l.Members, maxMembers), maxMembers),
		Journal:      cmp.Or(l.Journal, 1<<20),
		Journals:     cmp.Or(l.Journals, 64<<20),
		Keep:         cmp.Or(l.Keep, 7*24*time.Hour),
		Update:       cmp.Or(l.Update, 10*time.Second),
		Values:       cmp.Or(l.Values, 8),
		Names:        cmp.Or(l.Names, 100),
		ChallengeTTL: cmp.Or(l.ChallengeTTL, time.Hour),
	}
}

// A Service does all that the package is for. Its methods may be called from any goroutine.
type Service struct {
	config      Config
	setup       atomic.Pointer[Setup]
	journals    journals
	notifier    notifier
	secondaries *secondaries
	catalogs    catalogs
	updating    locks
	out         chan struct{} // one place for each transfer to others
	metrics     *metrics
	refusals    refusals
	applying    sync.Mutex

	context  context.Context
	end      context.CancelFunc
	starting sync.Mutex
	running  sync.WaitGroup
}

// Open makes a Service that allows nothing and has no zones until Apply. It makes the directories that it needs.
func Open(config Config) (*Service, error) {
	s := &Service{config: config.withDefaults()}
	if s.config.Dir == "" || s.config.Zones == nil || s.config.SOA == nil {
		return nil, errors.New("transfer: no data directory, or no zones")
	}
	for _, dir := range []string{journalDir, secondaryDir} {
		if err := os.MkdirAll(filepath.Join(s.config.Dir, dir), 0o700); err != nil {
			return nil, fmt.Errorf("transfer: %w", err)
		}
	}
	s.context, s.end = context.WithCancel(context.Background())
	s.setup.Store(&Setup{})
	s.out = make(chan struct{}, s.config.Limits.Out)
	s.journals.init(filepath.Join(s.config.Dir, journalDir), s.config.Limits)
	s.notifier.init()
	s.secondaries = newSecondaries(s)
	s.catalogs.init()
	s.updating.init()
	s.refusals.init()
	s.metrics = newMetrics()
	if s.config.Registerer != nil {
		if err := s.metrics.register(s.config.Registerer); err != nil {
			s.end()
			return nil, err
		}
	}
	if err := s.secondaries.tidy(); err != nil {
		s.end()
		return nil, fmt.Errorf("transfer: %w", err)
	}
	s.start(s.secondaries.run)
	return s, nil
}

// start runs f on a goroutine that Close waits for; not after Close.
func (s *Service) start(f func()) bool {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.context.Err() != nil {
		return false
	}
	s.running.Go(f)
	return true
}

// Close ends every transfer and waits until all is at rest. What Handle is doing then is broken off, not waited for.
func (s *Service) Close() {
	s.starting.Lock()
	s.end()
	s.starting.Unlock()
	s.running.Wait()
	if s.config.Registerer != nil {
		s.metrics.unregister(s.config.Registerer)
	}
}

// Apply puts a setup in force, or none of it: the error names everything that is wrong. The setup belongs to the
// service from then on. Secondary zones that have a good copy on disk are loaded before Apply returns.
func (s *Service) Apply(setup *Setup) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	compiled, err := setup.compile()
	if err != nil {
		return err
	}
	s.setup.Store(compiled)
	if err := s.journals.retain(compiled.Primary); err != nil {
		s.config.Logger.Warn("journals not removed", "err", err)
	}
	s.catalogs.configure(compiled.Catalogs)
	s.refit()
	return nil
}

// refit makes the secondary zones those of the setup, the catalogs and the catalogs' members. A catalog whose copy is
// loaded has members, so it goes on until nothing is new. Only the holder of s.applying calls it.
func (s *Service) refit() {
	for {
		want := s.wanted()
		if fresh := s.secondaries.fit(want); !fresh {
			return
		}
	}
}

// tell reports a change that an operator wants to see.
func (s *Service) tell(level slog.Level, message, zone, text string) {
	s.config.Logger.Log(s.context, level, message, "zone", zone, "detail", text)
	s.config.Event(zone, message+": "+text)
}

// newer reports whether serial a comes after b (RFC 1982, section 3.2). Where that is undefined, it does not.
func newer(a, b uint32) bool { return int32(a-b) > 0 }

// spread returns a duration between a share of d and d, so that many zones do not act at the same moment.
func spread(d time.Duration, least float64) time.Duration {
	return time.Duration(float64(d) * (least + (1-least)*rand.Float64()))
}
