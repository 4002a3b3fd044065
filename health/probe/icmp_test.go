package probe

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/meridian-gslb/meridian/health"
)

// A pinger is a socket for echo requests in a test: what comes back for each that is sent.
type pinger struct {
	t        *testing.T
	network  string
	address  string
	answers  func(echo *icmp.Echo, to net.Addr) []packet
	come     chan packet
	deadline time.Time
	closed   chan struct{}
	sent     error // of WriteTo
}

type packet struct {
	after time.Duration
	from  net.Addr
	bytes []byte
}

func (p *pinger) WriteTo(b []byte, to net.Addr) (int, error) {
	if p.sent != nil {
		return 0, p.sent
	}
	protocol, kind := protocolICMP, icmp.Type(ipv4.ICMPTypeEcho)
	if p.network == "udp6" {
		protocol, kind = protocolICMPv6, ipv6.ICMPTypeEchoRequest
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil || m.Type != kind {
		p.t.Errorf("sent %x: %v, %v", b, m, err)
		return len(b), nil
	}
	packets := p.answers(m.Body.(*icmp.Echo), to)
	go func() {
		for _, packet := range packets {
			time.Sleep(packet.after)
			select {
			case p.come <- packet:
			case <-p.closed:
				return
			}
		}
	}()
	return len(b), nil
}

func (p *pinger) ReadFrom(b []byte) (int, net.Addr, error) {
	late := time.NewTimer(time.Until(p.deadline))
	defer late.Stop()
	select {
	case packet := <-p.come:
		return copy(b, packet.bytes), packet.from, nil
	case <-late.C:
		return 0, nil, os.ErrDeadlineExceeded
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p *pinger) SetDeadline(t time.Time) error    { p.deadline = t; return nil }
func (p *pinger) SetReadDeadline(time.Time) error  { return nil }
func (p *pinger) SetWriteDeadline(time.Time) error { return nil }
func (p *pinger) LocalAddr() net.Addr              { return nil }
func (p *pinger) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func TestICMP(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	at := func(a string) net.Addr { return net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(a), 0)) }
	message := func(kind icmp.Type, body icmp.MessageBody) []byte {
		b, err := (&icmp.Message{Type: kind, Body: body}).Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	reply := func(after time.Duration, from string, echo *icmp.Echo) packet {
		kind := icmp.Type(ipv4.ICMPTypeEchoReply)
		if strings.Contains(from, ":") && !strings.Contains(from, ".") {
			kind = ipv6.ICMPTypeEchoReply
		}
		return packet{after, at(from), message(kind, echo)}
	}
	other := &icmp.Echo{Seq: 1, Data: bytes.Repeat([]byte{7}, 16)}
	ms := time.Millisecond
	for _, row := range []struct {
		why     string
		to      netip.Addr
		answers func(echo *icmp.Echo, to net.Addr) []packet
		sent    error
		reason  health.Reason
		detail  string
		took    time.Duration
	}{
		{"an answer", four, func(e *icmp.Echo, _ net.Addr) []packet { return []packet{reply(30*ms, "192.0.2.1", e)} }, nil, health.ReasonOK, "answered", 30 * ms},
		{"IPv6", six, func(e *icmp.Echo, _ net.Addr) []packet { return []packet{reply(30*ms, "2001:db8::1", e)} }, nil, health.ReasonOK, "answered", 30 * ms},
		{"IPv4 in disguise", netip.MustParseAddr("::ffff:192.0.2.1"), func(e *icmp.Echo, _ net.Addr) []packet { return []packet{reply(30*ms, "::ffff:192.0.2.1", e)} }, nil, health.ReasonOK, "answered", 30 * ms},
		{"silence", four, func(*icmp.Echo, net.Addr) []packet { return nil }, nil, health.ReasonTimeout, "answer: timeout after 2s", 2 * time.Second},
		{"from elsewhere, then from there", four, func(e *icmp.Echo, _ net.Addr) []packet {
			return []packet{reply(10*ms, "192.0.2.2", e), reply(10*ms, "192.0.2.1", e)}
		}, nil, health.ReasonOK, "answered", 20 * ms},
		{"only to others", four, func(e *icmp.Echo, _ net.Addr) []packet {
			return []packet{reply(10*ms, "192.0.2.1", other), {0, at("192.0.2.1"), message(ipv4.ICMPTypeEcho, e)}, {0, at("192.0.2.1"), []byte{0}}, {0, at("192.0.2.1"), nil}}
		}, nil, health.ReasonTimeout, "answer: timeout after 2s", 2 * time.Second},
		{"the network is gone", four, nil, os.NewSyscallError("sendto", syscall.ENETUNREACH), health.ReasonNoRoute, "request: network is unreachable", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			var socket *pinger
			w := wireOf(Config{Ping: func(network, address string) (net.PacketConn, error) {
				socket = &pinger{t: t, network: network, address: address, answers: row.answers, come: make(chan packet), closed: make(chan struct{}), sent: row.sent}
				return socket, nil
			}})
			target := health.Target{Kind: health.KindICMP, Address: netip.AddrPortFrom(row.to, 0), Interval: 10 * time.Second}
			got := attempt(t.Context(), &target, 7, w)
			expect(t, row.why, got, row.reason, row.detail)
			if took := time.Since(begin); took != row.took || row.reason == health.ReasonOK && got.FirstByte != took {
				t.Errorf("%s: took %v, first byte %v, want %v", row.why, took, got.FirstByte, row.took)
			}
			select {
			case <-socket.closed:
			default:
				t.Errorf("%s: the socket is left open", row.why)
			}
			if want := map[bool]string{true: "0.0.0.0", false: "::"}[row.to.Unmap().Is4()]; socket.address != want {
				t.Errorf("%s: sends from %s, want %s", row.why, socket.address, want)
			}
		})
	}
}

