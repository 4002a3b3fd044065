//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
)

// A citySize says how large a city database is that is made up.
type citySize struct {
	networks4, networks6 int
	cities               int
}

// The size of the database for the loads, and that of a large one: as many networks and places as the real ones have.
var (
	someCities = citySize{1_000_000, 200_000, 20_000}
	allCities  = citySize{4_200_000, 1_800_000, 120_000}
)

// A cityFile is being written: a database in MaxMind's format, version 2, with the records of a city database. What it says is made
// up, the same at every run, but it is like the real ones in what costs time and memory: a network has some hundred networks around
// it of the same registry and country, and most of a city; what is assigned is as long as that of Internet providers, a few to the
// last bit; records differ more often than places; and what records have in common is written once.
type cityFile struct {
	random    *rand.Rand
	nodes     [][2]uint32 // an index below cityLeaf is a node, from there on the offset of a record
	data      cityData
	countries []cityCountry
	cities    int // so far
}

const (
	cityLeaf    = 1 << 31
	cityNothing = cityLeaf - 1
	countryMost = 230
)

// cityUnits are what registries assign: IPv4 networks of length 16 and IPv6 networks of length 32, by their first bits.
type cityUnit struct {
	first    uint32
	networks int // within it
	deepest  int // how long they may be
}

func cityDatabase(size citySize) []byte {
	c := &cityFile{random: rand.New(rand.NewPCG(1, 2))}
	c.makeCountries(size.cities)
	c.nodes = make([][2]uint32, 0, size.networks4+size.networks6+1<<18)
	c.tree(c.units6(size.networks6), 32, func() { // the IPv4 tree hangs at ::/96
		c.chain(96 - 32)
		c.tree(c.units4(size.networks4), 16, nil)
	})
	return c.bytes()
}

// chain adds nodes to whose right there is nothing, and to whose left is what is added next.
func (c *cityFile) chain(length int) {
	for range length {
		c.nodes = append(c.nodes, [2]uint32{uint32(len(c.nodes) + 1), cityNothing})
	}
}

func (c *cityFile) units4(networks int) (units []cityUnit) {
	for first := range uint32(224 << 8) {
		if b := first >> 8; b == 0 || b == 10 || b == 127 {
			continue
		}
		deepest := 24
		if c.random.IntN(8) == 0 {
			deepest = 32
		}
		units = append(units, cityUnit{first: first, deepest: deepest})
	}
	c.share(units, networks, 1.5, 16, 1000)
	return units
}

func (c *cityFile) units6(networks int) (units []cityUnit) {
	for _, block := range []struct{ first, length uint32 }{{0x2001, 1}, {0x2400, 14}, {0x2600, 8}, {0x2800, 7}, {0x2a00, 16}, {0x2c0f, 1}} {
		for first := block.first << 16; first < (block.first+block.length)<<16; first += 8 { // each has room to grow to a /29
			if c.random.IntN(6) > 0 {
				continue
			}
			deepest := 48
			switch c.random.IntN(16) {
			case 0:
				deepest = 64
			case 1:
				deepest = 56
			}
			units = append(units, cityUnit{first: first, deepest: deepest})
		}
	}
	c.share(units, networks, 2, 32, 20_000)
	return units
}

// share divides networks between units, unequally: the logarithm has a normal distribution of that deviation.
func (c *cityFile) share(units []cityUnit, networks int, deviation float64, length, most int) {
	weights, sum := make([]float64, len(units)), 0.0
	for i := range units {
		weights[i] = math.Exp(deviation * c.random.NormFloat64())
		sum += weights[i]
	}
	left := networks
	for i := range units {
		u := &units[i]
		u.networks = max(1, min(int(weights[i]/sum*float64(networks)), most, 1<<min(u.deepest-length, 30)))
		left -= u.networks
	}
	for left > 0 {
		if u := &units[c.random.IntN(len(units))]; u.networks < min(most, 1<<min(u.deepest-length, 30)) {
			u.networks++
			left--
		}
	}
}

// tree adds the nodes of units, all of a length, ordered, and returns what points at them. Where the first of all addresses is, there
// is what zero makes, if it is not nil.
func (c *cityFile) tree(units []cityUnit, length int, zero func()) uint32 {
	var below func(units []cityUnit, depth int, zeros bool) uint32
	below = func(units []cityUnit, depth int, zeros bool) uint32 {
		switch {
		case depth == length && zeros:
			at := uint32(len(c.nodes))
			zero()
			return at
		case len(units) == 0 && !zeros:
			return cityNothing
		case depth == length:
			return c.split(length, units[0].networks, units[0].deepest, c.anywhere())
		}
		at := len(c.nodes)
		c.nodes = append(c.nodes, [2]uint32{})
		bit := uint32(1) << (length - 1 - depth)
		i := slices.IndexFunc(units, func(u cityUnit) bool { return u.first&bit != 0 })
		if i < 0 {
			i = len(units)
		}
		left := below(units[:i], depth+1, zeros)
		c.nodes[at] = [2]uint32{left, below(units[i:], depth+1, false)}
		return uint32(at)
	}
	return below(units, 0, zero != nil)
}

// split makes so many networks of one that is as long as depth, and returns what points at them.
func (c *cityFile) split(depth, networks, deepest int, home *city) uint32 {
	if c.random.IntN(3) == 0 {
		home = c.near(home)
	}
	if networks == 1 {
		return cityLeaf | c.record(home)
	}
	at := len(c.nodes)
	c.nodes = append(c.nodes, [2]uint32{})
	room := 1 << min(deepest-depth-1, 30)
	half := max(networks-room, min(1+c.random.IntN(networks-1), room))
	left := c.split(depth+1, half, deepest, home)
	right := c.split(depth+1, networks-half, deepest, home)
	for left == right { // else the two would be one network
		right = cityLeaf | c.record(home)
	}
	c.nodes[at] = [2]uint32{left, right}
	return uint32(at)
}

// bytes puts the file together: the tree in records of 28 bits, the data, and what there is to know about both.
func (c *cityFile) bytes() []byte {
	count := uint32(len(c.nodes))
	var out bytes.Buffer
	out.Grow(7*len(c.nodes) + c.data.Len() + 1<<12)
	for _, n := range c.nodes {
		for side, to := range n {
			switch {
			case to >= cityLeaf:
				n[side] = to - cityLeaf + count + 16
			case to == cityNothing:
				n[side] = count
			}
		}
		var l, r [4]byte
		binary.BigEndian.PutUint32(l[:], n[0])
		binary.BigEndian.PutUint32(r[:], n[1])
		out.Write([]byte{l[1], l[2], l[3], l[0]<<4 | r[0]&0xf, r[1], r[2], r[3]})
	}
	out.Write(make([]byte, 16))
	out.Write(c.data.Bytes())
	out.WriteString("\xab\xcd\xefMaxMind.com")
	var about cityData
	about.object(9)
	about.short("binary_format_major_version", 2)
	about.short("binary_format_minor_version", 0)
	about.string("build_epoch")
	about.Write(binary.BigEndian.AppendUint64([]byte{8, 9 - 7}, 1_780_000_000))
	about.text("database_type", "GeoLite2-City")
	about.string("description")
	about.object(1)
	about.text("en", "made up for a benchmark")
	about.short("ip_version", 6)
	about.string("languages")
	about.Write([]byte{0, 11 - 7})
	about.number("node_count", count)
	about.short("record_size", 28)
	out.Write(about.Bytes())
	return out.Bytes()
}
