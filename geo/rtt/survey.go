package rtt

import (
	"cmp"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// Config is what the configuration says of places and regions.
type Config struct {
	Places  *geo.Table
	Regions []Region // each once, at most MaxRegions
	Tables  []*Table
	Explore bool // some pool explores: readers want a new picture in every epoch
}

// A survey is a configuration and what follows from it alone. It is immutable.
type survey struct {
	config  Config
	numbers map[geo.RegionID]uint8 // of the regions
	sites   []site                 // ordered, each once
	priors  []micros32             // by site and region, in a row; 0 where a site is not located
	rows    rows                   // what tables say, with regions in place of sources
	tables  []uint16               // by row: the number of its table
}

type micros32 = uint32

// A site is what of a place decides how near regions are to it.
type site struct {
	key id // of its ASN in its country, or what there is of it
	at  geo.Coordinates
}

func siteOf(p geo.Place) site {
	s := site{key: keyOf(p.Country, p.ASN, p.Located), at: p.At}
	if !p.Located {
		s.at = geo.Coordinates{}
	} else if s.key == 0 {
		s.key = 1 // of a place of which nothing but its coordinates is known
	}
	return s
}

func (s site) compare(o site) int {
	if s.key != o.key {
		return cmp.Compare(s.key, o.key)
	}
	if s.at.Latitude != o.at.Latitude {
		return cmp.Compare(s.at.Latitude, o.at.Latitude)
	}
	return cmp.Compare(s.at.Longitude, o.at.Longitude)
}

func (s site) located() bool { return s.key&1 == 1 }

// steps returns the keys of the chain, the coarsest first, and how many there are. That of an ASN wherever it is goes
// together with that of the ASN in the country.
func (s site) steps() (country, asn, anywhere id) {
	if s.key>>33 != 0 {
		country = s.key &^ (1<<33 - 2)
	}
	if s.key.asn() != 0 {
		asn, anywhere = s.key, s.key&(1<<33-1)
		if asn == anywhere {
			anywhere = 0
		}
	}
	return country, asn, anywhere
}

// fits reports whether a survey is one of a configuration.
func (s *survey) fits(c Config) bool {
	return s != nil && s.config.Places == c.Places && slices.Equal(s.config.Regions, c.Regions) && slices.Equal(s.config.Tables, c.Tables)
}

func newSurvey(c Config) *survey {
	c.Regions = slices.Clone(c.Regions[:min(len(c.Regions), MaxRegions)])
	c.Tables = slices.Clone(c.Tables)
	s := &survey{config: c, numbers: make(map[geo.RegionID]uint8, len(c.Regions))}
	for i, r := range c.Regions {
		s.numbers[r.ID] = uint8(i)
	}
	s.sites = make([]site, c.Places.Places())
	for i := range s.sites {
		s.sites[i] = siteOf(c.Places.Place(geo.PlaceID(i)))
	}
	slices.SortFunc(s.sites, site.compare)
	s.sites = slices.Clip(slices.Compact(s.sites))
	s.priors = make([]micros32, len(s.sites)*len(c.Regions))
	for i, site := range s.sites {
		if site.located() {
			for r, region := range c.Regions {
				s.priors[i*len(c.Regions)+r] = micros32(Prior(site.at, region.At).Microseconds())
			}
		}
	}
	s.tabulate()
	return s
}

// tabulate takes the entries of the tables together, those of a region that is not in the configuration left out.
func (s *survey) tabulate() {
	type from struct {
		row   row
		table uint16
	}
	var all []from
	for t, table := range s.config.Tables {
		for _, e := range table.entries {
			if region, ok := s.numbers[e.region]; ok {
				all = append(all, from{row{id: e.id, rtt: e.rtt, weight: TableSamples * whole, epoch: always, source: uint16(region)}, uint16(t)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b from) int { return a.row.compare(b.row) })
	all = slices.CompactFunc(all, func(a, b from) bool { return a.row.compare(b.row) == 0 }) // of what two tables say the first one's counts
	for _, f := range all {
		s.rows, s.tables = append(s.rows, f.row), append(s.tables, f.table)
	}
}

// site returns the number of the site that a place is at, and whether there is one.
func (s *survey) site(p geo.Place) (int, bool) {
	if s == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(s.sites, siteOf(p), site.compare)
}

// prior returns what the distances suggest for a site, by region; nil where it is not located.
func (s *survey) prior(number int) []micros32 {
	if !s.sites[number].located() {
		return nil
	}
	n := len(s.config.Regions)
	return s.priors[number*n : number*n+n]
}
