package control

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestChallenges follows the challenges through a row of commands.
func TestChallenges(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const name = "_acme-challenge.www.example.com."
	set := func(name, value string, life time.Duration) ChallengeSet {
		return ChallengeSet{Name: name, Value: value, TTL: 5, Expires: start.Add(life)}
	}
	var crowd []ChallengeSet
	for i := range maxChallengeOf + 1 {
		crowd = append(crowd, set(name, fmt.Sprint("v", i), time.Hour))
	}
	s := New(1)
	for i, step := range []struct {
		name  string
		after time.Duration
		sets  []ChallengeSet
		want  string
		err   string
	}{
		{"a value", 0, []ChallengeSet{set(name, "a", time.Minute)}, "a", ""},
		{"another one", 0, []ChallengeSet{set(name, "b", time.Hour)}, "a b", ""},
		{"the same again renews it", 0, []ChallengeSet{set(name, "a", 2*time.Minute)}, "a b", ""},
		{"too many of one name change nothing", time.Second, crowd, "a b", "more than 8 values"},
		{"another name", time.Second, []ChallengeSet{set("_acme-challenge.b.example.com.", "c", time.Hour)}, "c a b", ""},
		{"what has expired by an entry's time is gone", 3 * time.Minute, []ChallengeSet{set(name, "d", time.Hour)}, "c b d", ""},
		{"one that is too late is none", 3 * time.Minute, []ChallengeSet{set(name, "e", time.Minute)}, "c b d", ""},
		{"one value is cleared", 3 * time.Minute, []ChallengeSet{{Name: name, Value: "b", Clear: true}}, "c d", ""},
		{"all of a name are cleared", 3 * time.Minute, []ChallengeSet{{Name: name, Clear: true}}, "c", ""},
		{"a name that is no challenge", 3 * time.Minute, []ChallengeSet{set("www.example.com.", "x", time.Hour)}, "c", "want _acme-challenge."},
		{"a value that is not printable", 3 * time.Minute, []ChallengeSet{set(name, "a b", time.Hour)}, "c", "printable"},
		{"a value that is too long", 3 * time.Minute, []ChallengeSet{set(name, strings.Repeat("x", 256), time.Hour)}, "c", "printable"},
		{"a TTL that is too long", 3 * time.Minute, []ChallengeSet{{Name: name, Value: "x", TTL: 6, Expires: start.Add(time.Hour)}}, "c", "TTL 6, at most 5"},
	} {
		next, res := s.Apply(uint64(i+1), Command{Kind: KindChallenge, Time: start.Add(step.after), Actor: "a", Reason: "b", Challenges: step.sets})
		s = next
		var values []string
		for _, c := range s.dynamic {
			values = append(values, c.Value)
		}
		if got := strings.Join(values, " "); got != step.want {
			t.Errorf("%s: values %q, want %q", step.name, got, step.want)
		}
		if err := res.Err(); (err == nil) != (step.err == "") || err != nil && !strings.Contains(err.Error(), step.err) {
			t.Errorf("%s: %v, want an error with %q", step.name, err, step.err)
		}
		again, err := Decode(s.Encode())
		if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Errorf("%s: a copy over the wire differs (%v)", step.name, err)
		}
	}
	if life := s.dynamic[0].Expires.Sub(start); life != time.Hour {
		t.Errorf("expires after %v, want 1h", life)
	}
	current, until := s.Challenges(start.Add(59 * time.Minute))
	if len(current) != 1 || !until.Equal(start.Add(time.Hour)) {
		t.Errorf("Challenges before their end = %v until %v", current, until)
	}
	if current, until = s.Challenges(start.Add(time.Hour)); len(current) != 0 || !until.IsZero() {
		t.Errorf("Challenges at their end = %v until %v, want none", current, until)
	}
}
