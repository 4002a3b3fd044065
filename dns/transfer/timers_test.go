package transfer

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

func counted(t testing.TB, vec *prometheus.CounterVec, labels ...string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(vec.WithLabelValues(labels...))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

// A pipeNet is a network in memory with one primary. It notes when it is dialled.
type pipeNet struct {
	sync.Mutex
	serve  *Service // nil: nobody listens
	start  time.Time
	dialed []time.Duration
}

func (p *pipeNet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.Lock()
	defer p.Unlock()
	p.dialed = append(p.dialed, time.Since(p.start))
	if p.serve == nil {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	client, server := net.Pipe()
	go serveConn(p.serve, server)
	return client, nil
}

func serveConn(s *Service, conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		answer(s, Query{Message: message, From: netip.MustParseAddrPort("127.0.0.1:1"), Send: func(b []byte) error {
			_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			return err
		}})
	}
}

func (p *pipeNet) set(s *Service) {
	p.Lock()
	defer p.Unlock()
	p.serve = s
}

func (p *pipeNet) times() []time.Duration {
	p.Lock()
	defer p.Unlock()
	times := p.dialed
	p.dialed = nil
	return times
}

// A zone is refreshed by its timers, expires when its primary is away too long, after a restart too, and comes back.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := zoneOf(t, "shop.example.", 7) // refresh 1 h, retry 10 m, expire 1 d
		primary := open(t, Config{Zones: shelfOf(zone).find})
		apply(t, primary, Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
		network := &pipeNet{serve: primary, start: time.Now()}
		events, dir := make(told, 1000), t.TempDir()
		config := events.config(dir)
		config.Dial = network.dial
		setup := func() Setup {
			return Setup{Secondary: map[string]Secondary{"shop.example.": {[]Primary{{Address: netip.MustParseAddrPort("192.0.2.1:53")}}}}}
		}
		s := open(t, config)
		apply(t, s, setup())
		events.want(t, "loaded shop.example.")
		network.times()

		time.Sleep(3*time.Hour + time.Minute)
		if n := len(network.times()); n != 3 {
			t.Errorf("%d refreshes in three hours with a refresh timer of one", n)
		}
		network.set(nil)
		time.Sleep(2 * time.Hour)
		events.want(t, "event shop.example. zone not refreshed")
		if n := len(network.times()); n < 7 || n > 20 { // one first, then every 7.5 to 10 minutes once doubling got there
			t.Errorf("%d tries in two hours with a retry timer of ten minutes", n)
		}
		if len(events) > 0 {
			t.Errorf("told %q before the zone expired", <-events)
		}
		s.Close()

		s = open(t, config) // the time of the last refresh outlives a restart
		apply(t, s, setup())
		events.want(t, "loaded shop.example.")
		events.want(t, "event shop.example. zone not refreshed")
		time.Sleep(21 * time.Hour)
		if len(events) > 0 {
			t.Errorf("told %q before the zone expired", <-events)
		}
		time.Sleep(2 * time.Hour)
		events.want(t, "event shop.example. zone expired")
		events.want(t, "expired shop.example.")
		s.Close()

		s = open(t, config) // and so does that it expired
		apply(t, s, setup())
		synctest.Wait()
		var got []string // at once, in either order: the first try fails, and the copy has ended
		for len(events) > 0 {
			got = append(got, firstWords(<-events, 4))
		}
		slices.Sort(got)
		if want := "[event shop.example. zone expired: event shop.example. zone not expired shop.example.]"; fmt.Sprint(got) != want {
			t.Errorf("told %v, want %s", got, want)
		}
		network.set(primary)
		time.Sleep(time.Hour)
		events.want(t, "event shop.example. zone refreshed again")
		events.want(t, "loaded shop.example.")
		s.Close()
		primary.Close()
	})
}

