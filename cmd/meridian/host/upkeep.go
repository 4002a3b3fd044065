package host

import (
	"context"
	"errors"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/replica"
)

const (
	upkeepEvery = time.Second
	upkeepRests = time.Minute // after a refusal: each is a line of the history, and must not push out what people did
)

// An awayFunc returns the members of pools with failback by hand that clients were failed away from, and the control state
// by which that was decided.
type awayFunc func() ([]control.Member, *control.State)

// away is an awayFunc by what this node answers.
func (h *Host) away() ([]control.Member, *control.State) {
	s := h.snapshot.Load()
	if s == nil {
		return nil, nil
	}
	return s.Away(), s.Control
}

// keepUp has the voters do what their state owes by now, while this node leads them: overlays end that are overdue, members are
// latched that clients were failed away from. A nil away is of nobody.
func (h *Host) keepUp(ctx context.Context, away awayFunc) {
	if h.replica == nil || !h.cfg.Roles.Has(health.RoleControl) || h.abstains != "" {
		return
	}
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	var rests time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if v := h.view.Load(); h.replica.Status().Role != replica.Leader || v == nil || !v.Clock.Fit || now.Before(rests) {
			continue // a clock that is off must not end what people meant to last
		}
		var members []control.Member
		var by *control.State
		if away != nil {
			members, by = away()
		}
		if err := h.settle(ctx, members, by, now); err != nil && ctx.Err() == nil {
			h.log.Error("state of endpoints not kept up", "err", err)
			rests = now.Add(upkeepRests)
		}
	}
}

// settle has the voters decide what is owed at a time, once. Members are left out where somebody has changed the state since they
// were found: one that was resumed meanwhile may be well. That there is no leader, or nobody knows whether it was decided,
// is no error: the next time tells.
func (h *Host) settle(ctx context.Context, members []control.Member, by *control.State, now time.Time) error {
	state := h.replica.State()
	if state.Newer(by) {
		members = nil
	}
	for _, c := range state.Upkeep(now, members, "node "+string(h.cfg.Name)) {
		_, err := h.replica.Submit(ctx, c)
		if errors.Is(err, replica.ErrNoLeader) || errors.Is(err, replica.ErrInDoubt) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
