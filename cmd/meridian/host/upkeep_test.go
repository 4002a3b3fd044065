package host

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/replica"
)

// The leader ends overlays when their time is over, and latches what it is told of, once; not by what was found before the
// state changed.
func TestLeaderKeepsTheStateUp(t *testing.T) {
	h, log, err := start(t, newNode(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if log.Len() > 0 {
			t.Errorf("logged %s", log)
		}
	}()
	submit := func(c control.Command) *control.State {
		t.Helper()
		c.Actor, c.Reason = "mia", "test"
		if _, err := h.submit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return h.replica.State()
	}
	eventually(t, "the world is defined", func() bool { return h.replica.State().Generation() > 0 })
	submit(control.Command{Kind: control.KindOverlay, Overlays: []control.OverlaySet{
		{Endpoint: "use1", State: control.ForceDown, For: time.Second}, {Endpoint: "euw1", State: control.Drain, For: time.Hour}}})
	eventually(t, "an overlay ends when it expires", func() bool {
		_, there := h.replica.State().Overlay("use1")
		return !there
	})
	state := h.replica.State()
	if _, there := state.Overlay("euw1"); !there {
		t.Error("an overlay ends that does not expire yet")
	}
	history := state.History()
	if e := history[len(history)-1]; e.Kind != control.KindExpire || e.Actor != "node us-east" || e.Via != "us-east" || e.Time.Before(e.Overlays[0].Expires) {
		t.Errorf("the end is written down as %+v", e)
	}

	away := []control.Member{{Pool: "api", Endpoint: "use1"}}
	by := state
	state = submit(control.Command{Kind: control.KindResume, Resume: &control.Member{Pool: "api"}})
	if err := h.settle(t.Context(), away, by, time.Now()); err != nil || h.replica.State().Index != state.Index {
		t.Errorf("what was found before the state changed: %v, index %d, want still %d", err, h.replica.State().Index, state.Index)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.keepUp(ctx, func() ([]control.Member, *control.State) { return away, h.replica.State() })
	}()
	eventually(t, "a member is latched", func() bool { return h.replica.State().Latched("api", "use1") })
	stop()
	<-ended
	state = h.replica.State()
	if err := h.settle(t.Context(), away, state, time.Now()); err != nil || h.replica.State().Index != state.Index {
		t.Errorf("what is latched already: %v, index %d, want still %d", err, h.replica.State().Index, state.Index)
	}
	if err := h.settle(t.Context(), []control.Member{{Pool: "api", Endpoint: "no/name"}}, state, time.Now()); err == nil {
		t.Errorf("what can't be latched: %v, want it refused", err)
	}
	if got := fmt.Sprint(h.replica.Status().Role); got != string(replica.Leader) {
		t.Errorf("the node is %s, want the leader", got)
	}
}
