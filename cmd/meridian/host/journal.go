package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/meridian-gslb/meridian/cmd/meridian/journal"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/dashboard"
)

// maxEvents bounds the events in memory; the oldest events go first.
const maxEvents = 10_000

// recent keeps the last events of a node for streams; the journal on disk has those before them.
type recent struct {
	mu     sync.Mutex
	events []health.Event
}

func (j *recent) add(events []health.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, events...)
	if extra := len(j.events) - maxEvents; extra > 0 {
		j.events = append(j.events[:0:0], j.events[extra:]...)
	}
}

// after returns the events with a sequence above one, oldest first.
func (j *recent) after(sequence uint64) []health.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, e := range j.events {
		if e.Sequence > sequence {
			return append([]health.Event(nil), j.events[i:]...)
		}
	}
	return nil
}

// openJournal opens the events on disk.
func (h *Host) openJournal() error {
	limits := journal.Limits{Keep: h.cfg.Journal.Keep, Bytes: int64(h.cfg.Journal.SizeMiB) << 20}
	var err error
	if h.journal, err = journal.Open(journal.Config{Dir: filepath.Join(h.cfg.Data, "journal"), Node: h.cfg.Name, Limits: limits, Logger: h.log}); err != nil {
		return err
	}
	return h.registry.Register(h.journal)
}

// journalled finds events on disk.
func (h *Host) journalled(ctx context.Context, q dashboard.JournalQuery) (dashboard.JournalPage, error) {
	p, err := h.journal.Find(ctx, journal.Query(q))
	if errors.Is(err, journal.ErrCursor) {
		err = fmt.Errorf("%w: %q", dashboard.ErrCursor, q.Cursor)
	}
	return dashboard.JournalPage(p), err
}

// eventLines say how a kind of event is logged: its level, a constant message, and what its subject is.
var eventLines = map[health.EventKind]struct {
	level   slog.Level
	message string
	subject string
}{
	health.EventVerdict:   {slog.LevelDebug, "verdict", "check"},
	health.EventStatus:    {slog.LevelWarn, "check changed", "check"},
	health.EventHeld:      {slog.LevelWarn, "check held or no longer held", "check"},
	health.EventMass:      {slog.LevelError, "mass change held or no longer held", "what"},
	health.EventAbstain:   {slog.LevelError, "verdicts withheld or given again", "peer"},
	health.EventDissent:   {slog.LevelWarn, "vantage says otherwise than the others, or no longer", "peer"},
	health.EventReach:     {slog.LevelWarn, "up from one region only, or no longer", "check"},
	health.EventRung:      {slog.LevelWarn, "pool changed its rung", "pool"},
	health.EventSpill:     {slog.LevelWarn, "member full, or no longer", "member"},
	health.EventControl:   {slog.LevelWarn, "control switched", "control"},
	health.EventFreeze:    {slog.LevelError, "automatic change frozen, or no longer", "what"},
	health.EventEndpoint:  {slog.LevelWarn, "endpoint set by hand", "endpoint"},
	health.EventLatch:     {slog.LevelWarn, "member latched or resumed", "pool"},
	health.EventConfig:    {slog.LevelInfo, "configuration", "what"},
	health.EventMember:    {slog.LevelInfo, "member", "peer"},
	health.EventMesh:      {slog.LevelWarn, "mesh", "peer"},
	health.EventDropped:   {slog.LevelWarn, "message refused", "reason"},
	health.EventZone:      {slog.LevelDebug, "zone moved", "zone"}, // told by who moves it
	health.EventRecovered: {slog.LevelWarn, "state recovered", "record"},
	health.EventKeys:      {slog.LevelInfo, "zone keys", "zone"},
	health.EventClock:     {slog.LevelError, "clock", "peer"},
}

// tell logs and counts an event.
func (h *Host) tell(e health.Event) {
	line := eventLines[e.Kind]
	h.log.Log(h.ctx, line.level, line.message, line.subject, e.Subject, "detail", e.Text)
	h.metrics.event(e.Kind)
}

// A signal tells any number of waiters that something changed.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}

// next returns a channel that is closed at the next change.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}
