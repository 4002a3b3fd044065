package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/health"
)

// silentLog is of servers whose clients are rude.
var silentLog = log.New(io.Discard, "", 0)

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		serveForever()
	}
	if os.Args[len(os.Args)-1] == leaver {
		leave()
		return
	}
	goleak.VerifyTestMain(m)
}

func address(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// answers starts a server of HTTP and returns its address.
func answers(t *testing.T, handler http.HandlerFunc) netip.AddrPort {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return address(server.Listener.Addr())
}

// talks starts a server that does something with every connection after it has read a request, and closes it.
func talks(t *testing.T, then func(*net.TCPConn)) netip.AddrPort {
	return talksFirst(t, func(conn *net.TCPConn) {
		io.ReadAtLeast(conn, make([]byte, 4096), 16)
		then(conn)
	})
}

// talksFirst starts a server that does something with every connection, and closes it.
func talksFirst(t *testing.T, then func(*net.TCPConn)) netip.AddrPort {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			then(conn.(*net.TCPConn))
			conn.Close()
		}
	}()
	return address(listener.Addr())
}

func says(text string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) { io.WriteString(conn, text) }
}

// refuses returns an address that belongs to a socket which does not listen.
func refuses(t *testing.T) netip.AddrPort {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*syscall.SockaddrInet4).Port))
}

// try probes a target once, on the network of this machine.
func try(target *health.Target, roots *x509.CertPool) health.Result {
	if target.Interval == 0 {
		target.Interval = 10 * time.Second
	}
	return attempt(context.Background(), target, target.Digest(), wireOf(Config{Roots: roots}))
}

// wireOf returns how probers reach their targets by a config.
func wireOf(c Config) wire {
	c = c.ready()
	return wire{config: &c, keeper: new(keeper)}
}

func expect(t *testing.T, why string, got health.Result, reason health.Reason, detail string) {
	t.Helper()
	if got.Reason != reason || got.Detail != detail {
		t.Errorf("%s: %v (%s), want %v (%s)", why, got.Reason, got.Detail, reason, detail)
	}
}

