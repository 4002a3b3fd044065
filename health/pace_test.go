package health

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// attempt is a probe of a simulated vantage: when it started and how it ended.
type attempt struct {
	start, end time.Time
	reason     Reason
}

// vantage runs a pace and a detector under a virtual clock.
type vantage struct {
	now      time.Time
	pace     *Pace
	detector *Detector
	answer   func(n int, start time.Time) (takes time.Duration, reason Reason) // to probe n
	attempts []attempt
	flying   []attempt
	most     int // probes in flight at once
}

// run goes on to a time, or until the verdict changes.
func (v *vantage) run(until time.Time) (changed bool) {
	for !changed {
		next, start := until.Add(1), false
		if at, ok := v.pace.Next(); ok && at.Before(next) {
			next, start = at, true
			if next.Before(v.now) {
				next = v.now
			}
		}
		first := -1
		for i, a := range v.flying {
			if !a.end.After(next) {
				next, start, first = a.end, false, i
			}
		}
		if next.After(until) {
			v.now = until
			return false
		}
		v.now = next
		if start {
			takes, reason := v.answer(len(v.attempts), next)
			a := attempt{next, next.Add(takes), reason}
			v.attempts, v.flying = append(v.attempts, a), append(v.flying, a)
			v.most = max(v.most, len(v.flying))
			v.pace.Started(next)
			continue
		}
		reason := v.flying[first].reason
		v.flying = slices.Delete(v.flying, first, first+1)
		v.pace.Ended(reason == ReasonOK || reason == ReasonDrain, next)
		_, changed = v.detector.Observe(reason, next)
	}
	return true
}

func (v *vantage) runAll(until time.Time) {
	for v.now.Before(until) {
		v.run(until)
	}
}

var epoch = time.Unix(1_000_000_000, 0)

func newVantage(interval time.Duration, fall int, rnd *rand.Rand) *vantage {
	return &vantage{now: epoch, pace: NewPace(interval, fall, rnd, epoch), detector: NewDetector(fall, 3, false)}
}

// What has been dead for long is probed at once when something says that it may be back, and in a hurry from then on.
func TestRetry(t *testing.T) {
	v := newVantage(10*time.Second, 3, rand.New(middle{}))
	dead := true
	v.answer = func(int, time.Time) (time.Duration, Reason) {
		if dead {
			return 100 * time.Millisecond, ReasonRefused
		}
		return 100 * time.Millisecond, ReasonOK
	}
	v.runAll(epoch.Add(10 * time.Minute))
	v.pace.Retry(v.now)
	before := len(v.attempts)
	v.runAll(v.now.Add(60 * time.Second))
	if got := len(v.attempts) - before; got < 58 || got > 62 {
		t.Errorf("%d probes in a minute of retrying, want one each second", got)
	}
	if first := v.attempts[before].start.Sub(epoch); first != 10*time.Minute {
		t.Errorf("the first after %v, want at once, after 10 min", first)
	}
	before = len(v.attempts)
	v.runAll(v.now.Add(60 * time.Second))
	if got := len(v.attempts) - before; got > 8 {
		t.Errorf("%d probes in the minute after it, want one each 10 s", got)
	}
	dead = false
	v.runAll(v.now.Add(5 * time.Minute))
	v.pace.Retry(v.now)
	before = len(v.attempts)
	v.runAll(v.now.Add(60 * time.Second))
	if got := len(v.attempts) - before; got > 7 {
		t.Errorf("%d probes in a minute of what is well, want one each 10 s", got)
	}
}

// middle is a source of jitter that has none: the middle of every range.
type middle struct{}

func (middle) Uint64() uint64 { return 1 << 52 }

