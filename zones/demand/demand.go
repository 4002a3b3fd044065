// Package demand has all nodes know how much the clients of capped pools want, and go by one spill.
//
// Time is in epochs. At the beginning of each, every nameserver and gateway reports what it counted in the one before, by
// pool and group of clients. A little later the reference, which is the nameserver with the smallest name of those that
// have reported and have heard a whole window of reports, decides who is to keep how much, by the sum over the window, and
// tells all. Later still, at one instant, every node puts in force the decision of this epoch from the smallest name that
// it heard one from. Who hears none goes on as before. So no vote and no leader is needed: if the reference is lost the
// next one decides, from what is in force; a node that was away goes by the next decision; and when two references
// decided in two parts of the network, the smaller one's holds as soon as both are heard.
//
// A Ledger keeps no clock and makes no decision itself: zones.Plan.Spread does. It never puts in force what was decided
// for an earlier epoch, nor anything from a report of another epoch than now's or its neighbours. Its memory is bounded
// by the window, the number of nodes and MaxCounts. One goroutine owns it.
package demand

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/zones"
)

const (
	// EpochLength is how long is counted for one report. Epochs are counted from 1970, so all nodes are in the same one.
	EpochLength = 30 * time.Second
	// Window is how many epochs are added up for a decision.
	Window = 4
	// DecideAfter is how long after the beginning of an epoch the reference decides: reports have arrived.
	DecideAfter = 5 * time.Second
	// ForceAfter is how long after the beginning of an epoch its decision comes into force: it has arrived.
	ForceAfter = 10 * time.Second
)

// EpochOf returns the number of the epoch that a time is in.
func EpochOf(now time.Time) uint64 {
	return uint64(max(0, now.Unix()) / int64(EpochLength/time.Second))
}

// Begin returns when an epoch begins.
func Begin(epoch uint64) time.Time {
	return time.Unix(int64(epoch)*int64(EpochLength/time.Second), 0)
}

// A Count is what came from one group of clients of one pool in one epoch.
type Count struct {
	Pool     string
	Group    uint64 // the group's key
	Answers  uint64 // that a nameserver gave
	Requests uint64 // that a gateway took
}

// A Ledger is what one node knows of the demand.
type Ledger struct {
	self    string
	first   uint64 // epoch that the node heard as a whole
	epoch   uint64
	origins map[string]*origin
	spill   *zones.Spill
	decided map[string]*zones.Spill // in this epoch, by origin
	forced  bool                    // this epoch's decision has come into force
}

// An origin is what one node has reported.
type origin struct {
	latest uint64 // epoch of the newest report
	ready  bool
	counts map[uint64][]Count // by the epoch of the report
}

// NewLedger makes the ledger of a node.
func NewLedger(self string, now time.Time) *Ledger {
	epoch := EpochOf(now)
	return &Ledger{self: self, first: epoch + 1, epoch: epoch, origins: make(map[string]*origin), decided: make(map[string]*zones.Spill)}
}

// Spill returns who keeps how much now.
func (l *Ledger) Spill() *zones.Spill { return l.spill }

// Epoch returns the epoch that Advance came to.
func (l *Ledger) Epoch() uint64 { return l.epoch }

// Advance tells the ledger the time, which never goes back, and reports whether another spill came into force.
func (l *Ledger) Advance(now time.Time) (changed bool) {
	if epoch := EpochOf(now); epoch != l.epoch {
		l.epoch, l.forced = epoch, false
		clear(l.decided)
		for name, o := range l.origins {
			maps.DeleteFunc(o.counts, func(e uint64, _ []Count) bool { return e+Window <= epoch })
			if len(o.counts) == 0 {
				delete(l.origins, name)
			}
		}
	}
	if l.forced || now.Before(Begin(l.epoch).Add(ForceAfter)) {
		return false
	}
	l.forced = true
	if len(l.decided) == 0 {
		return false
	}
	next := l.decided[slices.Min(slices.Collect(maps.Keys(l.decided)))]
	changed = len(l.spill.Changed(next)) > 0
	l.spill = next
	return changed
}

