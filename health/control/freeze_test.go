package control

import (
	"testing"
	"time"
)

// A freeze is shown with who froze first and why, survives encoding, and ends when somebody ends it.
func TestFreeze(t *testing.T) {
	on, off := true, false
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := New(1)
	for i, step := range []struct {
		freeze *bool
		actor  string
		frozen bool
		by     string
	}{
		{&off, "ann", false, ""}, {&on, "ann", true, "ann"}, {&on, "bob", true, "ann"}, {&off, "bob", false, ""}, {&on, "bob", true, "bob"},
	} {
		next, res := s.Apply(uint64(i+1), Command{Kind: KindFreeze, Time: at.Add(time.Duration(i) * time.Minute), Actor: step.actor, Reason: "storm", Freeze: step.freeze})
		if res.Code != "" {
			t.Fatalf("step %d is refused: %+v", i, res)
		}
		decoded, err := Decode(next.Encode())
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []*State{next, decoded} {
			if f, frozen := state.Frozen(); frozen != step.frozen || f.Actor != step.by {
				t.Errorf("step %d: frozen %v by %q, want %v by %q", i, frozen, f.Actor, step.frozen, step.by)
			}
		}
		s = next
	}
	next, _ := s.Apply(9, Command{Kind: KindRelease, Time: at.Add(time.Hour), Actor: "ann", Reason: "it is real"})
	if !next.Released().Equal(at.Add(time.Hour)) || !s.Released().IsZero() {
		t.Errorf("released at %v, before it at %v, want the time of the command and never", next.Released(), s.Released())
	}
	if entries := next.History(); entries[len(entries)-1].Kind != KindRelease || entries[1].Order != "on" {
		t.Errorf("the audit log says %+v and %+v", entries[len(entries)-1], entries[1])
	}
	if err := (&Command{Kind: KindFreeze, Actor: "ann", Reason: "x"}).Check(); err == nil {
		t.Error("a freeze that says neither on nor off is taken")
	}
	if err := (&Command{Kind: KindRelease, Actor: "ann", Reason: "x", Freeze: &on}).Check(); err == nil {
		t.Error("a release that freezes is taken")
	}
}
