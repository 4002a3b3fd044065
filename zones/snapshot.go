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
	Spill     *Spill         // likewise; nil where nobody is full
	Digest    health.Hash64  // equal for equal answers, on every node; leaves signatures and the serials of WithSerials out
	Published time.Time

	dynamic dynamic   // see Challenge
	until   time.Time // when time alone changes what a pool answers; zero: never
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
	Until  time.Time      // when time alone changes them; zero: never
	Digest health.Hash64
}

// Choice returns what clients of a group are answered of a type, which PoolPlan.Answers.
func (p *PoolAnswers) Choice(g geo.GroupID, qtype uint16) *Choice {
	group := &p.Groups[g]
	switch {
	case qtype == p.Plan.Types[1] && qtype != 0:
		return &group.Families[1]
	case qtype == dns.TypeHTTPS && p.Plan.Pool.HTTPS != nil:
		return &group.HTTPS
	}
	return &group.Families[0]
}

// Composed calls yield with every set that is answered now and that PoolPlan.EverySet does not have: with several members, and HTTPS
// records.
func (p *PoolAnswers) Composed(yield func(*RecordSet) bool) {
	if p.Plan.Pool.Answers <= 1 && p.Plan.Pool.HTTPS == nil {
		return
	}
	for g := range p.Groups {
		group := &p.Groups[g]
		for _, c := range []*Choice{&group.Families[0], &group.Families[1], &group.HTTPS} {
			if !c.composed(yield) {
				return
			}
		}
	}
}

func (c *Choice) composed(yield func(*RecordSet) bool) bool {
	for i := range c.Options {
		if o := &c.Options[i]; (len(o.Members) > 1 || o.Set.Type == dns.TypeHTTPS) && !yield(o.Set) {
			return false
		}
	}
	for i := range c.Others {
		if !c.Others[i].Choice.composed(yield) {
			return false
		}
	}
	return true
}

// GroupAnswers is what clients of one group are answered.
type GroupAnswers struct {
	Families [2]Choice // IPv4, IPv6; but for addresses only the first
	HTTPS    Choice    // without options where the pool has none
	ByPrefix bool      // answers differ between the prefixes of the group, so scopes are no shorter than those
}

// A Choice is a weighted list of prebuilt answer sets of one family; without options it is NODATA.
type Choice struct {
	Rung    Rung
	Options []Option
	Total   uint32  // sum of the options' weights; 0 only without options
	Sticky  bool    // the client's prefix decides, not a random number
	Brief   bool    // NODATA that is not to be kept for long
	Others  []Other // what some prefixes are answered from instead; they do not overlap

	slots []uint8 // of a sticky choice whose options have several members: the option of each part of the prefixes
}

// An Other is a choice for the prefixes whose hash lies in a range of per mille.
type Other struct {
	From, To uint16
	Why      string // for people: "use1 comes back"
	Choice   Choice // without others
}

// An Option is one prebuilt answer.
type Option struct {
	Set     *RecordSet
	Weight  uint32
	Held    bool  // the status of a member is held, for want of vantages that are heard
	Members []int // numbers of the pool's leaves, one a record; none: the records are nobody's, such as the last resort

	seed uint64 // of its rendezvous
}

// FullRamp is all prefixes, in per mille.
const FullRamp = 1000

// A Rung is how far down the ladder a choice had to go.
type Rung uint8

const (
	RungUp         Rung = iota // members that are up, or not yet known within their time of grace
	RungTooFew                 // members that are up, but fewer than min_up
	RungHeldBack               // up again by the votes, but held back: by hold_down, or until somebody resumes it
	RungUnknown                // no evidence
	RungDrain                  // drained, but answering
	RungOpen                   // nothing is available: every permitted member is taken as up
	RungFenced                 // nothing is available that may serve clients from there: what the fence has
	RungLastResort             // nothing is available: the named addresses
	RungNoData                 // nothing to answer
)

var rungNames = [...]string{"up", "too few up", "held back", "unknown", "drain", "open", "fenced", "last resort", "nodata"}

func (r Rung) String() string { return rungNames[r] }

// MarshalText makes a rung its name in JSON.
func (r Rung) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// A Counter names one of the numbers that a nameserver counts: the answers with a member, or in a pool with capacities those to a group of
// clients.
type Counter struct {
	Pool   string
	Member string // endpoint, or "last_resort"; empty for a group's counter
	Region geo.RegionID
	Group  uint64 // key of the group
}

// Worst returns the lowest rung that clients of any group are answered from, among the families that its members have.
func (p *PoolAnswers) Worst() Rung {
	worst := RungUp
	for g := range p.Groups {
		for family := range p.Plan.Types {
			if p.Plan.groupHasFamily(g, family) {
				worst = max(worst, p.Groups[g].Families[family].Rung)
			}
		}
	}
	return worst
}