func TestPace(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	type probe struct {
		start, takes time.Duration // want, given
		reason       Reason        // given
	}
	ok, fails := ReasonOK, ReasonTimeout
	for _, timeline := range []struct {
		why      string
		interval time.Duration
		fall     int
		probes   []probe
	}{
		{"at rest: soon, then somewhere in the interval, then one per interval", 10 * s, 3, []probe{
			{500 * ms, 50 * ms, ok}, {6 * s, 50 * ms, ok}, {16 * s, 999 * ms, ok}, {26 * s, 50 * ms, ok}, {36 * s, 50 * ms, ok},
		}},
		{"silence: a second apart, at most three in flight", 10 * s, 3, []probe{
			{500 * ms, 50 * ms, ok}, {6 * s, 4500 * ms, fails}, {7 * s, 4500 * ms, fails}, {8 * s, 4500 * ms, fails},
			{10500 * ms, 4500 * ms, fails}, {11500 * ms, 4500 * ms, fails}, {12500 * ms, 4500 * ms, fails}, {15 * s, 50 * ms, ok},
		}},
		{"a failure: the next a second after its start", 10 * s, 3, []probe{
			{500 * ms, 50 * ms, ok}, {6 * s, 50 * ms, fails}, {7 * s, 900 * ms, fails}, {8 * s, 50 * ms, fails}, {9 * s, 50 * ms, ok}, {10 * s, 50 * ms, ok},
		}},
		{"one at a time: the next at once after a failure that took long", 10 * s, 1, []probe{
			{500 * ms, 50 * ms, ok}, {6 * s, 2500 * ms, fails}, {8500 * ms, 2500 * ms, fails}, {11 * s, 50 * ms, fails}, {12 * s, 50 * ms, ok},
		}},
		{"drain is an answer", 10 * s, 3, []probe{
			{500 * ms, 50 * ms, ReasonDrain}, {6 * s, 50 * ms, ReasonDrain}, {16 * s, 50 * ms, ReasonDrain}, {26 * s, 50 * ms, ok},
		}},
		{"a new target that says nothing is hurried", 10 * s, 3, []probe{
			{500 * ms, 2500 * ms, fails}, {1500 * ms, 2500 * ms, fails}, {2500 * ms, 2500 * ms, fails}, {3500 * ms, 50 * ms, ok}, {4500 * ms, 50 * ms, ok},
		}},
		{"late but good: one more beside it, then ten in a row end the hurry", 10 * s, 3, []probe{
			{500 * ms, 50 * ms, ok}, {6 * s, 1500 * ms, ok}, {7 * s, 50 * ms, ok}, {8 * s, 50 * ms, ok}, {9 * s, 50 * ms, ok}, {10 * s, 50 * ms, ok},
			{11 * s, 50 * ms, ok}, {12 * s, 50 * ms, ok}, {13 * s, 50 * ms, ok}, {14 * s, 50 * ms, ok}, {24 * s, 50 * ms, ok},
			{34 * s, 1500 * ms, ok}, {35 * s, 50 * ms, ok}, {45 * s, 50 * ms, ok},
		}},
		{"a failure breaks the row of ten", 10 * s, 3, []probe{
			{500 * ms, 50 * ms, ok}, {6 * s, 50 * ms, fails}, {7 * s, 50 * ms, ok}, {8 * s, 50 * ms, ok}, {9 * s, 50 * ms, fails},
			{10 * s, 50 * ms, ok}, {11 * s, 50 * ms, ok}, {12 * s, 50 * ms, ok}, {13 * s, 50 * ms, ok}, {14 * s, 50 * ms, ok}, {15 * s, 50 * ms, ok},
			{16 * s, 50 * ms, ok}, {17 * s, 50 * ms, ok}, {18 * s, 50 * ms, ok}, {19 * s, 50 * ms, ok}, {29 * s, 50 * ms, ok},
		}},
		{"an interval of a second is as fast as the hurry", s, 3, []probe{
			{500 * ms, 50 * ms, ok}, {1050 * ms, 50 * ms, ok}, {2050 * ms, 1500 * ms, fails}, {3050 * ms, 1500 * ms, fails}, {4050 * ms, 50 * ms, ok},
		}},
		{"below a second the hurry is not slower than the interval", 400 * ms, 3, []probe{
			{200 * ms, 50 * ms, ok}, {420 * ms, 1500 * ms, fails}, {820 * ms, 50 * ms, fails}, {1220 * ms, 50 * ms, ok},
		}},
	} {
		v := newVantage(timeline.interval, timeline.fall, rand.New(middle{}))
		v.answer = func(n int, _ time.Time) (time.Duration, Reason) {
			return timeline.probes[n].takes, timeline.probes[n].reason
		}
		v.runAll(epoch.Add(timeline.probes[len(timeline.probes)-1].start))
		for i, probe := range timeline.probes {
			if i >= len(v.attempts) {
				t.Errorf("%s: probe %d never started, want it at %v", timeline.why, i, probe.start)
				break
			}
			if got := v.attempts[i].start.Sub(epoch); got != probe.start {
				t.Errorf("%s: probe %d started at %v, want %v", timeline.why, i, got, probe.start)
				break
			}
		}
		if v.most > timeline.fall {
			t.Errorf("%s: %d probes in flight, want at most %d", timeline.why, v.most, timeline.fall)
		}
	}
}

