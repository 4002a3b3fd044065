// Package freeport draws addresses for servers of tests and benches that can't choose a port themselves, or must come back at the same one.
//
// It listens only to see what is free, and holds nothing: who draws an address is the one to listen there. A port is never drawn
// twice by one process, and never is one of those that systems give to whoever asks for any (RFC 6335 §6: from 49152 on, with
// Linux from 32768), so that no outgoing connection takes it in between.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
)

const (
	first = 10_000
	ports = 20_000
	tries = 200
)

var drawn sync.Map // of uint16: the ports are the process's, whoever asks for one

// Draw returns an address of 127.0.0.1 that is free for UDP and TCP. It may be called by several goroutines at once.
func Draw() (netip.AddrPort, error) {
	for range tries {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(first+rand.IntN(ports)))
		if _, before := drawn.LoadOrStore(address.Port(), true); !before && free(address) {
			return address, nil
		}
	}
	return netip.AddrPort{}, errors.New("no port is free for UDP and TCP")
}

func free(address netip.AddrPort) bool {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address))
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return false
	}
	u.Close()
	return true
}
