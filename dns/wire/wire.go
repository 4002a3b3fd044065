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

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/rrl"
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

// The response codes that Answer gives (RFC 1035, section 4.1.1, RFC 6891, section 9, and RFC 7873, section 8).
const (
	NoError   = 0
	FormErr   = 1
	ServFail  = 2
	NXDomain  = 3
	NotImp    = 4
	Refused   = 5
	YXDomain  = 6
	BadVers   = 16
	BadCookie = 23
)

// A Drop says why a query is not answered.
type Drop uint8

const (
	Answered     Drop = iota
	DropShort         // no whole header: there is no ID to answer to
	DropResponse      // answering a response makes two servers talk for ever
)

// A Request is a query as it came, and what the transport adds to it.
type Request struct {
	Query     []byte
	Source    netip.Addr // never v4-mapped
	Limit     int        // bytes that the transport carries, at least 512; below MaxMessage the client's own limit counts too
	Random    uint32     // decides where a name leaves a choice: all its values must be equally likely
	Now       uint32     // Unix seconds, for cookies
	Stream    bool       // the source has been proven: TCP and what stands on it, QUIC
	Encrypted bool       // so that padding hides something
	Keepalive uint16     // how long an idle stream is kept, in 100 ms, for those who ask (RFC 7828); 0: it is not said

	Signer  Signer   // of the zones that we sign; nil: none are
	Scratch *Scratch // memory that Answer works in; nil: some is made

	RequireCookie bool // not over a stream: BADCOOKIE for who knows of cookies and has no good one (RFC 7873, section 5.2.3)
	Truncate      bool // leave all records out and say so
}

// An Outcome is what became of a query, for counting. Counters are numbers of Plan.Counters, -1 where none counts.
type Outcome struct {
	Drop         Drop
	Type         uint16 // of the question; 0 where it could not be read
	RCode        uint16
	Truncated    bool
	Pending      bool // a signature is missing, so the answer is of no use: ask again with a Signer that makes it
	Counter      int  // of the member whose addresses were given
	GroupCounter int  // of the group that the client is in

	Cookie     cookie.Verdict // None if cookies are off
	WithCookie bool           // the query had a client cookie
	Reported   bool           // the query reports an error (RFC 9567), and it is known who sends it: Plan.Reports reads the name
	InfoCode   uint16         // of the error
	Kind       rrl.Kind
	// Subject is what an attacker can't vary without asking for something else: the name of an answer, the zone of what a
	// wildcard made, of a name that does not exist and of a referral; else the root, or nothing where the question could
	// not be read. It is a part of Request.Query, in its case.
	Subject []byte
}

// Answer appends the answer to a request to dst and says what became of it; dst is returned as it was if there is none.
// A nil snapshot answers SERVFAIL. A nil identity has nothing to say of itself.
//
//	the query has                                     answer
//	fewer than 12 bytes, or QR set                    none
//	another opcode than QUERY                         NOTIMP, nothing but a header
//	no question, but a cookie                         NOERROR, BADCOOKIE for one that is not good; no records
//	QDCOUNT other than 1, an unreadable question      FORMERR, no question
//	records that end behind the message               FORMERR
//	bytes behind its last record                      they are ignored, as are records other than OPT
//	a bad OPT, client subnet, cookie or keepalive     FORMERR, see readOPT
//	EDNS version > 0                                  BADVERS
//	question type NXNAME                              FORMERR (RFC 9824, section 3.5)
//	question type OPT                                 FORMERR
//	another type of 128-254, but AXFR, IXFR           NOTIMP
//	AXFR, IXFR                                        REFUSED
//	another class than IN, CH or ANY                  REFUSED
//	a cookie that is not good, if one is required     BADCOOKIE
//	class CH                                          what the identity has, else REFUSED
//	a name outside our zones                          REFUSED
//	anything else                                     from the zone, see answer.find
func Answer(dst []byte, s *zones.Snapshot, id *Identity, r *Request) ([]byte, Outcome) {
	scratch := r.Scratch
	if scratch == nil {
		scratch = new(Scratch)
	}
	scratch.Request = *r
	dst = scratch.Answer(dst, s, id)
	return dst, scratch.Outcome
}

// Answer is the function Answer for x.Request; x.Outcome says what became of it. So neither is copied.
func (x *Scratch) Answer(dst []byte, s *zones.Snapshot, id *Identity) []byte {
	if id == nil {
		id = &nobody
	}
	r, a := &x.Request, &x.answer
	x.Outcome = Outcome{Counter: -1, GroupCounter: -1}
	*a = answer{} // a literal with fields would be made elsewhere and copied
	a.scratch, a.snapshot, a.signer, a.random, a.out = x, s, r.Signer, r.Random, &x.Outcome
	a.query.request, a.query.identity, a.query.faultInfo, a.query.name = r, id, infoNone, x.name[:0]
	if a.out.Drop = a.query.readHeader(r.Query); a.out.Drop != Answered {
		return dst
	}
	a.query.readBody(r.Query)
	a.out.Type, a.out.RCode = a.query.qtype, a.query.fault
	if a.query.edns.cookie != nil {
		a.out.Cookie, a.out.WithCookie = a.query.judgeCookie(), true
	}
	a.extended = a.query.faultInfo
	a.message.begin(dst, &a.query)
	if a.out.RCode == NoError {
		a.fill()
	}
	a.classify()
	if a.message.full || r.Truncate {
		a.message.truncate()
		a.out.Truncated, a.out.Counter, a.out.GroupCounter, a.out.Reported = true, -1, -1, false
		a.asks, a.note = false, nil // what leaves records out is to be short, and the client comes again
	}
	var channel []byte
	if a.asks {
		channel = s.Plan.Reports.Option
	}
	a.message.end(&a.query, a.out.RCode, a.authoritative && a.query.class != classANY, a.scope, a.extended, [2][]byte{a.note, channel})
	return a.message.bytes
}

// fill answers a query without fault.
func (a *answer) fill() {
	switch r := a.query.request; {
	case a.query.question == nil:
		if a.out.Cookie == cookie.Bad {
			a.out.RCode = BadCookie // RFC 7873, section 5.4
		}
	case r.RequireCookie && !r.Stream && a.out.WithCookie && !a.out.Cookie.Good():
		a.out.RCode = BadCookie
	case a.query.class == classCHAOS:
		a.chaos()
	default:
		a.find()
	}
}

// classify says what kind of answer it is, before it may be truncated. One of which nothing fitted is an answer or, without
// authority, a referral.
func (a *answer) classify() {
	counts, apex := &a.message.counts, 1
	if a.zone != nil && a.zone.Zone != nil {
		apex = len(a.zone.Apex)
	}
	whole := false // is the name that was asked for the subject?
	switch {
	case a.absent:
		a.out.Kind = rrl.NXDomain
	case a.out.RCode != NoError:
		a.out.Kind = rrl.Error
	case counts[sectionAnswer] == 0 && a.zone != nil && !a.authoritative:
		a.out.Kind = rrl.Referral
	case counts[sectionAnswer] == 0 && !a.message.full:
		a.out.Kind, whole = rrl.NoData, !a.wildcard
	default:
		a.out.Kind, whole = rrl.Answer, !a.wildcard
	}
	if a.query.question == nil {
		return
	}
	name := a.query.request.Query[headerSize : headerSize+len(a.query.name)]
	if !whole {
		name = name[len(name)-apex:]
	}
	a.out.Subject = name
}