// What stays dead is hurried for a minute, then probed at rest; news begins another hurry.
func TestPaceOfTheDead(t *testing.T) {
	v := newVantage(10*time.Second, 3, rand.New(middle{}))
	takes, reason := 50*time.Millisecond, ReasonRefused
	v.answer = func(int, time.Time) (time.Duration, Reason) { return takes, reason }
	count := func(why string, during time.Duration, want int) {
		t.Helper()
		before := len(v.attempts)
		v.runAll(v.now.Add(during))
		if got := len(v.attempts) - before; got != want {
			t.Errorf("%s: %d probes in %v, want %d", why, got, during, want)
		}
	}
	count("the first minute", time.Minute, 60)
	count("then at rest", 10*time.Minute, 60)
	takes = 2500 * time.Millisecond
	count("and silence is no news either", 10*time.Minute, 60)
	takes = 50 * time.Millisecond
	reason = ReasonOK
	count("the first success is news, until there are ten", 30*time.Second, 10+2)
	reason = ReasonRefused
	count("a failure after it is news", 30*time.Second, 21)
	reason = ReasonOK
	count("a success in the hurry", time.Second, 1)
	reason = ReasonRefused
	count("does not make it longer", 89*time.Second, 39+5)
}

func TestPaceAtRest(t *testing.T) {
	const interval = 10 * time.Second
	var firsts, seconds, gaps []time.Duration
	for seed := range uint64(300) {
		v := newVantage(interval, 3, rand.New(rand.NewPCG(1, seed)))
		v.answer = func(int, time.Time) (time.Duration, Reason) { return 50 * time.Millisecond, ReasonOK }
		v.runAll(epoch.Add(5 * time.Minute))
		for i, a := range v.attempts {
			switch i {
			case 0:
				firsts = append(firsts, a.start.Sub(epoch))
			case 1:
				seconds = append(seconds, a.start.Sub(v.attempts[0].start))
			default:
				gaps = append(gaps, a.start.Sub(v.attempts[i-1].start))
			}
		}
	}
	for _, row := range []struct {
		why       string
		got       []time.Duration
		low, high time.Duration
	}{
		{"first probe after assignment", firsts, 0, time.Second},
		{"second probe after the first", seconds, time.Second, interval},
		{"later ones after the one before", gaps, 9 * time.Second, 11 * time.Second},
	} {
		slices.Sort(row.got)
		slack := (row.high - row.low) / 50
		lowest, highest := row.got[0], row.got[len(row.got)-1]
		if lowest < row.low || lowest > row.low+slack || highest > row.high || highest < row.high-slack {
			t.Errorf("%s: %v to %v, want all of %v to %v", row.why, lowest, highest, row.low, row.high)
		}
	}
}

