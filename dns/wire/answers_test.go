package wire_test

import (
	"flag"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

var update = flag.Bool("update", false, "write the golden answers anew")

// TestAnswers asks what testdata/answers.txt asks. A line there is a comment, a query behind ">", or the answer to the
// query above it, in dig's order. What a query says beside its name and type:
//
//	ch any              its class
//	edns=N do subnet=P  its OPT record
//	norec cd            its flags
//	tcp                 its transport; UDP if not said
//	from=A random=F     its source and the random number as a part of 1
func TestAnswers(t *testing.T) {
	const path = "testdata/answers.txt"
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot(t)
	var got strings.Builder
	for line := range strings.Lines(string(golden)) {
		switch {
		case strings.HasPrefix(line, "#") || line == "\n":
			got.WriteString(line)
		case strings.HasPrefix(line, ">"):
			got.WriteString(line)
			got.WriteString(ask(t, s, strings.Fields(line)[1:]))
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(golden) {
		t.Errorf("answers differ from %s (read the difference after -update):\n%s", path, difference(string(golden), got.String()))
	}
}

// difference lists the lines of want and got from the first on that differs.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d = %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func ask(t *testing.T, s *zones.Snapshot, words []string) string {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(words[0], dns.StringToType[words[1]])
	q.Id = 4711
	from, limit, random := american, wire.MaxUDP, 0.0
	var opt *dns.OPT
	edns := func() *dns.OPT {
		if opt == nil {
			q.SetEdns0(1232, false)
			opt = q.IsEdns0()
		}
		return opt
	}
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "ch":
			q.Question[0].Qclass = dns.ClassCHAOS
		case "any":
			q.Question[0].Qclass = dns.ClassANY
		case "norec":
			q.RecursionDesired = false
		case "cd":
			q.CheckingDisabled = true
		case "edns":
			size, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				t.Fatalf("%s: %v", word, err)
			}
			edns().SetUDPSize(uint16(size))
		case "do":
			edns().SetDo()
		case "subnet":
			edns().Option = append(opt.Option, subnetOption(netip.MustParsePrefix(value)))
		case "tcp":
			limit = wire.MaxMessage
		case "from":
			from = netip.MustParseAddr(value)
		case "random":
			var err error
			if random, err = strconv.ParseFloat(value, 64); err != nil {
				t.Fatalf("%s: %v", word, err)
			}
		default:
			t.Fatalf("what is %q?", word)
		}
	}
	query, err := q.Pack()
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	answer, out := answerTo(nil, s, query, from, limit, uint32(random*math.MaxUint32))
	return text(t, s, answer, out)
}

func subnetOption(p netip.Prefix) *dns.EDNS0_SUBNET {
	family := uint16(1)
	if p.Addr().Is6() {
		family = 2
	}
	return &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: net.IP(p.Addr().AsSlice()),
	}
}

// text writes an answer as dig does, in few lines.
func text(t *testing.T, s *zones.Snapshot, answer []byte, out wire.Outcome) string {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("answer %x: %v", answer, err)
	}
	var b strings.Builder
	b.WriteString("  " + dns.RcodeToString[m.Rcode])
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"aa", m.Authoritative}, {"tc", m.Truncated}, {"rd", m.RecursionDesired}, {"ra", m.RecursionAvailable},
		{"z", m.Zero}, {"ad", m.AuthenticatedData}, {"cd", m.CheckingDisabled},
	} {
		if flag.set {
			b.WriteString(" " + flag.name)
		}
	}
	for _, number := range []int{out.Counter, out.GroupCounter} {
		if number >= 0 {
			c := s.Plan.Counters[number]
			fmt.Fprintf(&b, " [%s", c.Pool)
			if c.Member != "" {
				fmt.Fprintf(&b, " %s]", c.Member)
			} else {
				fmt.Fprintf(&b, " group %x]", c.Group)
			}
		}
	}
	fmt.Fprintf(&b, " %d bytes\n", len(answer))
	sections(&b, &m)
	return b.String()
}

func sections(b *strings.Builder, m *dns.Msg) {
	for _, section := range []struct {
		name string
		rrs  []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for i, rr := range section.rrs {
			switch opt, ok := rr.(*dns.OPT); {
			case ok:
				writeOPT(b, opt)
			case i == 3 && len(section.rrs) > 12:
				fmt.Fprintf(b, "  %s: and %d more\n", section.name, len(section.rrs)-3)
			case i < 3 || len(section.rrs) <= 12:
				fmt.Fprintf(b, "  %s: %s\n", section.name, strings.ReplaceAll(rr.String(), "\t", " "))
			}
		}
	}
}

func writeOPT(b *strings.Builder, opt *dns.OPT) {
	fmt.Fprintf(b, "  edns: version %d, udp %d", opt.Version(), opt.UDPSize())
	if opt.Do() {
		b.WriteString(", do")
	}
	for _, option := range opt.Option {
		switch o := option.(type) {
		case *dns.EDNS0_SUBNET:
			fmt.Fprintf(b, ", subnet %v/%d scope /%d", o.Address, o.SourceNetmask, o.SourceScope)
		case *dns.EDNS0_EDE:
			fmt.Fprintf(b, ", error %d (%s)", o.InfoCode, dns.ExtendedErrorCodeToString[o.InfoCode])
		default:
			fmt.Fprintf(b, ", %v", o)
		}
	}
	b.WriteByte('\n')
}
