package server

import (
	"net/netip"
	"testing"
	"time"
)

// newcomer is a session of a client at an address.
func newcomer(from string) *session {
	return &session{transport: transportTCP, from: netip.AddrPortFrom(netip.MustParseAddr(from), 4053), end: func() {}}
}

func TestAdmit(t *testing.T) {
	var c clients
	c.init(Limits{Connections: 5, PerClient: 2, PerNetwork: 3})
	var open []*session
	for i, test := range []struct {
		reason string
		from   string
		drop   dropReason
		ok     bool
	}{
		{"the first", "192.0.2.1", 0, true},
		{"the first of a /64", "2001:db8:0:1::1", 0, true},
		{"the second of a /64", "2001:db8:0:1::2", 0, true},
		{"one too many of a /64", "2001:db8:0:1::3", dropPerClient, false},
		{"its neighbour in the /56", "2001:db8:0:2::1", 0, true},
		{"one too many of a /56", "2001:db8:0:3::1", dropPerNetwork, false},
		{"another /56", "2001:db8:0:100::1", 0, true},
	} {
		s := newcomer(test.from)
		evicted, drop, ok := c.admit(s)
		if evicted != nil || drop != test.drop || ok != test.ok {
			t.Errorf("%d, %s: admit(%s) = %v, %v, %v, want nobody out, %v, %v", i, test.reason, test.from, evicted, drop, ok, test.drop, test.ok)
		}
		if ok {
			open = append(open, s)
		}
	}
	c.leave(open[1])
	if _, _, ok := c.admit(newcomer("2001:db8:0:3::1")); !ok {
		t.Error("nobody of the /56 is let in when one of it has left")
	}
	c.hurry()
	c.leave(open[0])
	if _, _, ok := c.admit(newcomer("192.0.2.9")); ok {
		t.Error("a connection is let in while the server closes")
	}
}

// When all places are taken, who has been idle longest gives way; who is at work stays.
func TestEviction(t *testing.T) {
	var c clients
	c.init(Limits{Connections: 3, PerClient: 10, PerNetwork: 10})
	a, b, d := newcomer("192.0.2.1"), newcomer("192.0.2.2"), newcomer("192.0.2.3")
	for _, s := range []*session{a, b, d} {
		c.admit(s)
	}
	c.begin(b)
	c.begin(a)
	c.finish(a) // b works, d has been idle longest, then a
	for _, test := range []struct {
		reason string
		want   *session
	}{{"idle longest", d}, {"idle next", a}} {
		if got, _, ok := c.admit(newcomer("192.0.2.4")); got != test.want || !ok {
			t.Errorf("%s: admit() puts %v out, %v, want %v", test.reason, got, ok, test.want.from)
		}
	}
	for e := c.open.Front(); e != nil; e = e.Next() {
		e.Value.(*session).work.Store(1)
	}
	if got, drop, ok := c.admit(newcomer("192.0.2.5")); got != nil || drop != dropConnections || ok {
		t.Errorf("all at work: admit() = %v, %v, %v, want none", got, drop, ok)
	}
	c.leave(d) // it has left the table before
	if n := c.open.Len(); n != 3 || c.perNetwork[networkOf(a.from.Addr())] != 3 {
		t.Errorf("%d sessions, %v by network, want 3 of one", n, c.perNetwork)
	}
}

// A client that asks now and then keeps its place while ten times as many connections as there are places come and say
// nothing.
func TestEvictionIsFair(t *testing.T) {
	var c clients
	c.init(Limits{Connections: 100, PerClient: 100, PerNetwork: 100})
	good := newcomer("198.51.100.1")
	c.admit(good)
	for i := range 1000 {
		if _, _, ok := c.admit(newcomer(netip.AddrFrom4([4]byte{10, byte(i >> 6), byte(i), 1}).String())); !ok {
			t.Fatalf("connection %d is not let in", i)
		}
		if i%50 == 49 {
			c.begin(good)
			c.finish(good)
		}
	}
	if good.place == nil {
		t.Error("the client that asks is put out")
	}
}

func TestPatience(t *testing.T) {
	const idle, full = 10 * time.Second, 2 * time.Second
	for _, test := range []struct {
		open, most int
		want       time.Duration
	}{
		{0, 1000, idle}, {800, 1000, idle}, {801, 1000, idle - 40*time.Millisecond}, {900, 1000, 6 * time.Second}, {1000, 1000, full},
		{0, 1, idle}, {1, 1, full}, {4, 5, idle}, {5, 5, full},
	} {
		var c clients
		c.init(Limits{Connections: test.most, Idle: idle, IdleFull: full})
		c.count.Store(int64(test.open))
		if got := c.patience(); got != test.want {
			t.Errorf("%d of %d open: patience() = %v, want %v", test.open, test.most, got, test.want)
		}
	}
}
