package main

import (
	"slices"
	"strings"
	"testing"
)

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
