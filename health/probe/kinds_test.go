package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// secure starts a server of HTTP over TLS.
func secure(t *testing.T, handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = silentLog
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func poolOf(c *x509.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return roots
}

func TestHandshake(t *testing.T) {
	server := secure(t, nil)
	at, certificate := address(server.Listener.Addr()), server.Certificate()
	roots := poolOf(certificate)
	left := daysUntil(certificate.NotAfter)
	good := fmt.Sprintf("handshake, certificate good for %d days", left)
	for _, row := range []struct {
		why    string
		server netip.AddrPort
		roots  *x509.CertPool
		target health.Target
		reason health.Reason
		detail string
	}{
		{"a name of the certificate", at, roots, health.Target{ServerName: "example.com"}, health.ReasonOK, good},
		{"by default the address", at, roots, health.Target{}, health.ReasonOK, good},
		{"nobody vouches for it", at, x509.NewCertPool(), health.Target{}, health.ReasonTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"any will do", at, x509.NewCertPool(), health.Target{SkipVerify: true}, health.ReasonOK, good},
		{"as long as is wanted", at, roots, health.Target{Options: health.Options{MinCertificateDays: left}}, health.ReasonOK, good},
		{"too short", at, roots, health.Target{Options: health.Options{MinCertificateDays: left + 1}}, health.ReasonTLS,
			fmt.Sprintf("tls: certificate good for %d days, expected at least %d", left, left+1)},
		{"too short, though any will do", at, roots, health.Target{SkipVerify: true, Options: health.Options{MinCertificateDays: left + 1}}, health.ReasonTLS,
			fmt.Sprintf("tls: certificate good for %d days, expected at least %d", left, left+1)},
		{"no TLS", answers(t, status(200, "", "")), roots, health.Target{}, health.ReasonTLS, "tls: first record does not look like a TLS handshake"},
		{"refused", refuses(t), roots, health.Target{}, health.ReasonRefused, "connect: refused"},
		{"reset", talks(t, func(c *net.TCPConn) { c.SetLinger(0) }), roots, health.Target{}, health.ReasonReset, "tls: connection reset"},
	} {
		target := row.target
		target.Kind, target.Address = health.KindTLS, row.server
		got := try(&target, row.roots)
		expect(t, row.why, got, row.reason, row.detail)
		if row.reason == health.ReasonOK && (got.TLS <= 0 || !got.CertificateEnds.Equal(certificate.NotAfter)) {
			t.Errorf("%s: TLS took %v, certificate ends %v, want %v", row.why, got.TLS, got.CertificateEnds, certificate.NotAfter)
		}
	}
}

func TestCertificateEnds(t *testing.T) {
	at := func(days int) *x509.Certificate {
		return &x509.Certificate{NotAfter: time.Unix(0, 0).Add(time.Duration(days) * day)}
	}
	for _, row := range []struct {
		why   string
		state tls.ConnectionState
		want  int // days; 0: the zero time
	}{
		{"nothing was shown", tls.ConnectionState{}, 0},
		{"not verified", tls.ConnectionState{PeerCertificates: []*x509.Certificate{at(5), at(3)}}, 5},
		{"an intermediate one ends first", tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{at(5), at(3), at(9)}}}, 3},
		{"another chain lasts longer", tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{at(5), at(3)}, {at(5), at(7)}}}, 5},
	} {
		want := time.Time{}
		if row.want > 0 {
			want = at(row.want).NotAfter
		}
		if got := certificateEnds(&row.state); !got.Equal(want) {
			t.Errorf("%s: certificateEnds = %v, want %v", row.why, got, want)
		}
	}
}

