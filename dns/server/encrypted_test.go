package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

const serverName = "ns1.example.com"

// certificate makes one for serverName that signs itself, and the pool that trusts it.
var certificate = sync.OnceValues(func() (*tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trusted
})

func clientTLS(protocols ...string) *tls.Config {
	_, trusted := certificate()
	return &tls.Config{RootCAs: trusted, ServerName: serverName, NextProtos: protocols}
}

// An encrypted server has one address for each transport.
type encrypted struct {
	*running
	dot, doh, doq string
}

func runEncrypted(t *testing.T, config Config) encrypted {
	t.Helper()
	free := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	config.TLS, config.HTTPS, config.QUIC = free, free, free
	if config.Certificate == nil {
		config.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, _ := certificate()
			return c, nil
		}
	}
	r := run(t, config)
	overTLS, overHTTPS, overQUIC := r.EncryptedAddrs()
	return encrypted{r, overTLS[0].String(), overHTTPS[0].String(), overQUIC[0].String()}
}

// webClient speaks the version of HTTP that it is told, and nothing else.
func webClient(t *testing.T, version2 bool) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP2(version2)
	protocols.SetHTTP1(!version2)
	transport := &http.Transport{TLSClientConfig: clientTLS(), Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func dialQUIC(t *testing.T, address string) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, address, clientTLS("doq"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	return conn
}

// speak sends bytes on a stream of its own, ends that, and reads all that comes.
func speak(conn *quic.Conn, b []byte) ([]byte, error) {
	st, err := conn.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := st.Write(b); err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	_ = st.SetReadDeadline(time.Now().Add(10 * time.Second))
	return io.ReadAll(st)
}

func message(t *testing.T, name string, qtype uint16, change func(*dns.Msg)) []byte {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.Id = 0
	if change != nil {
		change(q)
	}
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// All transports give the same answer, apart from its ID.
func TestAnswersOverEncryptedTransports(t *testing.T) {
	r := runEncrypted(t, Config{})
	http1, http2, conn := webClient(t, false), webClient(t, true), dialQUIC(t, r.doq)
	fetch := func(client *http.Client, version int, request func() (*http.Response, error)) ([]byte, error) {
		response, err := request()
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != 200 || response.ProtoMajor != version || response.Header.Get("Content-Type") != "application/dns-message" {
			return nil, fmt.Errorf("%s %s %v", response.Status, response.Proto, response.Header)
		}
		return io.ReadAll(response.Body)
	}
	get := func(client *http.Client, version int) func([]byte) ([]byte, error) {
		return func(query []byte) ([]byte, error) {
			return fetch(client, version, func() (*http.Response, error) {
				return client.Get("https://" + r.doh + "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(query))
			})
		}
	}
	post := func(client *http.Client, version int) func([]byte) ([]byte, error) {
		return func(query []byte) ([]byte, error) {
			return fetch(client, version, func() (*http.Response, error) {
				return client.Post("https://"+r.doh+"/dns-query", "application/dns-message", bytes.NewReader(query))
			})
		}
	}
	client := func(network, address string) func([]byte) ([]byte, error) {
		return func(query []byte) ([]byte, error) {
			c := dns.Client{Net: network, TLSConfig: clientTLS("dot"), Timeout: 10 * time.Second}
			q := new(dns.Msg)
			if err := q.Unpack(query); err != nil {
				return nil, err
			}
			m, _, err := c.Exchange(q, address)
			if err != nil {
				return nil, err
			}
			m.Compress = true
			return m.Pack()
		}
	}
	transports := []struct {
		name string
		ask  func([]byte) ([]byte, error)
	}{
		{"tcp", client("tcp", r.address)}, {"dot", client("tcp-tls", r.dot)},
		{"doh GET HTTP/2", get(http2, 2)}, {"doh POST HTTP/2", post(http2, 2)}, {"doh GET HTTP/1.1", get(http1, 1)}, {"doh POST HTTP/1.1", post(http1, 1)},
		{"doq", func(query []byte) ([]byte, error) {
			b, err := speak(conn, appendFramed(nil, query))
			if err != nil || len(b) < 2 {
				return nil, fmt.Errorf("%x, %w", b, err)
			}
			return b[2:], nil
		}},
	}
	for _, name := range []string{"mail.example.com. A", "api.example.com. A", "nothing.example.com. A", "example.net. A", "big.example.com. TXT"} {
		owner, rtype, _ := strings.Cut(name, " ")
		query := message(t, owner, dns.StringToType[rtype], func(q *dns.Msg) { q.SetEdns0(1232, false) })
		var want string
		for _, transport := range transports {
			b, err := transport.ask(query)
			if err != nil {
				t.Errorf("%s %s: %v", transport.name, name, err)
				continue
			}
			m := new(dns.Msg)
			if err := m.Unpack(b); err != nil {
				t.Errorf("%s %s: %v", transport.name, name, err)
				continue
			}
			if got := m.String(); want == "" {
				want = got
			} else if got != want {
				t.Errorf("%s %s:\n%s\nwant as over TCP\n%s", transport.name, name, got, want)
			}
		}
	}
	got := r.metrics(t)
	for _, want := range []struct {
		metric string
		value  float64
	}{
		{"queries_total{transport=dot,type=A}", 4}, {"queries_total{transport=doh,type=A}", 16}, {"queries_total{transport=doq,type=TXT}", 1},
		{"connections{transport=doh}", 2}, {"connections{transport=doq}", 1},
	} {
		if got[want.metric] != want.value {
			t.Errorf("%s = %v, want %v", want.metric, got[want.metric], want.value)
		}
	}
}

func TestHTTPS(t *testing.T) {
	r := runEncrypted(t, Config{})
	clients := []*http.Client{webClient(t, false), webClient(t, true)}
	question := func(name string, qtype uint16) string {
		return "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(message(t, name, qtype, nil))
	}
	good := question("mail.example.com.", dns.TypeA)
	const media = "application/dns-message"
	for _, test := range []struct {
		reason string
		method string
		path   string
		media  string
		body   []byte
		status int
		header string // one of the answer
		value  string
	}{
		{"smallest TTL of the answer", "GET", good, "", nil, 200, "Cache-Control", "private, max-age=300"},
		{"SOA record of a denial", "GET", question("nothing.example.com.", dns.TypeA), "", nil, 200, "Cache-Control", "private, max-age=60"},
		{"refused, not to be kept", "GET", question("example.net.", dns.TypeA), "", nil, 200, "Cache-Control", "private, max-age=0"},
		{"length", "GET", good, "", nil, 200, "Content-Length", "50"},
		{"content of the right type", "POST", "/dns-query", media, message(t, "mail.example.com.", dns.TypeA, nil), 200, "Content-Type", media},
		{"type with a parameter", "POST", "/dns-query", media + "; x=y", message(t, "mail.example.com.", dns.TypeA, nil), 200, "Content-Type", media},
		{"no path", "GET", "/", "", nil, 404, "", ""},
		{"a path below", "GET", "/dns-query/x" + good[len("/dns-query"):], "", nil, 404, "", ""},
		{"no query", "GET", "/dns-query", "", nil, 400, "", ""},
		{"empty query", "GET", "/dns-query?dns=", "", nil, 400, "", ""},
		{"padding", "GET", good + "=", "", nil, 400, "", ""},
		{"other base64", "GET", "/dns-query?dns=" + strings.Repeat("A", 13) + "+/A", "", nil, 400, "", ""},
		{"two queries", "GET", good + "&dns=AAAA", "", nil, 400, "", ""},
		{"half a header", "GET", "/dns-query?dns=AAAA", "", nil, 400, "", ""},
		{"a response", "POST", "/dns-query", media, message(t, "mail.example.com.", dns.TypeA, func(q *dns.Msg) { q.Response = true }), 400, "", ""},
		{"another method", "PUT", good, "", nil, 405, "Allow", "GET, POST"},
		{"HEAD", "HEAD", good, "", nil, 405, "Allow", "GET, POST"},
		{"another type", "POST", "/dns-query", "application/json", []byte("{}"), 415, "", ""},
		{"no type", "POST", "/dns-query", "", []byte("{}"), 415, "", ""},
		{"the longest message", "POST", "/dns-query", media, make([]byte, 65535), 200, "", ""},
		{"too long", "POST", "/dns-query", media, make([]byte, 65536), 413, "", ""},
		{"a head too long", "GET", "/dns-query?dns=" + strings.Repeat("A", 64<<10), "", nil, 431, "", ""},
	} {
		for i, client := range clients {
			if test.status == 431 && i == 1 {
				continue // a client of HTTP/2 knows the limit and does not ask
			}
			request, err := http.NewRequest(test.method, "https://"+r.doh+test.path, bytes.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", test.media)
			response, err := client.Do(request)
			if err != nil {
				t.Errorf("%s, HTTP/%d: %v", test.reason, i+1, err)
				continue
			}
			response.Body.Close()
			if response.StatusCode != test.status || test.header != "" && response.Header.Get(test.header) != test.value {
				t.Errorf("%s, HTTP/%d: %s with %s %q, want %d with %q", test.reason, i+1,
					response.Status, test.header, response.Header.Get(test.header), test.status, test.value)
			}
		}
	}
	// A body whose length is not said beforehand, and more of it than allowed.
	response, err := clients[0].Post("https://"+r.doh+"/dns-query", media, io.MultiReader(bytes.NewReader(make([]byte, 70_000))))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 413 {
		t.Errorf("a body of 70,000 bytes without Content-Length: %s, want 413", response.Status)
	}
}

func TestQUICStreams(t *testing.T) {
	query := func(change func(*dns.Msg)) []byte {
		return appendFramed(nil, message(t, "mail.example.com.", dns.TypeA, change))
	}
	keepalive := func(q *dns.Msg) {
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	}
	r := runEncrypted(t, Config{})
	for _, test := range []struct {
		reason string
		stream []byte
		ok     bool
	}{
		{"a query", query(nil), true},
		{"an ID", query(func(q *dns.Msg) { q.Id = 1 }), false},
		{"a response", query(func(q *dns.Msg) { q.Response = true }), false},
		{"keepalive", query(keepalive), false},
		{"nothing", nil, false},
		{"less than it says", query(nil)[:20], false},
		{"two queries", append(query(nil), query(nil)...), false},
		{"a message of no bytes", []byte{0, 0}, false},
		{"half a header", []byte{0, 4, 0, 0, 0, 0}, false},
		{"more than a message can have", append([]byte{0xFF, 0xFF}, make([]byte, 70_000)...), false},
	} {
		before := r.metrics(t)["dropped_total{reason=protocol,transport=doq}"]
		b, err := speak(dialQUIC(t, r.doq), test.stream)
		var closed *quic.ApplicationError
		switch {
		case test.ok && (err != nil || len(b) != 52):
			t.Errorf("%s: %x, %v, want an answer", test.reason, b, err)
		case !test.ok && (!errors.As(err, &closed) || closed.ErrorCode != doqProtocolError || !closed.Remote):
			t.Errorf("%s: %x, %v, want DOQ_PROTOCOL_ERROR", test.reason, b, err)
		case !test.ok && r.metrics(t)["dropped_total{reason=protocol,transport=doq}"] != before+1:
			t.Errorf("%s: not counted", test.reason)
		}
	}
}

// The client decides when a stream ends, but not for how long we wait; others of its connection go on.
func TestQUICStreamsThatLast(t *testing.T) {
	r := runEncrypted(t, Config{Limits: Limits{Idle: 300 * time.Millisecond, InFlight: 3}})
	conn := dialQUIC(t, r.doq)
	framed := appendFramed(nil, message(t, "mail.example.com.", dns.TypeA, nil))
	stalled, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stalled.Write(framed) // and no FIN
	cancelled, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = cancelled.Write(framed[:5])
	cancelled.CancelWrite(doqCancelled)
	if b, err := speak(conn, framed); err != nil || len(b) != 52 {
		t.Errorf("beside them: %x, %v, want an answer", b, err)
	}
	var reset *quic.StreamError
	if b, err := io.ReadAll(stalled); !errors.As(err, &reset) || reset.ErrorCode != doqUnspecified {
		t.Errorf("without FIN: %x, %v, want the stream reset", b, err)
	}
	if b, err := io.ReadAll(cancelled); !errors.As(err, &reset) || reset.ErrorCode != doqCancelled {
		t.Errorf("cancelled: %x, %v, want the stream reset", b, err)
	}
	if _, err := conn.OpenUniStream(); err == nil {
		t.Error("a stream of one direction is allowed")
	}
	if got := r.metrics(t)["dropped_total{reason=slow_query,transport=doq}"]; got != 1 {
		t.Errorf("%v slow queries counted, want 1", got)
	}
	<-conn.Context().Done() // by idleness
	eventually(t, func() bool { return r.clients.count.Load() == 0 })
}

func TestHandshakeFailures(t *testing.T) {
	var missing bool
	r := runEncrypted(t, Config{
		Limits: Limits{Handshake: 300 * time.Millisecond},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c, _ := certificate(); !missing {
				return c, nil
			}
			return nil, nil
		},
	})
	dial := func(address string, change func(*tls.Config)) func() {
		return func() {
			config := clientTLS("dot")
			change(config)
			if conn, err := tls.Dial("tcp", address, config); err == nil {
				_ = conn.Handshake()
				conn.Close()
				t.Errorf("%s: the handshake succeeds", address)
			}
		}
	}
	say := func(address, text string) func() {
		return func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, text)
			if text != "" {
				return
			}
			_, _ = conn.Read(make([]byte, 1)) // until the server has enough
		}
	}
	dialQUIC := func(change func(*tls.Config)) func() {
		return func() {
			config := clientTLS("doq")
			change(config)
			if conn, err := quic.DialAddr(t.Context(), r.doq, config, nil); err == nil {
				<-conn.Context().Done() // a client can be done before the server refuses
			}
		}
	}
	for _, test := range []struct {
		reason string
		metric string
		client func()
	}{
		{"an old version", "reason=refused,transport=dot", dial(r.dot, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 })},
		{"another protocol", "reason=refused,transport=dot", dial(r.dot, func(c *tls.Config) { c.NextProtos = []string{"h2"} })},
		{"another protocol for HTTPS", "reason=refused,transport=doh", dial(r.doh, func(*tls.Config) {})},
		{"a client that does not trust us", "reason=rejected,transport=dot", dial(r.dot, func(c *tls.Config) { c.RootCAs = x509.NewCertPool() })},
		{"a query without TLS", "reason=not_tls,transport=dot", say(r.dot, string(framed(t, 1, "mail.example.com.", dns.TypeA, 0)))},
		{"HTTP without TLS", "reason=not_tls,transport=doh", say(r.doh, "GET /dns-query HTTP/1.1\r\n\r\n")},
		{"half a hello", "reason=gone,transport=dot", say(r.dot, "\x16\x03\x01")},
		{"nothing", "reason=timeout,transport=dot", say(r.dot, "")},
		{"another protocol for QUIC", "reason=refused,transport=doq", dialQUIC(func(c *tls.Config) { c.NextProtos = []string{"h3"} })},
		{"a client of QUIC that does not trust us", "reason=rejected,transport=doq", dialQUIC(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() })},
		{"no certificate", "reason=no_certificate,transport=dot", func() {
			missing = true
			dial(r.dot, func(*tls.Config) {})()
		}},
	} {
		name := "handshake_failures_total{" + test.metric + "}"
		before := r.metrics(t)[name]
		test.client()
		for deadline := time.Now().Add(5 * time.Second); r.metrics(t)[name] != before+1; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: %s is not counted: %v", test.reason, name, r.metrics(t))
				break
			}
		}
	}
	if n := r.log.count("\n"); n != 0 {
		t.Errorf("%d log lines, want none", n)
	}
}

