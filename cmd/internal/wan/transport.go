package wan

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// a transport is a memberlist.Transport. memberlist's own MockTransport hands packets over on channels without
// a buffer while it holds locks, which is a deadlock inside a synctest bubble.
type transport struct {
	host    *Host
	streams *listener
	packets chan *memberlist.Packet
	ctx     context.Context
	cancel  context.CancelFunc
}

const packetQueue = 1024 // packets that have arrived and wait to be read; more are lost, as in a socket buffer

// Transport takes packets and streams to the port, until its Shutdown frees it.
func (h *Host) Transport(port uint16) (memberlist.Transport, error) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	streams, err := h.listen(port)
	if err != nil {
		return nil, err
	}
	t := &transport{host: h, streams: streams, packets: make(chan *memberlist.Packet, packetQueue)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	h.transports[streams.address.Port()] = t
	return t, nil
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.host.address.AsSlice(), int(t.streams.address.Port()), nil
}

func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	now := time.Now()
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return now, &net.OpError{Op: "write", Net: "udp", Err: err}
	}
	if t.ctx.Err() != nil {
		return now, &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: net.ErrClosed}
	}
	if len(b) > 65507 {
		return now, &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: syscall.EMSGSIZE}
	}
	n := t.host.network
	n.mu.Lock()
	defer n.mu.Unlock()
	path := n.path(t.host.address, to.Addr())
	delay, lost := path.delay(), path.lost()
	if path.cut || lost {
		return now, nil
	}
	packet := &memberlist.Packet{Buf: slices.Clone(b), From: net.UDPAddrFromAddrPort(t.streams.address)}
	time.AfterFunc(delay, func() { n.deliver(to, packet) })
	return now, nil
}

func (n *Network) deliver(to netip.AddrPort, packet *memberlist.Packet) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host := n.hosts[to.Addr()]
	if host == nil || host.transports[to.Port()] == nil {
		return
	}
	packet.Timestamp = time.Now()
	select {
	case host.transports[to.Port()].packets <- packet:
	default:
	}
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	return t.host.Dial(ctx, address)
}

func (t *transport) StreamCh() <-chan net.Conn { return t.streams.accepted }

func (t *transport) Shutdown() error {
	t.cancel()
	n := t.host.network
	n.mu.Lock()
	if port := t.streams.address.Port(); t.host.transports[port] == t {
		delete(t.host.transports, port)
	}
	n.mu.Unlock()
	t.streams.Close() // an error says only that Crash was first
	return nil
}
