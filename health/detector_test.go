package health

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// seen is a row of a timeline: after a pause, results one second apart, and the verdict at their end.
type seen struct {
	after   time.Duration
	results string // o ok, d drain, t timeout, r refused, s status, n no route, . none; "3t" is "ttt"
	state   State
	reason  Reason
}

var letters = map[byte]Reason{
	'o': ReasonOK, 'd': ReasonDrain, 't': ReasonTimeout, 'r': ReasonRefused, 's': ReasonStatus, 'n': ReasonNoRoute, '.': ReasonNone,
}

func expand(t *testing.T, results string) (reasons []Reason) {
	t.Helper()
	for results != "" {
		digits := len(results) - len(strings.TrimLeft(results, "0123456789"))
		count := 1
		if digits > 0 {
			count, _ = strconv.Atoi(results[:digits])
		}
		reason, ok := letters[results[digits]]
		if !ok {
			t.Fatalf("results %q: unknown letter", results)
		}
		for range count {
			reasons = append(reasons, reason)
		}
		results = results[digits+1:]
	}
	return reasons
}

func TestDetector(t *testing.T) {
	for _, timeline := range []struct {
		why        string
		fall, rise int
		rows       []seen
	}{
		{"the first success is believed at once", 3, 3, []seen{
			{0, "", Unknown, ReasonNone},
			{0, "o", Up, ReasonOK},
		}},
		{"no evidence is no evidence", 1, 1, []seen{
			{0, "5.", Unknown, ReasonNone},
			{0, "o5.", Up, ReasonOK},
		}},
		{"from unknown, failures are believed after fall of them", 3, 3, []seen{
			{0, "2t", Unknown, ReasonNone},
			{0, "t", Down, ReasonTimeout},
		}},
		{"one success after failures from unknown is the first evidence", 3, 3, []seen{
			{0, "2to", Up, ReasonOK},
			{0, "2t", Up, ReasonOK},
			{0, "t", Down, ReasonTimeout},
		}},
		{"a success between failures begins the count anew", 3, 3, []seen{
			{0, "o2to2t", Up, ReasonOK},
			{0, "t", Down, ReasonTimeout},
		}},
		{"every kind of failure feeds one counter, and the last one is the reason", 3, 3, []seen{
			{0, "otr", Up, ReasonOK},
			{0, "s", Down, ReasonStatus},
			{0, "n", Down, ReasonNoRoute},
			{0, "o", Down, ReasonNoRoute},
		}},
		{"up after rise successes in a row", 3, 3, []seen{
			{0, "o3t", Down, ReasonTimeout},
			{0, "2ot2o", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
		}},
		{"rise may be longer than the slow one", 1, 12, []seen{
			{0, "ot11o", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
			{0, "t11o", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
		}},
		{"fall and rise of nothing count as one", 0, 0, []seen{
			{0, "ot", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
		}},
		{"ten failures without ten successes between them are loss", 3, 3, []seen{
			{0, "o", Up, ReasonOK},
			{0, "t9ot9ot9ot9ot9o", Up, ReasonOK},
			{0, "t9ot9ot9ot9o", Up, ReasonOK},
			{0, "t", Down, ReasonTimeout},
			{0, "9o", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
		}},
		{"ten successes in a row forgive all failures before them", 3, 3, []seen{
			{0, "o2to2to2to2tot", Up, ReasonOK},
			{0, "10o", Up, ReasonOK},
			{0, "2to2to2to2tot", Up, ReasonOK},
			{0, "ot", Down, ReasonTimeout},
		}},
		{"failures while down are not held against it later", 3, 3, []seen{
			{0, "o50t3o", Up, ReasonOK},
			{0, "2t", Up, ReasonOK},
		}},
		{"neither are those before it", 3, 3, []seen{
			{0, "o2to2to2to3t3o", Up, ReasonOK},
			{0, "2t", Up, ReasonOK},
		}},
		{"a down by loss and by fall at once counts as loss", 3, 3, []seen{
			{0, "o2to2to2toto3t", Down, ReasonTimeout},
			{0, "9o", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
		}},
		{"fall may be longer than the leak", 12, 2, []seen{
			{0, "o11t", Up, ReasonOK},
			{0, "t2o", Up, ReasonOK},
		}},
		{"a second down within ten minutes needs ten successes", 3, 3, []seen{
			{0, "o3t3o", Up, ReasonOK},
			{9*time.Minute + 50*time.Second, "3t", Down, ReasonTimeout},
			{0, "9o", Down, ReasonTimeout},
			{0, "o", Up, ReasonOK},
		}},
		{"a second down later is a first one", 3, 3, []seen{
			{0, "o3t3o", Up, ReasonOK},
			{10 * time.Minute, "3t", Down, ReasonTimeout},
			{0, "3o", Up, ReasonOK},
		}},
		{"a drain answer is drain at once and costs nothing", 3, 3, []seen{
			{0, "od", Drain, ReasonDrain},
			{0, "5d", Drain, ReasonDrain},
			{0, "o", Up, ReasonOK},
			{0, "d", Drain, ReasonDrain},
			{0, "o", Up, ReasonOK},
		}},
		{"drain is evidence for an unknown target", 3, 3, []seen{
			{0, "d", Drain, ReasonDrain},
			{0, "o", Up, ReasonOK},
		}},
		{"a drain answer ends a row of failures", 3, 3, []seen{
			{0, "o2td2t", Drain, ReasonDrain},
			{0, "t", Down, ReasonTimeout},
		}},
		{"what drained while it was down still owes its successes", 3, 3, []seen{
			{0, "o3td", Drain, ReasonDrain},
			{0, "2o", Drain, ReasonDrain},
			{0, "o", Up, ReasonOK},
		}},
		{"a drain answer neither adds to a row of successes nor breaks it", 3, 3, []seen{
			{0, "o3t2od", Drain, ReasonDrain},
			{0, "d", Drain, ReasonDrain},
			{0, "o", Up, ReasonOK},
		}},
	} {
		d := NewDetector(timeline.fall, timeline.rise, false)
		now := time.Unix(1_000_000_000, 0)
		for i, row := range timeline.rows {
			now = now.Add(row.after)
			for _, reason := range expand(t, row.results) {
				now = now.Add(time.Second)
				before := d.State()
				state, changed := d.Observe(reason, now)
				if state != d.State() || changed != (state != before) {
					t.Errorf("%s: Observe(%v) = %v, %v from %v to %v", timeline.why, reason, state, changed, before, d.State())
				}
			}
			if d.State() != row.state || d.Reason() != row.reason {
				t.Errorf("%s: row %d: after %q: %v (%v), want %v (%v)", timeline.why, i, row.results, d.State(), d.Reason(), row.state, row.reason)
			}
		}
	}
}
