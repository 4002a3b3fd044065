package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/cookie"
	"github.com/meridian-gslb/meridian/dns/wire"
)

const (
	clientCookie = "abcdefgh"
	soaApex      = "\x07example\x03com\x00\x00\x06\x00\x01"
)

func serverCookie(age uint32) string {
	return string(secrets.Append(nil, [8]byte([]byte(clientCookie)), european, uint32(now.Unix())-age))
}

func with(question string, options ...string) string {
	return header(0, 1, 0, 0, 1) + question + withOptions(strings.Join(options, ""))
}

// optionsOf writes the OPT record of an answer in short.
func optionsOf(t *testing.T, answer []byte) string {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("answer %x: %v", answer, err)
	}
	parts := []string{dns.RcodeToString[m.Rcode]}
	if m.Rcode == dns.RcodeBadVers {
		parts[0] = "BADVERS" // the library calls it BADSIG, as TSIG does
	}
	if m.Truncated {
		parts = append(parts, "tc")
	}
	if m.Authoritative {
		parts = append(parts, "aa")
	}
	for _, rr := range m.Answer {
		parts = append(parts, dns.TypeToString[rr.Header().Rrtype])
	}
	o := m.IsEdns0()
	if o == nil {
		return strings.Join(append(parts, "no opt"), " ")
	}
	if o.Version() != 0 {
		parts = append(parts, "another version")
	}
	for _, option := range o.Option {
		switch option := option.(type) {
		case *dns.EDNS0_COOKIE:
			kind := "new cookie"
			if option.Cookie == fmt.Sprintf("%x", serverCookie(60)) {
				kind = "same cookie"
			}
			if !strings.HasPrefix(option.Cookie, fmt.Sprintf("%x", clientCookie)) || len(option.Cookie) != 48 {
				kind = "wrong cookie"
			}
			parts = append(parts, kind)
		case *dns.EDNS0_NSID:
			parts = append(parts, "nsid="+option.Nsid)
		case *dns.EDNS0_TCP_KEEPALIVE:
			parts = append(parts, fmt.Sprintf("keepalive=%d", option.Timeout))
		case *dns.EDNS0_EDE:
			parts = append(parts, fmt.Sprintf("error=%d", option.InfoCode))
		case *dns.EDNS0_REPORTING:
			parts = append(parts, "channel "+option.AgentDomain)
		case *dns.EDNS0_PADDING:
			parts = append(parts, fmt.Sprintf("padded to %d", len(answer)))
		default:
			parts = append(parts, option.String())
		}
	}
	return strings.Join(parts, " ")
}

