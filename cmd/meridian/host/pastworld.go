package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/past"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// pastWorlds are the compiler's part in replays: it keeps the worlds that were in force, and compiles them again.
type pastWorlds struct {
	store *past.Store // nil: nothing is kept
	asked chan *pastWorld

	plan   *zones.Plan // of the world that was asked for last, for a minute
	orders *rtt.Orders // that it was compiled by; of another table they are others
	forget <-chan time.Time
}

// A pastWorld is asked for by its digest. done is closed when plan or err is there.
type pastWorld struct {
	digest health.Hash64
	plan   *zones.Plan
	err    error
	done   chan struct{}
}

// rememberPast is how long a world that was in force stays compiled after somebody asked for it.
const rememberPast = time.Minute

// planOf returns the plan of a world that was in force. It waits for its turn: the compiler compiles one world at a time.
func (p *pastWorlds) planOf(ctx context.Context, digest health.Hash64) (*zones.Plan, error) {
	r := &pastWorld{digest: digest, done: make(chan struct{})}
	select {
	case p.asked <- r:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-r.done:
		return r.plan, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// compilePast compiles a world that was in force, with the zones that are copied, the geo table and the round-trip times of today.
func (c *compiler) compilePast(digest health.Hash64) (*zones.Plan, error) {
	p := &c.past
	if p.plan == nil || p.plan.World.Digest != digest || p.orders != c.orders {
		plan, err := c.readPast(digest)
		if err != nil {
			return nil, err
		}
		p.plan, p.orders = plan, c.orders
	}
	p.forget = time.After(rememberPast)
	return p.plan, nil
}

func (c *compiler) readPast(digest health.Hash64) (*zones.Plan, error) {
	file, err := c.past.store.World(digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the configuration %v that was in force is not kept", replay.ErrOutside, digest)
	}
	if err != nil {
		return nil, err
	}
	pack, err := openPack(file)
	if err != nil {
		return nil, err
	}
	defer pack.Close()
	world, err := loadWorld(pack, nil, c.begin)
	if err != nil {
		return nil, fmt.Errorf("%s: this program does not take it any more: %w", file, err)
	}
	if world.Digest != digest {
		return nil, fmt.Errorf("%s: %w: it is configuration %v", file, errDamaged, world.Digest)
	}
	return c.compile(c.withCopies(world))
}

// keepForReplays keeps the world in force, of which there is a pack in the data directory.
func (c *compiler) keepForReplays(pack string) {
	if c.past.store == nil {
		return
	}
	if err := c.past.store.KeepWorld(c.world.Digest, filepath.Join(c.data, pack)); err != nil {
		c.log.Error("configuration not kept for replays", "err", err)
	}
}

const partlyName = "partly.pack"

// keepPartly keeps a world of which zone files are refused: for replays only, with the files that its zones are as they were from.
func (c *compiler) keepPartly() {
	if c.past.store == nil {
		return
	}
	if _, err := c.past.store.World(c.world.Digest); err == nil {
		return
	}
	before, err := c.earlierFiles()
	if err == nil {
		err = writePack(c.data, partlyName, before, c.world)
	}
	before.close()
	if err != nil {
		c.log.Error("configuration not kept for replays", "err", err)
		return
	}
	c.keepForReplays(partlyName)
	if err := os.Remove(filepath.Join(c.data, partlyName)); err != nil {
		c.log.Error("configuration not kept for replays", "err", err)
	}
}

// mixed is the files of a directory, some of them as they were in packs.
type mixed struct {
	directory
	packs []*pack
	from  map[string]*pack // by name
}

// earlierFiles finds the files that the zones in force are from.
func (c *compiler) earlierFiles() (*mixed, error) {
	m := &mixed{directory: c.dir, from: make(map[string]*pack)}
	refused := make(map[string]bool)
	for _, p := range c.world.Refused {
		refused[p.File] = true
	}
	for _, file := range append(c.past.store.Worlds(), filepath.Join(c.data, packName)) {
		if p, err := openPack(file); err == nil { // one that is damaged is passed over
			m.packs = append(m.packs, p)
		}
	}
	for i := range c.world.Zones {
		z := &c.world.Zones[i]
		if z.Copied || !refused[z.File] || z.Static == nil {
			continue
		}
		for _, p := range m.packs {
			if fileDigest(p, z.File) == z.FileDigest() {
				m.from[z.File] = p
				break
			}
		}
		if m.from[z.File] == nil {
			return m, fmt.Errorf("the file that zone %s is from is in no configuration that is kept", z.Apex)
		}
	}
	return m, nil
}

// fileDigest is as zones.Zone.FileDigest; 0 where there is no such file.
func fileDigest(p *pack, name string) uint64 {
	f, _, err := p.Open(name)
	if err != nil {
		return 0
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(sum.Sum(nil))
}

func (m *mixed) close() {
	for _, p := range m.packs {
		p.Close()
	}
}

// Version is for zones.Files.
func (m *mixed) Version(name string) zones.Version {
	if p := m.from[name]; p != nil {
		return p.Version(name)
	}
	return m.directory.Version(name)
}

// Open is for zones.Files.
func (m *mixed) Open(name string) (io.ReadCloser, zones.Version, error) {
	if p := m.from[name]; p != nil {
		return p.Open(name)
	}
	return m.directory.Open(name)
}
