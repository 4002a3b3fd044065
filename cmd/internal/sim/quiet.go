package sim

import (
	"fmt"
	"slices"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// mutated compares every snapshot that was ever published with what it was then.
func (s *Sim) mutated() {
	for _, k := range s.check.snapshots {
		if deepDigest(k.snapshot) != k.digest {
			s.check.violation(k.host, "its snapshot of %s has changed since", clock(k.at))
		}
	}
}

// spillAlike reports whether all nodes go by the same spill.
func (s *Sim) spillAlike() bool {
	for _, h := range s.hosts[1:] {
		if first := s.hosts[0]; h.snapshot == nil || first.snapshot == nil || len(first.snapshot.Spill.Changed(h.snapshot.Spill)) > 0 {
			return false
		}
	}
	return true
}

// quiet checks what must hold some time after the last fault: all nodes agree, and they agree with the world.
func (s *Sim) quiet() {
	c := s.check
	first := s.hosts[0]
	for _, h := range s.hosts {
		switch {
		case !h.up() || h.snapshot == nil:
			c.violation(h, "gives no answers")
			continue
		case h.snapshot.Digest != first.snapshot.Digest && !s.unproven() && !s.damped():
			c.violation(h, "answers from snapshot %v, and %s from %v", h.snapshot.Digest, first.name, first.snapshot.Digest)
		case s.voters.state.Newer(h.control):
			c.violation(h, "obeys the controls of index %d, and %d is committed", h.control.Index, s.voters.state.Index)
		}
		if n := h.view.Dropped[health.KindDemand.String()]; n > 0 { // unlike verdicts, nobody forges these
			c.violation(h, "refuses %d reports of demand", n)
		}
		for _, t := range h.plan.Targets {
			status := h.view.Health.Status(t.ID, health.Global)
			if want := s.truth(t); status.Hold == health.HoldUnproven && want == health.Down || status.Damped && status.Measured == want {
				continue // nobody has ever seen it up; or it will be, all agree, when it has been well for longer
			} else if status.Held || status.State != want || status.Fresh != len(s.hosts) {
				c.violation(h, "%s is %v (held %v): %s, and it should be %v", t.ID, status.State, status.Held, status.Summary(), want)
			}
		}
		asked := c.questions(h.snapshot.Plan)
		for i := range asked {
			c.compare(h, &asked[i], h.view.Health)
		}
	}
}

// unproven reports whether something was never up, under the present definition of its check, as far as any node knows. What a node held of it
// before, from before it lost its disk or from another definition, it still holds, and others can't know.
func (s *Sim) unproven() bool {
	return slices.ContainsFunc(s.hosts, func(h *host) bool {
		view := h.view.Health
		return slices.ContainsFunc(view.Checks(), func(id health.CheckID) bool { return view.Status(id, health.Global).Hold == health.HoldUnproven })
	})
}

// damped reports whether some nodes hold back what came and went too often while another answers it: that one, cut off or stalled, held it as up all
// the while. To go by what the vantages have seen come and go would have a region that was cut off twice move its own clients.
func (s *Sim) damped() bool {
	return slices.ContainsFunc(s.plan.Targets, func(t *health.Target) bool {
		back, up := false, false
		for _, h := range s.hosts {
			status := h.view.Health.Status(t.ID, health.Global)
			back, up = back || status.Damped, up || status.State == health.Up && status.Measured == health.Up
		}
		return back && up
	})
}

// truth is what all vantages should say of a target in a network without faults.
func (s *Sim) truth(t *health.Target) health.State {
	switch s.ends[t.Endpoint] {
	case Fine:
		return health.Up
	case Draining:
		return health.Drain
	case Lossy:
		panic(fmt.Sprintf("sim: %s is lossy: nobody knows what it is", t.Endpoint))
	}
	return health.Down
}

// calm ends every fault that is not a plain one of an endpoint, and starts every node.
func (s *Sim) calm() {
	s.note("everything that is not an endpoint is well again")
	s.healLinks()
	for _, h := range s.hosts {
		h.vantage.lie, h.dying = Honest, false
		h.wakeUp()
		h.start()
		if h.plan != s.plan {
			h.reload(s.plan)
		}
	}
	for _, endpoint := range s.endpoints() {
		if s.ends[endpoint] == Lossy {
			s.ends[endpoint] = Fine
		}
	}
}

// endpoints are all that are probed, ordered.
func (s *Sim) endpoints() []string {
	var names []string
	for _, t := range s.plan.Targets {
		names = append(names, t.Endpoint)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// reload puts another plan into a host's directory and has its node take it.
func (h *host) reload(p *zones.Plan) {
	h.plan = p
	h.sim.check.learn(p)
	if h.up() && h.node != nil {
		h.sim.after(compileTakes, h, func() { h.compiled(p) })
	}
}
