// Package zones holds the declarative model of a world and compiles it, with health,
// routing controls and places, into the Snapshot that queries are answered from.
//
// Parse reads a world's files and reports every mistake at once. World.Compile does what
// health can't change: it packs the static records, folds the places of each pool into
// groups and orders each group's members into tiers. Plan.Publish does the rest whenever
// health or a control changes, for the pools that the change touches.
//
// The package opens no file, keeps no clock and starts no goroutine. Worlds, plans and
// snapshots are immutable, so any number of goroutines may read them; equal inputs give
// equal snapshots on every node. A policy failure is never NXDOMAIN or SERVFAIL, and an
// answer never holds a member whose routing control is off.
package zones

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/static"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A World is the whole configuration that all nodes share, as written. It is immutable.
type World struct {
	Regions     []Region // ordered by ID
	Checks      []Check  // ordered by name
	Pools       []Pool   // ordered by name
	Definitions control.Definitions
	Gateway     Gateway
	Zones       []Zone         // ordered by apex
	Catalogs    []Catalog      // ordered by apex
	Directories []string       // of whole zones
	Latency     []LatencyTable // in the order configured
	ReportAgent string         // to whom errors with the zones are reported; fully qualified, lower case; empty: nobody
	Digest      health.Hash64  // of all files and their names
	Warnings    []Problem      // what is allowed but probably not meant
	Refused     []Problem      // mistakes in zone files: those zones are as they were before, or without data

	written map[memberKey]strict.Position // where pools and their members are
}

// A LatencyTable is a file of round-trip times, as it was read.
type LatencyTable struct {
	*rtt.Table
	Version Version
}

// A Region is a place where Meridian runs nodes or endpoints.
type Region struct {
	ID         geo.RegionID
	At         geo.Coordinates
	Vantage    bool             // has probe nodes, and so a vote that is missed when it is silent
	References []netip.AddrPort // what its probe nodes connect to, to know whether they see the world at all
}

// A Check says how the endpoints of a pool are probed.
type Check struct {
	Name         string
	Kind         string // health.KindHTTP, …
	Port         uint16
	Path         string
	Host         string // Host header and SNI; empty: the endpoint's address
	ServerName   string // SNI; empty: Host
	SkipVerify   bool
	ExpectStatus []health.StatusRange
	ExpectBody   string
	health.Options
	Interval time.Duration
	Fall     int
	Rise     int
	HoldDown time.Duration
	Rules    health.Rules
	Group    *CheckGroup // of KindGroup; the rest is then unset
}

// A Policy says how a pool chooses among its members.
type Policy string

const (
	Failover     Policy = "failover"     // in the order written
	Weighted     Policy = "weighted"     // by relative weight; 0 is standby
	Geo          Policy = "geo"          // subdivision, country, continent, default
	Geoproximity Policy = "geoproximity" // by the distance from the client's place to the region, biased
	Latency      Policy = "latency"      // by the round-trip time from the client's place to the region
	CIDR         Policy = "cidr"         // by the client's prefix or AS number, default
	Multivalue   Policy = "multivalue"   // several, in any order
)

// What a pool answers when none of its members is available.
type AllDown string

const (
	Open       AllDown = "open"        // as if every permitted member were up
	LastResort AllDown = "last_resort" // a named set of addresses
	NoData     AllDown = "nodata"
)

// A View says whose verdicts decide for a client.
type View string

const (
	Global   View = "global"   // the quorum of all regions
	Regional View = "regional" // the vantages of the client's own region
)

// A Failback says how the clients of a failover pool return to a member that is preferred and has come back.
type Failback string

const (
	FailbackAuto   Failback = "auto"   // at once
	FailbackManual Failback = "manual" // when somebody resumes it
	FailbackRamp   Failback = "ramp"   // by and by, over slow_start
)

// A Kind says what records the members of a pool stand for.
type Kind string

const (
	Addresses Kind = "address" // A, AAAA
	Aliases   Kind = "cname"
	Servers   Kind = "srv"
	Mailers   Kind = "mx"
)

// A Pool is what a steered name answers from.
type Pool struct {
	Name        string
	Policy      Policy
	Kind        Kind
	Check       string // name of a check; empty: members are always up
	TTL         time.Duration
	WhenAllDown AllDown
	LastResort  []netip.Addr
	View        View
	Answers     int  // members that one answer has at most
	Sticky      bool // the client's prefix decides between members, not chance
	MinUp       MinUp
	Failback    Failback
	SlowStart   time.Duration // how long a member that comes back takes to have its whole share; 0: no time
	Explore     int           // per mille of the prefixes that are sent to a region which may be better than what is thought best
	HTTPS       *HTTPS        // nil: its names have no HTTPS records by it
	Members     []Member
}