// detections returns, in order, how long after its death a vantage finds an endpoint down, over many phases.
func detections(t *testing.T, interval time.Duration, how func(rnd *rand.Rand) (takes time.Duration, reason Reason)) []time.Duration {
	t.Helper()
	const rtt = 80 * time.Millisecond
	var took []time.Duration
	for seed := range uint64(5000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		v := newVantage(interval, 3, rnd)
		death := epoch.Add(5*time.Minute + time.Duration(rnd.Int64N(int64(3*interval))))
		v.answer = func(_ int, start time.Time) (time.Duration, Reason) {
			if start.Add(rtt).Before(death) {
				return rtt, ReasonOK
			}
			return how(rnd)
		}
		v.run(death)
		if v.detector.State() != Up {
			t.Fatalf("seed %d: %v before its death", seed, v.detector.State())
		}
		v.runAll(death)
		if !v.run(death.Add(time.Hour)) || v.detector.State() != Down {
			t.Fatalf("seed %d: %v an hour after its death", seed, v.detector.State())
		}
		took = append(took, v.now.Sub(death))
	}
	slices.Sort(took)
	return took
}

// One vantage's part of the promise: p50 13.5 s and p99 16 s at an interval of 10 s, p99 10 s at 5 s, loss within 6 min.
func TestDetectionTime(t *testing.T) {
	always := func(takes time.Duration, reason Reason) func(*rand.Rand) (time.Duration, Reason) {
		return func(*rand.Rand) (time.Duration, Reason) { return takes, reason }
	}
	blackHole := func(interval time.Duration) func(*rand.Rand) (time.Duration, Reason) {
		connect, _, _ := Timeouts(&Target{Interval: interval})
		return always(connect, ReasonTimeout)
	}
	loss := func(rnd *rand.Rand) (time.Duration, Reason) {
		if rnd.Float64() < 0.3 {
			return 2500 * time.Millisecond, ReasonTimeout
		}
		return 80 * time.Millisecond, ReasonOK
	}
	for _, row := range []struct {
		why            string
		interval       time.Duration
		how            func(*rand.Rand) (time.Duration, Reason)
		p50, p99, most time.Duration
	}{
		{"black hole at 10 s", 10 * time.Second, blackHole(10 * time.Second), 13500 * time.Millisecond, 15 * time.Second, 15600 * time.Millisecond},
		{"silence after the connection at 10 s", 10 * time.Second, always(2080*time.Millisecond, ReasonTimeout), 13500 * time.Millisecond, 15 * time.Second, 15600 * time.Millisecond},
		{"refused at 10 s", 10 * time.Second, always(80*time.Millisecond, ReasonRefused), 8 * time.Second, 13 * time.Second, 13200 * time.Millisecond},
		{"black hole at 5 s", 5 * time.Second, blackHole(5 * time.Second), 7 * time.Second, 9 * time.Second, 9200 * time.Millisecond},
		{"black hole at 1 s", time.Second, blackHole(time.Second), 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{"30 % loss at 10 s", 10 * time.Second, loss, 90 * time.Second, 6 * time.Minute, 10 * time.Minute},
	} {
		took := detections(t, row.interval, row.how)
		p50, p99, most := took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
		t.Logf("%-38s p50 %.2f s, p99 %.2f s, max %.2f s", row.why, p50.Seconds(), p99.Seconds(), most.Seconds())
		if p50 > row.p50 || p99 > row.p99 || most > row.most {
			t.Errorf("%s: p50 %v, p99 %v, max %v, want at most %v, %v, %v", row.why, p50, p99, most, row.p50, row.p99, row.most)
		}
	}
}

func TestTimeouts(t *testing.T) {
	for _, row := range []struct{ interval, connect time.Duration }{
		{time.Second, 1500 * time.Millisecond},
		{6 * time.Second, 1500 * time.Millisecond},
		{10 * time.Second, 2500 * time.Millisecond},
		{16 * time.Second, 4 * time.Second},
		{300 * time.Second, 4 * time.Second},
	} {
		connect, firstByte, total := Timeouts(&Target{Interval: row.interval})
		if connect != row.connect || firstByte != 2*time.Second || total != 10*time.Second {
			t.Errorf("Timeouts(%v) = %v, %v, %v, want %v, 2s, 10s", row.interval, connect, firstByte, total, row.connect)
		}
	}
}
