package wire_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

const agent = "errors.example.org."

// reporting is the world in testdata with an agent in one of its zones.
func reporting(tb testing.TB) *zones.Snapshot {
	tb.Helper()
	return snapshotWith(tb, "report_agent: "+agent+"\n")
}

// holdsReports reports whether a name of the zone is there for reports.
func (w twin) holdsReports(z *zones.Zone, name string) bool {
	agent := w.world.ReportAgent
	return agent != "" && w.zone(agent, dns.TypeTXT) == z && dns.IsSubDomain("_er."+agent, strings.ToLower(name))
}

// report answers from such a name, and reports whether that is a report as a whole.
func (w twin) report(m *dns.Msg, z *zones.Zone, q dns.Question) (whole bool) {
	labels := dns.SplitDomainName(strings.ToLower(q.Name))
	labels = labels[:len(labels)-dns.CountLabel("_er."+w.world.ReportAgent)]
	whole = len(labels) >= 3 && labels[0] == "_er" && ascending(strings.Split(labels[1], "-"))
	for _, number := range append(strings.Split(strings.Join(labels[min(1, len(labels)):min(2, len(labels))], ""), "-"), strings.Join(labels[max(0, len(labels)-1):], "")) {
		n, err := strconv.ParseUint(number, 10, 16)
		whole = whole && err == nil && strconv.FormatUint(n, 10) == number
	}
	m.Authoritative = true
	header := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: 3600}
	switch {
	case whole && q.Qtype == dns.TypeTXT:
		header.Rrtype = dns.TypeTXT
		m.Answer = []dns.RR{&dns.TXT{Hdr: header, Txt: []string{"report received"}}}
	case whole && q.Qtype == dns.TypeANY:
		header.Rrtype = dns.TypeHINFO
		m.Answer = []dns.RR{&dns.HINFO{Hdr: header, Cpu: "RFC8482"}}
	default:
		m.Ns = soa(z, 1<<31)
	}
	return whole
}

// ascending reports whether numbers grow.
func ascending(numbers []string) bool {
	for i := range len(numbers) - 1 {
		a, _ := strconv.Atoi(numbers[i])
		if b, _ := strconv.Atoi(numbers[i+1]); b <= a {
			return false
		}
	}
	return true
}

// randomReport is the name of a report about a name, or nearly so.
func randomReport(rnd *rand.Rand, name, agent string) string {
	pick := func(good, bad []string) string {
		if rnd.IntN(8) > 0 {
			return good[rnd.IntN(len(good))]
		}
		return bad[rnd.IntN(len(bad))]
	}
	return pick([]string{"_er.", "_ER."}, []string{"er.", ""}) + pick([]string{"1.", "16.", "1-28."}, []string{"28-1.", "1-1.", "1-.", "01.", "x.", "70000.", ""}) +
		pick([]string{strings.TrimPrefix(name, "."), "1.", ""}, []string{"_er."}) +
		pick([]string{"6.", "22.", "31.", "65535."}, []string{"65536.", "06.", "-1.", ""}) + pick([]string{"_er."}, []string{""}) + agent
}

// asked packs a query with EDNS.
func asked(t *testing.T, name string, qtype uint16, options ...dns.EDNS0) []byte {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(wire.MaxUDP, false).IsEdns0().Option = options
	query, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return query
}

