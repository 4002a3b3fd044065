package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// abc is a panel "api" of controls a, b and c, all on, with rules.
func abc(rules ...Rule) Definitions {
	for i := range rules {
		if rules[i].Of == nil {
			rules[i].Of = []ControlID{"a", "b", "c"}
		}
	}
	return Definitions{Panels: []Panel{{Name: "api", Controls: []NewControl{{Name: "a"}, {Name: "b"}, {Name: "c"}}, Rules: rules}}}
}

// set makes a command from "a=off b=on@3 !keep-one": switches, versions, overrides.
func set(text string) Command {
	cmd := Command{Kind: KindSet, Actor: "ada", Reason: "test", Time: epoch}
	for _, word := range strings.Fields(text) {
		if rule, ok := strings.CutPrefix(word, "!"); ok {
			cmd.Overrides = append(cmd.Overrides, rule)
			continue
		}
		name, to, _ := strings.Cut(word, "=")
		var version uint64
		if on, at, ok := strings.Cut(to, "@"); ok {
			to = on
			fmt.Sscan(at, &version)
		}
		cmd.Switches = append(cmd.Switches, Switch{ControlID(name), to == "on", version})
	}
	return cmd
}

func define(d Definitions, overrides ...string) Command {
	return Command{Kind: KindDefine, Actor: "reload", Reason: "world changed", Time: epoch, Definitions: &d, Overrides: overrides}
}

// show lists the controls that are on, "a b".
func show(s *State) string {
	var on []string
	for _, c := range s.Controls() {
		if c.On {
			on = append(on, string(c.Name))
		}
	}
	return strings.Join(on, " ")
}

// must applies commands that may not be refused, one second apart from the state's own time on.
func must(t *testing.T, s *State, cmds ...Command) *State {
	t.Helper()
	for _, cmd := range cmds {
		var res Result
		if s, res = s.Apply(s.Index+1, cmd); res.Err() != nil {
			t.Fatalf("Apply(%v) = %v, want nil", cmd, res.Err())
		}
	}
	return s
}

