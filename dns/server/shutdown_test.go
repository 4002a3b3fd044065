package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// With everything under way at once, Close ends it all in a bounded time, and TestMain finds no goroutine afterwards.
func TestCloseWithEverythingInFlight(t *testing.T) {
	var running atomic.Int32
	r := runEncrypted(t, Config{
		Limits: Limits{Idle: time.Hour, Handshake: time.Hour, Write: time.Second},
		Maintain: func(ctx context.Context, r Request) bool {
			running.Add(1)
			<-ctx.Done()
			return r.Send(echo(r, dns.RcodeServerFailure)) == nil
		},
	})
	raw := func(address, say string) net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, _ = conn.Write([]byte(say))
		return conn
	}
	secure := func(address, protocol, say string) {
		conn, err := tls.Dial("tcp", address, clientTLS(protocol))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, _ = conn.Write([]byte(say))
	}
	notify := string(appendFramed(nil, asking(t, 0, dns.OpcodeNotify, dns.TypeSOA)))
	for _, address := range []string{r.address, r.dot, r.doh} {
		raw(address, "")
		raw(address, "\x16\x03\x01\x00\x80half") // of a hello, or of a query
	}
	waits := raw(r.address, notify)
	secure(r.dot, "dot", notify)
	secure(r.dot, "dot", "")
	secure(r.doh, "http/1.1", "POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\nContent-Length: 50\r\n\r\nhalf")
	secure(r.doh, "http/1.1", "")
	if response, err := webClient(t, true).Post("https://"+r.doh+"/dns-query", "application/dns-message",
		bytes.NewReader(message(t, "mail.example.com.", dns.TypeA, nil))); err != nil {
		t.Fatal(err)
	} else {
		response.Body.Close()
	}
	conn := dialQUIC(t, r.doq)
	st, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = st.Write([]byte(notify))
	_ = st.Close()
	dialQUIC(t, r.doq)
	eventually(t, func() bool { return running.Load() == 3 })

	start := time.Now()
	r.Close()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	if m := readAnswer(t, waits); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("answer while closing: %v, want SERVFAIL", m)
	}
	if n := r.clients.count.Load(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// Connections that are silent, or begin and say no more, give way to a client that asks, however many there are.
func TestFullTableOfSilentClients(t *testing.T) {
	const places = 20
	r := runEncrypted(t, Config{Limits: Limits{Connections: places, Handshake: time.Hour, Idle: time.Hour, IdleFull: time.Hour}})
	for i := range 3 * places {
		conn, err := net.Dial("tcp", [...]string{r.address, r.dot, r.doh}[i%3])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = conn.Write([]byte{0}) // and never the rest
		}
	}
	// A client that comes while others of them are still to be taken in has its place only for as long as those take.
	evicted := func() (sum float64) {
		for name, value := range r.metrics(t) {
			if strings.Contains(name, "reason=evicted") {
				sum += value
			}
		}
		return sum
	}
	eventually(t, func() bool { return evicted() == 2*places })
	for _, protocol := range []string{"tcp", "tcp-tls"} {
		c := dns.Client{Net: protocol, TLSConfig: clientTLS("dot"), Timeout: 10 * time.Second}
		q := new(dns.Msg)
		q.SetQuestion("mail.example.com.", dns.TypeA)
		address := map[string]string{"tcp": r.address, "tcp-tls": r.dot}[protocol]
		if m, _, err := c.Exchange(q, address); err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v, %v, want an answer", protocol, m, err)
		}
	}
	if b, err := speak(dialQUIC(t, r.doq), appendFramed(nil, message(t, "mail.example.com.", dns.TypeA, nil))); err != nil || len(b) != 52 {
		t.Errorf("doq: %x, %v, want an answer", b, err)
	}
	if got := evicted(); got <= 2*places {
		t.Errorf("%v clients were evicted, want one for a client that asks", got)
	}
}

// Bytes that are no TLS, no HTTP and no DNS end their connection and nothing else.
func TestGarbage(t *testing.T) {
	r := runEncrypted(t, Config{Limits: Limits{Idle: 500 * time.Millisecond}})
	garbage := bytes.Repeat([]byte("\xff\x00\x17garbage\r\n\r\n"), 5000)
	for _, address := range []string{r.address, r.dot, r.doh} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(garbage)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		for err = nil; err == nil; {
			_, err = conn.Read(make([]byte, 4096))
		}
		conn.Close()
	}
	for _, protocol := range []string{"dot", "http/1.1", "h2"} {
		conn, err := tls.Dial("tcp", map[string]string{"dot": r.dot, "http/1.1": r.doh, "h2": r.doh}[protocol], clientTLS(protocol))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(garbage)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		for err = nil; err == nil; {
			_, err = conn.Read(make([]byte, 4096))
		}
		conn.Close()
	}
	conn, err := net.Dial("udp", r.doq)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n := range 200 {
		_, _ = conn.Write(garbage[:5*n])
	}
	eventually(t, func() bool { return r.clients.count.Load() == 0 })
	if b, err := speak(dialQUIC(t, r.doq), appendFramed(nil, message(t, "mail.example.com.", dns.TypeA, nil))); err != nil || len(b) != 52 {
		t.Errorf("doq after garbage: %x, %v, want an answer", b, err)
	}
	if n := r.log.count("\n"); n != 0 {
		t.Errorf("%d log lines, want none", n)
	}
}

// Another client than our libraries understands us.
func TestKdig(t *testing.T) {
	kdig, err := exec.LookPath("kdig")
	if err != nil {
		t.Skip("SKIPPED: kdig is not installed (Debian package knot-dnsutils)")
	}
	r := runEncrypted(t, Config{})
	for _, test := range []struct{ option, address string }{
		{"+tcp", r.address}, {"+tls", r.dot}, {"+https", r.doh}, {"+https-get", r.doh}, {"+quic", r.doq},
	} {
		host, port, err := net.SplitHostPort(test.address)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), kdig, "@"+host, "-p", port, test.option, "+retry=0", "+timeout=10", "+short",
			"mail.example.com.", "A").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != "192.0.2.25" {
			t.Errorf("kdig %s: %v, %s, want 192.0.2.25", test.option, err, got)
		}
	}
}
