package rtt

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// An id names the clients whose samples are counted together: a key (a country, an ASN in a country, an ASN) or a prefix.
// Ids are ordered: keys by country and ASN, then IPv4 and then IPv6 prefixes by address, outer ones first.
//
//	key     0  0…  country (16 bits, two letters)  ASN (32)  1: located places, 0: others, or what a table says
//	prefix  1  family (1)  address (48 bits; IPv4: 32 and 16 zeros)  0…  length (6)
type id uint64

const (
	prefixBit   id = 1 << 63
	sixBit      id = 1 << 62
	addressBits    = 48
	addressAt      = 14 // where the address begins
	lengthMask  id = 1<<6 - 1
)

// Lengths of the prefixes that are measured, and of those around them whose samples are counted together too.
var measuredBits, coverBits = [2]int{24, 48}, [2]int{20, 40}

// keyOf returns the key of the clients of an ASN in a country, either of which may be empty; 0 if both are, or a country is
// not of two capital letters.
func keyOf(country string, asn uint32, located bool) id {
	k := id(asn) << 1
	if len(country) == 2 && isLetter(country[0]) && isLetter(country[1]) {
		k |= id(country[0])<<41 | id(country[1])<<33
	} else if country != "" {
		return 0
	}
	if k != 0 && located {
		k |= 1
	}
	return k
}

// country and asn are the parts of a key.
func (i id) country() string {
	if i>>33 == 0 {
		return ""
	}
	return string([]byte{byte(i >> 41), byte(i >> 33)})
}

func (i id) asn() uint32   { return uint32(i >> 1) }
func (i id) isKey() bool   { return i&prefixBit == 0 }
func (i id) located() bool { return i.isKey() && i&1 == 1 }

// prefixID returns the id of a masked prefix, of IPv6 one of at most 48 bits.
func prefixID(p netip.Prefix) id {
	i := prefixBit | id(p.Bits())
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return i | id(binary.BigEndian.Uint32(a[:]))<<16<<addressAt
	}
	a := p.Addr().As16()
	return i | sixBit | id(binary.BigEndian.Uint64(a[:8])>>16)<<addressAt
}

func (i id) six() bool { return i&sixBit != 0 }
func (i id) bits() int { return int(i & lengthMask) }

// family is 0 for IPv4, 1 for IPv6.
func (i id) family() int {
	if i.six() {
		return 1
	}
	return 0
}

func (i id) address() uint64 { return uint64(i&^(prefixBit|sixBit)) >> addressAt }

func (i id) prefix() netip.Prefix {
	if !i.six() {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i.address()>>16))
		return netip.PrefixFrom(netip.AddrFrom4(a), i.bits())
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], i.address()<<16)
	return netip.PrefixFrom(netip.AddrFrom16(a), i.bits())
}

// within returns the prefix of some length around a longer one.
func (i id) within(bits int) id {
	address := i.address() &^ (1<<(addressBits-bits) - 1)
	return i&(prefixBit|sixBit) | id(address)<<addressAt | id(bits)
}

// last returns the last prefix of the measured length in a shorter one.
func (i id) last() id {
	bits := measuredBits[i.family()]
	inside := uint64(1)<<(addressBits-i.bits()) - uint64(1)<<(addressBits-bits)
	return i&^lengthMask | id(inside)<<addressAt | id(bits)
}

// holds reports whether prefix j lies in i, or is i.
func (i id) holds(j id) bool {
	return i&(prefixBit|sixBit) == j&(prefixBit|sixBit) && j.bits() >= i.bits() && j.within(i.bits()) == i
}

// good reports whether an id that came from outside is one that this package makes.
func (i id) good() bool {
	if i.isKey() {
		c := i.country()
		letters := c == "" || i>>49 == 0 && isLetter(c[0]) && isLetter(c[1])
		return i>>1 != 0 && letters
	}
	bits, f := i.bits(), i.family()
	return (bits == measuredBits[f] || bits == coverBits[f]) && i.within(bits) == i && (i.six() || i.address()&0xffff == 0)
}

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' }

// measured returns the id of the prefix that an address's samples are counted for.
func measured(a netip.Addr) (id, bool) {
	f := 0
	if a.Is6() {
		f = 1
	}
	p, err := a.WithZone("").Prefix(measuredBits[f])
	if err != nil || !a.IsValid() || a.Is4In6() {
		return 0, false
	}
	return prefixID(p), true
}

// A row is what one source says of the round trip from some clients to a region.
type row struct {
	id       id
	rtt      uint32 // mean, µs
	expected uint32 // mean of what the distances suggest, µs; 0 but for a key of located places
	epoch    uint32 // in which weight was right; always: it is so in every one
	weight   uint16 // of the samples, in whole-ths
	source   uint16
}

