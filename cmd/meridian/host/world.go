package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/zones"
)

// recordWorld holds the files of the last world that compiled.
const recordWorld = "world"

// watchEvery is how often the world's directory is looked at for changes.
const watchEvery = 2 * time.Second

// A compiler reads and compiles the world beside the node's own goroutine, one compile at a time.
type compiler struct {
	dir   string
	table *geo.Table
	store *store
	log   *slog.Logger

	accept func(*zones.Plan) error // whether this node can serve it
	failed func(error)             // is told of mistakes at the start

	files  map[string][]byte // as last read
	orders *rtt.Orders
	world  *zones.World // as last compiled

	reload  chan struct{}
	learned chan *rtt.Orders
	metrics *metrics
}

// Load reads and compiles a world's directory.
func Load(dir string, table *geo.Table) (*zones.Plan, error) {
	files, err := readWorld(dir)
	if err != nil {
		return nil, err
	}
	world, err := zones.Parse(files)
	if err != nil {
		return nil, err
	}
	return world.Compile(table, nil)
}

// first compiles the world at start. If it has mistakes, the last good one from disk serves, loudly: a nameserver that
// does not answer is worse than one with yesterday's configuration.
func (c *compiler) first(last []byte) (*zones.Plan, error) {
	plan, err := c.read()
	if err == nil || last == nil {
		return plan, err
	}
	c.log.Error("world has mistakes, serving the last good one", "err", err)
	c.metrics.reload(false)
	c.failed(err)
	var files map[string][]byte
	if err := json.Unmarshal(last, &files); err != nil {
		return nil, fmt.Errorf("last good world: %w", err)
	}
	return c.compile(files)
}

// read compiles the directory as it is now.
func (c *compiler) read() (*zones.Plan, error) {
	files, err := readWorld(c.dir)
	if err != nil {
		return nil, err
	}
	c.files = files
	return c.compile(files)
}

func (c *compiler) compile(files map[string][]byte) (*zones.Plan, error) {
	started := time.Now()
	world, err := zones.Parse(files)
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
	c.metrics.compiled(time.Since(started))
	for _, w := range world.Warnings {
		c.log.Warn("world", "file", w.File, "line", w.Line, "warning", w.Text)
	}
	c.keep(files)
	return plan, nil
}

// keep writes the files of a good world for a start at which the directory has mistakes.
func (c *compiler) keep(files map[string][]byte) {
	data, err := json.Marshal(files)
	if err == nil {
		err = c.store.save(node.Record{Name: recordWorld, Data: data, Sync: true})
	}
	if err != nil {
		c.log.Error("last good world not kept", "err", err)
	}
}

// run compiles whenever the directory changes, a reload is asked for, or the round-trip times teach another order.
// taken gets each plan and whether the files changed, refused each world with mistakes.
func (c *compiler) run(ctx context.Context, taken func(plan *zones.Plan, reloaded bool), refused func(error)) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	unreadable := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			files, err := readWorld(c.dir)
			if err != nil && !unreadable {
				c.log.Error("world can't be read, the one in force stays", "err", err)
			}
			unreadable = err != nil
			if err == nil && !maps.EqualFunc(files, c.files, bytes.Equal) {
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
	c.metrics.reload(err == nil)
	if err != nil {
		refused(err)
		return
	}
	taken(plan, true)
}