// TLS 1.2 is good for all but QUIC, and clients need not name a protocol.
func TestTLSVersions(t *testing.T) {
	r := runEncrypted(t, Config{})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := clientTLS()
		config.MinVersion, config.MaxVersion = version, version
		c := dns.Client{Net: "tcp-tls", TLSConfig: config, Timeout: 10 * time.Second}
		q := new(dns.Msg)
		q.SetQuestion("mail.example.com.", dns.TypeA)
		if m, _, err := c.Exchange(q, r.dot); err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v, %v, want an answer", tls.VersionName(version), m, err)
		}
	}
}

func TestListenErrorsOfEncryptedTransports(t *testing.T) {
	r := runEncrypted(t, Config{})
	free := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	give := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	taken := func(address string) []netip.AddrPort {
		return []netip.AddrPort{free[0], netip.MustParseAddrPort(address)}
	}
	const advice = ": address already in use; another server has it: stop that one, or choose another address or port (config key "
	for _, test := range []struct {
		reason string
		config Config
		want   string
	}{
		{"no certificate", Config{TLS: free}, "dns: no certificate for TLS, HTTPS and QUIC (config key tls)"},
		{"TLS is taken", Config{TLS: taken(r.dot), Certificate: give}, "dns: listen " + r.dot + advice + "listen.dot)"},
		{"HTTPS is taken", Config{HTTPS: taken(r.doh), Certificate: give}, "dns: listen " + r.doh + advice + "listen.doh)"},
		{"QUIC is taken", Config{QUIC: taken(r.doq), Certificate: give}, "dns: listen " + r.doq + advice + "listen.doq)"},
	} {
		test.config.Listen = free
		s, err := Listen(test.config)
		if err == nil {
			s.Close()
		}
		if fmt.Sprint(err) != test.want {
			t.Errorf("%s: Listen() = %v, want %s", test.reason, err, test.want)
		}
	}
}
