package health

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	hurryGap       = time.Second      // from one start to the next while something is wrong
	hurryFor       = 60 * time.Second // at most, so that what stays dead costs no more than what lives
	hurrySuccesses = 10               // in a row: nothing is wrong any more
	jitter         = 0.1              // of the interval, both ways
	firstByteLimit = 2 * time.Second
	probeLimit     = 10 * time.Second
)

// Timeouts returns how long a probe may take to have a connection (its handshake included), from the request to the first
// byte of the answer, and in all.
func Timeouts(t *Target) (connect, firstByte, total time.Duration) {
	return min(max(t.Interval/4, 1500*time.Millisecond), 4*time.Second), firstByteLimit, probeLimit
}

// A Pace decides when a vantage starts its next probe of one target. It is not for concurrent use; a copy shares the source
// of jitter with its original. The zero value is not usable.
//
// At rest there is one probe per interval. A failure, or an answer that is a second late, makes it hurry: a probe a second,
// beside those that have not answered yet. So a dead endpoint costs `fall` seconds and one time limit instead of `fall` intervals.
// The first success after failures makes it hurry too: one that is back is seen to be in `rise` seconds.
type Pace struct {
	interval time.Duration
	gap      time.Duration
	fall     int
	rnd      *rand.Rand

	started  bool
	last     time.Time // the last start
	due      time.Time // the next start at rest
	inFlight int

	hurried time.Time // when the hurry began; zero: none, or it ended well
	failing bool      // the last result was a failure: no news, so what stays dead gets one hurry, not one after the other
	good    int       // successes in a row
}

// NewPace returns the pace of a target whose first probe starts soon after first: within a second or the interval, so that
// a vantage that just started learns fast. The second follows a random part of an interval later, so that many targets that
// were new at once do not stay in step. rnd is kept. Below 1, fall counts as 1.
func NewPace(interval time.Duration, fall int, rnd *rand.Rand, first time.Time) *Pace {
	if interval <= 0 {
		panic(fmt.Sprintf("health: pace with interval %v", interval))
	}
	gap := min(interval, hurryGap)
	return &Pace{interval: interval, gap: gap, fall: max(fall, 1), rnd: rnd, due: first.Add(part(gap, rnd, 0, 1))}
}

// Next returns when to start the next probe; a time that has passed means at once. It is not ok while `fall` probes are in
// flight. The answer holds until the next Started or Ended.
//
//	hurrying   in flight   last result   next start
//	yes        any         any           a second after the last start, or at rest's time if that is earlier
//	no         some        no failure    likewise
//	no         some        a failure     at rest's time: interval ± 10 % after the last start
//	no         none        any           likewise
func (p *Pace) Next() (at time.Time, ok bool) {
	if p.inFlight >= p.fall {
		return time.Time{}, false
	}
	soon := p.last.Add(p.gap)
	if p.started && soon.Before(p.due) && (p.hurrying(soon) || p.inFlight > 0 && !p.failing) {
		return soon, true
	}
	return p.due, true
}

// Started says that a probe was started. One that starts beside another whose answer is late is a sign of trouble.
func (p *Pace) Started(now time.Time) {
	if p.inFlight > 0 && now.Sub(p.last) >= p.gap {
		p.trouble(now)
	}
	p.inFlight++
	p.last = now
	if p.started {
		p.due = now.Add(part(p.interval, p.rnd, 1-jitter, 1+jitter))
	} else {
		p.due = now.Add(part(p.interval, p.rnd, jitter, 1))
	}
	p.started = true
}

// Ended says that a probe in flight ended, whichever: ok unless it failed.
func (p *Pace) Ended(ok bool, now time.Time) {
	p.inFlight--
	if !ok {
		p.trouble(now)
		p.failing, p.good = true, 0
		return
	}
	if p.failing && !p.hurrying(now) {
		p.hurried = now
	}
	p.failing = false
	p.good++
	if p.good >= hurrySuccesses {
		p.hurried = time.Time{}
	}
}

// Retry says that what fails may be well again: it is probed at once, and in a hurry anew. Where the last result was no failure nothing changes.
func (p *Pace) Retry(now time.Time) {
	if p.failing {
		p.hurried = now
	}
}

func (p *Pace) trouble(now time.Time) {
	if !p.failing && !p.hurrying(now) {
		p.hurried = now
	}
}

func (p *Pace) hurrying(at time.Time) bool {
	return !p.hurried.IsZero() && at.Sub(p.hurried) <= hurryFor
}

// part returns a random part of d, from low to high times d.
func part(d time.Duration, rnd *rand.Rand, low, high float64) time.Duration {
	return time.Duration((low + (high-low)*rnd.Float64()) * float64(d))
}
