package control

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-gslb/meridian/health"
)

var names = []ControlID{"a", "b", "c", "d", "e"}

func drawDefinitions(t *rapid.T) Definitions {
	d := Definitions{Contents: []Content{{"a.", uint64(rapid.IntRange(0, 2).Draw(t, "content"))}}}
	split := rapid.IntRange(1, len(names)).Draw(t, "split")
	for i, of := range [][]ControlID{names[:split], names[split:]} {
		p := Panel{Name: PanelID(fmt.Sprint("p", i))}
		for _, id := range of {
			if rapid.IntRange(0, 5).Draw(t, "there") > 0 {
				p.Controls = append(p.Controls, NewControl{id, rapid.Bool().Draw(t, "off")})
			}
		}
		if len(p.Controls) == 0 {
			continue
		}
		for j := range rapid.IntRange(0, 3).Draw(t, "rules") {
			r := Rule{Name: fmt.Sprint("r", j), Inverted: rapid.Bool().Draw(t, "inverted"), Of: drawSome(t, p.Controls),
				Assert: rapid.SampledFrom([]Assertion{AtLeast, All, Any}).Draw(t, "assert"),
				Wait:   rapid.SampledFrom([]time.Duration{-1, 0, time.Second}).Draw(t, "wait")}
			if r.Assert == AtLeast {
				r.Threshold = rapid.IntRange(1, len(r.Of)).Draw(t, "threshold")
			}
			p.Rules = append(p.Rules, r)
		}
		d.Panels = append(d.Panels, p)
		d.Pools = append(d.Pools, PoolControls{fmt.Sprint("pool", i), drawSome(t, p.Controls)})
	}
	return d
}

func drawSome(t *rapid.T, controls []NewControl) []ControlID {
	var of []ControlID
	for _, c := range rapid.Permutation(controls).Draw(t, "of")[:rapid.IntRange(1, len(controls)).Draw(t, "n")] {
		of = append(of, c.Name)
	}
	return of
}

func drawCommand(t *rapid.T, at time.Time) Command {
	cmd := Command{Actor: "ada", Reason: rapid.SampledFrom([]string{"why", ""}).Draw(t, "reason"), Time: at,
		Key: rapid.SampledFrom([]string{"", "", "k1", "k2"}).Draw(t, "key"),
		Via: rapid.SampledFrom([]health.NodeID{"", "use1", "euw1"}).Draw(t, "via")}
	if rapid.IntRange(0, 4).Draw(t, "define") == 0 {
		d := drawDefinitions(t)
		cmd.Kind, cmd.Definitions = KindDefine, &d
		return cmd
	}
	if rapid.IntRange(0, 3).Draw(t, "keys") == 0 {
		cmd.Kind = KindKeys
		cmd.Keys = &NewKeys{Zone: rapid.SampledFrom([]string{"a.", "b.", "c."}).Draw(t, "zone"),
			State:  []byte(rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "state")),
			Expect: uint64(rapid.IntRange(0, 6).Draw(t, "expect"))}
		cmd.Keys.Times = cmd.Keys.Expect > 0 && len(cmd.Keys.State) > 0 && rapid.Bool().Draw(t, "times")
		return cmd
	}
	if rapid.IntRange(0, 1).Draw(t, "manual") == 0 {
		return drawManual(t, cmd)
	}
	cmd.Kind = KindSet
	for _, id := range rapid.Permutation(names).Draw(t, "controls")[:rapid.IntRange(1, 3).Draw(t, "n")] {
		cmd.Switches = append(cmd.Switches, Switch{id, rapid.Bool().Draw(t, "on"), 0})
	}
	return cmd
}

