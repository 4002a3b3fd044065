package host

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
)

// behind writes records after the fact, the newest of each name only: a slow disk holds nobody up.
type behind struct {
	store *store
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[string]node.Record
	wake    chan struct{} // has room for one
}

func newBehind(s *store, log *slog.Logger) *behind {
	return &behind{store: s, log: log, waiting: make(map[string]node.Record), wake: make(chan struct{}, 1)}
}

func (b *behind) add(r node.Record) {
	b.mu.Lock()
	b.waiting[r.Name] = r
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // it is awake
	}
}

// run writes until nobody adds any more, and then what is left.
func (b *behind) run(over <-chan struct{}) {
	for ended := false; !ended; {
		select {
		case <-over:
			ended = true
		case <-b.wake:
		}
		b.mu.Lock()
		records := b.waiting
		b.waiting = make(map[string]node.Record)
		b.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(records)) {
			if err := b.store.save(records[name]); err != nil {
				b.log.Error("state not saved", "record", name, "err", err)
			}
		}
	}
}
