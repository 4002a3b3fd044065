package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// certificateUntil makes a certificate of place 1 that vouches for itself.
func certificateUntil(t *testing.T, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: end,
		IPAddresses: []net.IP{place(1).Addr().AsSlice()}, IsCA: true, BasicConstraintsValid: true,
	}
	bytes, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key, Leaf: certificate}
}

// persistent answers one request after the other on a connection.
func persistent(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		for r := bufio.NewReader(conn); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			io.WriteString(conn, answer)
		}
	}
}

const fineAndOn = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// A kept connection is not trusted longer than a new one would be.
func TestKeptConnectionWearsOut(t *testing.T) {
	for _, row := range []struct {
		why        string
		kind       string
		ends       time.Duration // of the server's certificate
		renewed    time.Duration // of that which it has from the second connection on
		after      time.Duration // of the first probe, the second
		target     health.Target
		dials      int
		reason     health.Reason
		detail     string
		lastsUntil time.Duration // of the certificate of the second probe
	}{
		{"nothing happened", health.KindHTTPS, day, day, 9 * time.Minute, health.Target{}, 1, health.ReasonOK, "status 200", day},
		{"old", health.KindHTTPS, day, 2 * day, 10 * time.Minute, health.Target{}, 2, health.ReasonOK, "status 200", 2 * day},
		{"old, without TLS", health.KindHTTP, 0, 0, 10 * time.Minute, health.Target{}, 2, health.ReasonOK, "status 200", 0},
		{"renewed before its end, below the minimum", health.KindHTTPS, 7*day + time.Minute, 90 * day, 2 * time.Minute,
			health.Target{Options: health.Options{MinCertificateDays: 7}}, 2, health.ReasonOK, "status 200", 90 * day},
		{"below the minimum, not renewed", health.KindHTTPS, 7*day + time.Minute, 7*day + time.Minute, 2 * time.Minute,
			health.Target{Options: health.Options{MinCertificateDays: 7}}, 2, health.ReasonTLS, "tls: certificate good for 6 days, expected at least 7", 7*day + time.Minute},
		{"ended, renewed", health.KindHTTPS, time.Minute, day, 2 * time.Minute, health.Target{}, 2, health.ReasonOK, "status 200", day},
		{"ended, not renewed", health.KindHTTPS, time.Minute, time.Minute, 2 * time.Minute, health.Target{}, 2, health.ReasonTLS,
			"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: …", 0},
		{"ended, but any will do", health.KindHTTPS, time.Minute, time.Minute, 2 * time.Minute, health.Target{SkipVerify: true}, 1, health.ReasonOK, "status 200", time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			before, renewed := certificateUntil(t, w.begin.Add(row.ends)), certificateUntil(t, w.begin.Add(row.renewed))
			roots := poolOf(before.Leaf)
			roots.AddCert(renewed.Leaf)
			w.set(place(1), func(conn net.Conn) {
				certificate := before
				if len(w.startsAt(place(1))) > 1 {
					certificate = renewed
				}
				if row.kind == health.KindHTTPS {
					conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
				}
				persistent(fineAndOn)(conn)
			})
			target := row.target
			target.Kind, target.Address, target.Interval, target.KeepAlive = row.kind, place(1), 10*time.Second, true
			wire := wireOf(Config{Dial: w.dial, Roots: roots})
			expect(t, row.why, attempt(t.Context(), &target, 0, wire), health.ReasonOK, "status 200")
			pass(row.after)
			got := attempt(t.Context(), &target, 0, wire)
			if begin, ok := strings.CutSuffix(row.detail, "…"); ok && strings.HasPrefix(got.Detail, begin) {
				got.Detail = row.detail
			}
			expect(t, row.why, got, row.reason, row.detail)
			if dials := len(w.startsAt(place(1))); dials != row.dials {
				t.Errorf("%s: %d connections, want %d", row.why, dials, row.dials)
			}
			if row.lastsUntil > 0 && !got.CertificateEnds.Equal(w.begin.Add(row.lastsUntil).Truncate(time.Second)) {
				t.Errorf("%s: certificate ends %v, want %v", row.why, got.CertificateEnds, w.begin.Add(row.lastsUntil))
			}
			wire.keeper.close()
			pass(time.Hour)
		})
	}
}

