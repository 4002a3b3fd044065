package host

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/dns/background"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/mmdb"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/zones"
)

// placesCache is the file in the data directory from which a start takes what the databases say, if they are still the same.
const placesCache = "places.cache"

// A placer reads where clients are, by the databases and overrides that the node's file names. Those may change at any time; while one
// of them has mistakes, what was read before stays in force.
type placer struct {
	sources mmdb.Sources
	data    string // directory of the cache
	log     *slog.Logger
	metrics *metrics

	first   func() (*mmdb.Places, error)
	current atomic.Pointer[mmdb.Places]       // nil until the first are read
	refusal atomic.Pointer[dashboard.Refusal] // of the files as they are now; nil: they are in force

	seen    []zones.Version // of the files when they were read last
	kept    *mmdb.Places    // that the cache has
	reload  chan struct{}
	changed func() // the table is another one
}

// newPlacer is of what a node's file says, unless there is a table already.
func newPlacer(cfg *nodefile.Node, table *geo.Table, log *slog.Logger, m *metrics) *placer {
	p := &placer{data: cfg.Data, log: log, metrics: m, reload: make(chan struct{}, 1)}
	if table != nil {
		p.first = func() (*mmdb.Places, error) { return &mmdb.Places{Table: table}, nil }
		return p
	}
	p.sources = mmdb.Sources{Databases: cfg.Geo, Overrides: cfg.GeoOverrides, Cache: filepath.Join(cfg.Data, placesCache), Version: Version()}
	p.first = sync.OnceValues(p.begin)
	return p
}

// table returns where clients are; the first call waits until that is read.
func (p *placer) table() (*geo.Table, error) {
	if places := p.current.Load(); places != nil {
		return places.Table, nil
	}
	places, err := p.first()
	if err != nil {
		return nil, err
	}
	p.current.CompareAndSwap(nil, places)
	return p.current.Load().Table, nil
}

// begin reads the files at the start.
func (p *placer) begin() (*mmdb.Places, error) {
	p.seen = p.look()
	places, err := p.sources.Read(nil)
	if err != nil {
		kept, missed := p.sources.ReadKept()
		if missed != nil {
			return nil, err
		}
		p.metrics.placesRead(err)
		p.refuse(err, "places refused, those that were kept are in force")
		places = kept
	}
	if places.Missed != nil {
		p.log.Info("cache of places not taken", "err", places.Missed)
	}
	if places.Cached {
		p.kept = places
	}
	p.tell(places)
	return places, nil
}

func (p *placer) tell(places *mmdb.Places) {
	for _, d := range places.Infos {
		p.log.Info("database of places in force", "file", d.Path, "type", d.Type, "built", d.Built, "networks", d.Networks, "cached", places.Cached)
	}
	if len(p.sources.Overrides) > 0 {
		p.log.Info("overrides of places in force", "files", p.sources.Overrides, "prefixes", places.Overrides)
	}
}

// files are those that may change.
func (p *placer) files() []string { return slices.Concat(p.sources.Databases, p.sources.Overrides) }

func (p *placer) look() (versions []zones.Version) {
	for _, file := range p.files() {
		versions = append(versions, directory(filepath.Dir(file)).Version(filepath.Base(file)))
	}
	return versions
}

// run reads the files again when they change or that is asked for, and keeps what the databases say.
func (p *placer) run(ctx context.Context) {
	if len(p.files()) == 0 {
		return
	}
	background.Thread()
	ticker, keep := time.NewTicker(watchEvery), time.NewTimer(keepAfter)
	defer ticker.Stop()
	defer keep.Stop()
	for {
		select {
		case <-ctx.Done():
			if keep.Stop() {
				p.keep()
			}
			return
		case <-keep.C:
			p.keep()
		case <-ticker.C:
			if seen := p.look(); !slices.Equal(seen, p.seen) {
				p.again(seen)
			}
		case <-p.reload:
			p.again(p.look())
		}
	}
}

// again reads the files, which are looked at before: what changes meanwhile shows the next time.
func (p *placer) again(seen []zones.Version) {
	p.seen = seen
	before := p.current.Load()
	places, err := p.sources.Read(before)
	p.metrics.placesRead(err)
	if err != nil {
		p.refuse(err, "places refused, those in force stay")
		return
	}
	p.refusal.Store(nil)
	same := places.Table.Digest() == before.Table.Digest()
	if same {
		places.Table = before.Table // of which there are plans
	}
	p.current.Store(places)
	p.tell(places)
	if !same {
		p.changed()
	}
	p.keep()
	if !places.SameDatabases(before) {
		debug.FreeOSMemory() // reading took some times of what stays; left alone, that would be given back in minutes
	}
}

func (p *placer) refuse(err error, message string) {
	p.refusal.Store(&dashboard.Refusal{Since: time.Now(), Text: err.Error()})
	p.log.Error(message, "err", err)
}

// keep writes the cache, if it has something else.
func (p *placer) keep() {
	places := p.current.Load()
	if !places.Kept() || places.SameDatabases(p.kept) {
		return
	}
	if err := writePlaces(p.data, places); err != nil {
		p.log.Error("cache of places not written", "err", err)
		return
	}
	p.kept = places
}

// writePlaces replaces the cache at once, or not at all.
func writePlaces(dir string, places *mmdb.Places) (err error) {
	f, err := os.CreateTemp(dir, placesCache+newInfix) // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			if remove := os.Remove(f.Name()); !errors.Is(remove, fs.ErrNotExist) {
				err = errors.Join(err, remove)
			}
		}
	}()
	if err := places.WriteCache(f); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, placesCache))
}

// oldest returns when the oldest of the databases in force was built; ok is false if none is known.
func (p *placer) oldest() (built time.Time, ok bool) {
	places := p.current.Load()
	if places == nil || len(places.Infos) == 0 {
		return built, false
	}
	return slices.MinFunc(places.Infos, func(a, b mmdb.Info) int { return a.Built.Compare(b.Built) }).Built, true
}
