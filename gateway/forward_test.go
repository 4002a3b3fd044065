package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-gslb/meridian/gateway/head"
	"github.com/meridian-gslb/meridian/geo"
)

func TestNext(t *testing.T) {
	get := &Request{Method: "GET"}
	post := &Request{Method: "POST"}
	put := &Request{Method: "PUT", Body: Body{Reader: io.NopCloser(strings.NewReader("x")), Length: 1}}
	err := errors.New("x")
	for _, test := range []struct {
		reason  string
		outcome outcome
		r       *Request
		retried bool
		want    verdict
	}{
		{"refused", outcome{err: err}, post, false, tryOther},
		{"refused again", outcome{err: err}, post, true, tryOther},
		{"reset before a byte went out", outcome{err: err, connected: true}, put, false, tryOther},
		{"client gone", outcome{err: err, clientErr: err}, get, false, giveUp},
		{"body taken", outcome{err: err, connected: true, bodyRead: true}, put, false, giveUp},
		{"reset after writing, idempotent", outcome{err: err, connected: true, wrote: true}, get, false, retry},
		{"reset after writing, a second time", outcome{err: err, connected: true, wrote: true}, get, true, giveUp},
		{"reset after writing, not idempotent", outcome{err: err, connected: true, wrote: true}, post, false, giveUp},
		{"reset after writing, with a body", outcome{err: err, connected: true, wrote: true}, put, false, giveUp},
		{"no answer in time", outcome{err: err, connected: true, wrote: true, timeout: true}, get, false, giveUp},
	} {
		if got := next(test.outcome, test.r, test.retried); got != test.want {
			t.Errorf("%s: next = %v, want %v", test.reason, got, test.want)
		}
	}
}

func post(body string) string {
	return "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: " + string(rune('0'+len(body))) + "\r\n\r\n" + body
}

// A refused upstream is passed over at once, by any method, in the order of regions; it is out after three in a row.
func TestRefusedUpstream(t *testing.T) {
	var logs lockedBuffer
	dead := refusing(t)
	h := newHouse(t, map[geo.RegionID][]string{"east": {dead}, "north": {newEcho(t, "north")}, "west": {newEcho(t, "west")}},
		func(c *Config) {
			c.Order = func() []geo.RegionID { return []geo.RegionID{"west", "east", "north"} }
			c.Logger = newTextLogger(&logs)
		})
	for range 5 {
		a := h.raw(t, post("hello")).echo(t)
		if a.Region != "west" || a.BodyBytes != 5 {
			t.Fatalf("answered by %s with %d bytes, want west with 5", a.Region, a.BodyBytes)
		}
	}
	if got := h.metric(t, "upstream_errors_total", "api", "east", "connect"); got != 3 {
		t.Errorf("connect errors = %v, want 3: then it is out", got)
	}
	if got := h.metric(t, "retries_total"); got != 3 {
		t.Errorf("retries = %v, want 3", got)
	}
	if got := logs.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `msg="upstream ejected" service=api region=east endpoint=`+dead) {
		t.Errorf("log = %s, want one line of the ejection", got)
	}
}

// A request that another of our gateways sent stays in the region.
func TestOneHopBetweenRegions(t *testing.T) {
	h := newHouse(t, map[geo.RegionID][]string{"east": {refusing(t)}, "west": {newEcho(t, "west")}}, nil)
	if got := h.get(t, "/"); got.StatusCode != 200 {
		t.Errorf("a first hop = %d, want 200", got.StatusCode)
	}
	if got := h.get(t, "/", "CDN-Loop: meridian-two"); got.StatusCode != 502 {
		t.Errorf("a second hop = %d, want 502", got.StatusCode)
	}
}

