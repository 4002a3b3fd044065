package server

import (
	"crypto/tls"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// A conversation is what there is to know about a query beside its bytes.
type conversation struct {
	transport transport
	from      netip.AddrPort // never v4-mapped, without a zone
	to        netip.AddrPort // likewise; may be a wildcard
	limit     int            // bytes that the transport carries
	idle      time.Duration  // how long the client may wait with its next query; 0: that is not to be said
	tls       *tls.ConnectionState
}

// answer appends the answer to a query of any transport whose workers share their counters. There may be none: then out
// is returned as it was. It makes signatures that are missing, and may wait for its turn to do so.
func (s *Server) answer(out, query []byte, c *conversation) (_ []byte, ok bool) {
	answer, ok, pending := s.answerBy(s.config.Signing.Signer, out, query, c, false)
	if !pending {
		return answer, ok
	}
	g := grant{server: s, from: c.from.Addr()}
	maker := s.config.Signing.Maker(g.allow)
	for waited := time.Duration(0); waited < signPatience && s.ending.Err() == nil; waited += signRetry {
		if answer, ok, pending = s.answerBy(maker, out, query, c, false); !pending {
			return answer, ok
		}
		time.Sleep(signRetry)
	}
	s.shared[c.transport].drop(dropUnsigned)
	return out, false
}

// answerBy is answer by the signatures that a signer has. Pending: some are missing, and nothing was appended or counted.
func (s *Server) answerBy(signer wire.Signer, out, query []byte, c *conversation, truncate bool) (_ []byte, ok, pending bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.shared[c.transport].drop(dropPanic)
			s.logPanic(cause)
			ok, pending = false, false
		}
	}()
	snapshot := s.config.Snapshot()
	now := time.Now()
	answered, outcome := wire.Answer(out, snapshot, s.identityAt(now), &wire.Request{
		Query: query, Source: c.from.Addr(), Limit: c.limit, Random: rand.Uint32(), Now: uint32(now.Unix()), Signer: signer, Truncate: truncate,
		Stream: c.transport != transportUDP, Encrypted: c.transport > transportTCP, Keepalive: keepaliveOf(c.idle),
	})
	if outcome.Pending && !truncate {
		return out, false, true
	}
	size := len(answered) - len(out)
	s.shared[c.transport].count(snapshot, outcome, len(query), size)
	if outcome.Reported {
		s.reporter.tell(snapshot, query, c.from.Addr(), int64(now.Sub(s.began))+1)
	}
	s.recorder.Record(transportNames[c.transport], c.from, c.to, now, query, answered[len(out):])
	return answered, size > 0, false
}

// sharedCounters are the counters of all connections of a transport: those of UDP have one writer each, these take turns.
type sharedCounters struct {
	sync.Mutex
	*counters
}

func (c *sharedCounters) drop(reason dropReason) { c.counters.drop(reason) }

func (c *sharedCounters) count(s *zones.Snapshot, o wire.Outcome, received, sent int) {
	c.Lock()
	defer c.Unlock()
	c.counters.count(s, o, received, sent)
}