func TestOptionsOfHTTP(t *testing.T) {
	for _, row := range []struct {
		why     string
		server  http.HandlerFunc
		options health.Options
		body    string
		reason  health.Reason
		detail  string
	}{
		{"HEAD has no body to wait for", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "1000") }, health.Options{Method: "HEAD"}, "", health.ReasonOK, "status 200"},
		{"HEAD is asked", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "HEAD" {
				w.WriteHeader(500)
			}
		}, health.Options{Method: "HEAD"}, "", health.ReasonOK, "status 200"},
		{"a header", status(200, "X-Ready: yes", ""), health.Options{ExpectHeader: []health.HeaderText{{Name: "x-ready"}}}, "", health.ReasonOK, "status 200"},
		{"a header with a text", status(200, "X-Ready: yes, sir", ""), health.Options{ExpectHeader: []health.HeaderText{{Name: "X-Ready", Text: "yes"}}}, "", health.ReasonOK, "status 200"},
		{"a header with another", status(200, "X-Ready: no", ""), health.Options{ExpectHeader: []health.HeaderText{{Name: "X-Ready", Text: "yes"}}}, "", health.ReasonStatus, "status 200, expected header X-Ready: yes missing"},
		{"one of two headers", status(200, "X-Ready: yes", ""), health.Options{ExpectHeader: []health.HeaderText{{Name: "X-Ready"}, {Name: "X-Zone"}}}, "", health.ReasonStatus, "status 200, expected header X-Zone missing"},
		{"a header does not heal a status", status(500, "X-Ready: yes", ""), health.Options{ExpectHeader: []health.HeaderText{{Name: "X-Ready"}}}, "", health.ReasonStatus, "status 500, expected 200-399"},
		{"drain goes before headers", status(503, "Meridian-Drain: 1", ""), health.Options{ExpectHeader: []health.HeaderText{{Name: "X-Ready"}}}, "", health.ReasonDrain, "status 503 with Meridian-Drain"},
		{"headers of the request", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s|%v|%s", r.Header.Get("Authorization"), r.Header.Values("X-A"), r.UserAgent())
		}, health.Options{Headers: []health.Header{{Name: "Authorization", Value: "Bearer x"}, {Name: "x-a", Value: "1"}, {Name: "X-A", Value: "2"}, {Name: "user-agent", Value: "ours"}}},
			"Bearer x|[1 2]|ours", health.ReasonOK, "status 200, expected text found"},
		{"no header of a target breaks the head", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Evil"), r.Header.Get("X")) },
			health.Options{Headers: []health.Header{{Name: "X", Value: "a\r\nEvil: b"}, {Name: "X\r\nEvil", Value: "b"}}}, "a  Evil: b", health.ReasonOK, "status 200, expected text found"},
		{"what is compressed stays so", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, r.Header.Get("Accept-Encoding"))
		}, health.Options{}, "identity", health.ReasonOK, "status 200, expected text found"},
	} {
		target := health.Target{Kind: health.KindHTTP, Address: answers(t, row.server), ExpectBody: row.body, Options: row.options}
		expect(t, row.why, try(&target, nil), row.reason, row.detail)
	}
}

func TestProxyHeader(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, row := range []struct {
		why      string
		version  int
		from, to net.Addr
		want     string // version 2: hexadecimal, after the signature
	}{
		{"version 1", 1, tcp("192.0.2.1:40000"), tcp("198.51.100.2:80"), "PROXY TCP4 192.0.2.1 198.51.100.2 40000 80\r\n"},
		{"version 1, IPv6", 1, tcp("[2001:db8::1]:40000"), tcp("[2001:db8::2]:443"), "PROXY TCP6 2001:db8::1 2001:db8::2 40000 443\r\n"},
		{"IPv4 in disguise", 1, tcp("[::ffff:192.0.2.1]:40000"), tcp("198.51.100.2:80"), "PROXY TCP4 192.0.2.1 198.51.100.2 40000 80\r\n"},
		{"a zone is of no use elsewhere", 1, tcp("[fe80::1%eth0]:1"), tcp("[fe80::2%eth0]:2"), "PROXY TCP6 fe80::1 fe80::2 1 2\r\n"},
		{"two families", 1, tcp("[2001:db8::1]:40000"), tcp("198.51.100.2:80"), "PROXY UNKNOWN\r\n"},
		{"no addresses", 1, nil, nil, "PROXY UNKNOWN\r\n"},
		{"version 2", 2, tcp("192.0.2.1:40000"), tcp("198.51.100.2:80"), "2111000cc0000201c63364029c400050"},
		{"version 2, IPv6", 2, tcp("[2001:db8::1]:40000"), tcp("[2001:db8::2]:443"), "21210024" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "9c4001bb"},
		{"version 2, no addresses", 2, nil, nil, "20000000"},
	} {
		got := string(proxyHeader(row.version, ends{from: row.from, to: row.to}))
		if row.version == 2 {
			rest, ok := strings.CutPrefix(got, "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a")
			if got = hex.EncodeToString([]byte(rest)); !ok {
				t.Errorf("%s: no signature", row.why)
			}
		}
		if got != row.want {
			t.Errorf("%s: proxyHeader = %q, want %q", row.why, got, row.want)
		}
	}
}

