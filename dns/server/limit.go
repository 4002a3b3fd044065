package server

import (
	"crypto/rand"
	"net/netip"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// A RateMode says what becomes of answers over the bound.
type RateMode string

const (
	RateLog RateMode = "log" // they go out, and what would have become of them is counted
	RateOn  RateMode = "on"  // they are left out or truncated
	RateOff RateMode = "off" // there is no bound
)

// A RateLimit bounds the answers that any one network is sent over UDP. Streams and good cookies are exempt: their source
// is not forged.
//
// Each worker has a table of its own, so that none waits for another and no cache line is shared. The kernel spreads the
// queries of a network over the workers of an address by their source ports; each gets its part of the rate. A network that
// asks from one port alone is therefore bounded to the rate divided by the workers.
type RateLimit struct {
	Mode   RateMode // default RateLog
	Limits rrl.Limits
}

// What becomes of answers over the bound; Pass has no name, for it is not counted.
var limitNames = [...]string{rrl.Leak: "leak", rrl.Slip: "slip", rrl.Drop: "drop"}

const (
	// A worker is under load from busyBatches full batches on: so many queries have come without a pause between them.
	busyBatches = 32
	maxBusy     = 2 * busyBatches
	// It is so too for as long after an answer was over the bound.
	overFor = int64(time.Second)
)

// A limiter answers one UDP worker's queries and bounds the answers. It belongs to the worker.
type limiter struct {
	_        cpu.CacheLinePad
	counters *counters
	burst    burst      // what was counted since publish
	table    *rrl.Table // nil: no bound
	enforce  bool
	demand   bool // BADCOOKIE under load

	busy    int   // batches
	over    int64 // when an answer was over the bound last, in ns of now
	now     int64 // ns since the server began
	id      *wire.Identity
	scratch wire.Scratch

	reporter *reporter
	recorder Recorder       // nil: none
	wall     time.Time      // now
	to       netip.AddrPort // may be a wildcard
	_        cpu.CacheLinePad
}

// newLimiter makes the limiter of a worker at an address.
func (s *Server) newLimiter(c *counters, to netip.AddrPort) *limiter {
	l := &limiter{counters: c, enforce: s.config.RRL.Mode == RateOn, demand: s.config.BadCookie, over: -overFor, reporter: &s.reporter, to: to}
	if s.config.Recorder != nil {
		l.recorder = s.config.Recorder()
	}
	if s.config.RRL.Mode != RateOff {
		var seed [16]byte
		rand.Read(seed[:]) // never fails
		limits := s.config.RRL.Limits
		limits.Rate = max(1, limits.Rate/s.config.UDPWorkers)
		l.table = rrl.New(limits, seed)
	}
	return l
}

// begin is called for each batch: it reads the clock for all of its queries. full says that more of them may wait.
func (l *limiter) begin(s *Server, full bool) {
	now := time.Now()
	l.wall, l.now = now, int64(now.Sub(s.began))+1
	l.id = s.identityAt(now)
	if full {
		l.busy = min(l.busy+1, maxBusy)
	} else {
		l.busy /= 2
	}
	l.scratch.Request = wire.Request{
		Limit: wire.MaxUDP, Now: uint32(now.Unix()), RequireCookie: l.demand && l.loaded(), Signer: s.config.Signing.Signer,
	}
}

// publish shows what was counted to those who read the counters.
func (l *limiter) publish() { l.counters.publish(&l.burst) }

func (l *limiter) loaded() bool { return l.busy >= busyBatches || l.now-l.over < overFor }

// A draft is an answer of which is not decided yet whether it goes out.
type draft struct {
	query   []byte
	from    netip.AddrPort
	random  uint32
	answer  []byte // empty: there is none
	outcome wire.Outcome
	bounded bool
	bucket  rrl.Bucket // if it is bounded
}

// draft makes the answer to the query of d behind dst.
func (l *limiter) draft(d *draft, dst []byte, s *zones.Snapshot) {
	d.answer = l.ask(d, dst, s, false)
	d.bounded = len(d.answer) > 0 && l.table != nil && !d.outcome.Cookie.Good()
	if d.bounded {
		d.bucket = l.table.Bucket(d.from.Addr(), d.outcome.Kind, d.outcome.Subject)
	}
}

// ask returns the answer to a draft's query behind dst.
func (l *limiter) ask(d *draft, dst []byte, s *zones.Snapshot, truncate bool) []byte {
	r := &l.scratch.Request
	r.Query, r.Source, r.Random, r.Truncate = d.query, d.from.Addr(), d.random, truncate
	answer := l.scratch.Answer(dst, s, l.id)
	d.outcome = l.scratch.Outcome
	return answer
}

// settle decides what is sent, and counts it; empty: nothing is. Pending: signatures are missing, and nothing was counted.
func (l *limiter) settle(d *draft, s *zones.Snapshot) (answer []byte, pending bool) {
	answer = d.answer
	if d.bounded {
		if action := l.table.Take(d.bucket, d.from.Addr(), l.now); action != rrl.Pass {
			answer = l.limit(action, d, s)
		}
	}
	if d.outcome.Pending && len(answer) > 0 && !d.outcome.Truncated {
		return nil, true
	}
	l.counters.countIn(&l.burst, s, &d.outcome, len(d.query), len(answer))
	if d.outcome.Reported {
		l.reporter.tell(s, d.query, d.from.Addr(), l.now)
	}
	if l.recorder != nil {
		l.recorder.Record(transportNames[transportUDP], d.from, l.to, l.wall, d.query, answer)
	}
	return answer, false
}

// truncated makes an answer without records instead: the client is to come by TCP.
func (l *limiter) truncated(d *draft, s *zones.Snapshot) []byte {
	answer := l.ask(d, d.answer[:0], s, true)
	l.counters.countIn(&l.burst, s, &d.outcome, len(d.query), len(answer))
	return answer
}

// limit does to an answer over the bound what was decided.
func (l *limiter) limit(action rrl.Action, d *draft, s *zones.Snapshot) []byte {
	l.counters.limited[action].Add(1)
	l.over = l.now
	switch {
	case !l.enforce || action == rrl.Leak:
		return d.answer
	case action == rrl.Drop:
		d.outcome.Counter, d.outcome.GroupCounter = -1, -1
		return nil
	}
	return l.ask(d, d.answer[:0], s, true)
}
