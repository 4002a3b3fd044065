//go:build linux

package main

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

const (
	typeA    = 1
	typeAAAA = 28
)

// A form is what a query carries beside its question.
type form uint8

const (
	plain      form = iota
	withSubnet      // EDNS with a client subnet, an IPv4 /24 that is drawn for each sending (RFC 7871)
	withDO          // EDNS with the DO bit (RFC 3225)
)

// A want is what an answer has to be to count as right.
type want uint8

const (
	positive want = iota // NOERROR with records
	nodata               // NOERROR without
	nxdomain
	denied         // one or the other: compact denial says NOERROR of names that do not exist (RFC 9824)
	signedPositive // with a signature beside the records
	signedNodata   // with signatures of the SOA and NSEC records in the authority section
	signedDenied   // one as denied is, with such signatures
)

// A query is sent any number of times. The offsets say where each sending differs; 0 says that it does not.
type query struct {
	wire   []byte
	subnet int // three bytes of a client's network
	random int // a label of randomLabel letters
	want   want
}

const randomLabel = 12

// newQuery builds the query for a name without a last dot. A first label "?" is drawn for each sending.
func newQuery(name string, qtype uint16, f form, w want) query {
	q := query{want: w}
	b := make([]byte, 12, 128) // id and flags are zero: no recursion desired
	b[5] = 1
	for i, label := range strings.Split(name, ".") {
		if i == 0 && label == "?" {
			label, q.random = strings.Repeat("x", randomLabel), len(b)+1
		}
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, qtype)
	b = append(b, 0, 1)
	if f == plain {
		q.wire = b
		return q
	}
	b[11] = 1
	b = append(b, 0, 0, 41, 1232>>8, 1232&0xff, 0, 0, 0, 0) // OPT; RFC 6891, section 6.1.2
	switch f {
	case withSubnet:
		b = append(b, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 0, 0, 0)
		q.subnet = len(b) - 3
	case withDO:
		b[len(b)-2] = 0x80
		b = append(b, 0, 0)
	}
	q.wire = b
	return q
}

// put writes the query with an id, and with what is drawn, and returns its length.
func (q *query) put(b []byte, id uint16, random *rand.PCG) int {
	n := copy(b, q.wire)
	binary.BigEndian.PutUint16(b, id)
	if q.subnet > 0 {
		putSubnet(b[q.subnet:], random)
	}
	if q.random > 0 {
		bits := random.Uint64()
		for i := range randomLabel {
			b[q.random+i] = 'a' + byte(bits&0xf)
			bits >>= 4
		}
	}
	return n
}

// putSubnet draws a /24 that may be a client's: not of 0/8, 10/8, 127/8 or from 224/8 on.
func putSubnet(b []byte, random *rand.PCG) {
	bits := random.Uint64()
	for first := byte(bits); first == 0 || first == 10 || first == 127 || first >= 224; first = byte(bits) {
		bits = random.Uint64()
	}
	b[0], b[1], b[2] = byte(bits), byte(bits>>8), byte(bits>>16)
}

// right says whether a response, at least a header long, is what was wanted.
func (w want) right(response []byte) bool {
	rcode, records, authority := response[3]&0xf, binary.BigEndian.Uint16(response[6:]), binary.BigEndian.Uint16(response[8:])
	switch w {
	case positive:
		return rcode == 0 && records > 0
	case nodata:
		return rcode == 0 && records == 0
	case nxdomain:
		return rcode == 3
	case denied:
		return nodata.right(response) || nxdomain.right(response)
	case signedPositive:
		return rcode == 0 && records >= 2
	case signedNodata:
		return nodata.right(response) && authority >= 4
	default:
		return denied.right(response) && records == 0 && authority >= 4
	}
}
