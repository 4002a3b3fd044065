package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// overlays makes a command from "euw1=drain aps1=auto use1=force_down/2h": endpoints, states and for how long.
func overlays(text string) Command {
	cmd := Command{Kind: KindOverlay, Actor: "ada", Reason: "test", Time: epoch}
	for _, word := range strings.Fields(text) {
		name, to, _ := strings.Cut(word, "=")
		state, life, _ := strings.Cut(to, "/")
		set := OverlaySet{Endpoint: name, State: Manual(state)}
		set.For, _ = time.ParseDuration(life)
		cmd.Overlays = append(cmd.Overlays, set)
	}
	return cmd
}

// showOverlays lists overlays as overlays reads them, with how long after the epoch they expire.
func showOverlays(s *State) string {
	var said []string
	for _, o := range s.Overlays() {
		text := fmt.Sprintf("%s=%s", o.Endpoint, o.State)
		if !o.Expires.IsZero() {
			text += "/" + o.Expires.Sub(epoch).String()
		}
		said = append(said, text)
	}
	return strings.Join(said, " ")
}

var expire = Command{Kind: KindExpire, Actor: "node use1", Reason: "its time is over"}

func TestOverlays(t *testing.T) {
	var crowd []Command // fills a state, with endpoints that sort behind all others
	for i := range maxOverlays / maxOverlaySets {
		var text string
		for j := range maxOverlaySets {
			text += fmt.Sprintf(" z%d=drain", i*maxOverlaySets+j)
		}
		crowd = append(crowd, overlays(text))
	}
	full := must(t, New(1), crowd...)
	s := New(1)
	for i, step := range []struct {
		name    string
		after   time.Duration
		cmd     Command
		want    error
		changed string
		all     string
		lines   int // of the history that are new
	}{
		{"several at once", 0, overlays("euw1=force_down aps1=drain/1h"), nil, "[aps1 euw1]", "aps1=drain/1h0m0s euw1=force_down", 1},
		{"the same again changes nothing, and is written down", time.Minute, overlays("euw1=force_down"), nil, "[]", "aps1=drain/1h0m0s euw1=force_down", 1},
		{"another state", time.Minute, overlays("euw1=force_up"), nil, "[euw1]", "aps1=drain/1h0m0s euw1=force_up", 1},
		{"another expiry", 2 * time.Minute, overlays("aps1=drain/2h"), nil, "[aps1]", "aps1=drain/2h2m0s euw1=force_up", 1},
		{"all or none: one name is bad", 2 * time.Minute, overlays("use1=drain eu/w1=drain"), ErrCommand, "[]", "aps1=drain/2h2m0s euw1=force_up", 1},
		{"nothing is due", time.Hour, expire, nil, "[]", "aps1=drain/2h2m0s euw1=force_up", 0},
		{"auto takes away", time.Hour, overlays("euw1=auto use1=force_down/30m gru1=auto"), nil, "[euw1 use1]", "aps1=drain/2h2m0s use1=force_down/1h30m0s", 1},
		{"an end is due only with its moment", 90*time.Minute - 1, expire, nil, "[]", "aps1=drain/2h2m0s use1=force_down/1h30m0s", 0},
		{"until then it stays in force, whatever else is decided", 100 * time.Minute, overlays("gru1=drain"), nil, "[gru1]",
			"aps1=drain/2h2m0s gru1=drain use1=force_down/1h30m0s", 1},
		{"an overdue one may be extended", 100 * time.Minute, overlays("use1=force_down/1h"), nil, "[use1]", "aps1=drain/2h2m0s gru1=drain use1=force_down/2h40m0s", 1},
		{"and is then not ended", 110 * time.Minute, expire, nil, "[]", "aps1=drain/2h2m0s gru1=drain use1=force_down/2h40m0s", 0},
		{"all that are due end", 3 * time.Hour, expire, nil, "[aps1 use1]", "gru1=drain", 1},
		{"again does nothing", 3 * time.Hour, expire, nil, "[]", "gru1=drain", 0},
	} {
		step.cmd.Time = epoch.Add(step.after)
		before, lines := showOverlays(s), len(s.History())
		next, res := s.Apply(uint64(i+1), step.cmd)
		if got := showOverlays(s); got != before {
			t.Errorf("%s: the state before has overlays %q now, and had %q", step.name, got, before)
		}
		s = next
		if !errors.Is(res.Err(), step.want) || fmt.Sprint(res.Endpoints) != step.changed {
			t.Errorf("%s: %v, changed %v, want %v and %s", step.name, res.Err(), res.Endpoints, step.want, step.changed)
		}
		if got := showOverlays(s); got != step.all {
			t.Errorf("%s: overlays %q, want %q", step.name, got, step.all)
		}
		if got := len(s.History()) - lines; got != step.lines {
			t.Errorf("%s: %d lines of history, want %d", step.name, got, step.lines)
		}
		again, err := Decode(s.Encode())
		if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Errorf("%s: a copy over the wire differs (%v)", step.name, err)
		}
	}
	if _, res := full.Apply(full.Index+1, overlays("aps1=drain")); !errors.Is(res.Err(), ErrCommand) {
		t.Errorf("one more than there is room for: %v, want %v", res.Err(), ErrCommand)
	}
	if _, res := full.Apply(full.Index+1, overlays("aps1=drain z0=auto")); res.Err() != nil {
		t.Errorf("one in exchange for another: %v, want it applied", res.Err())
	}
}

