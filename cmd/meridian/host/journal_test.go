package host

import (
	"sync"
	"testing"

	"github.com/meridian-gslb/meridian/health"
)

func TestJournal(t *testing.T) {
	j := newJournal()
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