// What is due next is the next try, or the end of the copy if that comes before; timers of a primary are kept in bounds.
func TestDue(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		why                    string
		refresh, retry, expire uint32
		ago                    time.Duration // since the last refresh; negative: there is no copy
		failed                 int           // -1: it went well
		least, most            time.Duration
	}{
		{"refreshed", 3600, 600, 86400, 0, -1, 54 * time.Minute, time.Hour},
		{"a refresh timer of nothing", 0, 0, 86400, 0, -1, 9 * time.Second, 10 * time.Second},
		{"a refresh timer longer than the copy lives", 86400, 600, 3600, 0, -1, time.Hour, time.Hour},
		{"a refresh timer of a century", 4e9, 600, 4e9, 0, -1, 25 * 24 * time.Hour, 28 * 24 * time.Hour},
		{"failed once", 3600, 600, 86400, time.Hour, 0, 7 * time.Second, 10 * time.Second},
		{"failed often", 3600, 600, 86400, time.Hour, 50, 450 * time.Second, 10 * time.Minute},
		{"failed, and the copy ends in a minute", 3600, 600, 86400, 24*time.Hour - time.Minute, 50, time.Minute, time.Minute},
		{"failed without a copy", 0, 0, 0, -1, 0, 3750 * time.Millisecond, 5 * time.Second},
		{"failed often without a copy", 0, 0, 0, -1, 50, 450 * time.Second, 10 * time.Minute},
	} {
		soa := &dns.SOA{Refresh: test.refresh, Retry: test.retry, Expire: test.expire}
		for range 100 {
			z := &secondaryZone{refreshed: now.Add(-test.ago), failures: test.failed}
			if test.ago >= 0 {
				z.soa = soa
			}
			if test.failed < 0 {
				z.refreshedAt(now, soa)
			} else {
				z.failedAt(now)
			}
			if wait := z.next.Sub(now); wait < test.least || wait > test.most {
				t.Fatalf("%s: due in %v, want %v to %v", test.why, wait, test.least, test.most)
			}
		}
	}
}

func firstWords(text string, n int) string {
	words := strings.Fields(text)
	return strings.Join(words[:min(n, len(words))], " ")
}

// While there is no copy yet, tries begin soon and become rare; a primary that is away is not dialled for each zone.
func TestFirstTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &pipeNet{start: time.Now()}
		var mu sync.Mutex
		told := 0
		s := open(t, Config{Dial: network.dial, Event: func(string, string) {
			mu.Lock()
			defer mu.Unlock()
			told++
		}})
		zones := map[string]Secondary{}
		for i := range 100 {
			zones[fmt.Sprintf("zone-%d.example", i)] = Secondary{[]Primary{{Address: netip.MustParseAddrPort("192.0.2.1:53")}}}
		}
		apply(t, s, Setup{Secondary: zones})
		time.Sleep(time.Second)
		mu.Lock()
		if told == 0 || told > s.config.Limits.In {
			t.Errorf("%d events at once about one primary that is away", told)
		}
		mu.Unlock()
		time.Sleep(24 * time.Hour)
		times := network.times()
		if n := len(times); n < 150 || n > 24*120 {
			t.Errorf("%d connections in a day for 100 zones of a primary that is away", n)
		}
		var last time.Duration = -time.Hour
		for _, at := range times {
			if at < last {
				t.Fatalf("dialled at %v after %v", at, last)
			}
			last = at
		}
		s.Close()
	})
}

