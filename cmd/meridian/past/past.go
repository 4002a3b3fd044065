// Package past keeps on disk what a node's answers followed from, and finds what was in force at a time.
//
// Whoever publishes a snapshot hands it over and goes on; one goroutine writes. Under load
// the oldest of what waits is left out and counted, so that a slow disk holds nobody up and
// costs no more than a few snapshots of memory. What a process wrote survives its crash; a
// loss of power takes what was written in the last five seconds (disk.SyncEvery).
//
// The directory has segments, numbered in order, and the worlds of the moments in them as
// packs. A process never writes to the segments of an earlier one, so what a crash tore stays
// as it is. Always holds: segments and worlds have no more bytes than the limits, but for the
// newest segment and the world in force.
package past

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/replay"
)

// Limits are how much is kept.
type Limits struct {
	Keep   time.Duration // segments whose last moment is older are removed
	Bytes  int64         // of all segments
	Worlds int64         // bytes of all packs of worlds
}

const (
	maxWaiting   = 64   // snapshots
	maxSegments  = 1000 // files
	maxWorlds    = 100  // files
	segmentShare = 8    // of the bytes, for one segment
	retryAfter   = 10 * time.Second
)

// Config says where and how much. It is not changed.
type Config struct {
	Dir    string // made with mode 0700
	Limits Limits
	Logger *slog.Logger
	Now    func() time.Time // the clock that snapshots have their times of; nil: time.Now
}

// A Store is the past of one node. Its methods may be called by any goroutine.
type Store struct {
	cfg     Config
	now     func() time.Time
	run     time.Time // when this process began
	started time.Time // likewise, by a clock that nobody sets
	create  func(name string) (disk.File, error)

	mu       sync.Mutex
	queue    []waiting // oldest first
	dropped  uint64
	segments []segment // oldest first
	number   uint64    // of the newest segment
	world    health.Hash64
	worlds   int64 // bytes

	wake    chan struct{}      // has room for one
	flushes chan chan struct{} // to be closed when all that waits is written
	ended   chan struct{}

	// Owned by the goroutine of Run.
	writer *replay.Writer
	tail   disk.Tail // no file: the next record begins another
	failed time.Time // when the disk last took nothing; zero: it does
	buffer []byte

	lost      uint64          // moments since the last one that was written
	unwritten *zones.Snapshot // the latest, if it is not written yet
}

// waiting is a snapshot that is to be written.
type waiting struct {
	snapshot *zones.Snapshot
	lost     uint64 // just before it
}

// A segment is a file. Its age is told by a clock that nobody sets, since another one could make all of them look old at once.
type segment struct {
	name    string
	head    replay.Head   // zero: it can't be read
	size    int64         // that may be read
	age     time.Duration // when this process began, of segments of earlier ones
	written time.Duration // since this process began: the last record, of its own segments
	own     bool
}

// Open makes the directory if it is not there, and reads what the segments in it say of themselves. Run must be called before anything is written.
func Open(cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg, now: cfg.Now, run: cfg.Now(), started: time.Now(), create: disk.Create, wake: make(chan struct{}, 1), flushes: make(chan chan struct{}), ended: make(chan struct{})}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("past: %w", err)
	}
	var after time.Time
	var err error
	if after, err = s.list(); err != nil {
		return nil, fmt.Errorf("past: %w", err)
	}
	s.writer = replay.NewWriter(s.run, after, int(min(cfg.Limits.Bytes/segmentShare, 1<<30)))
	return s, nil
}

