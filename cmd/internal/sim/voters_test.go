package sim

import (
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// What the leader finds failed away from is latched everywhere, stays so when it is well again, and goes back only when
// somebody resumes it then.
func TestVotersLatch(t *testing.T) {
	s := New(Setting{Seed: 1, Plan: goodPlan(t, "three")})
	s.voters.away = func(leader *host) []control.Member {
		if leader.view.Health.Status("api/use1/ipv4", health.Global).State == health.Down {
			return []control.Member{{Pool: "admin", Endpoint: "use1"}}
		}
		return nil
	}
	resume := func() {
		t.Helper()
		if _, err := s.voters.decide(control.Command{Kind: control.KindResume, Actor: "operator", Reason: "try", Resume: &control.Member{Pool: "admin"}}); err != nil {
			t.Fatal(err)
		}
	}
	lines := func() int { return len(s.voters.state.History()) }
	for _, tt := range []struct {
		name    string
		at      time.Duration
		do      func()
		latched bool
		lines   int // of the audit log, with the definitions
	}{
		{"all is well", time.Minute, func() {}, false, 1},
		{"failed away from", 2 * time.Minute, func() { s.ends["use1"] = Refused }, false, 1},
		{"latched once", 3 * time.Minute, func() {}, true, 2},
		{"resumed while it is down", 3 * time.Minute, resume, true, 3},
		{"is latched again", 4 * time.Minute, func() {}, true, 4},
		{"well again", 5 * time.Minute, func() { delete(s.ends, "use1") }, true, 4},
		{"it waits", 7 * time.Minute, func() {}, true, 4},
		{"resumed", 7 * time.Minute, resume, true, 5},
		{"for good", 8 * time.Minute, func() {}, false, 5},
	} {
		s.RunUntil(tt.at)
		tt.do()
		for _, h := range s.hosts {
			if got := h.control.Latched("admin", "use1"); got != tt.latched {
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