func TestReports(t *testing.T) {
	s, id := reporting(t), identity(t)
	for _, test := range []struct {
		reason   string
		name     string
		qtype    uint16
		cookie   string
		tcp      bool
		want     string
		reported int // info code; -1: nothing
	}{
		{"by TCP", "_er.1.www.example.com.7._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa TXT", 7},
		{"in any case", "_ER.1.www.Example.com.7._Er.errors.EXAMPLE.org.", dns.TypeTXT, "", true, "NOERROR aa TXT", 7},
		{"about the root", "_er.2.9._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa TXT", 9},
		{"about several types", "_er.1-28.x.9._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa TXT", 9},
		{"about a name with the label", "_er.1._er.x.9._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa TXT", 9},
		{"of a code that is not known", "_er.1.x.65535._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa TXT", 65535},
		{"by UDP, from who knows whom", "_er.1.x.7._er.errors.example.org.", dns.TypeTXT, "", false, "NOERROR tc aa", -1},
		{"by UDP, with a client's cookie", "_er.1.x.7._er.errors.example.org.", dns.TypeTXT, clientCookie, false, "NOERROR tc aa new cookie", -1},
		{"by UDP, with an old cookie", "_er.1.x.7._er.errors.example.org.", dns.TypeTXT, serverCookie(4000), false, "NOERROR tc aa new cookie", -1},
		{"by UDP, with a good cookie", "_er.1.x.7._er.errors.example.org.", dns.TypeTXT, serverCookie(60), false, "NOERROR aa TXT same cookie", 7},
		{"another type is NODATA", "_er.1.x.7._er.errors.example.org.", dns.TypeA, "", false, "NOERROR aa", -1},
		{"all types", "_er.1.x.7._er.errors.example.org.", dns.TypeANY, "", false, "NOERROR aa HINFO", -1},
		{"on the way: the suffix", "_er.errors.example.org.", dns.TypeTXT, "", false, "NOERROR aa", -1},
		{"on the way: the code", "7._er.errors.example.org.", dns.TypeNS, "", false, "NOERROR aa", -1},
		{"on the way: a part of the name", "com.7._er.errors.example.org.", dns.TypeA, "", false, "NOERROR aa", -1},
		{"types out of order", "_er.28-1.x.7._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa", -1},
		{"no types", "_er.x.7._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa", -1},
		{"no code", "_er.1.x._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa", -1},
		{"a code too large", "_er.1.x.65536._er.errors.example.org.", dns.TypeTXT, "", true, "NOERROR aa", -1},
		{"on the way: the agent", "errors.example.org.", dns.TypeTXT, "", false, "NOERROR aa", -1},
		{"what lies below it is not on the way", "x.errors.example.org.", dns.TypeTXT, "", false, "NXDOMAIN aa", -1},
		{"nor what is like the agent", "xerrors.example.org.", dns.TypeTXT, "", false, "NXDOMAIN aa", -1},
		{"the agent's zone", "www.example.org.", dns.TypeA, "", false, "NOERROR aa A", -1},
		{"a zone below that of the agent", "ns.sub.example.org.", dns.TypeA, "", false, "NOERROR aa A channel errors.example.org.", -1},
		{"an answer of another zone", "mail.example.com.", dns.TypeA, "", false, "NOERROR aa A channel errors.example.org.", -1},
		{"with what else there is", "mail.example.com.", dns.TypeA, clientCookie, false, "NOERROR aa A new cookie channel errors.example.org.", -1},
		{"NODATA", "mail.example.com.", dns.TypeTXT, "", false, "NOERROR aa channel errors.example.org.", -1},
		{"a name that does not exist", "random.example.com.", dns.TypeA, "", false, "NXDOMAIN aa channel errors.example.org.", -1},
		{"a referral", "random.lab.example.com.", dns.TypeA, "", false, "NOERROR channel errors.example.org.", -1},
		{"outside of our zones", "example.net.", dns.TypeA, "", false, "REFUSED error=20", -1},
		{"a truncated answer", "big.example.com.", dns.TypeTXT, "", false, "NOERROR tc aa", -1},
	} {
		var options []dns.EDNS0
		if test.cookie != "" {
			options = append(options, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: fmt.Sprintf("%x", test.cookie)})
		}
		query := asked(t, test.name, test.qtype, options...)
		r := wire.Request{Query: query, Source: european, Limit: wire.MaxUDP, Now: uint32(now.Unix()), Stream: test.tcp}
		answer, out := wire.Answer(nil, s, id, &r)
		got := optionsOf(t, answer)
		if got != test.want || out.Reported != (test.reported >= 0) || out.Reported && int(out.InfoCode) != test.reported {
			t.Errorf("%s: %s, outcome %+v, want %s, %d", test.reason, got, out, test.want, test.reported)
		}
	}
}

