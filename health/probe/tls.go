package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const day = 24 * time.Hour

// recordLimit is how many bytes of TLS a probe reads: a record may hold one byte for the probe and 16 KiB of padding (RFC 8446, section 5.4), so
// the limits of what the probe gets to see are none. What honest servers send it, chain and all, is a tenth of that.
const recordLimit = 1 << 20

// probeTLS makes a handshake and says nothing more.
func probeTLS(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	if conn := w.connect(ctx, t, &r); conn != nil {
		conn.Close()
		r.Reason, r.Detail = health.ReasonOK, fmt.Sprintf("handshake, certificate good for %d days", daysUntil(r.CertificateEnds))
	}
	return r
}

// handshake makes a connection one of TLS. It returns nil when that fails, and then r says why and the connection is closed.
func (w wire) handshake(ctx context.Context, conn net.Conn, t *health.Target, limit time.Duration, r *health.Result) net.Conn {
	start := time.Now()
	config := &tls.Config{ServerName: serverName(t), RootCAs: w.config.Roots, InsecureSkipVerify: t.SkipVerify}
	switch t.Kind {
	case health.KindHTTPS:
		config.NextProtos = []string{"http/1.1"}
	case health.KindGRPC:
		config.NextProtos = []string{"h2"}
	}
	tape := &tape{Conn: conn, left: recordLimit}
	secure := tls.Client(tape, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		fail(r, "tls", err, limit, health.ReasonTLS)
		return nil
	}
	r.TLS = time.Since(start)
	state := secure.ConnectionState()
	r.CertificateEnds = certificateEnds(&state)
	if t.Kind == health.KindGRPC && state.NegotiatedProtocol != "h2" {
		r.Reason, r.Detail = health.ReasonTLS, "tls: the server does not agree to HTTP/2 (ALPN h2)"
	} else if !goodFor(t, r) {
		// The result says so.
	} else {
		// Closing a tls.Conn may wait 5 s for room to say goodbye, and a probe has no time for that.
		return rude{secure, tape}
	}
	conn.Close()
	return nil
}

// rude is a TLS connection that is closed without a word.
type rude struct {
	*tls.Conn
	tape *tape // under it
}

func (r rude) Close() error { return r.tape.Close() }

// certificateEnds returns when the first certificate expires of the chain that lasts longest; without a chain, that of the server does.
func certificateEnds(state *tls.ConnectionState) (ends time.Time) {
	for _, chain := range state.VerifiedChains {
		first := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(ends) {
			ends = first
		}
	}
	if ends.IsZero() && len(state.PeerCertificates) > 0 {
		ends = state.PeerCertificates[0].NotAfter
	}
	return ends
}

// goodFor reports whether the certificate that r is of is good for as long as a target wants; if not, r says so.
func goodFor(t *health.Target, r *health.Result) bool {
	if isLong(t, r.CertificateEnds, time.Now()) {
		return true
	}
	r.Reason = health.ReasonTLS
	r.Detail = fmt.Sprintf("tls: certificate good for %d days, expected at least %d", daysUntil(r.CertificateEnds), t.MinCertificateDays)
	return false
}

// isLong reports whether it is as long until a certificate ends as a target wants.
func isLong(t *health.Target, ends, now time.Time) bool {
	return t.MinCertificateDays == 0 || ends.Sub(now) >= time.Duration(t.MinCertificateDays)*day
}

func daysUntil(ends time.Time) int { return int(time.Until(ends) / day) }

// serverName is the name that the certificate must bear: an address where the target has no name.
func serverName(t *health.Target) string {
	if t.ServerName != "" {
		return t.ServerName
	}
	host := t.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "" {
		return t.Address.Addr().Unmap().WithZone("").String()
	}
	return strings.Trim(host, "[]")
}
