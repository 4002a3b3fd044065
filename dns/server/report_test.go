package server

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// reporting publishes a world whose resolvers report errors to a zone of its own.
func reporting(t *testing.T) *zones.Snapshot {
	t.Helper()
	world, err := zones.Parse(map[string][]byte{
		"world.yaml": []byte("report_agent: errors.example.net\nzones: {example.com: {file: example.com.zone}, errors.example.net: {file: example.com.zone}}\n"),
		"example.com.zone": []byte("@ 300 IN SOA ns1.example.org. hostmaster 1 7200 900 1209600 300\n" +
			"@ 300 IN NS ns1.example.org.\n@ 300 IN NS ns2.example.org.\nmail 300 IN A 192.0.2.25\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(new(geo.Builder).Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	return plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Unix(0, 0))
}

// A resolver does as RFC 9567 says: it is told of the agent, reports an error there, is sent to TCP or uses its cookie, and is
// thanked. Reports are counted by their code, and the first is logged.
func TestResolverReportsErrors(t *testing.T) {
	s := run(t, Config{CookieKey: cookieKey})
	s.snapshot.Store(reporting(t))
	ask := func(protocol, name string, qtype uint16, cookie string) *dns.Msg {
		t.Helper()
		q := new(dns.Msg).SetQuestion(name, qtype)
		q.SetEdns0(1232, true).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
		m, _, err := (&dns.Client{Net: protocol, Timeout: 10 * time.Second}).Exchange(q, s.address)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	own := hex.EncodeToString(make([]byte, 8))
	agent := ""
	for _, o := range ask("udp", "mail.example.com.", dns.TypeA, own).IsEdns0().Option {
		if channel, ok := o.(*dns.EDNS0_REPORTING); ok {
			agent = channel.AgentDomain
		}
	}
	if agent != "errors.example.net." {
		t.Fatalf("the agent is %q, want errors.example.net.", agent)
	}
	report := func(code string) string { return "_er.1.mail.example.com." + code + "._er." + agent }

	m := ask("udp", report("7"), dns.TypeTXT, own)
	if !m.Truncated || len(m.Answer) > 0 {
		t.Fatalf("a report over UDP from somebody: %v, want it truncated", m)
	}
	known := m.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie
	for _, how := range []struct{ protocol, code, cookie string }{
		{"tcp", "7", own}, {"udp", "7", known}, {"udp", "22", known}, {"tcp", "4711", own}, {"tcp", "30", own}, {"tcp", "31", own},
	} {
		m := ask(how.protocol, report(how.code), dns.TypeTXT, how.cookie)
		if len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), `"report received"`) {
			t.Errorf("report %s over %s: %v, want thanks", how.code, how.protocol, m)
		}
	}
	got := s.metrics(t)
	for name, want := range map[string]float64{"7": 2, "22": 1, "30": 1, "other": 2} {
		if got := got["error_reports_total{info_code="+name+"}"]; got != want {
			t.Errorf("reports of %s: %v, want %v", name, got, want)
		}
	}
	eventually(t, func() bool { return s.log.count("\n") > 0 })
	s.Close()
	if text := "name=mail.example.com. types=1 info_code=7 address=127.0.0.1 not_logged=0\n"; s.log.count(text) != 1 {
		t.Errorf("the log has no %s", text)
	}
}

// Lines in the log are far between, and say how many reports they stand for.
func TestReportsInTheLog(t *testing.T) {
	s := run(t, Config{})
	published := reporting(t)
	ask(t, s.address, "udp", "api.example.com.", dns.TypeA) // workers run now, of which who tells is one
	query := queryWith(t, "_er.1.mail.example.com.7._er.errors.example.net.")
	tell := func(at time.Duration, n int) {
		for range n {
			s.reporter.tell(published, query, client.Addr(), int64(at)+1)
		}
	}
	tell(0, 1000)
	tell(reportEvery-1, 5)
	tell(reportEvery, 3)
	eventually(t, func() bool { return s.log.count("\n") == 2 })
	if s.log.count("not_logged=0\n") != 1 || s.log.count("not_logged=1004\n") != 1 {
		t.Error("the log has not one line for 1 report and one for 1004 more")
	}
}
