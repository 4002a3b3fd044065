package wire_test

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

// TestTwin asks Answer and its twin random questions near the names of the zones.
func TestTwin(t *testing.T) { compareTwin(t, snapshot(t), 40_000) }

// TestTwinWithReports is TestTwin where resolvers are asked to report errors, and do.
func TestTwinWithReports(t *testing.T) {
	if asked, reported := compareTwin(t, reporting(t), 20_000); reported < asked/500 {
		t.Errorf("%d of %d questions were reports: they are not varied enough", reported, asked)
	}
}

// compareTwin returns how many questions it has asked, and how many were reports.
func compareTwin(t *testing.T, s *zones.Snapshot, count int) (asked, reported int) {
	t.Helper()
	id, w := identity(t), twin{s, s.Plan.World}
	if testing.Short() {
		count /= 8
	}
	var seen [32]int
	for seed := range uint64(count) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		q, from := randomQuery(rnd, w.world)
		query, err := q.Pack()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		r := randomRequest(rnd, query, from)
		got, out := wire.Answer(nil, s, id, r)
		m := checkForm(t, query, got, r.Limit)
		want := w.answer(q, id, r)
		if gotText, wantText := comparable(m), comparable(want); gotText != wantText {
			t.Fatalf("seed %d: %+v: %v\ngot:\n%s\nwant:\n%s", seed, r, q, gotText, wantText)
		}
		if int(out.RCode) != want.Rcode || out.Truncated != want.Truncated || out.Type != q.Question[0].Qtype {
			t.Fatalf("seed %d: outcome %+v of %v", seed, out, want)
		}
		if isReport := len(want.Answer) == 1 && strings.HasSuffix(want.Answer[0].String(), `"report received"`); out.Reported != isReport {
			t.Fatalf("seed %d: outcome %+v of %v", seed, out, want)
		}
		if out.Reported {
			reported++
		}
		seen[out.RCode]++
		if out.Truncated {
			seen[31]++
		}
	}
	for _, kind := range []int{wire.NoError, wire.NXDomain, wire.Refused, wire.FormErr, wire.BadCookie, 31} {
		if seen[kind] < count/100 {
			t.Errorf("%d of %d answers were of kind %d: the questions are not varied enough", seen[kind], count, kind)
		}
	}
	return count, reported
}

// checkForm holds an answer against what is true of all answers, and returns it as the library reads it.
func checkForm(t *testing.T, query, answer []byte, limit int) *dns.Msg {
	t.Helper()
	if len(answer) > limit {
		t.Fatalf("Answer(%x) has %d bytes, limit %d", query, len(answer), limit)
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("Answer(%x) = %x: %v", query, answer, err)
	}
	if string(answer[:2]) != string(query[:2]) || !m.Response {
		t.Fatalf("Answer(%x) = %x: not a response to the query", query, answer)
	}
	if len(m.Question) == 1 {
		end := 12 + wireSize(m.Question[0].Name) + 4
		if string(answer[12:end]) != string(query[12:end]) {
			t.Fatalf("Answer(%x) = %x: another question", query, answer)
		}
	}
	if _, err := m.Pack(); err != nil {
		t.Fatalf("Answer(%x) = %x: can't be packed again: %v", query, answer, err)
	}
	return m
}

// comparable is a message as text. Owners are in lower case, for in answers they are pointers into the question.
func comparable(m *dns.Msg) string {
	m = m.Copy()
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		rr.Header().Name = strings.ToLower(rr.Header().Name)
	}
	slices.SortStableFunc(m.Extra, func(a, b dns.RR) int { return int(b.Header().Rrtype/dns.TypeOPT) - int(a.Header().Rrtype/dns.TypeOPT) })
	return m.String()
}

var randomTypes = []uint16{
	dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeCNAME,
	dns.TypeDS, dns.TypeANY, dns.TypeHTTPS, dns.TypeHTTPS, dns.TypeSRV, dns.TypeRRSIG, dns.TypeNone, dns.TypeOPT, dns.TypeNXNAME, dns.TypeAXFR, dns.TypeTKEY, 65280,
}

func randomQuery(rnd *rand.Rand, world *zones.World) (*dns.Msg, netip.Addr) {
	q, from := new(dns.Msg), randomSubnet(rnd).Addr()
	q.SetQuestion(randomName(rnd, world), randomTypes[rnd.IntN(len(randomTypes))])
	if world.ReportAgent != "" && dns.IsSubDomain(world.ReportAgent, strings.ToLower(q.Question[0].Name)) && rnd.IntN(2) == 0 {
		q.Question[0].Qtype = dns.TypeTXT
	}
	q.Id = uint16(rnd.Uint32())
	q.RecursionDesired, q.CheckingDisabled = rnd.IntN(2) == 0, rnd.IntN(2) == 0
	if rnd.IntN(50) == 0 {
		q.Question[0].Qclass = []uint16{dns.ClassANY, dns.ClassCHAOS, dns.ClassNONE}[rnd.IntN(3)]
	}
	if rnd.IntN(2) == 0 {
		q.SetEdns0(uint16(rnd.IntN(4096)), rnd.IntN(2) == 0)
		opt := q.IsEdns0()
		if rnd.IntN(2) == 0 {
			opt.Option = append(opt.Option, subnetOption(randomSubnet(rnd)))
		}
		if rnd.IntN(4) == 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, rnd.IntN(9))})
		}
		if rnd.IntN(4) == 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		}
		if rnd.IntN(4) == 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE, Timeout: uint16(rnd.IntN(8) / 7)})
		}
		for range rnd.IntN(3) {
			opt.Option = append(opt.Option, randomCookie(rnd, from))
		}
		opt.SetCo(rnd.IntN(4) == 0)
		rnd.Shuffle(len(opt.Option), func(i, j int) { opt.Option[i], opt.Option[j] = opt.Option[j], opt.Option[i] })
	}
	if q.Question[0].Qclass == dns.ClassCHAOS && rnd.IntN(2) == 0 {
		q.Question[0].Name, q.Question[0].Qtype = []string{"ID.server.", "version.bind."}[rnd.IntN(2)], []uint16{dns.TypeTXT, dns.TypeANY, dns.TypeA}[rnd.IntN(3)]
	}
	return q, from
}

