package control

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The limits of latches.
const (
	maxLatches = 5000 // in all
)

// A Latch keeps clients of a pool from going back to an endpoint that they were failed away from, until a person resumes
// it. Copies are independent.
type Latch struct {
	Pool     string    `json:"pool"`
	Endpoint string    `json:"endpoint"`
	Since    time.Time `json:"since"`
	Epoch    uint64    `json:"epoch"`
	Index    uint64    `json:"index"`
}

func (l Latch) compare(o Latch) int {
	return cmp.Or(cmp.Compare(l.Pool, o.Pool), cmp.Compare(l.Endpoint, o.Endpoint))
}

// Latched reports whether an endpoint of a pool is passed over until somebody resumes it.
func (s *State) Latched(pool, endpoint string) bool {
	if s == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(s.latches, Latch{Pool: pool, Endpoint: endpoint}, Latch.compare)
	return ok
}

// Latches returns all latches, sorted by pool and endpoint. The caller owns the slice.
func (s *State) Latches() []Latch {
	if s == nil {
		return nil
	}
	return slices.Clone(s.latches)
}

// checkLatches refuses what Apply could not have made.
func checkLatches(all []Latch) error {
	if len(all) > maxLatches {
		return fmt.Errorf("%d latches, at most %d", len(all), maxLatches)
	}
	for i := range all {
		l := &all[i]
		if err := cmp.Or(checkName(l.Pool), checkName(l.Endpoint)); err != nil {
			return fmt.Errorf("latch of endpoint %q in pool %q: %w", clip(l.Endpoint, maxName), clip(l.Pool, maxName), err)
		}
		if i > 0 && all[i-1].compare(*l) >= 0 {
			return fmt.Errorf("latch of endpoint %q in pool %q out of order", l.Endpoint, l.Pool)
		}
	}
	return nil
}
