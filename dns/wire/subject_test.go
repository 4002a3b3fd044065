package wire_test

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/dns/wire"
)

// What answers are limited by: nothing of it may change with the random part of an attacker's queries.
func TestSubject(t *testing.T) {
	s, id := snapshot(t), identity(t)
	for _, test := range []struct {
		reason  string
		name    string
		qtype   uint16
		limit   int
		kind    rrl.Kind
		subject string
	}{
		{"an answer", "Mail.example.com.", dns.TypeA, wire.MaxUDP, rrl.Answer, "Mail.example.com."},
		{"an answer that is truncated", "big.example.com.", dns.TypeTXT, 512, rrl.Answer, "big.example.com."},
		{"a steered answer", "api.example.com.", dns.TypeA, wire.MaxUDP, rrl.Answer, "api.example.com."},
		{"an alias", "www.example.com.", dns.TypeA, wire.MaxUDP, rrl.Answer, "www.example.com."},
		{"NODATA", "mail.example.com.", dns.TypeTXT, wire.MaxUDP, rrl.NoData, "mail.example.com."},
		{"a wildcard", "random.wild.example.com.", dns.TypeA, wire.MaxUDP, rrl.Answer, "example.com."},
		{"a wildcard without the type", "random.wild.example.com.", dns.TypeLOC, wire.MaxUDP, rrl.NoData, "example.com."},
		{"no such name", "random.example.com.", dns.TypeA, wire.MaxUDP, rrl.NXDomain, "example.com."},
		{"a referral", "random.lab.example.com.", dns.TypeA, wire.MaxUDP, rrl.Referral, "example.com."},
		{"outside of our zones", "random.example.net.", dns.TypeA, wire.MaxUDP, rrl.Error, "."},
		{"a bad type", "random.example.com.", dns.TypeNXNAME, wire.MaxUDP, rrl.Error, "."},
	} {
		q := new(dns.Msg)
		q.SetQuestion(test.name, test.qtype)
		query, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		_, out := wire.Answer(nil, s, id, &wire.Request{Query: query, Source: european, Limit: test.limit})
		subject, _, err := dns.UnpackDomainName(out.Subject, 0)
		if err != nil || out.Kind != test.kind || subject != test.subject {
			t.Errorf("%s: kind %d, subject %q (%v), want %d, %q", test.reason, out.Kind, subject, err, test.kind, test.subject)
		}
	}
	_, out := wire.Answer(nil, s, id, &wire.Request{Query: []byte(header(0, 2, 0, 0, 0)), Source: european, Limit: wire.MaxUDP})
	if out.Kind != rrl.Error || out.Subject != nil {
		t.Errorf("no question: kind %d, subject %q, want an error about nothing", out.Kind, out.Subject)
	}
}