func TestOverlayIsSaidWhole(t *testing.T) {
	first := overlays("euw1=drain/1h")
	second := overlays("euw1=drain/3h")
	second.Time, second.Actor, second.Reason = epoch.Add(time.Minute), "bob", "longer"
	s := must(t, New(7), first, second)
	o, ok := s.Overlay("euw1")
	want := Overlay{"euw1", Drain, epoch.Add(3*time.Hour + time.Minute), epoch, 7, 2, "bob", "longer"}
	if !ok || o != want {
		t.Errorf("Overlay = %+v, %v, want %+v: in this state since the first command, extended by the second", o, ok, want)
	}
	if o.Overdue(want.Expires.Add(-1)) || !o.Overdue(want.Expires) || (Overlay{}).Overdue(want.Expires) {
		t.Errorf("Overdue before, at the expiry, and without one = %v %v %v, want false true false",
			o.Overdue(want.Expires.Add(-1)), o.Overdue(want.Expires), (Overlay{}).Overdue(want.Expires))
	}
	if _, ok := s.Overlay("use1"); ok {
		t.Error("an endpoint that nobody set has an overlay")
	}
	if _, ok := (*State)(nil).Overlay("euw1"); ok || (*State)(nil).Overlays() != nil {
		t.Error("no state has overlays")
	}
	s, _ = s.Apply(3, Command{Kind: KindExpire, Actor: "node use1", Reason: "its time is over", Time: want.Expires})
	var lines []string
	for _, e := range s.History() {
		line, err := json.Marshal(e.Overlays)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", e.Kind, e.Actor, line))
	}
	audit := `overlay ada [{"endpoint":"euw1","before":"auto","after":"drain","expires":"2026-03-01T13:00:00Z"}]` + "\n" +
		`overlay bob [{"endpoint":"euw1","before":"drain","after":"drain","expires":"2026-03-01T15:01:00Z"}]` + "\n" +
		`expire node use1 [{"endpoint":"euw1","before":"drain","after":"auto","expires":"2026-03-01T15:01:00Z"}]`
	if got := strings.Join(lines, "\n"); got != audit {
		t.Errorf("history:\n%s\nwant:\n%s", got, audit)
	}
}

