// Package host runs one node: it opens the node's sockets and files, feeds the node with
// what happens and does what the node wants done.
//
// It decides nothing that a query, a verdict or a control depends on; that is package
// node's. One goroutine owns the node. Everything else reads immutable values that this
// goroutine publishes, and posts events to it.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/cmd/internal/keyring"
	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/journal"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/cmd/meridian/past"
	"github.com/meridian-gslb/meridian/dns/server"
	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/dns/tap"
	"github.com/meridian-gslb/meridian/gateway"
	"github.com/meridian-gslb/meridian/gateway/route"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/health/gossip"
	"github.com/meridian-gslb/meridian/health/probe"
	"github.com/meridian-gslb/meridian/health/replica"
	"github.com/meridian-gslb/meridian/zones"
)

// A Host is a running node.
type Host struct {
	cfg      nodefile.Node
	log      *slog.Logger
	registry *prometheus.Registry
	identity *pki.Node
	lock     io.Closer // of the data directory
	store    *store
	metrics  *metrics
	compiler *compiler
	placer   *placer
	recent   recent
	journal  *journal.Store
	past     *past.Store // nil: nothing is kept for replays

	node    *node.Node        // owned by the goroutine of run
	base    *zones.Plan       // that the node has, but for the serials; likewise
	serials map[string]uint32 // that its zones have instead of their own, by apex in wire format; likewise
	events  chan func(now time.Time)
	behind  *behind

	snapshot atomic.Pointer[zones.Snapshot]
	view     atomic.Pointer[node.View]
	pushPull atomic.Pointer[[][]byte]
	changed  *signal

	mesh      *gossip.Mesh
	tallier   tallier
	prober    *probe.Runner
	replica   *replica.Replica
	dns       *server.Server
	transfers *transfers // nil without role dns
	signer    *signer.Signer
	rekey     chan struct{}        // the keys are to be looked at
	giving    sync.Mutex           // of the keys that the signer is given: of what follows
	keys      map[string]*zoneKeys // of each zone that is to be signed, by apex in wire format
	opened    map[string]opened    // keys of the cluster, by apex as text
	remembers bool                 // the state of the voters, from disk or since it was as new as the leader's
	given     atomic.Pointer[[]given]
	parents   atomic.Pointer[[]keyring.Seen] // what servers of parent zones answered last
	obeys     *control.State                 // of the last view
	tap       *tap.Tap
	gateway   *gateway.Gateway
	api       *dashboard.Server

	certificate *certificate // of encrypted DNS; nil: there is none

	onEvents func([]health.Event)
	world    atomic.Pointer[zones.World]       // as last compiled
	abstains string                            // why this voter does not vote; empty: it does, or is none
	refusal  atomic.Pointer[dashboard.Refusal] // of the world's directory as it is now, or of zone files in it; nil: none
	reloaded chan struct{}                     // the world's definitions are to be proposed
	ctx      context.Context                   // ends with Close
	stop     context.CancelFunc
	done     sync.WaitGroup
	stopped  chan struct{}
	fatal    chan error
}

// Options are what the file of a node does not say.
type Options struct {
	Logger  *slog.Logger
	Table   *geo.Table              // nil: loaded as the file says
	Gateway func(*gateway.Config)   // changes what the gateway is started with; nil: nothing
	API     map[string]http.Handler // further handlers of the API, by path prefix
	Events  func([]health.Event)    // is told of every event; nil: nobody

	Now func() time.Time // by which signatures of zones that go out are made anew; nil: time.Now

	UDPWorkers int // threads that answer at each address; 0: as many as goroutines run at once
}

