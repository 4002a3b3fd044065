// Package rtt learns from samples which regions are near a place, with hysteresis.
//
// It knows each (place, region) by an estimate: the distance says what to expect, and
// samples of real connections pull the estimate towards what was measured, the more of
// them the harder. Regions are ordered by estimate, and an order changes only for a gain
// that is worth a move.
//
// It keeps no clock and draws no random number. Each source of samples replaces its own
// numbers only, so models that have heard the same sources estimate alike; which order is
// in force within the hysteresis depends on what was before. Its memory is bounded by
// places × regions × sources.
package rtt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// What a round trip takes where nothing was measured: a fit over 58,000 pairs of cities.
const (
	baseRTT      = 27 * time.Millisecond
	rttPer1000KM = 17 * time.Millisecond
)

// shrinkage is how many samples weigh as much as the estimate by distance.
const shrinkage = 30

// A change of order needs a gain of more than both.
const (
	minGain        = 10 * time.Millisecond
	minGainPercent = 10
)

// MaxSources and MaxPlaces bound what a model remembers; what comes above is dropped.
const (
	MaxSources = 1000
	MaxPlaces  = 1000
)

// A Key names the clients whose samples are counted together: a country.
type Key string

// KeyOf returns the key of a place; empty where samples of it are not kept.
func KeyOf(p geo.Place) Key { return Key(p.Country) }

// A Mean is an average over samples.
type Mean struct {
	RTT   time.Duration
	Count uint32
}

// A Sample is what a gateway measured to the clients of a prefix.
type Sample struct {
	Prefix netip.Prefix
	RTT    time.Duration // mean
	Count  uint32
}

// A Report is all that one source, a region's gateway, has measured. A newer one replaces it.
type Report struct {
	Region geo.RegionID
	Means  map[Key]Mean
}

// Clone returns a report that shares nothing with r.
func (r Report) Clone() Report { return Report{r.Region, maps.Clone(r.Means)} }

// A Region is where clients can be sent.
type Region struct {
	ID geo.RegionID
	At geo.Coordinates
}

// A Model orders regions for places. The zero Model is not ready: use New. One goroutine owns it.
type Model struct {
	reports map[string]Report
	orders  map[geo.Place][]geo.RegionID // of places with samples, as last given out, for hysteresis
}

// New returns a model without samples.
func New() *Model {
	return &Model{reports: make(map[string]Report), orders: make(map[geo.Place][]geo.RegionID)}
}

// Replace takes the report of a source in, in place of its last one. It reports whether the source was taken: it is
// not if there are too many.
func (m *Model) Replace(source string, r Report) bool {
	if _, known := m.reports[source]; !known && len(m.reports) >= MaxSources || len(r.Means) > MaxPlaces {
		return false
	}
	m.reports[source] = r
	return true
}

// Orders is an immutable picture of what a model has learnt.
type Orders struct {
	means map[Key]map[geo.RegionID]Mean
	last  map[geo.Place][]geo.RegionID
}

// Orders returns the present picture.
func (m *Model) Orders() *Orders {
	o := &Orders{means: make(map[Key]map[geo.RegionID]Mean), last: maps.Clone(m.orders)}
	for _, source := range slices.Sorted(maps.Keys(m.reports)) {
		report := m.reports[source]
		for key, mean := range report.Means {
			if o.means[key] == nil {
				o.means[key] = make(map[geo.RegionID]Mean)
			}
			o.means[key][report.Region] = pooled(o.means[key][report.Region], mean)
		}
	}
	return o
}

func pooled(a, b Mean) Mean {
	n := uint64(a.Count) + uint64(b.Count)
	if n == 0 {
		return Mean{}
	}
	sum := uint64(a.RTT)*uint64(a.Count) + uint64(b.RTT)*uint64(b.Count)
	return Mean{time.Duration(sum / n), uint32(min(n, 1<<31))}
}

// Forget drops what a source has said, and reports whether it had said anything.
func (m *Model) Forget(source string) bool {
	_, known := m.reports[source]
	delete(m.reports, source)
	return known
}

// Settle remembers the orders that are in force for places with samples, so that the next ones change only for a gain.
func (m *Model) Settle(orders map[geo.Place][]geo.RegionID) { m.orders = maps.Clone(orders) }

// Sampled reports whether anything was measured for the clients of a place.
func (o *Orders) Sampled(p geo.Place) bool { return o != nil && o.means[KeyOf(p)] != nil }

