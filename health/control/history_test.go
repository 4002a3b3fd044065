package control

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The history says what was ordered, also where it is refused, and gives no secret away.
func TestHistoryNamesWhatWasOrdered(t *testing.T) {
	order := func(text, do string) Command { c := keys(text); c.Keys.Order = do; return c }
	challenge := func(sets ...ChallengeSet) Command {
		for i := range sets {
			sets[i].Name = ChallengePrefix + sets[i].Name
			if !sets[i].Clear {
				sets[i].Expires = epoch.Add(time.Hour)
			}
		}
		return Command{Kind: KindChallenge, Actor: "ada", Reason: "test", Time: epoch, Challenges: sets}
	}
	crowd := make([]ChallengeSet, maxChallengeOf+1)
	for i := range crowd {
		crowd[i] = ChallengeSet{Name: "b.", Value: fmt.Sprint("secret", i)}
	}
	noReason := set("b=off a=on")
	noReason.Reason = " "
	for _, tt := range []struct {
		name string
		cmd  Command
		want string
	}{
		{"an order of a person", order("z.=secret@0", "import"), "keys z. import"},
		{"one that crosses another", order("z.=secret@9", "roll-zsk"), "keys z. roll-zsk: version"},
		{"a step of a roll", keys("z.=secret@0"), "keys z."},
		{"challenges set", challenge(ChallengeSet{Name: "a.", Value: "secret1"}, ChallengeSet{Name: "a.", Value: "secret2"}), "challenge set _acme-challenge.a."},
		{"challenges cleared", challenge(ChallengeSet{Name: "a.", Clear: true}, ChallengeSet{Name: "b.", Value: "secret", Clear: true}),
			"challenge clear _acme-challenge.a., clear _acme-challenge.b."},
		{"too many challenges", challenge(crowd...), "challenge set _acme-challenge.b.: command"},
		{"an unknown control", set("nope=off"), "set nope true>false: unknown_control"},
		{"no reason", noReason, "set a true>true b true>false: reason"},
	} {
		s, _ := New(1).Apply(1, tt.cmd)
		s, err := Decode(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		e := s.History()[0]
		words := []string{string(e.Kind), e.Zone, e.Order}
		for _, c := range e.Changes {
			words = append(words, fmt.Sprintf("%s %v>%v", c.Control, c.Before, c.After))
		}
		got := strings.Join(strings.Fields(strings.Join(words, " ")), " ")
		if e.Refused != "" {
			got += ": " + string(e.Refused)
		}
		if got != tt.want {
			t.Errorf("%s: audited as %q, want %q", tt.name, got, tt.want)
		}
		if line := fmt.Sprintf("%+v", *e); strings.Contains(line, "secret") {
			t.Errorf("%s: audited with a secret: %s", tt.name, line)
		}
	}
	if err := order("z.=x@0", strings.Repeat("x", maxName+1)).Check(); err == nil || !strings.Contains(err.Error(), `zone "z.": order: 101 bytes, at most 100`) {
		t.Errorf("an order of 101 bytes: %v", err)
	}
}

// What was written before entries named an order is read, and stays as it was.
func TestHistoryOfOldIsRead(t *testing.T) {
	const old = `{"version":1,"epoch":1,"index":2,"time":"2026-01-01T00:00:00Z","history":[` +
		`{"epoch":1,"index":1,"time":"2026-01-01T00:00:00Z","kind":"keys","zone":"a.","actor":"mia","reason":"yearly"},` +
		`{"epoch":1,"index":2,"time":"2026-01-01T00:00:00Z","kind":"challenge","actor":"mia","reason":"renewal","text":"set _acme-challenge.a."}]}`
	s, err := Decode([]byte(old))
	if err != nil || string(s.Encode()) != old {
		t.Errorf("read and written: %s (%v), want it as it was", cmp.Or(s, New(0)).Encode(), err)
	}
	const command = `{"version":1,"kind":"keys","actor":"mia","reason":"yearly","keys":{"zone":"a.","state":"eA==","expect":0}}`
	c, err := DecodeCommand([]byte(command))
	if data, _ := c.Encode(); err != nil || string(data) != command {
		t.Errorf("command read and written: %s (%v), want it as it was", data, err)
	}
}
