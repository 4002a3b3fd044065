package dnssec

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the owner, the instant and the validity: what Window promises.
func TestWindowProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owner := []byte(rapid.StringN(1, 20, 60).Draw(t, "owner"))
		now := time.Unix(rapid.Int64Range(0, 1<<32-1<<23).Draw(t, "now"), 0)
		validity := time.Duration(rapid.IntRange(7, 60).Draw(t, "days")) * 24 * time.Hour
		inception, expiration, renew := Window(owner, now, validity)
		from, to := time.Unix(int64(int32(inception-uint32(now.Unix())))+now.Unix(), 0), time.Unix(int64(int32(expiration-uint32(now.Unix())))+now.Unix(), 0)
		switch left := to.Sub(now); {
		case now.Sub(from) < Backdate:
			t.Fatalf("valid from %v on, at %v", from, now)
		case to.Sub(from) != Backdate+validity:
			t.Fatalf("valid for %v, want %v", to.Sub(from), Backdate+validity)
		case left < validity*45/100:
			t.Fatalf("%v left of %v", left, validity)
		case !renew.After(now) || to.Sub(renew) < validity*45/100 || renew.Sub(from)-Backdate < validity*45/100:
			t.Fatalf("renewed at %v, for %v to %v", renew, from, to)
		}
		// Until the boundary nothing changes, and there it does.
		if i, e, r := Window(owner, renew.Add(-time.Second), validity); i != inception || e != expiration || !r.Equal(renew) {
			t.Fatalf("another window before the boundary %v", renew)
		}
		i, e, _ := Window(owner, renew, validity)
		if i == inception || e == expiration {
			t.Fatalf("the same window behind the boundary %v", renew)
		}
		if gap := int64(i - inception); gap < int64(validity/time.Second)*45/100-1 || gap > int64(validity/time.Second)*55/100+1 {
			t.Fatalf("renewed after %d s of %v", gap, validity)
		}
	})
}

// Clocks 5 minutes apart seldom give two windows, and renewals of many owners do not come together.
func TestWindowSpread(t *testing.T) {
	const owners = 20_000
	differ := 0
	var perDay [8]int
	var early, late int // gaps below 95 % and above 105 % of half the validity
	for i := range owners {
		owner := wire(t, name(i))
		one, _, renew := Window(owner, day0, DefaultValidity)
		two, _, _ := Window(owner, day0.Add(5*time.Minute), DefaultValidity)
		if one != two {
			differ++
		}
		perDay[int(renew.Sub(day0)/(24*time.Hour))]++
		_, _, after := Window(owner, renew, DefaultValidity)
		switch gap := after.Sub(renew); {
		case gap < DefaultValidity*475/1000:
			early++
		case gap > DefaultValidity*525/1000:
			late++
		}
	}
	if want := owners * 5 / (7 * 24 * 60); differ > 3*want || differ == 0 {
		t.Errorf("%d of %d owners have two windows within 5 min, want about %d", differ, owners, want)
	}
	// The difference of two jitters of 5 % is beyond 5 % in a quarter of all cases.
	if early < owners/10 || early > owners/6 || late < owners/10 || late > owners/6 {
		t.Errorf("%d of %d renewals come early, %d late, want an eighth each", early, owners, late)
	}
	for day, n := range perDay[:6] { // the seventh has less, the eighth the late ones
		if n < owners/7*9/10 || n > owners/7*11/10 {
			t.Errorf("%d of %d owners are renewed on day %d, want about %d", n, owners, day, owners/7)
		}
	}
}

func TestClockFit(t *testing.T) {
	const m = time.Minute
	for _, tt := range []struct {
		why   string
		ahead []time.Duration
		want  bool
	}{
		{"alone", nil, true},
		{"one peer near", []time.Duration{5 * m}, true},
		{"one peer far: one of us is wrong, and nobody can say who", []time.Duration{9 * time.Hour}, true},
		{"two peers, one far", []time.Duration{30 * m, m}, true},
		{"two peers, both far on one side", []time.Duration{-30 * m, -6 * m}, false},
		{"two peers, just too far", []time.Duration{5*m + 1, 5*m + 1}, false},
		{"two peers, far on both sides", []time.Duration{-time.Hour, time.Hour}, true},
		{"three peers, one far", []time.Duration{9 * time.Hour, m, -m}, true},
		{"three peers, two far: two of us against two", []time.Duration{-20 * m, m, -21 * m}, true},
		{"three peers, all far", []time.Duration{-20 * m, -19 * m, -21 * m}, false},
		{"four peers, three far", []time.Duration{20 * m, 0, 19 * m, 21 * m}, false},
	} {
		if got := ClockFit(tt.ahead); got != tt.want {
			t.Errorf("%s: ClockFit(%v) = %v", tt.why, tt.ahead, got)
		}
	}
}