// A notice is sent five times, at growing distances, and no more; one that is answered once.
func TestNoticeRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := zoneOf(t, "shop.example.", 7)
		var mu sync.Mutex
		var sent []string
		start, reply := time.Now(), false
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				buffer := make([]byte, 512)
				n, err := server.Read(buffer)
				m := new(dns.Msg)
				if err != nil || m.Unpack(buffer[:n]) != nil {
					return
				}
				mu.Lock()
				sent = append(sent, fmt.Sprintf("%s %s %v", network, m.Question[0].Name, time.Since(start).Round(time.Second)))
				answering := reply
				mu.Unlock()
				if answering {
					packed, _ := new(dns.Msg).SetReply(m).Pack()
					server.Write(packed)
				}
				io.Copy(io.Discard, server)
			}()
			return client, nil
		}
		s := open(t, Config{Zones: shelfOf(zone).find, Dial: dial})
		target := Target{Address: netip.MustParseAddrPort("192.0.2.1:53")}
		apply(t, s, Setup{Primary: map[string]Policy{"shop.example.": {Notify: []Target{target}}}})
		s.Changed(nil, zone)
		time.Sleep(time.Hour)
		mu.Lock()
		if got, want := strings.Join(sent, ", "), "udp shop.example. 0s, udp shop.example. 2s, udp shop.example. 6s, udp shop.example. 14s, udp shop.example. 30s"; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
		sent, reply = nil, true
		mu.Unlock()
		s.Changed(nil, zone)
		time.Sleep(time.Hour)
		mu.Lock()
		if len(sent) != 1 {
			t.Errorf("sent %v, want one", sent)
		}
		mu.Unlock()
		if n := counted(t, s.metrics.notifies, "out", "ok"); n != 1 {
			t.Errorf("%v notices counted as answered", n)
		}
		s.Close()
	})
}

// A primary that sends nothing more holds a place for the idle time and no longer, and leaves nothing on disk.
func TestSlowPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(told, 100)
		config := events.config(t.TempDir())
		config.Dial = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				io.Copy(io.Discard, server) // takes queries and never answers
			}()
			return client, nil
		}
		s := open(t, config)
		start := time.Now()
		apply(t, s, Setup{Secondary: map[string]Secondary{"shop.example.": {[]Primary{{Address: netip.MustParseAddrPort("192.0.2.1:53")}}}}})
		events.want(t, "event shop.example. zone not refreshed")
		if took := time.Since(start); took != soaTime {
			t.Errorf("gave up after %v, want %v", took, soaTime)
		}
		if _, err := os.Stat(s.copyFile("shop.example.")); !os.IsNotExist(err) {
			t.Errorf("there is a copy (%v)", err)
		}
		s.Close()
	})
}

// A signed transfer whose end is not signed is none: whoever sits between could have cut it or added to it.
func TestUnsignedEnd(t *testing.T) {
	for _, signed := range [][]bool{{true, true, true}, {true, true, false}} {
		synctest.Test(t, func(t *testing.T) {
			key := keyOfTest(t, "peer", "hmac-sha256")
			zone := zoneOf(t, "shop.example.", 7)
			soa := zone.rrs[:1]
			events := make(told, 100)
			config := events.config(t.TempDir())
			config.Dial = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go serveScript(t, server, key, [][]dns.RR{soa}, []bool{true}, [][]dns.RR{soa, zone.rrs[1:], soa}, signed)
				return client, nil
			}
			s := open(t, config)
			apply(t, s, Setup{Keys: []Key{key}, Secondary: map[string]Secondary{
				"shop.example.": {[]Primary{{Address: netip.MustParseAddrPort("192.0.2.1:53"), Key: "peer"}}},
			}})
			if signed[2] {
				events.want(t, "loaded shop.example.")
			} else {
				events.want(t, "event shop.example. zone not refreshed: 192.0.2.1:53: AXFR")
			}
			s.Close()
		})
	}
}

// serveScript answers the first query of a connection by the first messages, and the second by the others; each message
// is signed or not.
func serveScript(t *testing.T, conn net.Conn, key Key, first [][]dns.RR, firstSigned []bool, second [][]dns.RR, secondSigned []bool) {
	defer conn.Close()
	for _, answer := range []struct {
		sections [][]dns.RR
		signed   []bool
	}{{first, firstSigned}, {second, secondSigned}} {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		query := new(dns.Msg)
		if _, err := io.ReadFull(conn, message); err != nil || query.Unpack(message) != nil {
			return
		}
		for _, packed := range streamOf(t, key, query, query.IsTsig().MAC, answer.sections, answer.signed) {
			if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
				return
			}
		}
	}
	io.Copy(io.Discard, conn)
}
