package server

import (
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

// A transport is how a query came.
type transport uint8

const (
	transportUDP transport = iota
	transportXDP
	transportTCP
	transportTLS
	transportHTTPS
	transportQUIC
)

var transportNames = [...]string{"udp", "xdp", "tcp", "dot", "doh", "doq"}

// A dropReason says why a query was not answered, or a client not served.
type dropReason uint8

const (
	dropShort       dropReason = iota // no whole header
	dropResponse                      // not a query
	dropPort                          // from port 0
	dropPanic                         // a bug in the answering
	dropSend                          // the answer could not be sent
	dropSlow                          // the client did not take the answer in time
	dropStalled                       // the client began a query and did not end it in time
	dropConnections                   // as many connections as allowed, all at work
	dropPerClient                     // as many connections of this client as allowed
	dropPerNetwork                    // as many connections of this client's network as allowed
	dropEvicted                       // idle longest when another client needed the place
	dropMaintain                      // as many requests about zones as allowed
	dropUnsigned                      // no signature could be made in time
	dropProtocol                      // what HTTP or QUIC carried is no query as their RFCs want it
)

var dropNames = [...]string{"short", "response", "source_port", "panic", "send", "slow_client", "slow_query",
	"connections", "connections_per_client", "connections_per_network", "evicted", "maintain", "unsigned", "protocol"}

// queryTypes are the types that are counted each by itself, by number. The others are other: clients may ask for any of
// 65536, and must not make as many time series.
var queryTypes = [...]string{
	0: "other", 1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
	39: "DNAME", 43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA",
	59: "CDS", 60: "CDNSKEY", 64: "SVCB", 65: "HTTPS", 99: "SPF", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}

// rcodeNames are those that dns/wire gives, and those that requests about zones may have (RFC 2136, section 2.2).
var rcodeNames = [wire.BadCookie + 1]string{
	wire.NoError: "NOERROR", wire.FormErr: "FORMERR", wire.ServFail: "SERVFAIL", wire.NXDomain: "NXDOMAIN",
	wire.NotImp: "NOTIMP", wire.Refused: "REFUSED", wire.BadVers: "BADVERS", wire.BadCookie: "BADCOOKIE",
	wire.YXDomain: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
}

// What cookies are worth, as indices of counters.cookies.
const (
	cookieNew = iota // a client cookie alone
	cookieBad
	cookieGood
)

var cookieNames = [...]string{cookieNew: "new", cookieBad: "bad", cookieGood: "good"}

// infoCodes are the codes of extended errors that are counted each by itself: those that are registered with IANA. The others are
// other, which is the last.
const infoCodes = 31

// infoIndex returns where a report of an error is counted.
func infoIndex(code uint16) int { return min(int(code), infoCodes) }

// infoName is the label of a counter of reports.
func infoName(i int) string {
	if i == infoCodes {
		return "other"
	}
	return strconv.Itoa(i)
}

// counters are what one worker counts. It alone writes them, so no cache line goes from one processor to another but
// when they are read.
type counters struct {
	_         cpu.CacheLinePad
	transport transport
	types     [len(queryTypes)]atomic.Uint64
	rcodes    [len(rcodeNames)]atomic.Uint64
	drops     [len(dropNames)]atomic.Uint64
	limited   [len(limitNames)]atomic.Uint64
	cookies   [len(cookieNames)]atomic.Uint64
	reports   [infoCodes + 1]atomic.Uint64
	truncated atomic.Uint64
	received  atomic.Uint64 // bytes
	sent      atomic.Uint64
	answers   atomic.Pointer[tally]
	ledger    *ledger
	_         cpu.CacheLinePad
}

// lineCounters fill a cache line. Memory in whole lines begins with one, so that two workers' tallies share none.
const lineCounters = int(unsafe.Sizeof(cpu.CacheLinePad{}) / unsafe.Sizeof(atomic.Uint64{}))

// A tally counts answers by the numbers of a plan's counters.
type tally struct {
	plan   *zones.Plan
	counts []atomic.Uint64
}

func (c *counters) drop(reason dropReason) { c.drops[reason].Add(1) }

// A burst is what was counted since it was last published: an atomic addition costs as much as the rest of the counting,
// and most queries of a batch are alike. The zero burst is empty.
type burst struct {
	received, sent uint64
	types, rcodes  streak
}

// A streak is how often the same was counted in succession.
type streak struct {
	at    int
	count uint64
}

func (s *streak) add(counts []atomic.Uint64, at int) {
	if at != s.at {
		s.publish(counts)
		s.at = at
	}
	s.count++
}

func (s *streak) publish(counts []atomic.Uint64) {
	if s.count > 0 {
		counts[s.at].Add(s.count)
		s.count = 0
	}
}

// publish adds what b has counted and empties it.
func (c *counters) publish(b *burst) {
	c.received.Add(b.received)
	c.sent.Add(b.sent)
	b.received, b.sent = 0, 0
	b.types.publish(c.types[:])
	b.rcodes.publish(c.rcodes[:])
}

// count counts a query that wire.Answer has seen.
func (c *counters) count(s *zones.Snapshot, o wire.Outcome, received, sent int) {
	var b burst
	c.countIn(&b, s, &o, received, sent)
	c.publish(&b)
}

// countIn is count, but what b holds is to be published later.
func (c *counters) countIn(b *burst, s *zones.Snapshot, o *wire.Outcome, received, sent int) {
	b.received += uint64(received)
	switch o.Drop {
	case wire.DropShort:
		c.drop(dropShort)
		return
	case wire.DropResponse:
		c.drop(dropResponse)
		return
	}
	b.types.add(c.types[:], typeIndex(o.Type))
	if sent > 0 {
		b.rcodes.add(c.rcodes[:], int(o.RCode))
	}
	b.sent += uint64(sent)
	if o.Truncated {
		c.truncated.Add(1)
	}
	if o.WithCookie {
		c.cookies[cookieIndex(o.Cookie)].Add(1)
	}
	if o.Reported {
		c.reports[infoIndex(o.InfoCode)].Add(1)
	}
	if o.Counter >= 0 {
		t := c.answers.Load()
		if t == nil || t.plan != s.Plan {
			t = c.ledger.turn(c, s.Plan)
		}
		t.counts[o.Counter].Add(1)
		if o.GroupCounter >= 0 {
			t.counts[o.GroupCounter].Add(1)
		}
	}
}

func cookieIndex(v cookie.Verdict) int {
	switch {
	case v.Good():
		return cookieGood
	case v == cookie.Bad:
		return cookieBad
	}
	return cookieNew
}

// typeIndex returns where a type is counted in queryTypes.
func typeIndex(qtype uint16) int {
	if int(qtype) < len(queryTypes) && queryTypes[qtype] != "" {
		return int(qtype)
	}
	return 0
}

// An answerKey is what answers are counted by for as long as the server runs, from one plan to the next.
type answerKey struct {
	pool, member string
	region       geo.RegionID
}

// A ledger knows the counters of all workers, and what they counted under earlier plans. That grows with the pools and
// members that were ever configured while the server ran.
type ledger struct {
	mu      sync.Mutex
	workers []*counters
	past    map[answerKey]uint64
	groups  map[Group]uint64 // that have not been taken yet
}

func newLedger() *ledger {
	return &ledger{past: make(map[answerKey]uint64), groups: make(map[Group]uint64)}
}

// open makes the counters of one more worker.
func (l *ledger) open(t transport) *counters {
	c := &counters{transport: t, ledger: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers = append(l.workers, c)
	return c
}

// turn begins a new tally for a worker, whose goroutine calls it.
func (l *ledger) turn(c *counters, plan *zones.Plan) *tally {
	n := len(plan.Counters)
	t := &tally{plan, make([]atomic.Uint64, n, (n+lineCounters-1)/lineCounters*lineCounters)}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.answers.Load().addTo(l.past)
	c.answers.Load().moveGroups(l.groups)
	c.answers.Store(t)
	return t
}

// answers returns how many answers were given with each member since the server began.
func (l *ledger) answers() map[answerKey]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sums := make(map[answerKey]uint64, len(l.past))
	for key, count := range l.past {
		sums[key] = count
	}
	for _, c := range l.workers {
		c.answers.Load().addTo(sums)
	}
	return sums
}

func (t *tally) addTo(sums map[answerKey]uint64) {
	if t == nil {
		return
	}
	for i := range t.counts {
		c := &t.plan.Counters[i]
		if count := t.counts[i].Load(); count > 0 && c.Member != "" {
			sums[answerKey{c.Pool, c.Member, c.Region}] += count
		}
	}
}

// A Group is clients of a pool with capacities, by the key of their group.
type Group struct {
	Pool string
	Key  uint64
}

// moveGroups adds what was counted of groups to sums, and counts from 0 again.
func (t *tally) moveGroups(sums map[Group]uint64) {
	if t == nil {
		return
	}
	for i := range t.counts {
		if c := &t.plan.Counters[i]; c.Member == "" {
			if n := t.counts[i].Swap(0); n > 0 {
				sums[Group{c.Pool, c.Group}] += n
			}
		}
	}
}

// TakeAnswersByGroup returns how many answers were given to each group of clients since the last time.
func (s *Server) TakeAnswersByGroup() map[Group]uint64 {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.workers {
		c.answers.Load().moveGroups(l.groups)
	}
	taken := l.groups
	l.groups = make(map[Group]uint64)
	return taken
}

// AnswersByRegion returns how many answers were given with members of each region since the server began.
func (s *Server) AnswersByRegion() map[geo.RegionID]uint64 {
	sums := make(map[geo.RegionID]uint64)
	for key, count := range s.ledger.answers() {
		if key.region != "" { // the last resort is nowhere
			sums[key.region] += count
		}
	}
	return sums
}
