package static

import (
	"bytes"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// A chain is the denials of a zone that was signed before it came to us, in their order.
type chain struct {
	nodes      []uint32 // of the owners of NSEC or NSEC3 records
	rrtype     uint16   // which of the two
	salt       []byte
	iterations uint16
}

// maxIterations is how often a name is hashed at most: more makes us the victim of whoever asks (RFC 9276, section 3.2).
const maxIterations = 100

// Presigned reports whether the zone came with its own signatures and denials, which are served as they are.
func (z *Zone) Presigned() bool { return z.chain != nil }

// Hashed reports whether the denials of a presigned zone are NSEC3 records (RFC 5155).
func (z *Zone) Hashed() bool { return z.chain != nil && z.chain.rrtype == dns.TypeNSEC3 }

// chainOf finds the denials of a zone whose SOA is signed; nil where it is not. Names of NSEC3 records are no names that answer (RFC 5155,
// section 7.2.8).
func (b *Builder) chainOf(z *Zone) *chain {
	apex := Name{z.lookup(nil)}
	if _, signed := apex.Covering(dns.TypeSOA); !signed {
		return nil
	}
	c := &chain{rrtype: dns.TypeNSEC}
	if p, ok := apex.Set(dns.TypeNSEC3PARAM); ok {
		data := p.Bytes[FixedSize:]
		c.rrtype, c.iterations, c.salt = dns.TypeNSEC3, binary.BigEndian.Uint16(data[2:]), data[5:5+int(data[4])]
		if c.iterations > maxIterations {
			b.mistake(apex.Line(dns.TypeNSEC3PARAM), "%s NSEC3PARAM: %d iterations, at most %d are hashed for an answer (RFC 9276, section 3.2)",
				z.Origin, c.iterations, maxIterations)
		}
	}
	for _, s := range z.slots {
		if s == 0 {
			continue
		}
		n := z.nodeAt(s&atMask - 1)
		if _, ok := (Name{n}).Set(c.rrtype); !ok || n[0]&flagRemoved != 0 {
			continue
		}
		if c.rrtype == dns.TypeNSEC3 {
			n[0] |= flagOccluded
		}
		c.nodes = append(c.nodes, s&atMask-1)
	}
	slices.SortFunc(c.nodes, func(a, b uint32) int { return compareNames(z.nodeAt(a).name(), z.nodeAt(b).name()) })
	if len(c.nodes) == 0 {
		return nil
	}
	return c
}

// Denies returns the name whose NSEC or NSEC3 record matches a name of the zone, or covers it if there is no such. The name
// is in wire format and lower case. It must only be called for a presigned zone.
func (z *Zone) Denies(name []byte) (n Name, matches bool) {
	var hashed [33]byte
	key := name[:len(name)-len(z.Apex)]
	if z.Hashed() {
		z.chain.hash(&hashed, name)
		key = hashed[:]
	}
	i, found := slices.BinarySearchFunc(z.chain.nodes, key, func(at uint32, key []byte) int {
		return compareNames(z.nodeAt(at).name(), key)
	})
	if !found {
		if i == 0 {
			i = len(z.chain.nodes) // before the first NSEC3 comes the last
		}
		i--
	}
	return Name{z.nodeAt(z.chain.nodes[i])}, found
}

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// hash makes the label of a name's NSEC3 record (RFC 5155, section 5).
func (c *chain) hash(label *[33]byte, name []byte) {
	var input [255 + 255]byte
	n := copy(input[:], name)
	n += copy(input[n:], c.salt)
	sum := sha1.Sum(input[:n])
	for range c.iterations {
		n := copy(input[:], sum[:])
		n += copy(input[n:], c.salt)
		sum = sha1.Sum(input[:n])
	}
	label[0] = 32
	base32hex.Encode(label[1:], sum[:])
	appendLower(label[1:1], label[1:])
}

// compareNames puts names in canonical order (RFC 4034, section 6.1). They are in wire format, lower case, without the root.
func compareNames(a, b []byte) int {
	var startsA, startsB [128]uint8
	i, j := labelStarts(&startsA, a), labelStarts(&startsB, b)
	for i > 0 && j > 0 {
		i--
		j--
		x, y := a[startsA[i]:], b[startsB[j]:]
		if c := bytes.Compare(x[1:1+x[0]], y[1:1+y[0]]); c != 0 {
			return c
		}
	}
	return i - j
}

func labelStarts(starts *[128]uint8, name []byte) (n int) {
	for at := 0; at < len(name); at += 1 + int(name[at]) {
		starts[n] = uint8(at)
		n++
	}
	return n
}
