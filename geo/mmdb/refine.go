package mmdb

import (
	"cmp"

	"github.com/meridian-gslb/meridian/geo"
)

// refine returns what two files say together. A field that only one of them knows is its, of others the later
// one's value holds. A contradiction takes from the earlier one what was said of the other place:
//
//	contradicted                     the earlier one loses
//	country, or with none continent  all but the ASN
//	subdivision                      subdivision, city, coordinates
//	city                             city, coordinates
func refine(earlier, later geo.Place) geo.Place {
	p := earlier
	switch {
	case differ(p.Country, later.Country), later.Country == "" && differ(complete(p).Continent, later.Continent):
		p = geo.Place{ASN: p.ASN}
	case differ(p.Subdivision, later.Subdivision):
		p = geo.Place{Continent: p.Continent, Country: p.Country, ASN: p.ASN}
	case differ(p.City, later.City):
		p.City, p.Located, p.At = "", false, geo.Coordinates{}
	}
	if p.Country == "" && later.Country != "" {
		p.Continent = "" // it may not be that country's
	}
	p.Continent = cmp.Or(later.Continent, p.Continent)
	p.Country = cmp.Or(later.Country, p.Country)
	p.Subdivision = cmp.Or(later.Subdivision, p.Subdivision)
	p.City = cmp.Or(later.City, p.City)
	p.ASN = cmp.Or(later.ASN, p.ASN)
	if later.Located {
		p.Located, p.At = true, later.At
	}
	return p
}

func differ(a, b string) bool { return a != "" && b != "" && a != b }
