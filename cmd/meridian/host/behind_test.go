package host

import (
	"fmt"
	"log/slog"
	"maps"
	"testing"
	"testing/synctest"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
)

func TestBehindKeepsTheNewest(t *testing.T) {
	s := newStore(t)
	synctest.Test(t, func(t *testing.T) {
		b, over := newBehind(s, slog.New(slog.DiscardHandler)), make(chan struct{})
		add := func(name string, n int) { b.add(node.Record{Name: name, Data: fmt.Append(nil, n)}) }
		for n := range 100 { // before anybody writes, and without waiting
			add("statuses", n)
		}
		add("members", 1)
		go b.run(over)
		synctest.Wait()
		if got, _ := s.loaded(t); !maps.Equal(got, map[string]string{"statuses": "99", "members": "1"}) {
			t.Errorf("on disk %v, want the newest of each name", got)
		}

		add("members", 2) // what comes with the end is written too
		close(over)
		synctest.Wait()
		if got, _ := s.loaded(t); !maps.Equal(got, map[string]string{"statuses": "99", "members": "2"}) {
			t.Errorf("on disk %v, want what was added last", got)
		}
	})
}
