package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// Everything that is wrong with a setup is said at once, and nothing of it comes into force.
func TestSetupMistakes(t *testing.T) {
	peer := Primary{Address: netip.MustParseAddrPort("192.0.2.1:53")}
	good := Secondary{[]Primary{peer}}
	key := keyOfTest(t, "peer", "hmac-sha256")
	for _, test := range []struct {
		why   string
		setup Setup
		want  string
	}{
		{"empty", Setup{}, ""},
		{"good", Setup{Keys: []Key{key}, Secondary: map[string]Secondary{"Shop.example": {[]Primary{{peer.Address, "PEER", &TLS{Name: "ns1.example"}}}}}}, ""},
		{"an unknown key", Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example": {Allow: []Grant{{Key: "pear"}}}}},
			`transfer shop.example: allow: unknown key "pear" (have peer.)`},
		{"an empty grant", Setup{Primary: map[string]Policy{"shop.example": {Allow: []Grant{{}}}}}, "transfer shop.example: allow: want a key or a prefix"},
		{"a target without port", Setup{Primary: map[string]Policy{"shop.example": {Notify: []Target{{Address: netip.MustParseAddrPort("192.0.2.1:0")}}}}},
			"transfer shop.example: notify: 192.0.2.1:0: want an address and port"},
		{"no primaries", Setup{Secondary: map[string]Secondary{"shop.example": {}}}, "secondary shop.example: want one primary or more"},
		{"TLS without a name", Setup{Secondary: map[string]Secondary{"shop.example": {[]Primary{{peer.Address, "", &TLS{}}}}}},
			"secondary shop.example: primary 192.0.2.1:53: want the name in its certificate"},
		{"a zone twice", Setup{Secondary: map[string]Secondary{"shop.example": good, "SHOP.example.": good}}, "secondary shop.example: the zone is there twice"},
		{"a catalog that is a zone", Setup{Secondary: map[string]Secondary{"shop.example": good}, Catalogs: map[string]Catalog{"shop.example": {Secondary: good}}},
			"shop.example. is a catalog and a secondary zone"},
		{"a group without primaries", Setup{Catalogs: map[string]Catalog{"cat.example": {Secondary: good, Groups: map[string]Secondary{"big": {}}}}},
			"catalog cat.example: group big: want one primary or more"},
		{"updates of a wildcard and out of the zone", Setup{Keys: []Key{key}, Updates: map[string]Updates{"shop.example": {map[string][]string{"peer": {"*.shop.example", "www.other.example"}}}}},
			`updates shop.example: key peer: host "*.shop.example": want the name of a host in the zone, without wildcard` + "\n" +
				`updates shop.example: key peer: host "www.other.example": want the name of a host in the zone, without wildcard`},
	} {
		s := open(t, Config{})
		err := s.Apply(&test.setup)
		got := ""
		if err != nil {
			got = err.Error()
			if len(s.secondaries.zones) > 0 || len(s.setup.Load().Primary) > 0 {
				t.Errorf("%s: is in force", test.why)
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.why, got, test.want)
		}
	}
}

func TestPermits(t *testing.T) {
	in, out := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	net := netip.MustParsePrefix("192.0.2.0/24")
	for _, test := range []struct {
		why    string
		policy Policy
		key    string
		from   netip.Addr
		xot    bool
		want   bool
	}{
		{"nobody by default", Policy{}, "peer.", in, true, false},
		{"by key alone, from anywhere", Policy{Allow: []Grant{{Key: "peer."}}}, "peer.", out, false, true},
		{"another key", Policy{Allow: []Grant{{Key: "peer."}}}, "other.", in, false, false},
		{"no key", Policy{Allow: []Grant{{Key: "peer."}}}, "", in, false, false},
		{"by prefix alone", Policy{Allow: []Grant{{Prefix: net}}}, "", in, false, true},
		{"another prefix", Policy{Allow: []Grant{{Prefix: net}}}, "peer.", out, false, false},
		{"key and prefix", Policy{Allow: []Grant{{"peer.", net}}}, "peer.", in, false, true},
		{"key but not prefix", Policy{Allow: []Grant{{"peer.", net}}}, "peer.", out, false, false},
		{"prefix but not key", Policy{Allow: []Grant{{"peer.", net}}}, "", in, false, false},
		{"the second of two", Policy{Allow: []Grant{{Key: "other."}, {Prefix: net}}}, "", in, false, true},
		{"TLS wanted and not there", Policy{Allow: []Grant{{Prefix: net}}, XoT: true}, "", in, false, false},
		{"TLS wanted and there", Policy{Allow: []Grant{{Prefix: net}}, XoT: true}, "", in, true, true},
	} {
		if got := test.policy.permits(test.key, test.from, test.xot); got != test.want {
			t.Errorf("%s: %v", test.why, got)
		}
	}
}

// What is to be signed by a key that the setup in force has not is not sent at all, where unsigned would do for the other.
func TestKeyGone(t *testing.T) {
	zone := zoneOf(t, "shop.example.", 7)
	var dialed atomic.Int32
	s := open(t, Config{Zones: shelfOf(zone).find, Dial: func(context.Context, string, string) (net.Conn, error) {
		dialed.Add(1)
		return nil, errors.New("unreachable")
	}})
	r := &refresh{service: s, zone: &secondaryZone{apex: zone.apex}, file: s.copyFile(zone.apex), setup: s.setup.Load()}
	const want = "key gone. is not there any more"
	if _, _, err := r.run(t.Context(), []Primary{{Address: loopbackPort, Key: "gone."}}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a refresh ends with %v, want %q", err, want)
	}
	if err := s.sendNotice(zone.apex, Target{Address: loopbackPort, Key: "gone."}); err == nil || err.Error() != want {
		t.Errorf("a notice ends with %v, want %q", err, want)
	}
	if n := dialed.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}
