package zones

import (
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A Snapshot is all that queries are answered from at one time. It is immutable: a health flip makes a new one
// that shares every zone, and every pool that the flip does not touch.
type Snapshot struct {
	Plan      *Plan
	Pools     []*PoolAnswers // by the plan's pool number
	Health    *health.View   // what the pools were decided by
	Control   *control.State // likewise; nil where none is known yet
	Digest    health.Hash64  // equal for equal answers, on every node; leaves signatures out
	Published time.Time
}

// A RecordSet is an RRset as it goes into a message.
type RecordSet struct {
	Type  uint16
	Count uint16
	TTL   uint32
	// Bytes are the records one after the other. Each owner is a compression pointer to the question's name
	// (offset 12); names in the data are not compressed. Owners are the offsets of those pointers, for a message in
	// which the owner stands elsewhere.
	Bytes     []byte
	Owners    []uint16
	Signature SignatureSlot
}

// AnyAnswer is the answer to a question for all types at a name that has some: HINFO "RFC8482" "" (RFC 8482, section 4.2).
var AnyAnswer = RecordSet{
	Type: dns.TypeHINFO, Count: 1, TTL: 3600, Owners: []uint16{0},
	Bytes: []byte("\xC0\x0C" + "\x00\x0D" + "\x00\x01" + "\x00\x00\x0E\x10" + "\x00\x09" + "\x07RFC8482" + "\x00"),
}

// A SignatureSlot is the number of a record set's signature among the cached ones; 0: not signed.
type SignatureSlot int32

// A ZoneData is the static part of a zone, compiled.
type ZoneData struct {
	Apex     string // wire format, lower case
	Origin   string // the same as text
	Serial   uint32
	Steers   bool
	Negative RecordSet // the SOA as it stands in negative answers (RFC 2308, section 3)
	Digest   health.Hash64
	names    map[string]*Name // by owner in wire format, lower case; empty non-terminals included
}

// A Name is all that a zone holds at one owner name. One without sets is an empty non-terminal, unless it steers.
type Name struct {
	Sets     []RecordSet // ordered by type
	Types    []uint16    // every type the name could have in any state of health, ascending
	Pool     int         // number of the pool that answers A and AAAA; -1: not steered
	Negative *RecordSet  // the SOA of a NODATA answer here
	Alias    []byte      // the target of the CNAME here, wire format in lower case; nil without
	Cut      *Delegation // below this name another zone begins; nil elsewhere
}

// Set returns the static set of a type; nil where there is none.
func (n *Name) Set(qtype uint16) *RecordSet {
	for i := range n.Sets {
		if n.Sets[i].Type == qtype {
			return &n.Sets[i]
		}
	}
	return nil
}

// A Delegation is a zone cut: the child's nameservers, and their addresses as far as they lie below the cut.
type Delegation struct {
	NS        RecordSet // owner pointers go to the cut's name
	DS        *RecordSet
	Glue      []byte // whole records with uncompressed owners
	GlueCount uint16
}

// PoolAnswers is all that one pool can answer at one time.
type PoolAnswers struct {
	Plan   *PoolPlan
	Groups []GroupAnswers // by GroupID
	Digest health.Hash64
}

// GroupAnswers is what clients of one group are answered.
type GroupAnswers struct {
	Families [2]Choice // IPv4, IPv6
}

// A Choice is a weighted list of prebuilt answer sets of one family; without options it is NODATA.
type Choice struct {
	Rung    Rung
	Options []Option
	Total   uint32 // sum of the options' weights; 0 only without options
}

// An Option is one prebuilt answer.
type Option struct {
	Set     *RecordSet
	Weight  uint32
	Ramp    uint16 // per mille of the client prefixes, by hash, that may be given it; 1000: all
	Member  int    // number of the member in its pool; -1: the last resort
	Counter int    // number of the counter of answers, see Plan.Counters
}

// FullRamp is the Ramp of an option that every client may be given.
const FullRamp = 1000

// Pick returns the option that a random number falls on: each has its weight's share of all numbers. It is nil for NODATA.
func (c *Choice) Pick(random uint32) *Option {
	if len(c.Options) == 0 {
		return nil
	}
	at := uint32(uint64(random) * uint64(c.Total) >> 32)
	for i := range c.Options {
		if at < c.Options[i].Weight {
			return &c.Options[i]
		}
		at -= c.Options[i].Weight
	}
	panic("zones: weights of a choice do not add up to its total")
}

// A Rung is how far down the ladder a choice had to go.
type Rung uint8

const (
	RungUp         Rung = iota // a member that is up, or not yet known within its time of grace
	RungHeldBack               // up again by the votes, but held back by hold_down
	RungUnknown                // no evidence
	RungDrain                  // drained, but answering
	RungOpen                   // nothing is available: every permitted member is taken as up
	RungLastResort             // nothing is available: the named addresses
	RungNoData                 // nothing to answer
)

var rungNames = [...]string{"up", "held back", "unknown", "drain", "open", "last resort", "nodata"}

func (r Rung) String() string { return rungNames[r] }

// MarshalText makes a rung its name in JSON.
func (r Rung) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// A Counter names one of the numbers that a nameserver counts: the answers with a member, or those to a group of clients.
type Counter struct {
	Pool   string
	Member string // endpoint, or "last_resort"; empty for a group's counter
	Region geo.RegionID
	Group  geo.GroupID
}

// Worst returns the lowest rung that clients of any group are answered from, among the families that its members have.
func (p *PoolAnswers) Worst() Rung {
	worst := RungUp
	for g := range p.Groups {
		for family := range familyTypes {
			if p.Plan.groupHasFamily(g, family) {
				worst = max(worst, p.Groups[g].Families[family].Rung)
			}
		}
	}
	return worst
}
