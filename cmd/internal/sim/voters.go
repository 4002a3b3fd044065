package sim

import (
	"fmt"

	"github.com/meridian-gslb/meridian/health/control"
)

// voters stands in for the replicated log: one sequencer that works where a majority of voters talk to each other.
// What it has committed no crash undoes.
type voters struct {
	sim   *Sim
	hosts []*host // odd in number: of the first nodes of as many regions
	state *control.State
}

func (v *voters) begin(s *Sim) {
	v.sim = s
	for _, h := range s.hosts {
		if len(v.hosts) == 0 || v.hosts[len(v.hosts)-1].region != h.region {
			v.hosts = append(v.hosts, h)
		}
	}
	if n := min(len(v.hosts), 5); n > 0 {
		v.hosts = v.hosts[:n-(1-n%2)]
	}
	definitions := s.plan.World.Definitions
	v.state = control.New(1)
	if len(definitions.Panels) > 0 {
		v.state, _ = v.state.Apply(1, control.Command{
			Kind: control.KindDefine, Time: epoch, Actor: "world", Reason: "the configuration", Definitions: &definitions,
		})
	}
}

// quorum returns the voters that are more than half and talk to each other; nil: there are none.
func (v *voters) quorum() []*host {
	for _, leader := range v.hosts {
		if !leader.up() {
			continue
		}
		group := []*host{leader}
		for _, h := range v.hosts {
			if h != leader && v.sim.talks(leader, h) {
				group = append(group, h)
			}
		}
		if 2*len(group) > len(v.hosts) {
			return group
		}
	}
	return nil
}

// set switches controls.
func (v *voters) set(actor, reason string, switches ...control.Switch) (control.Result, error) {
	return v.decide(control.Command{Kind: control.KindSet, Actor: actor, Reason: reason, Switches: switches})
}

// decide has a command decided. The error says why it was not, or not applied: no quorum, or what the state machine says.
func (v *voters) decide(cmd control.Command) (control.Result, error) {
	if v.quorum() == nil {
		return control.Result{}, fmt.Errorf("no quorum of voters")
	}
	cmd.Time = epoch.Add(v.sim.now)
	next, result := v.state.Apply(v.state.Index+1, cmd)
	v.state = next
	v.push()
	return result, result.Err()
}

// turn is what voters do each second: their leader keeps the state up, and all tell it.
func (v *voters) turn() {
	if quorum := v.quorum(); quorum != nil {
		leader := quorum[0]
		var members []control.Member // whom clients were failed away from, as the leader answers
		if leader.snapshot != nil && !v.state.Newer(leader.snapshot.Control) {
			members = leader.snapshot.Away()
		}
		for _, cmd := range v.state.Upkeep(epoch.Add(v.sim.now), members, "node "+string(leader.name)) {
			_, err := v.decide(cmd)
			v.sim.note("%s: %v", cmd.Kind, err)
		}
	}
	v.push()
}

// push gives the state to every node that a voter of the quorum talks to. A later one may overtake it.
func (v *voters) push() {
	quorum := v.quorum()
	for _, h := range v.sim.hosts {
		for _, voter := range quorum {
			if voter != h && !v.sim.talks(voter, h) {
				continue
			}
			state := v.state
			if state.Newer(h.control) {
				link := &v.sim.links[voter.index][h.index]
				delay := v.sim.far[voter.index][h.index] + link.Delay + v.sim.upTo(link.Jitter)
				v.sim.after(delay, h, func() { h.obey(state) })
			}
			break
		}
	}
}

// obey tells the node the state of the controls.
func (h *host) obey(state *control.State) {
	h.drive(func() {
		if state.Newer(h.control) {
			h.control = state
		}
		h.node.Controls(state, h.now())
	})
}