// A MinUp is how many members must be up: a count, or if that is 0 a percentage of those that have the family.
type MinUp struct{ Count, Percent int }

// Of returns how many of so many members that is, at least 1.
func (m MinUp) Of(members int) int {
	return max(m.Count, (m.Percent*members+99)/100, 1)
}

// HTTPS is what the HTTPS records (RFC 9460) of a pool's names say beside its addresses.
type HTTPS struct {
	ALPN []string // protocols, the preferred one first
	Port uint16   // 0: 443
}

// A Member is an endpoint in a pool, or a pool in a pool.
type Member struct {
	Endpoint string // empty: a pool
	Pool     string
	Region   geo.RegionID
	Address  [2]netip.Addr // IPv4, IPv6; the zero Addr where it has none
	Target   *TargetData   // of members that are not addresses
	Probe    netip.Addr    // that checks probe; the zero Addr: its own
	Port     uint16        // that checks probe; 0: the check's own
	Weight   int           // 0 to 65535
	Capacity Capacity      // that it can take; the zero one: no limit
	Control  control.ControlID
	Enabled  bool

	// What a member of a geo pool serves.
	Subdivisions []string // ISO 3166-2
	Countries    []string // ISO 3166-1 alpha-2
	Continents   []string
	Default      bool   // also of a cidr pool
	Fence        *Fence // nil: who is matched by it may be served by members that match less

	// What a member of a cidr pool serves.
	Prefixes []netip.Prefix
	ASNs     []uint32

	Bias int // −99 to 99, of a member of a geoproximity pool: by how many percent its region seems nearer
}

// Name returns the name of the endpoint or the pool.
func (m *Member) Name() string { return cmp.Or(m.Endpoint, m.Pool) }

// TargetData is what a member's CNAME, SRV or MX record says.
type TargetData struct {
	Name     string // fully qualified, lower case
	Priority uint16 // SRV, MX (its preference)
	Weight   uint16 // SRV
	Port     uint16 // SRV
}

// A Fence is what clients are answered that no other member may serve, when none of those that match them best is available.
type Fence struct {
	Addresses []netip.Addr // none: NODATA
}

// Address families, as indices of Member.Address and the like.
const (
	IPv4 = iota
	IPv6
)

// FamilyNames end a CheckID and label answers. Pools of another kind than addresses have but the first family.
var FamilyNames = [...]string{"ipv4", "ipv6"}

// CheckID returns the name of the check of one family of one endpoint.
func CheckID(check, endpoint string, family int) health.CheckID {
	return health.CheckID(check + "/" + endpoint + "/" + FamilyNames[family])
}

// A Zone is one zone that we serve with authority.
type Zone struct {
	Apex   string       // fully qualified, lower case
	File   string       // name of the zone file in the world
	Steer  []Steer      // ordered by owner
	Sign   Algorithm    // of the keys that sign its answers; empty: they are not signed by us
	Static *static.Zone // its records; nil: its file has mistakes, so that nothing is known of it

	Transfer  *Transfer   // nil: to nobody
	Updates   []UpdateKey // ordered by key
	Copied    bool        // from others; then the file is not one of the world's
	Secondary []Primary   // nil: it is not copied, or because a catalog lists it

	Version Version       // of the file as it was read last
	stale   bool          // that has mistakes: the records are from before
	digest  health.Hash64 // of the file that the records are from
	wire    string        // the apex in wire format
	data    *ZoneData     // what does not depend on pools
}

// An Algorithm of DNSSEC keys, by its mnemonic (RFC 8624).
type Algorithm string

const (
	ECDSAP256SHA256 Algorithm = "ECDSAP256SHA256" // 13
	ED25519         Algorithm = "ED25519"         // 15
)

// A Steer answers one name from a pool.
type Steer struct {
	Owner string // fully qualified, lower case
	Pool  string
	Kind  Kind // of the pool; empty: addresses
	HTTPS bool // the pool has HTTPS records
}

// A Gateway is what every region's gateway does.
type Gateway struct {
	Services []Service // ordered by name
	Routes   []Route   // most specific first: exact host before wildcard, longer path before shorter
}

// A Service is what requests are proxied to.
type Service struct {
	Name      string
	Upstreams map[geo.RegionID][]string // host:port
}

// A Route sends the requests of a host and a path prefix to a service.
type Route struct {
	Host    string // lower case; "*.example.com" matches one label or more
	Path    string // prefix, on segment borders: /a matches /a and /a/b, not /ab
	Service string
}

// A Problem is a mistake or a warning at a place in a file.
type Problem = strict.Problem

// Problems are the error of a world with mistakes: one line each, ordered by file and line.
type Problems = strict.Problems