func status(code int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if key, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(key, value)
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

func TestHTTP(t *testing.T) {
	only200 := []health.StatusRange{{Low: 200, High: 200}}
	some := []health.StatusRange{{Low: 200, High: 299}, {Low: 503, High: 503}}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("0123456789abcdef", 64)); err != nil {
				return
			}
		}
	}
	for _, row := range []struct {
		why    string
		server netip.AddrPort
		target health.Target
		reason health.Reason
		detail string
	}{
		{"200", answers(t, status(200, "", "fine")), health.Target{}, health.ReasonOK, "status 200"},
		{"no content", answers(t, status(204, "", "")), health.Target{}, health.ReasonOK, "status 204"},
		{"redirects are not followed: 302 is fine unless 200 is expected", answers(t, status(302, "Location: /broken", "")), health.Target{}, health.ReasonOK, "status 302"},
		{"and is not where it is", answers(t, status(302, "Location: /", "")), health.Target{ExpectStatus: only200}, health.ReasonStatus, "status 302, expected 200"},
		{"400 is beyond the default", answers(t, status(400, "", "")), health.Target{}, health.ReasonStatus, "status 400, expected 200-399"},
		{"500", answers(t, status(500, "", "")), health.Target{ExpectStatus: some}, health.ReasonStatus, "status 500, expected 200-299,503"},
		{"503 may be expected", answers(t, status(503, "", "")), health.Target{ExpectStatus: some}, health.ReasonOK, "status 503"},
		{"drain", answers(t, status(503, "Meridian-Drain: 1", "")), health.Target{ExpectStatus: only200}, health.ReasonDrain, "status 503 with Meridian-Drain"},
		{"drain goes before an expected 503", answers(t, status(503, "Meridian-Drain: 1", "")), health.Target{ExpectStatus: some}, health.ReasonDrain, "status 503 with Meridian-Drain"},
		{"another value does not drain", answers(t, status(503, "Meridian-Drain: 0", "")), health.Target{}, health.ReasonStatus, "status 503, expected 200-399"},
		{"drain is a 503", answers(t, status(200, "Meridian-Drain: 1", "")), health.Target{}, health.ReasonOK, "status 200"},
		{"text", answers(t, status(200, "", "all is well")), health.Target{ExpectBody: "is well"}, health.ReasonOK, "status 200, expected text found"},
		{"another text", answers(t, status(200, "", "out of order")), health.Target{ExpectBody: "is well"}, health.ReasonBody, "status 200, expected text not in the first 12 bytes"},
		{"no text", answers(t, status(200, "", "")), health.Target{ExpectBody: "is well"}, health.ReasonBody, "status 200, expected text not in the first 0 bytes"},
		{"text does not heal a status", answers(t, status(500, "", "is well")), health.Target{ExpectBody: "is well"}, health.ReasonStatus, "status 500, expected 200-399"},
		{"text that ends at the limit", answers(t, status(200, "", strings.Repeat("x", 5117)+"end")), health.Target{ExpectBody: "end"}, health.ReasonOK, "status 200, expected text found"},
		{"text that ends beyond it", answers(t, status(200, "", strings.Repeat("x", 5118)+"end")), health.Target{ExpectBody: "end"}, health.ReasonBody, "status 200, expected text not in the first 5120 bytes"},
		{"an endless body is left alone", answers(t, endless), health.Target{}, health.ReasonOK, "status 200"},
		{"or read to the limit", answers(t, endless), health.Target{ExpectBody: "is well"}, health.ReasonBody, "status 200, expected text not in the first 5120 bytes"},
		{"refused", refuses(t), health.Target{}, health.ReasonRefused, "connect: refused"},
		{"reset", talks(t, func(c *net.TCPConn) { c.SetLinger(0) }), health.Target{}, health.ReasonReset, "first byte: connection reset"},
		{"closed without an answer", talks(t, says("")), health.Target{}, health.ReasonReset, "first byte: connection closed"},
		{"closed in the head", talks(t, says("HTTP/1.1 200 OK\r\nA: b\r\n")), health.Target{}, health.ReasonReset, "answer: connection closed"},
		{"closed in the status line", talks(t, says("HTTP/1.1 20")), health.Target{}, health.ReasonReset, "answer: connection closed"},
		{"closed in the body", talks(t, says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nis")), health.Target{ExpectBody: "is well"}, health.ReasonReset, "body: connection closed"},
		{"closed in the body, but the text was there", talks(t, says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nis well")), health.Target{ExpectBody: "is well"}, health.ReasonOK, "status 200, expected text found"},
		{"informational answers are not the answer", talks(t, says("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")), health.Target{}, health.ReasonOK, "status 200"},
		{"nothing but informational ones", talks(t, says(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9))), health.Target{}, health.ReasonOther, "answer: more than 5 informational answers"},
		{"not HTTP", talks(t, says("SSH-2.0-OpenSSH_9.9\r\n")), health.Target{}, health.ReasonOther, `answer: malformed HTTP response "SSH-2.0-OpenSSH_9.9"`},
		{"endless head", talks(t, says("HTTP/1.1 200 OK\r\n"+strings.Repeat("A: b\r\n", 10000))), health.Target{}, health.ReasonOther, "answer: more bytes than a probe reads"},
		{"the text behind a long head", talks(t, says("HTTP/1.1 200 OK\r\n"+strings.Repeat("A: b\r\n", 5000)+"\r\n"+strings.Repeat("x", 5000)+"is well")),
			health.Target{ExpectBody: "is well"}, health.ReasonOK, "status 200, expected text found"},
		{"a body in chunks of one byte", talks(t, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\nx\r\n", 6000))),
			health.Target{ExpectBody: "is well"}, health.ReasonBody, "status 200, expected text not in the first 5120 bytes"},
		{"a host that would break the head", answers(t, status(200, "", "")), health.Target{Host: "a\r\nb: c"}, health.ReasonOther, `request: host "a\r\nb: c" is not a host`},
		{"a host with a path", answers(t, status(200, "", "")), health.Target{Host: "a.example/b"}, health.ReasonOther, `request: host "a.example/b" is not a host`},
		{"a path that would break the head", answers(t, status(200, "", "")), health.Target{Path: "/a\r\nb: c"}, health.ReasonOther,
			`request: parse "/a\r\nb: c": net/url: invalid control character in URL`},
		{"a path that is none", answers(t, status(200, "", "")), health.Target{Path: "healthz"}, health.ReasonOther, `request: path "healthz" does not begin with /`},
		{"tcp", answers(t, status(500, "", "")), health.Target{Kind: health.KindTCP}, health.ReasonOK, "connected"},
		{"tcp, refused", refuses(t), health.Target{Kind: health.KindTCP}, health.ReasonRefused, "connect: refused"},
		{"a kind that nobody knows", answers(t, status(200, "", "")), health.Target{Kind: "smtp"}, health.ReasonNone, `unknown kind "smtp" (have dns, exec, grpc, http, https, icmp, tcp, tls)`},
		{"no address", netip.AddrPort{}, health.Target{}, health.ReasonOther, "invalid AddrPort is no address of an endpoint"},
		{"this machine in disguise", netip.MustParseAddrPort("[::ffff:0.0.0.0]:80"), health.Target{}, health.ReasonOther, "[::ffff:0.0.0.0]:80 is no address of an endpoint"},
	} {
		target := row.target
		target.Address = row.server
		if target.Kind == "" {
			target.Kind = health.KindHTTP
		}
		expect(t, row.why, try(&target, nil), row.reason, row.detail)
	}
}

func TestRequest(t *testing.T) {
	var asked []string
	server := answers(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprintf("%s %s %s %s close=%v %v", r.Method, r.RequestURI, r.Host, r.Proto, r.Close, r.Header))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	const rest = "HTTP/1.1 close=true map[Accept-Encoding:[identity] Connection:[close] User-Agent:[Meridian-Health-Check/1]]"
	for _, row := range []struct {
		target health.Target
		want   string
	}{
		{health.Target{}, "GET / " + server.String() + " " + rest},
		{health.Target{Host: "api.example.com", Path: "/healthz?full=1&x=%2F"}, "GET /healthz?full=1&x=%2F api.example.com " + rest},
		{health.Target{Host: "api.example.com:8080", Path: "//a/../b"}, "GET //a/../b api.example.com:8080 " + rest},
	} {
		asked = nil
		row.target.Kind, row.target.Address = health.KindHTTP, server
		expect(t, row.want, try(&row.target, nil), health.ReasonOK, "status 301")
		if len(asked) != 1 || asked[0] != row.want {
			t.Errorf("the server was asked %q, want once %q", asked, row.want)
		}
	}
}

func TestTLS(t *testing.T) {
	secure := func(auth tls.ClientAuthType) *httptest.Server {
		server := httptest.NewUnstartedServer(status(200, "", "fine"))
		server.Config.ErrorLog = silentLog
		server.TLS = &tls.Config{ClientAuth: auth}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server
	}
	server := secure(tls.NoClientCert)
	at := address(server.Listener.Addr())
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, row := range []struct {
		why    string
		server netip.AddrPort
		roots  *x509.CertPool
		target health.Target
		reason health.Reason
		detail string // or its beginning, with … at the end
	}{
		{"the name of the certificate", at, roots, health.Target{ServerName: "example.com"}, health.ReasonOK, "status 200"},
		{"by default the host", at, roots, health.Target{Host: "example.com:8443"}, health.ReasonOK, "status 200"},
		{"by default the address", at, roots, health.Target{}, health.ReasonOK, "status 200"},
		{"the server name goes before the host", at, roots, health.Target{Host: "example.com", ServerName: "b.example"}, health.ReasonTLS, "tls: failed to verify certificate: x509: certificate is valid for example.com, …"},
		{"a wrong name", at, roots, health.Target{Host: "b.example"}, health.ReasonTLS, "tls: failed to verify certificate: x509: certificate is valid for example.com, …"},
		{"nobody vouches for it", at, x509.NewCertPool(), health.Target{}, health.ReasonTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"any certificate will do", at, x509.NewCertPool(), health.Target{ServerName: "b.example", SkipVerify: true}, health.ReasonOK, "status 200"},
		{"not TLS", answers(t, status(200, "", "")), roots, health.Target{}, health.ReasonTLS, "tls: first record does not look like a TLS handshake"},
		{"closed in the handshake", talks(t, says("")), roots, health.Target{}, health.ReasonReset, "tls: connection closed"},
		{"reset in the handshake", talks(t, func(c *net.TCPConn) { c.SetLinger(0) }), roots, health.Target{}, health.ReasonReset, "tls: connection reset"},
		{"a certificate of ours is wanted, which is said after the handshake", address(secure(tls.RequireAnyClientCert).Listener.Addr()), roots, health.Target{SkipVerify: true}, health.ReasonTLS, "first byte: remote error: tls: certificate required"},
	} {
		target := row.target
		target.Kind, target.Address = health.KindHTTPS, row.server
		got := try(&target, row.roots)
		if begin, ok := strings.CutSuffix(row.detail, "…"); ok && strings.HasPrefix(got.Detail, begin) {
			got.Detail = row.detail
		}
		expect(t, row.why, got, row.reason, row.detail)
		if ok := got.Reason == health.ReasonOK; ok != (got.FirstByte > 0) || ok && (got.Connect <= 0 || got.TLS <= 0 || got.Total < got.Connect+got.TLS+got.FirstByte) {
			t.Errorf("%s: times %v, %v, %v, %v of %v", row.why, got.Connect, got.TLS, got.FirstByte, got.Total, got.Reason)
		}
	}
}

func TestConnectErrors(t *testing.T) {
	for _, row := range []struct {
		errno  syscall.Errno
		reason health.Reason
		detail string
	}{
		{syscall.ECONNREFUSED, health.ReasonRefused, "connect: refused"},
		{syscall.ECONNRESET, health.ReasonReset, "connect: connection reset"},
		{syscall.ETIMEDOUT, health.ReasonTimeout, "connect: timeout after 2.5s"},
		{syscall.ENETUNREACH, health.ReasonNoRoute, "connect: network is unreachable"},
		{syscall.EHOSTUNREACH, health.ReasonNoRoute, "connect: no route to host"},
		{syscall.EADDRNOTAVAIL, health.ReasonNoRoute, "connect: cannot assign requested address"},
		{syscall.EINVAL, health.ReasonOther, "connect: dial tcp: connect: invalid argument"},
		{syscall.EMFILE, health.ReasonNone, "connect: this vantage can't: too many open files"},
		{syscall.ENFILE, health.ReasonNone, "connect: this vantage can't: too many open files in system"},
		{syscall.ENOBUFS, health.ReasonNone, "connect: this vantage can't: no buffer space available"},
		{syscall.ENOMEM, health.ReasonNone, "connect: this vantage can't: cannot allocate memory"},
		{syscall.EPERM, health.ReasonNone, "connect: this vantage can't: operation not permitted"},
	} {
		config := Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", row.errno)}
		}}
		target := &health.Target{Kind: health.KindTCP, Address: netip.MustParseAddrPort("192.0.2.1:80"), Interval: 10 * time.Second}
		expect(t, row.errno.Error(), attempt(context.Background(), target, 0, wireOf(config)), row.reason, row.detail)
	}
}

// What the vantage is short of is no evidence on a target, and is counted.
func TestShortage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, dialed := prometheus.NewRegistry(), 0
		r := Start(Config{
			Observe: func(result health.Result) { t.Errorf("observed %+v", result) },
			Dial: func(context.Context, string, string) (net.Conn, error) {
				dialed++
				return nil, os.NewSyscallError("socket", syscall.EMFILE)
			},
			Registerer: registry,
		})
		defer r.Close()
		r.Assign(assignment(target(1)))
		pass(time.Minute)
		if got := gather(t, registry)["meridian_probe_results_total{kind=http,reason=none}"]; int(got) != dialed || dialed < 6 || dialed > 8 {
			t.Errorf("%v probes without evidence of %d, want all of about 7: nothing is wrong that is to be found out in a hurry", got, dialed)
		}
	})
}

