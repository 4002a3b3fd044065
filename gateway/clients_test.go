package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
)

// from is l with connections that come, in turn, from the addresses, the last for all that follow.
func from(l net.Listener, addresses ...string) net.Listener {
	return &turnstile{Listener: l, addresses: addresses}
}

type turnstile struct {
	net.Listener
	addresses []string
	taken     atomic.Int64
}

func (s *turnstile) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	turn := min(int(s.taken.Add(1)), len(s.addresses)) - 1
	return &disguised{c, netip.AddrPortFrom(netip.MustParseAddr(s.addresses[turn]), 1000)}, nil
}

type disguised struct {
	net.Conn
	client netip.AddrPort
}

func (d *disguised) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(d.client) }

func (d *disguised) SyscallConn() (syscall.RawConn, error) {
	return d.Conn.(syscall.Conn).SyscallConn()
}

func TestClientOf(t *testing.T) {
	for _, test := range []struct{ reason, address, want string }{
		{"IPv4", "192.0.2.1", "192.0.2.1/32"},
		{"IPv4 in IPv6", "::ffff:192.0.2.1", "192.0.2.1/32"},
		{"IPv6 by its /64", "2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"},
		{"without its zone", "fe80::1%eth0", "fe80::/64"},
		{"a trusted one is none", "10.0.0.1", "invalid Prefix"},
		{"a trusted one in IPv6", "::ffff:10.0.0.1", "invalid Prefix"},
		{"no socket", "", "invalid Prefix"},
	} {
		g := &Gateway{cfg: Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
		var peer netip.Addr
		if test.address != "" {
			peer = netip.MustParseAddr(test.address)
		}
		if got := g.clientOf(peer).String(); got != test.want {
			t.Errorf("%s: clientOf(%s) = %s, want %s", test.reason, test.address, got, test.want)
		}
	}
}

func TestTally(t *testing.T) {
	y := newTally(2)
	one, two := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i, test := range []struct {
		client netip.Prefix
		want   bool
	}{{one, true}, {one, true}, {one, false}, {two, true}, {netip.Prefix{}, true}, {netip.Prefix{}, true}, {netip.Prefix{}, true}} {
		if got := y.enter(test.client); got != test.want {
			t.Errorf("row %d: enter(%v) = %v, want %v", i, test.client, got, test.want)
		}
	}
	y.leave(one)
	if y.enter(one) {
		t.Error("two are left and one enters: enter = true, want false")
	}
	for range 3 {
		y.leave(one)
	}
	y.leave(two)
	y.leave(netip.Prefix{})
	if len(y.by) != 0 {
		t.Errorf("all have left, but there are %v", y.by)
	}
}

// One client cannot take what is for all.
func TestTooManyConnectionsOfOneClient(t *testing.T) {
	addresses := []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "10.0.0.1", "10.0.0.1"}
	h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) {
		c.Limits.ClientConnections = 1
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Listeners[0] = from(c.Listeners[0], addresses...)
	})
	for i, want := range []bool{true, false, true, true, false, true, true, true} {
		c, r := h.dial(t)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
		if _, err := r.Peek(1); (err == nil) != want {
			t.Errorf("connection %d, from %s: %v, want it served: %v", i, addresses[i], err, want)
		}
	}
	if got := h.metric(t, "connections_refused_total", "client"); got != 2 {
		t.Errorf("refused = %v, want 2", got)
	}
	if got := h.metric(t, "connections_refused_total", "all"); got != 0 {
		t.Errorf("refused for all = %v, want 0", got)
	}
}

// A connection that is over counts no more, nor does one that was refused.
func TestConnectionsOfOneClientAreLetGo(t *testing.T) {
	var front *pipes
	bubble(t, func(http.ResponseWriter, *http.Request) {}, func(c *Config) {
		front = c.Listeners[0].(*pipes)
		c.Limits.ClientConnections = 1
		c.Listeners[0] = from(front, "192.0.2.1")
	}, func(t *testing.T, g *Gateway, c net.Conn, r *bufio.Reader) {
		for range 3 {
			io.WriteString(c, getRoot)
			expect(t, r, 200, 0)
			refused, err := front.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			expectEnd(t, refused, 0)
			c.Close()
			synctest.Wait()
			if len(g.clientConnections.by)+len(g.clientRequests.by) != 0 {
				t.Fatalf("left are %v and %v, want nothing", g.clientConnections.by, g.clientRequests.by)
			}
			if c, err = front.dial(t.Context(), "", ""); err != nil {
				t.Fatal(err)
			}
			r.Reset(c)
		}
		c.Close()
	})
}

func TestTooManyRequestsOfOneClient(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	h := newHouse(t, in("east", newUpstreamServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case entered <- true:
		case <-r.Context().Done(): // of one that should not have come
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))), func(c *Config) {
		c.Limits.ClientRequests = 1
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Listeners[0] = from(c.Listeners[0], "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "10.0.0.1", "10.0.0.1", "192.0.2.1")
	})
	hold := func() (finish func()) {
		t.Helper()
		c, r := h.dial(t)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
		<-entered
		return func() {
			t.Helper()
			release <- true
			if got := readReply(t, r, "GET"); got.StatusCode != 200 {
				t.Errorf("a request within = %d, want 200", got.StatusCode)
			}
		}
	}
	first := hold()
	got := h.get(t, "/")
	if got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" || !strings.Contains(got.body, "too many requests of one client at once") {
		t.Errorf("over the limit: %d, Retry-After %q, %s, want 503, 1", got.StatusCode, got.Header.Get("Retry-After"), got.body)
	}
	if got := h.get(t, "/healthz", "User-Agent: Meridian-Health-Check/1"); got.StatusCode != 200 {
		t.Errorf("/healthz over the limit = %d, want 200", got.StatusCode)
	}
	others := []func(){hold(), hold(), hold()} // another client and a trusted one
	first()
	for _, finish := range others {
		finish()
	}
	hold()() // what is over counts no more
	if got := h.metric(t, "requests_refused_total", "client"); got != 1 {
		t.Errorf("refused = %v, want 1", got)
	}
}

// A tunnel counts as a request as long as it is open.
func TestTunnelsOfOneClient(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) { c.Limits.ClientRequests = 1 })
	c, r := h.dial(t)
	io.WriteString(c, handshake)
	if got := readHead(r); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		t.Fatalf("head = %q", got)
	}
	if got := h.get(t, "/"); got.StatusCode != 503 {
		t.Errorf("beside a tunnel: %d, want 503", got.StatusCode)
	}
}