// Of a kept connection that gives no byte nobody can say whether it is the server or something on the way that dropped it: a new one tells.
func TestKeptConnectionThatFellSilent(t *testing.T) {
	once := func(then ...string) func(net.Conn) {
		return func(conn net.Conn) {
			replies(0, fineAndOn)(conn)
			replies(0, then...)(conn)
		}
	}
	deaf := func(conn net.Conn) { replies(0, fineAndOn)(conn); silence(conn) }
	for _, row := range []struct {
		why         string
		first, next func(net.Conn)
		dials       int
		reason      health.Reason
		detail      string
		took        time.Duration
	}{
		{"dropped on the way", once(), persistent(fineAndOn), 2, health.ReasonOK, "status 200", 2 * time.Second},
		{"not even a reader", deaf, persistent(fineAndOn), 2, health.ReasonOK, "status 200", 2 * time.Second},
		{"the server is ill", once(), replies(0), 2, health.ReasonTimeout, "first byte: timeout after 2s", 4 * time.Second},
		{"the server is gone", once(), nil, 2, health.ReasonTimeout, "connect: timeout after 2.5s", 4500 * time.Millisecond},
		{"a byte is an answer", once("H"), persistent(fineAndOn), 1, health.ReasonTimeout, "answer: timeout after 10s", 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(place(1), row.first)
			target := target(1)
			target.KeepAlive = true
			wire := wireOf(Config{Dial: w.dial})
			expect(t, row.why, attempt(t.Context(), target, 0, wire), health.ReasonOK, "status 200")
			w.set(place(1), row.next)
			begin := time.Now()
			expect(t, row.why, attempt(t.Context(), target, 0, wire), row.reason, row.detail)
			if took := time.Since(begin); took != row.took {
				t.Errorf("%s: took %v, want %v", row.why, took, row.took)
			}
			if dials := len(w.startsAt(place(1))); dials != row.dials {
				t.Errorf("%s: %d connections, want %d", row.why, dials, row.dials)
			}
			wire.keeper.close()
			pass(time.Hour)
		})
	}
}

// That a server has closed a kept connection is seen through TLS too, before the next request.
func TestKeptConnectionThatWasClosedWithTLS(t *testing.T) {
	server := secure(t, status(200, "", ""))
	target := &health.Target{
		Kind: health.KindHTTPS, Address: address(server.Listener.Addr()), Interval: 10 * time.Second, SkipVerify: true, Options: health.Options{KeepAlive: true},
	}
	w := wireOf(Config{})
	defer w.keeper.close()
	expect(t, "kept", attempt(t.Context(), target, 0, w), health.ReasonOK, "status 200")
	kept := w.keeper.take()
	if kept == nil || !w.keeper.put(kept) {
		t.Fatal("no connection was kept")
	}
	server.CloseClientConnections()
	if w.keeper.take() != nil {
		t.Error("a connection that the server has closed is kept")
	}
}

// The kernel asks after the other end of a kept connection between probes, and only of a kept one.
func TestKeptConnectionIsAskedAfter(t *testing.T) {
	at := answers(t, status(200, "", ""))
	for _, keep := range []bool{false, true} {
		asked := 0
		c := Config{}.ready()
		dial := c.Dial
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return watched{conn.(*net.TCPConn), &asked}, err
		}
		target := &health.Target{Kind: health.KindHTTP, Address: at, Interval: 10 * time.Second, Options: health.Options{KeepAlive: keep}}
		w := wire{config: &c, keeper: new(keeper)}
		expect(t, fmt.Sprint(keep), attempt(t.Context(), target, 0, w), health.ReasonOK, "status 200")
		if got := asked == 1; got != keep {
			t.Errorf("keep_alive %v: SO_KEEPALIVE is %d at the request", keep, asked)
		}
		w.keeper.close()
	}
}

// A watched connection notes at its request whether the kernel asks after the other end.
type watched struct {
	*net.TCPConn
	asked *int
}

func (w watched) SetDeadline(d time.Time) error {
	raw, err := w.SyscallConn()
	if err != nil {
		return err
	}
	raw.Control(func(fd uintptr) {
		*w.asked, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
	})
	return w.TCPConn.SetDeadline(d)
}
