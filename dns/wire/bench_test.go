package wire_test

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
)

func BenchmarkAnswer(b *testing.B) {
	s := snapshot(b)
	subnet := netip.MustParsePrefix("5.1.2.0/24")
	for _, bench := range []struct {
		name   string
		qname  string
		qtype  uint16
		edns   bool
		subnet bool
	}{
		{"static", "mail.example.com.", dns.TypeA, true, false},
		{"wildcard", "some.name.wild.example.com.", dns.TypeA, true, false},
		{"NXDOMAIN", "no.such.name.example.com.", dns.TypeA, true, false},
		{"referral", "host.lab.example.com.", dns.TypeA, true, false},
		{"CNAME", "www.example.com.", dns.TypeA, true, false},
		{"steered", "api.example.com.", dns.TypeA, false, false},
		{"steered with subnet", "api.example.com.", dns.TypeA, true, true},
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
			query, err := q.Pack()
			if err != nil {
				b.Fatal(err)
			}
			buffer := make([]byte, 0, wire.MaxUDP)
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i += 1 << 20 {
				wire.Answer(buffer, s, query, european, wire.MaxUDP, i)
			}
		})
	}
}
