package sim

import (
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
)

// What the leader finds failed away from is latched everywhere, stays so when it is well again, and goes back only when
// somebody resumes it then.
func TestVotersLatch(t *testing.T) {
	s := New(Setting{Seed: 1, Plan: goodPlan(t, "return")})
	resume := func() {
		t.Helper()
		if _, err := s.voters.decide(control.Command{Kind: control.KindResume, Actor: "operator", Reason: "try", Resume: &control.Member{Pool: "manual"}}); err != nil {
			t.Fatal(err)
		}
	}
	lines := func() int { return len(s.voters.state.History()) }
	for _, tt := range []struct {
		name    string
		at      time.Duration
		do      func()
		latched bool
		lines   int // of the audit log
	}{
		{"all is well", time.Minute, func() {}, false, 0},
		{"failed away from", 2 * time.Minute, func() { s.ends["use1"] = Refused }, false, 0},
		{"latched once", 3 * time.Minute, func() {}, true, 1},
		{"resumed while it is down", 3 * time.Minute, resume, true, 2},
		{"is latched again", 4 * time.Minute, func() {}, true, 3},
		{"well again", 5 * time.Minute, func() { delete(s.ends, "use1") }, true, 3},
		{"it waits", 7 * time.Minute, func() {}, true, 3},
		{"resumed", 7 * time.Minute, resume, true, 4},
		{"for good", 8 * time.Minute, func() {}, false, 4},
	} {
		s.RunUntil(tt.at)
		tt.do()
		for _, h := range s.hosts {
			if got := h.control.Latched("manual", "use1"); got != tt.latched {
				t.Errorf("%s: at %s latched: %v, want %v", tt.name, h.name, got, tt.latched)
			}
		}
		if lines() != tt.lines {
			t.Errorf("%s: %d lines in the audit log, want %d", tt.name, lines(), tt.lines)
		}
	}
	for _, v := range s.Violations() {
		t.Error(v)
	}
}
