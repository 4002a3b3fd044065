package demo

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A hole is an address at which packets vanish: a socket that listens, never accepts, and whose queue is full, so that
// the kernel drops every further SYN. It stands in for a cut link, without root.
type hole struct {
	fd      int
	fillers []net.Conn
}

func dig(address string) (*hole, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	h := &hole{fd: fd}
	if err := h.listen(at); err != nil {
		h.Close()
		return nil, err
	}
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 50*time.Millisecond)
		if err != nil {
			break // the queue is full
		}
		h.fillers = append(h.fillers, c)
	}
	return h, nil
}

func (h *hole) listen(at netip.AddrPort) error {
	if err := unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(h.fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(h.fd, 0))
}

// Close fills the hole in.
func (h *hole) Close() {
	for _, c := range h.fillers {
		c.Close()
	}
	unix.Close(h.fd)
}
