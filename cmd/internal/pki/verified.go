package pki

import (
	"crypto/x509"
	"sync"
	"time"
)

// maxVerified bounds how many verified certificates a node remembers; beyond it the oldest goes. Only what the
// authority signed for the name it is shown with gets in, so strangers drive nobody out.
const maxVerified = 1024

// verified are the certificates that were verified before: mesh and heartbeats show the same ones again and
// again, and a signature costs more than all the rest. The zero value is empty; any goroutine may use it.
type verified struct {
	mu    sync.Mutex
	known map[shown]verification
	order []shown // as they came
}

// shown is what a node calls itself and the metadata it shows.
type shown struct{ name, meta string }

type verification struct {
	identity Identity
	key      [32]byte
	from, to time.Time // within which every certificate of the chain is good
}

// get returns a verification that is good now.
func (v *verified) get(s shown, now time.Time) (verification, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known, ok := v.known[s]
	return known, ok && !now.Before(known.from) && !now.After(known.to)
}

func (v *verified) put(s shown, good verification) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil {
		v.known = make(map[shown]verification)
	}
	if _, ok := v.known[s]; !ok {
		if len(v.order) == maxVerified {
			delete(v.known, v.order[0])
			v.order = v.order[1:]
		}
		v.order = append(v.order, s)
	}
	v.known[s] = good
}

// validity is when every certificate of a chain is good.
func validity(chain []*x509.Certificate) (from, to time.Time) {
	from, to = chain[0].NotBefore, chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	return from, to
}
