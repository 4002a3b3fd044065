package server

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/freeport"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones"
)

// A lockedLog takes log lines from any goroutine.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func TestAnswersOverBothTransports(t *testing.T) {
	r := run(t, Config{})
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"mail.example.com.", dns.TypeA, "NOERROR 192.0.2.25"},
		{"api.example.com.", dns.TypeA, "NOERROR 192.0.2.20"},
		{"nothing.example.com.", dns.TypeA, "NXDOMAIN"},
		{"example.net.", dns.TypeA, "REFUSED"},
	} {
		for _, protocol := range []string{"udp", "tcp"} {
			if got := ask(t, r.address, protocol, test.name, test.qtype); got != test.want {
				t.Errorf("%s %s = %s, want %s", protocol, test.name, got, test.want)
			}
		}
	}
}

func TestTruncatedAnswerIsWholeOverTCP(t *testing.T) {
	r := run(t, Config{})
	short, err := exchange(r.address, "udp", "big.example.com.", dns.TypeTXT)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := exchange(r.address, "tcp", "big.example.com.", dns.TypeTXT)
	if err != nil {
		t.Fatal(err)
	}
	if !short.Truncated || len(short.Answer) != 0 || whole.Truncated || len(whole.Answer) != 40 {
		t.Errorf("UDP: truncated %v, %d records; TCP: truncated %v, %d records; want true, 0, false, 40",
			short.Truncated, len(short.Answer), whole.Truncated, len(whole.Answer))
	}
}

func TestListenOnSeveralAddresses(t *testing.T) {
	listen := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.2:0")}
	if probe, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		probe.Close()
		listen = append(listen, netip.MustParseAddrPort("[::1]:0"))
	} else {
		t.Logf("without IPv6: %v", err)
	}
	r := run(t, Config{Listen: listen})
	for i, address := range r.Addrs() {
		if address.Addr() != listen[i].Addr() || address.Port() == 0 {
			t.Errorf("Addrs()[%d] = %v, want a port at %v", i, address, listen[i].Addr())
		}
		for _, protocol := range []string{"udp", "tcp"} {
			if got, want := ask(t, address.String(), protocol, "api.example.com.", dns.TypeA), "NOERROR 192.0.2.20"; got != want {
				t.Errorf("%s %v: api.example.com = %s, want %s", protocol, address, got, want)
			}
		}
	}
}

func TestListenErrors(t *testing.T) {
	r := run(t, Config{})
	free := freePort(t)
	for _, test := range []struct {
		reason string
		listen []netip.AddrPort
		want   string
	}{
		{"nowhere", nil, "dns: no address to listen on (config key listen.dns)"},
		{"another server is there", []netip.AddrPort{free, r.Addrs()[0]},
			"dns: listen " + r.address + ": address already in use; another server has it: stop that one, or choose another address or port (config key listen.dns)"},
		{"an address of no machine", []netip.AddrPort{free, netip.MustParseAddrPort("192.0.2.1:5353")},
			"dns: listen 192.0.2.1:5353: cannot assign requested address; is it an address of this machine? (config key listen.dns)"},
	} {
		s, err := Listen(Config{Listen: test.listen, Snapshot: r.snapshot.Load})
		if err == nil {
			s.Close()
		}
		if fmt.Sprint(err) != test.want {
			t.Errorf("%s: Listen(%v) = %v, want %s", test.reason, test.listen, err, test.want)
		}
	}
	s, err := Listen(Config{Listen: []netip.AddrPort{free}, Snapshot: r.snapshot.Load})
	if err != nil {
		t.Fatalf("after two errors the first address is not free again: %v", err)
	}
	s.Close()
	s.Serve() // too late: it returns at once
}

