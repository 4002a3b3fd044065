package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/dns/transfer"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// confirmWait is how long the nameservers have to confirm a challenge that came by the API.
const confirmWait = 8 * time.Second

// known returns the values that a challenge has in the state that this node's answers obey.
func (t *transfers) known(name string) (values []transfer.TXT) {
	current, _ := t.host.obeyed().Challenges(time.Now())
	for _, c := range current {
		if c.Name == name {
			values = append(values, transfer.TXT{Value: c.Value, TTL: c.TTL, Expires: c.Expires})
		}
	}
	return values
}

// change makes the changes of a dynamic update.
func (t *transfers) change(ctx context.Context, changes []transfer.Change) error {
	cmd := control.Command{Kind: control.KindChallenge, Actor: "node " + string(t.host.cfg.Name), Reason: "dynamic update of " + changes[0].Zone}
	for _, c := range changes {
		cmd.Challenges = append(cmd.Challenges, control.ChallengeSet{Name: c.Name, Value: c.Value, Clear: c.Delete, TTL: c.TTL, Expires: c.Expires})
	}
	result, err := t.host.challenge(ctx, cmd)
	if err == nil {
		err = result.Err()
	}
	return err
}

// challenge has a change of challenges decided, and waits until every nameserver that can be reached answers by it.
func (h *Host) challenge(ctx context.Context, cmd control.Command) (control.Result, error) {
	result, err := h.submit(ctx, cmd)
	if err != nil || result.Err() != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	for {
		changed := h.changed.next()
		missing := h.unconfirmed(result.Epoch, result.Index)
		if len(missing) == 0 {
			return result, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return result, fmt.Errorf("nameservers have not confirmed: %s", strings.Join(missing, ", "))
		}
	}
}

// unconfirmed returns the nameservers that are alive and do not say that they answer by a control state, or a later one.
func (h *Host) unconfirmed(epoch, index uint64) (missing []string) {
	obeys := func(e, i uint64) bool { return e > epoch || e == epoch && i >= index }
	v := h.view.Load()
	if v == nil {
		return []string{string(h.cfg.Name)}
	}
	for _, p := range v.Peers {
		if !p.Roles.Has(health.RoleDNS) || !p.Alive {
			continue
		}
		var ok bool
		if p.Node == h.cfg.Name {
			s := h.obeyed()
			ok = s != nil && obeys(s.Epoch, s.Index)
		} else {
			ok = p.Heartbeat != nil && obeys(p.Heartbeat.Epoch, p.Heartbeat.Index)
		}
		if !ok {
			missing = append(missing, string(p.Node))
		}
	}
	return missing
}
