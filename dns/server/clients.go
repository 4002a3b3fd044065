package server

import (
	"net/netip"
	"sync"
	"time"
)

// A deadliner is what a connection must be able to do to be hurried.
type deadliner interface{ SetReadDeadline(time.Time) error }

// clients are the TCP connections that are open.
type clients struct {
	mu        sync.Mutex
	limits    TCPLimits
	open      map[deadliner]struct{}
	perClient map[netip.Prefix]int
	hurried   bool
}

func (c *clients) init(limits TCPLimits) {
	c.limits = limits
	c.open = make(map[deadliner]struct{})
	c.perClient = make(map[netip.Prefix]int)
}

// clientOf is what counts as one client: an IPv4 address, or the /64 that any one IPv6 host has to itself.
func clientOf(from netip.Addr) netip.Prefix {
	bits := 32
	if from.Is6() {
		bits = 64
	}
	p, err := from.Prefix(bits)
	if err != nil {
		panic(err) // it is the address of a connection
	}
	return p
}

// admit takes a connection in, if the limits allow it.
func (c *clients) admit(from netip.Addr, conn deadliner) (reason dropReason, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client := clientOf(from)
	switch {
	case c.hurried || len(c.open) >= c.limits.Connections:
		return dropConnections, false
	case c.perClient[client] >= c.limits.PerClient:
		return dropPerClient, false
	}
	c.open[conn] = struct{}{}
	c.perClient[client]++
	return 0, true
}

func (c *clients) leave(from netip.Addr, conn deadliner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client := clientOf(from)
	delete(c.open, conn)
	if c.perClient[client]--; c.perClient[client] == 0 {
		delete(c.perClient, client)
	}
}

// hurry wakes the connections that wait for a query, and lets no more in. Answers on their way are still sent.
func (c *clients) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurried = true
	for conn := range c.open {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // it may be closed already
	}
}

func (c *clients) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
