package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// world is the network of a test: what every address does, and what was seen of it.
type world struct {
	mu       sync.Mutex
	serve    map[netip.AddrPort]func(net.Conn) // absent: a black hole
	starts   map[netip.AddrPort][]time.Duration
	flying   map[netip.AddrPort]int
	most     map[netip.AddrPort]int // at once
	all      int
	mostAll  int
	results  []health.Result
	observed func(health.Result)
	begin    time.Time
}

func newWorld() *world {
	return &world{
		serve:  map[netip.AddrPort]func(net.Conn){},
		starts: map[netip.AddrPort][]time.Duration{},
		flying: map[netip.AddrPort]int{},
		most:   map[netip.AddrPort]int{},
		begin:  time.Now(),
	}
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	at := netip.MustParseAddrPort(addr)
	w.mu.Lock()
	serve := w.serve[at]
	w.starts[at] = append(w.starts[at], time.Since(w.begin))
	w.flying[at]++
	w.all++
	w.most[at] = max(w.most[at], w.flying[at])
	w.mostAll = max(w.mostAll, w.all)
	w.mu.Unlock()
	landed := func() {
		w.mu.Lock()
		w.flying[at]--
		w.all--
		w.mu.Unlock()
	}
	if serve == nil {
		<-ctx.Done()
		landed()
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe()
	go func() {
		serve(theirs)
		io.Copy(io.Discard, theirs) // until the probe closes its end
		theirs.Close()
		landed()
	}()
	return ours, nil
}

func (w *world) observe(r health.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, r)
	if w.observed != nil {
		w.observed(r)
	}
}

func (w *world) start(seed uint64) *Runner {
	return Start(Config{Observe: w.observe, Dial: w.dial, Seed: seed})
}

// set makes an address do something else from now on.
func (w *world) set(at netip.AddrPort, serve func(net.Conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serve[at] = serve
}

// startsAt returns when the probes of an address began, since the world did.
func (w *world) startsAt(at netip.AddrPort) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.starts[at])
}

// replies reads a request and then writes the parts of an answer, each after a pause.
func replies(pause time.Duration, parts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		for _, part := range parts {
			time.Sleep(pause)
			if _, err := io.WriteString(conn, part); err != nil {
				return
			}
		}
	}
}

const fine = "HTTP/1.1 200 OK\r\n\r\n"

// pass lets time go by in a bubble, and everything that is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func place(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 80)
}

// target is the check of place n.
func target(n int) *health.Target {
	return &health.Target{
		ID: health.CheckID(fmt.Sprintf("api/e%d/ipv4", n)), Kind: health.KindHTTP, Address: place(n),
		Interval: 10 * time.Second, Fall: 3, Rise: 3,
	}
}

func assignment(targets ...*health.Target) *health.Assignment {
	return &health.Assignment{Targets: targets}
}

// silence never reads: it holds its end until the probe has closed the other.
func silence(conn net.Conn) {
	for {
		time.Sleep(20 * time.Second)
		if _, err := conn.Write(nil); err != nil {
			return
		}
	}
}

func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, pair := range metric.GetLabel() {
				labels = append(labels, pair.GetName()+"="+pair.GetValue())
			}
			name := family.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case metric.Histogram != nil:
				values[name+" count"] = float64(metric.Histogram.GetSampleCount())
				values[name+" sum"] = metric.Histogram.GetSampleSum()
			case metric.Counter != nil:
				values[name] = metric.Counter.GetValue()
			case metric.Gauge != nil:
				values[name] = metric.Gauge.GetValue()
			}
		}
	}
	return values
}
