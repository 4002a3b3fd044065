// Package rtt learns from samples which regions are near a place, with hysteresis.
//
// It estimates the round trip from every place and listed prefix to every region by a chain of
// trust: the distance says what to expect, and what was measured for the country, for the ASN
// in it, for a covering prefix and for the prefix itself pulls that towards the truth, each step
// the harder the more samples it has. Tables in files count like measurements. Regions are
// ordered by estimate, and an order changes only for a gain that lasts.
//
// A Digest is what one gateway has measured; its Reports travel to all nodes. A Model takes
// Reports in and gives Orders out. Models that have heard the same reports estimate alike in the
// same epoch, in whatever order they came; which order is in force within the hysteresis depends
// on what was before.
//
// The package keeps no clock and draws no random number, and no order of a map reaches what it
// says. One goroutine owns a Digest or a Model; Orders are immutable. Memory is bounded: what
// comes when it is full pushes out what is of least use, and is counted.
package rtt

import (
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// What a round trip takes where nothing was measured: a fit over 58,000 pairs of cities.
const (
	baseRTT      = 27 * time.Millisecond
	rttPer1000KM = 17 * time.Millisecond
)

// Shrinkage is how many samples of one step of the chain weigh as much as what the steps before it say.
const Shrinkage = 30

// A change of order needs a gain of more than both, in so many epochs running.
const (
	minGain        = 10 * time.Millisecond
	minGainPercent = 10
	lastingEpochs  = 3
)

// EpochLength is how often orders are looked at anew. Epochs are counted from 1970, so all nodes are in the same one.
const EpochLength = 5 * time.Minute

// HalfLife is after how long a sample weighs half. It is a multiple of EpochLength.
const HalfLife = 6 * time.Hour

// MaxRegions is how many regions are ordered at most.
const MaxRegions = 64

// EpochOf returns the number of the epoch that a time is in.
func EpochOf(now time.Time) uint64 {
	return uint64(max(0, now.Unix()) / int64(EpochLength/time.Second))
}

// A Region is where clients can be sent.
type Region struct {
	ID geo.RegionID
	At geo.Coordinates
}

// A Sample is what a gateway measured to the clients of a prefix.
type Sample struct {
	Prefix netip.Prefix
	RTT    time.Duration
	Count  uint32
}

// Prior returns the round-trip time that the distance alone suggests, in whole microseconds.
func Prior(a, b geo.Coordinates) time.Duration {
	return (baseRTT + time.Duration(geo.Distance(a, b)/1000*float64(rttPer1000KM))).Truncate(time.Microsecond)
}

// Inside the package times are whole microseconds, and sums of them are exact: they come to the same in any order.
type micros = int64

// unknown stands for the time to a region of which nothing is known. It is more than any time.
const unknown micros = 1 << 40

// nearest is the least that is believed of a client: nobody is nearer than that.
const nearest micros = 1000

// gain returns by how much less a round trip must take for a move from a region at the time t.
func gain(t micros) micros { return max(minGain.Microseconds(), t*minGainPercent/100) }
