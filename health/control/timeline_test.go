package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A timeline row: a command some time after the start, and what becomes of it.
type row struct {
	name string
	at   time.Duration // of the leader's clock
	cmd  Command
	want error
	on   string
}

func play(t *testing.T, s *State, rows []row) *State {
	t.Helper()
	for _, r := range rows {
		r.cmd.Time = epoch.Add(r.at)
		last := s.Time
		var res Result
		s, res = s.Apply(s.Index+1, r.cmd)
		if !errors.Is(res.Err(), r.want) {
			t.Errorf("%s: at %v: Err() = %v, want %v", r.name, r.at, res.Err(), r.want)
		}
		if got := show(s); got != r.on {
			t.Errorf("%s: at %v: on %q, want %q", r.name, r.at, got, r.on)
		}
		if s.Time.Before(last) {
			t.Errorf("%s: time went back from %v to %v", r.name, last, s.Time)
		}
	}
	return s
}

func TestWaitPeriod(t *testing.T) {
	d := abc(Rule{Name: "r", Assert: Any}, Rule{Name: "slow", Assert: Any, Of: []ControlID{"a"}, Wait: time.Minute})
	s := play(t, must(t, New(1), define(d)), []row{
		{"a definition starts no wait", 0, set("b=off"), nil, "a c"},
		{"5 s by default, for the way back too", 4999 * time.Millisecond, set("b=on"), ErrWait, "a c"},
		{"another control of the rule waits as well", 4999 * time.Millisecond, set("c=off"), ErrWait, "a c"},
		{"a switch that flips nothing does not wait", 4999 * time.Millisecond, set("b=off"), nil, "a c"},
		{"nor did it start the wait again, nor did a refusal", 5 * time.Second, set("b=on"), nil, "a b c"},
		{"an override passes", 6 * time.Second, set("b=off !r"), nil, "a c"},
		{"and starts the wait again", 10 * time.Second, set("b=on"), ErrWait, "a c"},
		{"a leader whose clock is behind waits longer", 3 * time.Second, set("b=on"), ErrWait, "a c"},
		{"passed", 11 * time.Second, set("b=on"), nil, "a b c"},
		{"both rules flip", 16 * time.Second, set("a=off !slow"), nil, "b c"},
		{"a rule has its own period", 30 * time.Second, set("a=on"), ErrWait, "b c"},
		{"which does not bind the others", 30 * time.Second, set("c=off"), nil, "b"},
		{"to override one rule is not to override all", 31 * time.Second, set("a=on !slow"), ErrWait, "b"},
		{"until it is over", 76 * time.Second, set("a=on"), nil, "a b"},
	})
	_, res := s.Apply(s.Index+1, set("a=off"))
	want := `unsafe: rule "r" waits until 2026-03-01T12:01:21Z; rule "slow" needs at least 1 of 1 on, 0 would be and waits until 2026-03-01T12:02:16Z`
	if got := res.Err(); got == nil || got.Error() != want {
		t.Errorf("Err() = %v, want %s", got, want)
	}
}

func TestLastOn(t *testing.T) {
	d := abc()
	d.Pools = []PoolControls{{"www", []ControlID{"a", "b"}}, {"one", []ControlID{"c"}}}
	play(t, must(t, New(1), define(d)), []row{
		{"one of two", 0, set("a=off"), nil, "b c"},
		{"the last", 0, set("b=off"), ErrUnsafe, "b c"},
		{"in exchange", 0, set("a=on b=off"), nil, "a c"},
		{"a pool of one has a last from the start", 0, set("c=off"), ErrUnsafe, "a c"},
		{"the override must name the right pool", 0, set("c=off !last-on:www"), ErrUnsafe, "a c"},
		{"override", 0, set("c=off !last-on:one"), nil, "a"},
		{"built-in rules have no wait period", 0, set("c=on"), nil, "a c"},
	})
}

