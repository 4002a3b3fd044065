package probe

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const (
	lateAfter = 500 * time.Millisecond // from its time on a start is counted as late
	barredFor = time.Minute            // until a target that is barred is looked at again
)

// A schedule says which target is probed next. Only the runner's own goroutine touches it.
type schedule struct {
	runner   *Runner
	entries  map[health.CheckID]*entry
	queue    queue // of the entries that may start a probe, the earliest first
	inFlight int
	full     bool // a due probe waits for a slot
}

// An entry is an assigned target.
type entry struct {
	target     *health.Target
	definition uint32
	pace       *health.Pace
	barred     string // why this vantage can't or may not probe it; empty: it does
	keeper     keeper
	undead     atomic.Int32
	ctx        context.Context // ends when the target is taken away
	cancel     context.CancelFunc
	at         time.Time // the next start
	index      int       // in the queue; -1: not in it
}

// ended is the end of a probe.
type ended struct {
	entry       *entry
	ok          bool
	certificate time.Time // when it ends; zero: none was seen
}

// assign makes the schedule one of the targets in a.
func (s *schedule) assign(a *health.Assignment, now time.Time) {
	added, removed := 0, 0
	kept := make(map[health.CheckID]bool, len(a.Targets))
	for _, t := range a.Targets {
		kept[t.ID] = true
		definition := t.Digest()
		if e := s.entries[t.ID]; e != nil {
			if e.definition == definition {
				e.target = t
				continue
			}
			s.remove(e)
			removed++
		}
		s.add(t, definition, now)
		added++
	}
	for id, e := range s.entries {
		if !kept[id] {
			s.remove(e)
			removed++
		}
	}
	s.runner.metrics.targets.Set(float64(len(s.entries)))
	if added > 0 || removed > 0 {
		s.runner.log.Info("probes assigned", "targets", len(s.entries), "added", added, "removed", removed)
	}
}

func (s *schedule) add(t *health.Target, definition uint32, now time.Time) {
	e := &entry{target: t, definition: definition, pace: s.newPace(t, now), index: -1}
	e.ctx, e.cancel = context.WithCancel(s.runner.ctx)
	if t.KeepAlive {
		context.AfterFunc(e.ctx, e.keeper.close)
	}
	s.entries[t.ID] = e
	s.bar(e, s.runner.bars(t))
	s.enqueue(e, now)
}

func (s *schedule) newPace(t *health.Target, now time.Time) *health.Pace {
	return health.NewPace(t.Interval, t.Fall, rand.New(rand.NewPCG(s.runner.config.Seed, t.ID.Key())), now)
}

// bar notes why an entry is not probed, empty if it is, and says so if that is news.
func (s *schedule) bar(e *entry, why string) {
	if why == e.barred {
		return
	}
	log := s.runner.log.With("check", e.target.ID, "endpoint", e.target.Endpoint, "region", e.target.Region)
	if why == "" {
		log.Info("probe no longer refused")
		s.runner.metrics.barred.Dec()
	} else {
		log.Warn("probe refused", "err", why)
	}
	if e.barred == "" {
		s.runner.metrics.barred.Inc()
	}
	e.barred = why
}

// lookAgain probes an entry that was barred from now on, should nothing be in the way any more. Whatever that was may end without a word to this
// program: the kernel is given another limit, or an address.
func (s *schedule) lookAgain(e *entry, now time.Time) {
	s.bar(e, s.runner.bars(e.target))
	if e.barred == "" {
		e.pace = s.newPace(e.target, now)
	}
	s.enqueue(e, now)
}

// bars says why this vantage can't or may not probe a target; empty if it does.
func (r *Runner) bars(t *health.Target) string {
	why := r.config.bars(t)
	if why == "" && t.Kind == health.KindICMP {
		conn, err := r.config.ping(t.Address.Addr().Unmap())
		if err != nil {
			return cantPing(err)
		}
		conn.Close()
	}
	return why
}

func (s *schedule) remove(e *entry) {
	e.cancel()
	delete(s.entries, e.target.ID)
	s.runner.metrics.certificates.forget(e.target.ID)
	if e.barred != "" {
		s.runner.metrics.barred.Dec()
	}
	if e.index >= 0 {
		heap.Remove(&s.queue, e.index)
	}
}

// enqueue puts an entry where its pace wants it, and a barred one where it is looked at again.
func (s *schedule) enqueue(e *entry, now time.Time) {
	at, ok := e.pace.Next()
	if e.barred != "" {
		at = now.Add(barredFor)
	}
	if at.Before(now) {
		at = now
	}
	e.at = at
	switch {
	case ok && e.index >= 0:
		heap.Fix(&s.queue, e.index)
	case ok:
		heap.Push(&s.queue, e)
	case e.index >= 0:
		heap.Remove(&s.queue, e.index)
	}
}

// startDue starts what is due, the longest overdue first, while there are slots, and returns when the next is due. It is
// not ok when there is nothing to wait for but the end of a probe or an assignment.
func (s *schedule) startDue(now time.Time) (next time.Time, ok bool) {
	for len(s.queue) > 0 {
		e := s.queue[0]
		if e.at.After(now) {
			return e.at, true
		}
		if e.barred != "" {
			s.lookAgain(e, now)
			continue
		}
		if s.inFlight >= s.runner.config.Slots {
			if !s.full {
				s.full = true
				s.runner.log.Warn("probes wait for a slot", "slots", s.runner.config.Slots, "targets", len(s.entries))
			}
			return time.Time{}, false
		}
		late := now.Sub(e.at)
		s.runner.metrics.lateness.Observe(late.Seconds())
		if late > lateAfter {
			s.runner.metrics.late.Inc()
		}
		s.start(e, now)
	}
	return time.Time{}, false
}

func (s *schedule) start(e *entry, now time.Time) {
	e.pace.Started(now)
	s.enqueue(e, now)
	s.inFlight++
	s.runner.metrics.inFlight.Inc()
	s.runner.probes.Add(1)
	go s.runner.probe(e, e.target)
}

func (s *schedule) retry(checks []health.CheckID, now time.Time) {
	for _, id := range checks {
		if e := s.entries[id]; e != nil && e.barred == "" {
			e.pace.Retry(now)
			s.enqueue(e, now)
		}
	}
}

func (s *schedule) end(end ended, now time.Time) {
	s.inFlight--
	s.runner.metrics.inFlight.Dec()
	if s.inFlight <= s.runner.config.Slots/2 {
		s.full = false
	}
	if e := end.entry; e.ctx.Err() == nil {
		if !end.certificate.IsZero() {
			s.runner.metrics.certificates.note(e.target.ID, end.certificate)
		}
		e.pace.Ended(end.ok, now)
		s.enqueue(e, now)
	}
}

// probe runs one probe of an entry; target is the entry's when the probe was started.
func (r *Runner) probe(e *entry, target *health.Target) {
	defer r.probes.Done()
	result := attempt(e.ctx, target, e.definition, wire{&r.config, &e.keeper, &e.undead})
	if e.ctx.Err() == nil {
		r.metrics.observe(target.Kind, &result)
		if result.Reason != health.ReasonNone { // without evidence for long the verdict is withdrawn
			r.config.Observe(result)
		}
	}
	ok := result.Reason == health.ReasonOK || result.Reason == health.ReasonDrain || result.Reason == health.ReasonNone
	select {
	case r.ended <- ended{e, ok, result.CertificateEnds}:
	case <-r.ctx.Done():
	}
}

// A queue is a heap of entries by the time of their next start.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.index = -1
	return e
}