// The option makes no answer longer than it may be, and no answer is truncated for it.
func TestReportChannelHasRoom(t *testing.T) {
	plain, s, seen := snapshot(t), reporting(t), [2]int{}
	for size := uint16(512); size < 540; size++ {
		q := new(dns.Msg).SetQuestion("last.example.com.", dns.TypeAAAA)
		q.SetEdns0(size, false)
		query, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		bare, _ := answerTo(nil, plain, query, european, wire.MaxUDP, 0)
		answer, out := answerTo(nil, s, query, european, wire.MaxUDP, 0)
		longest, fits := len(bare)+4+len("\x06errors\x07example\x03org\x00"), 0
		if longest <= int(size) {
			fits = 1
		}
		seen[fits]++
		if want := [...]int{len(bare), longest}[fits]; len(answer) != want || out.Truncated {
			t.Errorf("into %d bytes: %d, truncated %v, want %d", size, len(answer), out.Truncated, want)
		}
	}
	if seen[0] == 0 || seen[1] == 0 {
		t.Errorf("without and with the option: %v, want some of both", seen)
	}
}

// A zone that we sign signs its thanks, and proves that a name on the way to a report is there and has nothing.
func TestReportsAreSigned(t *testing.T) {
	s := reporting(t)
	zone, _ := s.Plan.Zone([]byte("\x07example\x03org\x00"))
	zone.Sign = zones.ECDSAP256SHA256 // the world is this test's own
	for _, test := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"_er.1.x.7._er.errors.example.org.", dns.TypeA, "NOERROR SOA RRSIG has-TXT has-RRSIG has-NSEC RRSIG"},
		{"7._er.errors.example.org.", dns.TypeTXT, "NOERROR SOA RRSIG has-RRSIG has-NSEC RRSIG"},
		{"errors.example.org.", dns.TypeTXT, "NOERROR SOA RRSIG has-RRSIG has-NSEC RRSIG"},
		{"7._er.errors.example.org.", dns.TypeNSEC, "NOERROR has-RRSIG has-NSEC RRSIG"},
	} {
		if got := sayOf(t, s, stamp{}, test.name, test.qtype); got != test.want {
			t.Errorf("%s %s = %s, want %s", test.name, dns.TypeToString[test.qtype], got, test.want)
		}
	}
	query := asked(t, "_er.1.x.7._er.errors.example.org.", dns.TypeTXT)
	query[len(query)-4] |= 0x80 // DO
	answer, _ := wire.Answer(nil, s, nil, &wire.Request{Query: query, Source: european, Limit: wire.MaxMessage, Stream: true, Signer: stamp{}})
	if got := optionsOf(t, answer); got != "NOERROR aa TXT RRSIG" {
		t.Errorf("a report is answered %s, want its thanks signed", got)
	}
}

// TestExplainKnowsReports compares what is explained with what is answered to a stream.
func TestExplainKnowsReports(t *testing.T) {
	s := reporting(t)
	for _, name := range []string{"_er.1.x.7._er.errors.example.org.", "_ER.1-28.7._er.errors.Example.org.", "7._er.errors.example.org.", "errors.example.org.", "_er.x.errors.example.org."} {
		for _, qtype := range []uint16{dns.TypeTXT, dns.TypeA, dns.TypeANY} {
			e, err := s.Explain(zones.Question{Name: name, Type: qtype, Client: zones.Client{Source: european}})
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := wire.Answer(nil, s, nil, &wire.Request{Query: asked(t, name, qtype), Source: european, Limit: wire.MaxMessage, Stream: true})
			var m dns.Msg
			if err := m.Unpack(answer); err != nil {
				t.Fatal(err)
			}
			var records []string
			for _, rr := range m.Answer {
				records = append(records, strings.ReplaceAll(rr.String(), "\t", " "))
			}
			if got, want := e.RCode+" "+strings.Join(e.Answer, " "), dns.RcodeToString[m.Rcode]+" "+strings.Join(records, " "); got != want {
				t.Errorf("%s %s: explained as %s, answered %s", name, dns.TypeToString[qtype], got, want)
			}
		}
	}
}

// However many names are reported, an attacker's answers are of one subject.
func TestSubjectOfReports(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		query := asked(t, "_er.1.random.7._er.errors.example.org.", dns.TypeTXT)
		_, out := wire.Answer(nil, reporting(t), identity(t), &wire.Request{Query: query, Source: european, Limit: wire.MaxUDP, Stream: tcp})
		if subject, _, err := dns.UnpackDomainName(out.Subject, 0); err != nil || out.Kind != rrl.Answer || subject != "example.org." {
			t.Errorf("over TCP %v: kind %d, subject %q (%v), want an answer about the zone", tcp, out.Kind, subject, err)
		}
	}
}
