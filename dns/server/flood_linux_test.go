package server

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/rrl"
)

// A neighbour asks for api.example.com from an address of his own on the loopback interface.
type neighbour struct {
	server string
	conn   *dns.Conn
	ip     net.IP
}

func newNeighbour(t *testing.T, server, address string) *neighbour {
	t.Helper()
	n := &neighbour{server: server, ip: net.ParseIP(address)}
	conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: n.ip}}).Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n.conn = &dns.Conn{Conn: conn}
	return n
}

func (n *neighbour) query(id uint16, cookie string) *dns.Msg {
	q := new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA)
	q.Id = id
	if cookie != "" {
		q.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	}
	return q
}

// ask asks once over UDP and waits for the answer; nil: there is none in time.
func (n *neighbour) ask(t *testing.T, id uint16, cookie string, patience time.Duration) *dns.Msg {
	t.Helper()
	if err := n.conn.WriteMsg(n.query(id, cookie)); err != nil {
		t.Fatal(err)
	}
	_ = n.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		m, err := n.conn.ReadMsg()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Id == id { // else it is that to an earlier query
			return m
		}
	}
}

// slipped asks until an answer is truncated, which each second one over the bound is.
func (n *neighbour) slipped(t *testing.T, cookie string) *dns.Msg {
	t.Helper()
	for id := uint16(1); id < 1000; id++ {
		if m := n.ask(t, id, cookie, 20*time.Millisecond); m != nil && m.Truncated {
			if len(m.Answer) > 0 {
				t.Fatalf("a truncated answer has records: %v", m)
			}
			return m
		}
	}
	t.Fatal("no answer is truncated")
	return nil
}

// flood sends a query from some addresses in turn until it is stopped. So that the queue of a socket never overflows, which would cost
// others their queries too, no more than a few are ahead of what the server has counted. It has begun when it returns.
func flood(t *testing.T, r *running, addresses ...string) (sent *atomic.Int64, stop func()) {
	var sources []*neighbour
	for _, a := range addresses {
		sources = append(sources, newNeighbour(t, r.address, a))
	}
	query, err := sources[0].query(1, "").Pack()
	if err != nil {
		t.Fatal(err)
	}
	seen := func() int64 { // and some few of others, who have no cookie
		sum := r.ledger.sum(transportUDP)
		seen := -int64(sum.cookies[cookieGood])
		for _, n := range sum.types {
			seen += int64(n)
		}
		return seen
	}
	sent = new(atomic.Int64)
	done, begun := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			for seen() > sent.Load()-32 {
				for _, n := range sources {
					_, _ = n.conn.Conn.Write(query)
					sent.Add(1)
				}
			}
			if sent.Load() > 500 {
				begin()
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		t.Error("the flood does not begin")
	}
	return sent, func() { close(done); running.Wait() }
}

// A flood for one name from one network, as of a forged source, with the bound enforced. Who is in that network and has a cookie is
// answered each time; who has none is told to come by TCP, and is answered there; other networks notice nothing.
func TestFloodThroughRateLimit(t *testing.T) {
	const workers = 2
	r := run(t, Config{UDPWorkers: workers, CookieKey: cookieKey, RRL: RateLimit{RateOn, rrl.Limits{Rate: 4, Slip: 2, IPv4: 24, IPv6: 56, Entries: 1024}}})
	sent, stop := flood(t, r, "127.1.1.1", "127.1.1.2", "127.1.1.3", "127.1.1.254")

	known := newNeighbour(t, r.address, "127.1.1.99")
	own := hex.EncodeToString([]byte("8 bytes!"))
	given := known.slipped(t, own).IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie
	if len(given) != 2*cookie.Size {
		t.Fatalf("cookie %q of %d bytes, want %d", given, len(given)/2, cookie.Size)
	}
	for id := range uint16(300) {
		if m := known.ask(t, 1000+id, given, 10*time.Second); m == nil || m.Truncated || len(m.Answer) != 1 {
			t.Fatalf("query %d with a good cookie: %v, want an answer", id, m)
		}
	}

	unknown := newNeighbour(t, r.address, "127.1.1.98")
	unknown.slipped(t, "")
	stream := dns.Client{Net: "tcp", Timeout: 10 * time.Second, Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: unknown.ip}}}
	if m, _, err := stream.Exchange(unknown.query(1, ""), r.address); err != nil || len(m.Answer) != 1 {
		t.Errorf("over TCP: %v, %v, want an answer", m, err)
	}

	for i := range byte(50) {
		elsewhere := newNeighbour(t, r.address, netip.AddrFrom4([4]byte{127, 2, i, 1}).String())
		if m := elsewhere.ask(t, 1, "", 10*time.Second); m == nil || m.Truncated || len(m.Answer) != 1 {
			t.Fatalf("from %v: %v, want an answer", elsewhere.ip, m)
		}
	}

	stop()
	got := r.metrics(t)
	slips, drops := got["rrl_total{action=slip,mode=on}"], got["rrl_total{action=drop,mode=on}"]
	if slips > drops || slips < drops-workers {
		t.Errorf("%v truncated and %v left out, want each second one", slips, drops)
	}
	if over := slips + drops; over < float64(sent.Load())*0.9 {
		t.Errorf("%v answers of a flood of %d are over the bound, want nearly all", over, sent.Load())
	}
	if n := got["cookies_total{cookie=good,transport=udp}"]; n != 300 {
		t.Errorf("%v good cookies, want 300", n)
	}
}
