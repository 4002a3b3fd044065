package rtt

import (
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// What a model remembers at most. Past MaxSources a source is not taken; of counts those of least weight go.
const (
	MaxSources  = 1000
	MaxKeys     = 200_000 // of ASNs and countries, by source
	MaxPrefixes = 100_000 // that are told of, by source
)

// maxPending is how many counts wait to be sorted in.
const maxPending = 64 << 10

// refreshEpochs is after how many epochs a picture with other numbers is worth a compile though every order is as before: for
// people who look at them.
const refreshEpochs = 6

// A Model takes in what gateways report and orders regions. The zero Model is not ready: use New. One goroutine owns it.
type Model struct {
	sources map[string]source
	regions []geo.RegionID // by source number; empty: the number is free
	told    rows
	pending rows
	news    bool // since the last picture that was worth a compile
	picture *Orders
	first   uint64 // epoch
	worth   uint64 // epoch of the last picture that was worth a compile
	dropped uint64
}

type source struct {
	number uint16
	format int
}

// New returns a model without samples.
func New() *Model { return &Model{sources: make(map[string]source), picture: &Orders{}} }

// Replace takes a report of a source in, each count of it in place of an older one. It reports whether the source was taken: it
// is not if there are too many. Once a source has told a report of the present format, older ones of it are passed over.
func (m *Model) Replace(name string, r Report, now time.Time) bool {
	s, known := m.sources[name]
	if known && m.regions[s.number] != r.Region {
		m.Forget(name)
		known = false
	}
	if !known {
		m.regions = slices.Clone(m.regions) // pictures have the old ones
		free := slices.Index(m.regions, "")
		if free < 0 {
			free = len(m.regions)
			if free == MaxSources {
				return false
			}
			m.regions = append(m.regions, "")
		}
		m.regions[free] = r.Region
		s = source{number: uint16(free)}
	}
	switch {
	case r.epoch > 0 && s.format < reportFormat:
		m.drop(s.number)
		s.format = reportFormat
	case r.epoch == 0 && s.format == reportFormat:
		return true
	}
	m.sources[name] = s
	epoch := uint32(EpochOf(now))
	for _, row := range r.rows {
		row.source = s.number
		if r.epoch == 0 || row.epoch > epoch { // there was none, or its clock is ahead of ours
			row.epoch = epoch
		}
		m.pending = append(m.pending, row)
	}
	m.news = m.news || len(r.rows) > 0
	if len(m.pending) > maxPending {
		m.merge(epoch)
	}
	return true
}

// Forget drops what a source has told, and reports whether there was such a source.
func (m *Model) Forget(name string) bool {
	s, known := m.sources[name]
	if !known {
		return false
	}
	m.drop(s.number)
	delete(m.sources, name)
	m.regions = slices.Clone(m.regions)
	m.regions[s.number] = ""
	m.news = true
	return true
}

func (m *Model) drop(number uint16) {
	of := func(r row) bool { return r.source == number }
	m.told, m.pending = slices.DeleteFunc(slices.Clone(m.told), of), slices.DeleteFunc(m.pending, of)
}

// merge sorts what is pending in.
func (m *Model) merge(epoch uint32) {
	slices.SortStableFunc(m.pending, row.compare)
	newest := m.pending[:0]
	for i, r := range m.pending {
		if i+1 == len(m.pending) || r.compare(m.pending[i+1]) != 0 {
			newest = append(newest, r)
		}
	}
	var dropped int
	m.told, dropped = merge(m.told, newest, epoch, MaxKeys, MaxPrefixes)
	m.dropped += uint64(dropped)
	m.pending = m.pending[:0]
}

// Dropped returns how many counts there was no room for.
func (m *Model) Dropped() uint64 { return m.dropped }

// Advance looks at everything anew if an epoch has begun since it last did, which takes some milliseconds per 100,000 places. It
// reports whether the picture is worth a compile: a client's order is another one, prefixes are explored, or the numbers have not
// been shown for long.
func (m *Model) Advance(now time.Time) bool {
	epoch := EpochOf(now)
	if epoch <= m.picture.epoch {
		return false
	}
	if m.first == 0 {
		m.first = epoch
	}
	m.merge(uint32(epoch))
	var changed bool
	m.picture, changed = m.picture.next(m.told, m.regions, epoch, epoch < m.first+lastingEpochs)
	explore := m.picture.survey != nil && m.picture.survey.config.Explore
	if !changed && !explore && !(m.news && epoch >= m.worth+refreshEpochs) {
		return false
	}
	m.news, m.worth = false, epoch
	return true
}

// Orders returns the present picture.
func (m *Model) Orders() *Orders { return m.picture }

// Adopt has the model go by the configuration of a picture that For made. It reports whether that picture is out of date: some
// client's order is another one by now, or it is older than one that was worth a compile.
func (m *Model) Adopt(o *Orders) (late bool) {
	if o == nil || o.survey == nil {
		return false
	}
	if m.picture.survey != o.survey {
		m.picture = m.picture.surveyed(o.survey)
	}
	return o.epoch < m.worth || !m.picture.ordersAs(o)
}
