package gateway

import (
	"net"
	"net/netip"
	"sync"
)

// clientOf is whom a peer's connections and requests are counted for: its IPv4 address, or its IPv6 /64, which is
// what one subscriber has. It is the zero Prefix for a trusted peer and for one without an address.
func (g *Gateway) clientOf(peer netip.Addr) netip.Prefix {
	if !peer.IsValid() || g.trusted(peer) {
		return netip.Prefix{}
	}
	peer = peer.Unmap().WithZone("")
	bits := 32
	if peer.Is6() {
		bits = 64
	}
	client, err := peer.Prefix(bits)
	if err != nil {
		panic(err) // the bits fit the family
	}
	return client
}

func peerOf(c net.Conn) netip.Addr {
	if c.RemoteAddr() == nil {
		return netip.Addr{}
	}
	peer, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // a listener that is no socket has none
	return peer.Addr()
}

// A tally counts what each client has at once. It knows no client that has nothing.
type tally struct {
	max int

	mu sync.Mutex
	by map[netip.Prefix]int
}

func newTally(max int) *tally { return &tally{max: max, by: map[netip.Prefix]int{}} }

// enter counts one more and reports whether that is within the limit. It must be left in either case. The zero
// Prefix is not counted.
func (t *tally) enter(client netip.Prefix) bool {
	if !client.IsValid() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.by[client]++
	return t.by[client] <= t.max
}

func (t *tally) leave(client netip.Prefix) {
	if !client.IsValid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[client]--; t.by[client] == 0 {
		delete(t.by, client)
	}
}
