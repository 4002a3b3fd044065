package server

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/zones"
)

// A client of a socket that is bound to all addresses takes an answer only from the address that it asked.
func TestWildcardAnswersFromTheAddressAsked(t *testing.T) {
	for _, test := range []struct{ listen, asked string }{
		{"0.0.0.0:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.2"}, {"0.0.0.0:0", "127.1.2.3"}, {"[::]:0", "::1"},
	} {
		asked := netip.MustParseAddr(test.asked)
		if probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(asked, 0))); err != nil {
			t.Logf("not tested: %v", err)
			continue
		} else {
			probe.Close()
		}
		r := run(t, Config{Listen: []netip.AddrPort{netip.MustParseAddrPort(test.listen)}})
		address := netip.AddrPortFrom(asked, r.Addrs()[0].Port()).String()
		if got, want := ask(t, address, "udp", "api.example.com.", dns.TypeA), "NOERROR 192.0.2.20"; got != want {
			t.Errorf("%s at %s: api.example.com = %s, want %s", asked, test.listen, got, want)
		}
	}
}

func TestSourceOf(t *testing.T) {
	name := func(family uint16, port uint16, address string) (b [nameSize]byte) {
		binary.NativeEndian.PutUint16(b[:], family)
		binary.BigEndian.PutUint16(b[2:], port)
		copy(b[map[uint16]int{unix.AF_INET: 4, unix.AF_INET6: 8}[family]:], netip.MustParseAddr(address).AsSlice())
		return b
	}
	for _, test := range []struct {
		reason string
		name   [nameSize]byte
		want   string
		ok     bool
	}{
		{"IPv4", name(unix.AF_INET, 53, "192.0.2.1"), "192.0.2.1:53", true},
		{"IPv6", name(unix.AF_INET6, 53, "2001:db8::1"), "[2001:db8::1]:53", true},
		{"IPv4 in IPv6", name(unix.AF_INET6, 53, "::ffff:192.0.2.1"), "192.0.2.1:53", true},
		{"port 0", name(unix.AF_INET, 0, "192.0.2.1"), "192.0.2.1:0", false},
		{"port 0 of IPv6", name(unix.AF_INET6, 0, "2001:db8::1"), "[2001:db8::1]:0", false},
	} {
		if got, ok := sourceOf(&test.name); got.String() != test.want || ok != test.ok {
			t.Errorf("%s: sourceOf() = %v, %v, want %s, %v", test.reason, got, ok, test.want, test.ok)
		}
	}
}

// The answer leaves from the address that was asked, by whatever way leads to the client.
func TestLeaveByAnyInterface(t *testing.T) {
	var v4, v6 [controlSize / 8]uint64
	h := (*unix.Cmsghdr)(unsafe.Pointer(&v4))
	h.Level = unix.IPPROTO_IP
	info4 := (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(&v4), unix.CmsgLen(0)))
	*info4 = unix.Inet4Pktinfo{Ifindex: 7, Spec_dst: [4]byte{192, 0, 2, 1}}
	leaveByAnyInterface(&v4)
	if want := (unix.Inet4Pktinfo{Spec_dst: [4]byte{192, 0, 2, 1}}); *info4 != want {
		t.Errorf("IPv4: %+v, want %+v", *info4, want)
	}
	h = (*unix.Cmsghdr)(unsafe.Pointer(&v6))
	h.Level = unix.IPPROTO_IPV6
	info6 := (*unix.Inet6Pktinfo)(unsafe.Add(unsafe.Pointer(&v6), unix.CmsgLen(0)))
	*info6 = unix.Inet6Pktinfo{Ifindex: 7, Addr: [16]byte{0x20, 1}}
	leaveByAnyInterface(&v6)
	if want := (unix.Inet6Pktinfo{Addr: [16]byte{0x20, 1}}); *info6 != want {
		t.Errorf("IPv6: %+v, want %+v", *info6, want)
	}
}

