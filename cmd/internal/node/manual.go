package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// noteOverlays makes events of the endpoints that a new state has another manual state of, or another expiry. Each says
// what is measured under it.
func (n *Node) noteOverlays(s *control.State) {
	texts := make(map[string]string) // by endpoint
	for _, o := range s.Overlays() {
		before, was := n.control.Overlay(o.Endpoint)
		if was && before == o {
			continue
		}
		text := fmt.Sprintf("%s by %s: %s", o.State, o.Actor, o.Reason)
		if !o.Expires.IsZero() {
			text += ", until " + o.Expires.Format(time.RFC3339)
		}
		texts[o.Endpoint] = text
	}
	for _, o := range n.control.Overlays() {
		if _, stays := s.Overlay(o.Endpoint); stays {
			continue
		}
		text := fmt.Sprintf("%s, was %s", control.Auto, o.State)
		if e := lastOf(s, func(e *control.Entry) bool {
			return slices.ContainsFunc(e.Overlays, func(c control.OverlayChange) bool { return c.Endpoint == o.Endpoint })
		}); e != nil {
			text = fmt.Sprintf("%s by %s: %s, was %s by %s: %s", control.Auto, e.Actor, e.Reason, o.State, o.Actor, o.Reason)
		}
		texts[o.Endpoint] = text
	}
	if len(texts) == 0 {
		return
	}
	measured := n.measured()
	for _, endpoint := range slices.Sorted(maps.Keys(texts)) {
		states, here := measured[endpoint]
		n.event(health.EventEndpoint, endpoint, texts[endpoint]+"; "+sayMeasured(states, here))
		n.change.Endpoints = append(n.change.Endpoints, endpoint)
	}
}

// noteLatches makes events of the members that a new state latches or no longer does.
func (n *Node) noteLatches(s *control.State) {
	for _, l := range s.Latches() {
		if !n.control.Latched(l.Pool, l.Endpoint) {
			n.event(health.EventLatch, l.Pool, fmt.Sprintf("%s is passed over until it is resumed", l.Endpoint))
			n.change.Endpoints = append(n.change.Endpoints, l.Endpoint)
		}
	}
	for _, l := range n.control.Latches() {
		if s.Latched(l.Pool, l.Endpoint) {
			continue
		}
		text := fmt.Sprintf("%s resumed", l.Endpoint)
		if e := lastOf(s, func(e *control.Entry) bool {
			return slices.ContainsFunc(e.Latches, func(c control.LatchChange) bool { return c.Pool == l.Pool && c.Endpoint == l.Endpoint })
		}); e != nil {
			text = fmt.Sprintf("%s resumed by %s: %s", l.Endpoint, e.Actor, e.Reason)
		}
		n.event(health.EventLatch, l.Pool, text)
		n.change.Endpoints = append(n.change.Endpoints, l.Endpoint)
	}
}

// lastOf returns the newest line of the audit log that was applied and is of a kind; nil: it is no longer kept.
func lastOf(s *control.State, is func(*control.Entry) bool) *control.Entry {
	for _, e := range slices.Backward(s.History()) {
		if e.Refused == "" && is(e) {
			return e
		}
	}
	return nil
}

// measured returns what the checks of each endpoint in a pool show, whatever it is set to by hand.
func (n *Node) measured() map[string]map[health.CheckID]health.State {
	all := make(map[string]map[health.CheckID]health.State)
	if n.plan == nil {
		return all
	}
	for _, pool := range n.plan.Pools {
		for i := range pool.Leaves {
			all[pool.Leaves[i].Endpoint] = nil
		}
	}
	view := n.table.View()
	for _, t := range n.plan.Subjects {
		if all[t.Endpoint] == nil {
			all[t.Endpoint] = make(map[health.CheckID]health.State)
		}
		all[t.Endpoint][t.Check] = view.Status(t.Check, health.Global).State
	}
	return all
}

// sayMeasured says what the checks of an endpoint show: "measured up" where they agree, and else each by itself.
func sayMeasured(states map[health.CheckID]health.State, here bool) string {
	switch {
	case !here:
		return "no pool here has it"
	case len(states) == 0:
		return "no check measures it"
	}
	var said []string
	alike := true
	first := health.Unknown
	for i, id := range slices.Sorted(maps.Keys(states)) {
		if i == 0 {
			first = states[id]
		}
		alike = alike && states[id] == first
		said = append(said, fmt.Sprintf("%s %v", id, states[id]))
	}
	if alike {
		return "measured " + first.String()
	}
	return "measured " + strings.Join(said, ", ")
}
