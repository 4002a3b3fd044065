package wan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// A Host is a machine of the network: it listens, dials and sends packets.
type Host struct {
	network *Network
	name    string
	address netip.Addr

	// under the network's lock
	nextPort   uint16
	listeners  map[uint16]*listener
	transports map[uint16]*transport
}

// Name is the host's name, for messages of tests.
func (h *Host) Name() string { return h.name }

// Address is the host's only address.
func (h *Host) Address() netip.Addr { return h.address }

// Listen takes streams to the port; 0 is any free one.
func (h *Host) Listen(port uint16) (net.Listener, error) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	l, err := h.listen(port)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (h *Host) listen(port uint16) (*listener, error) {
	if port == 0 {
		port = h.freePort()
	}
	address := netip.AddrPortFrom(h.address, port)
	if h.listeners[port] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(address), Err: syscall.EADDRINUSE}
	}
	l := &listener{host: h, address: address, accepted: make(chan net.Conn, backlog), closed: make(chan struct{})}
	h.listeners[port] = l
	return l, nil
}

func (h *Host) freePort() uint16 {
	for {
		h.nextPort++
		if h.nextPort >= 40000 && h.listeners[h.nextPort] == nil {
			return h.nextPort
		}
	}
}

// Dial opens a stream to host:port. A cut or a host that is not there is silence: Dial waits for it until
// ctx ends, at most a minute. A port on which nobody listens refuses.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	c, err := h.dial(ctx, to)
	if errors.Is(err, context.DeadlineExceeded) {
		err = os.ErrDeadlineExceeded // which says Timeout, and is what package net returns
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return c, nil
}

func (h *Host) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	n := h.network
	there, back, err := h.travel(ctx, to.Addr())
	if err == nil {
		err = sleep(ctx, there)
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.hosts[to.Addr()].listeners[to.Port()]
	var client *conn
	if l != nil {
		var server *conn
		client, server = n.stream(netip.AddrPortFrom(h.address, h.freePort()), to)
		select {
		case l.accepted <- server:
		default: // the backlog is full
			l = nil
			client.end(net.ErrClosed)
			server.end(net.ErrClosed)
		}
	}
	n.mu.Unlock()
	if l == nil {
		if err := sleep(ctx, back); err != nil {
			return nil, err
		}
		return nil, syscall.ECONNREFUSED
	}
	if err := sleep(ctx, back); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// travel waits until both ways to a host are open, and says how long a packet takes there and back.
func (h *Host) travel(ctx context.Context, to netip.Addr) (there, back time.Duration, err error) {
	n := h.network
	for {
		n.mu.Lock()
		_, cut := n.cut(h.address, to)
		if n.hosts[to] != nil && !cut {
			out, in := n.path(h.address, to), n.path(to, h.address)
			there, back = out.delay(), in.delay()
			if out.lost() || in.lost() {
				there += time.Second // the first retransmission of a SYN (RFC 6298, section 2)
			}
			n.mu.Unlock()
			return there, back, nil
		}
		moved := n.moved
		n.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Crash ends all that runs on the host, as a power cut does: no peer hears of it. The host can be used again at once.
func (h *Host) Crash() {
	n := h.network
	n.mu.Lock()
	listeners, transports := h.listeners, h.transports
	h.listeners, h.transports = map[uint16]*listener{}, map[uint16]*transport{}
	for half := range n.halves {
		if half.from.local.Addr() == h.address && half.from.err == nil {
			half.from.end(syscall.ECONNABORTED)
		}
	}
	n.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for _, t := range transports {
		t.Shutdown()
	}
}

// a listener is a net.Listener.
type listener struct {
	host     *Host
	address  netip.AddrPort
	accepted chan net.Conn
	closed   chan struct{} // closed under the network's lock
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.address) }

// Close ends Accept, and the connections that nobody has accepted.
func (l *listener) Close() error {
	l.host.network.mu.Lock()
	select {
	case <-l.closed:
		l.host.network.mu.Unlock()
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	default:
	}
	close(l.closed)
	if l.host.listeners[l.address.Port()] == l {
		delete(l.host.listeners, l.address.Port())
	}
	l.host.network.mu.Unlock()
	for {
		select {
		case c := <-l.accepted:
			c.Close()
		default:
			return nil
		}
	}
}
