package rtt

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// The chain of trust, from the step that is always there to the one that is trusted most:
//
//	step                  what counts there
//	distance              27 ms + 17 ms per 1000 km; nothing where a place is not located
//	country               all samples of the country's clients, and tables' entries for it
//	ASN in country        those of the ASN's clients there, and tables' entries for the ASN
//	covering prefixes     those of a /20 or /40 that begins and ends in that ASN and country, and tables' entries for any prefix,
//	                      outer ones first
//	prefix                those of the /24 or /48
//
// With n samples in a step, that step's mean has the weight n and what the steps before it say has the weight Shrinkage. Samples
// of located places count in a country and an ASN by what they take beyond the distance, so that where the clients happen to be who
// are measured does not matter to others; so does a table's entry as it is.

// A tally is what the rows of one step say of one region.
type tally struct {
	weight  int64 // in whole-ths of a sample
	located int64 // of that, of located places
	excess  int64 // Σ weight × time, less what the distance suggests where that is known
	total   int64 // Σ weight × time
	tables  int64 // of weight, what tables say
}

func (t *tally) add(r *row, weight int64) {
	t.weight += weight
	t.total += weight * int64(r.rtt)
	t.excess += weight * (int64(r.rtt) - int64(r.expected))
	if r.id.located() {
		t.located += weight
	}
}

// at returns the mean for the clients of a site; prior is 0 where that is not located.
func (t *tally) at(prior micros32) micros {
	if prior == 0 {
		return t.total / t.weight
	}
	return (t.excess + t.located*int64(prior)) / t.weight
}

// blend takes a step in: est is what the steps before it say.
func (t *tally) blend(est micros, prior micros32) micros {
	const before = Shrinkage * whole
	switch {
	case t.weight == 0:
		return est
	case est != unknown:
		est = (t.at(prior)*t.weight + est*before) / (t.weight + before)
	default:
		est = t.at(prior)
	}
	return max(est, nearest)
}

// tally sums what gateways and tables say of the clients of some ids, by region; 0 is no id.
func (o *Orders) tally(into []tally, ids ...id) {
	clear(into)
	for _, i := range ids {
		if i != 0 {
			o.tallyTold(into, o.told.of(i))
			o.tallyTables(into, o.survey.rows.of(i))
		}
	}
}

// tallyUnits sums what is said of listed prefixes. Samples in one count for clients of the ASN and country in which it begins.
func (o *Orders) tallyUnits(into []tally, key id, units ...uint32) {
	clear(into)
	for _, u := range units {
		if o.survey.sites[o.units[u].site].key == key {
			o.tallyTold(into, o.told.of(o.units[u].id))
		}
		o.tallyTables(into, o.survey.rows.of(o.units[u].id))
	}
}

func (o *Orders) tallyTold(into []tally, of rows) {
	for n := range of {
		r := &of[n]
		if region := o.numbers[r.source]; region != elsewhere {
			into[region].add(r, r.now(uint32(o.epoch)))
		}
	}
}

func (o *Orders) tallyTables(into []tally, of rows) {
	for n := range of {
		t := &into[of[n].source]
		t.add(&of[n], int64(of[n].weight))
		t.tables += int64(of[n].weight)
	}
}

// sweep estimates for all sites in order, and after each for the listed prefixes that lie there. The estimates, by region, are
// the visitor's until it returns.
func (o *Orders) sweep(site func(number int, est []micros), listed func(number int, est []micros)) {
	s := o.survey
	n := len(s.config.Regions)
	country, asn, prefix := make([]tally, n), make([]tally, n), make([]tally, n)
	est, own := make([]micros, n), make([]micros, n)
	units := o.bySite
	countries, asns := o.told, o.told
	var around [addressBits + 1]uint32
	none := make([]micros32, n)
	for i := range s.sites {
		if i == 0 || s.sites[i].key != s.sites[i-1].key {
			c, a, anywhere := s.sites[i].steps()
			countries, asns = countries.onwards(c), asns.onwards(a)
			clear(country)
			o.tallyTold(country, countries.first(c))
			o.tallyTables(country, s.rows.of(c))
			o.tally(asn, anywhere)
			o.tallyTold(asn, asns.first(a))
			o.tallyTables(asn, s.rows.of(a))
		}
		prior := s.prior(i)
		if prior == nil {
			prior = none
		}
		for r := range est {
			est[r] = asn[r].blend(country[r].blend(expected(prior[r]), prior[r]), prior[r])
		}
		site(i, est)
		for ; len(units) > 0 && int(o.units[units[0]].site) == i; units = units[1:] {
			copy(own, est)
			depth := 0
			for u := int32(units[0]); u >= 0; u = o.units[u].parent {
				around[depth] = uint32(u)
				depth++
			}
			for ; depth > 0; depth-- {
				o.tallyUnits(prefix, s.sites[i].key, around[depth-1])
				for r := range own {
					own[r] = prefix[r].blend(own[r], prior[r])
				}
			}
			listed(int(units[0]), own)
		}
	}
}

// expected is what the distance says.
func expected(prior micros32) micros {
	if prior == 0 {
		return unknown
	}
	return micros(prior)
}

// How far truth lies from what a step says, as shares of it (one standard deviation): of a country's clients from the distance,
// of an ASN's from its country, of a prefix's from the step before.
const (
	spreadDistance = 0.25
	spreadCountry  = 0.15
	spreadASN      = 0.10
)

