// Package wire turns the bytes of a query and a snapshot into the bytes of the answer.
//
// Answer parses the query, finds the name in the snapshot's zones and copies record sets
// that were packed when the snapshot was made. It opens no socket, reads no clock, draws no
// random number, writes no log line and allocates nothing.
//
// Equal arguments give equal bytes. Whatever the query holds, an answer is a well-formed
// message that is no longer than its transport and the client allow, carries the query's ID
// and, where that could be read, its question bit for bit. A response is never answered.
package wire

import (
	"net/netip"

	"github.com/meridian-gslb/meridian/zones"
)

const (
	// MaxMessage is the limit of the transports whose messages have a length of two bytes.
	MaxMessage = 65535
	// MaxUDP is the limit over UDP, and the size of a datagram that our EDNS option says we take: what passes every
	// common path in one piece.
	MaxUDP = 1232

	minMessage = 512 // every client takes this much (RFC 1035, section 4.2.1)
)

// The response codes that Answer gives (RFC 1035, section 4.1.1, and RFC 6891, section 9).
const (
	NoError  = 0
	FormErr  = 1
	ServFail = 2
	NXDomain = 3
	NotImp   = 4
	Refused  = 5
	BadVers  = 16
)

// A Drop says why a query is not answered.
type Drop uint8

const (
	Answered     Drop = iota
	DropShort         // no whole header: there is no ID to answer to
	DropResponse      // answering a response makes two servers talk for ever
)

// An Outcome is what became of a query, for counting. Counters are numbers of Plan.Counters, -1 where none counts.
type Outcome struct {
	Drop         Drop
	Type         uint16 // of the question; 0 where it could not be read
	RCode        uint16
	Truncated    bool
	Counter      int // of the member whose addresses were given
	GroupCounter int // of the group that the client is in
}

// Answer appends the answer to query to dst and says what became of it; dst is returned as it was if there is none.
// from is the source of the query, never v4-mapped. limit is the most that the transport carries, at least 512:
// MaxUDP or MaxMessage; below MaxMessage the client's own limit counts too. random decides where a name leaves a
// choice: all its values must be equally likely. A nil snapshot answers SERVFAIL.
//
//	the query has                                     answer
//	fewer than 12 bytes, or QR set                    none
//	another opcode than QUERY                         NOTIMP, nothing but a header
//	QDCOUNT other than 1, an unreadable question      FORMERR, nothing but a header
//	records that end behind the message               FORMERR
//	bytes behind its last record                      they are ignored, as are records other than OPT
//	a bad OPT or client subnet                        FORMERR, see readOPT and readSubnet
//	EDNS version > 0                                  BADVERS
//	question type NXNAME                              FORMERR (RFC 9824, section 3.5)
//	question type OPT                                 FORMERR
//	another type of 128-254, but AXFR, IXFR           NOTIMP
//	AXFR, IXFR                                        REFUSED
//	another class than IN or ANY                      REFUSED
//	a name outside our zones                          REFUSED
//	anything else                                     from the zone, see answer.find
func Answer(dst []byte, s *zones.Snapshot, query []byte, from netip.Addr, limit int, random uint32) ([]byte, Outcome) {
	a := answer{snapshot: s, random: random, out: Outcome{Counter: -1, GroupCounter: -1}}
	if a.out.Drop = a.query.readHeader(query); a.out.Drop != Answered {
		return dst, a.out
	}
	a.query.readBody(query)
	a.out.Type, a.out.RCode = a.query.qtype, a.query.fault
	a.client = zones.Client{Source: from, Subnet: a.query.edns.subnet}
	a.extended = a.query.faultInfo
	a.message.begin(dst, &a.query, limit)
	if a.out.RCode == NoError {
		a.find()
	}
	if a.message.full {
		a.message.truncate()
		a.out.Truncated, a.out.Counter, a.out.GroupCounter = true, -1, -1
	}
	a.message.end(&a.query, a.out.RCode, a.authoritative && a.query.class == classIN, a.scope, a.extended)
	return a.message.bytes, a.out
}
