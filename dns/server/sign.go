package server

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/dns/background"
	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/dns/wire"
)

// A Signing has the signatures of the zones that we sign.
type Signing struct {
	// Signer knows the signatures that are there. Nil: no zone is signed by us.
	Signer wire.Signer
	// Maker returns a Signer that makes what is not there, as long as allow says that it may.
	Maker func(allow func() bool) wire.Signer

	// What questions may make us sign, above what is signed ahead: signatures a second for each UDP worker of an address, default 4000; of them
	// for one network (IPv4 /24, IPv6 /56), default 500. Over that, an answer over UDP is truncated, so that the client comes by TCP,
	// and one over a stream waits, at most for signPatience, and is left out then.
	Rate       int
	PerNetwork int
}

const (
	// signQueue bounds the queries over UDP that wait to be signed.
	signQueue = 256
	// signPatience is how long a query of a stream waits for its turn.
	signPatience = 2 * time.Second
	signRetry    = 20 * time.Millisecond
)

// A later is a query over UDP whose answer is signed beside the worker that received it.
type later struct {
	query []byte
	from  netip.AddrPort
	to    netip.AddrPort
	reply func(message []byte) error
}

// budget bounds the signatures that questions cause.
type budget struct {
	empty atomic.Int64 // until when it is, in ns since the server began: who asks before takes no lock

	mu       sync.Mutex
	rate     float64 // per second
	most     float64 // that are left
	left     float64
	last     time.Duration // when left was reckoned last, since the server began
	networks *rrl.Table
}

func (b *budget) init(c Signing, workers int) {
	b.rate = float64(c.Rate * workers)
	b.most = max(1, b.rate/10)
	b.left = b.most
	limits := rrl.Default()
	limits.Rate, limits.Slip, limits.Leak = c.PerNetwork, 0, 0
	var seed [16]byte
	rand.Read(seed[:]) // never fails
	b.networks = rrl.New(limits, seed)
}

// take reports whether one more signature may be made for a client, now since the server began.
func (b *budget) take(from netip.Addr, now time.Duration) bool {
	if int64(now) < b.empty.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.most, b.left+b.rate*(now-b.last).Seconds())
	b.last = now
	if b.left < 1 {
		b.empty.Store(int64(now + time.Duration((1-b.left)/b.rate*float64(time.Second))))
		return false
	}
	if b.networks.Judge(from, rrl.Answer, nil, int64(now)+1) != rrl.Pass {
		return false
	}
	b.left--
	return true
}

// giveBack returns a signature that was taken and not made.
func (b *budget) giveBack(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.most, b.left+1)
	b.networks.GiveBack(b.networks.Bucket(from, rrl.Answer, nil))
}

// mayMake takes one signature for a client from the budget, and reports whether it was there.
func (s *Server) mayMake(from netip.Addr) bool {
	return s.budget.take(from, time.Since(s.began))
}

// signLater has a query over UDP signed and answered beside the worker, and reports whether there is room for it. Its first signature has
// been taken from the budget (mayMake): the worker itself sends who has none to TCP, with the rest of its batch.
func (s *Server) signLater(l later) bool {
	select {
	case s.unsigned <- l:
		return true
	default:
		s.budget.giveBack(l.from.Addr())
		return false
	}
}

// A grant is leave to make signatures for a client, the first of which may have been taken from the budget already.
type grant struct {
	server *Server
	from   netip.Addr
	taken  bool
}

// allow is what a Maker asks before each signature.
func (g *grant) allow() bool {
	if g.taken {
		g.taken = false
		return true
	}
	return g.server.mayMake(g.from)
}

// end gives back what was taken for nothing: many may ask for the same at once, and the first has it made for all.
func (g *grant) end() {
	if g.taken {
		g.server.budget.giveBack(g.from)
	}
}

// signUDP answers the queries whose signatures are missing, until the server closes.
func (s *Server) signUDP() {
	background.Thread() // whoever asks for names at random takes no time from the others
	var buffer [wire.MaxUDP]byte
	for {
		select {
		case <-s.ending.Done():
			return
		case l := <-s.unsigned:
			c := conversation{transport: transportUDP, from: l.from, to: l.to, limit: wire.MaxUDP}
			g := grant{server: s, from: l.from.Addr(), taken: true}
			answer, ok, pending := s.answerBy(s.config.Signing.Maker(g.allow), buffer[:0], l.query, &c, false)
			if pending {
				answer, ok, _ = s.answerBy(s.config.Signing.Signer, buffer[:0], l.query, &c, true)
			}
			g.end()
			if ok {
				s.countUnsent(transportUDP, l.reply(answer))
			}
		}
	}
}
