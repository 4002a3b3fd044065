package health

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

var someServing = Serving{Origin: "n1", Incarnation: 1 << 41, Sequence: 9, Time: time.UnixMilli(1767225600123).UTC(),
	Keys: []ServedKeys{{ZoneKey("example.com."), 7}, {ZoneKey("example.org."), 1 << 40}}}

func TestServingComesBack(t *testing.T) {
	for _, want := range []Serving{someServing, {Origin: "n1", Time: time.UnixMilli(0).UTC()}} {
		got, err := ParseServing("n1", want.Append(nil))
		if err != nil || fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Errorf("ParseServing = %v, %v, want %v", got, err, want)
		}
	}
	for _, tt := range []struct {
		name string
		of   *Serving
		apex string
		want uint64
		ok   bool
	}{
		{"the first", &someServing, "example.com.", 7, true}, {"the second", &someServing, "example.org.", 1 << 40, true},
		{"a zone that it does not sign", &someServing, "example.net.", 0, false}, {"nothing was heard", nil, "example.com.", 0, false},
	} {
		if got, ok := tt.of.Generation(tt.apex); got != tt.want || ok != tt.ok {
			t.Errorf("%s: Generation = %d, %v, want %d, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestServingIsBounded(t *testing.T) {
	s := Serving{Keys: make([]ServedKeys, MaxServed+1)}
	got, err := ParseServing("n", s.Append(nil))
	if err != nil || len(got.Keys) != MaxServed {
		t.Errorf("%d zones came over, %v, want %d", len(got.Keys), err, MaxServed)
	}
	body := someServing.Append(nil)
	for name, bad := range map[string][]byte{"empty": nil, "cut short": body[:len(body)-1], "with a tail": append(body[:len(body):len(body)], 0)} {
		if _, err := ParseServing("n", bad); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v, want %v", name, err, ErrMessage)
		}
	}
}

func FuzzParseServing(f *testing.F) {
	f.Add(someServing.Append(nil))
	f.Add((&Serving{}).Append(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := ParseServing("n", body)
		if err != nil {
			return
		}
		if again, err := ParseServing("n", s.Append(nil)); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Fatalf("ParseServing = %v, and again %v, %v", s, again, err)
		}
	})
}
