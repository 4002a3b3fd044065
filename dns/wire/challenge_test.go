package wire_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
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
		set("deep.hollow.example.com.", "deep"), set("example.com.", "apex"),
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
		{"the name above exists", "DEEP.hollow.example.com.", dns.TypeA, "NOERROR SOA"},
		{"and has nothing", "deep.hollow.example.com.", dns.TypeANY, "NOERROR SOA"},
		{"the next one above too", "hollow.example.com.", dns.TypeTXT, "NOERROR SOA"},
		{"one beside it does not", "eep.hollow.example.com.", dns.TypeA, "NXDOMAIN SOA"},
		{"nor one below", "x.deep.hollow.example.com.", dns.TypeA, "NXDOMAIN SOA"},
		{"a wildcard goes on to answer above", "a.wild.example.com.", dns.TypeTXT, "NOERROR wild"},
		{"a delegation is the child's", "_acme-challenge.lab.example.com.", dns.TypeTXT, "NOERROR NS NS"},
	} {
		if got := sayOf(t, s, nil, test.name, test.qtype); got != test.want {
			t.Errorf("%s: %s %s = %s, want %s", test.reason, test.name, dns.TypeToString[test.qtype], got, test.want)
		}
	}
	later := s.Plan.Publish(s, zones.Inputs{Health: s.Health, Control: s.Control}, zones.Change{}, now.Add(time.Hour))
	for _, name := range []string{"_acme-challenge.mail.example.com.", "deep.hollow.example.com."} {
		if got := sayOf(t, later, nil, name, dns.TypeTXT); got != "NXDOMAIN SOA" {
			t.Errorf("after their end %s is answered %s", name, got)
		}
	}
	if !s.Expires().Equal(now.Add(time.Hour)) || !later.Expires().IsZero() {
		t.Errorf("Expires = %v, then %v, want their end, then none", s.Expires(), later.Expires())
	}
}

// TestChallengesAreSigned looks at what a denial says of a name with a challenge: it has TXT and nothing else. Those above have nothing.
func TestChallengesAreSigned(t *testing.T) {
	s := challenged(t)
	for i := range s.Plan.World.Zones {
		if zone, _ := s.Plan.Zone([]byte(s.Plan.World.Zones[i].Static.Apex)); s.Plan.World.Zones[i].Apex == "example.com." {
			zone.Sign = zones.ECDSAP256SHA256 // the world is this test's own
		}
	}
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"_acme-challenge.mail.example.com.", dns.TypeTXT, "NOERROR one two RRSIG"},
		{"_acme-challenge.mail.example.com.", dns.TypeA, "NOERROR SOA RRSIG has-TXT has-RRSIG has-NSEC RRSIG"},
		{"_acme-challenge.mail.example.com.", dns.TypeNSEC, "NOERROR has-TXT has-RRSIG has-NSEC RRSIG"},
		{"_acme-challenge.mail.example.com.", dns.TypeRRSIG, "NOERROR RRSIG"},
		{"deep.hollow.example.com.", dns.TypeA, "NOERROR SOA RRSIG has-RRSIG has-NSEC RRSIG"},
		{"deep.hollow.example.com.", dns.TypeNSEC, "NOERROR has-RRSIG has-NSEC RRSIG"},
		{"hollow.example.com.", dns.TypeTXT, "NOERROR SOA RRSIG has-RRSIG has-NSEC RRSIG"},
		{"eep.hollow.example.com.", dns.TypeA, "NOERROR SOA RRSIG has-RRSIG has-NSEC has-NXNAME RRSIG"},
	} {
		if got := sayOf(t, s, stamp{}, test.name, test.qtype); got != test.want {
			t.Errorf("%s %s = %s, want %s", test.name, dns.TypeToString[test.qtype], got, test.want)
		}
	}
}

// TestExplainKnowsChallenges compares what is explained with what is answered.
func TestExplainKnowsChallenges(t *testing.T) {
	s := challenged(t)
	for _, name := range []string{"_acme-challenge.mail.example.com.", "deep.hollow.example.com.", "hollow.example.com.", "x.hollow.example.com.", "a.wild.example.com."} {
		for _, qtype := range []uint16{dns.TypeTXT, dns.TypeMX, dns.TypeANY} {
			e, err := s.Explain(zones.Question{Name: name, Type: qtype, Client: zones.Client{Source: european}})
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := wire.Answer(nil, s, nil, &wire.Request{Query: asked(t, name, qtype), Source: european, Limit: wire.MaxMessage})
			var m dns.Msg
			if err := m.Unpack(answer); err != nil {
				t.Fatal(err)
			}
			records := []string{dns.RcodeToString[m.Rcode]}
			for _, rr := range m.Answer {
				records = append(records, strings.ReplaceAll(rr.String(), "\t", " "))
			}
			if got, want := append([]string{e.RCode}, e.Answer...), records; !slices.Equal(got, want) {
				t.Errorf("%s %s: explained as %s, answered %s", name, dns.TypeToString[qtype], got, want)
			}
		}
	}
}

// TestChallengeOfAZoneThatComes has another plan say which names lie between a challenge and the apex of its zone.
func TestChallengeOfAZoneThatComes(t *testing.T) {
	s := challenged(t)
	world, err := zones.Parse(zones.FileMap{
		"w.yaml": []byte("zones: {hollow.example.com: {file: zone}, example.com: {file: zone}}\n"),
		"zone":   []byte("@ 300 SOA ns admin 1 7200 900 432000 60\n@ 300 NS ns.example.net.\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var places geo.Builder
	plan, err := world.Compile(places.Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	next := plan.Publish(s, zones.Inputs{Health: s.Health, Control: s.Control}, zones.Change{}, now)
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"deep.hollow.example.com.", dns.TypeA, "NOERROR SOA"},
		{"hollow.example.com.", dns.TypeDS, "NXDOMAIN SOA"}, // the zone above has nothing there, nor a challenge below
	} {
		if got := sayOf(t, next, nil, test.name, test.qtype); got != test.want {
			t.Errorf("%s %s = %s, want %s", test.name, dns.TypeToString[test.qtype], got, test.want)
		}
	}
}
