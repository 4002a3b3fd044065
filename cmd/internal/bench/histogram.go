//go:build linux

package main

import (
	"math/bits"
	"time"
)

const (
	stepBits = 5 // 32 steps to each doubling: 3 % wide at most
	steps    = 1 << stepBits
)

// A histogram counts durations, to 3 %. The zero histogram is empty.
type histogram struct {
	counts [40 * steps]uint32
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[min(step(d), len(h.counts)-1)]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, count := range other.counts {
		h.counts[i] += count
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// step returns where d is counted: durations below 32 ns each by itself, then 32 steps for each power of two.
func step(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < steps {
		return int(n)
	}
	shift := bits.Len64(n) - stepBits - 1
	return shift<<stepBits + int(n>>shift)
}

// stepEnd returns the longest duration of a step.
func stepEnd(i int) time.Duration {
	if i < steps {
		return time.Duration(i)
	}
	shift := i>>stepBits - 1
	return time.Duration((i-shift<<stepBits+1)<<shift - 1)
}

// percentile returns the duration that p of 100 are not longer than; 0 when there is none.
func (h *histogram) percentile(p float64) time.Duration {
	rank := uint64(p/100*float64(h.total) + 0.5)
	seen := uint64(0)
	for i, count := range h.counts {
		seen += uint64(count)
		if count > 0 && seen >= rank {
			return min(stepEnd(i), h.max)
		}
	}
	return 0
}
