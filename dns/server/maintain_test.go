package server

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// asking packs a message of an opcode or type.
func asking(t *testing.T, id uint16, opcode int, qtype uint16) []byte {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion("example.com.", qtype)
	q.Id, q.Opcode = id, opcode
	if qtype == dns.TypeIXFR {
		q.SetIxfr("example.com.", 1, "ns1.example.com.", "hostmaster.example.com.")
		q.Id = id
	}
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// echo answers a request with its header as a response with an rcode.
func echo(r Request, rcode byte) []byte {
	m := append([]byte(nil), r.Message...)
	m[2] |= 0x80
	m[3] = rcode
	return m
}

// A transfer that takes its time holds up nothing behind it, and its messages come whole between other answers.
func TestOthersOvertakeATransfer(t *testing.T) {
	release := make(chan struct{})
	r := runEncrypted(t, Config{Maintain: func(_ context.Context, r Request) bool {
		<-release
		for range 3 {
			if err := r.Send(echo(r, 0)); err != nil {
				t.Error(err)
			}
		}
		return true
	}})
	dialTCP := func() net.Conn {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	dialTLS := func() net.Conn {
		conn, err := tls.Dial("tcp", r.dot, clientTLS("dot"))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	var conns []net.Conn
	for _, dial := range []func() net.Conn{dialTCP, dialTLS} {
		conn := dial()
		defer conn.Close()
		conns = append(conns, conn)
		out := appendFramed(nil, asking(t, 1, dns.OpcodeQuery, dns.TypeAXFR))
		for id := range uint16(20) {
			out = append(out, framed(t, 100+id, "mail.example.com.", dns.TypeA, 0)...)
		}
		if _, err := conn.Write(out); err != nil {
			t.Fatal(err)
		}
		for id := range uint16(20) {
			if m := readAnswer(t, conn); m.Id != 100+id {
				t.Fatalf("answer %d has ID %d, want %d", id, m.Id, 100+id)
			}
		}
	}
	close(release)
	for _, conn := range conns {
		for range 3 {
			if m := readAnswer(t, conn); m.Id != 1 || !m.Response {
				t.Errorf("message of the transfer: %v", m)
			}
		}
	}
	eventually(t, func() bool {
		m := r.metrics(t)
		return m["queries_total{transport=tcp,type=AXFR}"] == 1 && m["queries_total{transport=dot,type=AXFR}"] == 1 && m["responses_total{rcode=NOERROR}"] == 42
	})
}

// A client that has asked all that it wants may say so, and gets its transfer nevertheless.
func TestHalfCloseDuringATransfer(t *testing.T) {
	release := make(chan struct{})
	r := run(t, Config{Maintain: func(_ context.Context, r Request) bool {
		<-release
		return r.Send(echo(r, 0)) == nil
	}})
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(appendFramed(framed(t, 2, "mail.example.com.", dns.TypeA, 0), asking(t, 1, dns.OpcodeQuery, dns.TypeAXFR)))
	_ = conn.(*net.TCPConn).CloseWrite()
	readAnswer(t, conn) // of the query: what follows it is under way
	close(release)
	if m := readAnswer(t, conn); m.Id != 1 {
		t.Errorf("answer %d, want the transfer", m.Id)
	}
}

// exchangeDatagram sends a message over UDP and returns the answer.
func exchangeDatagram(t *testing.T, address string, message []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(message)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer[:n]
}

// What Config.Maintain is told, and asked at all, over each transport.
func TestMaintain(t *testing.T) {
	var last atomic.Pointer[Request]
	r := runEncrypted(t, Config{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("0.0.0.0:0")},
		Maintain: func(_ context.Context, r Request) bool {
			last.Store(&r)
			if r.Message[2]>>3&15 == opcodeUpdate {
				return false
			}
			return r.Send(echo(r, dns.RcodeNotAuth)) == nil
		},
	})
	udp := func(address string) func([]byte) []byte {
		return func(b []byte) []byte { return exchangeDatagram(t, address, b) }
	}
	stream := func(dial func() (net.Conn, error)) func([]byte) []byte {
		return func(b []byte) []byte {
			conn, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = conn.Write(appendFramed(nil, b))
			var length [2]byte
			_, _ = io.ReadFull(conn, length[:])
			answer := make([]byte, int(length[0])<<8|int(length[1]))
			if _, err := io.ReadFull(conn, answer); err != nil {
				t.Fatal(err)
			}
			return answer
		}
	}
	quic := dialQUIC(t, r.doq)
	wildcard := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), r.Addrs()[1].Port()).String()
	for _, transport := range []struct {
		name, metric string
		limit        int
		encrypted    bool
		ask          func([]byte) []byte
	}{
		{"udp", "udp", 1232, false, udp(r.address)},
		{"udp at any address", "udp", 1232, false, udp(wildcard)},
		{"tcp", "tcp", 65535, false, stream(func() (net.Conn, error) { return net.Dial("tcp", r.address) })},
		{"dot", "dot", 65535, true, stream(func() (net.Conn, error) { return tls.Dial("tcp", r.dot, clientTLS("dot")) })},
		{"doq", "doq", 65535, true, func(b []byte) []byte {
			answer, err := speak(quic, appendFramed(nil, b))
			if err != nil || len(answer) < 2 {
				t.Fatalf("%x, %v", answer, err)
			}
			return answer[2:]
		}},
	} {
		for _, test := range []struct {
			reason string
			opcode int
			qtype  uint16
			asked  bool
			rcode  byte
		}{
			{"a query", dns.OpcodeQuery, dns.TypeSOA, false, dns.RcodeSuccess},
			{"NOTIFY", dns.OpcodeNotify, dns.TypeSOA, true, dns.RcodeNotAuth},
			{"UPDATE, which is not handled", dns.OpcodeUpdate, dns.TypeSOA, true, dns.RcodeNotImplemented},
			{"IXFR", dns.OpcodeQuery, dns.TypeIXFR, true, dns.RcodeNotAuth},
			{"AXFR", dns.OpcodeQuery, dns.TypeAXFR, transport.metric != "udp", dns.RcodeNotAuth},
			{"STATUS", dns.OpcodeStatus, dns.TypeSOA, false, dns.RcodeNotImplemented},
		} {
			want := test.rcode
			if test.qtype == dns.TypeAXFR && !test.asked {
				want = dns.RcodeRefused
			}
			last.Store(nil)
			answer := transport.ask(asking(t, 0, test.opcode, test.qtype))
			if answer[3]&15 != want {
				t.Errorf("%s over %s: rcode %d, want %d", test.reason, transport.name, answer[3]&15, want)
			}
			request := last.Load()
			if (request != nil) != test.asked {
				t.Errorf("%s over %s: asked %v, want %v", test.reason, transport.name, request != nil, test.asked)
			} else if request != nil && (request.Transport != transport.metric || request.Limit != transport.limit ||
				(request.TLS != nil) != transport.encrypted || !request.From.Addr().IsLoopback() || request.From.Port() == 0) {
				t.Errorf("%s over %s: told %+v", test.reason, transport.name, request)
			}
		}
	}
}

