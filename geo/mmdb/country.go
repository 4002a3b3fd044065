package mmdb

import (
	"cmp"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// A country is what we know of a code without any database.
type country struct {
	code      string // ISO 3166-1 alpha-2, or XK
	continent string
	centroid  geo.Coordinates // of its largest piece of land
}

// wideCodes are codes that databases use for an address of no one country, and the continent they mean.
var wideCodes = map[string]string{"AP": "AS", "EU": "EU"}

func countryOf(code string) (country, bool) {
	i, ok := slices.BinarySearchFunc(countries[:], code, func(c country, code string) int { return cmp.Compare(c.code, code) })
	if !ok {
		return country{}, false
	}
	return countries[i], true
}

// complete fills in what follows from the country.
func complete(p geo.Place) geo.Place {
	c, ok := countryOf(p.Country)
	if !ok {
		return p
	}
	if p.Continent == "" {
		p.Continent = c.continent
	}
	if !p.Located {
		p.Located, p.At = true, c.centroid
	}
	return p
}
