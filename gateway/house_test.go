package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/gateway/echo"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection that it closes with something unread.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// A house is a gateway on a loopback port.
type house struct {
	*Gateway
	addr     string
	registry *prometheus.Registry
}

// newHouse starts a gateway in east that serves api.test from the upstreams.
func newHouse(t *testing.T, upstreams map[geo.RegionID][]string, change func(*Config)) *house {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{addr: l.Addr().String(), registry: prometheus.NewRegistry()}
	cfg := Config{Name: "one", Region: "east", Listeners: []net.Listener{l}, Registerer: h.registry}
	if change != nil {
		change(&cfg)
	}
	h.Gateway, err = Start(cfg, serving(upstreams))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whatever is still under way is cut
		h.Shutdown(ctx)
	})
	return h
}

func serving(upstreams map[geo.RegionID][]string) zones.Gateway {
	return zones.Gateway{
		Services: []zones.Service{{Name: "api", Upstreams: upstreams}, {Name: "admin"}},
		Routes: []zones.Route{
			{Host: "api.test", Path: "/admin", Service: "admin"},
			{Host: "api.test", Path: "/", Service: "api"},
		},
	}
}

func in(region geo.RegionID, addresses ...string) map[geo.RegionID][]string {
	return map[geo.RegionID][]string{region: addresses}
}

func newUpstreamServer(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func newEcho(t *testing.T, region string) string { return newUpstreamServer(t, echo.Handler(region)) }

// newRaw is an upstream that handles bytes. It returns where, and how many connections came.
func newRaw(t *testing.T, handle func(n int, c net.Conn, r *bufio.Reader)) (string, func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	count := make(chan int, 1)
	count <- 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := <-count
			count <- n + 1
			go func() {
				defer c.Close()
				handle(n, c, bufio.NewReader(c))
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), func() int { n := <-count; count <- n; return n }
}

// readHead reads up to the empty line, or all there is.
func readHead(r *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || strings.TrimRight(line, "\r\n") == "" {
			return b.String()
		}
	}
}

// refusing returns an address that nobody listens on.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// A reply is a response read to its end.
type reply struct {
	*http.Response
	body string
}

func (r reply) echo(t *testing.T) echo.Answer {
	t.Helper()
	var a echo.Answer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		t.Fatalf("no echo: status %d, body %q: %v", r.StatusCode, r.body, err)
	}
	return a
}

func (h *house) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, bufio.NewReader(c)
}

// raw sends bytes on a connection of their own and reads one response.
func (h *house) raw(t *testing.T, request string) reply {
	t.Helper()
	c, r := h.dial(t)
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	return readReply(t, r, method)
}

func readReply(t *testing.T, r *bufio.Reader, method string) reply {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp, string(body)}
}

func (h *house) get(t *testing.T, path string, fields ...string) reply {
	t.Helper()
	return h.raw(t, "GET "+path+" HTTP/1.1\r\nHost: api.test\r\n"+lines(fields)+"\r\n")
}

func lines(fields []string) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String()
}

// metric sums a counter or gauge over the series that have all the label values.
func (h *house) metric(t *testing.T, name string, values ...string) float64 {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != "meridian_gateway_"+name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			for _, want := range values {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
