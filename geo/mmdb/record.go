package mmdb

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-gslb/meridian/geo"
)

// A decoder makes a place of one record: only of what the record itself says.
type decoder func(maxminddb.Result) (geo.Place, error)

// schemas are the database types, as metadata spells them, and how their records are read. The first match holds.
//
// The flat types are those of ip-location-db: one level of keys, a type like "city ipv4". The nested
// ones are MaxMind's and whoever follows it: GeoLite2-City, DBIP-Country-Lite, DBIP-Location (compat=City).
var schemas = []struct {
	match  *regexp.Regexp
	decode decoder
}{
	{regexp.MustCompile(`^(city|country|asn)( |$)`), flat},
	{regexp.MustCompile(`City|Enterprise`), city},
	{regexp.MustCompile(`Country`), countryRecord},
	{regexp.MustCompile(`ASN|ISP`), asn},
}

func decoderOf(databaseType string) (decoder, error) {
	for _, s := range schemas {
		if s.match.MatchString(databaseType) {
			return s.decode, nil
		}
	}
	return nil, fmt.Errorf("unsupported database type %q (have GeoLite2-City, GeoLite2-Country, GeoLite2-ASN, "+
		"the GeoIP2, Enterprise, ISP and DBIP types like them; city, country, asn of ip-location-db)", databaseType)
}

func city(result maxminddb.Result) (geo.Place, error) {
	var r geoip2.City
	if err := result.Decode(&r); err != nil {
		return geo.Place{}, err
	}
	subdivision := ""
	if len(r.Subdivisions) > 0 { // the largest comes first
		subdivision = r.Subdivisions[0].ISOCode
	}
	p := place(r.Continent.Code, r.Country.ISOCode, subdivision, r.City.Names.English)
	locate(&p, r.Location.Latitude, r.Location.Longitude)
	return p, nil
}

func countryRecord(result maxminddb.Result) (geo.Place, error) {
	var r geoip2.Country
	if err := result.Decode(&r); err != nil {
		return geo.Place{}, err
	}
	return place(r.Continent.Code, r.Country.ISOCode, "", ""), nil
}

func asn(result maxminddb.Result) (geo.Place, error) {
	var r geoip2.ASN
	if err := result.Decode(&r); err != nil {
		return geo.Place{}, err
	}
	return geo.Place{ASN: uint32(r.AutonomousSystemNumber)}, nil
}

func flat(result maxminddb.Result) (geo.Place, error) {
	var r struct {
		Country   string   `maxminddb:"country_code"`
		State     string   `maxminddb:"state1"`
		City      string   `maxminddb:"city"`
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		ASN       uint32   `maxminddb:"autonomous_system_number"`
	}
	if err := result.Decode(&r); err != nil {
		return geo.Place{}, err
	}
	p := place("", r.Country, r.State, r.City)
	p.ASN = r.ASN
	locate(&p, r.Latitude, r.Longitude)
	return p, nil
}

var (
	letters         = regexp.MustCompile(`^[A-Z]{2}$`)
	subdivisionCode = regexp.MustCompile(`^[A-Z0-9]{1,3}$`) // ISO 3166-2, the part after the hyphen
)

// continents are those of geo.Place.
var continents = []string{"AF", "AN", "AS", "EU", "NA", "OC", "SA"}

// longestCity is how many bytes the name of a city may have. The longest in English has 85.
const longestCity = 255

// place keeps what is in the form of a code: databases write "", "-" and "None" for the unknown, and the flat
// schema has names of states where a code should be.
func place(continent, country, subdivision, city string) geo.Place {
	var p geo.Place
	if len(city) <= longestCity {
		p.City = city
	}
	if country = strings.ToUpper(country); letters.MatchString(country) {
		p.Country = country
	}
	if wide, ok := wideCodes[p.Country]; ok {
		p.Country, p.Continent = "", wide
	}
	if slices.Contains(continents, continent) {
		p.Continent = continent
	}
	if p.Country != "" && subdivisionCode.MatchString(subdivision) {
		p.Subdivision = p.Country + "-" + subdivision
	}
	return p
}

// locate keeps coordinates to 11 metres. Some databases hold them as 32-bit floats, whose noise would
// make different places of equal ones.
func locate(p *geo.Place, latitude, longitude *float64) {
	if latitude == nil || longitude == nil {
		return
	}
	const step = 1e4
	at := geo.Coordinates{Latitude: math.Round(*latitude*step) / step, Longitude: math.Round(*longitude*step) / step}
	if at.Valid() { // not for a NaN either, which would make a place unequal to itself
		p.Located, p.At = true, at
	}
}
