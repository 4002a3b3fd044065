package gateway

import (
	"bufio"
	"context"
	"encoding/hex"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/gateway/route"
	"github.com/meridian-gslb/meridian/zones"
)

func mustPath(t *testing.T, raw string) route.Path {
	t.Helper()
	p, err := route.ParsePath(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStartRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	registry := prometheus.NewRegistry()
	good := Config{Name: "one", Region: "east", Listeners: []net.Listener{l}, Registerer: registry}
	for _, test := range []struct {
		want   string
		change func(*Config, *zones.Gateway)
	}{
		{`gateway: name "a b": want letters, digits, . _ -`, func(c *Config, _ *zones.Gateway) { c.Name = "a b" }},
		{"gateway: one: needs a region and a listener", func(c *Config, _ *zones.Gateway) { c.Region = "" }},
		{"gateway: one: needs a region and a listener", func(c *Config, _ *zones.Gateway) { c.Listeners = nil }},
		{`gateway: route h/: unknown service "none"`, func(_ *Config, g *zones.Gateway) {
			g.Routes = []zones.Route{{Host: "h", Path: "/", Service: "none"}}
		}},
	} {
		cfg, g := good, zones.Gateway{}
		test.change(&cfg, &g)
		if _, err := Start(cfg, g); err == nil || err.Error() != test.want {
			t.Errorf("Start = %v, want %s", err, test.want)
		}
	}
	if families, _ := registry.Gather(); len(families) != 0 {
		t.Errorf("%d metrics are left registered, want 0", len(families))
	}
	registry = prometheus.NewRegistry()
	good.Registerer = registry
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_gateway_retries_total", Help: "x"}))
	if _, err := Start(good, zones.Gateway{}); err == nil {
		t.Error("Start with a metric of that name taken = nil, want an error")
	}
	if families, _ := registry.Gather(); len(families) != 1 {
		t.Errorf("%d metrics are left registered, want 1", len(families))
	}
}

func TestHealthAndDrain(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), nil)
	probe := func(request, body, drain string, status int) {
		t.Helper()
		got := h.raw(t, request+"\r\n\r\n")
		if got.StatusCode != status || got.Header.Get("Meridian-Drain") != drain || !strings.Contains(got.body, body) {
			t.Errorf("%s = %d, drain %q, %s, want %d, %q, %s", request, got.StatusCode, got.Header.Get("Meridian-Drain"), got.body, status, drain, body)
		}
	}
	probe("GET /healthz HTTP/1.1\r\nHost: any.test", `"ok"`, "", 200)
	probe("GET /healthz HTTP/1.0", `"ok"`, "", 200)
	probe("GET /x/../healthz HTTP/1.0", `"ok"`, "", 200)
	probe("HEAD /healthz HTTP/1.0", "", "", 200)
	probe("POST /healthz HTTP/1.0", `"GET and HEAD only"`, "", 405)
	h.Drain(true)
	if h.Ready() {
		t.Error("Ready while draining")
	}
	probe("GET /healthz HTTP/1.0", `"draining"`, "1", 503)
	probe("GET / HTTP/1.1\r\nHost: api.test", `"east"`, "", 200)
	h.Drain(false)
	probe("GET /healthz HTTP/1.0", `"ok"`, "", 200)
	if err := h.SetRoutes(zones.Gateway{}); err != nil {
		t.Fatal(err)
	}
	probe("GET /healthz HTTP/1.0", `"not ready"`, "", 503)
}

func TestSetRoutes(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "old")), nil)
	old := h.routes.Load().services["api"]
	if err := h.SetRoutes(zones.Gateway{Routes: []zones.Route{{Host: "*", Path: "/", Service: "x"}}}); err == nil {
		t.Error("SetRoutes of a mistake = nil, want an error")
	}
	if got := h.get(t, "/").echo(t).Region; got != "old" {
		t.Errorf("after a mistake: answered by %s, want old", got)
	}
	if err := h.SetRoutes(serving(in("east", newEcho(t, "new")))); err != nil {
		t.Fatal(err)
	}
	if got := h.get(t, "/").echo(t).Region; got != "new" {
		t.Errorf("answered by %s, want new", got)
	}
	if h.routes.Load().services["api"] != old {
		t.Error("a service that stays lost its state")
	}
}