func TestRetryAfterWriting(t *testing.T) {
	closing := func(_ int, c net.Conn, r *bufio.Reader) { readHead(r) }
	for _, test := range []struct {
		reason, request string
		spare           bool // there is an endpoint that answers
		status, trips   int  // to the closing endpoint
	}{
		{"idempotent, another endpoint", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", true, 200, 1},
		{"idempotent, no other", "DELETE / HTTP/1.1\r\nHost: api.test\r\n\r\n", false, 502, 2},
		{"not idempotent", "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n", true, 502, 1},
		{"an idempotency key is not ours to read", "POST / HTTP/1.1\r\nHost: api.test\r\nIdempotency-Key: x\r\nContent-Length: 0\r\n\r\n", true, 502, 1},
		{"with a body", "PUT / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\n\r\nx", true, 502, 1},
	} {
		addr, trips := newRaw(t, closing)
		upstreams := in("east", addr)
		if test.spare {
			upstreams["west"] = []string{newEcho(t, "west")}
		}
		h := newHouse(t, upstreams, nil)
		if got := h.raw(t, test.request); got.StatusCode != test.status || trips() != test.trips {
			t.Errorf("%s: %d after %d trips, want %d after %d", test.reason, got.StatusCode, trips(), test.status, test.trips)
		}
	}
}

// The transport must not send a request again by itself when a kept connection breaks.
func TestNoHiddenReplay(t *testing.T) {
	for _, test := range []struct {
		request      string
		status, sent int
	}{
		{"POST /second HTTP/1.1\r\nHost: api.test\r\nIdempotency-Key: x\r\nContent-Length: 0\r\n\r\n", 502, 1},
		{"GET /second HTTP/1.1\r\nHost: api.test\r\n\r\n", 502, 2},
	} {
		var mu sync.Mutex
		firsts, seconds := 0, 0
		release := make(chan struct{})
		addr, _ := newRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			for {
				got := readHead(r)
				switch {
				case strings.Contains(got, "/first"):
					mu.Lock()
					if firsts++; firsts == 2 {
						close(release)
					}
					mu.Unlock()
					<-release // so that there are two kept connections
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				case strings.Contains(got, "/second"):
					mu.Lock()
					seconds++
					mu.Unlock()
					return
				default:
					return
				}
			}
		})
		h := newHouse(t, in("east", addr), nil)
		var wg sync.WaitGroup
		for range 2 {
			c, r := h.dial(t)
			wg.Go(func() {
				io.WriteString(c, "GET /first HTTP/1.1\r\nHost: api.test\r\n\r\n")
				readHead(r)
			})
		}
		wg.Wait()
		got := h.raw(t, test.request)
		mu.Lock()
		if got.StatusCode != test.status || seconds != test.sent {
			t.Errorf("%.8s: %d, sent %d times, want %d, %d times", test.request, got.StatusCode, seconds, test.status, test.sent)
		}
		mu.Unlock()
	}
}

// A client that leaves while its endpoint is connected to is no connect error.
func TestClientLeavesEarly(t *testing.T) {
	h := newHouse(t, in("east", newEcho(t, "east"), newEcho(t, "east")), nil)
	left, cancel := context.WithCancel(t.Context())
	cancel()
	s := h.routes.Load().services["api"]
	order := []geo.RegionID{"east"}
	for range 9 {
		p, _ := s.pick(order, nil)
		_, out := h.upstream.trip(left, p.Address, &Request{Method: "GET"}, mustPath(t, "/"), "")
		if out.err == nil || out.connected || out.clientErr == nil {
			t.Fatalf("trip of a client that left = %+v, want an error of the client's", out)
		}
		h.settle(s, p, out)
		s.release(p)
	}
	one, _ := s.pick(order, nil)
	if two, ok := s.pick(order, nil); !ok || one.Address == two.Address {
		t.Errorf("an endpoint is out: offered %s twice", one.Address)
	}
}

func TestTries(t *testing.T) {
	dead := []string{refusing(t), refusing(t), refusing(t), refusing(t)}
	h := newHouse(t, in("east", dead...), func(c *Config) { c.Limits.Tries = 2 })
	if got := h.get(t, "/"); got.StatusCode != 502 {
		t.Errorf("status = %d, want 502", got.StatusCode)
	}
	if got := h.metric(t, "upstream_errors_total"); got != 2 {
		t.Errorf("tries = %v, want 2", got)
	}
}

func TestFailure(t *testing.T) {
	for _, test := range []struct {
		last outcome
		want int
	}{
		{outcome{}, 503},
		{outcome{err: io.EOF}, 502},
		{outcome{err: io.EOF, timeout: true}, 502},
		{outcome{err: io.EOF, connected: true}, 502},
		{outcome{err: io.EOF, connected: true, timeout: true}, 504},
		{outcome{err: io.EOF, connected: true, clientErr: io.ErrUnexpectedEOF}, 400},
		{outcome{err: io.EOF, connected: true, clientErr: os.ErrDeadlineExceeded}, 408},
	} {
		if got := failure(test.last, "id"); got.Status != test.want {
			t.Errorf("failure(%+v) = %d, want %d", test.last, got.Status, test.want)
		}
	}
}

// The client's fields must not be what the transport is framed by.
func TestRequestMapping(t *testing.T) {
	out, _ := request(&Request{Method: "GET", Fields: head.Fields{{Name: "Content-Length", Value: "5"}, {Name: "A", Value: "1"}, {Name: "A", Value: "2"}}},
		"host:1", mustPath(t, "/a%2Fb"), "")
	if out.Header["Content-Length"] != nil || len(out.Header["A"]) != 2 || out.URL.EscapedPath() != "/a%2Fb" {
		t.Errorf("request = %v %v", out.URL, out.Header)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newTextLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
