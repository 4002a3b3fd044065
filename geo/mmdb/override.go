package mmdb

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// Overrides say of listed prefixes where they are, over what databases say: own networks, or wrong entries. The longest prefix around
// an address counts, however much finer a database is. What it does not say is taken from the databases, but nothing that contradicts
// it, as of an earlier database. It may be finer than the largest scopes, and in private space, which no database places.
//
// A nil Overrides lists nothing. Overrides are immutable.
type Overrides struct {
	list   *geo.Overlay
	places []geo.Place // by value, from 1
}

// maxOverrides is how many prefixes all files together may list.
const maxOverrides = 100_000

// An overriding place is what a file says of a prefix.
type overriding struct {
	country     strict.At[string]
	subdivision strict.At[string]
	city        string
	at          *geo.Coordinates
	asn         int
}

var overridingObject = strict.Object[overriding]{
	strict.Optional("country", "ISO 3166-1 alpha-2; the continent follows from it, and the coordinates if nobody knows better", "",
		strict.Placed(strict.Parsed("country, such as DE", knownCountry)), func(o *overriding) *strict.At[string] { return &o.country }),
	strict.Optional("subdivision", "ISO 3166-2 with its country, which need not be given then", "",
		strict.Placed(strict.Parsed("subdivision, such as DE-BE", knownSubdivision)), func(o *overriding) *strict.At[string] { return &o.subdivision }),
	strict.Optional("city", "its name in English, as the databases spell it", "", strict.Text(longestCity), func(o *overriding) *string { return &o.city }),
	strict.Optional("coordinates", "where it is", "",
		strict.Convert(strict.List(strict.Decimal(-180, 180), 2), "[latitude, longitude] in degrees", coordinates),
		func(o *overriding) **geo.Coordinates { return &o.at }),
	strict.Optional("asn", "autonomous system", "", strict.Integer(1, 1<<32-1), func(o *overriding) *int { return &o.asn }),
}

var overridesType = strict.Map("prefix", strict.Convert(strict.Prefix(), "IP prefix", func(p netip.Prefix) (string, error) { return p.String(), nil }),
	overridingObject.Type("a place"), maxOverrides)

func knownCountry(code string) (string, error) {
	if _, ok := countryOf(code); ok {
		return code, nil
	}
	if _, ok := countryOf(strings.ToUpper(code)); ok {
		return "", fmt.Errorf("is not a country (write %s)", strings.ToUpper(code))
	}
	return "", errors.New("is not a country (ISO 3166-1 alpha-2, such as DE)")
}

var subdivisionForm = regexp.MustCompile(`^[A-Z]{2}-[A-Z0-9]{1,3}$`)

func knownSubdivision(code string) (string, error) {
	if !subdivisionForm.MatchString(code) {
		return "", errors.New("is not a subdivision (ISO 3166-2, such as DE-BE)")
	}
	if _, ok := countryOf(code[:2]); !ok {
		return "", fmt.Errorf("is not a subdivision: %s is not a country", code[:2])
	}
	return code, nil
}

func coordinates(degrees []float64) (*geo.Coordinates, error) {
	if len(degrees) != 2 {
		return nil, errors.New("want two numbers, [latitude, longitude]")
	}
	c := geo.Coordinates{Latitude: degrees[0], Longitude: degrees[1]}
	if !c.Valid() {
		return nil, fmt.Errorf("latitude %v is outside -90 to 90 (write [latitude, longitude])", c.Latitude)
	}
	return &c, nil
}

// ReadOverrides reads files of overrides: YAML, prefixes as keys. The error is strict.Problems: every mistake in all of them, each with
// its file and line. A prefix stands in them once; prefixes within each other are none.
func ReadOverrides(paths []string) (*Overrides, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	var p overridesParser
	for _, path := range paths {
		data, err := readFile(path, strict.MaxSize)
		if err != nil {
			p.report.Add(strict.Position{File: path}, "%v", errors.Unwrap(err))
			continue
		}
		p.file(path, data)
	}
	return p.overrides()
}

// An overridesParser reads files of overrides.
type overridesParser struct {
	report strict.Report
	first  map[netip.Prefix]strict.Position
	listed []listedPlace
}

type listedPlace struct {
	prefix netip.Prefix
	place  geo.Place
}

func (p *overridesParser) file(name string, data []byte) {
	document, ok := strict.Document(name, data, &p.report)
	if !ok {
		return
	}
	entries, _ := overridesType.Decode(document)
	if p.first == nil {
		p.first = make(map[netip.Prefix]strict.Position, len(entries))
	}
	problems := p.report.Problems()
	faulty := func(i int) bool { // whether a mistake is in the lines of an entry
		end := math.MaxInt
		if i+1 < len(entries) {
			end = max(entries[i+1].Line, entries[i].Line+1)
		}
		return slices.ContainsFunc(problems, func(q strict.Problem) bool {
			return q.File == name && q.Line >= entries[i].Line && q.Line < end
		})
	}
	for i, e := range entries {
		prefix := netip.MustParsePrefix(e.Name)
		if first, twice := p.first[prefix]; twice {
			p.report.Add(e.Position, "prefix %v stands twice (first at %v)", prefix, first)
			continue
		}
		p.first[prefix] = e.Position
		if geo.Carrying(prefix) {
			p.report.Add(e.Position, "prefix %v: its addresses carry an IPv4 address, by which clients are placed (list that)", prefix)
		}
		place := p.place(prefix, e.Value)
		if place == (geo.Place{}) && !faulty(i) {
			p.report.Add(e.Position, "prefix %v says nothing (want country, subdivision, city, coordinates or asn)", prefix)
		}
		p.listed = append(p.listed, listedPlace{prefix, place})
	}
}

func (p *overridesParser) place(prefix netip.Prefix, o overriding) geo.Place {
	place := geo.Place{Country: o.country.Value, Subdivision: o.subdivision.Value, City: o.city, ASN: uint32(o.asn)}
	if place.Subdivision != "" {
		place.Country = place.Subdivision[:2]
		if o.country.Given() && o.country.Value != "" && o.country.Value != place.Country {
			p.report.Add(o.subdivision.Position, "prefix %v: subdivision %s is not in country %s", prefix, place.Subdivision, o.country.Value)
		}
	}
	if o.at != nil {
		place.Located, place.At = true, *o.at
	}
	return place
}

func (p *overridesParser) overrides() (*Overrides, error) {
	if len(p.listed) > maxOverrides {
		p.report.Add(strict.Position{}, "overrides: %d prefixes, at most %d are allowed", len(p.listed), maxOverrides)
	}
	if err := p.report.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(p.listed, func(a, b listedPlace) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	o := &Overrides{}
	prefixes := make([]netip.Prefix, len(p.listed))
	for i, l := range p.listed {
		prefixes[i] = l.prefix
		o.places = append(o.places, l.place)
	}
	o.list = geo.NewOverlay(prefixes)
	return o, nil
}

// Prefixes returns how many prefixes are listed.
func (o *Overrides) Prefixes() int {
	if o == nil {
		return 0
	}
	return len(o.places)
}

// Apply returns a table with the listed prefixes placed as they say. It shares the memory of the table, which is not overridden yet.
func (o *Overrides) Apply(t *geo.Table) *geo.Table {
	if o == nil {
		return t
	}
	return t.Override(o.list, func(p geo.Place, listed uint32) geo.Place { return complete(refine(p, o.places[listed-1])) })
}
