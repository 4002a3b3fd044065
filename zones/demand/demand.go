// Package demand has all nodes know how much the clients of capped pools want, and go by one spill.
//
// Time is in epochs. At the beginning of each, every nameserver and gateway reports what it counted in the one before, by
// pool and group of clients. A little later the reference, which is the nameserver with the smallest name of those that
// report and have heard a whole window of nearly all, decides who is to keep how much, by the sum over the window, and tells
// all. Later still, at one instant, every node puts it in force: of the decisions that are not too old, that from the
// smallest name. Who hears none goes on as before. So no vote and no leader is needed: if the reference is lost the next one
// decides, from what is in force; a node that was away goes by the next decision. When two references decided in two parts
// of the network, and it is whole again, only who heard most of the others goes on deciding. One that was alone knows
// little of the demand, and when it has heard enough it goes on from what is in force with the others.
//
// A Ledger keeps no clock and makes no decision itself: zones.Plan.Spread does. It goes by when reports arrive, and by
// their epochs only for the instant at which a decision comes into force: so a node whose clock is wrong still takes part,
// and differs from the others for some seconds at each change. Its memory is bounded by the window, the number of nodes
// and MaxCounts. One goroutine owns it.
package demand

import (
	"cmp"
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

const (
	// silence is how long a node has not been heard that is taken for lost: one report may be.
	silence = EpochLength * 3 / 2
	// outdated is how old a decision is that counts no more beside others: one may be lost.
	outdated = 2 * EpochLength
	// Who lacks more than one in mostOf reports does not decide: the demand would seem smaller than it is.
	mostOf = 4
)

// A Ledger is what one node knows of the demand.
type Ledger struct {
	self     string
	epoch    uint64
	reports  int    // in how many epochs on end the node has made one
	reported uint64 // the epoch of the last
	decided  uint64 // the epoch of its last decision
	origins  map[string]*origin
	spill    *zones.Spill
}

// An origin is what one node has told.
type origin struct {
	heard   time.Time // its last report
	ready   bool
	reports []arrived // of the window, the oldest first

	decision, next *decision // in force since, and from then on; nil: none
}

type arrived struct {
	at     time.Time
	counts []Count
}

type decision struct {
	at    time.Time
	stray bool // its node was silent before: it does not know what is wanted here, and counts only where there is no other
	spill *zones.Spill
}

// NewLedger makes the ledger of a node.
func NewLedger(self string, now time.Time) *Ledger {
	return &Ledger{self: self, epoch: EpochOf(now), origins: make(map[string]*origin)}
}

// Spill returns who keeps how much now.
func (l *Ledger) Spill() *zones.Spill { return l.spill }

// Epoch returns the epoch that Advance came to.
func (l *Ledger) Epoch() uint64 { return l.epoch }

// Advance tells the ledger the time, which never goes back, and reports whether another spill came into force.
func (l *Ledger) Advance(now time.Time) (changed bool) {
	l.epoch = EpochOf(now)
	var first *origin
	firstName := ""
	for name, o := range l.origins {
		o.advance(now)
		if d := o.decision; d != nil && (first == nil || d.stray == first.decision.stray && name < firstName || first.decision.stray && !d.stray) {
			first, firstName = o, name
		}
		if len(o.reports) == 0 && o.decision == nil && o.next == nil {
			delete(l.origins, name)
		}
	}
	if first == nil {
		return false
	}
	before := l.spill
	l.spill = first.decision.spill
	return len(before.Changed(l.spill)) > 0
}

// silent reports whether a node's reports have not been heard of late.
func (o *origin) silent(now time.Time) bool { return now.Sub(o.heard) >= silence }

func (o *origin) advance(now time.Time) {
	if o.next != nil && !now.Before(o.next.at) {
		o.decision, o.next = o.next, nil
	}
	if o.decision != nil && now.Sub(o.decision.at) >= outdated {
		o.decision = nil
	}
	for len(o.reports) > 0 && now.Sub(o.reports[0].at) >= Window*EpochLength {
		o.reports = o.reports[1:]
	}
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
func (l *Ledger) Report(counts []Count, nameserver bool, now time.Time) Report {
	switch {
	case l.epoch > l.reported+1: // it has just started, slept, or its clock was set
		l.reports = 1
	case l.epoch > l.reported:
		l.reports++
	}
	l.reported = l.epoch
	// Of this epoch the others' reports are still on their way.
	r := Report{Epoch: l.epoch, Ready: nameserver && l.reports > Window && l.hears(Window-1, now), Counts: largest(counts)}
	l.Take(l.self, r, now)
	return r
}

// Take takes a report in, each of a node once, in order.
func (l *Ledger) Take(name string, r Report, now time.Time) {
	o := l.origins[name]
	if o == nil {
		o = &origin{}
		l.origins[name] = o
	}
	if r.Decision {
		o.next = &decision{at: now, stray: o.silent(now), spill: zones.NewSpill(r.Spill)}
		if force := Begin(r.Epoch).Add(ForceAfter); EpochOf(now) == r.Epoch && now.Before(force) {
			o.next.at = force
		}
		return
	}
	o.heard, o.ready = now, r.Ready
	o.reports = append(o.reports, arrived{now, r.Counts})
	o.reports = o.reports[max(0, len(o.reports)-Window):]
}

// Deciding reports whether this node is to decide now.
func (l *Ledger) Deciding(now time.Time) bool {
	self := l.origins[l.self]
	if self == nil || !self.ready || l.decided == l.epoch || now.Before(Begin(l.epoch).Add(DecideAfter)) || !l.hears(Window, now) {
		return false
	}
	for name, o := range l.origins {
		if o.ready && name < l.self && !o.silent(now) {
			return false
		}
	}
	return true
}

// hears reports whether the ledger has most of the last reports of all other nodes that it hears, up to so many of each.
func (l *Ledger) hears(last int, now time.Time) bool {
	has, all := 0, 0
	for name, o := range l.origins {
		if name != l.self && !o.silent(now) {
			has, all = has+min(len(o.reports), last), all+last
		}
	}
	return has*mostOf >= all*(mostOf-1)
}

// Decide makes this node's decision, takes it in and returns what to tell the others. Members past the limit of a report keep everything.
func (l *Ledger) Decide(spill *zones.Spill, now time.Time) Report {
	kept := spill.All()
	r := Report{Epoch: l.epoch, Decision: true, Spill: kept[:min(len(kept), maxKept)]}
	l.decided = l.epoch
	l.Take(l.self, r, now)
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
		for _, report := range o.reports {
			for _, c := range report.counts {
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

// largest returns the counts in order, each group once; if they are too many, those that count most.
func largest(counts []Count) []Count {
	counts = slices.Clone(counts)
	slices.SortFunc(counts, byName)
	once := counts[:0]
	for _, c := range counts {
		if n := len(once); n > 0 && byName(once[n-1], c) == 0 {
			once[n-1].Answers += c.Answers
			once[n-1].Requests += c.Requests
		} else {
			once = append(once, c)
		}
	}
	if len(once) > MaxCounts {
		slices.SortFunc(once, func(a, b Count) int {
			return cmp.Or(cmp.Compare(max(b.Answers, b.Requests), max(a.Answers, a.Requests)), byName(a, b))
		})
		once = once[:MaxCounts]
		slices.SortFunc(once, byName)
	}
	return once
}

func byName(a, b Count) int {
	return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Group, b.Group))
}