// Published hands a snapshot over. It never waits.
func (s *Store) Published(snapshot *zones.Snapshot) {
	s.mu.Lock()
	s.queue = append(s.queue, waiting{snapshot: snapshot})
	if len(s.queue) > maxWaiting {
		s.queue[1].lost += s.queue[0].lost + 1
		s.queue[0] = waiting{}
		s.queue = s.queue[1:]
		s.dropped++
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run writes until over is closed, and then what is left, and that the node was stopped.
func (s *Store) Run(over <-chan struct{}) {
	defer close(s.ended)
	alive := time.NewTicker(replay.AliveEvery)
	defer alive.Stop()
	s.prune()
	s.pruneWorlds(0)
	for {
		select {
		case <-over:
			s.write()
			s.finish()
			return
		case <-s.wake:
			s.write()
		case done := <-s.flushes:
			s.write()
			close(done)
		case <-alive.C:
			s.alive()
		case <-s.tail.Due():
			if err := s.tail.Sync(); err != nil {
				s.fail(err)
			}
		}
	}
}

// write writes all that waits.
func (s *Store) write() {
	s.mu.Lock()
	queue := s.queue
	s.queue = nil
	s.mu.Unlock()
	for _, w := range queue {
		s.moment(w)
	}
}

// moment writes a snapshot, now or when the disk takes it, unless another one comes until then.
func (s *Store) moment(w waiting) {
	s.lost += w.lost
	if s.unwritten != nil {
		s.drop()
	}
	s.unwritten = w.snapshot
	s.try()
}

// try writes the snapshot that is not written yet.
func (s *Store) try() {
	if s.unwritten == nil || !s.failed.IsZero() && time.Since(s.failed) < retryAfter {
		return
	}
	m := replay.Of(s.unwritten)
	b, begins, err := s.writer.Moment(s.buffer[:0], m, s.lost)
	if errors.Is(err, replay.ErrTooLarge) {
		s.unwritten = nil
		s.drop()
	}
	if err == nil {
		err = s.append(b, begins)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.unwritten, s.lost, s.failed = nil, 0, time.Time{}
	s.inForce(m.Basis.World)
}

// drop notes that a moment is not written.
func (s *Store) drop() {
	s.lost++
	s.mu.Lock()
	s.dropped++
	s.mu.Unlock()
}

// fail puts away a segment that can't be written to. What is not written meanwhile is counted, not logged.
func (s *Store) fail(err error) {
	s.cfg.Logger.Error("what answers follow from is not written down for replays", "err", err, "again_in", retryAfter)
	s.failed = time.Now()
	s.writer.Break()
	s.tail.Abandon()
}

// append writes records to the segment, or to a new one.
func (s *Store) append(b []byte, begins bool) error {
	s.buffer = b[:0]
	if len(b) == 0 {
		return nil
	}
	begins = begins || !s.tail.Open()
	if begins {
		if err := s.begin(b); err != nil {
			return err
		}
	}
	n, err := s.tail.Write(b)
	s.mu.Lock()
	last := &s.segments[len(s.segments)-1]
	last.size, last.written = last.size+int64(n), time.Since(s.started)
	s.mu.Unlock()
	if err == nil {
		s.prune()
	} else if begins {
		err = errors.Join(err, s.discard())
	}
	return err
}

func (s *Store) alive() {
	if s.try(); s.unwritten != nil {
		return
	}
	b, begins, err := s.writer.Alive(s.buffer[:0], s.now())
	if err == nil {
		err = s.append(b, begins)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.touch()
}

// finish ends the last segment.
func (s *Store) finish() {
	if !s.tail.Open() {
		return
	}
	b, begins, err := s.writer.Ended(s.buffer[:0], s.now())
	if err == nil {
		err = s.append(b, begins)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.touch()
	if err := s.tail.End(); err != nil {
		s.cfg.Logger.Error("what answers follow from may not all be on disk", "err", err)
	}
}

// At returns what was in force at a time. The error wraps replay.ErrOutside where nothing is kept of it.
func (s *Store) At(ctx context.Context, at time.Time) (*replay.Found, error) {
	done := make(chan struct{})
	select {
	case s.flushes <- done:
		<-done
	case <-s.ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	segments := append([]segment(nil), s.segments...)
	s.mu.Unlock()
	heads := make([]replay.Head, len(segments))
	for i := range segments {
		heads[i] = segments[i].head
	}
	return replay.Find(heads, at, s.run, s.now(), func(i int) (io.ReadCloser, error) {
		return disk.Part(filepath.Join(s.cfg.Dir, segments[i].name), 0, segments[i].size)
	})
}
