package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	type step struct {
		bytes  int
		waited time.Duration // s
	}
	for _, test := range []struct {
		reason string
		steps  []step
		left   time.Duration // s
	}{
		{"the first KiB has twice the time", nil, 20},
		{"a wait that brings little takes from it", []step{{1, 15}, {1, 4}}, 1},
		{"all of it", []step{{1023, 20}}, 0},
		{"a KiB in time brings the time for another", []step{{1024, 19}}, 10},
		{"also in parts", []step{{1000, 10}, {24, 9}}, 10},
		{"a KiB at once does not take what is left", []step{{1024, 0}}, 20},
		{"much at once is not saved up", []step{{1 << 20, 0}, {1, 20}}, 0},
		{"what is over a KiB does not count for the next", []step{{2047, 15}, {1, 5}}, 5},
	} {
		p := newPace(10 * time.Second)
		for _, s := range test.steps {
			p.read(s.bytes, s.waited*time.Second)
		}
		if p.left != test.left*time.Second {
			t.Errorf("%s: left = %v, want %d s", test.reason, p.left, test.left)
		}
	}
}

// A body that comes byte by byte does not hold its slot.
func TestTricklingRequestBody(t *testing.T) {
	swallow := func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }
	for _, test := range []struct {
		reason  string
		first   int // bytes at once
		timeout time.Duration
	}{
		{"from the start", 0, 20 * time.Second},
		{"after a good start", 100 << 10, 20 * time.Second},
	} {
		bubble(t, swallow, nil, func(t *testing.T, g *Gateway, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", test.first))
			go func() {
				for {
					time.Sleep(time.Second / 2)
					if _, err := io.WriteString(c, "x"); err != nil {
						return
					}
				}
			}()
			start := time.Now()
			if got := readReply(t, r, "POST"); got.StatusCode != 408 || time.Since(start) != test.timeout {
				t.Errorf("%s: %d after %v, want 408 after %v", test.reason, got.StatusCode, time.Since(start), test.timeout)
			}
			if n := g.requests.Load(); n != 0 {
				t.Errorf("%s: %d requests under way, want 0", test.reason, n)
			}
		})
	}
}

// That the upstream reads slowly is not held against the client.
func TestSlowReadingUpstream(t *testing.T) {
	sip := func(_ http.ResponseWriter, r *http.Request) {
		for {
			time.Sleep(25 * time.Second)
			if _, err := io.CopyN(io.Discard, r.Body, 1<<20); err != nil {
				return
			}
		}
	}
	bubble(t, sip, nil, func(t *testing.T, _ *Gateway, c net.Conn, r *bufio.Reader) {
		go io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4194304\r\n\r\n"+strings.Repeat("x", 4<<20))
		if got := readReply(t, r, "POST"); got.StatusCode != 200 {
			t.Errorf("status = %d, want 200", got.StatusCode)
		}
	})
}
