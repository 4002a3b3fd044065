//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// A cityFile is being written: a database in MaxMind's format, version 2, with the records of a city database and
// networks as in the real ones, between /16 and /24 of IPv4 and not much fewer. What it says is made up, the same at every run. A /14 is
// in one country but for one network in twenty.
type cityFile struct {
	random *rand.Rand
	nodes  [][2]uint32 // an index below limit is a node, from leaf on the offset of a record
	data   bytes.Buffer
	cities [][]uint32 // offsets of the cities' records, by country
}

const (
	cityLeaf      = 1 << 31
	cityCountries = 60
	cityCities    = 80 // of each country
	firstSplit    = 16
	lastSplit     = 24
)

func cityDatabase() []byte {
	c := &cityFile{random: rand.New(rand.NewPCG(1, 2))}
	for country := range cityCountries {
		c.cities = append(c.cities, nil)
		for range cityCities {
			c.cities[country] = append(c.cities[country], uint32(c.data.Len()))
			c.city(country)
		}
	}
	// The IPv4 tree hangs at ::/96. To the right of its way there is nothing.
	for i := range 96 {
		c.nodes = append(c.nodes, [2]uint32{uint32(i + 1), 0})
	}
	c.split(0, 0)
	return c.bytes()
}

// split makes the node of a network, which is as long as depth, and all below it, and returns what its parent points at.
func (c *cityFile) split(depth, country int) uint32 {
	if depth == 14 {
		country = c.random.IntN(cityCountries)
	}
	if depth == lastSplit || depth >= firstSplit && c.random.IntN(3) == 0 {
		if c.random.IntN(20) == 0 {
			country = c.random.IntN(cityCountries)
		}
		return cityLeaf | c.cities[country][c.random.IntN(cityCities)]
	}
	at := len(c.nodes)
	c.nodes = append(c.nodes, [2]uint32{})
	left := c.split(depth+1, country)
	right := c.split(depth+1, country)
	c.nodes[at] = [2]uint32{left, right}
	return uint32(at)
}

// city writes a record near the center of the country's continent.
func (c *cityFile) city(country int) {
	near := centers[country%len(centers)]
	code := string([]byte{'A' + byte(country/26), 'A' + byte(country%26)})
	name := letters(c.random, 9)
	id := uint32(1_000_000 + c.data.Len())
	c.object(6)
	c.object(2, "city")
	c.number("geoname_id", id)
	c.names(name)
	c.object(3, "continent")
	c.text("code", near.continent)
	c.number("geoname_id", uint32(6_255_000+country%len(centers)))
	c.names(near.continent)
	for _, key := range []string{"country", "registered_country"} {
		c.object(3, key)
		c.text("iso_code", code)
		c.number("geoname_id", uint32(2_000_000+country))
		c.names(code)
	}
	c.object(4, "location")
	c.short("accuracy_radius", 50)
	c.float("latitude", near.latitude+40*(c.random.Float64()-0.5))
	c.float("longitude", near.longitude+40*(c.random.Float64()-0.5))
	c.text("time_zone", "Etc/UTC")
	c.string("subdivisions")
	c.data.Write([]byte{1, 11 - 7}) // an array of one
	c.object(2)
	c.text("iso_code", name[:2])
	c.names(name[:4])
}

// object begins a map of so many pairs, as the value of a key if there is one.
func (c *cityFile) object(pairs int, key ...string) {
	for _, k := range key {
		c.string(k)
	}
	c.data.WriteByte(7<<5 | byte(pairs))
}

func (c *cityFile) names(english string) {
	c.object(1, "names")
	c.text("en", english)
}

// string writes a string of less than 29 bytes.
func (c *cityFile) string(s string) {
	c.data.WriteByte(2<<5 | byte(len(s)))
	c.data.WriteString(s)
}

func (c *cityFile) text(key, value string) {
	c.string(key)
	c.string(value)
}

func (c *cityFile) number(key string, value uint32) {
	c.string(key)
	c.data.WriteByte(6<<5 | 4)
	c.data.Write(binary.BigEndian.AppendUint32(nil, value))
}

func (c *cityFile) short(key string, value uint16) {
	c.string(key)
	c.data.WriteByte(5<<5 | 2)
	c.data.Write(binary.BigEndian.AppendUint16(nil, value))
}

func (c *cityFile) float(key string, value float64) {
	c.string(key)
	c.data.WriteByte(3<<5 | 8)
	c.data.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(value)))
}

// bytes puts the file together: the tree in records of 28 bits, the data, and what there is to know about both.
func (c *cityFile) bytes() []byte {
	var out bytes.Buffer
	count := uint32(len(c.nodes))
	for i, n := range c.nodes {
		for side, to := range n {
			switch {
			case to >= cityLeaf:
				n[side] = to - cityLeaf + count + 16
			case i < 96 && side == 1:
				n[side] = count // nothing there
			}
		}
		l, r := binary.BigEndian.AppendUint32(nil, n[0]), binary.BigEndian.AppendUint32(nil, n[1])
		out.Write([]byte{l[1], l[2], l[3], l[0]<<4 | r[0]&0xf, r[1], r[2], r[3]})
	}
	out.Write(make([]byte, 16))
	out.Write(c.data.Bytes())
	out.WriteString("\xab\xcd\xefMaxMind.com")
	c.data.Reset()
	c.object(9)
	c.short("binary_format_major_version", 2)
	c.short("binary_format_minor_version", 0)
	c.string("build_epoch")
	c.data.Write(binary.BigEndian.AppendUint64([]byte{8, 9 - 7}, 1_780_000_000))
	c.text("database_type", "GeoLite2-City")
	c.object(1, "description")
	c.text("en", "made up for a benchmark")
	c.short("ip_version", 6)
	c.string("languages")
	c.data.Write([]byte{0, 11 - 7})
	c.number("node_count", count)
	c.short("record_size", 28)
	out.Write(c.data.Bytes())
	return out.Bytes()
}
