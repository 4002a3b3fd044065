package signer

import (
	"sync"
	"sync/atomic"
)

// ways is how many signatures compete for their places.
const ways = 8

// recent keeps the signatures that were asked for last, about: each has eight places, and takes that of one that nobody has found
// since the hand passed it last (the clock of Corbató).
type recent struct {
	mu    sync.Mutex // of those who keep
	sets  [][ways]atomic.Pointer[kept]
	hands []uint8
}

type kept struct {
	key key
	sig
	found atomic.Bool
}

func newRecent(size int) *recent {
	sets := max(1, size/ways)
	return &recent{sets: make([][ways]atomic.Pointer[kept], sets), hands: make([]uint8, sets)}
}

func (r *recent) set(k key) int { return int((k[0] ^ k[1]) % uint64(len(r.sets))) }

func (r *recent) find(k key) (records []byte, count uint16) {
	set := &r.sets[r.set(k)]
	for i := range set {
		if e := set[i].Load(); e != nil && e.key == k {
			if !e.found.Load() {
				e.found.Store(true)
			}
			return e.records, e.count
		}
	}
	return nil, 0
}

func (r *recent) keep(k key, made sig) {
	e := &kept{key: k, sig: made}
	at := r.set(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	set := &r.sets[at]
	for i := range set {
		if old := set[i].Load(); old == nil || old.key == k {
			set[i].Store(e)
			return
		}
	}
	for {
		i := r.hands[at] % ways
		r.hands[at]++
		if old := set[i].Load(); !old.found.Swap(false) {
			set[i].Store(e)
			return
		}
	}
}

// expire forgets the signatures that are due to be made anew.
func (r *recent) expire(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := range r.sets {
		for i := range r.sets[at] {
			if e := r.sets[at][i].Load(); e != nil && e.renew <= now {
				r.sets[at][i].Store(nil)
			}
		}
	}
}
