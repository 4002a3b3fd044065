// Package balance chooses an endpoint for a request and remembers which could not be connected to.
//
// It connects to nothing, keeps no clock and holds no lock: the caller does, and reports.
//
// As long as a service has an endpoint, one is offered; the last one that is in is never put
// out. A request that follows the order of regions leaves one only when it has tried all that
// is in there.
package balance

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

const (
	fall        = 3                // consecutive connect errors that put an endpoint out
	outStep     = 30 * time.Second // times the ejections in a row
	outMax      = 300 * time.Second
	outJitter   = 0.1
	outStepsMax = int(outMax/outStep) + 1
)

// An Endpoint is one address of a service. Its owner is the Upstreams that offered it.
type Endpoint struct {
	Region  geo.RegionID
	Address string // host:port

	outstanding int
	failures    int // consecutive connect errors
	ejections   int // in a row, without a connect between them
	out         bool
	until       time.Time // when out: the probe request is due
	probing     bool      // the probe request is under way
}

// A Pick is an endpoint offered to one request. It is to be released exactly once.
type Pick struct {
	*Endpoint
	Probe bool // the one request that may bring an endpoint back
}

// Upstreams are the endpoints of one service. The zero value has none. One goroutine at a time.
type Upstreams struct {
	regions map[geo.RegionID]*region
}

type region struct {
	endpoints []*Endpoint
	next      int // where the search starts, so that ties rotate
}

// Update replaces the endpoints. One that stays keeps its state, so a reload forgets nothing.
func (u *Upstreams) Update(addresses map[geo.RegionID][]string) {
	regions := make(map[geo.RegionID]*region, len(addresses))
	for id, list := range addresses {
		r := &region{}
		old := u.regions[id]
		if old != nil {
			r.next = old.next
		}
		for _, address := range list {
			e := &Endpoint{Region: id, Address: address}
			if old != nil {
				if i := slices.IndexFunc(old.endpoints, func(o *Endpoint) bool { return o.Address == address }); i >= 0 {
					e = old.endpoints[i]
				}
			}
			if !slices.Contains(r.endpoints, e) {
				r.endpoints = append(r.endpoints, e)
			}
		}
		regions[id] = r
	}
	u.regions = regions
}

// Pick offers an endpoint of the first region in order that has one not tried yet.
//
//	endpoint                         offered
//	out, due, no probe under way     first, to one request
//	in                               least outstanding; ties rotate
//	out                              only when the whole service is out
func (u *Upstreams) Pick(order []geo.RegionID, tried []*Endpoint, now time.Time) (Pick, bool) {
	all := u.in() == 0
	for _, id := range order {
		r := u.regions[id]
		if r == nil {
			continue
		}
		if p, ok := r.pick(tried, now, all); ok {
			p.outstanding++
			return p, true
		}
	}
	return Pick{}, false
}

func (r *region) pick(tried []*Endpoint, now time.Time, all bool) (Pick, bool) {
	var best *Endpoint
	n := len(r.endpoints)
	at := 0
	for i := range n {
		e := r.endpoints[(r.next+i)%n]
		if slices.Contains(tried, e) {
			continue
		}
		if e.out && !e.probing && !now.Before(e.until) {
			e.probing = true
			return Pick{Endpoint: e, Probe: true}, true
		}
		if e.out && !all {
			continue
		}
		if best == nil || e.outstanding < best.outstanding {
			best, at = e, i
		}
	}
	if best == nil {
		return Pick{}, false
	}
	r.next = (r.next + at + 1) % n
	return Pick{Endpoint: best}, true
}

// in counts the endpoints that are not out.
func (u *Upstreams) in() int {
	n := 0
	for _, r := range u.regions {
		for _, e := range r.endpoints {
			if !e.out {
				n++
			}
		}
	}
	return n
}

// Release ends a pick: its request is over.
func (u *Upstreams) Release(p Pick) {
	p.outstanding--
	if p.Probe {
		p.probing = false
	}
}

// Connected notes that the endpoint took a connection. It reports whether that brought it back.
func (u *Upstreams) Connected(p Pick) (readmitted bool) {
	readmitted = p.out
	p.failures, p.ejections, p.out = 0, 0, false
	return readmitted
}

// ConnectFailed notes that the endpoint took no connection, and returns for how long that puts it out.
//
//	was in, fewer than 3 in a row     0
//	was in, last one of the service   0
//	was in                            30 s × n ± 10 %, at most 300 s; n counts ejections in a row
//	was out, this was its probe       likewise, with the next n
//	was out                           0, it is out already
func (u *Upstreams) ConnectFailed(p Pick, now time.Time, rng *rand.Rand) time.Duration {
	p.failures++
	switch {
	case p.out && !p.Probe:
		return 0
	case p.out:
	case p.failures < fall || u.in() <= 1:
		return 0
	}
	p.out = true
	p.ejections = min(p.ejections+1, outStepsMax)
	d := time.Duration(float64(outStep) * float64(p.ejections) * (1 - outJitter + 2*outJitter*rng.Float64()))
	d = min(d, outMax)
	p.until = now.Add(d)
	return d
}

// Order returns the regions that have endpoints: own first, then as near says, then the rest by id.
func (u *Upstreams) Order(own geo.RegionID, near []geo.RegionID) []geo.RegionID {
	order := make([]geo.RegionID, 0, len(u.regions))
	add := func(id geo.RegionID) {
		if _, ok := u.regions[id]; ok && !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	add(own)
	for _, id := range near {
		add(id)
	}
	known := len(order)
	for id := range u.regions {
		add(id)
	}
	slices.Sort(order[known:])
	return order
}
