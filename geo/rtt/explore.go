package rtt

import (
	"math"
	"net/netip"

	"github.com/meridian-gslb/meridian/geo"
)

// doubt is how many standard deviations better than its estimate a region may be: of forty, one is better yet.
const doubt = 3

// Explore returns the region that is most worth a try for the clients of a place in a listed prefix: one that may be better than
// the first by a gain, as uncertain as its estimate is. Regions are those that may be answered.
func (o *Orders) Explore(p geo.Place, listed uint32, regions []Region) (geo.RegionID, bool) {
	if len(regions) < 2 {
		return "", false
	}
	first, ok := o.number(o.Order(p, listed, regions)[0])
	if !ok {
		return "", false
	}
	all, prior := o.weigh(siteOf(p), o.around(listed))
	best, least := "", all[first].est
	if least == unknown {
		return "", false
	}
	least -= gain(least)
	for _, r := range regions {
		n, ok := o.number(r.ID)
		if !ok || n == first {
			continue
		}
		may := micros(0)
		if w := all[n]; w.est != unknown {
			may = max(micros(float64(w.est)*math.Exp(-doubt*math.Sqrt(w.variance))), light(prior[n]))
		}
		if may < least {
			best, least = string(r.ID), may
		}
	}
	return geo.RegionID(best), best != ""
}

// light returns what a round trip takes at least over a distance by which prior is expected, 0 where that is not known: light in
// fibre needs 10 ms for 1000 km and back.
func light(prior micros32) micros {
	return max(0, micros(prior)-baseRTT.Microseconds()) * 10 / rttPer1000KM.Milliseconds()
}

// Explored reports whether a prefix is one of so many in a thousand that try another region in an epoch. A prefix longer than a
// /24 or /48 is judged by that around it, a shorter one by the first in it. Those of a smaller share are among those of a larger
// one.
func Explored(p netip.Prefix, epoch uint64, perMille int) bool {
	i, ok := measured(p.Addr())
	return ok && mix(uint64(i)^mix(epoch))%1000 < uint64(max(perMille, 0))
}

// mix spreads a number over all bits (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
