// Package health decides which checks are up from the verdicts of many vantages.
//
// A check is probed by several vantages in every region. Each vantage runs a Detector
// over its own results and publishes verdicts; every node merges the verdicts of all
// into a Table, and each table decides the status of every check by the votes of regions.
//
// It runs no probe, sends no message and reads no clock: time comes in as an argument.
// Merging is order-free: two tables that have seen the same verdicts hold the same
// verdicts, however they travelled. Silence never takes an endpoint down: without enough
// fresh vantages the last status is held, and shown as held.
package health

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A NodeID is the name of a node, as its certificate says it.
type NodeID string

// Roles is the set of what a node does.
type Roles uint8

const (
	RoleDNS Roles = 1 << iota
	RoleProbe
	RoleGateway
	RoleControl
)

// RoleNames are the names of the roles in configuration files and certificates.
var RoleNames = [...]string{"dns", "probe", "gateway", "control"}

// ParseRoles turns names into a set; the error names the first unknown one and the good ones.
func ParseRoles(names []string) (Roles, error) {
	var roles Roles
next:
	for _, name := range names {
		for i, known := range RoleNames {
			if name == known {
				roles |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("unknown role %q (have %s)", name, strings.Join(RoleNames[:], ", "))
	}
	return roles, nil
}

// Has reports whether all of other are in r.
func (r Roles) Has(other Roles) bool { return r&other == other }

// Names returns the names of the roles in r, in their fixed order.
func (r Roles) Names() []string {
	var names []string
	for i, name := range RoleNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// A Member is a node of the mesh.
type Member struct {
	Node    NodeID       `json:"node"`
	Region  geo.RegionID `json:"region"`
	Roles   Roles        `json:"-"`
	Address netip.Addr   `json:"address"` // where the mesh reaches it
	Key     [32]byte     `json:"-"`       // Ed25519 public key, of its certificate
}

// A CheckID names one target of one check: check/endpoint/family, "api/use1/ipv4".
type CheckID string

// Key is the 64-bit name of the check in messages.
func (c CheckID) Key() uint64 {
	h := fnv.New64a()
	h.Write([]byte(c))
	return h.Sum64()
}

// The kinds of probe.
const (
	KindHTTP  = "http"
	KindHTTPS = "https"
	KindTCP   = "tcp"
)

// A StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct {
	Low  int `json:"low"`
	High int `json:"high"`
}

// A Target is one thing to probe and how: a check applied to one address of one endpoint. It is immutable.
type Target struct {
	ID       CheckID        `json:"id"`
	Endpoint string         `json:"endpoint"`
	Region   geo.RegionID   `json:"region"` // of the endpoint
	Kind     string         `json:"kind"`
	Address  netip.AddrPort `json:"address"`

	Host         string        `json:"host,omitempty"`        // http, https, grpc: the Host header; default the address
	ServerName   string        `json:"server_name,omitempty"` // TLS: SNI and the name to verify; default Host
	SkipVerify   bool          `json:"skip_verify,omitempty"` // TLS: any certificate will do
	Path         string        `json:"path,omitempty"`        // http, https: request target
	ExpectStatus []StatusRange `json:"expect_status,omitempty"`
	ExpectBody   string        `json:"expect_body,omitempty"` // a substring of the first 5120 bytes; empty: any
	Options

	Interval time.Duration `json:"interval"`  // between probes that succeed; 1 s to 300 s
	Fall     int           `json:"fall"`      // consecutive failures until a vantage says down
	Rise     int           `json:"rise"`      // consecutive successes until a vantage says up
	HoldDown time.Duration `json:"hold_down"` // how long the vote must stay up until a recovered endpoint is up

	Rules Rules  `json:"rules"`
	Proof uint64 `json:"-"` // of what is checked, whatever the address: equal for all targets of one definition of one check
}

// Digest changes with everything that changes what a verdict on the target means. Verdicts count only under an equal digest.
func (t *Target) Digest() uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%q %q %v %q %q %v %q %v %q %v %d %d %t", t.ID, t.Kind, t.Address, t.Host, t.ServerName, t.SkipVerify,
		t.Path, t.ExpectStatus, t.ExpectBody, t.Interval, t.Fall, t.Rise, t.Rules.Damping)
	h.Write(t.Options.appendTo(nil))
	return h.Sum32()
}

// A State is what a vantage, a region or the quorum says of a check.
type State uint8

const (
	Unknown State = iota // no evidence
	Up
	Down
	Drain // the endpoint itself asks for no new clients
)

var stateNames = [...]string{"unknown", "up", "down", "drain"}

func (s State) String() string { return stateNames[s] }

// MarshalText makes a state its name in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Reason says why a probe ended as it did.
type Reason uint8

