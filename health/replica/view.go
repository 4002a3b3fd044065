package replica

import (
	"context"
	"sync"

	"github.com/meridian-gslb/meridian/health/control"
)

// maxUndelivered bounds the states that wait for OnState; beyond it the oldest go, which the later ones contain.
const maxUndelivered = 256

// A view is the newest state a node knows, from wherever it came.
type view struct {
	mu      sync.Mutex
	state   *control.State
	encoded []byte // of state, once somebody asked
	waiting []*control.State
	changed chan struct{} // closed and replaced at each change
}

func (v *view) init(s *control.State) {
	v.state, v.changed = s, make(chan struct{})
	if s != nil {
		v.waiting = append(v.waiting, s)
	}
}

// offer takes s if it is newer than what is known.
func (v *view) offer(s *control.State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !s.Newer(v.state) {
		return
	}
	v.state, v.encoded = s, nil
	if v.waiting = append(v.waiting, s); len(v.waiting) > maxUndelivered {
		v.waiting = v.waiting[1:]
	}
	v.wake()
}

func (v *view) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// poke wakes those who wait for a change though the state is the same: the leader is another.
func (v *view) poke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wake()
}

// newest returns the state, which may be nil.
func (v *view) newest() *control.State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// watch returns the state and a channel that is closed when it changes.
func (v *view) watch() (*control.State, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.changed
}

// bytes returns the newest state encoded; all who push it share them.
func (v *view) bytes() (*control.State, []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.encoded == nil && v.state != nil {
		v.encoded = v.state.Encode()
	}
	return v.state, v.encoded
}

// wait returns the states that were not delivered yet, oldest first; nil when ctx is over.
func (v *view) wait(ctx context.Context) []*control.State {
	for {
		v.mu.Lock()
		states, changed := v.waiting, v.changed
		v.waiting = nil
		v.mu.Unlock()
		if len(states) > 0 {
			return states
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
