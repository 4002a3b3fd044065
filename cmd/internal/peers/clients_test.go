//go:build linux

package peers_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-gslb/meridian/cmd/internal/peers"
)

// TestClients asks by dig and kdig what checkers of EDNS compliance ask, and looks at what they print. A pattern that
// begins with ! must not match.
func TestClients(t *testing.T) {
	peers.Need(t, "dig", "kdig")
	address := serveOurs(t, readZones(t, []string{"example.test.", "other.test."}))
	dir := peers.Dir(t)
	const soa = `(?m)^example\.test\.\s.*SOA\s`
	for _, row := range []struct {
		why, command string
		want         []string
	}{
		{"no EDNS", "dig +noedns soa example.test", []string{"NOERROR", "flags: qr aa;", soa, "!EDNS"}},
		{"EDNS", "dig +edns=0 +nocookie soa example.test", []string{"NOERROR", soa, `EDNS: version: 0, flags:; udp: 1232`}},
		{"an unknown version", "dig +edns=1 +noednsnegotiation +nocookie soa example.test", []string{"BADVERS", "!" + soa, "EDNS: version: 0,"}},
		{"an unknown option", "dig +nocookie +ednsopt=100:cafe soa example.test", []string{"NOERROR", soa, "EDNS: version: 0,", "!OPT=100"}},
		{"an unknown flag", "dig +nocookie +ednsflags=0x80 soa example.test", []string{"NOERROR", soa, "EDNS: version: 0,", "!MBZ"}},
		{"an unknown option of an unknown version", "dig +edns=1 +noednsnegotiation +nocookie +ednsopt=100 soa example.test", []string{"BADVERS", "!" + soa, "!OPT=100"}},
		{"an unknown flag of an unknown version", "dig +edns=1 +noednsnegotiation +nocookie +ednsflags=0x80 soa example.test", []string{"BADVERS", "!" + soa, "!MBZ"}},
		{"a version that is negotiated", "dig +edns=1 +nocookie soa example.test", []string{"NOERROR", soa}},
		{"the DO bit", "dig +dnssec +nocookie soa example.test", []string{"NOERROR", soa, "flags: do;"}},
		{"the DO bit of an unknown version", "dig +edns=1 +noednsnegotiation +dnssec +nocookie soa example.test", []string{"BADVERS", "!" + soa}},
		{"an unknown opcode", "dig +opcode=15 soa example.test", []string{"opcode: RESERVED15, status: NOTIMP", "flags: qr;", "!" + soa}},
		{"inverse queries", "dig +opcode=1 soa example.test", []string{"NOTIMP", "flags: qr;", "!" + soa}},
		{"no question", "dig +header-only +nocookie example.test", []string{"FORMERR", "flags: qr"}},
		{"an unknown type", "dig +nocookie -t TYPE65280 example.test", []string{"NOERROR", `TYPE65280\s+\\# 4 01020304`}},
		{"an unknown type that is not there", "dig +nocookie -t TYPE1000 example.test", []string{"NOERROR", "ANSWER: 0, AUTHORITY: 1", soa}},
		{"the type that denies names", "dig +nocookie -t TYPE128 example.test", []string{"FORMERR", "EDE: 30", "!" + soa}},
		{"an unknown class", "dig +nocookie -c CLASS255 -t A www.example.test", []string{"NOERROR", "flags: qr;", "192.0.2.25"}},
		{"a zone of others", "dig +nocookie example.net", []string{"REFUSED", "flags: qr;", "EDE: 20"}},
		{"Z is clear", "dig +nocookie +zflag soa example.test", []string{"NOERROR", "flags: qr aa;", "!MBZ"}},
		{"AD is clear, CD and RD are copied", "dig +nocookie +adflag +cdflag +rec soa example.test", []string{"NOERROR", "flags: qr aa rd cd;"}},
		{"truncation", "dig +nocookie +bufsize=512 +ignore txt big.example.test", []string{"NOERROR", "flags: qr aa tc;", "ANSWER: 0", "EDNS"}},
		{"truncation without EDNS", "dig +noedns +ignore txt big.example.test", []string{"NOERROR", "flags: qr aa tc;", "ANSWER: 0", "!EDNS"}},
		{"TCP after truncation", "dig +nocookie +bufsize=512 txt big.example.test", []string{"NOERROR", "ANSWER: 13", "TCP mode", `\(TCP\)`}},
		{"no more than 1232 bytes over UDP", "dig +nocookie +bufsize=65535 +ignore txt huge.example.test", []string{"flags: qr aa tc;"}},
		{"TCP", "dig +nocookie +tcp txt huge.example.test", []string{"NOERROR", "ANSWER: 100,", `\(TCP\)`}},
		{"a size below the least", "dig +nocookie +bufsize=100 +ignore soa example.test", []string{"NOERROR", "flags: qr aa;", soa}},
		{"a client subnet", "dig +nocookie +subnet=198.51.100.0/24 www.example.test", []string{"NOERROR", `CLIENT-SUBNET: 198\.51\.100\.0/24/0`}},
		{"a client that asks not to be located", "dig +nocookie +subnet=0 www.example.test", []string{"NOERROR", `CLIENT-SUBNET: 0\.0\.0\.0/0/0`}},
		{"options together", "dig +nsid +expire +keepalive +padding=64 soa example.test", []string{"NOERROR", soa}},
		{"case is kept", "dig +nocookie wWw.ExAmPlE.tEsT", []string{"NOERROR", `(?m)^;wWw\.ExAmPlE\.tEsT\.`, `(?m)^wWw\.ExAmPlE\.tEsT\.`}},
		{"another client", "kdig +edns=0 soa example.test", []string{"NOERROR", soa, "Flags: qr aa;", "EDNS PSEUDOSECTION"}},
		{"an unknown version by it", "kdig +edns=7 soa example.test", []string{"BADVERS", "!" + soa, "Version: 0"}},
		{"padding and a cookie by it", "kdig +padding=128 +cookie=0123456789abcdef soa example.test", []string{"NOERROR", soa}},
		{"several questions on one connection", "kdig +tcp +keepopen soa example.test soa other.test", []string{soa, `(?m)^other\.test\.\s.*SOA\s`, `\(TCP\)`}},
	} {
		f := strings.Fields(row.command)
		args := append([]string{"@127.0.0.1", "-p", fmt.Sprint(address.Port()), "+time=5"}, f[1:]...)
		if f[0] == "dig" {
			args = append([]string{"-r"}, args...)
			if !strings.Contains(row.command, "+rec") {
				args = append(args, "+norec")
			}
			if !strings.Contains(row.command, "+adflag") {
				args = append(args, "+noadflag")
			}
		} else {
			args = append(args, "+norec")
		}
		out := peers.Run(t, peers.Program{Name: f[0], Args: args, Dir: dir})
		for _, want := range row.want {
			pattern, absent := strings.CutPrefix(want, "!")
			if regexp.MustCompile(pattern).MatchString(out) == absent {
				t.Errorf("%s: %s prints\n%s\nwant %s", row.why, row.command, out, want)
			}
		}
	}
}
