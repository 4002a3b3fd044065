package past

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

const someWorld = `
regions: {eu: {coordinates: [50, 10]}, us: {coordinates: [40, -100]}, as: {coordinates: [20, 80]}}
checks: {c: {type: tcp, port: 80}}
pools:
  p: {policy: failover, check: c, members: [{endpoint: a, region: eu, address: 192.0.2.1}, {endpoint: b, region: us, address: 192.0.2.2}]}
zones: {example.com: {file: z, steer: {www: {pool: p}}}}
`

const someZone = "$TTL 300\n@ SOA ns1 h 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n"

var plan = sync.OnceValue(func() *zones.Plan {
	world, err := zones.Parse(map[string][]byte{"w.yaml": []byte(someWorld), "z": []byte(someZone)})
	if err != nil {
		panic(err)
	}
	p, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		panic(err)
	}
	return p
})

// snapshot is one that is told from others by how many vantages are assigned to its check.
func snapshot(number int, at time.Time) *zones.Snapshot {
	s := health.Status{Check: "c/a/ipv4", State: health.Up, Measured: health.Up, Since: at, Assigned: number}
	return plan().Publish(nil, zones.Inputs{Health: health.NewView([]health.Status{s})}, zones.Change{All: true}, at)
}

// A node is a store with the process that writes it, and a clock of its own.
type node struct {
	*Store
	t    *testing.T
	log  *bytes.Buffer // is read when the process has ended
	over chan struct{}
	done chan struct{}

	mu    sync.Mutex
	clock time.Time
}

var morning = time.Date(2026, 5, 1, 6, 0, 0, 0, time.UTC)

func begin(t *testing.T, dir string, limits Limits, at time.Time) *node {
	t.Helper()
	n := open(t, dir, limits, at)
	n.start()
	return n
}

func open(t *testing.T, dir string, limits Limits, at time.Time) *node {
	t.Helper()
	n := &node{t: t, log: new(bytes.Buffer), clock: at, over: make(chan struct{}), done: make(chan struct{})}
	var err error
	n.Store, err = Open(Config{Dir: dir, Limits: limits, Logger: slog.New(slog.NewTextHandler(n.log, nil)), Now: n.time})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) start() {
	go func() {
		defer close(n.done)
		n.Run(n.over)
	}()
}

func (n *node) time() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clock
}

func (n *node) set(at time.Time) {
	n.mu.Lock()
	n.clock = at
	n.mu.Unlock()
}

// publish hands over a snapshot of a time, which the clock then shows.
func (n *node) publish(number int, at time.Time) {
	n.set(at)
	n.Published(snapshot(number, at))
}

func (n *node) end(at time.Time) {
	n.set(at)
	close(n.over)
	<-n.done
}

// number says which snapshot was in force at a time: its number, or the error.
func (n *node) number(at time.Time) string {
	n.t.Helper()
	f, err := n.At(n.t.Context(), at)
	if err != nil {
		return err.Error()
	}
	replayed := f.Moment.Snapshot(plan())
	if replayed.Digest != f.Moment.Digest {
		n.t.Errorf("the snapshot of %v has digest %v, want %v", at, replayed.Digest, f.Moment.Digest)
	}
	text := fmt.Sprint(f.Moment.Health.Status("c/a/ipv4", health.Global).Assigned)
	if notes := f.Notes(); len(notes) > 0 {
		text += ": " + strings.Join(notes, "; ")
	}
	return text
}

func (n *node) want(at time.Time, want string) {
	n.t.Helper()
	if got := n.number(at); !strings.Contains(got, want) {
		n.t.Errorf("at %v: %s, want %s", at, got, want)
	}
}

var roomy = Limits{Keep: 24 * time.Hour, Bytes: 8 << 20, Worlds: 8 << 20}

