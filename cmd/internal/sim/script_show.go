package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// control switches controls: NAME on|off … because TEXT.
func (r *script) control(words []string) error {
	because := slices.Index(words, "because")
	if because < 0 || because%2 != 0 {
		return fmt.Errorf("want NAME on|off … because TEXT")
	}
	var switches []control.Switch
	for pair := range slices.Chunk(words[:because], 2) {
		switches = append(switches, control.Switch{Control: control.ControlID(pair[0]), On: pair[1] == "on"})
	}
	result, err := r.sim.voters.set("operator", strings.Join(words[because+1:], " "), switches...)
	if err != nil {
		r.show("refused: %v", err)
		return nil
	}
	r.show("committed at index %d", result.Index)
	return nil
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
			r.show("%-16s %-18s %s", id, state, s.Summary())
		}
		if h.control != nil {
			for _, c := range h.control.Controls() {
				if !c.On {
					r.show("control %s is off: %s", c.Name, c.Reason)
				}
			}
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
