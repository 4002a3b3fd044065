package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// challenged is the world in testdata with challenges.
func challenged(t *testing.T) *zones.Snapshot {
	t.Helper()
	plain := snapshot(t)
	set := func(host, value string) control.ChallengeSet {
		return control.ChallengeSet{Name: "_acme-challenge." + host, Value: value, TTL: 5, Expires: now.Add(time.Hour)}
	}
	state, result := control.New(1).Apply(1, control.Command{Kind: control.KindChallenge, Time: now, Actor: "a", Reason: "b", Challenges: []control.ChallengeSet{
		set("mail.example.com.", "one"), set("mail.example.com.", "two"), set("a.wild.example.com.", "wild"), set("lab.example.com.", "cut"),
	}})
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	s := plain.Plan.Publish(plain, zones.Inputs{Health: new(health.View), Control: state}, zones.Change{}, now)
	if s.Digest == plain.Digest {
		t.Error("challenges leave the digest of the answers as it was")
	}
	return s
}

// sayOf answers a question in a line: the rcode, the data of the answer, the types of the authority section with their bitmaps.
func sayOf(t *testing.T, s *zones.Snapshot, signer wire.Signer, name string, qtype uint16) string {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	if signer != nil {
		q.SetEdns0(1232, true)
	}
	query, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := wire.Answer(nil, s, nil, &wire.Request{Query: query, Source: european, Limit: wire.MaxMessage, Signer: signer})
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatal(err)
	}
	said := dns.RcodeToString[m.Rcode]
	for _, rr := range append(m.Answer, m.Ns...) {
		switch rr := rr.(type) {
		case *dns.TXT:
			said += " " + rr.Txt[0]
		case *dns.NSEC:
			for _, rrtype := range rr.TypeBitMap {
				said += " has-" + dns.TypeToString[rrtype]
			}
		case *dns.RRSIG:
			said += " RRSIG"
		default:
			said += " " + dns.TypeToString[rr.Header().Rrtype]
		}
	}
	return said
}

// A stamp signs everything with the same record, for tests that look at what is signed and not by what.
type stamp struct{}

func (stamp) Zone(string) (wire.Signing, bool) { return stamp{}, true }
func (stamp) Published() []zones.RecordSet     { return nil }
func (stamp) Signatures([]byte, zones.RecordSet) ([]byte, uint16) {
	rr, err := dns.NewRR(". 5 IN RRSIG TXT 13 3 5 20260201000000 20260101000000 1 example.com. AAAA")
	if err != nil {
		panic(err)
	}
	buffer := make([]byte, 512)
	n, err := dns.PackRR(rr, buffer, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return append([]byte{0xC0, 0x0C}, buffer[1:n]...), 1
}

func TestChallengesAreAnswered(t *testing.T) {
	s := challenged(t)
	for _, test := range []struct {
		reason string
		name   string
		qtype  uint16
		want   string
	}{
		{"both values", "_ACME-challenge.mail.example.com.", dns.TypeTXT, "NOERROR one two"},
		{"another type is NODATA", "_acme-challenge.mail.example.com.", dns.TypeA, "NOERROR SOA"},
		{"all types", "_acme-challenge.mail.example.com.", dns.TypeANY, "NOERROR HINFO"},
		{"a wildcard does not hide it", "_acme-challenge.a.wild.example.com.", dns.TypeTXT, "NOERROR wild"},
		{"a name below has none", "x._acme-challenge.mail.example.com.", dns.TypeTXT, "NXDOMAIN SOA"},
		{"another host has none", "_acme-challenge.api.example.com.", dns.TypeTXT, "NXDOMAIN SOA"},
		{"a delegation is the child's", "_acme-challenge.lab.example.com.", dns.TypeTXT, "NOERROR NS NS"},
	} {
		if got := sayOf(t, s, nil, test.name, test.qtype); got != test.want {
			t.Errorf("%s: %s %s = %s, want %s", test.reason, test.name, dns.TypeToString[test.qtype], got, test.want)
		}
	}
	later := s.Plan.Publish(s, zones.Inputs{Health: s.Health, Control: s.Control}, zones.Change{}, now.Add(time.Hour))
	if got := sayOf(t, later, nil, "_acme-challenge.mail.example.com.", dns.TypeTXT); got != "NXDOMAIN SOA" {
		t.Errorf("after their end they are answered %s", got)
	}
	if !s.Expires().Equal(now.Add(time.Hour)) || !later.Expires().IsZero() {
		t.Errorf("Expires = %v, then %v, want their end, then none", s.Expires(), later.Expires())
	}
}

// TestChallengesAreSigned looks at what a denial says of a name with a challenge: it has TXT and nothing else.
func TestChallengesAreSigned(t *testing.T) {
	s := challenged(t)
	for i := range s.Plan.World.Zones {
		if zone, _ := s.Plan.Zone([]byte(s.Plan.World.Zones[i].Static.Apex)); s.Plan.World.Zones[i].Apex == "example.com." {
			zone.Sign = zones.ECDSAP256SHA256 // the world is this test's own
		}
	}
	for _, test := range []struct {
		qtype uint16
		want  string
	}{
		{dns.TypeTXT, "NOERROR one two RRSIG"},
		{dns.TypeA, "NOERROR SOA RRSIG has-TXT has-RRSIG has-NSEC RRSIG"},
		{dns.TypeNSEC, "NOERROR has-TXT has-RRSIG has-NSEC RRSIG"},
		{dns.TypeRRSIG, "NOERROR RRSIG"},
	} {
		if got := sayOf(t, s, stamp{}, "_acme-challenge.mail.example.com.", test.qtype); got != test.want {
			t.Errorf("%s = %s, want %s", dns.TypeToString[test.qtype], got, test.want)
		}
	}
}

// TestExplainKnowsChallenges compares what is explained with what is answered.
func TestExplainKnowsChallenges(t *testing.T) {
	e, err := challenged(t).Explain(zones.Question{Name: "_acme-challenge.mail.example.com.", Type: dns.TypeTXT, Client: zones.Client{Source: european}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(e.Answer, ", "); got != `_acme-challenge.mail.example.com. 5 IN TXT "one", _acme-challenge.mail.example.com. 5 IN TXT "two"` {
		t.Errorf("Explain = %s", got)
	}
}
