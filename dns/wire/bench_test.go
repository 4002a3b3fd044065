package wire_test

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
)

func BenchmarkAnswer(b *testing.B) {
	s, id := snapshot(b), identity(b)
	subnet := netip.MustParsePrefix("5.1.2.0/24")
	for _, bench := range []struct {
		name   string
		qname  string
		qtype  uint16
		edns   bool
		subnet bool
		cookie bool
	}{
		{"static", "mail.example.com.", dns.TypeA, true, false, false},
		{"wildcard", "some.name.wild.example.com.", dns.TypeA, true, false, false},
		{"NXDOMAIN", "no.such.name.example.com.", dns.TypeA, true, false, false},
		{"referral", "host.lab.example.com.", dns.TypeA, true, false, false},
		{"CNAME", "www.example.com.", dns.TypeA, true, false, false},
		{"steered", "api.example.com.", dns.TypeA, false, false, false},
		{"steered with subnet", "api.example.com.", dns.TypeA, true, true, false},
		{"steered with cookie", "api.example.com.", dns.TypeA, true, false, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			q := new(dns.Msg)
			q.SetQuestion(bench.qname, bench.qtype)
			if bench.edns {
				q.SetEdns0(1232, false)
			}
			if bench.subnet {
				q.IsEdns0().Option = append(q.IsEdns0().Option, subnetOption(subnet))
			}
			if bench.cookie {
				q.IsEdns0().Option = append(q.IsEdns0().Option, goodCookie(european))
			}
			query, err := q.Pack()
			if err != nil {
				b.Fatal(err)
			}
			buffer := make([]byte, 0, wire.MaxUDP)
			b.ReportAllocs()
			r := wire.Request{Query: query, Source: european, Limit: wire.MaxUDP, Now: uint32(now.Unix()), Scratch: new(wire.Scratch)}
			for ; b.Loop(); r.Random += 1 << 20 {
				wire.Answer(buffer, s, id, &r)
			}
		})
	}
}