// Who has a port for UDP only is noticed too, and TCP is given back.
func TestListenWhereUDPIsTaken(t *testing.T) {
	free := freePort(t)
	other, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(free))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	config := Config{Listen: []netip.AddrPort{free}}
	want := "dns: listen " + free.String() + ": address already in use; another server has it: stop that one, or choose another address or port (config key listen.dns)"
	if _, err := Listen(config); fmt.Sprint(err) != want {
		t.Fatalf("Listen(%v) = %v, want %s", free, err, want)
	}
	other.Close()
	s, err := Listen(config)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	at, err := freeport.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCounters(t *testing.T) {
	r := run(t, Config{})
	for range 3 {
		ask(t, r.address, "udp", "api.example.com.", dns.TypeA)
	}
	ask(t, r.address, "tcp", "api.example.com.", dns.TypeA)
	ask(t, r.address, "udp", "nothing.example.com.", dns.TypeAAAA)
	ask(t, r.address, "udp", "api.example.com.", 65280)
	ask(t, r.address, "udp", "big.example.com.", dns.TypeTXT)
	r.snapshot.Store(snapshot(t, toAmerica))
	ask(t, r.address, "udp", "api.example.com.", dns.TypeA)
	ask(t, r.address, "tcp", "api.example.com.", dns.TypeA)
	sendDropped(t, r.address)

	got := r.metrics(t)
	maps.DeleteFunc(got, func(name string, _ float64) bool { // TCP clients leave when they like
		return strings.Contains(name, "_bytes_total") || strings.Contains(name, "connections")
	})
	want := map[string]float64{
		"queries_total{transport=udp,type=A}":                5,
		"queries_total{transport=udp,type=AAAA}":             1,
		"queries_total{transport=udp,type=TXT}":              1,
		"queries_total{transport=udp,type=other}":            1,
		"queries_total{transport=tcp,type=A}":                2,
		"responses_total{rcode=NOERROR}":                     9,
		"responses_total{rcode=NXDOMAIN}":                    1,
		"truncated_total{transport=udp}":                     1,
		"answers_total{member=euw1,pool=api,region=eu-west}": 4,
		"answers_total{member=use1,pool=api,region=us-east}": 3,
		"dropped_total{reason=short,transport=udp}":          1,
		"dropped_total{reason=response,transport=udp}":       1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("metrics:\ngot  %v\nwant %v", got, want)
	}
	regions := r.AnswersByRegion()
	if want := map[geo.RegionID]uint64{"eu-west": 4, "us-east": 3}; !maps.Equal(regions, want) {
		t.Errorf("AnswersByRegion() = %v, want %v", regions, want)
	}
}

// The answers of pools with capacities are counted by the client's group, over all transports and through changes of the world.
func TestTakeAnswersByGroup(t *testing.T) {
	r := run(t, Config{})
	ask(t, r.address, "udp", "api.example.com.", dns.TypeA) // has no capacity yet
	capped := func() *zones.Snapshot {
		return snapshot(t, []string{"ENDPOINT", "euw1", "REGION", "eu-west", "ADDRESS}", "192.0.2.20, capacity: 40%}"})
	}
	first := capped()
	r.snapshot.Store(first)
	ask(t, r.address, "udp", "api.example.com.", dns.TypeA)
	ask(t, r.address, "tcp", "api.example.com.", dns.TypeA)
	ask(t, r.address, "udp", "api.example.com.", dns.TypeTXT) // the pool has none
	ask(t, r.address, "udp", "ns1.example.com.", dns.TypeA)   // no pool
	r.snapshot.Store(capped())
	ask(t, r.address, "udp", "api.example.com.", dns.TypeA)
	want := map[Group]uint64{{Pool: "api", Key: first.Plan.Pools[0].Groups[0].Key}: 3}
	if got := r.TakeAnswersByGroup(); !maps.Equal(got, want) {
		t.Errorf("TakeAnswersByGroup() = %v, want %v", got, want)
	}
	for name := range r.metrics(t) {
		if strings.Contains(name, "member=,") {
			t.Errorf("%s is of a group, and shown as a member's", name)
		}
	}
}

