package probe

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
)

// nameserver starts a server over UDP and TCP at one port.
func nameserver(t *testing.T, handle func(w dns.ResponseWriter, query *dns.Msg, tcp bool)) netip.AddrPort {
	var listener net.Listener
	var packets net.PacketConn
	for range 20 { // until a port is free for both
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if packets, err = net.ListenPacket("udp", listener.Addr().String()); err == nil {
			break
		}
		listener.Close()
	}
	if packets == nil {
		t.Fatal("no port")
	}
	var served sync.WaitGroup
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { handle(w, q, w.LocalAddr().Network() == "tcp") })
	started := make(chan struct{}, 2)
	servers := []*dns.Server{{Listener: listener}, {PacketConn: packets}}
	for _, s := range servers {
		s.Handler = handler
		s.NotifyStartedFunc = func() { started <- struct{}{} }
		served.Go(func() { s.ActivateAndServe() })
		<-started
	}
	t.Cleanup(func() {
		for _, s := range servers {
			s.Shutdown()
		}
		served.Wait()
	})
	return address(listener.Addr())
}

func records(t *testing.T, texts ...string) (rrs []dns.RR) {
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func TestDNS(t *testing.T) {
	zone := map[string][]dns.RR{
		"a.example.":   records(t, "a.example. 30 IN A 192.0.2.1", "a.example. 30 IN A 192.0.2.2"),
		"c.example.":   records(t, "c.example. 30 IN CNAME A.example.", "a.example. 30 IN A 192.0.2.1"),
		"t.example.":   records(t, `t.example. 30 IN TXT "Ready now"`),
		"big.example.": records(t, "big.example. 30 IN A 192.0.2.3"),
	}
	at := nameserver(t, func(w dns.ResponseWriter, q *dns.Msg, tcp bool) {
		m := new(dns.Msg).SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		switch rrs, known := zone[name]; {
		case name == "big.example." && !tcp:
			m.Truncated = true
		case known:
			m.Answer = rrs
		case name == "refused.example.":
			m.Rcode = dns.RcodeRefused
		case name == "form.example.":
			m = &dns.Msg{MsgHdr: dns.MsgHdr{Id: q.Id, Response: true, Rcode: dns.RcodeFormatError}}
		case name == "tcp.example.":
			if !tcp {
				m.Rcode = dns.RcodeServerFailure
			}
		default:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	for _, row := range []struct {
		why    string
		server netip.AddrPort
		option health.Options
		reason health.Reason
		detail string
	}{
		{"an answer", at, health.Options{QueryName: "a.example."}, health.ReasonOK, "NOERROR, 2 records"},
		{"over TCP", at, health.Options{QueryName: "tcp.example.", TCP: true}, health.ReasonOK, "NOERROR, 0 records"},
		{"another rcode", at, health.Options{QueryName: "refused.example."}, health.ReasonStatus, "REFUSED, expected NOERROR"},
		{"which may be expected", at, health.Options{QueryName: "refused.example.", ExpectRcode: []string{"NXDOMAIN", "REFUSED"}}, health.ReasonOK, "REFUSED, 0 records"},
		{"or not", at, health.Options{QueryName: "x.example.", ExpectRcode: []string{"NOERROR", "REFUSED"}}, health.ReasonStatus, "NXDOMAIN, expected NOERROR, REFUSED"},
		{"no question in the answer", at, health.Options{QueryName: "form.example."}, health.ReasonStatus, "FORMERR, expected NOERROR"},
		{"an address", at, health.Options{QueryName: "a.example.", QueryType: "A", ExpectAnswer: []string{"198.51.100.1", "192.0.2.2"}}, health.ReasonOK, "NOERROR, expected record found"},
		{"another address", at, health.Options{QueryName: "a.example.", QueryType: "A", ExpectAnswer: []string{"198.51.100.1"}}, health.ReasonBody, "NOERROR, expected record not among 2"},
		{"behind an alias", at, health.Options{QueryName: "c.example.", QueryType: "A", ExpectAnswer: []string{"192.0.2.1"}}, health.ReasonOK, "NOERROR, expected record found"},
		{"names have no case", at, health.Options{QueryName: "c.example.", QueryType: "CNAME", ExpectAnswer: []string{"a.EXAMPLE."}}, health.ReasonOK, "NOERROR, expected record found"},
		{"texts have", at, health.Options{QueryName: "t.example.", QueryType: "TXT", ExpectAnswer: []string{`"ready now"`}}, health.ReasonBody, "NOERROR, expected record not among 1"},
		{"a text", at, health.Options{QueryName: "t.example.", QueryType: "TXT", ExpectAnswer: []string{`"Ready now"`}}, health.ReasonOK, "NOERROR, expected record found"},
		{"truncated, so it is asked again over TCP", at, health.Options{QueryName: "big.example.", QueryType: "A", ExpectAnswer: []string{"192.0.2.3"}}, health.ReasonOK, "NOERROR, expected record found"},
		{"truncated, but the rcode is all that counts", at, health.Options{QueryName: "big.example."}, health.ReasonOK, "NOERROR, 0 records"},
		{"a name that is none", at, health.Options{QueryName: strings.Repeat("x", 64) + "."}, health.ReasonOther, "request: dns: bad rdata"},
		{"nobody is there", refuses(t), health.Options{QueryName: "a.example."}, health.ReasonRefused, "first byte: refused"},
		{"nobody is there, over TCP", refuses(t), health.Options{QueryName: "a.example.", TCP: true}, health.ReasonRefused, "connect: refused"},
		{"closed, over TCP", talks(t, func(*net.TCPConn) {}), health.Options{QueryName: "a.example.", TCP: true}, health.ReasonReset, "first byte: connection closed"},
		{"half an answer, over TCP", talks(t, says("\x00\x20half")), health.Options{QueryName: "a.example.", TCP: true}, health.ReasonReset, "first byte: connection closed"},
	} {
		target := health.Target{Kind: health.KindDNS, Address: row.server, Options: row.option}
		got := try(&target, nil)
		if row.reason == health.ReasonOther && strings.HasPrefix(got.Detail, "request: ") {
			got.Detail = row.detail
		}
		expect(t, row.why, got, row.reason, row.detail)
		if row.reason == health.ReasonOK && (got.FirstByte <= 0 || got.Connect > 0 && !row.option.TCP && !strings.HasPrefix(row.why, "truncated,")) {
			t.Errorf("%s: times %v, %v", row.why, got.Connect, got.FirstByte)
		}
	}
}

// Messages that are no answer to the query are passed over, until the answer comes.
func TestDNSStrangers(t *testing.T) {
	reply := func(change func(m *dns.Msg)) func(*dns.Msg) []byte {
		return func(q *dns.Msg) []byte {
			m := new(dns.Msg).SetReply(q)
			m.Rcode = dns.RcodeRefused // what a forger would like to be believed
			change(m)
			b, _ := m.Pack()
			return b
		}
	}
	for _, row := range []struct {
		why     string
		forgery func(q *dns.Msg) []byte
	}{
		{"another id", reply(func(m *dns.Msg) { m.Id++ })},
		{"another name", reply(func(m *dns.Msg) { m.Question[0].Name = "b.example." })},
		{"another type", reply(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA })},
		{"no question", reply(func(m *dns.Msg) { m.Question = nil })},
		{"two questions", reply(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })},
		{"a query", reply(func(m *dns.Msg) { m.Response = false })},
		{"malformed", func(q *dns.Msg) []byte {
			return append(binary.BigEndian.AppendUint16(nil, q.Id), 0x81, 0x80, 0, 9, 0, 9, 0, 0, 0, 0, 1)
		}},
		{"short", func(q *dns.Msg) []byte { return binary.BigEndian.AppendUint16(nil, q.Id) }},
		{"empty", func(q *dns.Msg) []byte { return nil }},
	} {
		forge := true
		answer := func(w dns.ResponseWriter, q *dns.Msg, tcp bool) {
			w.Write(row.forgery(q))
			if forge {
				w.WriteMsg(new(dns.Msg).SetReply(q))
			}
		}
		at := nameserver(t, answer)
		for _, tcp := range []bool{false, true} {
			target := health.Target{Kind: health.KindDNS, Address: at, Options: health.Options{QueryName: "a.example.", TCP: tcp}}
			expect(t, row.why, try(&target, nil), health.ReasonOK, "NOERROR, 0 records")
		}
	}
}

// An answer from another socket than the one that was asked does not count.
func TestDNSFromElsewhere(t *testing.T) {
	forger, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close()
	at := nameserver(t, func(w dns.ResponseWriter, q *dns.Msg, _ bool) {
		forged := new(dns.Msg).SetRcode(q, dns.RcodeRefused)
		b, _ := forged.Pack()
		forger.WriteTo(b, w.RemoteAddr())
		w.WriteMsg(new(dns.Msg).SetReply(q))
	})
	target := health.Target{Kind: health.KindDNS, Address: at, Options: health.Options{QueryName: "a.example."}}
	expect(t, "an answer from elsewhere", try(&target, nil), health.ReasonOK, "NOERROR, 0 records")
}

func TestHostileDNS(t *testing.T) {
	for _, row := range []struct {
		why    string
		serve  func(net.Conn)
		tcp    bool
		reason health.Reason
		detail string
		took   time.Duration
	}{
		{"silent", replies(time.Hour, ""), false, health.ReasonTimeout, "first byte: timeout after 2s", 2 * time.Second},
		{"silent, over TCP", replies(time.Hour, ""), true, health.ReasonTimeout, "first byte: timeout after 2s", 2 * time.Second},
		{"only strangers", replies(300*time.Millisecond, "12", "34", "56", "78", "9a", "bc", "de", "f0"), false, health.ReasonTimeout,
			"first byte: timeout after 2s (6 messages were no answer to the query)", 2 * time.Second},
		{"strangers without an end", func(c net.Conn) {
			c.Read(make([]byte, 512))
			for _, err := c.Write([]byte("12")); err == nil; _, err = c.Write([]byte("12")) {
			}
		}, false, health.ReasonOther, "first byte: too many messages that are no answer to the query (1000 messages were no answer to the query)", 0},
		{"an answer drop by drop, over TCP", replies(400*time.Millisecond, "\x00", "\x20", "a", "b", "c", "d", "e"), true, health.ReasonTimeout, "first byte: timeout after 2s", 2 * time.Second},
		{"bytes without an end, over TCP", func(c net.Conn) {
			c.Read(make([]byte, 512))
			for err := error(nil); err == nil; _, err = c.Write(make([]byte, 4096)) {
			}
		}, true, health.ReasonOther, "first byte: too many messages that are no answer to the query (1000 messages were no answer to the query)", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(place(1), row.serve)
			target := health.Target{Kind: health.KindDNS, Address: place(1), Interval: 10 * time.Second, Options: health.Options{QueryName: "a.example.", TCP: row.tcp}}
			got := attempt(t.Context(), &target, 7, wireOf(Config{Dial: w.dial}))
			expect(t, row.why, got, row.reason, row.detail)
			if took := time.Since(w.begin); took != row.took {
				t.Errorf("%s: took %v, want %v", row.why, took, row.took)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

func FuzzAnswerTo(f *testing.F) {
	query := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	query.Id = 0x3132
	reply := new(dns.Msg).SetReply(query)
	rr, err := dns.NewRR("a.example. 30 IN A 192.0.2.1")
	if err != nil {
		f.Fatal(err)
	}
	reply.Answer = []dns.RR{rr}
	packed, err := reply.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add(packed[:20])
	f.Add([]byte("12"))
	target := &health.Target{Kind: health.KindDNS, Options: health.Options{QueryName: "a.example.", QueryType: "A", ExpectAnswer: []string{"192.0.2.1"}}}
	f.Fuzz(func(t *testing.T, message []byte) {
		answer := answerTo(query, message)
		if answer == nil {
			return
		}
		if binary.BigEndian.Uint16(message) != query.Id || message[2]&0x80 == 0 {
			t.Errorf("%x is taken for an answer", message)
		}
		if reason, _ := judgeDNS(target, answer); reason != health.ReasonOK && reason != health.ReasonStatus && reason != health.ReasonBody {
			t.Errorf("%x: %v", message, reason)
		}
	})
}

func FuzzNextMessage(f *testing.F) {
	f.Add([]byte("\x00\x02ab\x00\x01c"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		buffer := make([]byte, dns.MaxMsgSize)
		for from := strings.NewReader(string(stream)); ; {
			before := from.Len()
			message, err := nextMessage(from, "tcp", buffer)
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Errorf("nextMessage = %v", err)
				}
				return
			}
			if before-from.Len() != 2+len(message) {
				t.Errorf("a message of %d bytes took %d", len(message), before-from.Len())
			}
		}
	})
}