// drawManual makes a command about overlays or latches, now and then one that is refused.
func drawManual(t *rapid.T, cmd Command) Command {
	endpoints := []string{"a", "b", "c"}
	cmd.Kind = rapid.SampledFrom([]Kind{KindOverlay, KindOverlay, KindExpire, KindLatch, KindResume}).Draw(t, "kind")
	switch cmd.Kind {
	case KindOverlay:
		for _, e := range rapid.Permutation(endpoints).Draw(t, "endpoints")[:rapid.IntRange(1, 3).Draw(t, "n")] {
			set := OverlaySet{Endpoint: e, State: rapid.SampledFrom(Manuals()).Draw(t, "state")}
			if set.State != Auto {
				switch rapid.IntRange(0, 3).Draw(t, "life") {
				case 0:
					set.For = time.Duration(rapid.IntRange(1, 20).Draw(t, "for")) * time.Second
				case 1:
					set.Expires = cmd.Time.Add(time.Duration(rapid.IntRange(-1, 20).Draw(t, "expires")) * time.Second)
				}
			}
			cmd.Overlays = append(cmd.Overlays, set)
		}
	case KindLatch:
		for _, e := range rapid.Permutation(endpoints).Draw(t, "endpoints")[:rapid.IntRange(1, 3).Draw(t, "n")] {
			cmd.Latch = append(cmd.Latch, Member{rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool"), e})
		}
	case KindResume:
		cmd.Resume = &Member{rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool"), rapid.SampledFrom(append(endpoints, "")).Draw(t, "endpoint")}
	}
	return cmd
}

func manual(k Kind) bool {
	return k == KindOverlay || k == KindExpire || k == KindLatch || k == KindResume
}

// A manualTwin is the slow and obvious twin of what a state holds of overlays and latches.
type manualTwin struct {
	overlays map[string]OverlaySet // by endpoint; Expires says when, For nothing
	latches  map[Member]bool
}

// follow takes a command at a time. It reports whether the command may be applied.
func (w manualTwin) follow(cmd Command, now time.Time) bool {
	for _, set := range cmd.Overlays {
		if !set.Expires.IsZero() && !set.Expires.After(now) {
			return false
		}
	}
	for _, set := range cmd.Overlays {
		if set.For > 0 {
			set.Expires, set.For = now.Add(set.For), 0
		}
		w.overlays[set.Endpoint] = set
		if set.State == Auto {
			delete(w.overlays, set.Endpoint)
		}
	}
	for e, set := range w.overlays {
		if cmd.Kind == KindExpire && !set.Expires.IsZero() && !set.Expires.After(now) {
			delete(w.overlays, e)
		}
	}
	for _, m := range cmd.Latch {
		w.latches[m] = true
	}
	for m := range w.latches {
		if r := cmd.Resume; r != nil && m.Pool == r.Pool && (r.Endpoint == "" || r.Endpoint == m.Endpoint) {
			delete(w.latches, m)
		}
	}
	return true
}

// compare reports how a state differs from the twin; empty: it does not.
func (w manualTwin) compare(s *State) string {
	all, latches := s.Overlays(), s.Latches()
	if len(all) != len(w.overlays) || len(latches) != len(w.latches) {
		return fmt.Sprintf("overlays %v and latches %v, want %v and %v", all, latches, w.overlays, w.latches)
	}
	for e, want := range w.overlays {
		if o, ok := s.Overlay(e); !ok || o.State != want.State || !o.Expires.Equal(want.Expires) {
			return fmt.Sprintf("overlay %+v of %q, want %+v", o, e, want)
		}
	}
	for m := range w.latches {
		if !s.Latched(m.Pool, m.Endpoint) {
			return fmt.Sprintf("%v is not latched", m)
		}
	}
	return ""
}

// holds is the slow and obvious twin of rule.holds.
func (r Rule) holdsIn(s *State) bool {
	on, off := 0, 0
	for _, id := range r.Of {
		if s.On(id) {
			on++
		} else {
			off++
		}
	}
	var ok bool
	switch r.Assert {
	case AtLeast:
		ok = on >= r.Threshold
	case All:
		ok = off == 0
	case Any:
		ok = on > 0
	}
	return ok == !r.Inverted
}

// Without overrides no sequence of commands breaks a rule that held; a refusal changes nothing; a
// definition flips nothing; time and index do not go back; replicas agree to the byte.
func TestNoCommandBreaksARule(t *testing.T) {
	refused, applied := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := New(1)
		replica := New(1)
		twin := manualTwin{make(map[string]OverlaySet), make(map[Member]bool)}
		at := epoch
		for range rapid.IntRange(1, 25).Draw(t, "length") {
			at = at.Add(time.Duration(rapid.IntRange(-3, 8).Draw(t, "later")) * time.Second)
			cmd := drawCommand(t, at)
			before := s
			var res Result
			s, res = before.Apply(before.Index+1+uint64(rapid.IntRange(0, 2).Draw(t, "skip")), cmd)

			if res.Err() != nil {
				refused++
			} else {
				applied++
			}
			if changed := show(before) != show(s); changed && (res.Err() != nil || res.Repeat) {
				t.Fatalf("%+v: %+v, yet on %q became %q", cmd, res, show(before), show(s))
			}
			set := res.Err() == nil && !res.Repeat && cmd.Kind == KindKeys
			if before, after := showKeys(before), showKeys(s); before != after != set {
				t.Fatalf("%+v: %+v, and keys %q became %q", cmd, res, before, after)
			}
			if manual(cmd.Kind) && res.Code != "reason" && res.Code != "key" && !res.Repeat && twin.follow(cmd, s.Time) != (res.Err() == nil) {
				t.Fatalf("%+v at %v: %v", cmd, s.Time, res.Err())
			}
			if differs := twin.compare(s); differs != "" {
				t.Fatalf("after %+v: %s", cmd, differs)
			}
			if s.Time.Before(before.Time) || s.Index <= before.Index {
				t.Fatalf("state went back: %v %d after %v %d", s.Time, s.Index, before.Time, before.Index)
			}
			if cmd.Kind == KindDefine {
				for _, c := range before.Controls() {
					if now, ok := s.Control(c.Name); ok && now.On != c.On {
						t.Fatalf("definition flipped %q", c.Name)
					}
				}
			}
			kept(t, before, s)

			// A replica that takes every entry through bytes, and now and then restarts from a snapshot.
			data, err := cmd.Encode()
			if err != nil {
				t.Fatal(err)
			}
			same, err := DecodeCommand(data)
			if err != nil {
				t.Fatal(err)
			}
			replica, _ = replica.Apply(s.Index, same)
			if rapid.Bool().Draw(t, "restart") {
				if replica, err = Decode(replica.Encode()); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(replica.Encode(), s.Encode()) {
				t.Fatalf("replicas differ after %+v:\n%s\n%s", cmd, replica.Encode(), s.Encode())
			}
		}
	})
	if refused == 0 || applied == 0 {
		t.Errorf("%d refused, %d applied: the test tries nothing", refused, applied)
	}
}

func kept(t *rapid.T, before, after *State) {
	rules := func(d Definitions) map[string]Rule {
		all := make(map[string]Rule)
		for _, p := range d.Panels {
			for _, r := range p.Rules {
				all[fmt.Sprintf("%s/%s %s %v %d", p.Name, r.Name, r.Assert, r.Inverted, r.Threshold)] = r
			}
		}
		for _, p := range d.Pools {
			all[LastOn+p.Pool] = Rule{Assert: Any, Of: p.Controls}
		}
		return all
	}
	now := rules(after.Definitions())
	for id, r := range rules(before.Definitions()) {
		if same, ok := now[id]; ok && fmt.Sprint(same.Of) == fmt.Sprint(r.Of) && r.holdsIn(before) && !same.holdsIn(after) {
			t.Fatalf("rule %s held on %q and is broken on %q", id, show(before), show(after))
		}
		if same, ok := now[id]; ok && id[:len("last")] == "last" && r.holdsIn(before) && !same.holdsIn(after) {
			t.Fatalf("%s lost its last control that is on: %v of %q, then %v of %q", id, r.Of, show(before), same.Of, show(after))
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	via := set("a=off")
	via.Via = "use1"
	for _, cmd := range []Command{set("a=off b=on@3 !r"), via, keys("example.com.=x@7"), overlays("euw1=drain/1h aps1=auto"), expire, latch("api/euw1"), resume("api"), define(abc(Rule{Name: "r", Assert: Any}))} {
		data, err := cmd.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"version":2,"kind":"set"}`))
	f.Add([]byte(`{"version":1,"kind":"set","actor":"\ud800","switches":[{}]}{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd, err := DecodeCommand(data)
		if err != nil {
			if !errors.Is(err, ErrCommand) {
				t.Errorf("DecodeCommand(%q) = %v, want it to wrap %v", data, err, ErrCommand)
			}
			return
		}
		again, err := cmd.Encode()
		if err != nil && len(data) < MaxCommandBytes/8 {
			t.Fatalf("Encode(DecodeCommand(%q)) = %v", data, err)
		}
		if same, err := DecodeCommand(again); err == nil && same.digest() != cmd.digest() {
			t.Errorf("%q came back as %q", data, again)
		}
		s, _ := New(1).Apply(1, define(abc()))
		s, _ = s.Apply(2, cmd)
		if _, err := Decode(s.Encode()); err != nil {
			t.Errorf("state after %q: %v", data, err)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	s, _ := New(1).Apply(1, define(abc(Rule{Name: "r", Assert: All})))
	keyed := set("a=off !r")
	keyed.Key = "k"
	s, _ = s.Apply(2, keyed)
	s, _ = s.Apply(3, set("b=off"))
	s, _ = s.Apply(4, keys("example.com.=x@0"))
	f.Add(s.Encode())
	s, _ = s.Apply(5, overlays("euw1=drain/1h aps1=force_up"))
	s, _ = s.Apply(6, latch("api/euw1 www/use1"))
	s, _ = s.Apply(7, resume("api"))
	f.Add(s.Encode())
	f.Add([]byte(`{"version":1,"time":"9999-12-31T23:59:59-23:00"}`))
	f.Add([]byte(`{"version":1,"history":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(s.Encode())
		if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Fatalf("Decode(Encode(Decode(%q))) = %v, %v", data, again, err)
		}
		if s.Index < 1<<63 {
			next, _ := s.Apply(s.Index+1, set("a=off b=on"))
			next.Violations()
			for _, cmd := range []Command{overlays("euw1=drain/1h use1=auto"), expire, latch("api/euw1"), resume("api")} {
				if next.Index < 1<<63 {
					next, _ = next.Apply(next.Index+1, cmd)
				}
			}
			if _, err := Decode(next.Encode()); err != nil {
				t.Errorf("state after %q: %v", data, err)
			}
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"unknown version", `{"version":2}`, `control state: version 2 (have 1)`},
		{"no version", `{}`, `control state: version 0 (have 1)`},
		{"control that is not defined", `{"version":1,"controls":[{"name":"a","version":1}]}`, `control state: 1 controls, 0 defined`},
		{"time that can't be written", `{"version":1,"time":"9999-12-31T23:59:59-23:00"}`, `control state: time 10000-01-01 22:59:59 +0000 UTC`},
		{"overlay of nothing", `{"version":1,"overlays":[{"state":"drain"}]}`, `control state: endpoint "": a name has 1 to 100 bytes, not 0`},
		{"overlay that is none", `{"version":1,"overlays":[{"endpoint":"a","state":"auto"}]}`, `control state: endpoint "a": overlay of state "auto"`},
		{"overlay of a state of tomorrow", `{"version":1,"overlays":[{"endpoint":"a","state":"half"}]}`, `control state: endpoint "a": unknown state "half" (have auto, force_up, force_down, drain)`},
		{"overlays out of order", `{"version":1,"overlays":[{"endpoint":"b","state":"drain"},{"endpoint":"a","state":"drain"}]}`, `control state: overlay of endpoint "a" out of order`},
		{"expiry that can't be written", `{"version":1,"overlays":[{"endpoint":"a","state":"drain","expires":"9999-12-31T23:59:59-23:00"}]}`, `control state: time 10000-01-01 22:59:59 +0000 UTC`},
		{"expiry in the history that can't be written", `{"version":1,"history":[{"overlays":[{"expires":"9999-12-31T23:59:59-23:00"}]}]}`, `control state: time 10000-01-01 22:59:59 +0000 UTC`},
		{"latch since a time that can't be written", `{"version":1,"latches":[{"pool":"p","endpoint":"a","since":"9999-12-31T23:59:59-23:00"}]}`, `control state: time 10000-01-01 22:59:59 +0000 UTC`},
		{"latch of nothing", `{"version":1,"latches":[{"pool":"p"}]}`, `control state: latch: endpoint "" of pool "p": a name has 1 to 100 bytes, not 0`},
		{"latch twice", `{"version":1,"latches":[{"pool":"p","endpoint":"a"},{"pool":"p","endpoint":"a"}]}`, `control state: latch of endpoint "a" in pool "p" out of order`},
		{"hole in the history", `{"version":1,"history":[null]}`, `control state: empty entry in the history`},
	} {
		if _, err := Decode([]byte(tt.data)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Decode = %v, want %s", tt.name, err, tt.want)
		}
	}
	if _, err := Decode([]byte(`{"version":1,"epoch":3,"of_tomorrow":{}}`)); err != nil {
		t.Errorf("a part that is not known here: %v, want it passed over", err)
	}
	for _, tt := range []struct{ name, data, want string }{
		{"unknown version", `{"version":2,"kind":"set"}`, `bad command: version 2 (have 1)`},
		{"unknown field", `{"version":1,"kind":"set","force":true}`, `bad command: json: unknown field "force"`},
		{"good", `{"version":1,"kind":"set","actor":"a","switches":[{"control":"a"}]}`, ``},
		{"more than one", `{"version":1,"kind":"set","actor":"a","switches":[{"control":"a"}]}{}`, `bad command: invalid character '{' after top-level value`},
		{"control twice", `{"version":1,"kind":"set","actor":"a","switches":[{"control":"a"},{"control":"a","on":true}]}`, `bad command: control "a" is listed twice`},
		{"line break in the reason", `{"version":1,"kind":"set","actor":"a","reason":"x\ny","switches":[{"control":"a"}]}`, `bad command: reason: control character '\n'`},
		{"passed on by a node", `{"version":1,"kind":"set","actor":"a","via":"use1","switches":[{"control":"a"}]}`, ``},
		{"line break in the node's name", `{"version":1,"kind":"set","actor":"a","via":"x\ny","switches":[{"control":"a"}]}`, `bad command: via: control character '\n'`},
		{"a node's name that is too long", `{"version":1,"kind":"set","actor":"a","via":"` + strings.Repeat("v", maxName+1) + `","switches":[{"control":"a"}]}`, `bad command: via: 101 bytes, at most 100`},
		{"unknown kind", `{"version":1,"kind":"gate","actor":"a"}`, `bad command: unknown kind "gate" (have set, define, keys, challenge, overlay, expire, latch, resume, freeze, release)`},
	} {
		got := ""
		if _, err := DecodeCommand([]byte(tt.data)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: DecodeCommand = %s, want %s", tt.name, got, tt.want)
		}
	}
}
