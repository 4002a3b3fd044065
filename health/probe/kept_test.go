package probe

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A server of a test counts its connections.
type counted struct {
	net.Listener
	accepted atomic.Int64
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.accepted.Add(1)
	}
	return conn, err
}

func TestKeepAlive(t *testing.T) {
	for _, row := range []struct {
		why    string
		tls    bool
		handle func(w http.ResponseWriter, r *http.Request, n int) // of the nth request
		target health.Target
		probes int
		conns  int64
		reason health.Reason
		detail string
	}{
		{"one connection for many probes", false, func(w http.ResponseWriter, _ *http.Request, _ int) { io.WriteString(w, "fine") }, health.Target{}, 5, 1, health.ReasonOK, "status 200"},
		{"also with TLS", true, func(w http.ResponseWriter, _ *http.Request, _ int) { io.WriteString(w, "fine") }, health.Target{SkipVerify: true}, 5, 1, health.ReasonOK, "status 200"},
		{"what follows the text is read", false, func(w http.ResponseWriter, _ *http.Request, _ int) {
			io.WriteString(w, "fine"+strings.Repeat("x", 20000))
		}, health.Target{ExpectBody: "fine"}, 3, 1, health.ReasonOK, "status 200, expected text found"},
		{"but not without an end", false, func(w http.ResponseWriter, _ *http.Request, _ int) {
			io.WriteString(w, "fine"+strings.Repeat("x", 200000))
		}, health.Target{ExpectBody: "fine"}, 3, 3, health.ReasonOK, "status 200, expected text found"},
		{"the server wants to close", false, func(w http.ResponseWriter, _ *http.Request, _ int) { w.Header().Set("Connection", "close") }, health.Target{}, 3, 3, health.ReasonOK, "status 200"},
		{"the server closes without an answer, once", false, func(w http.ResponseWriter, _ *http.Request, n int) {
			if n == 2 {
				panic(http.ErrAbortHandler)
			}
		}, health.Target{}, 3, 2, health.ReasonOK, "status 200"},
		{"a server that has had enough of waiting", false, func(w http.ResponseWriter, _ *http.Request, n int) {
			if n == 2 {
				w.Header().Set("Connection", "close")
				w.WriteHeader(408)
			}
		}, health.Target{}, 3, 2, health.ReasonOK, "status 200"},
		{"a status that is not expected ends the connection", false, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(500) }, health.Target{}, 2, 2, health.ReasonStatus, "status 500, expected 200-399"},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		count := &counted{Listener: listener}
		var n atomic.Int64
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { row.handle(w, r, int(n.Add(1))) }))
		server.Listener.Close()
		server.Listener = count
		server.Config.ErrorLog = silentLog
		target := row.target
		if target.Kind = health.KindHTTP; row.tls {
			target.Kind = health.KindHTTPS
			server.StartTLS()
		} else {
			server.Start()
		}
		target.Address, target.KeepAlive, target.Interval = address(listener.Addr()), true, 10*time.Second
		w := wireOf(Config{})
		for i := range row.probes {
			got := attempt(t.Context(), &target, 0, w)
			expect(t, fmt.Sprintf("%s, probe %d", row.why, i+1), got, row.reason, row.detail)
			if row.tls && got.CertificateEnds.IsZero() {
				t.Errorf("%s, probe %d: no certificate", row.why, i+1)
			}
		}
		if got := count.accepted.Load(); got != row.conns {
			t.Errorf("%s: %d connections, want %d", row.why, got, row.conns)
		}
		w.keeper.close()
		server.Close()
	}
}

// The server closes a kept connection while no probe is under way, or at the request.
func TestKeptConnectionThatWasClosed(t *testing.T) {
	for _, row := range []struct {
		why    string
		second func(*net.TCPConn) // with the first connection, after its first answer
	}{
		{"closed", func(c *net.TCPConn) { c.Close() }},
		{"reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
		{"closed with a last word", func(c *net.TCPConn) {
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
			c.Close()
		}},
		{"closed at the next request", func(c *net.TCPConn) { c.Read(make([]byte, 4096)); c.Close() }},
		{"reset at the next request", func(c *net.TCPConn) { c.Read(make([]byte, 10)); c.SetLinger(0); c.Close() }},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		did, conns := make(chan struct{}), 0
		served.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conns++
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				if conns == 1 {
					served.Go(func() {
						if !strings.Contains(row.why, "request") {
							row.second(conn.(*net.TCPConn))
							close(did)
						} else {
							close(did)
							row.second(conn.(*net.TCPConn))
						}
					})
				} else {
					conn.Close()
				}
			}
		})
		target := &health.Target{Kind: health.KindHTTP, Address: address(listener.Addr()), Interval: 10 * time.Second, Options: health.Options{KeepAlive: true}}
		w := wireOf(Config{})
		expect(t, row.why, attempt(t.Context(), target, 0, w), health.ReasonOK, "status 200")
		<-did
		expect(t, row.why+", second probe", attempt(t.Context(), target, 0, w), health.ReasonOK, "status 200")
		w.keeper.close()
		listener.Close()
		served.Wait()
		if conns != 2 {
			t.Errorf("%s: %d connections, want 2", row.why, conns)
		}
	}
}

// A keeper is asked by many probes at once, and closes what it is given when it is closed.
func TestKeeper(t *testing.T) {
	var nothing *keeper
	if nothing.take() != nil || nothing.put(new(link)) {
		t.Error("no keeper keeps something")
	}
	pipe := func() (*link, net.Conn) { a, b := net.Pipe(); return &link{Conn: a}, b }
	k := new(keeper)
	first, _ := pipe()
	second, _ := pipe()
	if !k.put(first) || k.put(second) || k.take() != first || k.take() != nil {
		t.Error("a keeper does not keep just one link")
	}
	third, far := pipe()
	k.put(third)
	k.close()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after close the kept link reads %v, want EOF", err)
	}
	if k.put(second) || k.take() != nil {
		t.Error("a closed keeper keeps something")
	}
}

// The kept connection of a target ends with the target.
func TestKeptConnectionEndsWithItsTarget(t *testing.T) {
	for _, how := range []struct {
		why string
		end func(*Runner)
	}{{"taken away", func(r *Runner) { r.Assign(assignment()) }}, {"closed", (*Runner).Close}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			ended := false
			w.set(place(1), func(conn net.Conn) {
				for r := bufio.NewReader(conn); ; {
					if _, err := http.ReadRequest(r); err != nil {
						ended = true
						return
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			r := w.start(1)
			defer r.Close()
			kept := target(1)
			kept.KeepAlive = true
			r.Assign(assignment(kept))
			pass(time.Minute)
			if len(w.startsAt(place(1))) != 1 || len(w.results) < 5 || ended {
				t.Errorf("%s: %d connections for %d results, ended %v", how.why, len(w.startsAt(place(1))), len(w.results), ended)
			}
			how.end(r)
			synctest.Wait()
			if !ended {
				t.Errorf("%s: the kept connection stands", how.why)
			}
		})
	}
}
