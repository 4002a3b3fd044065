package control

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func members(text string) (all []Member) {
	for _, word := range strings.Fields(text) {
		pool, endpoint, _ := strings.Cut(word, "/")
		all = append(all, Member{pool, endpoint})
	}
	return all
}

// latch makes a command from "api/euw1 www/euw1".
func latch(text string) Command {
	return Command{Kind: KindLatch, Actor: "node use1", Reason: "failed away from", Time: epoch, Latch: members(text)}
}

// resume makes a command from "api" or "api/euw1".
func resume(text string) Command {
	return Command{Kind: KindResume, Actor: "ada", Reason: "disk replaced", Time: epoch, Resume: &members(text)[0]}
}

func showLatches(s *State) string {
	var said []string
	for _, l := range s.Latches() {
		said = append(said, l.Pool+"/"+l.Endpoint)
	}
	return strings.Join(said, " ")
}

func TestLatches(t *testing.T) {
	s := New(1)
	for i, step := range []struct {
		name    string
		cmd     Command
		changed string
		all     string
		audit   string // the line of the history; empty: none
	}{
		{"two pools", latch("www/euw1 api/use1 api/euw1"), "[euw1 use1]", "api/euw1 api/use1 www/euw1", "latch [{{api euw1} false true} {{api use1} false true} {{www euw1} false true}]"},
		{"latched already", latch("api/euw1"), "[]", "api/euw1 api/use1 www/euw1", ""},
		{"only what is new is written down", latch("api/euw1 api/gru1"), "[gru1]", "api/euw1 api/gru1 api/use1 www/euw1", "latch [{{api gru1} false true}]"},
		{"one member", resume("api/euw1"), "[euw1]", "api/gru1 api/use1 www/euw1", "resume api euw1 [{{api euw1} true false}]"},
		{"one that is not latched", resume("api/euw1"), "[]", "api/gru1 api/use1 www/euw1", "resume api euw1 []"},
		{"a whole pool", resume("api"), "[gru1 use1]", "www/euw1", "resume api [{{api gru1} true false} {{api use1} true false}]"},
		{"a pool that has none", resume("api"), "[]", "www/euw1", "resume api []"},
		{"failed away from again", latch("api/use1"), "[use1]", "api/use1 www/euw1", "latch [{{api use1} false true}]"},
	} {
		step.cmd.Time = epoch.Add(time.Duration(i) * time.Minute)
		before, lines := showLatches(s), len(s.History())
		next, res := s.Apply(uint64(i+1), step.cmd)
		if got := showLatches(s); got != before {
			t.Errorf("%s: the state before has latches %q now, and had %q", step.name, got, before)
		}
		s = next
		if got := showLatches(s); res.Err() != nil || fmt.Sprint(res.Endpoints) != step.changed || got != step.all {
			t.Errorf("%s: %v, changed %v, latches %q, want %s and %q", step.name, res.Err(), res.Endpoints, got, step.changed, step.all)
		}
		audit := ""
		if h := s.History(); len(h) > lines {
			e := h[len(h)-1]
			audit = strings.Join(strings.Fields(fmt.Sprint(e.Kind, " ", e.Pool, " ", e.Endpoint, " ", e.Latches)), " ")
		}
		if audit != step.audit {
			t.Errorf("%s: audited as %q, want %q", step.name, audit, step.audit)
		}
		again, err := Decode(s.Encode())
		if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Errorf("%s: a copy over the wire differs (%v)", step.name, err)
		}
	}
	if l := s.Latches()[0]; l != (Latch{"api", "use1", epoch.Add(7 * time.Minute), 1, 8}) {
		t.Errorf("latch = %+v", l)
	}
	if !s.Latched("api", "use1") || s.Latched("api", "euw1") || s.Latched("www", "use1") || (*State)(nil).Latched("api", "use1") || (*State)(nil).Latches() != nil {
		t.Errorf("Latched(api/use1, api/euw1, www/use1) = %v %v %v, want the first only, and of no state none",
			s.Latched("api", "use1"), s.Latched("api", "euw1"), s.Latched("www", "use1"))
	}
}