func TestRules(t *testing.T) {
	const none = time.Duration(-1)
	for _, tt := range []struct {
		name  string
		rule  Rule
		start string // what is off before, by override
		set   string
		want  error
		on    string // after
		shown string // rules of the result
	}{
		{"one may go of three", Rule{Assert: AtLeast, Threshold: 2}, "", "a=off", nil, "b c", ""},
		{"two may not", Rule{Assert: AtLeast, Threshold: 2}, "", "a=off b=off", ErrUnsafe, "a b c", "r"},
		{"judged after the batch, so one may take over from another", Rule{Assert: AtLeast, Threshold: 2}, "c=off", "a=off c=on", nil, "b c", ""},
		{"override by name", Rule{Assert: AtLeast, Threshold: 2}, "", "a=off b=off !r", nil, "c", "r!"},
		{"override by panel and name", Rule{Assert: AtLeast, Threshold: 2}, "", "a=off b=off !api/r", nil, "c", "r!"},
		{"override of a rule that there is not", Rule{Assert: AtLeast, Threshold: 2}, "", "a=off b=off !R", ErrUnknownRule, "a b c", ""},
		{"broken already and made better, though not good", Rule{Assert: AtLeast, Threshold: 3}, "a=off b=off", "a=on", nil, "a c", "r"},
		{"broken already and made worse", Rule{Assert: AtLeast, Threshold: 3}, "a=off", "b=off", ErrUnsafe, "b c", "r"},
		{"broken already, and a swap still moves one away", Rule{Assert: AtLeast, Threshold: 3}, "a=off", "a=on b=off", ErrUnsafe, "b c", "r"},
		{"broken already and nothing flips", Rule{Assert: AtLeast, Threshold: 3}, "a=off", "a=off", nil, "b c", "r"},
		{"a control outside the rule is free", Rule{Assert: All, Of: []ControlID{"a", "b"}}, "", "c=off", nil, "a b", ""},
		{"all means all", Rule{Assert: All}, "", "c=off", ErrUnsafe, "a b c", "r"},
		{"any lets all but one go", Rule{Assert: Any}, "", "a=off b=off", nil, "c", ""},
		{"any keeps one", Rule{Assert: Any}, "a=off b=off", "c=off", ErrUnsafe, "c", "r"},
		{"inverted at_least is at most one less", Rule{Assert: AtLeast, Threshold: 2, Inverted: true}, "a=off b=off", "a=on", ErrUnsafe, "c", "r"},
		{"inverted: off can't break it", Rule{Assert: AtLeast, Threshold: 2, Inverted: true}, "a=off", "b=off", nil, "c", ""},
		{"inverted any is none", Rule{Assert: Any, Inverted: true, Of: []ControlID{"a"}}, "a=off", "a=on", ErrUnsafe, "b c", "r"},
		{"inverted all needs one off", Rule{Assert: All, Inverted: true}, "a=off", "a=on", ErrUnsafe, "b c", "r"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Name, tt.rule.Wait = "r", none
			s := must(t, New(1), define(abc(tt.rule)))
			if tt.start != "" {
				s = must(t, s, set(tt.start+" !r"))
			}
			before := s
			s, res := s.Apply(s.Index+1, set(tt.set))
			if !errors.Is(res.Err(), tt.want) {
				t.Errorf("Apply(%s) = %v, want %v", tt.set, res.Err(), tt.want)
			}
			if got := show(s); got != tt.on {
				t.Errorf("on after %s: %q, want %q", tt.set, got, tt.on)
			}
			var shown string
			for _, v := range res.Rules {
				shown += v.Rule
				if v.Overridden {
					shown += "!"
				}
			}
			if shown != tt.shown {
				t.Errorf("rules shown %q, want %q", shown, tt.shown)
			}
			if tt.want != nil && !slices.Equal(before.Controls(), s.Controls()) {
				t.Errorf("a refused command changed the controls: %v, want %v", s.Controls(), before.Controls())
			}
			if e := s.History()[len(s.History())-1]; (e.Refused != "") != (tt.want != nil) || e.Actor != "ada" {
				t.Errorf("audited as %+v", e)
			}
		})
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	d := abc(Rule{Name: "keep-two", Assert: AtLeast, Threshold: 2}, Rule{Name: "keep-c", Assert: All, Of: []ControlID{"c"}})
	d.Panels = append(d.Panels, Panel{Name: "web", Controls: []NewControl{{Name: "w"}}})
	d.Pools = []PoolControls{{Pool: "www", Controls: []ControlID{"b", "c"}}}
	noReason := set("a=off")
	noReason.Reason = " "
	for _, tt := range []struct {
		name string
		cmd  Command
		want error
		text string
	}{
		{"every rule is named", set("c=off b=off"), ErrUnsafe,
			`unsafe: rule "keep-c" needs all 1 on, 0 would be; rule "keep-two" needs at least 2 of 3 on, 1 would be; rule "last-on:www" needs at least 1 of 2 on, 0 would be`},
		{"the good names of the panel", func() Command { c := set("aa=off"); c.Panel = "api"; return c }(), ErrUnknownControl,
			`unknown control: "aa" (have a, b, c)`},
		{"the good names of all", set("aa=off"), ErrUnknownControl, `unknown control: "aa" (have a, b, c, w)`},
		{"two panels", set("a=off w=off"), ErrPanel, `more than one panel: control "w" is of panel "web", not of "api"`},
		{"old version", set("a=off@7"), ErrVersion, `version has changed: control "a" is at version 1, not 7: turned on by reload`},
		{"no reason", noReason, ErrReason, `reason missing`},
		{"override of another panel's rule", func() Command { c := set("w=off !keep-two"); return c }(), ErrUnknownRule,
			`unknown rule: override "keep-two" (have last-on:www)`},
		{"nothing to set", Command{Kind: KindSet, Actor: "ada", Reason: "x"}, ErrCommand, `bad command: 0 controls, want 1 to 100`},
		{"no actor", Command{Kind: KindSet, Reason: "x"}, ErrCommand, `bad command: actor missing`},
		{"gating is not known yet", define(abc(Rule{Name: "g", Assert: "gate"})), ErrDefinitions,
			`bad definitions: panel "api": rule "g": unknown assertion "gate" (have at_least, all, any)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := must(t, New(1), define(d))
			_, res := s.Apply(2, tt.cmd)
			wire, err := json.Marshal(res)
			if err != nil {
				t.Fatal(err)
			}
			var far Result
			if err := json.Unmarshal(wire, &far); err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{res.Err(), far.Err()} {
				if !errors.Is(err, tt.want) || err.Error() != tt.text {
					t.Errorf("Err() = %v\nwant    %s", err, tt.text)
				}
			}
		})
	}
	if err := (Result{Code: "of-tomorrow", Text: "x"}).Err(); !errors.Is(err, ErrRefused) {
		t.Errorf("an unknown code gives %v, want %v", err, ErrRefused)
	}
}

func TestDefinitionsCheck(t *testing.T) {
	for _, tt := range []struct{ name, json, want string }{
		{"good", `{"panels":[{"name":"p","controls":[{"name":"a"}],"rules":[{"name":"r","assert":"any","of":["a"]}]}]}`, ""},
		{"all mistakes at once", `{"panels":[{"name":"p p","controls":[]},{"name":"q","controls":[{"name":"a"},{"name":"a"}]}]}`,
			`panel "p p": a name has only letters, digits and -_. (not ' ')|panel "p p": 0 controls, want 1 to 100|panel "q": control "a": already in panel "q"`},
		{"panel twice", `{"panels":[{"name":"p","controls":[{"name":"a"}]},{"name":"p","controls":[{"name":"b"}]}]}`, `panel "p": listed twice`},
		{"threshold too high", `{"panels":[{"name":"p","controls":[{"name":"a"}],"rules":[{"name":"r","assert":"at_least","threshold":2,"of":["a"]}]}]}`,
			`panel "p": rule "r": threshold 2, want 1 to 1`},
		{"threshold of all", `{"panels":[{"name":"p","controls":[{"name":"a"}],"rules":[{"name":"r","assert":"all","threshold":1,"of":["a"]}]}]}`,
			`panel "p": rule "r": threshold 1 belongs to at_least only`},
		{"rule over another panel", `{"panels":[{"name":"p","controls":[{"name":"a"}],"rules":[{"name":"r","assert":"all","of":["b"]}]}]}`,
			`panel "p": rule "r": control "b" is not of this panel`},
		{"rule of nothing", `{"panels":[{"name":"p","controls":[{"name":"a"}],"rules":[{"name":"r","assert":"all","of":[]}]}]}`,
			`panel "p": rule "r": of 0 controls, want 1 to 100`},
		{"names of rules keep clear of last-on:", `{"panels":[{"name":"p","controls":[{"name":"a"}],"rules":[{"name":"last-on:p","assert":"all","of":["a"]}]}]}`,
			`panel "p": rule "last-on:p": a name has only letters, digits and -_. (not ':')`},
		{"pool of an unknown control", `{"pools":[{"pool":"w","controls":["x"]}]}`, `pool "w": unknown control "x"`},
		{"pool twice", `{"panels":[{"name":"p","controls":[{"name":"a"}]}],"pools":[{"pool":"w","controls":["a"]},{"pool":"w","controls":["a"]}]}`, `pool "w": listed twice`},
		{"contents of one zone twice", `{"contents":[{"zone":"a.","digest":1},{"zone":"a.","digest":2},{"zone":""}]}`,
			`contents of zone "a.": listed twice|contents: zone "": want a name in lower case that ends with a dot`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d Definitions
			if err := json.Unmarshal([]byte(tt.json), &d); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := d.Check(); err != nil {
				got = strings.ReplaceAll(strings.TrimPrefix(err.Error(), "bad definitions: "), "\n", "|")
			}
			if got != tt.want {
				t.Errorf("Check() = %s\nwant      %s", got, tt.want)
			}
		})
	}
}

func TestDigestKnowsNoOrder(t *testing.T) {
	a := abc(Rule{Name: "x", Assert: Any}, Rule{Name: "y", Assert: All, Wait: DefaultWait})
	a.Pools = []PoolControls{{"p", []ControlID{"a", "b"}}, {"q", []ControlID{"c"}}}
	a.Contents = []Content{{"a.", 1}, {"b.", 2}}
	b := Definitions{
		Panels: []Panel{{Name: "api", Controls: []NewControl{{Name: "c"}, {Name: "a"}, {Name: "b"}},
			Rules: []Rule{{Name: "y", Assert: All, Of: []ControlID{"c", "b", "a"}}, {Name: "x", Assert: Any, Of: []ControlID{"b", "a", "c"}}}}},
		Pools:    []PoolControls{{"q", []ControlID{"c"}}, {"p", []ControlID{"b", "a", "b"}}},
		Contents: []Content{{"b.", 2}, {"a.", 1}},
	}
	if a.Digest() != b.Digest() {
		t.Errorf("Digest() = %v and %v, want equal", a.Digest(), b.Digest())
	}
	b.Panels[0].Controls[0].InitialOff = true
	if a.Digest() == b.Digest() {
		t.Errorf("Digest() = %v for different definitions", a.Digest())
	}
	if s := must(t, New(1), define(a)); s.Digest() != a.Digest() {
		t.Errorf("state's digest = %v, want %v", s.Digest(), a.Digest())
	}
	if (*State)(nil).Digest() != (Definitions{}).Digest() {
		t.Error("digest of no state differs from that of no definitions")
	}
}

// Each content of a zone has a generation of its own, that of a content that comes back too.
func TestContentRaisesTheGeneration(t *testing.T) {
	content := func(digest uint64) Command { return define(Definitions{Contents: []Content{{"a.", digest}}}) }
	s := must(t, New(1), content(1), content(2), content(2), content(1))
	if s.Generation() != 3 {
		t.Errorf("generation %d after three changes, want 3", s.Generation())
	}
	again, err := Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*State{s, again} {
		if digest, ok := s.ContentOf("a."); digest != 1 || !ok {
			t.Errorf("ContentOf(a.) = %d, %v, want 1", digest, ok)
		}
		if _, ok := s.ContentOf("b."); ok {
			t.Error("ContentOf(b.), which is not defined, has a digest")
		}
	}
	if _, ok := (*State)(nil).ContentOf("a."); ok {
		t.Error("no state has a digest")
	}
}

func TestNewer(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b *State
		want bool
	}{
		{"higher index", &State{Epoch: 1, Index: 2}, &State{Epoch: 1, Index: 1}, true},
		{"equal", &State{Epoch: 1, Index: 2}, &State{Epoch: 1, Index: 2}, false},
		{"epoch outranks index", &State{Epoch: 2, Index: 1}, &State{Epoch: 1, Index: 9}, true},
		{"something over nothing", New(1), nil, true},
		{"nothing over nothing", nil, nil, false},
	} {
		if got := tt.a.Newer(tt.b); got != tt.want {
			t.Errorf("%s: Newer = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestUnknownControlCountsAsOn(t *testing.T) {
	s := must(t, New(1), define(abc()), set("a=off"))
	if !s.On("new") || s.On("a") || !s.On("b") || !(*State)(nil).On("a") {
		t.Errorf("On(new, a, b) = %v %v %v, On of nil = %v", s.On("new"), s.On("a"), s.On("b"), (*State)(nil).On("a"))
	}
}
