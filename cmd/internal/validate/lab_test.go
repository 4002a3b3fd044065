//go:build linux

// Package validate_test has validating resolvers judge what Meridian signs: unbound, BIND and Knot Resolver, behind a root
// and a top level of the test's own, in a network namespace.
package validate_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

// Who is where in the namespace.
var (
	rootAddress    = netip.MustParseAddrPort("10.53.0.1:53")
	topAddress     = netip.MustParseAddrPort("10.53.0.2:53")
	subjectAddress = netip.MustParseAddrPort("10.53.0.3:53") // of the zone that is judged
	belowAddress   = netip.MustParseAddrPort("10.53.0.4:53") // of the zones that it delegates, and of one beside it
	meshAddress    = netip.MustParseAddrPort("10.53.0.5:53")
	resolver       = netip.MustParseAddrPort("10.53.1.1:53") // the next one is one higher
)

const (
	head = "$ORIGIN %s\n$TTL %d\n@ SOA ns hostmaster 1 7200 900 1209600 %[2]d\n@ NS ns\nns A %[3]s\n"

	apex     = "shop.example."
	wrongKey = "shop.example. IN DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
)

// A lab is a namespace with a signed root and all that is below it.
type lab struct {
	ttl    int // of all that is not in testdata, in seconds
	space  *peers.Space
	anchor string // the DS record of the root

	dir, program string // of Meridian, where that is judged
	marks        int    // in its query log

	beside  string // the DS record of the other zone at the top level
	topKeys peers.Keys
	stopTop func()
}

// build starts a subject, and around it the nameservers that lead to it. Records live as long as ttl says, in seconds.
func build(t *testing.T, s subject, ttl int) *lab {
	t.Helper()
	peers.Need(t, "nsd", "knotd", "named", "unbound", "kresd", "ldns-keygen", "ldns-signzone", "ip")
	addresses := []netip.Addr{rootAddress.Addr(), topAddress.Addr(), subjectAddress.Addr(), belowAddress.Addr(), meshAddress.Addr(), behindForger.Addr()}
	for i, a := 0, resolver.Addr(); i < len(resolvers); i, a = i+1, a.Next() {
		addresses = append(addresses, a)
	}
	l := &lab{ttl: ttl, space: peers.NewSpace(t, addresses...)}

	other, otherDS := peers.Sign(t, l.zoneAt("other.example.", belowAddress, "www A 192.0.2.100\n"), peers.NSEC)
	secure, secureDS := peers.Sign(t, l.zoneAt("secure.shop.example.", belowAddress, "www A 192.0.2.101\n"), peers.NSEC3)
	unsigned := l.zoneAt("unsigned.shop.example.", belowAddress, "www A 192.0.2.102\n")
	peers.StartNSD(t, l.space, belowAddress, []peers.Zone{other, secure, unsigned})

	text, err := os.ReadFile("testdata/shop.example.zone")
	if err != nil {
		t.Fatal(err)
	}
	s.serve(t, l, peers.Zone{Apex: apex, Text: strings.Replace(string(text), "$TTL 300", fmt.Sprintf("$TTL %d", ttl), 1) + secureDS})
	l.beside, l.topKeys, l.stopTop = otherDS, peers.NewKeys(t, "example."), func() {}
	l.delegate(t, l.delegationSigner(t, apex))
	root, rootDS := peers.Sign(t, l.zoneAt(".", rootAddress, "example NS ns.example\nns.example A 10.53.0.2\n"+l.topKeys.DS), peers.NSEC)
	peers.StartNSD(t, l.space, rootAddress, []peers.Zone{root})
	l.anchor = strings.TrimSpace(rootDS)
	return l
}

// delegate has the top level vouch for the keys of the zone that is judged, and for no others.
func (l *lab) delegate(t *testing.T, ds string) {
	t.Helper()
	l.stopTop()
	z := l.zoneAt("example.", topAddress, "shop NS ns.shop\nns.shop A 10.53.0.3\nother NS ns.other\nns.other A 10.53.0.4\n"+l.beside+ds)
	l.stopTop = peers.StartKnot(t, l.space, topAddress, []peers.Zone{l.topKeys.Sign(t, z, peers.NSEC)}, "")
}

func (l *lab) zoneAt(apex string, at netip.AddrPort, records string) peers.Zone {
	return peers.Zone{Apex: apex, Text: fmt.Sprintf(head, apex, l.ttl, at.Addr()) + records}
}

// ask sends a query from within the namespace. TCP follows where UDP truncates.
func (l *lab) ask(server netip.AddrPort, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(1232, true)
	var m *dns.Msg
	var err error
	l.space.Do(func() {
		for _, network := range []string{"udp", "tcp"} {
			client := dns.Client{Net: network, Timeout: 10 * time.Second}
			if m, _, err = client.Exchange(q, server.String()); err != nil || !m.Truncated {
				return
			}
		}
	})
	return m, err
}

// delegationSigner returns the DS records for the keys that a zone is served with; none if it is not signed.
func (l *lab) delegationSigner(t *testing.T, zone string) string {
	t.Helper()
	m, err := l.ask(subjectAddress, zone, dns.TypeDNSKEY)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for _, rr := range m.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok && key.Flags&dns.SEP != 0 {
			text += key.ToDS(dns.SHA256).String() + "\n"
		}
	}
	return text
}
