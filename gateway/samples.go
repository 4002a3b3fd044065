package gateway

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A Sample is what the connections of one client prefix, /24 or /48, told of the round-trip time.
type Sample struct {
	Prefix netip.Prefix
	RTT    time.Duration // the median of the last of them
	Count  uint32        // 1: a prefix has one vote, however many connections it opens
}

// maxRTT is the longest that is believed.
const maxRTT = time.Second

// propagation is what of the kernel's measurements of a connection, in µs, tells how far the client is. That is the
// least time of a round trip: the smoothed one grows when the client acknowledges late.
func propagation(least, smoothed uint32) (time.Duration, bool) {
	if least == 0 || least == math.MaxUint32 { // an old kernel, or nothing measured
		least = smoothed
	}
	return time.Duration(least) * time.Microsecond, least > 0
}

// digestSize is how many times of a prefix the median is taken of.
const digestSize = 15

type digest struct {
	count uint32
	last  [digestSize]time.Duration // a ring
}

func (d *digest) median() time.Duration {
	times := d.last // a copy
	known := times[:min(d.count, digestSize)]
	slices.Sort(known)
	return known[len(known)/2]
}

// digests gather round-trip times by prefix until they are handed out.
type digests struct {
	max int

	mu sync.Mutex
	by map[netip.Prefix]*digest
}

func newDigests(max int) *digests { return &digests{max: max, by: map[netip.Prefix]*digest{}} }

// add takes one time. It reports false when there are too many prefixes. An address that is no place on the
// globe is passed over.
func (d *digests) add(client netip.Addr, rtt time.Duration) bool {
	client = client.Unmap().WithZone("")
	if _, special := geo.SpecialPrefix(client); special || !client.IsValid() {
		return true
	}
	bits := 24
	if client.Is6() {
		bits = 48
	}
	prefix, err := client.Prefix(bits)
	if err != nil {
		panic(err) // the bits fit the family
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.by[prefix]
	if one == nil {
		if len(d.by) >= d.max {
			return false
		}
		one = &digest{}
		d.by[prefix] = one
	}
	one.last[one.count%digestSize] = min(rtt, maxRTT)
	one.count++
	return true
}

// take empties the digests.
func (d *digests) take() []Sample {
	d.mu.Lock()
	by := d.by
	d.by = make(map[netip.Prefix]*digest, len(by))
	d.mu.Unlock()
	samples := make([]Sample, 0, len(by))
	for prefix, one := range by {
		samples = append(samples, Sample{prefix, one.median(), 1})
	}
	slices.SortFunc(samples, func(a, b Sample) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return samples
}

// handOut calls Samples every interval that saw any, and a last time at the end.
func (g *Gateway) handOut(ctx context.Context) {
	ticker := time.NewTicker(g.limits.SampleInterval)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			running = false
		}
		if samples := g.samples.take(); len(samples) > 0 {
			g.cfg.Samples(samples)
		}
	}
}
