package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// served is what a node knows of another's keys.
func served(d *driver, peer health.NodeID) []health.ServedKeys {
	if s := d.members[peer].serving; s != nil {
		return s.Keys
	}
	return nil
}

func TestServesIsToldAtOnce(t *testing.T) {
	eu, in, _ := mesh(t)
	eu.pass(time.Second)
	keys := []health.ServedKeys{{Zone: health.ZoneKey("example.com."), Generation: 3}}
	eu.Serves(keys, eu.now)
	told := kinds(eu.step().Messages, health.KindServing)
	if len(told) != 1 {
		t.Fatalf("%d messages about new keys, want 1", len(told))
	}
	in.get(told...)
	if got := served(in, "eu1"); !slices.Equal(got, keys) {
		t.Errorf("the peer knows of %v, want %v", got, keys)
	}
	eu.Serves(slices.Clone(keys), eu.now)
	if again := kinds(eu.step().Messages, health.KindServing); len(again) != 0 {
		t.Errorf("the same keys are told at once again: %d messages, want them with the next that is due", len(again))
	}
	later := kinds(eu.pass(servingEvery), health.KindServing)
	if len(later) != 1 {
		t.Fatalf("%d messages in %v, want 1", len(later), servingEvery)
	}
	eu.Serves(nil, eu.now)
	in.get(kinds(eu.step().Messages, health.KindServing)...)
	in.get(later...)
	if got := served(in, "eu1"); len(got) != 0 {
		t.Errorf("an older word that came late counts: %v, want none", got)
	}
}

// A node whose clock is off its peers' says so once, and once when it is right again.
func TestClockIsComparedWithPeers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		in, us  time.Duration // how far their clocks are ahead
		fit     bool
		journal int
	}{
		{"all agree", 0, time.Second, true, 0},
		{"one of them is wrong", 0, time.Hour, true, 0},
		{"both are ahead: this one is behind", 6 * time.Minute, 7 * time.Minute, false, 1},
		{"both are behind: this one is ahead", -6 * time.Minute, -time.Hour, false, 1},
		{"just near enough", 5 * time.Minute, 5 * time.Minute, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eu := start(t, "eu1", testEpoch)
			eu.meet("in1", "us1")
			say := func(in, us time.Duration, sequence uint64) {
				eu.hearClock("in1", in, sequence)
				eu.hearClock("us1", us, sequence)
				eu.step()
			}
			say(tt.in, tt.us, 1)
			say(tt.in, tt.us, 2)
			eu.pass(time.Second)
			if eu.clock.Fit != tt.fit || eu.clock.Peers != 2 {
				t.Errorf("clock %+v, want fit %v by 2 peers", eu.clock, tt.fit)
			}
			if n := eu.happened(health.EventClock); n > 2*tt.journal || n < tt.journal {
				t.Errorf("%d events, want %d", n, tt.journal)
			}
			say(0, 0, 3)
			if !eu.clock.Fit {
				t.Errorf("clock %+v after all agree, want it fit", eu.clock)
			}
		})
	}
}

// hearClock has a node told what a peer's clock shows.
func (h *driver) hearClock(peer health.NodeID, ahead time.Duration, sequence uint64) {
	s := health.Serving{Origin: peer, Incarnation: 1, Sequence: sequence, Time: h.now.Add(ahead)}
	h.Receive(health.Seal(health.KindServing, peer, s.Append(nil), func(m []byte) []byte { return testSign(testKey(peer), m) }), h.now, h.now)
}

// Of two clocks that disagree nobody can say which is wrong. So both nodes say it and go on signing, until a third is heard.
func TestTwoClocksDisagree(t *testing.T) {
	eu := start(t, "eu1", testEpoch)
	eu.meet("in1", "us1")
	eu.hearClock("us1", time.Hour, 1)
	if eu.step(); !eu.clock.Fit || !eu.clock.Off || eu.happened(health.EventClock) != 1 {
		t.Errorf("clock %+v and %d events an hour off the only one heard, want it fit, off, and 1", eu.clock, eu.happened(health.EventClock))
	}
	eu.hearClock("in1", time.Hour, 1)
	if eu.step(); eu.clock.Fit || !eu.clock.Off || eu.happened(health.EventClock) != 2 {
		t.Errorf("clock %+v and %d events an hour off both, want it not fit, off, and 2", eu.clock, eu.happened(health.EventClock))
	}
	eu.hearClock("in1", 0, 2)
	if eu.step(); !eu.clock.Fit || eu.clock.Off || eu.happened(health.EventClock) != 3 {
		t.Errorf("clock %+v and %d events with a second peer that agrees, want it fit, not off, and 3", eu.clock, eu.happened(health.EventClock))
	}
}

// Whoever is silent no longer counts; a node that hears nobody trusts itself.
func TestSilentClocksDoNotCount(t *testing.T) {
	eu := start(t, "eu1", testEpoch)
	eu.meet("in1", "us1")
	eu.hearClock("in1", time.Hour, 1)
	eu.hearClock("us1", time.Hour, 1)
	if eu.step(); eu.clock.Fit {
		t.Fatal("a clock an hour off both of its peers' is fit")
	}
	eu.pass(servingFresh + servingEvery)
	if !eu.clock.Fit || eu.clock.Off || eu.clock.Peers != 0 {
		t.Errorf("clock %+v, want it fit by no peers", eu.clock)
	}
}

// What happens to keys is in the journal of every node, with who and why; that only times went on is not.
func TestKeysAreInTheJournal(t *testing.T) {
	eu := start(t, "eu1", testEpoch)
	state := control.New(1)
	set := func(reason string, times bool) {
		k, _ := state.Keys("example.com.")
		var result control.Result
		state, result = state.Apply(state.Index+1, control.Command{Kind: control.KindKeys, Actor: "mia", Reason: reason, Time: testEpoch,
			Keys: &control.NewKeys{Zone: "example.com.", State: []byte("x"), Expect: k.Index, Times: times}})
		if result.Err() != nil {
			t.Fatal(result.Err())
		}
		eu.Controls(state, eu.now)
		eu.step()
	}
	set("new keys", false)
	set("zsk rolled", false)
	set("zsk rolled", true)
	if n := eu.happened(health.EventKeys); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	last := eu.seen[len(eu.seen)-1]
	if last.Subject != "example.com." || !strings.Contains(last.Text, "zsk rolled (by mia)") {
		t.Errorf("event %+v, want the zone, why and by whom", last)
	}
}

// What is shown is never behind what is answered: whoever publishes shows, however soon after the last time.
func TestViewComesWithSnapshot(t *testing.T) {
	eu, in, us := mesh(t)
	run(8*time.Second, eu, in, us)
	published := 0
	for i := range 20 {
		reason := health.ReasonOK
		if i >= 10 {
			reason = health.ReasonRefused
		}
		for _, d := range []*driver{eu, in, us} {
			for _, m := range d.observe(reason).Messages {
				for _, o := range []*driver{eu, in, us} {
					if o != d {
						if out := o.get(m); out.Snapshot != nil {
							published++
							if out.View == nil || out.View.Snapshot != out.Snapshot.Digest {
								t.Fatalf("result %d: %s publishes snapshot %v and shows %+v", i, o.cfg.Name, out.Snapshot.Digest, out.View)
							}
						}
					}
				}
			}
		}
		run(time.Second, eu, in, us)
	}
	if published == 0 {
		t.Error("nothing was published")
	}
}
