package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that time can be the bubble's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, errors.New("refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble runs a gateway and one upstream without sockets. client is a connection to the gateway.
func bubble(t *testing.T, handle http.HandlerFunc, change func(*Config), run func(t *testing.T, g *Gateway, client net.Conn, r *bufio.Reader)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		front, behind := newPipes(), newPipes()
		server := &http.Server{Handler: handle}
		if handle != nil { // else nobody accepts
			go server.Serve(behind)
		}
		cfg := Config{Name: "one", Region: "east", Listeners: []net.Listener{front}, dial: behind.dial}
		if change != nil {
			change(&cfg)
		}
		g, err := Start(cfg, serving(in("east", "pipe:1")))
		if err != nil {
			t.Fatal(err)
		}
		c, err := front.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			c.Close()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			g.Shutdown(ctx)
			server.Close()
			behind.Close()
			time.Sleep(time.Minute) // for handlers that sleep
		}()
		run(t, g, c, bufio.NewReader(c))
	})
}

// expect reads one response and says how long it took.
func expect(t *testing.T, r *bufio.Reader, status int, after time.Duration) {
	t.Helper()
	start := time.Now()
	got := readReply(t, r, "GET")
	if took := time.Since(start); got.StatusCode != status || took != after {
		t.Errorf("%d after %v, want %d after %v", got.StatusCode, took, status, after)
	}
}

func expectEnd(t *testing.T, r io.Reader, after time.Duration) {
	t.Helper()
	start := time.Now()
	_, err := io.Copy(io.Discard, r)
	if took := time.Since(start); err != nil || took != after {
		t.Errorf("end %v after %v, want after %v", err, took, after)
	}
}

const getRoot = "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n"

func TestSlowHead(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost:")
		expectEnd(t, r, 10*time.Second)
	})
}

func TestIdleConnection(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) {}
	bubble(t, ok, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, getRoot)
		expect(t, r, 200, 0)
		expectEnd(t, r, 60*time.Second)
	})
}

func TestConnectTimeout(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, getRoot)
		expect(t, r, 502, time.Second)
	})
}

func TestResponseHeadTimeout(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	bubble(t, hang, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, getRoot)
		expect(t, r, 504, 30*time.Second)
	})
}

// A body may take any time, but not stand still.
func TestSlowRequestBody(t *testing.T) {
	swallow := func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }
	bubble(t, swallow, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10240\r\n\r\n")
		for range 10 {
			time.Sleep(9 * time.Second)
			io.WriteString(c, strings.Repeat("x", 1<<10))
		}
		expect(t, r, 200, 0)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\nx")
		expect(t, r, 408, 20*time.Second)
		expectEnd(t, r, 0)
	})
}

func TestSlowResponseBody(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		for range 10 {
			io.WriteString(w, "x")
			http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Second)
		}
		if r.URL.Path == "/stall" {
			time.Sleep(20 * time.Second) // and 50 before
		}
	}
	bubble(t, drip, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\n\r\nx") // a body that has ended sets no limit
		expect(t, r, 200, 500*time.Second)
		io.WriteString(c, "GET /stall HTTP/1.1\r\nHost: api.test\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got, err := io.ReadAll(resp.Body); err == nil || time.Since(start) != (9*50+61)*time.Second {
			t.Errorf("stalled body: %q, %v after %v, want an error after 511 s", got, err, time.Since(start))
		}
	})
}

// A client that does not read is cut, and does not hold the upstream.
func TestClientDoesNotRead(t *testing.T) {
	var gone chan time.Time
	flood := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				break
			}
		}
		gone <- time.Now()
	}
	bubble(t, flood, func(*Config) { gone = make(chan time.Time, 1) }, func(t *testing.T, _ *Gateway, c net.Conn, _ *bufio.Reader) {
		start := time.Now()
		io.WriteString(c, getRoot)
		if took := (<-gone).Sub(start); took < 60*time.Second || took > 61*time.Second {
			t.Errorf("the upstream was let go after %v, want 60 s", took)
		}
	})
}

// A client that leaves takes its trip with it, and is no fault of the endpoint.
func TestClientLeaves(t *testing.T) {
	var gone chan bool
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); gone <- true }
	bubble(t, hang, func(*Config) { gone = make(chan bool) }, func(t *testing.T, g *Gateway, c net.Conn, _ *bufio.Reader) {
		io.WriteString(c, getRoot)
		synctest.Wait()
		start := time.Now()
		c.Close()
		<-gone
		if took := time.Since(start); took != 0 {
			t.Errorf("the upstream heard of it after %v, want at once", took)
		}
		synctest.Wait()
		if n := g.requests.Load(); n != 0 {
			t.Errorf("%d requests under way, want 0", n)
		}
	})
}