type ends struct {
	net.Conn
	from, to net.Addr
}

func (e ends) LocalAddr() net.Addr  { return e.from }
func (e ends) RemoteAddr() net.Addr { return e.to }

// The PROXY header goes before anything else, in every kind that has it.
func TestProxyHeaderGoesFirst(t *testing.T) {
	got := make(chan []byte, 1)
	at := talksFirst(t, func(conn *net.TCPConn) {
		begin := make([]byte, 6)
		io.ReadFull(conn, begin)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		got <- append(begin, line...)
	})
	for _, kind := range []string{health.KindHTTP, health.KindHTTPS, health.KindTCP, health.KindTLS, health.KindGRPC} {
		target := health.Target{Kind: kind, Address: at, Options: health.Options{ProxyProtocol: 1}}
		result := try(&target, nil)
		if header := <-got; !bytes.HasPrefix(header, []byte("PROXY TCP4 127.0.0.1 127.0.0.1 ")) || !bytes.HasSuffix(header, fmt.Appendf(nil, " %d\r\n", at.Port())) {
			t.Errorf("%s: the server got %q first", kind, header)
		}
		if (kind == health.KindTCP) != (result.Reason == health.ReasonOK) {
			t.Errorf("%s: %v (%s)", kind, result.Reason, result.Detail)
		}
	}
}

func TestSource(t *testing.T) {
	from := make(chan net.Addr, 2)
	at := talksFirst(t, func(conn *net.TCPConn) { from <- conn.RemoteAddr() })
	w := wireOf(Config{Source: [2]netip.Addr{netip.MustParseAddr("127.0.0.7")}})
	target := &health.Target{Kind: health.KindTCP, Address: at, Interval: 10 * time.Second}
	expect(t, "with a source", attempt(t.Context(), target, 0, w), health.ReasonOK, "connected")
	if got := address(<-from).Addr().String(); got != "127.0.0.7" {
		t.Errorf("the probe came from %s, want 127.0.0.7", got)
	}
	w = wireOf(Config{Source: [2]netip.Addr{netip.MustParseAddr("192.0.2.1")}}) // not of this machine
	expect(t, "with one of another machine", attempt(t.Context(), target, 0, w), health.ReasonNoRoute, "connect: cannot assign requested address")
}

// What is denied is not dialled, even by who did not ask.
func TestDenyAtDial(t *testing.T) {
	c := Config{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}.ready()
	for _, to := range []string{"127.0.0.1:1", "[::ffff:127.0.0.1]:1"} {
		conn, err := c.Dial(context.Background(), "tcp", to)
		if err == nil || err.Error() != "127.0.0.1 is denied by 127.0.0.0/8" {
			t.Errorf("Dial(%s) = %v, %v, want it denied", to, conn, err)
		}
	}
}

func TestCertificateMetric(t *testing.T) {
	server := secure(t, status(200, "", ""))
	at, certificate := address(server.Listener.Addr()), server.Certificate()
	registry := prometheus.NewRegistry()
	results := make(chan health.Result, 64)
	r := Start(Config{Observe: func(r health.Result) {
		select {
		case results <- r:
		default:
		}
	}, Registerer: registry})
	defer r.Close()
	target := func(id string, kind string) *health.Target {
		return &health.Target{ID: health.CheckID(id), Kind: kind, Address: at, SkipVerify: true, Interval: time.Second, Fall: 1, Rise: 1}
	}
	r.Assign(assignment(target("api/a/ipv4", health.KindTLS), target("api/b/ipv4", health.KindTLS), target("plain/a/ipv4", health.KindTCP)))
	const name = "meridian_probe_certificate_not_after_timestamp_seconds{check=api}"
	want := float64(certificate.NotAfter.Unix())
	for gather(t, registry)[name] != want {
		select {
		case <-results:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s = %v, want %v", name, gather(t, registry)[name], want)
		}
	}
	for range 2 { // the second is taken when the first is done
		r.Assign(assignment(target("plain/a/ipv4", health.KindTCP)))
	}
	for name := range gather(t, registry) {
		if strings.Contains(name, "certificate") {
			t.Errorf("%s is there without a target", name)
		}
	}
}