func TestOverlayRefusals(t *testing.T) {
	at := func(set OverlaySet) Command {
		return Command{Kind: KindOverlay, Actor: "ada", Reason: "x", Time: epoch, Overlays: []OverlaySet{set}}
	}
	many := overlays("")
	for i := range maxOverlaySets + 1 {
		many.Overlays = append(many.Overlays, OverlaySet{Endpoint: fmt.Sprint("e", i), State: Drain})
	}
	noReason := overlays("euw1=drain")
	noReason.Reason = ""
	carries := overlays("euw1=drain")
	carries.Overrides = []string{"keep-one"}
	for _, tt := range []struct {
		name string
		cmd  Command
		want string
	}{
		{"no endpoint", overlays(""), `bad command: 0 endpoints, want 1 to 100`},
		{"too many at once", many, `bad command: 101 endpoints, want 1 to 100`},
		{"twice", overlays("euw1=drain euw1=auto"), `bad command: endpoint "euw1" is listed twice`},
		{"a state that there is not", overlays("euw1=up"), `bad command: endpoint "euw1": unknown state "up" (have auto, force_up, force_down, drain)`},
		{"a name that can't be", overlays("eu/w1=drain"), `bad command: endpoint "eu/w1": a name has only letters, digits and -_. (not '/')`},
		{"nothing to expire", overlays("euw1=auto/1h"), `bad command: endpoint "euw1": auto takes an overlay away, so it can't expire`},
		{"a moment", overlays("euw1=drain/5ms"), `bad command: endpoint "euw1": for 5ms, want at least 1s`},
		{"backwards", overlays("euw1=drain/-1h"), `bad command: endpoint "euw1": for -1h0m0s, want at least 1s`},
		{"two expiries", at(OverlaySet{"euw1", Drain, time.Hour, epoch.Add(time.Hour)}),
			`bad command: endpoint "euw1": expires after 1h0m0s and at 2026-03-01T13:00:00Z, want one of them`},
		{"over already", at(OverlaySet{"euw1", Drain, 0, epoch}),
			`bad command: endpoint "euw1": expires at 2026-03-01T12:00:00Z, want a time after 2026-03-01T12:00:00Z`},
		{"an expiry that can't be written", at(OverlaySet{"euw1", Drain, 0, epoch.AddDate(8000, 0, 0)}),
			`bad command: endpoint "euw1": expires at 10026-03-01 12:00:00 +0000 UTC`},
		{"no reason", noReason, `reason missing`},
		{"no rule binds it, so none is overridden", carries, `bad command: overlay carries overrides`},
		{"an expiry with something to set", Command{Kind: KindExpire, Actor: "ada", Reason: "x", Overlays: overlays("euw1=drain").Overlays}, `bad command: expire carries overlays`},
		{"every endpoint that is late is named", Command{Kind: KindOverlay, Actor: "ada", Reason: "x", Time: epoch,
			Overlays: []OverlaySet{{"use1", Drain, 0, epoch}, {"gru1", Drain, 0, epoch.Add(time.Hour)}, {"euw1", ForceUp, 0, epoch.Add(-time.Hour)}}},
			`bad command: endpoint "euw1": expires at 2026-03-01T11:00:00Z, want a time after 2026-03-01T12:00:00Z; ` +
				`endpoint "use1": expires at 2026-03-01T12:00:00Z, want a time after 2026-03-01T12:00:00Z`},
		{"one that can be written where it is, and not in UTC", at(OverlaySet{"euw1", Drain, 0, time.Date(9000, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))}),
			`bad command: endpoint "euw1": expires at 9000-12-31 23:00:00 -0200 -0200`},
		{"for so long that it can't be written", Command{Kind: KindOverlay, Actor: "ada", Reason: "x", Time: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC),
			Overlays: []OverlaySet{{"euw1", Drain, 9000 * time.Hour, time.Time{}}}},
			`bad command: endpoint "euw1": expires at 9000-01-01T00:00:00Z, want a time after 9000-01-01T00:00:00Z`},
	} {
		s, res := New(1).Apply(1, tt.cmd)
		if err := res.Err(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Apply = %v, want %s", tt.name, err, tt.want)
		}
		if len(s.Overlays()) != 0 || len(s.History()) != 1 {
			t.Errorf("%s: %d overlays and %d lines of history, want none and 1", tt.name, len(s.Overlays()), len(s.History()))
		}
		if _, err := Decode(s.Encode()); err != nil {
			t.Errorf("%s: state does not decode: %v", tt.name, err)
		}
	}
}

