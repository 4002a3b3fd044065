package host

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/dashboard"
)

func TestRecent(t *testing.T) {
	j := new(recent)
	if got := j.after(0); got != nil {
		t.Errorf("after(0) of an empty journal = %v, want none", got)
	}
	const written = maxEvents + 2345
	for sequence := uint64(1); sequence <= written; { // in batches of 1, 2, 3 …
		var batch []health.Event
		for range sequence%7 + 1 {
			if sequence <= written {
				batch = append(batch, health.Event{Sequence: sequence})
				sequence++
			}
		}
		j.add(batch)
	}
	const oldest = written - maxEvents + 1
	for _, tt := range []struct {
		name         string
		after, first uint64
		count        int
	}{
		{"from the beginning: as far back as it is kept", 0, oldest, maxEvents},
		{"what is gone already", oldest - 2, oldest, maxEvents},
		{"just before the oldest", oldest - 1, oldest, maxEvents},
		{"the oldest is known", oldest, oldest + 1, maxEvents - 1},
		{"the last one only", written - 1, written, 1},
		{"nothing newer", written, 0, 0},
		{"a sequence of tomorrow", written + 10, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := j.after(tt.after)
			if len(got) != tt.count {
				t.Fatalf("after(%d): %d events, want %d", tt.after, len(got), tt.count)
			}
			for i, e := range got {
				if e.Sequence != tt.first+uint64(i) {
					t.Fatalf("after(%d)[%d] has sequence %d, want %d", tt.after, i, e.Sequence, tt.first+uint64(i))
				}
			}
		})
	}

	got := j.after(written - 1)
	got[0].Sequence = 0 // the caller owns it
	if again := j.after(written - 1); again[0].Sequence != written {
		t.Errorf("sequence %d after a reader changed its copy, want %d", again[0].Sequence, written)
	}
	j.add(make([]health.Event, maxEvents+1))
	if len(j.events) != maxEvents {
		t.Errorf("%d events kept of a batch larger than the journal, want %d", len(j.events), maxEvents)
	}
}

func TestSignal(t *testing.T) {
	s := newSignal()
	before := s.next()
	var waiters sync.WaitGroup
	for range 3 {
		waiters.Go(func() { <-before })
	}
	s.raise()
	waiters.Wait()
	select {
	case <-s.next():
		t.Error("next is closed without a change since")
	default:
	}
}

// What happened is still known to the next process, and who started it.
func TestJournalOnDisk(t *testing.T) {
	cfg := newNode(t)
	for range 2 {
		h, _, err := start(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	h, _, err := start(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	p, err := h.journalled(context.Background(), dashboard.JournalQuery{Kinds: []health.EventKind{health.EventStarted, health.EventStopped, health.EventConfig}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range p.Events {
		kinds = append(kinds, string(e.Kind))
	}
	if got, want := strings.Join(kinds, " "), "started config stopped started config stopped started config"; got != want {
		t.Errorf("the journal of three processes has %s, want %s", got, want)
	}
	if _, err := h.journalled(context.Background(), dashboard.JournalQuery{Cursor: "x"}); !errors.Is(err, dashboard.ErrCursor) {
		t.Errorf("with a bad cursor: %v, want ErrCursor", err)
	}
}

// Every kind of event that a node makes is logged as what it is.
func TestEventLines(t *testing.T) {
	for _, kind := range health.EventKinds {
		_, logged := eventLines[kind]
		if onDisk := kind == health.EventStarted || kind == health.EventStopped || kind == health.EventGap; logged == onDisk {
			t.Errorf("kind %s is logged: %v, and only made by the journal on disk: %v", kind, logged, onDisk)
		}
	}
}