func TestTooManyRequests(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	h := newHouse(t, in("east", newUpstreamServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- true
		<-release
	}))), func(c *Config) { c.Limits.Requests = 1 })
	c, r := h.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	<-entered
	if got := h.get(t, "/"); got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" {
		t.Errorf("over the limit: %d, Retry-After %q, want 503, 1", got.StatusCode, got.Header.Get("Retry-After"))
	}
	if got := h.get(t, "/healthz", "User-Agent: Meridian-Health-Check/1"); got.StatusCode != 200 {
		t.Errorf("/healthz over the limit = %d, want 200", got.StatusCode)
	}
	if got := h.metric(t, "requests_refused_total", "all"); got != 1 {
		t.Errorf("refused = %v, want 1", got)
	}
	release <- true
	if got := readReply(t, r, "GET"); got.StatusCode != 200 {
		t.Errorf("the one within = %d, want 200", got.StatusCode)
	}
	for range 2 { // what was refused or is over counts no more
		go func() { <-entered; release <- true }()
		if got := h.get(t, "/"); got.StatusCode != 200 {
			t.Errorf("later = %d, want 200", got.StatusCode)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) { c.Limits.Connections = 1 })
	c, r := h.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	readReply(t, r, "GET")
	_, second := h.dial(t)
	if _, err := second.ReadByte(); err == nil {
		t.Error("a connection over the limit was served")
	}
	if got := h.metric(t, "connections_refused_total", "all"); got != 1 {
		t.Errorf("refused = %v, want 1", got)
	}
}

func TestHeadTooLong(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) { c.Limits.HeadBytes = 4 << 10 })
	c, r := h.dial(t)
	go io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\nX: "+strings.Repeat("x", 16<<10))
	if got := readReply(t, r, "GET"); got.StatusCode != 431 {
		t.Errorf("status = %d, want 431", got.StatusCode)
	}
}

const handshake = "GET /chat HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func TestWebSocket(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), nil)
	c, r := h.dial(t)
	hello, _ := hex.DecodeString("818537fa213d7f9f4d5158") // RFC 6455, section 5.7: "Hello", masked
	io.WriteString(c, handshake+string(hello))             // the first frame may come with the head
	got := readHead(r)
	want := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	if got != want {
		t.Fatalf("head = %q, want %q", got, want)
	}
	for range 2 {
		frame := make([]byte, 7)
		if _, err := io.ReadFull(r, frame); err != nil || string(frame) != "\x81\x05Hello" {
			t.Fatalf("frame = %q, %v", frame, err)
		}
		c.Write(hello)
	}
	if got := h.metric(t, "websockets"); got != 1 {
		t.Errorf("websockets = %v, want 1", got)
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("after the shutdown: %v, want the end", err)
	}
}

func TestUpgradeNotGranted(t *testing.T) {
	for _, test := range []struct {
		reason, request, answer string
		status                  int
	}{
		{"the upstream refuses", handshake, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403},
		{"a 101 with another proof", handshake, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n", 502},
		{"a 101 to something else", handshake, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", 502},
		{"a status that is none", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", 502},
		{"a status below all", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", 502},
		{"a status that is none to a handshake", handshake, "HTTP/1.1 042 X\r\nContent-Length: 0\r\n\r\n", 502},
		{"a 101 nobody asked for", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502},
	} {
		addr, _ := newRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, test.answer)
		})
		h := newHouse(t, in("east", addr), nil)
		if got := h.raw(t, test.request); got.StatusCode != test.status {
			t.Errorf("%s: status = %d, want %d", test.reason, got.StatusCode, test.status)
		}
	}
}

// Shutdown takes no new connection, closes the idle, and lets what is under way finish.
func TestShutdown(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	h := newHouse(t, in("east", newUpstreamServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- true
		<-release
		io.WriteString(w, "done")
	}))), nil)
	idle, idleReader := h.dial(t)
	io.WriteString(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	readReply(t, idleReader, "GET")
	c, r := h.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	<-entered
	over := make(chan error)
	go func() { over <- h.Shutdown(t.Context()) }()
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v, want EOF", err)
	}
	if h.Ready() {
		t.Error("Ready while shutting down")
	}
	if c, err := net.Dial("tcp", h.addr); err == nil {
		c.Close()
		t.Error("a new connection was taken")
	}
	release <- true
	if got := readReply(t, r, "GET"); got.body != "done" || !got.Close {
		t.Errorf("under way: %q, close %v, want done, true", got.body, got.Close)
	}
	if err := <-over; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if families, _ := h.registry.Gather(); len(families) != 0 {
		t.Errorf("%d metrics are left registered", len(families))
	}
}

func TestShutdownCuts(t *testing.T) {
	entered := make(chan bool)
	h := newHouse(t, in("east", newUpstreamServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- true
		<-r.Context().Done()
	}))), nil)
	c, r := h.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Shutdown(ctx); err != context.Canceled {
		t.Errorf("Shutdown = %v, want %v", err, context.Canceled)
	}
	if b, err := r.ReadByte(); err == nil {
		t.Errorf("got %q, want a connection cut", b)
	}
}

