package rtt

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// What a digest holds at most.
const (
	MaxDigest     = 500_000 // prefixes, those around them included
	MaxDigestKeys = 20_000  // ASNs and countries
	MaxTold       = 20_000  // prefixes that are told of
)

// A Digest is what one gateway has measured: of all countries and ASNs of its clients, which is told to the other nodes, and of
// prefixes, of which those are told that are ordered otherwise than what is around them, and once told go on to be. The zero
// Digest is not ready: use NewDigest. One goroutine owns it.
type Digest struct {
	prefixes, keys store
	told           map[id]told // of all keys, and of the prefixes that are told
	notable        int         // prefixes among them
	dropped        uint64
}

// told is what the other nodes know of some clients.
type told struct {
	rtt    uint32
	epoch  uint32 // 0: nothing yet
	weight uint16
}

// NewDigest returns an empty digest of at most so many prefixes, at least one.
func NewDigest(prefixes int) *Digest {
	return &Digest{prefixes: store{most: max(prefixes, 1)}, keys: store{most: MaxDigestKeys}, told: make(map[id]told)}
}

// tellWeight is of how many samples a mean must be before a prefix is told of by it.
const tellWeight = 4 * whole

// Add takes a sample from a place in, measured from a region; known is what is known by now. Who is known to be answered
// otherwise than what is around them says nothing of that. Whether to tell of a prefix is looked at with its first sample of an
// epoch, by what was measured up to the one before.
func (d *Digest) Add(s Sample, from geo.Place, to Region, known *Orders, now time.Time) {
	if s.Count == 0 {
		return
	}
	epoch := uint32(EpochOf(now))
	rtt := uint32(min(max(s.RTT, 0), maxRTT).Microseconds())
	expected := uint32(0)
	if from.Located {
		expected = uint32(Prior(from.At, to.At).Microseconds())
	}
	country, asn := keys(from)
	steps := make([]id, 0, 4) // the outermost first
	for _, key := range [...]id{country, asn} {
		if key != 0 {
			steps = append(steps, key)
		}
	}
	if prefix, ok := measured(s.Prefix.Addr()); ok && s.Prefix.Bits() >= prefix.bits() {
		if cover := prefix.within(coverBits[prefix.family()]); known.uniform(cover, from) {
			steps = append(steps, cover)
		}
		steps = append(steps, prefix)
	}
	for n, i := range steps {
		if !i.isKey() {
			d.consider(steps[:n+1], from, to, known, epoch)
		}
	}
	for n := len(steps) - 1; n >= 0; n-- {
		if i := steps[n]; i.isKey() {
			d.get(&d.keys, i, epoch).add(rtt, expected, s.Count, epoch)
		} else {
			d.get(&d.prefixes, i, epoch).add(rtt, 0, s.Count, epoch)
			if known.apart(i) {
				break
			}
		}
	}
}

// consider decides whether the last of some steps is to be told from now on: if what this gateway has measured there orders the
// regions otherwise than the steps before do, by what it has measured of its own region and what is known of the others.
func (d *Digest) consider(steps []id, from geo.Place, to Region, known *Orders, epoch uint32) {
	last := steps[len(steps)-1]
	m := d.prefixes.find(last)
	if m == nil || m.epoch == epoch || m.now(epoch) < tellWeight {
		return
	}
	region, ok := known.number(to.ID)
	if _, tells := d.told[last]; tells || !ok {
		return
	}
	all, prior := known.weigh(siteOf(from), known.enclosing(last))
	others := make([]tally, len(all))
	known.tallyTold(others, known.told.of(last))
	before, after := expected(prior[region]), micros(0)
	for _, i := range steps {
		s := &d.prefixes
		if i.isKey() {
			s = &d.keys
		}
		after = before
		if m := s.find(i); m != nil {
			t := m.tally(epoch)
			after = t.blend(before, prior[region])
		}
		if i != last {
			before = after
		}
	}
	for r := range all {
		if r == int(region) {
			continue
		}
		other := others[r].blend(all[r].est, prior[r])
		if before <= other && after-other > gain(after) || before > other && other-after > gain(other) {
			d.tell(last)
			return
		}
	}
}

// tally is what a mean says.
func (m *mean) tally(epoch uint32) tally {
	var t tally
	t.add(&row{id: m.id, rtt: m.rtt, expected: m.expected}, int64(m.now(epoch)))
	return t
}

// get returns the mean of an id. Where there is no room for it, one that weighs little and is not told goes.
func (d *Digest) get(s *store, i id, epoch uint32) *mean {
	m, gone := s.get(i, func(m *mean) int {
		useful := int(m.now(epoch))
		if _, tells := d.told[m.id]; tells && !m.id.isKey() {
			useful += maxWeight
		}
		return useful
	})
	if gone == 0 {
		return m
	}
	d.dropped++
	if _, tells := d.told[gone]; tells {
		delete(d.told, gone)
		if !gone.isKey() {
			d.notable--
		}
	}
	return m
}

func (d *Digest) tell(i id) {
	if d.notable == MaxTold {
		d.dropped++
		return
	}
	d.notable++
	d.told[i] = told{}
}

