package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
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
	health.KindTLS:   probeTLS,
	health.KindGRPC:  probeGRPC,
	health.KindDNS:   probeDNS,
	health.KindICMP:  probeICMP,
	health.KindExec:  probeExec,
}

// A wire is how a prober reaches its target.
type wire struct {
	config *Config       // with its defaults
	keeper *keeper       // of the target; nil: none
	undead *atomic.Int32 // programs of the target that can't be killed; nil: not counted
}

// attempt makes one probe of a target and returns its result, whatever the target or its network do.
func attempt(ctx context.Context, t *health.Target, definition uint32, w wire) health.Result {
	start := time.Now()
	_, _, total := health.Timeouts(t)
	ctx, cancel := context.WithTimeout(ctx, total)
	defer cancel()
	var result health.Result
	if why := w.config.bars(t); why != "" {
		result = health.Result{Detail: why}
	} else if !isEndpoint(t) {
		result = health.Result{Reason: health.ReasonOther, Detail: fmt.Sprintf("%v is no address of an endpoint", t.Address)}
	} else {
		result = probers[t.Kind](ctx, t, w)
	}
	result.Check, result.Definition, result.Start, result.Total = t.ID, definition, start, time.Since(start)
	result.Detail = clip(result.Detail)
	return result
}

// bars says why this vantage can't or may not probe a target, which says nothing of the target; empty if it probes it.
func (c *Config) bars(t *health.Target) string {
	if probers[t.Kind] == nil {
		kinds := slices.Sorted(maps.Keys(probers))
		return fmt.Sprintf("unknown kind %q (have %s)", t.Kind, strings.Join(kinds, ", "))
	}
	if why := c.denies(t.Address.Addr()); why != "" {
		return why
	}
	if t.Kind == health.KindExec {
		return c.forbids(t.Command)
	}
	return ""
}

// denies says why nothing is sent to an address; empty if it may. Zones and IPv4-mapped forms hide no address.
func (c *Config) denies(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	for _, prefix := range c.Deny {
		if prefix.Contains(address) {
			return fmt.Sprintf("%v is denied by %v", address, prefix)
		}
	}
	return ""
}

// isEndpoint reports whether a target's address is one that anything can be sent to.
func isEndpoint(t *health.Target) bool {
	address := t.Address.Addr().Unmap().WithZone("")
	portless := t.Kind == health.KindICMP || t.Kind == health.KindExec
	return address.IsValid() && !address.IsUnspecified() && (t.Address.Port() != 0 || portless)
}

func probeTCP(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	if conn := w.connect(ctx, t, &r); conn != nil {
		conn.Close()
		r.Reason, r.Detail = health.ReasonOK, "connected"
	}
	return r
}

// open dials a target. It returns nil when that fails, and then r says why.
func (w wire) open(ctx context.Context, network string, t *health.Target, limit time.Duration, r *health.Result) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	conn, err := w.config.Dial(ctx, network, t.Address.String())
	if err != nil {
		fail(r, "connect", err, limit, health.ReasonOther)
		return nil
	}
	r.Connect = time.Since(start)
	return conn
}

// connect opens the connection of a probe, within the time that is for that; a PROXY header and the handshake of TLS belong to it where the
// target has them. It returns nil when there is none, and then r says why.
func (w wire) connect(ctx context.Context, t *health.Target, r *health.Result) net.Conn {
	limit, _, _ := health.Timeouts(t)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn := w.open(ctx, "tcp", t, limit, r)
	if conn != nil && t.KeepAlive {
		watch(conn)
	}
	if conn != nil && t.ProxyProtocol != 0 {
		deadline, _ := ctx.Deadline()
		conn.SetWriteDeadline(deadline)
		if _, err := conn.Write(proxyHeader(t.ProxyProtocol, conn)); err != nil {
			conn.Close()
			fail(r, "proxy header", err, limit, health.ReasonOther)
			return nil
		}
		conn.SetWriteDeadline(time.Time{})
	}
	if conn != nil && t.SpeaksTLS() {
		return w.handshake(ctx, conn, t, limit, r)
	}
	return conn
}

// fail writes down an error of the connection that came up in a phase, which had limit; otherwise is the reason of an
// error that is not of the network.
//
//	error                                                          reason
//	EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM: this vantage is        none
//	short of something, or its own firewall forbids it
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
	var errno syscall.Errno
	var words string
	switch {
	case isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM):
		errors.As(err, &errno)
		r.Reason, words = health.ReasonNone, "this vantage can't: "+errno.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		r.Reason, words = health.ReasonTimeout, fmt.Sprintf("timeout after %v", limit)
	case errors.Is(err, syscall.ECONNREFUSED):
		r.Reason, words = health.ReasonRefused, "refused"
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		r.Reason, words = health.ReasonReset, "connection reset"
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe):
		r.Reason, words = health.ReasonReset, "connection closed"
	case isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT):
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
