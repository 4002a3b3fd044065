package node

import (
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// Whoever drives a node waits until Wake: a time in the past would make it spin.
func TestWakeIsAhead(t *testing.T) {
	for _, roles := range []health.Roles{health.RoleDNS, health.RoleControl, health.RoleGateway, health.RoleProbe} {
		config := testConfig("eu1")
		config.Roles = roles
		n, now := New(config, nil, testEpoch), testEpoch
		for range 200 {
			n.Tick(now)
			wake := n.Ready().Wake
			if !wake.After(now) {
				t.Fatalf("roles %v: at %v Wake = %v", roles.Names(), now.Sub(testEpoch), wake.Sub(testEpoch))
			}
			now = wake
		}
	}
}

// For a day a node that is gone counts as a vantage that is missed, from when it was last alive.
func TestForgetting(t *testing.T) {
	eu, _, _ := mesh(t)
	vantages := func() int { return len(eu.vantages()) }
	all := vantages()
	eu.pass(30 * time.Hour) // nothing happens to the mesh
	eu.meet()               // and then everybody is lost at once
	eu.step()
	if got := vantages(); got != all {
		t.Fatalf("after a loss that follows a quiet day %d vantages count, want %d", got, all)
	}
	eu.pass(forgetAfter - time.Minute)
	if got := vantages(); got != all {
		t.Fatalf("just before the day is over %d vantages count, want %d", got, all)
	}
	again := eu.restart()
	again.meet()
	again.step()
	if got := len(again.vantages()); got != all {
		t.Errorf("after a restart %d vantages count, want %d", got, all)
	}
	eu.pass(2 * time.Minute)
	if got := vantages(); got != 1 {
		t.Errorf("after a day %d vantages count, want this node alone", got)
	}
}

// A node knows its own key from the start, and believes nobody without one.
func TestOwnKey(t *testing.T) {
	n := start(t, "eu1", testEpoch)
	if n.members["eu1"].Key != testKey("eu1") {
		t.Errorf("key of a new node = %x, want its own", n.members["eu1"].Key)
	}
	stranger := memberOf("in1")
	stranger.Key = [32]byte{}
	n.Members([]health.Member{stranger}, n.now)
	n.Receive(health.Seal(health.KindPull, "in1", (&health.Pull{Of: "eu1"}).Append(nil), func(m []byte) []byte { return testSign([32]byte{}, m) }), n.now, n.now)
	if out := n.step(); len(kinds(out.Messages, health.KindVerdicts)) > 0 {
		t.Error("a message signed by the zero key was taken")
	}
}

// One request repeated costs one answer a second.
func TestPullsAreAnsweredOnceASecond(t *testing.T) {
	eu, in, _ := mesh(t)
	pull := health.Message{Bytes: health.Seal(health.KindPull, "in1", (&health.Pull{Of: "eu1"}).Append(nil), in.cfg.Sign)}
	answers := 0
	for range 100 {
		answers += len(kinds(eu.get(pull).Messages, health.KindVerdicts))
	}
	if answers != 1 {
		t.Errorf("100 pulls at one time got %d answers, want 1", answers)
	}
}

// Many states of the controls in one step are written once.
func TestControlsAreWrittenOnce(t *testing.T) {
	eu, _, _ := mesh(t)
	first, _ := control.New(1).Apply(1, control.Command{Kind: control.KindDefine, Time: testEpoch, Actor: "a", Reason: "b", Definitions: &eu.plan.World.Definitions})
	eu.Controls(first, eu.now)
	eu.Controls(switched(t, eu.plan, "eu", false), eu.now)
	written := 0
	for _, r := range eu.step().Persist {
		if r.Name == RecordControls {
			written++
		}
	}
	if written != 1 {
		t.Errorf("controls written %d times, want once", written)
	}
}

// Verdicts of a former life that arrive late, before anything of the present one, must not silence a vantage for good.
func TestLateVerdictsOfAFormerLife(t *testing.T) {
	eu, in, _ := mesh(t)
	late := health.Batch{Incarnation: eu.incarnation + 1000, Sequence: 3}
	in.get(health.Message{Bytes: health.Seal(health.KindVerdicts, "eu1", late.Append(nil), eu.cfg.Sign)})
	run(5*time.Second, eu, in)
	if eu.incarnation != late.Incarnation+1 {
		t.Errorf("eu1 goes by incarnation %d, want one past the %d that in1 remembers", eu.incarnation, late.Incarnation)
	}
	if got, _, _ := in.table.Vector("eu1"); got != eu.incarnation {
		t.Errorf("in1 goes by incarnation %d of eu1, want %d", got, eu.incarnation)
	}
}

func TestSaveAtTheEnd(t *testing.T) {
	eu, _, _ := mesh(t)
	eu.observe(health.ReasonOK)
	eu.Save(eu.now)
	if out := eu.step(); len(out.Persist) == 0 || out.Persist[len(out.Persist)-1].Name != RecordStatuses {
		t.Errorf("Save makes it persist %v, want the statuses", out.Persist)
	}
}
