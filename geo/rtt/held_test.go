package rtt

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A timeline of estimates, in ms, of four regions in epochs one after the other, and the order in force after each.
func TestHysteresis(t *testing.T) {
	type epoch struct {
		est  [4]micros
		want string
	}
	for _, timeline := range []struct {
		why    string
		epochs []epoch
	}{
		{"a gain must last three epochs", []epoch{
			{[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "1023"},
		}},
		{"of a gain with a pause only what comes after counts", []epoch{
			{[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 45, 90, 99}, "0123"},
			{[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "1023"},
		}},
		{"10 ms are no gain", []epoch{
			{[4]micros{50, 40, 90, 99}, "0123"}, {[4]micros{50, 40, 90, 99}, "0123"}, {[4]micros{50, 40, 90, 99}, "0123"}, {[4]micros{50, 40, 90, 99}, "0123"},
		}},
		{"of 200 ms 20 are no gain", []epoch{
			{[4]micros{200, 180, 290, 299}, "0123"}, {[4]micros{200, 180, 290, 299}, "0123"}, {[4]micros{200, 180, 290, 299}, "0123"},
		}},
		{"of 200 ms 21 are a gain", []epoch{
			{[4]micros{200, 179, 290, 299}, "0123"}, {[4]micros{200, 179, 290, 299}, "0123"}, {[4]micros{200, 179, 290, 299}, "1023"},
		}},
		{"who gains does not matter, only that somebody does", []epoch{
			{[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 60, 35, 99}, "0123"}, {[4]micros{50, 31, 30, 99}, "2013"},
		}},
		{"neighbours that are equal stay as they are when another passes them", []epoch{
			{[4]micros{52, 50, 48, 20}, "0123"}, {[4]micros{52, 50, 48, 20}, "0123"}, {[4]micros{52, 50, 48, 20}, "3012"}, {[4]micros{52, 50, 48, 20}, "3012"},
		}},
		{"one behind is looked at once those before it stay", []epoch{
			{[4]micros{10, 60, 30, 99}, "0123"}, {[4]micros{10, 60, 30, 99}, "0123"}, {[4]micros{10, 60, 30, 99}, "0213"},
		}},
		{"and not for a gain before it", []epoch{
			{[4]micros{10, 60, 30, 99}, "0123"}, {[4]micros{10, 60, 30, 99}, "0123"}, {[4]micros{90, 60, 30, 99}, "0123"},
			{[4]micros{90, 60, 30, 99}, "0123"}, {[4]micros{90, 60, 30, 99}, "2013"},
		}},
		{"back needs a gain too", []epoch{
			{[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "0123"}, {[4]micros{50, 30, 90, 99}, "1023"},
			{[4]micros{30, 35, 90, 99}, "1023"}, {[4]micros{30, 35, 90, 99}, "1023"}, {[4]micros{30, 35, 90, 99}, "1023"},
		}},
		{"what is known passes what is not", []epoch{
			{[4]micros{unknown, unknown, 250, unknown}, "0123"}, {[4]micros{unknown, unknown, 250, unknown}, "0123"}, {[4]micros{unknown, unknown, 250, unknown}, "2013"},
			{[4]micros{unknown, unknown, unknown, unknown}, "2013"},
		}},
	} {
		h := newHeld(2, 4)
		h.set(1, []uint8{0, 1, 2, 3})
		for i, e := range timeline.epochs {
			for r := range e.est {
				if e.est[r] != unknown {
					e.est[r] *= 1000
				}
			}
			before := text(h.of(1))
			changed := h.advance(1, e.est[:])
			if got := text(h.of(1)); got != e.want {
				t.Errorf("%s: in epoch %d the order is %s, want %s", timeline.why, i+1, got, e.want)
			}
			if changed != (before != e.want) {
				t.Errorf("%s: in epoch %d changed = %v", timeline.why, i+1, changed)
			}
		}
	}
}

func text(order []uint8) (s string) {
	for _, r := range order {
		s += string('0' + rune(r))
	}
	return s
}

// The rank that is looked for in one pass is the one that comparing all pairs finds.
func TestSlowerTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	found := 0
	for range 20000 {
		n := 1 + random.IntN(6)
		est, order := make([]micros, n), make([]uint8, n)
		for i, r := range random.Perm(n) {
			order[i] = uint8(r)
			est[i] = micros(random.IntN(12)) * 5000
			if random.IntN(8) == 0 {
				est[i] = unknown
			}
		}
		wantRank, wantBest := -1, 0
		for i := n - 1; i >= 0; i-- {
			best := -1
			for j := i + 1; j < n; j++ {
				if best < 0 || est[order[j]] < est[order[best]] {
					best = j
				}
			}
			if best > 0 && est[order[i]]-est[order[best]] > gain(est[order[i]]) {
				wantRank, wantBest = i, best
			}
		}
		rank, best := slower(order, est)
		if rank != wantRank || rank >= 0 && best != wantBest {
			t.Fatalf("slower(%v, %v) = %d, %d, want %d, %d", order, est, rank, best, wantRank, wantBest)
		}
		if rank >= 0 {
			found++
		}
		// Settled, no region is behind one that is slower by a gain, and all are still there.
		settle(order, est)
		if rank, _ := slower(order, est); rank >= 0 {
			t.Fatalf("settled order %v has a gain at %d: %v", order, rank, est)
		}
		if slices.Sort(order); len(slices.Compact(order)) != n {
			t.Fatalf("settled order lost a region: %v", order)
		}
	}
	if found < 1000 {
		t.Errorf("only %d orders had a gain", found)
	}
}
