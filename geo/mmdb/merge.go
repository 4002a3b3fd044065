package mmdb

import (
	"cmp"
	"iter"
	"net/netip"

	"github.com/meridian-gslb/meridian/geo"
)

// A cursor is a walk through one file: the network it will come to next, and the last one it passed.
type cursor struct {
	file *file
	next func() (network, error, bool)
	head network
	more bool // head is a network
	open network
	in   bool // open is a network, and holds the prefix at hand
}

func (c *cursor) advance() error {
	var err error
	c.head, err, c.more = c.next()
	return err
}

// merge calls one for each prefix of which one file knows, by the numbers of the file and of its place, and several for each of
// which more do, with what all of them know of it.
//
// Longest prefix match over these is right for networks of any sizes: say that p is the longest prefix of any
// file around an address. Every other file's network around that address then holds p, so p's place has it.
// The networks of one file do not overlap, so each file has at most one network open at a time.
func merge(files []*file, one func(p netip.Prefix, file, place int) error, several func(netip.Prefix, geo.Place) error) error {
	if len(files) == 1 {
		for n, err := range files[0].networks() {
			if err == nil {
				err = one(n.prefix, 0, n.place)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	cursors := make([]cursor, len(files))
	for i, f := range files {
		next, stop := iter.Pull2(f.networks())
		defer stop()
		cursors[i] = cursor{file: f, next: next}
		if err := cursors[i].advance(); err != nil {
			return err
		}
	}
	for {
		p, ok := earliest(cursors)
		if !ok {
			return nil
		}
		knowing, last := 0, 0
		for i := range cursors {
			c := &cursors[i]
			if c.more && c.head.prefix == p {
				c.open, c.in = c.head, true
				if err := c.advance(); err != nil {
					return err
				}
			}
			if c.in = c.in && c.open.prefix.Contains(p.Addr()); c.in {
				knowing++
				last = i
			}
		}
		var err error
		if knowing == 1 {
			err = one(p, last, cursors[last].open.place)
		} else {
			err = several(p, together(cursors))
		}
		if err != nil {
			return err
		}
	}
}

// together returns what the files that have the prefix at hand know of it.
func together(cursors []cursor) (place geo.Place) {
	for i := range cursors {
		if c := &cursors[i]; c.in {
			place = refine(place, c.file.places[c.open.place])
		}
	}
	return place
}

// earliest returns the first prefix to come: by family, then by address, then the one that holds the others.
func earliest(cursors []cursor) (first netip.Prefix, ok bool) {
	for i := range cursors {
		c := &cursors[i]
		if !c.more {
			continue
		}
		p := c.head.prefix
		if order := p.Addr().Compare(first.Addr()); !ok || order < 0 || order == 0 && p.Bits() < first.Bits() {
			first, ok = p, true
		}
	}
	return first, ok
}

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