// What one process wrote the next ones find, and that nothing was answered between them.
func TestAcrossProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "past")
	n := begin(t, dir, roomy, morning)
	n.publish(1, morning.Add(time.Second))
	n.publish(2, morning.Add(time.Minute))
	n.want(morning.Add(time.Minute), "2")
	n.want(morning.Add(30*time.Second), "1")
	n.want(morning, "is not between 2026-05-01T06:00:01Z and now, 2026-05-01T06:01:00Z")
	file, err := os.OpenFile(filepath.Join(dir, files(t, dir)[0]), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("half of what is being written"); err != nil {
		t.Fatal(err)
	}
	if got := n.number(morning.Add(time.Minute)); got != "2" {
		t.Errorf("while something is being written: %s, want 2", got)
	}
	if err := errors.Join(file.Truncate(n.segments[0].size), file.Close()); err != nil {
		t.Fatal(err)
	}
	n.end(morning.Add(2 * time.Minute))
	n.want(morning.Add(time.Minute), "2") // who still asks is answered

	m := begin(t, dir, roomy, morning.Add(10*time.Minute))
	m.publish(3, morning.Add(11*time.Minute))
	m.want(morning.Add(time.Minute), "2")
	m.want(morning.Add(11*time.Minute), "3")
	m.want(morning.Add(5*time.Minute), "the node was not running at 2026-05-01T06:05:00Z: it was stopped at 2026-05-01T06:02:00Z, and it was started at 2026-05-01T06:10:00Z")
	m.end(morning.Add(12 * time.Minute))
	for _, n := range []*node{n, m} {
		if n.log.Len() > 0 {
			t.Errorf("log: %s", n.log)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v, want mode 0700", info.Mode(), err)
	}
	for _, name := range files(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A process that is killed while it writes leaves a segment that is cut anywhere: the next one finds what is whole, and writes elsewhere.
func TestKilledAnywhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "past")
	n := begin(t, dir, roomy, morning)
	for i := range 5 {
		n.publish(i+1, morning.Add(time.Duration(i+1)*time.Second))
	}
	n.want(morning.Add(5*time.Second), "5")
	defer n.end(morning)
	name := files(t, dir)[0]
	segment, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for cut := range len(segment) + 1 {
		again := t.TempDir()
		if err := os.WriteFile(filepath.Join(again, name), segment[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		m := begin(t, again, roomy, morning.Add(10*time.Second))
		m.publish(9, morning.Add(11*time.Second))
		m.want(morning.Add(11*time.Second), "9")
		got := m.number(morning.Add(6 * time.Second))
		number, note, _ := strings.Cut(got, ": ")
		seen[number] = true
		switch {
		case strings.HasPrefix(note, "what is kept breaks off"):
		case strings.Contains(got, replay.ErrDamaged.Error()), strings.Contains(got, "is not between 2026-05-01T06:00:11Z"):
		default:
			t.Fatalf("cut at byte %d of %d: %s", cut, len(segment), got)
		}
		m.end(morning.Add(12 * time.Second))
		if left, err := os.ReadFile(filepath.Join(again, name)); err != nil || !bytes.Equal(left, segment[:cut]) {
			t.Fatalf("cut at byte %d: the torn segment was changed (%v)", cut, err)
		}
	}
	for _, number := range []string{"1", "2", "3", "4", "5"} {
		if !seen[number] {
			t.Errorf("no cut leaves snapshot %s the last", number)
		}
	}
}

// However the clock is set, what was kept stays for its time, and the later of two times alike is found.
func TestClockThatJumps(t *testing.T) {
	n := begin(t, t.TempDir(), roomy, morning)
	n.publish(1, morning.Add(time.Minute))
	n.publish(2, morning.AddDate(1, 0, 0))
	n.publish(3, morning.Add(30*time.Second))
	n.publish(4, morning.Add(2*time.Minute))
	n.want(morning.Add(2*time.Minute), "4: the node's clock was set back from 2027-05-01T06:00:00Z, so this time was twice")
	n.want(morning.Add(90*time.Second), "3: ")
	n.set(morning.AddDate(-3, 0, 0))
	n.want(morning.AddDate(-3, 0, 0), "is not between")
	n.set(morning.Add(3 * time.Minute))
	n.want(morning.Add(3*time.Minute), "4: ")
	n.end(morning.AddDate(20, 0, 0))
	m := begin(t, n.cfg.Dir, roomy, morning.Add(4*time.Minute))
	m.publish(5, morning.Add(5*time.Minute))
	m.want(morning.Add(2*time.Minute), "4: ")
	m.want(morning.Add(5*time.Minute), "5")
	m.end(morning.Add(5 * time.Minute))
}

// Worlds are kept as long as there are moments of them, and no more than they may.
func TestWorlds(t *testing.T) {
	dir := t.TempDir()
	pack := func(size int) string {
		name := filepath.Join(t.TempDir(), "pack")
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	n := begin(t, filepath.Join(dir, "past"), Limits{Keep: time.Hour, Bytes: 1 << 20, Worlds: 1000}, morning)
	now := plan().World.Digest
	n.publish(1, morning)
	n.want(morning, "1")
	keep := func(digest health.Hash64, size int, at time.Time) {
		t.Helper()
		n.set(at)
		if err := n.KeepWorld(digest, pack(size)); err != nil {
			t.Fatal(err)
		}
	}
	have := func(why string, want ...health.Hash64) {
		t.Helper()
		var got []health.Hash64
		for _, digest := range []health.Hash64{now, 1, 2, 3} {
			if file, err := n.World(digest); err == nil {
				got = append(got, digest)
				if !slices.Contains(n.Worlds(), file) {
					t.Errorf("%s: Worlds() = %v, want %s among them", why, n.Worlds(), file)
				}
			} else if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: World(%v): %v", why, digest, err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v are kept, want %v", why, got, want)
		}
	}
	keep(now, 600, morning)
	keep(1, 100, morning.Add(time.Minute))
	keep(2, 100, morning.Add(2*time.Minute))
	have("all fit", now, 1, 2)
	keep(1, 100, morning.Add(3*time.Minute)) // it is in force again
	keep(3, 201, morning.Add(4*time.Minute))
	have("the one that was in force longest ago does not fit", now, 1, 3)
	keep(2, 5000, morning.Add(5*time.Minute))
	have("one that is too large for all others", now, 2)
	n.want(morning, "1")

	// Another world comes into force: until then the one before was.
	other, world := *plan(), *plan().World
	world.Digest, other.World = 7, &world
	n.set(morning.Add(5*time.Minute + 30*time.Second))
	n.Published(other.Publish(nil, zones.Inputs{Health: &health.View{}}, zones.Change{All: true}, n.time()))
	if f, err := n.At(t.Context(), n.time()); err != nil || f.Moment.Basis.World != 7 {
		t.Errorf("At = %+v, %v, want world 7", f, err)
	}
	if info, err := os.Stat(n.worldFile(now)); err != nil || !info.ModTime().Equal(n.time()) {
		t.Errorf("the world before was in force until %v (%v), want %v", info.ModTime(), err, n.time())
	}
	n.end(morning.Add(6 * time.Minute))

	// A later process has no moments of the old worlds any more.
	for _, name := range files(t, n.cfg.Dir) {
		if strings.HasSuffix(name, segmentSuffix) {
			if err := os.Remove(filepath.Join(n.cfg.Dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	n = begin(t, n.cfg.Dir, roomy, morning.Add(2*time.Hour))
	n.publish(2, morning.Add(2*time.Hour))
	n.want(morning.Add(2*time.Hour), "2")
	have("no moments of them")
	n.end(morning.Add(2 * time.Hour))
}

// Who asks and gives up does not wait for a process that writes nothing.
func TestAtGivesUp(t *testing.T) {
	n := open(t, t.TempDir(), roomy, morning)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.At(ctx, morning); !errors.Is(err, context.Canceled) {
		t.Errorf("At = %v, want %v", err, context.Canceled)
	}
}