func TestDigests(t *testing.T) {
	d := newDigests(2)
	for i, test := range []struct {
		client string
		rtt    time.Duration
		want   bool
	}{
		{"8.8.8.8", 30, true}, {"8.8.8.9", 10, true}, {"::ffff:8.8.8.10", 20, true},
		{"2600:1::1", 5, true}, {"2600:1:0:9::1", 7, true},
		{"9.9.9.9", 1, false}, // a third prefix
		{"127.0.0.1", 1, true}, {"10.0.0.1", 1, true}, {"fe80::1%eth0", 1, true},
	} {
		if got := d.add(netip.MustParseAddr(test.client), test.rtt); got != test.want {
			t.Errorf("row %d: add(%s) = %v, want %v", i, test.client, got, test.want)
		}
	}
	want := []Sample{{netip.MustParsePrefix("8.8.8.0/24"), 20, 1}, {netip.MustParsePrefix("2600:1::/48"), 7, 1}}
	if got := d.take(); !slices.Equal(got, want) {
		t.Errorf("take = %v, want %v", got, want)
	}
	for rtt := range time.Duration(100) {
		d.add(netip.MustParseAddr("8.8.8.8"), rtt)
	}
	if got, want := d.take(), []Sample{{netip.MustParsePrefix("8.8.8.0/24"), 92, 1}}; !slices.Equal(got, want) {
		t.Errorf("take = %v, want %v: the median of the last %d", got, want, digestSize)
	}
	d.add(netip.MustParseAddr("8.8.8.8"), time.Minute)
	if got, want := d.take(), []Sample{{netip.MustParsePrefix("8.8.8.0/24"), time.Second, 1}}; !slices.Equal(got, want) {
		t.Errorf("take = %v, want %v: a second is the most", got, want)
	}
}

func TestPropagation(t *testing.T) {
	for _, test := range []struct {
		reason       string
		least, usual uint32 // µs
		want         time.Duration
	}{
		{"the least, which a client that acknowledges late cannot raise", 20_000, 900_000, 20 * time.Millisecond},
		{"an old kernel has no least", 0, 30_000, 30 * time.Millisecond},
		{"the kernel has not measured a least yet", math.MaxUint32, 30_000, 30 * time.Millisecond},
		{"nothing measured", 0, 0, 0},
		{"nothing measured, said otherwise", math.MaxUint32, 0, 0},
	} {
		if got, ok := propagation(test.least, test.usual); got != test.want || ok != (test.want > 0) {
			t.Errorf("%s: propagation(%d, %d) = %v, %v, want %v", test.reason, test.least, test.usual, got, ok, test.want)
		}
	}
}

// A connection tells its time if and only if its first request went to a service.
func TestWhichConnectionsAreSampled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: round-trip times are known on Linux only")
	}
	for _, test := range []struct {
		reason string
		paths  []string
		want   int
	}{
		{"a service", []string{"/app"}, 1},
		{"a service, then the gateway", []string{"/app", "/healthz"}, 1},
		{"a probe", []string{"/healthz"}, 0},
		{"a probe, then a service", []string{"/healthz", "/app"}, 0},
		{"no route, then a service", []string{"/none", "/app"}, 0},
		{"refused for its path, then a service", []string{"/app/%00", "/app"}, 0},
	} {
		got := 0
		h := newHouse(t, in("east", newEcho(t, "east")), func(c *Config) {
			c.Samples = func(s []Sample) { got += len(s) } // read after the shutdown
			c.Listeners[0] = from(c.Listeners[0], "8.8.8.8")
		})
		g := serving(in("east", newEcho(t, "east")))
		g.Routes[1].Path = "/app"
		if err := h.SetRoutes(g); err != nil {
			t.Fatal(err)
		}
		c, r := h.dial(t)
		for _, path := range test.paths {
			io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: api.test\r\n\r\n")
			readReply(t, r, "GET")
		}
		if h.Shutdown(t.Context()); got != test.want { // which hands out the last samples
			t.Errorf("%s: %d prefixes sampled, want %d", test.reason, got, test.want)
		}
	}
}

func TestRoundTripTime(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east")), nil)
	c, r := h.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	readReply(t, r, "GET")
	rtt, ok := roundTripTime(c)
	if linux := runtime.GOOS == "linux"; ok != linux || ok && (rtt <= 0 || rtt > time.Second) {
		t.Errorf("roundTripTime = %v, %v", rtt, ok)
	}
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	if rtt, ok := roundTripTime(one); ok {
		t.Errorf("roundTripTime of a pipe = %v, want none", rtt)
	}
}