func TestOptions(t *testing.T) {
	s, id := snapshot(t), identity(t)
	udp := wire.Request{Source: european, Limit: wire.MaxUDP, Now: uint32(now.Unix())}
	loaded := udp
	loaded.RequireCookie = true
	slip := udp
	slip.Truncate = true
	tcp := udp
	tcp.Limit, tcp.Stream, tcp.Keepalive = wire.MaxMessage, true, 100
	tls := tcp
	tls.Encrypted = true
	loadedTCP := tcp
	loadedTCP.RequireCookie = true
	idServer := "\x02ID\x06server\x00\x00\x10\x00\x03"
	for _, test := range []struct {
		reason  string
		request wire.Request
		query   string
		want    string
	}{
		{"a client cookie", udp, with(mailA, option(10, clientCookie)), "NOERROR aa A new cookie"},
		{"a good cookie", udp, with(mailA, option(10, serverCookie(60))), "NOERROR aa A same cookie"},
		{"a good cookie of 40 minutes", udp, with(mailA, option(10, serverCookie(2400))), "NOERROR aa A new cookie"},
		{"an old cookie counts as none", udp, with(mailA, option(10, serverCookie(4000))), "NOERROR aa A new cookie"},
		{"another server's cookie of 32 bytes", udp, with(mailA, option(10, clientCookie+strings.Repeat("x", 32))), "NOERROR aa A new cookie"},
		{"of two cookies the first counts", udp, with(mailA, option(10, serverCookie(60)), option(10, "x")), "NOERROR aa A same cookie"},
		{"no cookie", udp, with(mailA, option(10, "")), "FORMERR"},
		{"a cookie of 7 bytes", udp, with(mailA, option(10, clientCookie[:7])), "FORMERR"},
		{"a server cookie of 7 bytes", udp, with(mailA, option(10, clientCookie+"1234567")), "FORMERR"},
		{"a server cookie of 33 bytes", udp, with(mailA, option(10, clientCookie+strings.Repeat("x", 33))), "FORMERR"},
		{"a fault makes all options void", udp, with(mailA, option(10, clientCookie), option(3, ""), option(8, "")), "FORMERR"},
		{"no question but a client cookie", udp, header(0, 0, 0, 0, 1) + withOptions(option(10, clientCookie)), "NOERROR new cookie"},
		{"no question but a good cookie", udp, header(0, 0, 0, 0, 1) + withOptions(option(10, serverCookie(60))), "NOERROR same cookie"},
		{"no question but a bad cookie", udp, header(0, 0, 0, 0, 1) + withOptions(option(10, serverCookie(4000))), "BADCOOKIE new cookie"},
		{"no question, malformed cookie", udp, header(0, 0, 0, 0, 1) + withOptions(option(10, "x")), "FORMERR"},
		{"under load: a client cookie", loaded, with(mailA, option(10, clientCookie)), "BADCOOKIE new cookie"},
		{"under load: a bad cookie", loaded, with(mailA, option(10, serverCookie(4000))), "BADCOOKIE new cookie"},
		{"under load: a good cookie", loaded, with(mailA, option(10, serverCookie(60))), "NOERROR aa A same cookie"},
		{"under load: who knows no cookies is answered", loaded, with(mailA), "NOERROR aa A"},
		{"under load: over TCP", loadedTCP, with(mailA, option(10, clientCookie)), "NOERROR aa A new cookie"},

		{"NSID", udp, with(mailA, option(3, "")), "NOERROR aa A nsid=6e7331"},
		{"NSID with a payload, which means nothing", udp, with(mailA, option(3, "x")), "NOERROR aa A nsid=6e7331"},
		{"keepalive over UDP", udp, with(mailA, option(11, "")), "NOERROR aa A"},
		{"keepalive with a timeout over UDP", udp, with(mailA, option(11, "\x00\x01")), "NOERROR aa A"},
		{"keepalive over TCP", tcp, with(mailA, option(11, "")), "NOERROR aa A keepalive=100"},
		{"keepalive with a timeout over TCP", tcp, with(mailA, option(11, "\x00\x01")), "FORMERR"},
		{"padding over UDP", udp, with(mailA, option(12, "\x00")), "NOERROR aa A"},
		{"padding over TCP", tcp, with(mailA, option(12, "\x00")), "NOERROR aa A"},
		{"padding over TLS", tls, with(mailA, option(12, "\x00")), "NOERROR aa A padded to 468"},
		{"a long answer over TLS", tls, with("\x03big\x07example\x03com\x00\x00\x10\x00\x01", option(12, "")),
			"NOERROR aa" + strings.Repeat(" TXT", 20) + " padded to 1404"},
		{"truncated on request", slip, with(mailA, option(10, clientCookie)), "NOERROR tc aa new cookie"},
		{"all at once", tls, with(mailA, option(12, ""), option(11, ""), option(3, ""), option(10, clientCookie), option(8, "\x00\x01\x18\x00\x05\x01\x02")),
			"NOERROR aa A 5.1.2.0/24/0 new cookie nsid=6e7331 keepalive=100 padded to 468"},

		{"outside of our zones", udp, with("\x03net\x00\x00\x01\x00\x01"), "REFUSED error=20"},
		{"NXNAME", udp, with(mailA[:18] + "\x00\x80\x00\x01"), "FORMERR error=30"},
		{"transfer", udp, with(mailA[:18] + "\x00\xFC\x00\x01"), "REFUSED error=18"},
		{"CH: the server's name", udp, header(0, 1, 0, 0, 0) + idServer, "NOERROR aa TXT no opt"},
		{"CH: the server's name, any type", udp, with(idServer[:11] + "\x00\xFF\x00\x03"), "NOERROR aa TXT"},
		{"CH: no text", udp, with(idServer[:11] + "\x00\x01\x00\x03"), "REFUSED error=20"},
		{"CH: what is not configured", udp, with("\x07version\x06server\x00\x00\x10\x00\x03"), "REFUSED error=20"},
		{"CH: a name of our zones", udp, with(mailA[:18] + "\x00\x01\x00\x03"), "REFUSED error=20"},
	} {
		r := test.request
		r.Query = []byte(test.query)
		answer, _ := wire.Answer(nil, s, id, &r)
		if got := optionsOf(t, answer); got != test.want {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
	}
}

// Without an identity nothing is said and cookies are unknown options.
func TestNoIdentity(t *testing.T) {
	s := snapshot(t)
	for _, query := range []string{with(mailA, option(10, "x")), with(mailA, option(3, "")), with(mailA, option(10, clientCookie))} {
		answer, out := answerTo(nil, s, []byte(query), european, wire.MaxUDP, 0)
		if got := optionsOf(t, answer); got != "NOERROR aa A" || out.Cookie != cookie.None {
			t.Errorf("Answer(%x) = %s, %+v, want no options", query, got, out)
		}
	}
}

// What EDNS compliance testers look at (RFC 8906, section 8), by the zone's SOA.
func TestCompliance(t *testing.T) {
	s, id := snapshot(t), identity(t)
	version1 := opt[:6] + "\x01" + opt[7:]
	flag := opt[:7] + "\x00\x80" + opt[9:]
	unknown := option(100, "")
	big := "\x03big\x07example\x03com\x00\x00\x10\x00\x01"
	for _, test := range []struct {
		reason string
		limit  int
		query  string
		want   string
	}{
		{"plain DNS", wire.MaxUDP, header(0, 1, 0, 0, 0) + soaApex, "NOERROR aa SOA no opt"},
		{"unknown type", wire.MaxUDP, header(0, 1, 0, 0, 0) + soaApex[:13] + "\x03\xE8\x00\x01", "NOERROR aa no opt"},
		{"CD", wire.MaxUDP, header(0x0010, 1, 0, 0, 0) + soaApex, "NOERROR aa SOA no opt"},
		{"AD", wire.MaxUDP, header(0x0020, 1, 0, 0, 0) + soaApex, "NOERROR aa SOA no opt"},
		{"reserved header bit", wire.MaxUDP, header(0x0040, 1, 0, 0, 0) + soaApex, "NOERROR aa SOA no opt"},
		{"RD", wire.MaxUDP, header(0x0100, 1, 0, 0, 0) + soaApex, "NOERROR aa SOA no opt"},
		{"unknown opcode", wire.MaxUDP, header(0x7800, 1, 0, 0, 0) + soaApex, "NOTIMP no opt"},
		{"EDNS", wire.MaxUDP, with(soaApex), "NOERROR aa SOA"},
		{"unknown version", wire.MaxUDP, header(0, 1, 0, 0, 1) + soaApex + version1, "BADVERS"},
		{"unknown option", wire.MaxUDP, with(soaApex, unknown), "NOERROR aa SOA"},
		{"unknown version with an option", wire.MaxUDP, header(0, 1, 0, 0, 1) + soaApex + withOptions(unknown)[:6] + "\x01" + withOptions(unknown)[7:], "BADVERS"},
		{"unknown flag", wire.MaxUDP, header(0, 1, 0, 0, 1) + soaApex + flag, "NOERROR aa SOA"},
		{"unknown version with a flag", wire.MaxUDP, header(0, 1, 0, 0, 1) + soaApex + flag[:6] + "\x01" + flag[7:], "BADVERS"},
		{"DO", wire.MaxUDP, header(0, 1, 0, 0, 1) + soaApex + opt[:7] + "\x80\x00" + opt[9:], "NOERROR aa SOA"},
		{"several options", wire.MaxUDP, with(soaApex, option(3, ""), option(8, "\x00\x01\x18\x00\x05\x01\x02"), option(10, clientCookie), unknown),
			"NOERROR aa SOA 5.1.2.0/24/0 new cookie nsid=6e7331"},
		{"too long for 512 bytes", wire.MaxUDP, header(0, 1, 0, 0, 1) + big + opt[:3] + "\x02\x00" + opt[5:], "NOERROR tc aa"},
		{"too long for plain UDP", wire.MaxUDP, header(0, 1, 0, 0, 0) + big, "NOERROR tc aa no opt"},
		{"as long over TCP", wire.MaxMessage, header(0, 1, 0, 0, 1) + big + opt[:3] + "\x02\x00" + opt[5:], "NOERROR aa" + strings.Repeat(" TXT", 20)},
	} {
		r := wire.Request{Query: []byte(test.query), Source: european, Limit: test.limit, Now: uint32(now.Unix()), Stream: test.limit == wire.MaxMessage}
		answer, _ := wire.Answer(nil, s, id, &r)
		if got := optionsOf(t, answer); got != test.want {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
		if z := answer[3] & 0x60; z != 0 {
			t.Errorf("%s: Z or AD is set", test.reason)
		}
		if strings.Contains(test.reason, "flag") && answer[len(answer)-3] != 0 {
			t.Errorf("%s: the flag comes back in %x", test.reason, answer)
		}
	}
}

func TestNewChaosName(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"id.server", "", "text of id.server has 0 bytes, want 1 to 255"},
		{"id.server", strings.Repeat("x", 256), "text of id.server has 256 bytes, want 1 to 255"},
		{"id..server", "x", `"id..server" is not the name of a host`},
		{strings.Repeat("x", 64), "x", `"` + strings.Repeat("x", 64) + `" is not the name of a host`},
	} {
		if _, err := wire.NewChaosName(test.name, test.text); err == nil || err.Error() != test.want {
			t.Errorf("NewChaosName(%q, %q) = %v, want %s", test.name, test.text, err, test.want)
		}
	}
}
