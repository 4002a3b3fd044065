package probe

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/meridian-gslb/meridian/health"
)

// A Listen opens a socket of the kernel that sends echo requests and gets the answers to them; network is udp4 or udp6, address that from
// which it sends.
type Listen func(network, address string) (net.PacketConn, error)

func listenPing(network, address string) (net.PacketConn, error) {
	return icmp.ListenPacket(network, address)
}

// The numbers of ICMP and ICMPv6 among protocols.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// probeICMP sends one echo request. The answer to it must come from the address that was asked and bring back the same random bytes; what else
// comes is passed over. That this vantage has no such socket is no evidence on the target.
func probeICMP(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	address := t.Address.Addr().Unmap()
	conn, err := w.config.ping(address)
	if err != nil {
		r.Detail = cantPing(err)
		return r
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	echo, reply, protocol := icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), protocolICMP
	if address.Is6() {
		echo, reply, protocol = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, protocolICMPv6
	}
	token := make([]byte, 16)
	rand.Read(token)
	request, err := (&icmp.Message{Type: echo, Body: &icmp.Echo{Seq: 1, Data: token}}).Marshal(nil) // the kernel sets id and checksum
	if err != nil {
		panic("probe: echo request: " + err.Error())
	}
	_, firstByte, _ := health.Timeouts(t)
	start := time.Now()
	conn.SetDeadline(start.Add(firstByte))
	if _, err := conn.WriteTo(request, net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 0))); err != nil {
		fail(&r, "request", cmp.Or(ctx.Err(), err), firstByte, health.ReasonOther)
		return r
	}
	buffer := make([]byte, 512)
	for range strangersLimit {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			fail(&r, "answer", cmp.Or(ctx.Err(), err), firstByte, health.ReasonOther)
			return r
		}
		if isEcho(buffer[:n], from, address, protocol, reply, token) {
			r.FirstByte = time.Since(start)
			r.Reason, r.Detail = health.ReasonOK, "answered"
			return r
		}
	}
	fail(&r, "answer", errStrangers, firstByte, health.ReasonOther)
	return r
}

// isEcho reports whether a message is the answer to a request with a token.
func isEcho(message []byte, from net.Addr, address netip.Addr, protocol int, reply icmp.Type, token []byte) bool {
	udp, ok := from.(*net.UDPAddr)
	if !ok || udp.AddrPort().Addr().Unmap().WithZone("") != address.WithZone("") {
		return false
	}
	parsed, err := icmp.ParseMessage(protocol, message)
	if err != nil || parsed.Type != reply {
		return false
	}
	body, ok := parsed.Body.(*icmp.Echo)
	return ok && bytes.Equal(body.Data, token)
}

// ping opens a socket for echo requests to an address.
func (c *Config) ping(address netip.Addr) (net.PacketConn, error) {
	family, network, source := 0, "udp4", netip.IPv4Unspecified()
	if address.Is6() {
		family, network, source = 1, "udp6", netip.IPv6Unspecified()
	}
	if c.Source[family].IsValid() {
		source = c.Source[family]
	}
	return c.Ping(network, source.String())
}

// cantPing is why a vantage has no socket for echo requests.
func cantPing(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	text := "this vantage can't send echo requests: " + err.Error()
	if isAny(err, syscall.EACCES, syscall.EPERM) {
		text += " (its group must be in net.ipv4.ping_group_range)"
	}
	return text
}
