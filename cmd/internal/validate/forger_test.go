//go:build linux

package validate_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

var behindForger = netip.MustParseAddrPort("10.53.0.6:53")

// forger stands before BIND and changes its answers.
func forger(forge func(m *dns.Msg)) subject {
	return subject{name: "forger", signed: true, serve: func(t *testing.T, l *lab, z peers.Zone) {
		signed, _ := peers.Sign(t, z, peers.NSEC)
		peers.StartBIND(t, l.space, behindForger, []peers.Zone{signed})
		for _, network := range []string{"udp", "tcp"} {
			s := &dns.Server{Net: network, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
				l.space.Do(func() {
					client := dns.Client{Net: network, Timeout: time.Second}
					if m, _, err := client.Exchange(q, behindForger.String()); err == nil {
						forge(m)
						_ = w.WriteMsg(m) // the resolver asks again
					}
				})
			})}
			var err error
			l.space.Do(func() {
				if network == "udp" {
					s.PacketConn, err = net.ListenPacket(network, subjectAddress.String())
				} else {
					s.Listener, err = net.Listen(network, subjectAddress.String())
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() { ended <- s.ActivateAndServe() }()
			t.Cleanup(func() {
				if err := s.Shutdown(); err != nil {
					t.Error(err)
				}
				<-ended
			})
		}
	}}
}

// withoutProofs leaves out what proves that something does not exist.
func withoutProofs(m *dns.Msg) {
	m.Ns = slices.DeleteFunc(m.Ns, func(rr dns.RR) bool {
		s, ok := rr.(*dns.RRSIG)
		return rr.Header().Rrtype == dns.TypeNSEC || ok && s.TypeCovered == dns.TypeNSEC
	})
}

// Denials without proof, and delegations that are not proved to be unsigned, are noticed by every resolver. So what the
// matrix says of them can be wrong.
func TestForger(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: the lab of validating resolvers takes half a minute")
	}
	s := forger(withoutProofs)
	l := build(t, s, minutes)
	for i, at := range l.resolve(t) {
		for _, q := range questions {
			if !s.denies(q) && !q.plain || strings.Contains(q.name, "wild") || strings.Contains(q.name, "pool") {
				continue // what becomes of these depends on what the resolver knows already
			}
			want := dns.RcodeSuccess
			if q.denied || q.plain {
				want = dns.RcodeServerFailure
			}
			if m, err := l.ask(at, q.name, q.qtype); err != nil || m.Rcode != want {
				t.Errorf("%s: %s: %s %s = %v (%v), want %s", resolvers[i].name, q.why, q.name, dns.Type(q.qtype), m, err, dns.RcodeToString[want])
			}
		}
	}
}
