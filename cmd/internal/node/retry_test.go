package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A node that knocks, or is heard after a silence, may have brought its region's endpoints back with it.
func TestRetry(t *testing.T) {
	eu, in, us := mesh(t)
	run(20*time.Second, eu, in, us)
	eu.Knocked("stranger", eu.now)
	if eu.step(); len(eu.out.Retry) > 0 {
		t.Errorf("after a stranger's knock: retry %v", eu.out.Retry)
	}
	eu.Knocked("us1", eu.now)
	eu.Knocked("us1", eu.now)
	if got := fmt.Sprint(eu.step().Retry); got != "[api/us1/ipv4]" {
		t.Errorf("after knocks: retry %s, want what is in us", got)
	}
	if eu.step(); len(eu.out.Retry) > 0 {
		t.Errorf("it is retried again: %v", eu.out.Retry)
	}
	for range 60 {
		eu.pass(time.Second)
		eu.Knocked("us1", eu.now)
		if eu.step(); len(eu.out.Retry) > 0 {
			t.Fatalf("after %v of knocks it is retried again: %v", eu.now.Sub(testEpoch), eu.out.Retry)
		}
	}
	eu.pass(health.FreshFor + time.Second)
	eu.Knocked("us1", eu.now)
	if got := fmt.Sprint(eu.step().Retry); got != "[api/us1/ipv4]" {
		t.Errorf("knocking anew: retry %s, want what is in us", got)
	}
	in.pass(76 * time.Second)
	us.pass(76 * time.Second)
	for _, silence := range []time.Duration{health.FreshFor - 2*time.Second, health.FreshFor + 2*time.Second} {
		run(20*time.Second, eu, in, us)
		for range int(silence / time.Second) {
			run(time.Second, eu, in)
			us.pass(time.Second)
		}
		beat := kinds(us.pass(2*time.Second), health.KindHeartbeat)
		want := "[]"
		if silence > health.FreshFor {
			want = "[api/us1/ipv4]"
		}
		if got := fmt.Sprint(eu.get(beat[0]).Retry); got != want {
			t.Errorf("after %v of silence: retry %s, want %s", silence, got, want)
		}
		if eu.get(beat[1]); len(eu.out.Retry) > 0 {
			t.Errorf("after %v of silence: retried twice", silence)
		}
		eu.pass(2 * time.Second)
		in.pass(2 * time.Second)
	}
}