// Start opens everything that the node needs and answers queries when it returns. On an error nothing stays open.
func Start(cfg nodefile.Node, o Options) (_ *Host, err error) {
	ctx, stop := context.WithCancel(context.Background())
	h := &Host{
		ctx: ctx,
		cfg: cfg, log: o.Logger, registry: prometheus.NewRegistry(), changed: newSignal(),
		events: make(chan func(time.Time), eventQueue),
		stop:   stop, stopped: make(chan struct{}), fatal: make(chan error, 1), reloaded: make(chan struct{}, 1), rekey: make(chan struct{}, 1), onEvents: o.Events,
	}
	h.tallier.ended = make(map[server.Group]uint64)
	h.metrics = newMetrics(h.registry, h)
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if err := h.identify(); err != nil {
		return nil, err
	}
	h.warnOfEnd(time.Now())
	if err := h.lockData(); err != nil {
		return nil, err
	}
	if h.store, err = openStore(cfg.Data); err != nil {
		return nil, err
	}
	h.behind = newBehind(h.store, h.log)
	now := time.Now()
	saved, damaged, err := h.store.load(now)
	if err != nil {
		return nil, err
	}
	for _, d := range damaged {
		h.log.Error("state set aside", "err", d)
	}
	plan, err := h.compileFirst(o.Table)
	if err != nil {
		return nil, err
	}
	if err := h.openPast(); err != nil {
		return nil, err
	}
	if err := h.openJournal(); err != nil {
		return nil, err
	}
	h.node = node.New(node.Config{
		Name: cfg.Name, Region: cfg.Region, Roles: cfg.Roles, Key: h.identity.Key(), Sign: h.identity.Sign, Verify: pki.Verify,
	}, saved, now)
	h.take(plan, now)
	h.world.Store(plan.World)
	if err := h.open(o, plan, saved); err != nil {
		return nil, err
	}
	h.step(h.takeCopies)
	if h.signer != nil {
		h.giveKeys(now) // before the first query
	}
	h.done.Go(func() { h.run(ctx) })
	h.done.Go(func() { h.behind.run(h.stopped) })
	h.done.Go(func() { h.journal.Run(h.stopped) })
	h.done.Go(func() { h.watchMeshKeys(ctx, meshKeysEvery) })
	if h.past != nil {
		h.done.Go(func() { h.past.Run(h.stopped) })
	}
	h.done.Go(func() { h.compiler.run(ctx, h.compiled, h.refused) })
	h.done.Go(func() { h.placer.run(ctx) })
	h.done.Go(func() { h.propose(ctx) })
	h.done.Go(func() { h.keepUp(ctx, h.away) })
	h.done.Go(func() { h.driveKeys(ctx) })
	h.done.Go(func() { h.askParents(ctx) })
	if h.dns != nil {
		h.done.Go(h.dns.Serve)
		h.done.Go(func() { h.countAnswers(ctx) })
		h.done.Go(func() { h.runKeys(ctx) })
		h.done.Go(func() { h.tellKeys(ctx) })
		h.done.Go(func() { h.transfers.run(ctx) })
		h.done.Go(func() { h.transfers.renew(ctx) })
	}
	if h.certificate != nil {
		h.done.Go(func() { h.certificate.run(ctx) })
	}
	return h, nil
}

// takeCopies takes the copies of zones of others over that were found on disk, before the first query is answered.
func (h *Host) takeCopies(now time.Time) {
	select {
	case <-h.compiler.copied:
	default:
		return
	}
	plan, err := h.compiler.recopy()
	if err != nil {
		h.log.Error("copies of zones not taken", "err", err)
		return
	}
	h.take(plan, now)
	h.world.Store(plan.World)
}

// identify checks that the certificate is this node's.
func (h *Host) identify() error {
	identity, err := pki.LoadNode(h.cfg.Certificate, h.cfg.Key, h.cfg.CA)
	if err != nil {
		return err
	}
	id := identity.Identity()
	if id.Name != h.cfg.Name || id.Region != h.cfg.Region || id.Roles != h.cfg.Roles {
		return fmt.Errorf("keys.certificate: %s: certificate is for %s in %s with roles %v, the node is %s in %s with roles %v",
			h.cfg.Certificate, id.Name, id.Region, id.Roles.Names(), h.cfg.Name, h.cfg.Region, h.cfg.Roles.Names())
	}
	h.identity = identity
	return nil
}

// renewBefore is how long before the end of the node's certificate a start warns of it.
const renewBefore = 30 * 24 * time.Hour

// warnOfEnd logs that the node's certificate ends soon, or has: then the others take no word of it.
func (h *Host) warnOfEnd(now time.Time) {
	end, message := h.identity.Expires(), "certificate of this node ends soon"
	if now.Add(renewBefore).Before(end) {
		return
	}
	if now.After(end) {
		message = "certificate of this node has expired: no other node listens to it"
	}
	h.log.Warn(message, "file", h.cfg.Certificate, "end", end)
}

// compileFirst reads the world and, meanwhile, where clients are.
func (h *Host) compileFirst(table *geo.Table) (*zones.Plan, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(loadingGC))
	h.placer = newPlacer(&h.cfg, table, h.log, h.metrics)
	h.done.Go(func() { _, _ = h.placer.table() })
	h.compiler = &compiler{
		dir: directory(h.cfg.World), data: h.cfg.Data, places: h.placer.table, log: h.log, metrics: h.metrics, accept: h.canServe,
		failed: h.refusal.Store,
		reload: make(chan struct{}, 1), copied: make(chan struct{}, 1), learned: make(chan *rtt.Orders, 1), moved: make(chan struct{}, 1),
		begin: func() {}, past: pastWorlds{asked: make(chan *pastWorld)},
	}
	h.placer.changed = h.compiler.placesChanged
	return h.compiler.first()
}

