package host

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/dns/server"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// A tallier counts what comes from each group of clients of pools with capacities: the requests that the gateway takes, and the answers
// that the nameserver gives.
type tallier struct {
	requests atomic.Pointer[requests]

	mu    sync.Mutex
	ended map[server.Group]uint64 // requests under earlier plans that have not been taken yet
}

// requests are counted under one plan.
type requests struct {
	plan   *zones.Plan
	counts map[*zones.PoolPlan][]atomic.Uint64 // by group
}

// request counts a request for a host. It is called by many goroutines at once, and allocates nothing but after a change of the plan.
func (t *tallier) request(s *zones.Snapshot, host string, client netip.Addr) {
	if s == nil {
		return
	}
	pool := s.Plan.PoolOf(host)
	if pool == nil {
		return
	}
	r := t.requests.Load()
	if r == nil || r.plan != s.Plan {
		r = t.turn(s.Plan)
	}
	group, _ := pool.Group(zones.Client{Source: client})
	r.counts[pool][group].Add(1)
}

// turn begins to count under another plan.
func (t *tallier) turn(plan *zones.Plan) *requests {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.requests.Load()
	if before != nil && before.plan == plan {
		return before
	}
	r := &requests{plan, make(map[*zones.PoolPlan][]atomic.Uint64)}
	for _, pool := range plan.Capped() {
		r.counts[pool] = make([]atomic.Uint64, len(pool.Groups))
	}
	t.requests.Store(r)
	before.moveTo(t.ended)
	return r
}

// moveTo adds what was counted to sums, and counts from 0 again.
func (r *requests) moveTo(sums map[server.Group]uint64) {
	if r == nil {
		return
	}
	for pool, counts := range r.counts {
		for g := range counts {
			if n := counts[g].Swap(0); n > 0 {
				sums[server.Group{Pool: pool.Pool.Name, Key: pool.Groups[g].Key}] += n
			}
		}
	}
}

// take returns what was counted since the last time, the answers of the nameserver among it.
func (t *tallier) take(answers map[server.Group]uint64) (counts []demand.Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests.Load().moveTo(t.ended)
	for group, n := range answers {
		counts = append(counts, demand.Count{Pool: group.Pool, Group: group.Key, Answers: n, Requests: t.ended[group]})
		delete(t.ended, group)
	}
	for group, n := range t.ended {
		counts = append(counts, demand.Count{Pool: group.Pool, Group: group.Key, Requests: n})
	}
	clear(t.ended)
	slices.SortFunc(counts, func(a, b demand.Count) int { return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Group, b.Group)) })
	return counts
}

// requested is what the gateway tells of a request.
func (h *Host) requested(host string, client netip.Addr) {
	h.tallier.request(h.snapshot.Load(), host, client)
}

// count tells the node what was counted in the epoch that ended.
func (h *Host) count() {
	var answers map[server.Group]uint64
	if h.dns != nil {
		answers = h.dns.TakeAnswersByGroup()
	}
	counts := h.tallier.take(answers)
	h.offer(func(now time.Time) { h.node.Counted(counts, now) })
}