// Dropped returns for how many prefixes and keys there was no room.
func (d *Digest) Dropped() uint64 { return d.dropped }

// When a mean is told again: if it moved by so much, has become heavier by such a part, or so many epochs after the last time.
const (
	newsShift  = 1000 // µs
	newsGrowth = 8
	newsEpochs = 6
)

// Report returns what is to be told now: what is news and what was told long ago, the longest ago first, at most MaxReport of it.
func (d *Digest) Report(region geo.RegionID, now time.Time) Report {
	epoch := uint32(EpochOf(now))
	var due []*mean
	for i := range d.keys.means {
		if m := &d.keys.means[i]; d.news(m, epoch) {
			due = append(due, m)
		}
	}
	for i := range d.told {
		switch m := d.prefixes.find(i); {
		case m == nil: // a key
		case m.now(epoch) < leastEver:
			delete(d.told, i)
			d.notable--
		case d.news(m, epoch):
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b *mean) int {
		return cmp.Or(cmp.Compare(d.told[a.id].epoch, d.told[b.id].epoch), cmp.Compare(a.id, b.id))
	})
	due = due[:min(len(due), MaxReport)]
	for _, m := range due {
		d.told[m.id] = told{m.rtt, epoch, m.now(epoch)}
	}
	return report(region, epoch, due)
}

// news reports whether a mean is to be told.
func (d *Digest) news(m *mean, epoch uint32) bool {
	weight, last := m.now(epoch), d.told[m.id]
	shift := int64(m.rtt) - int64(last.rtt)
	return weight >= leastEver && (last.epoch == 0 || epoch >= last.epoch+newsEpochs || max(shift, -shift) >= newsShift ||
		weight > aged(last.weight, last.epoch, epoch)+weight/newsGrowth)
}

// Retell has all told anew: there is somebody who has not heard it.
func (d *Digest) Retell() {
	for i := range d.told {
		d.told[i] = told{}
	}
}

// Countries returns what is known of countries alone.
func (d *Digest) Countries(region geo.RegionID, now time.Time) Report {
	var all []*mean
	for i := range d.keys.means {
		if m := &d.keys.means[i]; m.id.asn() == 0 {
			all = append(all, m)
		}
	}
	return report(region, uint32(EpochOf(now)), all)
}

func report(region geo.RegionID, epoch uint32, means []*mean) Report {
	r := Report{Region: region, epoch: uint64(epoch), rows: make(rows, 0, len(means))}
	for _, m := range means {
		r.rows = append(r.rows, row{id: m.id, rtt: m.rtt, expected: m.expected, epoch: epoch, weight: m.now(epoch)})
	}
	slices.SortFunc(r.rows, row.compare)
	return r
}

// Saved returns all that is told to others, as reports, for a restart.
func (d *Digest) Saved(region geo.RegionID, now time.Time) []Report {
	var all []*mean
	for i := range d.keys.means {
		all = append(all, &d.keys.means[i])
	}
	for i := range d.told {
		if m := d.prefixes.find(i); m != nil {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *mean) int { return cmp.Compare(a.id, b.id) })
	var reports []Report
	for part := range slices.Chunk(all, MaxReport) {
		reports = append(reports, report(region, uint32(EpochOf(now)), part))
	}
	return reports
}

// Restore takes what Saved returned before a restart in. Nobody counts as told of it.
func (d *Digest) Restore(r Report) {
	for _, row := range r.rows {
		s := &d.keys
		if !row.id.isKey() {
			s = &d.prefixes
			if _, tells := d.told[row.id]; !tells {
				d.tell(row.id)
			}
		}
		*d.get(s, row.id, row.epoch) = mean{row.id, row.rtt, row.expected, row.epoch, row.weight}
	}
}

// enclosing returns the units around a prefix, the outermost first.
func (o *Orders) enclosing(i id) [][]uint32 {
	at, _ := slices.BinarySearchFunc(o.units, i, func(u unit, i id) int { return cmp.Compare(u.id, i) })
	u := int32(at) - 1
	for u >= 0 && !o.units[u].id.holds(i) {
		u = o.units[u].parent
	}
	return o.outwards(u)
}

// apart reports whether gateways tell of a prefix, and it is answered otherwise than what is around it.
func (o *Orders) apart(i id) bool {
	if o == nil {
		return false
	}
	u, ok := slices.BinarySearchFunc(o.units, i, func(u unit, i id) int { return cmp.Compare(u.id, i) })
	return ok && o.differs(u) && len(o.told.of(i)) > 0
}

// uniform reports whether a prefix begins and ends in the ASN and country of a place.
func (o *Orders) uniform(i id, p geo.Place) bool {
	if o == nil || o.survey == nil {
		return false
	}
	places, key := o.survey.config.Places, siteOf(p).key
	for _, a := range [...]netip.Addr{i.prefix().Addr(), i.last().prefix().Addr()} {
		if siteOf(places.Place(places.Lookup(a))).key != key {
			return false
		}
	}
	return true
}