const (
	whole     = 32   // the weight of one sample
	MaxCount  = 1000 // the most samples that count: past it new ones push old ones out
	maxWeight = MaxCount * whole
	always    = math.MaxUint32
	leastEver = whole / 2 // what weighs less is forgotten
)

// fractions are 2^(-i/epochs) in 65536ths.
var fractions = func() (f [halfEpochs]int64) {
	for i := range f {
		f[i] = int64(math.Round(65536 * math.Exp2(-float64(i)/float64(halfEpochs))))
	}
	return f
}()

const halfEpochs = int(HalfLife / EpochLength)

// aged returns what a weight of one epoch weighs in another.
func aged(weight uint16, from, to uint32) uint16 {
	if from >= to {
		return weight
	}
	age := int(to - from)
	halves := age / halfEpochs
	if halves > 15 {
		return 0
	}
	return uint16((int64(weight)*fractions[age%halfEpochs] + 1<<15) >> 16 >> halves)
}

// now returns a row's weight in an epoch.
func (r *row) now(epoch uint32) int64 { return int64(aged(r.weight, r.epoch, epoch)) }

// rows are ordered by id and source, each once.
type rows []row

func (r row) compare(o row) int {
	return cmp.Or(cmp.Compare(r.id, o.id), cmp.Compare(r.source, o.source))
}

// from returns the rows from an id on.
func (r rows) from(i id) rows {
	at, _ := slices.BinarySearchFunc(r, i, func(r row, i id) int { return cmp.Compare(r.id, i) })
	return r[at:]
}

// of returns the rows of the clients that an id names; of a key both of located places and others.
func (r rows) of(i id) rows { return r.from(i &^ keyBit(i)).first(i) }

// onwards is from for an id that is not far away.
func (r rows) onwards(i id) rows {
	i &^= keyBit(i)
	step := 1
	for step < len(r) && r[step].id < i {
		step *= 2
	}
	at, _ := slices.BinarySearchFunc(r[:min(step+1, len(r))], i, func(r row, i id) int { return cmp.Compare(r.id, i) })
	return r[at:]
}

// first returns the rows of an id at the beginning.
func (r rows) first(i id) rows {
	n := 0
	for n < len(r) && r[n].id|keyBit(i) == i|keyBit(i) {
		n++
	}
	return r[:n]
}

// keyBit is the bit of a key by which rows of the same clients differ.
func keyBit(i id) id {
	if i.isKey() {
		return 1
	}
	return 0
}

// merge takes newer rows in, ordered alike, in place of older ones of the same id and source. What is of no weight any more, or
// more than there is room for, is left out; of the latter it says how many. The arguments stay as they are.
func merge(old, newer rows, epoch uint32, maxKeys, maxPrefixes int) (merged rows, dropped int) {
	merged = make(rows, 0, len(old)+len(newer))
	take := func(r row) {
		if r.now(epoch) >= leastEver {
			merged = append(merged, r)
		}
	}
	for len(old) > 0 && len(newer) > 0 {
		switch c := old[0].compare(newer[0]); {
		case c < 0:
			take(old[0])
			old = old[1:]
		case c == 0:
			old = old[1:]
		default:
			take(newer[0])
			newer = newer[1:]
		}
	}
	for _, r := range old {
		take(r)
	}
	for _, r := range newer {
		take(r)
	}
	keys := len(merged) - len(merged.from(prefixBit))
	room := func(part rows, most int) rows {
		if len(part) <= most {
			return part
		}
		dropped += len(part) - most
		return heaviest(part, epoch, most)
	}
	if keys <= maxKeys && len(merged)-keys <= maxPrefixes {
		return merged, 0
	}
	return append(room(merged[:keys:keys], maxKeys), room(merged[keys:], maxPrefixes)...), dropped
}

// heaviest returns so many of the rows as weigh most, in their order; of equal ones the first.
func heaviest(r rows, epoch uint32, most int) rows {
	var count [maxWeight + 1]int // by weight
	for i := range r {
		count[r[i].now(epoch)]++
	}
	least, room := int64(maxWeight), most
	for least > 0 && room >= count[least] {
		room -= count[least]
		least--
	}
	kept := make(rows, 0, most)
	for i := range r {
		switch w := r[i].now(epoch); {
		case w > least:
			kept = append(kept, r[i])
		case w == least && room > 0:
			room--
			kept = append(kept, r[i])
		}
	}
	return kept
}

// keys returns the keys whose rows tell of a place, the country's first; 0 for those that there are not.
func keys(p geo.Place) (country, asn id) {
	country = keyOf(p.Country, 0, p.Located)
	if p.ASN != 0 {
		asn = keyOf(p.Country, p.ASN, p.Located)
	}
	return country, asn
}