func TestKeys(t *testing.T) {
	keyed := func(key, text string) Command { c := set(text); c.Key = key; return c }
	d := abc(Rule{Name: "r", Assert: All, Wait: -1})
	s := must(t, New(1), define(d))
	s = play(t, s, []row{
		{"refused", 0, keyed("k1", "a=off"), ErrUnsafe, "a b c"},
		{"applied", time.Second, keyed("k2", "a=off !r"), nil, "b c"},
		{"other key, other way", 2 * time.Second, keyed("k3", "a=on"), nil, "a b c"},
		{"the first result again, and nothing done", 3 * time.Second, keyed("k2", "a=off !r"), nil, "a b c"},
		{"a refusal is remembered too", 4 * time.Second, keyed("k1", "a=off"), ErrUnsafe, "a b c"},
		{"a key stands for one command", 5 * time.Second, keyed("k2", "b=off !r"), ErrKey, "a b c"},
	})
	_, res := s.Apply(s.Index+1, keyed("k2", "a=off !r"))
	if !res.Repeat || res.Index != 3 || fmt.Sprint(res.Changed) != "[a]" {
		t.Errorf("repeated result = %+v, want that of index 3", res)
	}
	if c, _ := s.Control("a"); c.Version != 3 {
		t.Errorf("version of a = %d, want 3: a repeat flips nothing", c.Version)
	}
	for i := range maxKeys {
		s = must(t, s, keyed(fmt.Sprint("many", i), "b=on"))
	}
	if len(s.keys) != maxKeys || len(s.History()) != maxHistory {
		t.Errorf("%d keys and %d entries, want %d and %d", len(s.keys), len(s.History()), maxKeys, maxHistory)
	}
	if _, res := s.Apply(s.Index+1, keyed("k2", "b=on")); res.Err() != nil || res.Repeat {
		t.Errorf("a key forgotten = %v, repeat %v, want a new command", res.Err(), res.Repeat)
	}
}

func TestVersions(t *testing.T) {
	s := play(t, must(t, New(1), define(abc())), []row{
		{"as expected", 0, set("a=off@1"), nil, "b c"},
		{"changed since", 0, set("a=on@1"), ErrVersion, "b c"},
		{"all or none", 0, set("b=off a=on@1"), ErrVersion, "b c"},
		{"no flip, no version", 0, set("a=off@2"), nil, "b c"},
		{"as expected again", 0, set("a=on@2"), nil, "a b c"},
	})
	c, _ := s.Control("a")
	if c.Version != 3 || c.Index != 6 || c.Epoch != 1 || c.Actor != "ada" || c.Reason != "test" || !c.Changed.Equal(epoch) {
		t.Errorf("control = %+v", c)
	}
}

