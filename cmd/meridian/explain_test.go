package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPastTime(t *testing.T) {
	zone := time.FixedZone("here", 2*60*60)
	now := time.Date(2026, 3, 1, 10, 30, 15, 5, zone)
	const want = "is no time: want one like 2026-01-31T03:12:00Z (RFC 3339), 03:12 or 03:12:30 (the last time that it was so late), or how long ago like -15m"
	for _, tt := range []struct{ name, text, want, err string }{
		{"RFC 3339", "2026-01-31T03:12:00Z", "2026-01-31T03:12:00Z", ""},
		{"RFC 3339 with all there is", "2026-01-31T03:12:00.123456789-05:00", "2026-01-31T03:12:00.123456789-05:00", ""},
		{"how long ago", "-15m", "-15m", ""},
		{"of today", "03:12", "2026-03-01T03:12:00+02:00", ""},
		{"of today, to the second", "10:30:15", "2026-03-01T10:30:15+02:00", ""},
		{"later today, so of yesterday", "10:30:16", "2026-02-28T10:30:16+02:00", ""},
		{"in some time", "15m", "", want},
		{"no time", "yesterday", "", want},
		{"no time of day", "24:00", "", want},
		{"date alone", "2026-01-31", "", want},
	} {
		got, err := pastTime(tt.text, now)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: pastTime(%q) = %q, %v, want %q, %q", tt.name, tt.text, got, err, tt.want, tt.err)
		}
	}
}

func TestLongFlags(t *testing.T) {
	for _, tt := range []struct {
		name       string
		args, want string
	}{
		{"two dashes", "explain a --at 03:12", "explain a --at 03:12"},
		{"one dash", "explain a -at 03:12 -json", "explain a --at 03:12 --json"},
		{"a short flag", "explain -h", "explain -h"},
		{"a value with a dash", "explain a -at -15m --json", "explain a --at=-15m --json"},
		{"a value with a dash behind =", "explain a --at=-15m -5", "explain a --at=-15m -5"},
		{"a dash and a digit that is no value", "-5 explain", "-5 explain"},
		{"behind two dashes", "explain -- -at -15m", "explain -- -at -15m"},
	} {
		if got := longFlags(strings.Fields(tt.args)); !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s: longFlags(%s) = %q, want %s", tt.name, tt.args, got, tt.want)
		}
	}
}
