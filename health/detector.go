package health

import "time"

const (
	leakFailures  = 10               // failures that count as down however they are spread ...
	leakSuccesses = 10               // ... unless this many successes in a row came between them
	slowRise      = 10               // successes in a row after a down that is not to be trusted to be over
	againWithin   = 10 * time.Minute // from one down to the next: not to be trusted
)

// A Detector turns the results of one vantage about one target into that vantage's verdict. It forgets everything that it
// does not need for the next decision: its size is fixed. The zero value is not usable; a copy goes its own way; it is
// for one goroutine.
type Detector struct {
	fall, rise int
	state      State
	reason     Reason

	failures  int       // in a row
	successes int       // in a row; drain answers between them do not count and do not break it
	leaked    int       // failures since the last leakSuccesses in a row, or since the last down
	owed      int       // successes in a row from here to Up; 0 while up
	downAt    time.Time // the last step down
}

// NewDetector returns a detector that knows nothing. Below 1, fall and rise count as 1.
func NewDetector(fall, rise int) *Detector {
	return &Detector{fall: max(fall, 1), rise: max(rise, 1), owed: 1}
}

// State returns the verdict.
func (d *Detector) State() State { return d.state }

// Reason returns that of the last result that agreed with the verdict: the last failure while down, none while unknown.
func (d *Detector) Reason() Reason { return d.reason }

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
func (d *Detector) Observe(r Reason, now time.Time) (state State, changed bool) {
	before := d.state
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
	d.successes = 0
	if d.state == Down {
		return
	}
	d.failures++
	d.leaked++
	switch leaky := d.leaked >= leakFailures && d.leaked > d.failures; {
	case leaky, d.failures >= d.fall && !d.downAt.IsZero() && now.Sub(d.downAt) <= againWithin:
		d.owed = max(d.rise, slowRise)
	case d.failures >= d.fall:
		d.owed = d.rise
	default:
		return
	}
	d.state, d.downAt = Down, now
	d.failures, d.leaked = 0, 0
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
