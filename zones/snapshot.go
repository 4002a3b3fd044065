package zones

import (
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/static"
)

// A Snapshot is all that queries are answered from at one time. It is immutable: a health flip makes a new one
// that shares every zone, and every pool that the flip does not touch.
type Snapshot struct {
	Plan      *Plan
	Pools     []*PoolAnswers // by the plan's pool number
	Health    *health.View   // what the pools were decided by
	Control   *control.State // likewise; nil where none is known yet
	Digest    health.Hash64  // equal for equal answers, on every node; leaves signatures and the serials of WithSerials out
	Published time.Time

	dynamic dynamic // see Challenge
}

// A RecordSet is an RRset as it goes into a message.
type RecordSet = static.RecordSet

// AnyAnswer is the answer to a question for all types at a name that has some: HINFO "RFC8482" "" (RFC 8482, section 4.2).
var AnyAnswer = RecordSet{
	Type: dns.TypeHINFO, Count: 1, TTL: 3600,
	Bytes: []byte("\xC0\x0C" + "\x00\x0D" + "\x00\x01" + "\x00\x00\x0E\x10" + "\x00\x09" + "\x07RFC8482" + "\x00"),
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
	Held    bool   // the member's status is held, for want of vantages that are heard
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
