package replica

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/meridian-gslb/meridian/health"
)

func TestSourceOf(t *testing.T) {
	for _, tt := range []struct{ name, address, want string }{
		{"an IPv4 address is one", "192.0.2.1:7000", "192.0.2.1/32"},
		{"and so when it is written as IPv6", "[::ffff:192.0.2.1]:7000", "192.0.2.1/32"},
		{"of an IPv6 address what the subscriber was given", "[2001:db8:1:2:3:4:5:6]:7000", "2001:db8:1:2::/64"},
		{"whatever the interface", "[fe80::1%eth0]:7000", "fe80::/64"},
		{"no address", "pipe", "invalid Prefix"},
	} {
		if got := sourceOf(address(tt.address)); got.String() != tt.want {
			t.Errorf("%s: sourceOf(%s) = %v, want %s", tt.name, tt.address, got, tt.want)
		}
	}
}

func TestRoom(t *testing.T) {
	source := func(i int) netip.Prefix {
		return sourceOf(&net.TCPAddr{IP: net.IP{198, 51, byte(i >> 8), byte(i)}, Port: 1})
	}
	voters := []Voter{{"v1", "192.0.2.1:7000"}, {"v2", "192.0.2.2:7000"}, {"v3", "192.0.2.2:7001"}, {"v4", "v4.example:7000"}, {"v5", "192.0.2.5:7000"}}
	at := func(a string) netip.Prefix { return sourceOfIP(netip.MustParseAddr(a)) }
	r := newRoom(voters)
	greet := func(from netip.Prefix, want string) *guest {
		t.Helper()
		g := &guest{source: from}
		if got := r.greet(g); got != want {
			t.Fatalf("greet(%v) = %q, want %q", from, got, want)
		}
		return g
	}
	admit := func(g *guest, id health.NodeID, voter bool, want string) {
		t.Helper()
		if got := r.admit(g, id, voter); got != want {
			t.Fatalf("admit(%q, %v) = %q, want %q", id, voter, got, want)
		}
	}

	// Handshakes: of one source, of all, and what voters' addresses have for themselves.
	var here []*guest
	for i := range maxHandshakes {
		here = append(here, greet(source(i/maxSource), ""))
	}
	greet(source(0), whySource)
	greet(source(maxHandshakes), whyBusy)
	for range maxSource {
		here = append(here, greet(at("192.0.2.1"), ""), greet(at("192.0.2.2"), ""), greet(at("192.0.2.2"), ""))
	}
	greet(at("192.0.2.1"), whySource)
	greet(at("192.0.2.2"), whySource) // two voters are listed there
	r.leave(here[0])
	here = append(here[1:], greet(source(maxHandshakes), ""))
	for _, g := range here {
		r.leave(g)
	}

	// Connections: of one certificate, of all, and what voters have for themselves.
	here = nil
	from := 0
	come := func(id health.NodeID, voter bool, want string) *guest {
		t.Helper()
		from++
		g := greet(source(from), "")
		if admit(g, id, voter, want); want != "" {
			r.leave(g)
		} else {
			here = append(here, g)
		}
		return g
	}
	ordinary := maxConns - len(voters)*maxVoter
	for i := range ordinary {
		come(health.NodeID(fmt.Sprint("o", i/maxPeer)), false, "")
	}
	come("o0", false, whyPeer)
	come("late", false, whyBusy)
	for _, v := range voters {
		for range maxVoter {
			come(v.ID, true, "")
		}
		come(v.ID, true, whyPeer)
	}
	come("v1", false, whyBusy) // its name is not enough
	if len(here) != maxConns {
		t.Errorf("%d connections, want %d", len(here), maxConns)
	}
	r.leave(here[0])
	here = here[1:]
	come("late", false, "")
	for _, g := range here {
		r.leave(g)
	}
	if r.strangers != 0 || r.ordinary != 0 || len(r.shakes)+len(r.conns)+len(r.voters) != 0 {
		t.Errorf("after all left: %+v, want nothing", r)
	}
}
