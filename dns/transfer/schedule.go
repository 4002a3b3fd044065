package transfer

import (
	"container/heap"
	"context"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// The timers of an SOA record are kept within these, whatever a primary says.
const (
	leastTimer = 10 * time.Second
	mostTimer  = 28 * 24 * time.Hour
	firstRetry = 5 * time.Second // doubled each time, while there is no copy yet
	mostRetry  = 10 * time.Minute

	noticeEvery = 5 * time.Second // a zone is refreshed at most because of notices, which anybody can forge
)

// A secondaryZone is what is known of one zone. Its secondaries own it.
type secondaryZone struct {
	apex      string
	want      wantedZone
	context   context.Context // ends when it is none of ours any more
	end       context.CancelFunc
	soa       *dns.SOA  // of the copy; nil without one
	refreshed time.Time // when a primary was last known to have no newer version
	kept      time.Time // which of these times is on disk
	expired   bool      // told
	failures  int       // in a row
	told      bool      // of them
	running   bool      // a refresh, or it stands in line for one
	failed    time.Time // when the latest refresh did that had a primary to ask
	noticed   time.Time // when the latest began that a notice asked for
	again     bool      // notified since the one that runs began
	prefer    netip.Addr

	next  time.Time // when something is due: a refresh, or the end of the copy
	index int       // in the agenda
}

func timer(seconds uint32) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, leastTimer), mostTimer)
}

// expiry returns when the copy is no longer good (RFC 1035, section 3.3.13); never comes what is expired or not there.
func (z *secondaryZone) expiry() (at time.Time, ok bool) {
	if z.soa == nil || z.expired {
		return time.Time{}, false
	}
	return z.refreshed.Add(timer(z.soa.Expire)), true
}

// refreshedAt notes a refresh that went well and plans the next.
func (z *secondaryZone) refreshedAt(now time.Time, soa *dns.SOA) {
	z.soa, z.refreshed, z.expired, z.failures = soa, now, false, 0
	z.next = z.due(now.Add(spread(timer(soa.Refresh), 0.9)))
}

// stale reports whether the time on disk is too old. A tenth of the copy's life is near enough, and errs on the safe side;
// more often the disks of many zones would be busy with nothing else.
func (z *secondaryZone) stale(now time.Time) bool {
	return now.Sub(z.kept) >= timer(z.soa.Expire)/10
}

// failedAt notes a refresh that failed and plans the next. The prompter of retry timer and doubling counts, so that a
// primary that was away for a moment is asked again soon.
func (z *secondaryZone) failedAt(now time.Time) {
	wait := min(firstRetry<<min(z.failures, 10), mostRetry)
	if z.soa != nil {
		wait = min(max(wait, leastTimer), timer(z.soa.Retry))
	}
	z.failures++
	z.next = z.due(now.Add(spread(wait, 0.75)))
}

// news reports whether a notice may tell of more than the copy has, by the serial that it hints at, if any (RFC 1996,
// section 3.7). What is expired is worth a try in any case.
func (z *secondaryZone) news(hint *dns.SOA) bool {
	return hint == nil || z.soa == nil || z.expired || newer(hint.Serial, z.soa.Serial)
}

// noticedAt plans the refresh that a notice asks for: soon, but neither so often that notices are a burden, nor before a
// primary that failed had its rest, and never later than it is planned already.
func (z *secondaryZone) noticedAt(now time.Time) time.Time {
	at := z.noticed.Add(noticeEvery)
	if rested := z.failed.Add(unreachable); z.failures > 0 && rested.After(at) {
		at = rested
	}
	switch {
	case at.Before(now):
		at = now
	case at.After(z.next):
		at = z.next
	}
	return at
}

// due returns when something is to be done: at the time of the next refresh, or when the copy ends before.
func (z *secondaryZone) due(refresh time.Time) time.Time {
	if end, ok := z.expiry(); ok && end.Before(refresh) {
		return end
	}
	return refresh
}

// An agenda orders zones by what is due first (container/heap).
type agenda []*secondaryZone

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].next.Before(a[j].next) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push is for container/heap.
func (a *agenda) Push(x any) {
	z := x.(*secondaryZone)
	z.index = len(*a)
	*a = append(*a, z)
}

// Pop is for container/heap.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	z := (*a)[last]
	(*a)[last], z.index = nil, -1
	*a = (*a)[:last]
	return z
}

// set moves a zone to a time, or takes it out at the zero time.
func (a *agenda) set(z *secondaryZone, at time.Time) {
	z.next = at
	switch {
	case at.IsZero() && z.index >= 0:
		heap.Remove(a, z.index)
	case at.IsZero():
	case z.index >= 0:
		heap.Fix(a, z.index)
	default:
		heap.Push(a, z)
	}
}