func randomRequest(rnd *rand.Rand, query []byte, from netip.Addr) *wire.Request {
	r := &wire.Request{
		Query: query, Source: from, Limit: wire.MaxUDP, Random: rnd.Uint32(), Now: uint32(now.Unix()),
		RequireCookie: rnd.IntN(4) == 0, Truncate: rnd.IntN(8) == 0,
	}
	if rnd.IntN(4) == 0 {
		r.Limit, r.Stream, r.Encrypted, r.Keepalive = wire.MaxMessage, true, rnd.IntN(2) == 0, uint16(rnd.IntN(2)*100)
	}
	return r
}

// goodCookie is what a client sends that was answered before.
func goodCookie(from netip.Addr) *dns.EDNS0_COOKIE {
	b := secrets.Append(nil, [8]byte{1, 2, 3}, from, uint32(now.Unix()))
	return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(b)}
}

// randomCookie is good, old, foreign, of the client alone or malformed.
func randomCookie(rnd *rand.Rand, from netip.Addr) *dns.EDNS0_COOKIE {
	made := uint32(now.Unix()) - rnd.Uint32N(4000)
	b := secrets.Append(nil, [8]byte{byte(rnd.Uint32())}, from, made)
	switch rnd.IntN(6) {
	case 0:
		b = b[:8]
	case 1:
		b[rnd.IntN(len(b))] ^= 1
	case 2:
		b = append(b, make([]byte, 24)...)[:rnd.IntN(48)]
	}
	return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(b)}
}

func randomSubnet(rnd *rand.Rand) netip.Prefix {
	blocks := []string{"5.0.0.0/8", "17.0.0.0/8", "10.0.0.0/8", "81.0.0.0/8", "2a00::/16", "2600::/16", "2001:db8::/32", "2002:500::/24", "::ffff:0:0/96"}
	block := netip.MustParsePrefix(blocks[rnd.IntN(len(blocks))])
	b := block.Addr().AsSlice()
	for i := block.Bits() / 8; i < len(b); i++ {
		b[i] = byte(rnd.Uint32())
	}
	a, _ := netip.AddrFromSlice(b)
	p := netip.PrefixFrom(a, rnd.IntN(len(b)*8+1))
	if p.Addr().Is4In6() {
		return netip.PrefixFrom(a, len(b)*8) // Masked takes it for an IPv4 address
	}
	return p.Masked()
}

// randomName is a name of a zone, or one beside, above or below it, in mixed case.
func randomName(rnd *rand.Rand, world *zones.World) string {
	zone := &world.Zones[rnd.IntN(len(world.Zones))]
	records := recordsOf(zone)
	name := records[rnd.IntN(len(records))].Header().Name
	if len(zone.Steer) > 0 && rnd.IntN(4) == 0 {
		name = zone.Steer[rnd.IntN(len(zone.Steer))].Owner
	}
	if world.ReportAgent != "" && rnd.IntN(4) == 0 {
		name = randomReport(rnd, name, world.ReportAgent)
	}
	labels := dns.SplitDomainName(name)
	for range rnd.IntN(3) {
		switch fresh := []string{"x", "*", "www", "ent", "wild", `\000\200\.\032`}[rnd.IntN(6)]; rnd.IntN(4) {
		case 0:
			labels = append([]string{fresh}, labels...)
		case 1:
			if len(labels) > 0 {
				labels = labels[1:]
			}
		case 2:
			if len(labels) > 0 {
				labels[0] = fresh
			}
		}
	}
	b := []byte(strings.Join(labels, ".") + ".")
	for i, c := range b {
		if 'a' <= c && c <= 'z' && rnd.IntN(4) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// FuzzAnswer sends arbitrary bytes. An answer must be one that the library can read, and that keeps to the limit.
func FuzzAnswer(f *testing.F) {
	s, id := reporting(f), identity(f)
	f.Fuzz(func(t *testing.T, query []byte, udp bool, random uint32) {
		limit := wire.MaxMessage
		if udp {
			limit = wire.MaxUDP
		}
		answer, out := wire.Answer(nil, s, id, &wire.Request{
			Query: query, Source: european, Limit: limit, Random: random, Now: uint32(now.Unix()),
			Stream: !udp, Encrypted: !udp, Keepalive: 100, RequireCookie: random%2 == 0, Truncate: random%8 == 1,
		})
		if out.Drop != wire.Answered {
			if len(answer) > 0 {
				t.Fatalf("Answer(%x) = %x, dropped as %v", query, answer, out.Drop)
			}
			return
		}
		m := checkForm(t, query, answer, limit)
		if m.Rcode != int(out.RCode) || m.Truncated != out.Truncated {
			t.Fatalf("Answer(%x) = %x, outcome %+v", query, answer, out)
		}
	})
}
