package host

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/dns/background"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	// watchEvery is how often the world's directory is looked at for changes, unless that takes more than a hundredth of the
	// time.
	watchEvery = 2 * time.Second
	watchShare = 100

	// keepAfter is how long after the start the world is kept: first it is to be answered from.
	keepAfter = 3 * time.Second
)

// A compiler reads and compiles the world beside the node's own goroutine, one compile at a time.
type compiler struct {
	dir  directory
	data string // directory of the pack
	log  *slog.Logger

	places func() (*geo.Table, error) // where clients are; the first time it may wait
	moved  chan struct{}              // they are elsewhere
	accept func(*zones.Plan) error    // whether this node can serve it
	failed func(*dashboard.Refusal)   // is told of mistakes at the start

	root   uint64 // of the directory as last read, see rootPrint
	seen   uint64 // its fingerprint
	orders *rtt.Orders
	world  *zones.World    // as last compiled
	warned []zones.Problem // of that world
	sound  bool            // the pack was found whole since the start, or written

	past pastWorlds

	copies func() []zones.Copy // of zones of others; nil: none
	copied chan struct{}       // they are others

	reload  chan struct{}
	learned chan *rtt.Orders
	metrics *metrics

	begin func() // first call of the goroutines that read: at the start nobody is answered yet, later they yield to whoever is
}

// Load reads and compiles a world's directory. Mistakes in zone files are errors too.
func Load(dir string, table *geo.Table) (*zones.Plan, error) {
	if err := directory(dir).configured(); err != nil {
		return nil, err
	}
	world, err := loadWorld(directory(dir), nil, func() {})
	if err == nil && len(world.Refused) > 0 {
		err = zones.Problems(world.Refused)
	}
	if err != nil {
		return nil, err
	}
	return world.Compile(table, nil)
}

// loadWorld reads a world, its zones on all processors by goroutines that begin with a call of begin. Zone files that have not changed
// since prev are not read again.
func loadWorld(files zones.Files, prev *zones.World, begin func()) (*zones.World, error) {
	if prev == nil {
		defer debug.SetGCPercent(debug.SetGCPercent(listingGC))
	}
	l := zones.NewLoader(files, prev)
	switch {
	case l.Zones() > manyZones:
		defer debug.SetGCPercent(debug.SetGCPercent(loadingManyGC))
	case prev == nil:
		debug.SetGCPercent(loadingGC)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	// One more than there are processors, as Go's scheduler has for the UDP workers, would only take turns with the others.
	for range min(runtime.GOMAXPROCS(0), runtime.NumCPU(), l.Zones()) {
		workers.Go(func() {
			begin()
			r := l.Reader()
			for i := int(next.Add(1)) - 1; i < l.Zones(); i = int(next.Add(1)) - 1 {
				r.Read(i)
			}
		})
	}
	workers.Wait()
	return l.World()
}

// The garbage collector's targets while a world is read. What is read stays, so waiting for the heap to double would only make it
// double. But a hundred thousand zones are so many objects that to look through them often takes longer than to read them, and
// before there are any, a fifth of the heap is next to nothing.
const (
	listingGC     = 400
	loadingGC     = 20
	loadingManyGC = 100
	manyZones     = 10_000
)

// first compiles the world at start. If it has mistakes, the last good one from disk serves, loudly: a nameserver that
// does not answer is worse than one with yesterday's configuration.
func (c *compiler) first() (*zones.Plan, error) {
	err := c.dir.configured()
	var plan *zones.Plan
	if err == nil {
		if plan, err = c.read(); err == nil && len(plan.World.Refused) == 0 {
			return plan, nil
		}
	}
	last, lastErr := c.last()
	if lastErr != nil && !errors.Is(lastErr, fs.ErrNotExist) {
		c.log.Error("last good world can't be read", "err", lastErr)
	}
	switch {
	case err == nil && last != nil:
		c.world = last.World // its zones serve where those of the directory have mistakes
		if plan, err = c.read(); err != nil {
			return nil, err
		}
		fallthrough
	case err == nil:
		c.metrics.reload(plan.World, nil)
		c.failed(refusedZones(plan.World))
	case last != nil:
		c.log.Error("world has mistakes, serving the last good one", "err", err)
		c.metrics.reload(nil, err)
		c.failed(&dashboard.Refusal{Since: time.Now(), Text: err.Error()})
		c.world, c.sound = last.World, true
		return last, nil
	}
	return plan, err
}

// last compiles the last good world.
func (c *compiler) last() (*zones.Plan, error) {
	p, err := openPack(filepath.Join(c.data, packName))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	world, err := loadWorld(p, nil, c.begin)
	if err != nil {
		return nil, err
	}
	plan, err := c.compile(world)
	if err != nil {
		return nil, err
	}
	return plan, c.accept(plan)
}

func (c *compiler) compile(world *zones.World) (*zones.Plan, error) {
	table, err := c.places()
	if err != nil {
		return nil, err
	}
	plan, err := world.Compile(table, c.orders)
	if err == nil {
		c.orders = plan.Orders // what is reckoned of the table once serves the next compile too
	}
	return plan, err
}

// read compiles the directory as it is now.
func (c *compiler) read() (*zones.Plan, error) {
	started := time.Now()
	var err error
	if c.root, err = c.dir.rootPrint(); err != nil {
		return nil, err
	}
	world, err := loadWorld(c.dir, c.world, c.begin)
	if err != nil {
		return nil, err
	}
	world = c.withCopies(world)
	plan, err := c.compile(world)
	if err != nil {
		return nil, err
	}
	if err := c.accept(plan); err != nil {
		return nil, err
	}
	c.warn(plan.Warnings())
	c.world = world
	c.metrics.compiled(time.Since(started))
	for _, p := range world.Refused {
		c.log.Error("zone file refused, what was served instead stays", "file", p.File, "line", p.Line, "err", p.Text)
	}
	return plan, nil
}

// warn logs the warnings of a world that the one before did not have.
func (c *compiler) warn(warnings []zones.Problem) {
	said := map[zones.Problem]bool{}
	for _, w := range c.warned {
		w.Line = 0 // it moves with what is written above it
		said[w] = true
	}
	c.warned = warnings
	for _, w := range warnings {
		if before := (zones.Problem{File: w.File, Text: w.Text}); !said[before] {
			c.log.Warn("warning about the world", "file", w.File, "line", w.Line, "warning", w.Text)
		}
	}
}

// withCopies puts the copies of zones of others into a world.
func (c *compiler) withCopies(world *zones.World) *zones.World {
	var copies []zones.Copy
	if c.copies != nil {
		copies = c.copies()
	}
	world, problems := world.WithCopies(directory(c.data), copies, c.world)
	for _, p := range problems {
		c.log.Error("copy of a zone refused, the zone stays as it was", "file", p.File, "line", p.Line, "err", p.Text)
	}
	return world
}

// recopy compiles the world with the copies as they are now. Nothing else is read.
func (c *compiler) recopy() (*zones.Plan, error) {
	started := time.Now()
	world := c.withCopies(c.world)
	plan, err := c.compile(world)
	if err != nil {
		return nil, err
	}
	c.world = world
	c.metrics.compiled(time.Since(started))
	return plan, nil
}

// copiesChanged has the copies looked at, from any goroutine.
func (c *compiler) copiesChanged() {
	select {
	case c.copied <- struct{}{}:
	default: // they will be
	}
}

// placesChanged has the world compiled by the places as they are now, from any goroutine.
func (c *compiler) placesChanged() {
	select {
	case c.moved <- struct{}{}:
	default: // it will be
	}
}

// keep packs a good world for a start at which the directory has mistakes. What was packed before this start may be damaged by
// now, so that is read once.
func (c *compiler) keep() {
	if len(c.world.Refused) > 0 {
		c.keepPartly()
		return
	}
	if !c.sound {
		err := checkPack(c.data)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("last good world is written anew", "err", err)
		}
		c.sound = err == nil
	}
	if c.sound && packDigest(c.data) == c.world.Digest {
		c.keepForReplays(packName)
		return
	}
	if err := writePack(c.data, packName, c.dir, c.world); err != nil {
		c.log.Error("last good world not kept", "err", err)
		return
	}
	c.sound = true
	c.keepForReplays(packName)
}

