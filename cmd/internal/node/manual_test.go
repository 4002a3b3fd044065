package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// What people do by hand is in the journal, with who and why, and with what is measured under it.
func TestManualStatesAreTold(t *testing.T) {
	eu, in, us := mesh(t)
	for range 3 {
		eu.observe(health.ReasonOK)
		in.observe(health.ReasonOK)
		us.observe(health.ReasonOK)
	}
	run(3*time.Second, eu, in, us)
	if s := eu.status("eu1"); s.State != health.Up {
		t.Fatalf("it is %v, want up", s.State)
	}
	seen := len(eu.seen)
	state := control.New(1)
	apply := func(cmds ...control.Command) {
		t.Helper()
		for _, cmd := range cmds {
			var res control.Result
			if cmd.Time.IsZero() {
				cmd.Time = testEpoch
			}
			if state, res = state.Apply(state.Index+1, cmd); res.Err() != nil {
				t.Fatal(res.Err())
			}
		}
	}
	set := func(state control.Manual, life time.Duration, endpoints ...string) control.Command {
		c := control.Command{Kind: control.KindOverlay, Actor: "mia", Reason: "disk replaced"}
		for _, e := range endpoints {
			c.Overlays = append(c.Overlays, control.OverlaySet{Endpoint: e, State: state, For: life})
		}
		return c
	}
	latch := func(endpoints ...string) control.Command {
		c := control.Command{Kind: control.KindLatch, Actor: "node us1", Reason: "failed away from"}
		for _, e := range endpoints {
			c.Latch = append(c.Latch, control.Member{Pool: "api", Endpoint: e})
		}
		return c
	}
	for _, tt := range []struct {
		name string
		do   []control.Command
		want string
	}{
		{"set, of which no pool has one", []control.Command{set(control.ForceDown, time.Hour, "eu1", "zz1")},
			"endpoint eu1: force_down by mia: disk replaced, until 2026-01-01T01:00:00Z; measured up|" +
				"endpoint zz1: force_down by mia: disk replaced, until 2026-01-01T01:00:00Z; no pool here has it"},
		{"another expiry", []control.Command{set(control.ForceDown, 0, "eu1")}, "endpoint eu1: force_down by mia: disk replaced; measured up"},
		{"nothing that changes an overlay", []control.Command{set(control.ForceDown, 0, "eu1")}, ""},
		{"taken away, in a state that is several commands on", []control.Command{set(control.Auto, 0, "eu1"), set(control.Drain, 0, "us1")},
			"endpoint eu1: auto by mia: disk replaced, was force_down by mia: disk replaced; measured up|endpoint us1: drain by mia: disk replaced; measured up"},
		{"expired", []control.Command{{Kind: control.KindExpire, Actor: "node us1", Reason: "its time is over", Time: testEpoch.Add(2 * time.Hour)}},
			"endpoint zz1: auto by node us1: its time is over, was force_down by mia: disk replaced; no pool here has it"},
		{"latched", []control.Command{latch("eu1", "us1")}, "latch api: eu1 is passed over until it is resumed|latch api: us1 is passed over until it is resumed"},
		{"another one too", []control.Command{latch("eu1", "in1")}, "latch api: in1 is passed over until it is resumed"},
		{"one resumed", []control.Command{{Kind: control.KindResume, Actor: "mia", Reason: "well again", Resume: &control.Member{Pool: "api", Endpoint: "us1"}}},
			"latch api: us1 resumed by mia: well again"},
		{"all resumed", []control.Command{{Kind: control.KindResume, Actor: "mia", Reason: "all well", Resume: &control.Member{Pool: "api"}}},
			"latch api: eu1 resumed by mia: all well|latch api: in1 resumed by mia: all well"},
	} {
		apply(tt.do...)
		eu.Controls(state, eu.now)
		eu.step()
		var said []string
		for _, e := range eu.seen[seen:] {
			said = append(said, fmt.Sprintf("%s %s: %s", e.Kind, e.Subject, e.Text))
		}
		seen = len(eu.seen)
		if got := strings.Join(said, "|"); got != tt.want {
			t.Errorf("%s: events\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// A state that has forgotten the command still says what it took away.
func TestManualStateTakenAwayByAForgottenCommand(t *testing.T) {
	eu, _, _ := mesh(t)
	first, _ := control.New(1).Apply(1, control.Command{Kind: control.KindOverlay, Time: testEpoch, Actor: "mia", Reason: "x",
		Overlays: []control.OverlaySet{{Endpoint: "eu1", State: control.ForceUp}}})
	first, _ = first.Apply(2, control.Command{Kind: control.KindLatch, Time: testEpoch, Actor: "node us1", Reason: "x", Latch: []control.Member{{Pool: "api", Endpoint: "eu1"}}})
	eu.Controls(first, eu.now)
	eu.Controls(control.New(2), eu.now) // of voters that were set up anew
	eu.step()
	n := len(eu.seen)
	got := eu.seen[n-2].Text + "|" + eu.seen[n-1].Text
	if want := "auto, was force_up; measured unknown|eu1 resumed"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestSayMeasured(t *testing.T) {
	type states = map[health.CheckID]health.State
	four, six := zones.CheckID("api", "eu1", zones.IPv4), zones.CheckID("api", "eu1", zones.IPv6)
	for _, tt := range []struct {
		name   string
		states states
		here   bool
		want   string
	}{
		{"checks agree", states{four: health.Down, six: health.Down}, true, "measured down"},
		{"checks differ", states{four: health.Up, six: health.Drain}, true, "measured api/eu1/ipv4 up, api/eu1/ipv6 drain"},
		{"a member without a check", states{}, true, "no check measures it"},
		{"an endpoint that the world lost", nil, false, "no pool here has it"},
	} {
		if got := sayMeasured(tt.states, tt.here); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
