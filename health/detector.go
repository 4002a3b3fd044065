package health

import (
	"math"
	"time"
)

const (
	leakFailures  = 10               // failures that count as down however they are spread ...
	leakSuccesses = 10               // ... unless this many successes in a row came between them
	slowRise      = 10               // successes in a row after a down that is not to be trusted to be over
	lossFailures  = 2                // before those in a row of a down, and not in a row with them, since leakSuccesses in a row: loss too
	againWithin   = 10 * time.Minute // from one down to the next: not to be trusted
)

// Damping, after route flap damping (RFC 2439, with the narrower parameters of RFC 7196's reasoning: a single change must never be enough).
const (
	penaltyDown    = 1000.0 // a down ...
	penaltyLoss    = 2000.0 // ... by loss: such an endpoint will come and go
	penaltyFailure = 200.0  // a failure after a success, while damped: what still loses one probe in ten is not well
	dampAt         = 2000.0
	undampAt       = 750.0
	halfLife       = 5 * time.Minute
	dampFor        = 30 * time.Minute // at most, from the last failure on
)

// A Detector turns the results of one vantage about one target into that vantage's verdict. It forgets everything that it
// does not need for the next decision: its size is fixed. The zero value is not usable; a copy goes its own way; it is
// for one goroutine.
type Detector struct {
	fall, rise int
	damping    bool
	state      State
	reason     Reason

	failures  int       // in a row
	successes int       // in a row; drain answers between them do not count and do not break it
	leaked    int       // failures since the last leakSuccesses in a row, or since the last down
	owed      int       // successes in a row from here to Up; 0 while up
	downAt    time.Time // the last step down
	penalty   float64   // of coming and going, at penalized; it halves every halfLife
	penalized time.Time
	damped    bool
}

// NewDetector returns a detector that knows nothing. Below 1, fall and rise count as 1.
func NewDetector(fall, rise int, damping bool) *Detector {
	return &Detector{fall: max(fall, 1), rise: max(rise, 1), damping: damping, owed: 1}
}

// State returns the verdict.
func (d *Detector) State() State { return d.state }

// Reason returns that of the last result that agreed with the verdict: the last failure while down, none while unknown. While the
// endpoint is up after it came and went too often, it is ReasonDamped.
func (d *Detector) Reason() Reason {
	if d.state == Up && d.damped {
		return ReasonDamped
	}
	return d.reason
}

// Observe takes a result and says what the vantage now believes, and whether that is news. Results count in the order in
// which they end. ReasonNone is no evidence and changes nothing.
//
//	result    before       and                                               state   successes owed until up
//	ok        unknown      -                                                 up      0    the first evidence is believed at once
//	ok        down, drain  as many in a row as are owed                      up      0
//	ok        any          else                                              as is   as is
//	drain     unknown, up  -                                                 drain   1    no penalty: the endpoint asked for it
//	drain     down, drain  -                                                 drain   as is
//	failure   down         -                                                 down    as is
//	failure   other        10 failures, not all in a row, and never 10       down    10   loss: three good answers prove nothing
//	                       successes in a row between them
//	failure   other        `fall` in a row                                   down    `rise`; at least 10 if the last down
//	                                                                                 began 10 min ago or less
//	failure   other        else                                              as is   as is
//
// Every kind of failure feeds the same counters. From unknown a single failure is not believed: only `fall` of them are,
// for a target that was never seen to answer may be one packet away from it.
//
// Beside the verdict runs a penalty for coming and going: 1000 for each step down, 2000 for one by loss, half of it gone after
// 5 minutes. From 2000 on the endpoint is damped until less than 750 are left; while it is, every failure after a success adds 200.
func (d *Detector) Observe(r Reason, now time.Time) (state State, changed bool) {
	before := d.state
	d.forgive(now)
	switch r {
	case ReasonNone:
	case ReasonOK:
		d.succeed()
	case ReasonDrain:
		d.failures = 0
		if d.state == Unknown || d.state == Up {
			d.owed = 1
		}
		d.state = Drain
	default:
		d.fail(now)
	}
	if agrees(r, d.state) {
		d.reason = r
	}
	return d.state, d.state != before
}

func (d *Detector) succeed() {
	d.failures = 0
	d.successes++
	if d.successes >= leakSuccesses {
		d.leaked = 0
	}
	if d.state != Up && d.successes >= d.owed {
		d.state, d.owed = Up, 0
	}
}

func (d *Detector) fail(now time.Time) {
	if d.damped && d.successes > 0 {
		d.penalize(penaltyFailure)
	}
	d.successes = 0
	if d.state == Down {
		return
	}
	d.failures++
	d.leaked++
	leaky := d.leaked >= leakFailures && d.leaked > d.failures
	switch {
	case leaky, d.failures >= d.fall && !d.downAt.IsZero() && now.Sub(d.downAt) <= againWithin:
		d.owed = max(d.rise, slowRise)
	case d.failures >= d.fall:
		d.owed = d.rise
	default:
		return
	}
	if leaky || d.leaked-d.failures >= lossFailures {
		d.penalize(penaltyLoss)
	} else {
		d.penalize(penaltyDown)
	}
	d.state, d.downAt = Down, now
	d.failures, d.leaked = 0, 0
}

// penalize adds to the penalty, up to what dampFor without a failure takes away.
func (d *Detector) penalize(by float64) {
	if !d.damping {
		return
	}
	d.penalty = min(d.penalty+by, undampAt*math.Exp2(float64(dampFor)/float64(halfLife)))
	d.damped = d.damped || d.penalty >= dampAt
}

// forgive lets the penalty fade up to a time.
func (d *Detector) forgive(now time.Time) {
	if d.penalty > 0 {
		d.penalty *= math.Exp2(-float64(now.Sub(d.penalized)) / float64(halfLife))
		d.damped = d.damped && d.penalty >= undampAt
	}
	d.penalized = now
}

// agrees reports whether a result is evidence for a state.
func agrees(r Reason, s State) bool {
	switch s {
	case Up:
		return r == ReasonOK
	case Drain:
		return r == ReasonDrain
	case Down:
		return r != ReasonNone && r != ReasonOK && r != ReasonDrain
	}
	return false
}
