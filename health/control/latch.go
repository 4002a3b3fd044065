package control

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// KindLatch latches members of pools. Whoever leads the voters proposes it.
const KindLatch Kind = "latch"

// KindResume ends the latch of one member of a pool, or of all of them.
const KindResume Kind = "resume"

// The limits of latches.
const (
	MaxLatches   = 5000 // in all
	maxLatchSets = 100  // of one command
)

// A Member is an endpoint in a pool.
type Member struct {
	Pool     string `json:"pool"`
	Endpoint string `json:"endpoint,omitempty"` // to resume: empty is all of the pool
}

// A Latch keeps clients of a pool from going back to an endpoint that they were failed away from, until a person resumes
// it. Copies are independent.
type Latch struct {
	Pool     string    `json:"pool"`
	Endpoint string    `json:"endpoint"`
	Since    time.Time `json:"since"`
	Epoch    uint64    `json:"epoch"`
	Index    uint64    `json:"index"`
}

func (m Member) compare(o Member) int {
	return cmp.Or(cmp.Compare(m.Pool, o.Pool), cmp.Compare(m.Endpoint, o.Endpoint))
}

func (l Latch) member() Member         { return Member{l.Pool, l.Endpoint} }
func (l Latch) compare(o Latch) int    { return l.member().compare(o.member()) }
func (l Latch) compareTo(m Member) int { return l.member().compare(m) }

// Latched reports whether an endpoint of a pool is passed over until somebody resumes it.
func (s *State) Latched(pool, endpoint string) bool {
	if s == nil {
		return false
	}
	_, ok := slices.BinarySearchFunc(s.latches, Member{pool, endpoint}, Latch.compareTo)
	return ok
}

// Latches returns all latches, sorted by pool and endpoint. The caller owns the slice.
func (s *State) Latches() []Latch {
	if s == nil {
		return nil
	}
	return slices.Clone(s.latches)
}

func (m Member) check() error {
	if err := checkName(m.Pool); err != nil {
		return fmt.Errorf("pool %q: %w", clip(m.Pool, maxName), err)
	}
	if err := checkName(m.Endpoint); err != nil {
		return fmt.Errorf("endpoint %q of pool %q: %w", clip(m.Endpoint, maxName), m.Pool, err)
	}
	return nil
}

// checkMembers reports what is wrong with the part of a command that is about members to latch.
func (c *Command) checkMembers() error {
	if n := len(c.Latch); n == 0 || n > maxLatchSets {
		return fmt.Errorf("%d members, want 1 to %d", n, maxLatchSets)
	}
	seen := make(map[Member]bool)
	for _, m := range c.Latch {
		if err := m.check(); err != nil {
			return err
		}
		if seen[m] {
			return fmt.Errorf("endpoint %q of pool %q is listed twice", m.Endpoint, m.Pool)
		}
		seen[m] = true
	}
	return nil
}

// checkResume reports what is wrong with the part of a command that says what to resume.
func (c *Command) checkResume() error {
	if c.Resume == nil {
		return fmt.Errorf("resume of no pool")
	}
	m := *c.Resume
	m.Endpoint = cmp.Or(m.Endpoint, m.Pool) // all of it
	return m.check()
}

// latch latches members in s, which is not shared yet, unless it refuses. It reports whether any was not latched before.
func (s *State) latch(cmd Command, res Result, entry *Entry) (Result, bool) {
	all := slices.Clone(s.latches)
	var changed []string
	for _, m := range slices.SortedFunc(slices.Values(cmd.Latch), Member.compare) {
		if s.Latched(m.Pool, m.Endpoint) {
			continue
		}
		all = append(all, Latch{m.Pool, m.Endpoint, s.Time, s.Epoch, s.Index})
		entry.Latches = append(entry.Latches, LatchChange{m, false, true})
		changed = append(changed, m.Endpoint)
	}
	if len(changed) == 0 {
		return res, false
	}
	slices.SortFunc(all, Latch.compare)
	if err := checkLatches(all); err != nil {
		return res.refuse(fmt.Errorf("%w: %w", ErrCommand, err)), true
	}
	slices.Sort(changed)
	s.latches, res.Endpoints = all, slices.Compact(changed)
	return res, true
}

// resume ends latches of s, which is not shared yet.
func (s *State) resume(cmd Command, res Result, entry *Entry) Result {
	var left []Latch
	for _, l := range s.latches {
		if l.Pool != cmd.Resume.Pool || cmd.Resume.Endpoint != "" && l.Endpoint != cmd.Resume.Endpoint {
			left = append(left, l)
			continue
		}
		entry.Latches = append(entry.Latches, LatchChange{l.member(), true, false})
		res.Endpoints = append(res.Endpoints, l.Endpoint)
	}
	s.latches = left
	return res
}

// checkLatches refuses what Apply could not have made.
func checkLatches(all []Latch) error {
	if len(all) > MaxLatches {
		return fmt.Errorf("%d latches, at most %d", len(all), MaxLatches)
	}
	for i := range all {
		l := &all[i]
		if err := l.member().check(); err != nil {
			return fmt.Errorf("latch: %w", err)
		}
		if i > 0 && all[i-1].compare(*l) >= 0 {
			return fmt.Errorf("latch of endpoint %q in pool %q out of order", l.Endpoint, l.Pool)
		}
	}
	return nil
}
