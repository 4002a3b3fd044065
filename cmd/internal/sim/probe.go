package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// An End is how an endpoint behaves.
type End string

const (
	Fine      End = ""
	Refused   End = "refused"
	BlackHole End = "blackhole" // no connection, no answer
	Hangs     End = "hang"      // connects and says nothing
	Status500 End = "500"
	Draining  End = "drain"
	Lossy     End = "lossy" // three probes in ten fail
)

var ends = []End{Refused, BlackHole, Hangs, Status500, Draining, Lossy}

// A Lie is what is wrong with a vantage.
type Lie string

const (
	Honest   Lie = ""
	SaysDown Lie = "down"
	SaysUp   Lie = "up"
	Frozen   Lie = "frozen" // its probes do not end
	Deaf     Lie = "deaf"   // its probes reach nothing, its messages do
)

// A vantage is what probes on a host.
type vantage struct {
	lie     Lie
	probers []*prober
}

// A prober probes one target by its pace.
type prober struct {
	target     *health.Target
	definition uint32
	pace       *health.Pace
	next       time.Duration // when the next probe is to start; -1: not scheduled
	gone       bool
}

// probe follows an assignment: what stays goes on, what is new begins.
func (h *host) probe(a *health.Assignment) {
	before := h.vantage.probers
	h.vantage.probers = nil
	for _, t := range a.Targets {
		definition := t.Digest()
		i := slices.IndexFunc(before, func(p *prober) bool { return p.target.ID == t.ID && p.definition == definition })
		if i >= 0 {
			h.vantage.probers = append(h.vantage.probers, before[i])
			continue
		}
		p := &prober{target: t, definition: definition, pace: health.NewPace(t.Interval, t.Fall, h.sim.rnd, h.now()), next: -1}
		h.vantage.probers = append(h.vantage.probers, p)
		h.pace(p)
	}
	for _, p := range before {
		p.gone = !slices.Contains(h.vantage.probers, p)
	}
}

// pace schedules the next probe.
func (h *host) pace(p *prober) {
	at, ok := p.pace.Next()
	if !ok {
		p.next = -1
		return
	}
	next := max(h.sim.now, h.sim.now+at.Sub(h.now()))
	if next == p.next {
		return
	}
	p.next = next
	h.sim.after(next-h.sim.now, h, func() {
		if p.next == next && !p.gone {
			p.next = -1
			h.attempt(p)
		}
	})
}

// retry hurries those of some probes that fail.
func (h *host) retry(checks []health.CheckID) {
	for _, p := range h.vantage.probers {
		if slices.Contains(checks, p.target.ID) {
			p.pace.Retry(h.now())
			h.pace(p)
		}
	}
}

func (h *host) attempt(p *prober) {
	start := h.now()
	takes, reason, detail := h.sim.outcome(h, p.target)
	p.pace.Started(start)
	h.pace(p)
	h.sim.after(takes, h, func() {
		h.finish(p, health.Result{Check: p.target.ID, Definition: p.definition, Reason: reason, Detail: detail, Start: start, Total: takes})
	})
}

// finish reports how a probe ended; on a frozen vantage that waits.
func (h *host) finish(p *prober, r health.Result) {
	switch {
	case p.gone:
	case h.vantage.lie == Frozen:
		h.sim.after(time.Second, h, func() { h.finish(p, r) })
	default:
		p.pace.Ended(r.Reason == health.ReasonOK || r.Reason == health.ReasonDrain, h.now())
		h.pace(p)
		h.drive(func() { h.node.Observe(r, h.now()) })
	}
}

// outcome says how a probe that starts now will end.
func (s *Sim) outcome(h *host, t *health.Target) (takes time.Duration, reason health.Reason, detail string) {
	connect, firstByte, _ := health.Timeouts(t)
	trip := 2*time.Millisecond + s.upTo(20*time.Millisecond)
	if h.region != t.Region {
		trip += 60 * time.Millisecond
	}
	switch h.vantage.lie {
	case SaysDown:
		return trip, health.ReasonRefused, "connect: refused"
	case SaysUp:
		return trip, health.ReasonOK, "200"
	case Deaf:
		return connect, health.ReasonTimeout, fmt.Sprintf("connect: no answer in %v", connect)
	}
	if s.blinded[path{h.region, t.Region}] || s.paths[path{h.region, t.Region}] || s.paths[path{t.Region, h.region}] {
		return connect, health.ReasonTimeout, fmt.Sprintf("connect: no answer in %v", connect)
	}
	switch s.ends[t.Endpoint] {
	case Refused:
		return trip, health.ReasonRefused, "connect: refused"
	case BlackHole:
		return connect, health.ReasonTimeout, fmt.Sprintf("connect: no answer in %v", connect)
	case Hangs:
		return trip + firstByte, health.ReasonTimeout, fmt.Sprintf("no first byte in %v", firstByte)
	case Status500:
		return 2 * trip, health.ReasonStatus, "status 500"
	case Draining:
		return 2 * trip, health.ReasonDrain, "status 503, draining"
	case Lossy:
		if s.chance(0.3) {
			return firstByte, health.ReasonTimeout, fmt.Sprintf("no first byte in %v", firstByte)
		}
	}
	return 2 * trip, health.ReasonOK, "status 200"
}

// fail makes an endpoint behave in some way, Fine included.
func (s *Sim) fail(endpoint string, how End) error {
	if !slices.ContainsFunc(s.plan.Targets, func(t *health.Target) bool { return t.Endpoint == endpoint }) {
		return fmt.Errorf("unknown endpoint %q", endpoint)
	}
	if how != Fine && !slices.Contains(ends, how) {
		var known []string
		for _, e := range ends {
			known = append(known, string(e))
		}
		return fmt.Errorf("endpoint %s can't fail by %q (have %s)", endpoint, how, strings.Join(known, ", "))
	}
	s.ends[endpoint] = how
	return nil
}