const (
	ReasonNone    Reason = iota // no evidence: this vantage can't or may not probe
	ReasonOK                    // answered as expected
	ReasonDrain                 // answered 503 with the drain header
	ReasonTimeout               // silence: no connection or no first byte in time
	ReasonRefused               // connection refused
	ReasonReset                 // connection broken after it stood
	ReasonNoRoute               // this vantage can't reach the network at all
	ReasonTLS                   // handshake or certificate
	ReasonStatus                // an answer that says it is ill: HTTP status, header, gRPC health, rcode, exit code
	ReasonBody                  // expected text or record missing
	ReasonOther
	ReasonDamped     // answers as expected, after it came and went too often
	ReasonReferences // no verdict: the vantage's reference targets fail
	ReasonAlone      // no verdict: the vantage sees most targets down that other regions see up
	ReasonNoFamily   // no verdict: the vantage can't reach any address of this family
)

var reasonNames = [...]string{"none", "ok", "drain", "timeout", "refused", "reset", "no route", "tls", "status", "body", "other",
	"damped", "references fail", "alone", "no such family"}

// String returns the name of the reason; of one that only a newer version knows, its number. Vantages of that version are
// understood all the same.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// MarshalText makes a reason its name in JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Positive reports whether the failure is an answer of the endpoint or its host rather than silence.
func (r Reason) Positive() bool {
	return r == ReasonRefused || r == ReasonReset || r == ReasonTLS || r == ReasonStatus || r == ReasonBody
}

// Abstains reports whether a vantage gives no verdict because it distrusts itself.
func (r Reason) Abstains() bool {
	return r == ReasonReferences || r == ReasonAlone || r == ReasonNoFamily
}

// A Result is the outcome of one probe.
type Result struct {
	Check      CheckID
	Definition uint32 // digest of the target that was probed
	Reason     Reason // ReasonOK, ReasonDrain or the kind of failure
	Detail     string // for people: at most 200 bytes
	Start      time.Time
	Connect    time.Duration // 0 where it was not reached
	TLS        time.Duration
	FirstByte  time.Duration
	Total      time.Duration

	CertificateEnds time.Time // when the first certificate of the chain that was shown expires; zero: none was seen
}

// An Assignment is what one vantage probes. It is immutable.
type Assignment struct {
	Targets []*Target // ordered by ID
}

// An Event is a line of the journal: a change that someone may ask about later.
type Event struct {
	Sequence uint64    `json:"sequence"` // rises by one in a node's journal
	Time     time.Time `json:"time"`
	Kind     EventKind `json:"kind"`
	Subject  string    `json:"subject"` // the check, pool, control or node
	Text     string    `json:"text"`

	Evidence *Evidence `json:"evidence,omitempty"` // of what is about a check; nil: there is none
}

// An EventKind is a constant name of what happened, also the metric's label.
type EventKind string

const (
	EventVerdict   EventKind = "verdict"   // this vantage changed its mind
	EventStatus    EventKind = "status"    // the quorum changed a check's status
	EventHeld      EventKind = "held"      // a status is held for want of fresh vantages, or no longer
	EventMass      EventKind = "mass"      // most targets went down at once on doubtful evidence and are held, or no longer
	EventFreeze    EventKind = "freeze"    // somebody froze all automatic change, or thawed it
	EventAbstain   EventKind = "abstain"   // this vantage distrusts itself and gives no verdicts, or gives them again
	EventDissent   EventKind = "dissent"   // a vantage says otherwise than all together for long, or no longer
	EventReach     EventKind = "reach"     // an endpoint is up only as seen from one region, or no longer
	EventRung      EventKind = "rung"      // a pool answers from another rung of its ladder
	EventSpill     EventKind = "spill"     // a member of a pool is full, or has room again
	EventControl   EventKind = "control"   // a routing control changed
	EventEndpoint  EventKind = "endpoint"  // a person set an endpoint by hand, or that expired
	EventLatch     EventKind = "latch"     // a member of a pool waits to be resumed by a person, or was resumed
	EventConfig    EventKind = "config"    // a configuration was taken or refused
	EventMember    EventKind = "member"    // a node joined or was lost
	EventMesh      EventKind = "mesh"      // UDP or TCP of the mesh fails with a node, or no longer; or its keys changed
	EventDropped   EventKind = "dropped"   // a message was refused
	EventZone      EventKind = "zone"      // a zone that is copied from others, or given to them
	EventRecovered EventKind = "recovered" // state was read from disk, or set aside as damaged
	EventKeys      EventKind = "keys"      // the DNSSEC keys of a zone changed, or wait for somebody
	EventClock     EventKind = "clock"     // this node's clock is off those of its peers, or no longer
)

// A Hash64 is a digest of 64 bits, shown as 16 hexadecimal digits.
type Hash64 uint64

func (h Hash64) String() string { return fmt.Sprintf("%016x", uint64(h)) }

// MarshalText makes a digest its digits in JSON.
func (h Hash64) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// mix64 spreads the bits of a number, so that XOR of mixed numbers serves as a digest of a set.
func mix64(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
