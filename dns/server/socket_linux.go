package server

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	receiveBuffer = 4 << 20
	wakeEvery     = 250_000 // microseconds that a system call waits at most, so that a thread sees the server close
)

// openUDP binds a socket to an address that other sockets of ours may have too.
func openUDP(address netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if address.Addr().Is6() {
		family = unix.AF_INET6
	}
	socket, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := configureUDP(socket, family, address); err != nil {
		unix.Close(socket)
		return 0, err
	}
	return socket, nil
}

func configureUDP(socket, family int, address netip.AddrPort) error {
	level, pktinfo, discover := unix.IPPROTO_IP, unix.IP_PKTINFO, unix.IP_MTU_DISCOVER
	if family == unix.AF_INET6 {
		level, pktinfo, discover = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, unix.IPV6_MTU_DISCOVER
		if err := unix.SetsockoptInt(socket, level, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("IPV6_V6ONLY: %w", err)
		}
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("SO_REUSEPORT: %w", err)
	}
	if address.Addr().IsUnspecified() {
		if err := unix.SetsockoptInt(socket, level, pktinfo, 1); err != nil {
			return fmt.Errorf("packet information: %w", err)
		}
	}
	wake := unix.NsecToTimeval(wakeEvery * 1000)
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, option, &wake); err != nil {
			return fmt.Errorf("time limit: %w", err)
		}
	}
	// The rest is good to have. Forged "fragmentation needed" messages must not make us send fragments (RFC 9715,
	// section 3.1); the value is the same for both families.
	_ = unix.SetsockoptInt(socket, level, discover, unix.IP_PMTUDISC_OMIT)
	_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)

	sockaddr, err := sockaddrOf(address)
	if err != nil {
		return err
	}
	return unix.Bind(socket, sockaddr)
}

func sockaddrOf(address netip.AddrPort) (unix.Sockaddr, error) {
	a, port := address.Addr(), int(address.Port())
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}, nil
	}
	sockaddr := &unix.SockaddrInet6{Port: port, Addr: a.As16()}
	if a.Zone() != "" {
		link, err := net.InterfaceByName(a.Zone())
		if err != nil {
			return nil, fmt.Errorf("zone %q: %w", a.Zone(), err)
		}
		sockaddr.ZoneId = uint32(link.Index)
	}
	return sockaddr, nil
}