// A vantage whose kernel has no such socket says so once, and nothing of the target.
func TestVantageThatCantPing(t *testing.T) {
	for _, row := range []struct {
		errno syscall.Errno
		want  string
	}{
		{syscall.EACCES, "this vantage can't send echo requests: permission denied (its group must be in net.ipv4.ping_group_range)"},
		{syscall.EAFNOSUPPORT, "this vantage can't send echo requests: address family not supported by protocol"},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := new(bytes.Buffer)
			opened := 0
			config := Config{
				Observe: func(r health.Result) { t.Errorf("observed %+v", r) },
				Ping: func(string, string) (net.PacketConn, error) {
					opened++
					return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("socket", row.errno)}
				},
				Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			}
			r := Start(config)
			defer r.Close()
			target := &health.Target{ID: "ping/a/ipv4", Kind: health.KindICMP, Address: netip.MustParseAddrPort("192.0.2.1:0"), Interval: time.Second, Fall: 3}
			for range 3 {
				r.Assign(assignment(target))
				pass(10 * time.Second)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, row.want) || opened != 1 {
				t.Errorf("after %d tries logged %s, want once %s", opened, got, row.want)
			}
			expect(t, "a probe all the same", attempt(context.Background(), target, 0, wireOf(config)), health.ReasonNone, row.want)
		})
	}
}

// A vantage that gets its socket later probes from then on, and says so, and what it said before only when that changes.
func TestVantageThatCanPingLater(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.EACCES, syscall.EAFNOSUPPORT} {
		synctest.Test(t, func(t *testing.T) {
			w, log, registry := newWorld(), new(bytes.Buffer), prometheus.NewRegistry()
			why := errno
			r := Start(Config{
				Observe: w.observe,
				Ping: func(network, address string) (net.PacketConn, error) {
					if why != 0 {
						return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("socket", why)}
					}
					answers := func(echo *icmp.Echo, to net.Addr) []packet {
						answer, _ := (&icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: echo}).Marshal(nil)
						return []packet{{0, to, answer}}
					}
					return &pinger{t: t, network: network, address: address, answers: answers, come: make(chan packet), closed: make(chan struct{})}, nil
				},
				Logger:     slog.New(slog.NewTextHandler(log, nil)),
				Registerer: registry,
			})
			defer r.Close()
			ping := func(id health.CheckID) *health.Target {
				return &health.Target{ID: id, Kind: health.KindICMP, Address: netip.MustParseAddrPort("192.0.2.1:0"), Interval: 10 * time.Second, Fall: 3}
			}
			r.Assign(assignment(ping("ping/a/ipv4"), ping("ping/b/ipv4")))
			pass(5 * time.Minute)
			one := assignment(ping("ping/a/ipv4"))
			r.Assign(one)
			pass(time.Second)
			if got := gather(t, registry)["meridian_probe_targets_refused"]; got != 1 || len(w.results) != 0 {
				t.Errorf("%v: %v targets refused, results %v, want one and none", errno, got, w.results)
			}
			if got := log.String(); strings.Count(got, "probe refused") != 2 || strings.Count(got, cantPing(errno)) != 2 {
				t.Errorf("%v: logged %s, want once for each target %s", errno, got, cantPing(errno))
			}

			log.Reset()
			why = syscall.ENOBUFS
			r.Assign(one) // is no news
			pass(5 * time.Minute)
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, cantPing(why)) {
				t.Errorf("%v: logged %s, want once %s", errno, got, cantPing(why))
			}

			log.Reset()
			why = 0
			r.Assign(one)
			pass(5 * time.Minute)
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "probe no longer refused") {
				t.Errorf("%v: logged %s, want once that it is no longer refused", errno, got)
			}
			if got := gather(t, registry)["meridian_probe_targets_refused"]; got != 0 || len(w.results) < 23 || w.results[0].Reason != health.ReasonOK {
				t.Errorf("%v: %v targets refused, %d results, want none and four minutes of them: %v", errno, got, len(w.results), w.results)
			}
		})
	}
}

// With the kernel's own sockets, where this machine has them.
func TestRealICMP(t *testing.T) {
	for _, to := range []string{"127.0.0.1", "::1"} {
		conn, err := wireOf(Config{}).config.ping(netip.MustParseAddr(to))
		if err != nil {
			t.Logf("not tried: %s", cantPing(err))
			continue
		}
		conn.Close()
		target := health.Target{Kind: health.KindICMP, Address: netip.AddrPortFrom(netip.MustParseAddr(to), 0)}
		expect(t, to, try(&target, nil), health.ReasonOK, "answered")
	}
}
