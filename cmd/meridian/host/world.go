package host

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	// watchEvery is how often the world's directory is looked at for changes, unless that takes more than a hundredth of the
	// time.
	watchEvery = 2 * time.Second
	watchShare = 100
)

// A compiler reads and compiles the world beside the node's own goroutine, one compile at a time.
type compiler struct {
	dir   directory
	data  string // directory of the pack
	table *geo.Table
	log   *slog.Logger

	accept func(*zones.Plan) error // whether this node can serve it
	failed func(error)             // is told of mistakes at the start

	seen   uint64 // fingerprint of the directory as last read
	orders *rtt.Orders
	world  *zones.World // as last compiled

	reload  chan struct{}
	learned chan *rtt.Orders
	metrics *metrics
}

// Load reads and compiles a world's directory. Mistakes in zone files are errors too.
func Load(dir string, table *geo.Table) (*zones.Plan, error) {
	if err := directory(dir).configured(); err != nil {
		return nil, err
	}
	world, err := loadWorld(directory(dir), nil)
	if err == nil && len(world.Refused) > 0 {
		err = zones.Problems(world.Refused)
	}
	if err != nil {
		return nil, err
	}
	return world.Compile(table, nil)
}

// loadWorld reads a world, its zones on all processors. Zone files that have not changed since prev are not read again.
func loadWorld(files zones.Files, prev *zones.World) (*zones.World, error) {
	l := zones.NewLoader(files, prev)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), l.Zones()) {
		workers.Go(func() {
			r := l.Reader()
			for i := int(next.Add(1)) - 1; i < l.Zones(); i = int(next.Add(1)) - 1 {
				r.Read(i)
			}
		})
	}
	workers.Wait()
	return l.World()
}

// loadingGC is the garbage collector's target while a world is read: what is read stays, so waiting for the heap to double would
// only make it double.
const loadingGC = 20

// first compiles the world at start. If it has mistakes, the last good one from disk serves, loudly: a nameserver that
// does not answer is worse than one with yesterday's configuration.
func (c *compiler) first() (*zones.Plan, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(loadingGC))
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
		plan, err = c.read()
		c.failed(zones.Problems(plan.World.Refused))
	case err == nil:
		c.failed(zones.Problems(plan.World.Refused))
	case last != nil:
		c.log.Error("world has mistakes, serving the last good one", "err", err)
		c.metrics.reload(false)
		c.failed(err)
		c.world = last.World
		return last, nil
	}
	return plan, err
}

// last compiles the last good world.
func (c *compiler) last() (*zones.Plan, error) {
	p, err := openPack(c.data)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	world, err := loadWorld(p, nil)
	if err != nil {
		return nil, err
	}
	plan, err := world.Compile(c.table, c.orders)
	if err != nil {
		return nil, err
	}
	return plan, c.accept(plan)
}

// read compiles the directory as it is now.
func (c *compiler) read() (*zones.Plan, error) {
	started := time.Now()
	seen, err := c.dir.fingerprint(c.world)
	if err != nil {
		return nil, err
	}
	c.seen = seen // of what is refused, if it is
	world, err := loadWorld(c.dir, c.world)
	if err != nil {
		return nil, err
	}
	plan, err := world.Compile(c.table, c.orders)
	if err != nil {
		return nil, err
	}
	if err := c.accept(plan); err != nil {
		return nil, err
	}
	c.world = world
	if c.seen, err = c.dir.fingerprintOf(world); err != nil {
		return nil, err
	}
	c.metrics.compiled(time.Since(started))
	for _, w := range world.Warnings {
		c.log.Warn("world", "file", w.File, "line", w.Line, "warning", w.Text)
	}
	for _, p := range world.Refused {
		c.log.Error("zone file refused, the zone stays as it was", "file", p.File, "line", p.Line, "err", p.Text)
	}
	return plan, nil
}

// keep packs a good world for a start at which the directory has mistakes.
func (c *compiler) keep() {
	if len(c.world.Refused) > 0 || packDigest(c.data) == c.world.Digest {
		return
	}
	if err := writePack(c.data, c.dir, c.world); err != nil {
		c.log.Error("last good world not kept", "err", err)
	}
}

// run compiles whenever the directory changes, a reload is asked for, or the round-trip times teach another order.
// taken gets each plan and whether the files changed, refused each world with mistakes.
func (c *compiler) run(ctx context.Context, taken func(plan *zones.Plan, reloaded bool), refused func(error)) {
	c.keep()
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	unreadable := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			started := time.Now()
			seen, err := c.dir.fingerprint(c.world)
			timer.Reset(max(watchEvery, watchShare*time.Since(started)))
			if err != nil && !unreadable {
				c.log.Error("world can't be read, the one in force stays", "err", err)
			}
			unreadable = err != nil
			if err == nil && seen != c.seen {
				c.again(taken, refused)
			}
		case <-c.reload:
			c.again(taken, refused)
		case c.orders = <-c.learned:
			started := time.Now()
			plan, err := c.world.Compile(c.table, c.orders)
			if err != nil {
				refused(err)
				continue
			}
			c.metrics.compiled(time.Since(started))
			taken(plan, false)
		}
	}
}

func (c *compiler) again(taken func(*zones.Plan, bool), refused func(error)) {
	plan, err := c.read()
	c.metrics.reload(err == nil && len(plan.World.Refused) == 0)
	if err != nil {
		refused(err)
		return
	}
	taken(plan, true)
	if len(plan.World.Refused) > 0 {
		c.failed(zones.Problems(plan.World.Refused))
	}
	c.keep()
}
