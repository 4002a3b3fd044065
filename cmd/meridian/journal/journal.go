// Package journal keeps a node's events on disk, and finds those of a time, a subject or a kind.
//
// Whoever has events hands them over and goes on; one goroutine writes. When too many wait
// the newest are left out and counted, and the journal says itself that they are missing, as
// it says when the node began and ended. What a process wrote survives its crash; a loss of
// power takes what was written in the last five seconds (disk.SyncEvery).
//
// The directory has segments, numbered in order, of one line of JSON an event, with a checksum.
// A process never writes to the segments of an earlier one. Always holds: segments and what
// was set aside have no more bytes than the limit; a reader has one line in memory, and what it
// will return.
package journal

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/health"
)

// Limits are how much is kept.
type Limits struct {
	Keep  time.Duration // segments whose last event is older are removed
	Bytes int64         // of all files; MinBytes at least
}

const (
	// MinBytes is the least limit: a segment must have room for a line.
	MinBytes = 1 << 20

	maxWaiting   = 20_000 // events: every target of a large world changes at once, twice over
	maxBatch     = 256    // events of one write
	segmentShare = 16     // of the bytes, for one segment
	segmentAge   = 24 * time.Hour
	retryAfter   = 10 * time.Second
	aliveEvery   = time.Minute
	maxReaders   = 2 // at once
)

// Config says where and how much. It is not changed.
type Config struct {
	Dir    string // made with mode 0700
	Node   health.NodeID
	Limits Limits
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// A Store is the journal of one node. Its methods may be called by any goroutine.
type Store struct {
	cfg     Config
	run     time.Time // when this process began
	started time.Time // likewise, by a clock that nobody sets
	create  func(name string) (disk.File, error)

	mu       sync.Mutex
	queue    []waiting // oldest first
	taken    int       // of the queue, that are being written
	dropped  uint64
	damaged  uint64
	segments []segment // oldest first
	aside    []segment // what was damaged, oldest first
	number   uint64    // of the newest segment

	wake    chan struct{}      // has room for one
	flushes chan chan struct{} // to be closed when all that waits is written
	indexed chan struct{}      // closed when it is known what the segments hold
	ended   chan struct{}
	readers chan struct{} // has room for maxReaders

	// Owned by the goroutine of Run.
	tail   disk.Tail // no file: the next event begins another segment
	begun  time.Time
	retry  <-chan time.Time // when the disk is tried again; nil: it takes what it gets
	buffer []byte
	ends   []int // of the lines in buffer
}

// waiting is an event that is to be written, or that events are missing here.
type waiting struct {
	event health.Event
	lost  int
}

// Open makes the directory if it is not there. Run must be called before anything is written or found.
func Open(cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Limits.Bytes = max(cfg.Limits.Bytes, MinBytes)
	s := &Store{cfg: cfg, run: cfg.Now(), started: time.Now(), create: disk.Create, wake: make(chan struct{}, 1), flushes: make(chan chan struct{}),
		indexed: make(chan struct{}), ended: make(chan struct{}), readers: make(chan struct{}, maxReaders)}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := s.list(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return s, nil
}

// Add hands events over. It never waits.
func (s *Store) Add(events []health.Event) {
	if len(events) == 0 {
		return
	}
	s.mu.Lock()
	for _, e := range events {
		if len(s.queue) < maxWaiting {
			s.queue = append(s.queue, waiting{event: e})
			continue
		}
		s.dropped++
		if last := &s.queue[len(s.queue)-1]; last.lost > 0 && len(s.queue) > s.taken {
			last.lost++
		} else {
			s.queue = append(s.queue, waiting{event: health.Event{Time: e.Time, Kind: health.EventGap, Subject: string(s.cfg.Node)}, lost: 1})
		}
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
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	s.begin()
	s.write()
	for {
		select {
		case <-over:
			s.finish()
			return
		case <-s.wake:
			s.write()
		case <-s.retry:
			s.retry = nil
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

// begin finds out what earlier processes left, and notes that this one has begun.
func (s *Store) begin() {
	last, at := s.index()
	var notes []waiting
	if last != "" && last != health.EventStopped {
		notes = append(notes, s.note(health.EventStopped, at, "ended without a word: killed, crashed or without power; last known to run then"))
	}
	notes = append(notes, s.note(health.EventStarted, s.run, "started"))
	s.mu.Lock()
	s.queue = append(notes, s.queue...)
	s.mu.Unlock()
	s.prune(0)
	close(s.indexed)
}

func (s *Store) note(kind health.EventKind, at time.Time, text string) waiting {
	return waiting{event: health.Event{Time: at, Kind: kind, Subject: string(s.cfg.Node), Text: text}}
}

// write writes all that waits, unless the disk took nothing a moment ago.
func (s *Store) write() {
	for s.retry == nil && s.encode() {
		whole, err := s.append()
		s.drop(whole)
		if err != nil {
			s.fail(err)
		}
	}
}

// encode puts the first events that wait into the buffer, and reports whether there are any.
func (s *Store) encode() bool {
	s.mu.Lock()
	batch := s.queue[:min(len(s.queue), maxBatch)]
	s.taken = len(batch) // these are not changed any more
	s.mu.Unlock()
	s.buffer, s.ends = s.buffer[:0], s.ends[:0]
	for i := range batch {
		e := batch[i].event
		if lost := batch[i].lost; lost > 0 {
			e.Text = fmt.Sprintf("%d events were not written down: the disk was too slow or failed", lost)
		}
		s.buffer = appendLine(s.buffer, e)
		if i > 0 && int64(len(s.buffer)) > s.share()-maxLine { // the header is shorter than a line
			s.buffer = s.buffer[:s.ends[i-1]]
			break
		}
		s.ends = append(s.ends, len(s.buffer))
	}
	return len(s.ends) > 0
}

func (s *Store) share() int64 { return s.cfg.Limits.Bytes / segmentShare }

// drop takes the first n events out of the queue.
func (s *Store) drop(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.queue[:n])
	s.queue = s.queue[n:]
	s.taken = 0
}

// fail puts away a segment that can't be written to. What waits is tried again.
func (s *Store) fail(err error) {
	s.cfg.Logger.Error("journal is not written", "err", err, "again_in", retryAfter)
	s.retry = time.After(retryAfter)
	s.tail.Abandon()
	s.discard()
}

// finish ends the last segment. The disk gets a last chance.
func (s *Store) finish() {
	s.retry = nil
	s.mu.Lock()
	s.queue = append(s.queue, s.note(health.EventStopped, s.cfg.Now(), "stopped"))
	s.mu.Unlock()
	s.write()
	if err := s.tail.End(); err != nil {
		s.cfg.Logger.Error("journal may not all be on disk", "err", err)
	}
}