func TestDeny(t *testing.T) {
	deny := []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::ffff:10.0.0.0/104"),
	}
	dialed := false
	r := Start(Config{Deny: deny, Observe: func(health.Result) {}, Dial: func(context.Context, string, string) (net.Conn, error) {
		dialed = true
		return nil, io.EOF
	}})
	defer r.Close()
	for _, row := range []struct{ address, detail string }{
		{"127.0.0.1:80", "127.0.0.1 is denied by 127.0.0.0/8"},
		{"[::ffff:127.1.2.3]:80", "127.1.2.3 is denied by 127.0.0.0/8"},
		{"[fe80::1%eth0]:80", "fe80::1 is denied by fe80::/10"},
		{"10.1.2.3:80", "10.1.2.3 is denied by 10.0.0.0/8"},
		{"11.1.2.3:80", "connect: connection closed"},
	} {
		target := &health.Target{Kind: health.KindTCP, Address: netip.MustParseAddrPort(row.address), Interval: time.Second}
		dialed = false
		got := attempt(context.Background(), target, 0, wire{config: &r.config})
		denied := strings.Contains(row.detail, "denied")
		if got.Detail != row.detail || denied && got.Reason != health.ReasonNone || dialed == denied {
			t.Errorf("%s: %v (%s), dialed %v, want %s", row.address, got.Reason, got.Detail, dialed, row.detail)
		}
	}
}

func TestClip(t *testing.T) {
	for _, row := range []struct{ why, in, want string }{
		{"as it is", "status 200", "status 200"},
		{"nothing that moves a cursor", "a\x1b[2Jb\n\x00", "a?[2Jb??"},
		{"nothing that is no text", "a\xffb", "a?b"},
		{"at most 200 bytes", strings.Repeat("x", 300), strings.Repeat("x", 200)},
		{"no half a letter", strings.Repeat("x", 199) + "éé", strings.Repeat("x", 199)},
	} {
		if got := clip(row.in); got != row.want || !utf8.ValidString(got) {
			t.Errorf("%s: clip(%q) = %q, want %q", row.why, row.in, got, row.want)
		}
	}
}