// Requests that there is no room for are answered at once: they may be tried again.
func TestMaintainIsBounded(t *testing.T) {
	release := make(chan struct{})
	r := run(t, Config{
		Limits: Limits{MaintainPerClient: 2},
		Maintain: func(_ context.Context, r Request) bool {
			<-release
			return r.Send(echo(r, 0)) == nil
		},
	})
	for _, protocol := range []string{"udp", "tcp"} {
		conn, err := net.Dial(protocol, r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for id := range uint16(2) { // by UDP, which takes all places of the client
			b := asking(t, id, dns.OpcodeNotify, dns.TypeSOA)
			if protocol == "tcp" {
				b = appendFramed(nil, b)
			}
			_, _ = conn.Write(b)
		}
		if protocol == "tcp" {
			for range 2 {
				if m := readAnswer(t, conn); m.Rcode != dns.RcodeServerFailure || m.Opcode != dns.OpcodeNotify || len(m.Question) != 1 || !m.Response {
					t.Errorf("without room: %v, want SERVFAIL", m)
				}
			}
			continue
		}
		eventually(t, func() bool {
			r.maintain.mu.Lock()
			defer r.maintain.mu.Unlock()
			return r.maintain.taken == 2
		})
	}
	if got := r.metrics(t)["dropped_total{reason=maintain,transport=tcp}"]; got != 2 {
		t.Errorf("%v requests counted, want 2", got)
	}
	close(release)
	eventually(t, func() bool {
		r.maintain.mu.Lock()
		defer r.maintain.mu.Unlock()
		return r.maintain.taken == 0 && len(r.maintain.byClient) == 0
	})
}

// What Config.Maintain leaves to others is answered over UDP without any bound, so the answer is shorter than the query.
func TestUnhandledDatagram(t *testing.T) {
	r := run(t, Config{Maintain: func(context.Context, Request) bool { return false }})
	conn, err := net.Dial("udp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA)
	m.SetTsig("key.example.", dns.HmacSHA256, 300, 1)
	query, _, err := dns.TsigGenerate(m, "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=", "", false)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(query)
	b := make([]byte, 1232)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(b[:n]); err != nil || !answer.Truncated || len(answer.Answer)+len(answer.Ns) > 0 || n > len(query) {
		t.Errorf("the answer is %v, %v, want it truncated", answer, err)
	}
}

func TestSlots(t *testing.T) {
	var s slots
	s.init(3, 2)
	for i, test := range []struct {
		from string
		want bool
	}{{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false}, {"2001:db8::1", true}, {"192.0.2.2", false}} {
		if got := s.take(netip.MustParseAddr(test.from)); got != test.want {
			t.Errorf("%d: take(%s) = %v, want %v", i, test.from, got, test.want)
		}
	}
	s.give(netip.MustParseAddr("192.0.2.1"))
	if !s.take(netip.MustParseAddr("192.0.2.2")) {
		t.Error("a place that was given back is not taken")
	}
}

// A panic in Config.Maintain costs its request alone.
func TestPanicInMaintain(t *testing.T) {
	r := run(t, Config{Maintain: func(context.Context, Request) bool { panic("a bug") }})
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(appendFramed(appendFramed(nil, asking(t, 1, dns.OpcodeNotify, dns.TypeSOA)), asking(t, 2, dns.OpcodeQuery, dns.TypeSOA)))
	if m := readAnswer(t, conn); m.Id != 2 {
		t.Errorf("answer %d, want the second alone", m.Id)
	}
	eventually(t, func() bool {
		r.maintain.mu.Lock()
		defer r.maintain.mu.Unlock()
		return r.metrics(t)["dropped_total{reason=panic,transport=tcp}"] == 1 && r.maintain.taken == 0
	})
	if r.log.count("panic while answering") != 1 {
		t.Error("nothing is logged")
	}
}

// While a transfer goes on the connection is not idle; a client that does not read is slow, though it asks.
func TestTransferKeepsTheConnection(t *testing.T) {
	for _, test := range []struct {
		reason string
		reads  int
		after  time.Duration
		slow   uint64
	}{
		{"reads all", 3, 80 * time.Second, 0}, // done at 63 s, while it waited for a query from 60 s to 70 s
		{"reads the first message", 1, 42*time.Second + 5*time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := unbound(t, Limits{})
			s.config.Maintain = func(_ context.Context, r Request) bool {
				for range 3 {
					time.Sleep(21 * time.Second) // longer than any idle time
					if r.Send(echo(r, 0)) != nil {
						break
					}
				}
				return true
			}
			near, far := net.Pipe()
			defer far.Close()
			start := time.Now()
			done := make(chan time.Duration)
			go func() {
				s.serve(near)
				done <- time.Since(start)
			}()
			_, _ = far.Write(appendFramed(nil, asking(t, 7, dns.OpcodeQuery, dns.TypeAXFR)))
			for range test.reads {
				readAnswer(t, far)
			}
			if lasted := <-done; lasted != test.after {
				t.Errorf("%s: the connection lasted %v, want %v", test.reason, lasted, test.after)
			}
			if got := s.shared[transportTCP].drops[dropSlow].Load(); got != test.slow {
				t.Errorf("%s: %d slow clients counted, want %d", test.reason, got, test.slow)
			}
		})
	}
}