// loaded is a worker whose batch is full of the same query.
func loaded(tb testing.TB, port uint16) (*udpWorker, *Server) {
	tb.Helper()
	published := snapshot(tb, toEurope)
	config := Config{UDPWorkers: 1, Snapshot: func() *zones.Snapshot { return published }, CookieKey: cookieKey}
	s := &Server{config: config.withDefaults(), began: time.Now(), ledger: newLedger()}
	s.identity.Store(&s.config.Identity)
	w := &udpWorker{address: netip.MustParseAddrPort("127.0.0.1:53")}
	w.counters = s.ledger.open(transportUDP)
	w.limiter = s.newLimiter(w.counters, w.address)
	w.limiter.begin(s, false)
	w.prepare()
	query := packed(tb)
	for i := range batchSize {
		w.in[i].length = uint32(copy(w.queries[i][:], query))
		binary.NativeEndian.PutUint16(w.names[i][:], unix.AF_INET)
		binary.BigEndian.PutUint16(w.names[i][2:], port)
		copy(w.names[i][4:], "\xC0\x00\x02\x01")
	}
	return w, s
}

func TestNoAnswerToPortZero(t *testing.T) {
	w, s := loaded(t, 0)
	w.answer(s, batchSize)
	if drops := w.counters.drops[dropPort].Load(); w.replies != 0 || drops != batchSize {
		t.Errorf("%d replies, %d drops, want 0, %d", w.replies, drops, batchSize)
	}
}

func TestBatch(t *testing.T) {
	w, s := loaded(t, 5353)
	w.in[3].length = 11
	w.queries[5][2] |= 0x80
	w.answer(s, batchSize)
	if w.replies != batchSize-2 {
		t.Fatalf("%d replies, want %d", w.replies, batchSize-2)
	}
	if w.out[3].header.Name != &w.names[4][0] || w.out[4].header.Name != &w.names[6][0] {
		t.Error("replies behind a drop go to others than those that asked")
	}
}

func TestUDPAllocatesNothing(t *testing.T) {
	for _, recorder := range []Recorder{nil, new(pebble)} {
		w, s := loaded(t, 5353)
		w.limiter.recorder = recorder
		if allocs := testing.AllocsPerRun(100, func() {
			w.replies = 0
			w.limiter.begin(s, true)
			w.answer(s, batchSize)
		}); allocs != 0 {
			t.Errorf("a batch allocates %v times, recorder %T", allocs, recorder)
		}
	}
}

// BenchmarkBatch is the cost of a query without that of the system calls, where the queries come from 2^14 networks by turns.
func BenchmarkBatch(b *testing.B) {
	w, s := loaded(b, 5353)
	b.ReportAllocs()
	for network := uint32(0); b.Loop(); {
		for i := range batchSize {
			network += 1 << 18 // and so on through the IPv4 space
			binary.BigEndian.PutUint32(w.names[i][4:], network)
		}
		w.replies = 0
		w.limiter.begin(s, false)
		w.answer(s, batchSize)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/query")
}

// BenchmarkUDP sends batches over the loopback and waits for their answers: both sides' system calls are in it.
func BenchmarkUDP(b *testing.B) {
	published := snapshot(b, toEurope)
	s, err := Listen(Config{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, UDPWorkers: 1,
		Snapshot: func() *zones.Snapshot { return published },
	})
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve()
	defer s.Close()
	client, err := openUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(client)
	if err := unix.Connect(client, &unix.SockaddrInet4{Port: int(s.Addrs()[0].Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		b.Fatal(err)
	}
	w := &udpWorker{socket: client, address: netip.MustParseAddrPort("127.0.0.1:53")}
	w.prepare()
	query := packed(b)
	for i := range batchSize {
		w.out[i].header.Name = nil
		w.answerIO[i].Base = &query[0]
		w.answerIO[i].SetLen(len(query))
	}
	w.counters = newLedger().open(transportUDP)
	start, answered := time.Now(), 0
	for b.Loop() {
		w.replies = batchSize
		w.send()
		for got := 0; got < batchSize; {
			n := w.receive(false)
			if n == 0 {
				b.Fatal("an answer is missing")
			}
			for i := range n {
				w.rearm(i)
			}
			got += n
		}
		answered += batchSize
	}
	b.ReportMetric(float64(answered)/time.Since(start).Seconds(), "queries/s")
}

func packed(tb testing.TB) []byte {
	tb.Helper()
	q := new(dns.Msg)
	q.SetQuestion("api.example.com.", dns.TypeA)
	query, err := q.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return query
}
