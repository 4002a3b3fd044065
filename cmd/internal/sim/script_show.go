package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// control switches controls: NAME on|off … because TEXT.
func (r *script) control(words []string) error {
	words, reason, err := because(words)
	if err != nil || len(words)%2 != 0 {
		return fmt.Errorf("want NAME on|off … because TEXT")
	}
	cmd := control.Command{Kind: control.KindSet, Reason: reason}
	for pair := range slices.Chunk(words, 2) {
		cmd.Switches = append(cmd.Switches, control.Switch{Control: control.ControlID(pair[0]), On: pair[1] == "on"})
	}
	r.order(cmd)
	return nil
}

// endpoint sets endpoints by hand: NAME … STATE [for DURATION] because TEXT.
func (r *script) endpoint(words []string) error {
	words, reason, err := because(words)
	if err != nil {
		return err
	}
	var life time.Duration
	if i := slices.Index(words, "for"); i >= 0 {
		if i != len(words)-2 {
			return fmt.Errorf("want NAME … STATE for DURATION")
		}
		if life, err = time.ParseDuration(words[i+1]); err != nil {
			return err
		}
		words = words[:i]
	}
	if len(words) < 2 {
		return fmt.Errorf("want NAME … STATE")
	}
	cmd := control.Command{Kind: control.KindOverlay, Reason: reason}
	state := control.Manual(words[len(words)-1])
	for _, name := range words[:len(words)-1] {
		cmd.Overlays = append(cmd.Overlays, control.OverlaySet{Endpoint: name, State: state, For: life})
	}
	r.order(cmd)
	return nil
}

// resume ends latches: POOL [ENDPOINT] because TEXT.
func (r *script) resume(words []string) error {
	words, reason, err := because(words)
	if err != nil || len(words) == 0 || len(words) > 2 {
		return fmt.Errorf("want POOL [ENDPOINT] because TEXT")
	}
	cmd := control.Command{Kind: control.KindResume, Reason: reason, Resume: &control.Member{Pool: words[0]}}
	if len(words) > 1 {
		cmd.Resume.Endpoint = words[1]
	}
	r.order(cmd)
	return nil
}

// freeze stops all automatic change, or lets it go on: on|off because TEXT.
func (r *script) freeze(words []string) error {
	words, reason, err := because(words)
	if err != nil || len(words) != 1 {
		return fmt.Errorf("want on or off because TEXT")
	}
	on := words[0] == "on"
	r.order(control.Command{Kind: control.KindFreeze, Reason: reason, Freeze: &on})
	return nil
}

// release ends the hold of a mass change: because TEXT.
func (r *script) release(words []string) error {
	_, reason, err := because(words)
	if err == nil {
		r.order(control.Command{Kind: control.KindRelease, Reason: reason})
	}
	return err
}

// because splits words into an order and its reason.
func because(words []string) (order []string, reason string, err error) {
	i := slices.Index(words, "because")
	if i < 0 {
		return nil, "", fmt.Errorf("want … because TEXT")
	}
	return words[:i], strings.Join(words[i+1:], " "), nil
}

// order has the voters decide, and shows what became of it.
func (r *script) order(cmd control.Command) {
	cmd.Actor = "operator"
	result, err := r.sim.voters.decide(cmd)
	if err != nil {
		r.show("refused: %v", err)
		return
	}
	r.show("committed at index %d", result.Index)
}

// status shows what a node believes of every check.
func (r *script) status(words []string) error {
	hosts, err := r.hosts(words)
	for _, h := range hosts {
		if h.view == nil {
			r.show("%s is down", h.name)
			continue
		}
		for _, id := range h.view.Health.Checks() {
			s := h.view.Health.Status(id, health.Global)
			state := s.State.String()
			if s.Held {
				state += ", held"
			}
			if s.HeldBack {
				state += ", held back"
			}
			if s.Damped {
				state += ", damped"
			}
			r.show("%-16s %-18s %s", id, state, s.Summary())
		}
		if h.control != nil {
			for _, c := range h.control.Controls() {
				if !c.On {
					r.show("control %s is off: %s", c.Name, c.Reason)
				}
			}
		}
		for _, o := range h.control.Overlays() {
			overdue := ""
			if o.Overdue(h.now()) {
				overdue = ", overdue"
			}
			r.show("endpoint %s is set to %s%s: %s", o.Endpoint, o.State, overdue, o.Reason)
		}
		for _, l := range h.control.Latches() {
			r.show("endpoint %s of pool %s waits to be resumed", l.Endpoint, l.Pool)
		}
	}
	return err
}

// events shows what a node wrote in its journal since it was last asked for the same.
func (r *script) events(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("which node?")
	}
	hosts, err := r.hosts(words[:1])
	key := strings.Join(words, " ")
	any := false
	for _, l := range r.sim.log[r.shown[key]:] {
		if len(words) > 1 && !slices.Contains(words[1:], string(l.kind)) {
			continue
		}
		if i := slices.IndexFunc(hosts, func(h *host) bool { return string(h.name) == l.who }); i >= 0 {
			who := ""
			if len(hosts) > 1 {
				who = fmt.Sprintf("%-10s ", l.who)
			}
			r.show("%9s  %s%s", clock(l.at), who, l.text)
			any = true
		}
	}
	r.shown[key] = len(r.sim.log)
	if !any {
		r.show("nothing")
	}
	return err
}

// agree shows which nodes answer alike.
func (r *script) agree([]string) error {
	var order []health.Hash64
	alike := make(map[health.Hash64][]*host)
	for _, h := range r.sim.hosts {
		if h.snapshot == nil {
			r.show("%s gives no answers", h.name)
			continue
		}
		if alike[h.snapshot.Digest] == nil {
			order = append(order, h.snapshot.Digest)
		}
		alike[h.snapshot.Digest] = append(alike[h.snapshot.Digest], h)
	}
	for _, digest := range order {
		if len(order) == 1 {
			r.show("all alike: %s", names(alike[digest]))
		} else {
			r.show("alike: %s", names(alike[digest]))
		}
	}
	return nil
}

func (r *script) loads(words []string) error {
	hosts, err := r.hosts(words)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		for _, l := range h.view.Loads {
			r.show("%-5s gets %4.0f of %4.0f, has room for %3d ‰ of the prefixes", l.Member, l.Load, l.Capacity, l.PerMille)
		}
	}
	return nil
}
