//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
)

// A cityValue is a value that many records have in common: it is written in the first of them, and the others point there.
type cityValue struct {
	code      string // empty: it has none
	key       string // of the code
	number    uint32 // geoname_id
	name      string
	languages int
	at        uint32 // one more than where it was written; 0: nowhere yet
}

// A cityCountry is a made-up country, a city one of its cities.
type cityCountry struct {
	cityValue
	continent           *cityValue
	latitude, longitude float64
	cities              []city
}

type city struct {
	cityValue
	country             *cityCountry
	subdivision         *cityValue
	latitude, longitude float64
	records             [recordsEach]uint32 // one more than where they are; 0: not written yet
}

// recordsEach is how many records there are of a city: the second differs from the first in what makes no other place of it, the third
// lies elsewhere.
const recordsEach = 3

var cityLanguages = [...]string{"de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"}

// makeCountries makes countries, the first ones with more cities than the others, around the centers of the continents.
func (c *cityFile) makeCountries(cities int) {
	continents := make([]cityValue, len(centers))
	for i, center := range centers {
		continents[i] = cityValue{code: center.continent, key: "code", number: uint32(6_255_000 + i), name: center.continent, languages: len(cityLanguages)}
	}
	sum := 0.0
	for i := range countryMost {
		sum += 1 / float64(i+3)
	}
	c.countries = make([]cityCountry, countryMost)
	for i := range c.countries {
		country, center := &c.countries[i], centers[i%len(centers)]
		code := string([]byte{'A' + byte(i/26), 'A' + byte(i%26)})
		*country = cityCountry{
			cityValue: cityValue{code: code, key: "iso_code", number: uint32(2_000_000 + i), name: letters(c.random, 10), languages: len(cityLanguages)},
			continent: &continents[i%len(centers)],
			latitude:  center.latitude + 30*(c.random.Float64()-0.5), longitude: center.longitude + 50*(c.random.Float64()-0.5),
		}
		c.makeCities(country, max(1, int(float64(cities)/float64(i+3)/sum)))
	}
}

// makeCities makes the cities of a country, the first of which most networks are in.
func (c *cityFile) makeCities(country *cityCountry, count int) {
	country.cities = make([]city, count)
	var subdivision *cityValue
	for i := range country.cities {
		if i%40 == 0 {
			name := letters(c.random, 8)
			subdivision = &cityValue{code: strings.ToUpper(name[:2]), key: "iso_code", number: uint32(4_000_000 + c.cities), name: name, languages: len(cityLanguages)}
		}
		languages := 1
		if i < count/8 {
			languages = len(cityLanguages)
		}
		country.cities[i] = city{
			cityValue: cityValue{number: uint32(5_000_000 + c.cities), name: letters(c.random, 5+c.random.IntN(8)), languages: languages},
			country:   country, subdivision: subdivision,
			latitude: country.latitude + 10*(c.random.Float64()-0.5), longitude: country.longitude + 15*(c.random.Float64()-0.5),
		}
		c.cities++
	}
}

// anywhere returns a city of any country, more often one of a large country.
func (c *cityFile) anywhere() *city {
	country := &c.countries[int(countryMost*math.Pow(c.random.Float64(), 3))]
	return c.near(&country.cities[0])
}

// near returns a city of the same country, seldom of another, more often a large one.
func (c *cityFile) near(home *city) *city {
	if c.random.IntN(100) == 0 {
		return c.anywhere()
	}
	all := home.country.cities
	return &all[int(float64(len(all))*math.Pow(c.random.Float64(), 3))]
}

// record returns the offset of one of the city's records.
func (c *cityFile) record(of *city) uint32 {
	which := c.random.IntN(recordsEach)
	if of.records[which] > 0 {
		return of.records[which] - 1
	}
	at := c.data.offset()
	of.records[which] = at + 1
	latitude, longitude := of.latitude, of.longitude
	if which == 2 {
		latitude, longitude = latitude+0.1, longitude-0.1
	}
	d := &c.data
	d.object(7)
	d.put("city", &of.cityValue)
	d.put("continent", of.country.continent)
	d.put("country", &of.country.cityValue)
	d.put("registered_country", &of.country.cityValue)
	d.string("location")
	d.object(4)
	d.short("accuracy_radius", []uint16{10, 50, 20}[which])
	d.float("latitude", math.Round(latitude*1e4)/1e4)
	d.float("longitude", math.Round(longitude*1e4)/1e4)
	d.text("time_zone", "Etc/UTC")
	d.string("postal")
	d.object(1)
	d.text("code", letters(c.random, 5))
	d.string("subdivisions")
	d.Write([]byte{1, 11 - 7}) // an array of one
	d.value(of.subdivision)
	return at
}

// A cityData is the values of a file, the strings written once.
type cityData struct {
	bytes.Buffer
	strings map[string]uint32
}

func (d *cityData) offset() uint32 { return uint32(d.Len()) }

// object begins a map of so many pairs.
func (d *cityData) object(pairs int) { d.WriteByte(7<<5 | byte(pairs)) }

// string writes a string of less than 29 bytes, or where it stands.
func (d *cityData) string(s string) {
	if at, ok := d.strings[s]; ok && len(s) > 3 {
		d.pointer(at)
		return
	}
	if d.strings == nil {
		d.strings = map[string]uint32{}
	}
	d.strings[s] = d.offset()
	d.WriteByte(2<<5 | byte(len(s)))
	d.WriteString(s)
}

// pointer writes where a value stands.
func (d *cityData) pointer(at uint32) {
	switch {
	case at < 1<<11:
		d.Write([]byte{1<<5 | byte(at>>8), byte(at)})
	case at < 1<<11+1<<19:
		at -= 1 << 11
		d.Write([]byte{1<<5 | 1<<3 | byte(at>>16), byte(at >> 8), byte(at)})
	default:
		at -= 1<<11 + 1<<19
		d.Write([]byte{1<<5 | 2<<3 | byte(at>>24), byte(at >> 16), byte(at >> 8), byte(at)})
	}
}

func (d *cityData) put(key string, v *cityValue) {
	d.string(key)
	d.value(v)
}

func (d *cityData) value(v *cityValue) {
	if v.at > 0 {
		d.pointer(v.at - 1)
		return
	}
	v.at = d.offset() + 1
	if v.code == "" {
		d.object(2)
	} else {
		d.object(3)
		d.text(v.key, v.code)
	}
	d.number("geoname_id", v.number)
	d.string("names")
	d.object(v.languages)
	if v.languages == 1 {
		d.text("en", v.name)
		return
	}
	for _, language := range cityLanguages[:v.languages] {
		d.text(language, v.name+language[:1])
	}
}

func (d *cityData) text(key, value string) {
	d.string(key)
	d.string(value)
}

func (d *cityData) number(key string, value uint32) {
	d.string(key)
	d.WriteByte(6<<5 | 4)
	d.Write(binary.BigEndian.AppendUint32(nil, value))
}

func (d *cityData) short(key string, value uint16) {
	d.string(key)
	d.WriteByte(5<<5 | 2)
	d.Write(binary.BigEndian.AppendUint16(nil, value))
}

func (d *cityData) float(key string, value float64) {
	d.string(key)
	d.WriteByte(3<<5 | 8)
	d.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(value)))
}