// The same command asked again stands for the first, however much later: its expiry counts from the first entry.
func TestOverlayKey(t *testing.T) {
	cmd := overlays("euw1=drain/1h")
	cmd.Key, cmd.Time = "k", epoch.Add(time.Second-1)
	s := must(t, New(1), cmd) // to the second, as people read it
	if !s.Used("k") || s.Used("l") || s.Used("") || (*State)(nil).Used("k") {
		t.Errorf("Used(k, l, empty) = %v %v %v, want the first only, and of no state none", s.Used("k"), s.Used("l"), s.Used(""))
	}
	cmd.Time, cmd.Via = epoch.Add(time.Minute), "use1"
	s, res := s.Apply(2, cmd)
	if !res.Repeat || fmt.Sprint(res.Endpoints) != "[euw1]" || showOverlays(s) != "euw1=drain/1h0m0s" {
		t.Errorf("the same key again: %+v, overlays %q, want the first result", res, showOverlays(s))
	}
}

// The most that there can be of overlays and latches, with the longest names and texts, leaves a state small.
func TestOverlaysAndLatchesAreBounded(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%0*d", maxName, i) }
	s := New(1)
	for i := range maxOverlays / maxOverlaySets {
		cmd := Command{Kind: KindOverlay, Time: epoch, Actor: strings.Repeat("a", maxActor), Reason: strings.Repeat("r", maxReason)}
		for j := range maxOverlaySets {
			cmd.Overlays = append(cmd.Overlays, OverlaySet{Endpoint: name(i*maxOverlaySets + j), State: ForceDown, For: time.Hour})
		}
		s = must(t, s, cmd)
	}
	for i := range MaxLatches / maxLatchSets {
		cmd := latch("")
		for j := range maxLatchSets {
			cmd.Latch = append(cmd.Latch, Member{name(0), name(i*maxLatchSets + j)})
		}
		s = must(t, s, cmd)
	}
	for i := range maxHistory {
		cmd := overlays("")
		for j := range maxOverlaySets {
			cmd.Overlays = append(cmd.Overlays, OverlaySet{Endpoint: name(j), State: Manuals()[1+i%3]})
		}
		s = must(t, s, cmd)
	}
	if n := len(s.History()); n != maxChanges/maxOverlaySets {
		t.Errorf("%d entries, want %d", n, maxChanges/maxOverlaySets)
	}
	n := len(s.Encode())
	if n > MaxStateBytes/4 {
		t.Errorf("state of %d bytes, want at most %d", n, MaxStateBytes/4)
	}
	t.Logf("state of %d bytes", n)
}

// Nodes one version apart: what an older node kept is read, and an older node passes over what it does not know.
func TestStatesOneVersionApart(t *testing.T) {
	old := `{"version":1,"epoch":1,"index":2,"time":"2026-03-01T12:00:00Z","generation":1,"definitions":{"panels":[{"name":"api","controls":[{"name":"a"}]}]},` +
		`"controls":[{"name":"a","panel":"api","on":false,"version":2,"changed":"2026-03-01T12:00:00Z","epoch":1,"index":2,"actor":"ada","reason":"test"}],` +
		`"history":[{"epoch":1,"index":2,"time":"2026-03-01T12:00:00Z","kind":"set","panel":"api","actor":"ada","reason":"test","changes":[{"control":"a","before":true,"after":false}]}],` +
		`"keys":[{"key":"k","digest":1,"result":{"epoch":1,"index":2,"time":"2026-03-01T12:00:00Z","changed":["a"]}}]}`
	s, err := Decode([]byte(old))
	if err != nil || s.On("a") || len(s.Overlays()) != 0 || len(s.Latches()) != 0 {
		t.Fatalf("Decode of an older state = %v, %v", s, err)
	}
	if got := string(s.Encode()); got != old {
		t.Errorf("an older state is written as\n%s\nwant\n%s", got, old)
	}
	s = must(t, s, overlays("euw1=drain/1h"), latch("api/euw1"), resume("api"), latch("api/use1"))
	var reader struct { // what the version before this one reads
		Version     int          `json:"version"`
		Index       uint64       `json:"index"`
		Definitions *Definitions `json:"definitions"`
		Controls    []Control    `json:"controls"`
		History     []struct {
			Index  uint64 `json:"index"`
			Kind   string `json:"kind"`
			Reason string `json:"reason"`
		} `json:"history"`
	}
	if err := json.Unmarshal(s.Encode(), &reader); err != nil || reader.Version != 1 || reader.Index != 6 || len(reader.Controls) != 1 || len(reader.History) != 5 {
		t.Errorf("an older reader gets %+v, %v", reader, err)
	}
}