// canServe says everything by which a good world is none for this node.
func (h *Host) canServe(plan *zones.Plan) error {
	var have []string
	for _, r := range plan.World.Regions {
		have = append(have, string(r.ID))
	}
	var region error
	if !slices.Contains(have, string(h.cfg.Region)) {
		region = fmt.Errorf("region %q of this node is not one of the world's (have %s)", h.cfg.Region, strings.Join(have, ", "))
	}
	_, routes := route.New(plan.World.Gateway)
	_, transfers := transferSetup(&h.cfg, plan.World)
	return errors.Join(region, routes, transfers)
}

func (h *Host) compiled(plan *zones.Plan, reloaded bool) {
	if h.gateway != nil {
		if err := h.gateway.SetRoutes(plan.World.Gateway); err != nil {
			h.refused(err) // canServe has asked before
			return
		}
	}
	if reloaded { // else the files are as they were, and so is what is wrong with them
		h.refusal.Store(refusedZones(plan.World))
	}
	h.world.Store(plan.World)
	if reloaded && h.transfers != nil {
		h.applyTransfers(plan.World)
	}
	if h.signer != nil {
		h.giveKeys(time.Now()) // before the first query that the new world answers
	}
	h.post(func(now time.Time) { h.take(plan, now) })
	if reloaded {
		select {
		case h.reloaded <- struct{}{}:
		default: // waits already
		}
	}
}

func (h *Host) refused(err error) {
	h.refusal.Store(&dashboard.Refusal{Since: time.Now(), Text: err.Error()})
	h.log.Error("world refused, the one in force stays", "err", err)
	h.post(func(now time.Time) { h.node.Refused(err, now) })
}

// Reload reads the world's directory, the files that clients are placed by and the certificate of encrypted DNS again.
func (h *Host) Reload() {
	select {
	case h.placer.reload <- struct{}{}:
	default: // it is asked for already
	}
	if h.certificate != nil {
		select {
		case h.certificate.reload <- struct{}{}:
		default: // it is asked for already
		}
	}
	select {
	case h.compiler.reload <- struct{}{}:
	default: // one is asked for already
	}
}

// Fatal gives an error if the node can't go on and the process must end.
func (h *Host) Fatal() <-chan error { return h.fatal }

// countAnswers tells the node now and then how many answers the nameserver gave.
func (h *Host) countAnswers(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			var answers []health.RegionAnswers
			for region, n := range h.dns.AnswersByRegion() {
				answers = append(answers, health.RegionAnswers{Region: region, Answers: n})
			}
			slices.SortFunc(answers, func(a, b health.RegionAnswers) int { return cmp.Compare(a.Region, b.Region) })
			h.offer(func(now time.Time) { h.node.Answers(answers, now) })
		}
	}
}

// Close ends the node: it stops answering, leaves the mesh and closes what it opened.
func (h *Host) Close() error {
	var errs []error
	if h.gateway != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		errs = append(errs, h.gateway.Shutdown(ctx))
	}
	if h.transfers != nil { // the server waits for what it answers
		h.transfers.service.Close()
	}
	if h.dns != nil {
		h.dns.Close()
	}
	if h.signer != nil { // nobody asks it any more
		h.signer.Close()
	}
	if h.tap != nil { // nobody records any more
		h.tap.Close()
	}
	if h.api != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		errs = append(errs, h.api.Close(ctx))
	}
	if h.prober != nil {
		h.prober.Close()
	}
	if h.mesh != nil {
		if err := h.mesh.Leave(h.leaveTimeout()); err != nil {
			h.log.Info("left without a word to the others", "err", err) // they find out by themselves
		}
	}
	h.stop()
	if h.node != nil && h.mesh != nil {
		h.done.Wait()
	}
	if h.replica != nil {
		errs = append(errs, h.replica.Close())
	}
	if h.mesh != nil {
		errs = append(errs, h.mesh.Close())
	}
	if h.lock != nil {
		errs = append(errs, h.lock.Close())
	}
	return errors.Join(errs...)
}

const closeTimeout = 2 * time.Second

// leaveTimeout is how long the others may take to hear that this node leaves; the last one of a mesh waits in vain.
func (h *Host) leaveTimeout() time.Duration {
	if h.cfg.Timing == nodefile.Local {
		return closeTimeout / 8
	}
	return closeTimeout
}