func TestDefine(t *testing.T) {
	d := abc(Rule{Name: "r", Assert: AtLeast, Threshold: 2, Wait: -1})
	d.Pools = []PoolControls{{"www", []ControlID{"a", "b"}}}
	s := must(t, New(1), define(d), set("a=off"))

	wider := abc(Rule{Name: "r", Assert: All, Wait: -1})
	wider.Panels[0].Controls = append(wider.Panels[0].Controls, NewControl{"d", true}, NewControl{"e", false})
	wider.Panels[0].Controls[0].InitialOff = true
	s, res := s.Apply(s.Index+1, define(wider))
	if res.Err() != nil || show(s) != "b c e" {
		t.Errorf("define = %v, on %q, want the old as they were and the new as they start", res.Err(), show(s))
	}
	if len(res.Rules) != 1 || res.Rules[0].Rule != "r" || len(s.Violations()) != 1 {
		t.Errorf("rules shown %v, violations %v: want the stricter rule, which flips nothing, shown", res.Rules, s.Violations())
	}
	if s.Generation() != 2 {
		t.Errorf("Generation() = %d, want 2", s.Generation())
	}
	entries := len(s.History())
	s = must(t, s, define(wider))
	if s.Generation() != 2 || len(s.History()) != entries {
		t.Errorf("the same definitions again: generation %d, %d entries, want 2, %d", s.Generation(), len(s.History()), entries)
	}

	for _, tt := range []struct {
		name string
		to   func() Definitions
		over []string
		want error
	}{
		{"dropping the only control of a pool that is on", func() Definitions {
			d := d
			d.Panels = []Panel{{Name: "api", Controls: []NewControl{{Name: "a"}}}}
			d.Pools = []PoolControls{{"www", []ControlID{"a"}}}
			return d
		}, nil, ErrUnsafe},
		{"with an override", func() Definitions {
			d := d
			d.Panels = []Panel{{Name: "api", Controls: []NewControl{{Name: "a"}}}}
			d.Pools = []PoolControls{{"www", []ControlID{"a"}}}
			return d
		}, []string{"last-on:www"}, nil},
		{"dropping a control that a rule stands on", func() Definitions {
			return abc(Rule{Name: "r", Assert: AtLeast, Threshold: 2, Of: []ControlID{"a", "b"}, Wait: -1})
		}, nil, ErrUnsafe},
		{"dropping the rule", func() Definitions { return abc() }, nil, nil},
		{"dropping everything", func() Definitions { return Definitions{} }, nil, nil},
	} {
		s := must(t, New(1), define(d), set("a=off"))
		s, res := s.Apply(s.Index+1, define(tt.to(), tt.over...))
		if !errors.Is(res.Err(), tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, res.Err(), tt.want)
		}
		if c, ok := s.Control("a"); ok && c.On {
			t.Errorf("%s: a definition flipped a control: %+v", tt.name, c)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var d Definitions
	p := Panel{Name: "big"}
	cmd := Command{Kind: KindSet, Actor: strings.Repeat("a", maxActor), Reason: strings.Repeat("r", maxReason), Time: epoch,
		Via: health.NodeID(strings.Repeat("v", maxName))}
	for i := range maxControls {
		id := ControlID(fmt.Sprintf("%0*d", maxName, i))
		p.Controls = append(p.Controls, NewControl{Name: id})
		cmd.Switches = append(cmd.Switches, Switch{Control: id})
	}
	d.Panels = []Panel{p}
	s := must(t, New(1), define(d))
	for i := range maxHistory {
		cmd.Key = fmt.Sprint(i)
		for j := range cmd.Switches {
			cmd.Switches[j].On = !cmd.Switches[j].On
		}
		s = must(t, s, cmd)
	}
	if n := len(s.History()); n != maxChanges/maxControls {
		t.Errorf("%d entries, want %d", n, maxChanges/maxControls)
	}
	if n := len(s.Encode()); n > MaxStateBytes/2 {
		t.Errorf("state of %d bytes, want at most %d", n, MaxStateBytes/2)
	} else {
		t.Logf("state of %d bytes", n)
	}
}

// The same command submitted again through another node is the same command; the audit names who passed on the first.
func TestViaIsAuditedAndNoPartOfTheKey(t *testing.T) {
	first, again, other := set("a=off"), set("a=off"), set("b=off !no-such-rule")
	first.Key, again.Key = "k", "k"
	first.Via, again.Via, other.Via = "use1", "euw1", "aps1"
	s := must(t, New(1), define(abc()))
	s = must(t, s, first)
	s, res := s.Apply(s.Index+1, again)
	if res.Err() != nil || !res.Repeat {
		t.Errorf("the same key through another node = %v, repeat %v, want the first result again", res.Err(), res.Repeat)
	}
	s, _ = s.Apply(s.Index+1, other)
	other.Key = "k" // of another command
	s, _ = s.Apply(s.Index+1, other)
	other.Reason = "a\nb" // breaks the limits
	other.Via = "x\ny"
	s, _ = s.Apply(s.Index+1, other)
	s, err := Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range s.History() {
		got = append(got, fmt.Sprintf("%s %s %q", e.Kind, e.Refused, e.Via))
	}
	want := `define  ""|set  "use1"|set unknown_rule "aps1"|set key "aps1"|set command "\"x\\ny\""`
	if strings.Join(got, "|") != want {
		t.Errorf("history %s\nwant    %s", strings.Join(got, "|"), want)
	}
}