// Next returns the next instant at which the ledger has something to do: the beginning of an epoch, when the reference decides, or when
// that comes into force.
func Next(now time.Time) time.Time {
	begin := Begin(EpochOf(now))
	for _, after := range []time.Duration{DecideAfter, ForceAfter} {
		if at := begin.Add(after); now.Before(at) {
			return at
		}
	}
	return begin.Add(EpochLength)
}

// Report makes the node's report at the beginning of an epoch, takes it in itself and returns it. Whether the node may be the reference
// is for its caller to say: it must be a nameserver.
func (l *Ledger) Report(counts []Count, nameserver bool) Report {
	r := Report{Epoch: l.epoch, Ready: nameserver && l.epoch >= l.first+Window, Counts: largest(counts)}
	l.Take(l.self, r)
	return r
}

// Take takes a report in. What is not of this epoch or one beside it, or is not news, changes nothing.
func (l *Ledger) Take(name string, r Report) {
	if r.Epoch+1 < l.epoch || r.Epoch > l.epoch+1 {
		return
	}
	if r.Decision {
		if r.Epoch == l.epoch && !l.forced {
			l.decided[name] = zones.NewSpill(r.Spill)
		}
		return
	}
	o := l.origins[name]
	if o == nil {
		o = &origin{counts: make(map[uint64][]Count)}
		l.origins[name] = o
	}
	if _, known := o.counts[r.Epoch]; known {
		return
	}
	o.counts[r.Epoch] = r.Counts
	if r.Epoch >= o.latest {
		o.latest, o.ready = r.Epoch, r.Ready
	}
}

// Deciding reports whether this node is to decide now.
func (l *Ledger) Deciding(now time.Time) bool {
	at := Begin(l.epoch).Add(DecideAfter)
	if _, done := l.decided[l.self]; done || l.forced || now.Before(at) {
		return false
	}
	for name, o := range l.origins {
		if o.ready && o.latest >= l.epoch && name < l.self {
			return false
		}
	}
	self := l.origins[l.self]
	return self != nil && self.ready && self.latest == l.epoch
}

// Decide makes this node's decision, takes it in and returns what to tell the others. Members past the limit of a report keep everything.
func (l *Ledger) Decide(spill *zones.Spill) Report {
	kept := spill.All()
	r := Report{Epoch: l.epoch, Decision: true, Spill: kept[:min(len(kept), maxKept)]}
	l.Take(l.self, r)
	return r
}

// Demand returns what was wanted per second over the window, of each pool in its unit.
func (l *Ledger) Demand(pools []*zones.PoolPlan) zones.Demand {
	requests := make(map[string]bool, len(pools))
	for _, p := range pools {
		requests[p.Pool.Name] = p.InRequests()
	}
	demand := make(zones.Demand)
	for _, o := range l.origins {
		for _, counts := range o.counts {
			for _, c := range counts {
				inRequests, capped := requests[c.Pool]
				if !capped {
					continue
				}
				n := c.Answers
				if inRequests {
					n = c.Requests
				}
				if demand[c.Pool] == nil {
					demand[c.Pool] = make(map[uint64]float64)
				}
				demand[c.Pool][c.Group] += float64(n) // whole numbers: in any order they come to the same
			}
		}
	}
	for _, groups := range demand {
		for key := range groups {
			groups[key] /= (Window * EpochLength).Seconds()
		}
	}
	return demand
}

// largest returns the counts in order; if they are too many, those that count most.
func largest(counts []Count) []Count {
	counts = slices.Clone(counts)
	if len(counts) > MaxCounts {
		slices.SortFunc(counts, func(a, b Count) int {
			return cmp.Or(cmp.Compare(max(b.Answers, b.Requests), max(a.Answers, a.Requests)), byName(a, b))
		})
		counts = counts[:MaxCounts]
	}
	slices.SortFunc(counts, byName)
	return counts
}

func byName(a, b Count) int {
	return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Group, b.Group))
}