func TestLatchRefusals(t *testing.T) {
	many := latch("")
	for i := range maxLatchSets + 1 {
		many.Latch = append(many.Latch, Member{"p", fmt.Sprint(i)})
	}
	noReason := resume("api")
	noReason.Reason = "  "
	for _, tt := range []struct {
		name string
		cmd  Command
		want string
	}{
		{"nothing", latch(""), `bad command: 0 members, want 1 to 100`},
		{"too many at once", many, `bad command: 101 members, want 1 to 100`},
		{"twice", latch("api/euw1 api/euw1"), `bad command: endpoint "euw1" of pool "api" is listed twice`},
		{"no endpoint", latch("api"), `bad command: endpoint "" of pool "api": a name has 1 to 100 bytes, not 0`},
		{"resume of nothing", Command{Kind: KindResume, Actor: "ada", Reason: "x"}, `bad command: resume of no pool`},
		{"resume of no pool", resume("/euw1"), `bad command: pool "": a name has 1 to 100 bytes, not 0`},
		{"resume of what can't be", resume("api/e:1"), `bad command: endpoint "e:1" of pool "api": a name has only letters, digits and -_. (not ':')`},
		{"no reason", noReason, `reason missing`},
		{"a latch that resumes", Command{Kind: KindLatch, Actor: "ada", Reason: "x", Resume: &Member{}}, `bad command: latch carries a pool to resume`},
	} {
		s, res := must(t, New(1), latch("api/euw1")).Apply(2, tt.cmd)
		if err := res.Err(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Apply = %v, want %s", tt.name, err, tt.want)
		}
		if showLatches(s) != "api/euw1" {
			t.Errorf("%s: latches %q, want them as they were", tt.name, showLatches(s))
		}
	}
}

// Upkeep proposes what is owed, once it is applied nothing more, and never more than there is room for.
func TestUpkeep(t *testing.T) {
	away := members("www/use1 api/euw1 www/use1")
	s := must(t, New(1), overlays("euw1=drain/1h aps1=force_up use1=drain/2h"), latch("api/euw1"))
	said := func(s *State, now time.Time, away []Member) string {
		var all []string
		for _, c := range s.Upkeep(now, away, "node use1") {
			if err := c.Check(); err != nil {
				t.Errorf("Upkeep proposes %+v: %v", c, err)
			}
			all = append(all, fmt.Sprint(c.Kind, c.Latch))
		}
		return strings.Join(all, " ")
	}
	for _, tt := range []struct {
		name string
		now  time.Duration
		away []Member
		want string
	}{
		{"nothing is owed", 59 * time.Minute, away[1:2], ""},
		{"the end of an overlay, at its moment", time.Hour, nil, "expire[]"},
		{"what is not latched yet, once", 0, away, "latch[{www use1}]"},
		{"both", 3 * time.Hour, away, "expire[] latch[{www use1}]"},
	} {
		if got := said(s, epoch.Add(tt.now), tt.away); got != tt.want {
			t.Errorf("%s: Upkeep = %q, want %q", tt.name, got, tt.want)
		}
	}
	now := epoch.Add(3 * time.Hour)
	for _, c := range s.Upkeep(now, away, "node use1") {
		c.Time = now
		s = must(t, s, c)
	}
	if got := said(s, now, away); got != "" || showOverlays(s) != "aps1=force_up" || showLatches(s) != "api/euw1 www/use1" {
		t.Errorf("after it: Upkeep = %q, overlays %q, latches %q", got, showOverlays(s), showLatches(s))
	}
	if (*State)(nil).Upkeep(now, away, "x") != nil {
		t.Error("no state owes anything")
	}

	var crowd []Member
	for i := range MaxLatches + 1 {
		crowd = append(crowd, Member{"p", fmt.Sprintf("e%05d", i)})
	}
	s = New(1)
	for i := 0; ; i++ {
		owed := s.Upkeep(now, crowd, "node use1")
		if len(owed) == 0 {
			break
		}
		if len(owed) != 1 || len(owed[0].Latch) != maxLatchSets || i > MaxLatches {
			t.Fatalf("Upkeep = %d commands, the first with %d members", len(owed), len(owed[0].Latch))
		}
		s = must(t, s, owed[0])
	}
	if n := len(s.Latches()); n != MaxLatches {
		t.Errorf("%d latches, want %d", n, MaxLatches)
	}
	if _, res := s.Apply(s.Index+1, latch("q/e")); !errors.Is(res.Err(), ErrCommand) || len(res.Endpoints) > 0 {
		t.Errorf("one more than there is room for: %+v, want it refused", res)
	}
}
