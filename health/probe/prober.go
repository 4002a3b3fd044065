package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-gslb/meridian/health"
)

const detailLimit = 200 // bytes

// A prober makes one probe of a target. It fills the reason, the detail and the times it got to, and ends with its context.
// Connect, TLS and FirstByte are lengths of their own, the last one from the request to the first byte of the answer.
type prober func(ctx context.Context, t *health.Target, w wire) health.Result

var probers = map[string]prober{
	health.KindHTTP:  probeHTTP,
	health.KindHTTPS: probeHTTP,
	health.KindTCP:   probeTCP,
}

// A wire is how a prober reaches its target.
type wire struct {
	dial  Dial
	roots *x509.CertPool
}

// attempt makes one probe of a target and returns its result, whatever the target or its network do.
func attempt(ctx context.Context, t *health.Target, definition uint32, config *Config) health.Result {
	start := time.Now()
	_, _, total := health.Timeouts(t)
	ctx, cancel := context.WithTimeout(ctx, total)
	defer cancel()
	var result health.Result
	if why := refusal(t, config.Deny); why != "" {
		result = health.Result{Reason: health.ReasonOther, Detail: why}
	} else {
		result = probers[t.Kind](ctx, t, wire{config.Dial, config.Roots})
	}
	result.Check, result.Definition, result.Start, result.Total = t.ID, definition, start, time.Since(start)
	result.Detail = clip(result.Detail)
	return result
}

// refusal says why a target is not probed at all; empty if it is. Zones and IPv4-mapped forms hide no address.
func refusal(t *health.Target, deny []netip.Prefix) string {
	address := t.Address.Addr().Unmap().WithZone("")
	switch {
	case probers[t.Kind] == nil:
		kinds := slices.Sorted(maps.Keys(probers))
		return fmt.Sprintf("unknown kind %q (have %s)", t.Kind, strings.Join(kinds, ", "))
	case !address.IsValid() || address.IsUnspecified() || t.Address.Port() == 0:
		return fmt.Sprintf("%v is no address of an endpoint", t.Address)
	}
	for _, prefix := range deny {
		if prefix.Contains(address) {
			return fmt.Sprintf("%v is denied by %v", address, prefix)
		}
	}
	return ""
}

func probeTCP(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	if conn := w.connect(ctx, t, &r); conn != nil {
		conn.Close()
		r.Reason, r.Detail = health.ReasonOK, "connected"
	}
	return r
}

// connect opens the connection of a probe, within the time that is for that; for https its handshake belongs to it. It
// returns nil when there is none, and then r says why.
func (w wire) connect(ctx context.Context, t *health.Target, r *health.Result) net.Conn {
	limit, _, _ := health.Timeouts(t)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	conn, err := w.dial(ctx, "tcp", t.Address.String())
	if err != nil {
		fail(r, "connect", err, limit, health.ReasonOther)
		return nil
	}
	r.Connect = time.Since(start)
	if t.Kind != health.KindHTTPS {
		return conn
	}
	start = time.Now()
	secure := tls.Client(conn, &tls.Config{
		ServerName:         serverName(t),
		RootCAs:            w.roots,
		InsecureSkipVerify: t.SkipVerify,
		NextProtos:         []string{"http/1.1"},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		fail(r, "tls", err, limit, health.ReasonTLS)
		return nil
	}
	r.TLS = time.Since(start)
	// Closing a tls.Conn may wait 5 s for room to say goodbye, and a probe has no time for that.
	return rude{secure}
}

// rude is a TLS connection that is closed without a word.
type rude struct{ *tls.Conn }

func (r rude) Close() error { return r.NetConn().Close() }

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

// fail writes down an error of the connection that came up in a phase, which had limit; otherwise is the reason of an
// error that is not of the network.
//
//	error                                                          reason
//	the time is up, here or in the kernel                          timeout
//	ECONNREFUSED                                                   refused
//	ECONNRESET, EPIPE, ECONNABORTED, an end where none belongs     reset
//	ENETUNREACH, EHOSTUNREACH, ENETDOWN,                           no route
//	EADDRNOTAVAIL, EAFNOSUPPORT (no address of that family here)
//	an alert of the other side's TLS, which may come late          tls
//	other                                                          otherwise
func fail(r *health.Result, phase string, err error, limit time.Duration, otherwise health.Reason) {
	var timeout net.Error
	var op *net.OpError
	var words string
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		r.Reason, words = health.ReasonTimeout, fmt.Sprintf("timeout after %v", limit)
	case errors.Is(err, syscall.ECONNREFUSED):
		r.Reason, words = health.ReasonRefused, "refused"
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		r.Reason, words = health.ReasonReset, "connection reset"
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe):
		r.Reason, words = health.ReasonReset, "connection closed"
	case isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT):
		var errno syscall.Errno
		errors.As(err, &errno)
		r.Reason, words = health.ReasonNoRoute, errno.Error()
	case errors.As(err, &op) && op.Op == "remote error":
		r.Reason, words = health.ReasonTLS, err.Error()
	default:
		r.Reason, words = otherwise, strings.TrimPrefix(err.Error(), phase+": ")
	}
	r.Detail = phase + ": " + words
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// clip makes a text that may quote what a server sent fit to be shown.
func clip(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
	if len(s) <= detailLimit {
		return s
	}
	end := detailLimit
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
