package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// keys makes a command from "example.com.=state@index"; without a state it forgets the keys.
func keys(text string) Command {
	zone, rest, _ := strings.Cut(text, "=")
	state, at, _ := strings.Cut(rest, "@")
	var expect uint64
	if at != "" {
		fmt.Sscan(at, &expect)
	}
	return Command{Kind: KindKeys, Actor: "ada", Reason: "test", Time: epoch, Keys: &NewKeys{Zone: zone, State: []byte(state), Expect: expect}}
}

// showKeys lists the keys as "zone=state@index".
func showKeys(s *State) string {
	var all []string
	for _, k := range s.AllKeys() {
		all = append(all, fmt.Sprintf("%s=%s@%d", k.Zone, k.State, k.Index))
	}
	return strings.Join(all, " ")
}

func TestZoneKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmd  Command
		want error
		text string
		keys string // after
	}{
		{"the first of a zone", keys("a.=x@0"), nil, "", "a.=x@4 b.=one@1 d.=two@3"},
		{"between others", keys("c.=x@0"), nil, "", "b.=one@1 c.=x@4 d.=two@3"},
		{"a change of what is there", keys("d.=x@3"), nil, "", "b.=one@1 d.=x@4"},
		{"forgotten", keys("b.=@1"), nil, "", "d.=two@3"},
		{"a change of what was changed since", keys("d.=x@2"), ErrVersion,
			`version has changed: keys of zone "d." are of index 3, not 2: set by ada`, "b.=one@1 d.=two@3"},
		{"the first of a zone that has some", keys("d.=x@0"), ErrVersion,
			`version has changed: keys of zone "d." are of index 3, not 0: set by ada`, "b.=one@1 d.=two@3"},
		{"a change of none", keys("e.=x@3"), ErrVersion,
			`version has changed: keys of zone "e." are of index 0, not 3: set by nobody`, "b.=one@1 d.=two@3"},
		{"none forgotten", keys("e.=@0"), ErrKeys, `bad keys: zone "e." has no keys to forget`, "b.=one@1 d.=two@3"},
		{"without a reason", func() Command { c := keys("d.=x@3"); c.Reason = ""; return c }(), ErrReason, "reason missing", "b.=one@1 d.=two@3"},
		{"a name that is not absolute", keys("d=x@0"), ErrCommand,
			`bad command: zone "d": want a name in lower case that ends with a dot`, "b.=one@1 d.=two@3"},
		{"a name in upper case", keys("D.=x@0"), ErrCommand,
			`bad command: zone "D.": want a name in lower case that ends with a dot`, "b.=one@1 d.=two@3"},
		{"too large", keys("d.=" + strings.Repeat("x", maxZoneState+1) + "@3"), ErrCommand,
			`bad command: zone "d.": keys of 65537 bytes, at most 65536`, "b.=one@1 d.=two@3"},
		{"keys beside switches", func() Command { c := set("a=off"); c.Keys = keys("d.=x@3").Keys; return c }(), ErrCommand,
			"bad command: set carries keys", "b.=one@1 d.=two@3"},
		{"an override, where there is no rule", func() Command { c := keys("d.=x@3"); c.Overrides = []string{"r"}; return c }(), ErrCommand,
			"bad command: keys carries overrides", "b.=one@1 d.=two@3"},
		{"new times of none", func() Command { c := keys("e.=x@0"); c.Keys.Times = true; return c }(), ErrCommand,
			`bad command: zone "e.": new times of no keys`, "b.=one@1 d.=two@3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := must(t, New(1), keys("b.=one@0"), keys("d.=one@0"), keys("d.=two@2"))
			before := showKeys(s)
			next, res := s.Apply(4, tt.cmd)
			if err := res.Err(); !errors.Is(err, tt.want) || err != nil && err.Error() != tt.text {
				t.Errorf("Apply = %v, want %s", err, tt.text)
			}
			if got := showKeys(next); got != tt.keys {
				t.Errorf("keys %q, want %q", got, tt.keys)
			}
			if got := showKeys(s); got != before {
				t.Errorf("the state before has keys %q now, and had %q", got, before)
			}
			e := next.History()[3]
			if e.Kind != tt.cmd.Kind || e.Actor != "ada" || tt.want != ErrCommand && e.Zone != tt.cmd.Keys.Zone && tt.want != ErrReason {
				t.Errorf("audited as %+v", e)
			}
			if k, ok := next.Keys(tt.cmd.Keys.Zone); tt.want == nil && ok && (k.Index != 4 || k.Epoch != 1 || k.Changed != epoch || k.Reason != "test") {
				t.Errorf("Keys = %+v, want when, where and why they were set", k)
			}
		})
	}
}

// The clock of a roll is kept without a line each time; a refusal of that is told as any other.
func TestTimesOfKeysAreNoHistory(t *testing.T) {
	times := func(text string) Command { c := keys(text); c.Keys.Times = true; return c }
	s := must(t, New(1), keys("a.=one@0"), times("a.=two@1"), times("a.=three@2"))
	if got := showKeys(s); got != "a.=three@3" || len(s.History()) != 1 {
		t.Errorf("keys %q with %d lines of history, want a.=three@3 with the first alone", got, len(s.History()))
	}
	s, res := s.Apply(4, times("a.=four@2"))
	if !errors.Is(res.Err(), ErrVersion) || len(s.History()) != 2 {
		t.Errorf("late times: %v, with %d lines of history, want %v and 2", res.Err(), len(s.History()), ErrVersion)
	}
}

func TestKeysAreBounded(t *testing.T) {
	s := New(1)
	big := strings.Repeat("x", maxZoneState)
	for i := range maxAllZoneStates / maxZoneState {
		s = must(t, s, keys(fmt.Sprintf("z%d.=%s@0", i, big)))
	}
	if _, res := s.Apply(s.Index+1, keys("more.=x@0")); !errors.Is(res.Err(), ErrKeys) {
		t.Errorf("one byte too many: %v, want %v", res.Err(), ErrKeys)
	}
	if n := len(s.Encode()); n > MaxStateBytes/2 {
		t.Errorf("a full state has %d bytes, at most %d", n, MaxStateBytes)
	}
	all := make([]ZoneKeys, MaxZoneKeys+1)
	if err := checkAllKeys(all); err == nil {
		t.Errorf("%d zones: no error, at most %d", len(all), MaxZoneKeys)
	}
}

func TestDecodeRefusesKeys(t *testing.T) {
	for _, tt := range []struct{ name, keys, want string }{
		{"out of order", `{"zone":"b.","state":"eA=="},{"zone":"a.","state":"eA=="}`, `control state: zone "a.": keys out of order`},
		{"twice", `{"zone":"a.","state":"eA=="},{"zone":"a.","state":"eA=="}`, `control state: zone "a.": keys out of order`},
		{"empty", `{"zone":"a.","state":""}`, `control state: zone "a.": keys of 0 bytes, want 1 to 65536`},
		{"of no zone", `{"zone":"","state":"eA=="}`, `control state: zone "": want a name in lower case that ends with a dot`},
		{"at no time", `{"zone":"a.","state":"eA==","changed":"9999-12-31T23:59:59-23:00"}`, `control state: time 10000-01-01 22:59:59 +0000 UTC`},
	} {
		if _, err := Decode([]byte(`{"version":1,"zone_keys":[` + tt.keys + `]}`)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Decode = %v, want %s", tt.name, err, tt.want)
		}
	}
}