// run compiles whenever the directory changes, a reload is asked for, clients are placed otherwise, or the round-trip times teach
// another order.
// taken gets each plan and whether the files changed, refused each world with mistakes.
func (c *compiler) run(ctx context.Context, taken func(plan *zones.Plan, reloaded bool), refused func(error)) {
	c.begin = background.Thread
	c.begin()
	c.look()
	timer, keep := time.NewTimer(watchEvery), time.NewTimer(keepAfter)
	defer timer.Stop()
	defer keep.Stop()
	unreadable := false
	for {
		select {
		case <-ctx.Done():
			if keep.Stop() {
				c.keep()
			}
			return
		case <-keep.C:
			c.keep()
		case r := <-c.past.asked:
			r.plan, r.err = c.compilePast(r.digest)
			close(r.done)
		case <-c.past.forget:
			c.past.plan, c.past.forget = nil, nil
		case <-timer.C:
			started := time.Now()
			seen, err := c.dir.fingerprint(c.world, time.Now())
			timer.Reset(max(watchEvery, watchShare*time.Since(started)))
			if err != nil && !unreadable {
				c.log.Error("world can't be read, the one in force stays", "err", err)
			}
			unreadable = err != nil
			if err == nil && (seen != c.seen || seen == 0) {
				c.again(taken, refused)
			}
		case <-c.reload:
			c.again(taken, refused)
		case <-c.copied:
			plan, err := c.recopy()
			if err != nil {
				refused(err)
				continue
			}
			taken(plan, false)
		case c.orders = <-c.learned:
			c.anew(taken, refused)
		case <-c.moved:
			c.anew(taken, refused)
		}
	}
}

// anew compiles the world as it is, by other places or orders.
func (c *compiler) anew(taken func(*zones.Plan, bool), refused func(error)) {
	started := time.Now()
	plan, err := c.compile(c.world)
	if err != nil {
		refused(err)
		return
	}
	c.metrics.compiled(time.Since(started))
	taken(plan, false)
}

// look notes what the directory was like when it was read last.
func (c *compiler) look() {
	seen, err := c.dir.fingerprintOf(c.root, c.world, time.Now())
	if err != nil {
		c.log.Error("world can't be read, the one in force stays", "err", err)
	}
	c.seen = seen
}

func (c *compiler) again(taken func(*zones.Plan, bool), refused func(error)) {
	plan, err := c.read()
	if err != nil {
		c.metrics.reload(nil, err)
		c.seen, _ = c.dir.fingerprint(c.world, time.Now()) // another error is told of by the next look
		refused(err)
		return
	}
	c.metrics.reload(plan.World, nil)
	c.look()
	taken(plan, true)
	c.keep()
}

// refusedZones says which zone files of a world that is in force are refused; nil: none.
func refusedZones(world *zones.World) *dashboard.Refusal {
	if len(world.Refused) == 0 {
		return nil
	}
	r := &dashboard.Refusal{Since: time.Now(), Text: zones.Problems(world.Refused).Error()}
	for _, p := range world.Refused {
		r.Zones = append(r.Zones, p.File)
	}
	slices.Sort(r.Zones)
	r.Zones = slices.Compact(r.Zones)
	return r
}