// Estimate returns what a round trip from a place to a region is expected to take, and how many samples say so. Without
// a located place and without samples it is 0.
func (o *Orders) Estimate(p geo.Place, r Region) (time.Duration, uint32) {
	var mean Mean
	if o != nil {
		mean = o.means[KeyOf(p)][r.ID]
	}
	if !p.Located {
		return mean.RTT, mean.Count
	}
	prior := Prior(p.At, r.At)
	n := time.Duration(mean.Count)
	return (mean.RTT*n + prior*shrinkage) / (n + shrinkage), mean.Count
}

// Prior returns the round-trip time that the distance alone suggests.
func Prior(a, b geo.Coordinates) time.Duration {
	return baseRTT + time.Duration(geo.Distance(a, b)/1000*float64(rttPer1000KM))
}

// Order returns the regions nearest first for the clients of a place. Regions that nothing is known of come last, in the
// order that they are given in.
func (o *Orders) Order(p geo.Place, regions []Region) []geo.RegionID {
	estimates := make(map[geo.RegionID]time.Duration, len(regions))
	order := make([]geo.RegionID, len(regions))
	for i, r := range regions {
		estimates[r.ID], _ = o.Estimate(p, r)
		order[i] = r.ID
	}
	slices.SortStableFunc(order, func(a, b geo.RegionID) int {
		unknownA, unknownB := estimates[a] == 0, estimates[b] == 0
		if unknownA || unknownB {
			return boolCompare(unknownA, unknownB)
		}
		return cmp.Compare(estimates[a], estimates[b])
	})
	if !o.Sampled(p) {
		return order
	}
	last := o.last[p]
	if !sameSet(last, order) || gains(last, estimates) {
		return order
	}
	return last
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// gains reports whether some region of an order is enough slower than a later one to be worth a move, or was put before
// it while nothing was known of it.
func gains(order []geo.RegionID, estimates map[geo.RegionID]time.Duration) bool {
	for i := range order {
		for _, later := range order[i+1:] {
			now, then := estimates[order[i]], estimates[later]
			if now == 0 && then > 0 {
				return true
			}
			if then > 0 && now-then > max(minGain, now*minGainPercent/100) {
				return true
			}
		}
	}
	return false
}

func sameSet(a, b []geo.RegionID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(r geo.RegionID) bool { return !slices.Contains(b, r) })
}

// Append appends the report to b; a report has equal bytes wherever it is written.
func (r Report) Append(b []byte) []byte {
	b = appendText(b, string(r.Region))
	b = binary.AppendUvarint(b, uint64(len(r.Means)))
	for _, key := range slices.Sorted(maps.Keys(r.Means)) {
		mean := r.Means[key]
		b = appendText(b, string(key))
		b = binary.AppendUvarint(b, uint64(mean.RTT.Microseconds()))
		b = binary.AppendUvarint(b, uint64(mean.Count))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// maxRTT bounds what a report may claim.
const maxRTT = time.Minute

// ErrReport says that bytes are not a report.
var ErrReport = errors.New("malformed report of round-trip times")

// ParseReport reads what Append wrote.
func ParseReport(b []byte) (Report, error) {
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			b = nil
			return 1 << 63
		}
		b = b[size:]
		return n
	}
	text := func() (s string, ok bool) {
		n := number()
		if n > 255 || n > uint64(len(b)) {
			return "", false
		}
		s, b = string(b[:n]), b[n:]
		return s, true
	}
	region, ok := text()
	places := number()
	if !ok || region == "" || places > MaxPlaces {
		return Report{}, ErrReport
	}
	r := Report{Region: geo.RegionID(region), Means: make(map[Key]Mean)}
	for range places {
		key, ok := text()
		microseconds, count := number(), number()
		if !ok || microseconds > uint64(maxRTT.Microseconds()) || count > MaxCount {
			return Report{}, ErrReport
		}
		r.Means[Key(key)] = Mean{time.Duration(microseconds) * time.Microsecond, uint32(count)}
	}
	if len(b) > 0 || len(r.Means) != int(places) {
		return Report{}, ErrReport
	}
	return r, nil
}

// MaxCount bounds the weight of old samples: past it, new ones push them out.
const MaxCount = 1000

// Add takes count samples with a mean of rtt in.
func (m Mean) Add(rtt time.Duration, count uint32) Mean {
	sum := pooled(Mean{m.RTT, min(m.Count, MaxCount)}, Mean{min(rtt, maxRTT), min(count, MaxCount)})
	sum.Count = min(sum.Count, MaxCount)
	return sum
}
