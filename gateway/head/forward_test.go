package head

import (
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	trusted := func(a netip.Addr) bool { return netip.MustParsePrefix("10.0.0.0/8").Contains(a) }
	for _, row := range []struct {
		why    string
		peer   string
		chain  []string
		client string
	}{
		{"nobody forwards", "192.0.2.1", nil, "192.0.2.1"},
		{"who is not trusted says what it likes", "192.0.2.1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a balancer", "10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client says of itself", "10.0.0.1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two balancers", "10.0.0.1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"in two fields", "10.0.0.1", []string{"203.0.113.9, 198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"nobody but balancers", "10.0.0.1", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		{"a balancer that writes rubbish", "10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"an IPv4 address in an IPv6 one", "10.0.0.1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"an empty field", "10.0.0.1", []string{""}, "10.0.0.1"},
	} {
		var f Fields
		for _, value := range row.chain {
			f = append(f, Field{"X-Forwarded-For", value})
		}
		if got := Client(f, netip.MustParseAddr(row.peer), trusted); got.String() != row.client {
			t.Errorf("%s: %v from %s: %v, want %s", row.why, row.chain, row.peer, got, row.client)
		}
	}
}
