package probe

import (
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const (
	// linkAge is how long a link is used: a server that shows whoever connects now another certificate, or takes no more connections, is seen that
	// soon, and a handshake in ten minutes costs nothing.
	linkAge = 10 * time.Minute

	// watchGap is how often the kernel asks after the other end of a link at rest: whatever on the way forgets links at rest does so after minutes.
	watchGap = 15 * time.Second
)

// A link is a connection over which several probes of a target go, one after the other.
type link struct {
	net.Conn
	since time.Time
	ends  time.Time // of the certificate that was shown
}

// isWorn reports whether a new connection may show what the link can't: that the server is another by now, or has renewed its certificate.
func (l *link) isWorn(t *health.Target, now time.Time) bool {
	if now.Sub(l.since) >= linkAge {
		return true
	}
	return t.SpeaksTLS() && (!t.SkipVerify && now.After(l.ends) || !isLong(t, l.ends, now))
}

// watch has the kernel find out when the other end of a connection at rest is gone.
func watch(conn net.Conn) {
	if tcp, ok := conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: watchGap, Interval: watchGap, Count: 3})
	}
}

// A keeper holds the link of a target while no probe uses it. Of probes that run beside each other one has it and the others make their
// own; one of these is kept afterwards. The zero value is ready, and a nil keeper keeps nothing.
type keeper struct {
	mu     sync.Mutex
	link   *link
	closed bool
}

// take returns the link, which is then the caller's, or nil. One that the server has closed, or on which it said something unasked, is given
// up here already. What the server may send is counted anew.
func (k *keeper) take() *link {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	l := k.link
	k.link = nil
	k.mu.Unlock()
	if l != nil && !isQuiet(l.Conn) {
		l.Close()
		return nil
	}
	if l != nil {
		if secure, ok := l.Conn.(rude); ok {
			secure.tape.left = recordLimit
		}
	}
	return l
}

// put keeps a link, and reports whether it does: if not, it stays the caller's.
func (k *keeper) put(l *link) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.link != nil {
		return false
	}
	k.link = l
	return true
}

// close closes the link, and keeps none any more.
func (k *keeper) close() {
	k.mu.Lock()
	l := k.link
	k.link, k.closed = nil, true
	k.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// isQuiet reports whether a connection stands and has nothing to read. Of what is not a socket it can't tell.
func isQuiet(conn net.Conn) bool {
	if secure, ok := conn.(rude); ok {
		conn = secure.tape.Conn
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && peeked == syscall.EAGAIN
}