// A weighed estimate is one with what it rests on.
type weighed struct {
	est      micros
	variance float64 // relative, squared
	last     int     // the last step with samples of the region; 0: the distance
	tally    tally   // of that step
}

// weigh estimates for a site and the prefixes around, the outermost first, by region, and says of each which step counts last.
// The steps are the country, the ASN and then the prefixes, from 1 on.
func (o *Orders) weigh(s site, around [][]uint32) ([]weighed, []micros32) {
	n := len(o.survey.config.Regions)
	all, prior, step := make([]weighed, n), make([]micros32, n), make([]tally, n)
	for r, region := range o.survey.config.Regions {
		if s.located() {
			prior[r] = micros32(Prior(s.at, region.At).Microseconds())
		}
		all[r] = weighed{est: expected(prior[r]), variance: spreadDistance * spreadDistance}
	}
	number := 0
	take := func(spread float64) {
		number++
		for r := range all {
			w, t := &all[r], &step[r]
			w.est = t.blend(w.est, prior[r])
			w.variance = (w.variance + spread*spread) * Shrinkage * whole / float64(t.weight+Shrinkage*whole)
			if t.weight > 0 {
				w.last, w.tally = number, *t
			}
		}
	}
	country, asn, anywhere := s.steps()
	o.tally(step, country)
	take(0)
	o.tally(step, asn, anywhere)
	if asn != 0 {
		take(spreadCountry)
	} else {
		number++ // all that there is of its clients is their country
	}
	for _, units := range around {
		o.tallyUnits(step, s.key, units...)
		take(spreadASN)
	}
	return all, prior
}

// around returns the units around a listed prefix, the outermost first, and last its own: several, where prefixes that order
// alike were taken together.
func (o *Orders) around(listed uint32) (units [][]uint32) {
	if listed == 0 {
		return nil
	}
	e := o.entries[listed-1]
	outer := o.units[e.first].parent
	units = o.outwards(outer)
	var own []uint32
	for u := e.first; u <= e.last; u++ {
		if o.units[u].parent == outer {
			own = append(own, u)
		}
	}
	return append(units, own)
}

// outwards returns a unit and those around it, the outermost first; -1 is none.
func (o *Orders) outwards(u int32) (units [][]uint32) {
	for ; u >= 0; u = o.units[u].parent {
		units = append(units, []uint32{uint32(u)})
	}
	slices.Reverse(units)
	return units
}

// An Estimate is what a round trip is expected to take, and why.
type Estimate struct {
	RTT       time.Duration // 0: nothing is known
	Deviation time.Duration // one standard deviation of it, as far as is known
	Samples   uint32        // that From rests on, by their present weight; 0: a distance or a table
	From      string        // "prefix 192.0.2.0/24", "AS64500 in DE", "DE", "distance", "table FILE"; empty where nothing is known
}

// Estimate returns what a round trip takes from a place and the listed prefix around the client, 0 where there is none, to a
// region. It says of the steps of the chain the one that is trusted most.
func (o *Orders) Estimate(p geo.Place, listed uint32, r Region) Estimate {
	number, ok := o.number(r.ID)
	if !ok {
		if !p.Located {
			return Estimate{}
		}
		return estimate(weighed{est: Prior(p.At, r.At).Microseconds(), variance: spreadDistance * spreadDistance}, "distance")
	}
	s := siteOf(p)
	all, _ := o.weigh(s, o.around(listed))
	w := all[number]
	if w.est == unknown {
		return Estimate{}
	}
	return estimate(w, o.from(w, p, listed, number))
}

func estimate(w weighed, from string) Estimate {
	return Estimate{
		RTT: time.Duration(w.est) * time.Microsecond, From: from,
		Deviation: time.Duration(float64(w.est)*math.Sqrt(w.variance)) * time.Microsecond,
		Samples:   uint32((w.tally.weight - w.tally.tables + whole/2) / whole),
	}
}

// from names what an estimate rests on.
func (o *Orders) from(w weighed, p geo.Place, listed uint32, region uint8) string {
	if w.last == 0 {
		return "distance"
	}
	country, asn, anywhere := siteOf(p).steps()
	ids, text := []id{country}, p.Country
	switch {
	case w.last == 2:
		ids, text = []id{asn, anywhere}, fmt.Sprintf("AS%d", p.ASN)
		if p.Country != "" {
			text += " in " + p.Country
		}
	case w.last > 2:
		around := o.around(listed)
		ids = ids[:0]
		for _, u := range around[w.last-3] {
			ids = append(ids, o.units[u].id)
		}
		text = "prefix " + ids[0].String()
		if w.last-3 == len(around)-1 {
			text = "prefix " + o.overlay.Prefix(listed).String()
		}
	}
	if 2*w.tally.tables < w.tally.weight {
		return text
	}
	return "table " + o.survey.table(ids, region)
}

// table names the table that says something of a region for one of some ids.
func (s *survey) table(ids []id, region uint8) string {
	for _, i := range ids {
		if i == 0 {
			continue
		}
		after := s.rows.from(i &^ keyBit(i))
		for n, r := range s.rows.of(i) {
			if r.source == uint16(region) {
				return s.config.Tables[s.tables[len(s.rows)-len(after)+n]].name
			}
		}
	}
	return ""
}
