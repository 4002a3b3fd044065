package server

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A session is one connection of a client, whatever the transport.
type session struct {
	transport transport
	from      netip.AddrPort
	end       func()        // closes the connection at once
	hurry     func()        // ends its wait for the next query; nil: there is another who does
	place     *list.Element // in clients.open; nil when it is not there, or no longer
	work      atomic.Int32  // queries that are being answered
	done      atomic.Int64  // queries that are not any more
	left      sync.Once
}

// clients are the sessions that are open.
type clients struct {
	mu         sync.Mutex
	limits     Limits
	open       list.List // of *session; the one that has been idle longest comes first
	count      atomic.Int64
	transports [len(transportNames)]int
	perClient  map[netip.Prefix]int
	perNetwork map[netip.Prefix]int
	hurried    bool
}

func (c *clients) init(limits Limits) {
	c.limits = limits
	c.open.Init()
	c.perClient = make(map[netip.Prefix]int)
	c.perNetwork = make(map[netip.Prefix]int)
}

// clientOf is what counts as one client: an IPv4 address, or the /64 that any one IPv6 host has to itself.
func clientOf(from netip.Addr) netip.Prefix { return prefixOf(from, 32, 64) }

// networkOf is what one customer of a provider may have to itself: he is several clients if he likes.
func networkOf(from netip.Addr) netip.Prefix { return prefixOf(from, 24, 56) }

func prefixOf(from netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits4
	if from.Is6() {
		bits = bits6
	}
	p, err := from.Prefix(bits)
	if err != nil {
		panic(err) // it is the address of a connection
	}
	return p
}

// admit takes a session in, if the limits of its client allow it. When all places are taken, the session that has been
// idle longest makes room: it leaves the table here, and the caller has to end it.
func (c *clients) admit(s *session) (evicted *session, reason dropReason, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, network := clientOf(s.from.Addr()), networkOf(s.from.Addr())
	switch {
	case c.hurried:
		return nil, dropConnections, false
	case c.perClient[client] >= c.limits.PerClient:
		return nil, dropPerClient, false
	case c.perNetwork[network] >= c.limits.PerNetwork:
		return nil, dropPerNetwork, false
	case c.open.Len() >= c.limits.Connections:
		if evicted = c.idlest(); evicted == nil {
			return nil, dropConnections, false
		}
		c.remove(evicted)
	}
	s.place = c.open.PushBack(s)
	c.transports[s.transport]++
	c.perClient[client]++
	c.perNetwork[network]++
	c.count.Store(int64(c.open.Len()))
	return evicted, 0, true
}

// idlest returns the session that has been idle longest; nil if all are at work.
func (c *clients) idlest() *session {
	for e := c.open.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*session); s.work.Load() == 0 {
			return s
		}
	}
	return nil
}

func (c *clients) leave(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.place != nil {
		c.remove(s)
	}
}

func (c *clients) remove(s *session) {
	c.open.Remove(s.place)
	s.place = nil
	c.transports[s.transport]--
	decrement(c.perClient, clientOf(s.from.Addr()))
	decrement(c.perNetwork, networkOf(s.from.Addr()))
	c.count.Store(int64(c.open.Len()))
}

func decrement(counts map[netip.Prefix]int, key netip.Prefix) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// begin notes that the session has a query to answer.
func (c *clients) begin(s *session) { s.work.Add(1) }

// finish notes that a query is answered. With the last one the session's idle time begins.
func (c *clients) finish(s *session) {
	s.done.Add(1)
	if s.work.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.place != nil {
		c.open.MoveToBack(s.place)
	}
}

// restless reports whether a session has not been idle for all of a time, at whose begin it had done so many queries.
func (s *session) restless(done int64) bool { return s.work.Load() > 0 || s.done.Load() > done }

// patience is how long a session may be idle at the moment: the fewer places are left, the shorter (RFC 7766, section
// 6.2.3). What was promised to a client earlier holds for its next query all the same, unless its place is needed.
func (c *clients) patience() time.Duration {
	l := c.limits
	eased := l.Connections * 8 / 10 // sessions that shorten nothing
	over := int(c.count.Load()) - eased
	if over <= 0 {
		return l.Idle
	}
	return l.Idle - (l.Idle-l.IdleFull)*time.Duration(over)/time.Duration(l.Connections-eased)
}

// setHurry changes how the session is hurried, and does it if it is time for that.
func (c *clients) setHurry(s *session, hurry func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.hurry = hurry
	if c.hurried && hurry != nil {
		hurry()
	}
}

// hurry wakes the sessions that wait for a query, and lets no more in. Answers on their way are still sent.
func (c *clients) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurried = true
	for e := c.open.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*session); s.hurry != nil {
			s.hurry()
		}
	}
}

// counts returns how many sessions each transport has.
func (c *clients) counts() [len(transportNames)]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transports
}

// enter takes a session in as clients.admit does, counts, and keeps Close waiting until the session leaves.
func (s *Server) enter(who *session) bool {
	evicted, reason, ok := s.clients.admit(who)
	if evicted != nil {
		s.shared[evicted.transport].drop(dropEvicted)
		evicted.end()
	}
	if !ok {
		s.shared[who.transport].drop(reason)
		return false
	}
	s.workers.Add(1)
	return true
}

// leave may be called more than once.
func (s *Server) leave(who *session) {
	who.left.Do(func() {
		s.clients.leave(who)
		s.workers.Done()
	})
}
