package gossip

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// listen opens the sockets, unless the configuration brings a transport.
func (m *Mesh) listen() (memberlist.Transport, error) {
	c := &m.config
	if c.Transport != nil {
		return c.Transport, nil
	}
	if !c.Bind.IsValid() {
		return nil, fmt.Errorf("no address to listen on: set %s", c.BindKey)
	}
	if c.Bind.Addr().IsUnspecified() && !c.Advertise.IsValid() {
		return nil, fmt.Errorf("%v is no address that others can reach: set %s to one, or advertise one", c.Bind, c.BindKey)
	}
	config := &memberlist.NetTransportConfig{
		BindAddrs: []string{c.Bind.Addr().Unmap().String()},
		BindPort:  int(c.Bind.Port()),
		Logger:    newLogger(m.log, m.metrics),
	}
	tries := 1
	if c.Bind.Port() == 0 {
		tries = 10 // the port that is free for TCP may be taken for UDP
	}
	var err error
	for range tries {
		var t *memberlist.NetTransport
		if t, err = memberlist.NewNetTransport(config); err == nil {
			return t, nil
		}
		if !addressInUse(err) {
			return nil, fmt.Errorf("listen on %v: %w", c.Bind, err)
		}
	}
	return nil, fmt.Errorf("listen on %v: address already in use: stop what uses it, or change %s", c.Bind, c.BindKey)
}

// addressInUse reads the text: memberlist doesn't wrap.
func addressInUse(err error) bool { return strings.Contains(err.Error(), "address already in use") }

// advertised is what memberlist takes: empty for the address that the sockets have.
func advertised(c Config) (string, int) {
	if !c.Advertise.IsValid() {
		return "", 0
	}
	return c.Advertise.Addr().Unmap().String(), int(c.Advertise.Port())
}

// a transport makes sure that streams end: by a deadline from the start, which memberlist doesn't set for
// messages, and by Close.
type transport struct {
	memberlist.Transport
	ctx     context.Context
	timeout time.Duration
	sockets bool
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, to.Addr)
}

func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(to.Addr, timeout)
}

func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	conn, err := t.dial(address, timeout)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(t.timeout)); err != nil {
		conn.Close()
		return nil, err
	}
	return &stream{conn, context.AfterFunc(t.ctx, func() { conn.Close() })}, nil
}

func (t *transport) dial(address string, timeout time.Duration) (net.Conn, error) {
	if !t.sockets {
		return t.Transport.DialTimeout(address, timeout)
	}
	dialer := net.Dialer{Timeout: timeout}
	return dialer.DialContext(t.ctx, "tcp", address)
}

// a stream is a connection that Close of the mesh closes too.
type stream struct {
	net.Conn
	release func() bool
}

func (s *stream) Close() error {
	s.release()
	return s.Conn.Close()
}