// A response that does not wait for the body ends the exchange although the client sends no more.
func TestEarlyResponse(t *testing.T) {
	early := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // else this server drains the body first
		w.WriteHeader(413)
	}
	for _, length := range []string{"10", "1000000"} { // net/http drains the shorter
		bubble(t, early, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: "+length+"\r\n\r\nx")
			start := time.Now()
			got := readReply(t, r, "POST")
			io.Copy(io.Discard, r)
			if took := time.Since(start); got.StatusCode != 413 || took > time.Second {
				t.Errorf("%d, and the connection was closed after %v, want 413 and soon", got.StatusCode, took)
			}
		})
	}
}

// What nobody reads of a refused request is drained for a while only.
func TestUnreadBody(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 10\r\n\r\n")
		expect(t, r, 404, 0)
		start := time.Now()
		io.Copy(io.Discard, r)
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("the connection was closed after %v, want 10 s", took)
		}
	})
}

func TestTunnelIdle(t *testing.T) {
	accept := func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		io.Copy(io.Discard, rw) // it only listens: bytes one way keep the other way open
	}
	bubble(t, accept, nil, func(t *testing.T, g *Gateway, c net.Conn, r *bufio.Reader) {
		io.WriteString(c, handshake)
		if got := readHead(r); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
			t.Fatalf("head = %q", got)
		}
		for range 4 {
			time.Sleep(9 * time.Minute)
			if _, err := io.WriteString(c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		expectEnd(t, r, 10*time.Minute)
		synctest.Wait()
		if n := g.requests.Load(); n != 0 {
			t.Errorf("%d requests under way, want 0", n)
		}
	})
}

// A client that does not read what comes through the tunnel is cut as well.
func TestTunnelClientDoesNotRead(t *testing.T) {
	var gone chan time.Time
	flood := func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		for err == nil {
			_, err = c.Write(make([]byte, 1<<16))
		}
		gone <- time.Now()
	}
	bubble(t, flood, func(*Config) { gone = make(chan time.Time, 1) }, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		start := time.Now()
		io.WriteString(c, handshake)
		readHead(r)
		if took := (<-gone).Sub(start); took != 10*time.Minute {
			t.Errorf("the upstream was let go after %v, want 10 min", took)
		}
	})
}

// An endpoint that is out gets a probe request when its time has come.
func TestReadmission(t *testing.T) {
	var up, west *pipes
	serveOn := func(p *pipes, name string) *http.Server {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) })}
		s.SetKeepAlivesEnabled(false)
		go s.Serve(p)
		return s
	}
	var logs lockedBuffer
	bubble(t, nil, func(c *Config) {
		up, west = newPipes(), newPipes()
		up.Close()
		c.Logger = newTextLogger(&logs)
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "pipe:1" {
				return up.dial(ctx, network, address)
			}
			return west.dial(ctx, network, address)
		}
	}, func(t *testing.T, g *Gateway, c net.Conn, r *bufio.Reader) {
		other := serveOn(west, "west")
		defer other.Close()
		upstreams := in("east", "pipe:1")
		upstreams["west"] = []string{"pipe:2"}
		if err := g.SetRoutes(serving(upstreams)); err != nil {
			t.Fatal(err)
		}
		ask := func(want string) {
			t.Helper()
			io.WriteString(c, getRoot)
			if got := readReply(t, r, "GET"); got.body != want {
				t.Errorf("answered by %q, want %q", got.body, want)
			}
		}
		for range 3 {
			ask("west")
		}
		up = newPipes()
		own := serveOn(up, "east")
		defer own.Close()
		ask("west")
		time.Sleep(26 * time.Second)
		ask("west")
		time.Sleep(8 * time.Second)
		ask("east")
		ask("east")
		if got := logs.String(); !strings.Contains(got, "upstream ejected") || !strings.Contains(got, "upstream readmitted") || strings.Count(got, "\n") != 2 {
			t.Errorf("log = %s, want an ejection and a readmission", got)
		}
	})
}

func TestSamplesAreHandedOut(t *testing.T) {
	type batch struct {
		at      time.Duration
		samples []Sample
	}
	var got []batch
	var start time.Time
	bubble(t, nil, func(c *Config) {
		start = time.Now()
		c.Samples = func(s []Sample) { got = append(got, batch{time.Since(start), s}) }
	}, func(t *testing.T, g *Gateway, _ net.Conn, _ *bufio.Reader) {
		client := netip.MustParseAddr("8.8.8.8")
		time.Sleep(time.Second)
		g.samples.add(client, 5)
		time.Sleep(25 * time.Second) // the second interval saw none
		g.samples.add(client, 7)
	})
	prefix := netip.MustParsePrefix("8.8.8.0/24")
	want := []batch{{10 * time.Second, []Sample{{prefix, 5, 1}}}, {26 * time.Second, []Sample{{prefix, 7, 1}}}}
	if !slices.EqualFunc(got, want, func(a, b batch) bool { return a.at == b.at && slices.Equal(a.samples, b.samples) }) {
		t.Errorf("batches = %v, want %v: the last at the shutdown", got, want)
	}
}