// sendDropped sends half a header and a response, and behind them a query of api.example.com: the only one with an answer.
func sendDropped(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := new(dns.Msg)
	q.SetQuestion("api.example.com.", dns.TypeA)
	query, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	response := append([]byte(nil), query...)
	response[2] |= 0x80
	for _, b := range [][]byte{query[:11], response, query} {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var b [512]byte
	n, err := conn.Read(b[:])
	if err != nil || [2]byte(b[:2]) != [2]byte(query[:2]) || n < 40 {
		t.Errorf("answer = %x, %v, want one to the query only", b[:n], err)
	}
}

// A bug that shows in some answers must not end the server, nor fill the log.
func TestPanicCostsOneQuery(t *testing.T) {
	r := run(t, Config{})
	good := r.snapshot.Load()
	r.snapshot.Store(&zones.Snapshot{}) // not one that Publish makes
	conn, err := net.Dial("udp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := new(dns.Msg)
	q.SetQuestion("api.example.com.", dns.TypeA)
	query, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	const bad = 50
	for range bad {
		if _, err := conn.Write(query); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := exchange(r.address, "tcp", "api.example.com.", dns.TypeA); err == nil {
		t.Errorf("answer over TCP = %v, want none", m)
	}
	eventually(t, func() bool {
		m := r.metrics(t)
		return m["dropped_total{reason=panic,transport=udp}"] == bad && m["dropped_total{reason=panic,transport=tcp}"] == 1
	})
	r.snapshot.Store(good)
	for _, protocol := range []string{"udp", "tcp"} {
		if got, want := ask(t, r.address, protocol, "api.example.com.", dns.TypeA), "NOERROR 192.0.2.20"; got != want {
			t.Errorf("%s: api.example.com = %s, want %s", protocol, got, want)
		}
	}
	if lines := r.log.count("panic while answering"); lines != 1 {
		t.Errorf("%d log lines, want 1", lines)
	}
}

// eventually waits, on real sockets, for what another goroutine is about to do.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		<-tick.C
	}
}

// Snapshots change while clients ask: every query has an answer, of one snapshot or the other, and all are counted.
func TestSwapUnderLoad(t *testing.T) {
	r := run(t, Config{})
	snapshots := [2]*zones.Snapshot{snapshot(t, toEurope), snapshot(t, toAmerica)}
	const clients, queries = 4, 500
	var wait sync.WaitGroup
	for client := range clients {
		protocol := [2]string{"udp", "tcp"}[client%2]
		wait.Go(func() {
			c := dns.Client{Net: protocol, Timeout: 10 * time.Second}
			conn, err := c.Dial(r.address)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			q := new(dns.Msg)
			q.SetQuestion("api.example.com.", dns.TypeA)
			for i := range queries {
				r.snapshot.Store(snapshots[i%2])
				m, _, err := c.ExchangeWithConn(q, conn)
				if err != nil || len(m.Answer) != 1 {
					t.Errorf("%s query %d: %v, %v", protocol, i, m, err)
					return
				}
			}
		})
	}
	wait.Wait()
	var total uint64
	for _, count := range r.AnswersByRegion() {
		total += count
	}
	if total != clients*queries {
		t.Errorf("%d answers counted, want %d", total, clients*queries)
	}
}

// All connections share one set of counters, also while they see different snapshots.
func TestTCPCountersLoseNothing(t *testing.T) {
	s := unbound(t, Limits{})
	snapshots := [2]*zones.Snapshot{snapshot(t, toEurope), snapshot(t, toAmerica)}
	const connections, queries = 4, 5000
	var wait sync.WaitGroup
	for connection := range connections {
		wait.Go(func() {
			for i := range queries {
				s.shared[transportTCP].count(snapshots[(connection+i)%2], wire.Outcome{Counter: 0, GroupCounter: -1}, 1, 1)
			}
		})
	}
	wait.Wait()
	want := map[geo.RegionID]uint64{"eu-west": connections * queries / 2, "us-east": connections * queries / 2}
	if got := s.AnswersByRegion(); !maps.Equal(got, want) {
		t.Errorf("AnswersByRegion() = %v, want %v", got, want)
	}
}

func TestCloseEndsIdleConnections(t *testing.T) {
	r := run(t, Config{Limits: Limits{Idle: time.Hour}})
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, func() bool { return r.clients.count.Load() == 1 })
	r.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of a closed server", n)
	}
	if got := r.metrics(t); len(got) != 0 {
		t.Errorf("metrics of a closed server: %v", got)
	}
	s, err := Listen(Config{Listen: r.Addrs(), Snapshot: r.snapshot.Load})
	if err != nil {
		t.Fatalf("the address is not free again: %v", err)
	}
	s.Close()
}
