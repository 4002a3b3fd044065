package freeport

import (
	"net"
	"net/netip"
	"testing"
)

func TestDraw(t *testing.T) {
	seen := make(map[netip.AddrPort]bool)
	for range 100 {
		a, err := Draw()
		if err != nil {
			t.Fatal(err)
		}
		if seen[a] || !a.Addr().IsLoopback() || a.Port() < first || a.Port() >= first+ports {
			t.Fatalf("drew %v after %d others (before: %v), want a new port of 127.0.0.1 from %d to %d", a, len(seen), seen[a], first, first+ports-1)
		}
		seen[a] = true
	}
}

// What has a listener of either kind is not free.
func TestFree(t *testing.T) {
	a, err := Draw()
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"", "udp4", "tcp4"} {
		var other interface{ Close() error }
		switch network {
		case "udp4":
			other, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(a))
		case "tcp4":
			other, err = net.ListenTCP(network, net.TCPAddrFromAddrPort(a))
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := free(a), network == ""; got != want {
			t.Errorf("with a listener %q: free = %v, want %v", network, got, want)
		}
		if other != nil {
			other.Close()
		}
	}
}
