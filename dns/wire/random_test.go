package wire_test

import (
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
func TestTwin(t *testing.T) {
	s := snapshot(t)
	w := twin{s, s.Plan.World}
	count := 40_000
	if testing.Short() {
		count = 5_000
	}
	var seen [32]int
	for seed := range uint64(count) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		q, from := randomQuery(rnd, w.world)
		query, err := q.Pack()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		limit, random := wire.MaxUDP, rnd.Uint32()
		if rnd.IntN(4) == 0 {
			limit = wire.MaxMessage
		}
		got, out := wire.Answer(nil, s, query, from, limit, random)
		m := checkForm(t, query, got, limit)
		want := w.answer(q, from, limit, random)
		if gotText, wantText := comparable(m), comparable(want); gotText != wantText {
			t.Fatalf("seed %d: from %v limit %d: %v\ngot:\n%s\nwant:\n%s", seed, from, limit, q, gotText, wantText)
		}
		if int(out.RCode) != want.Rcode || out.Truncated != want.Truncated || out.Type != q.Question[0].Qtype {
			t.Fatalf("seed %d: outcome %+v of %v", seed, out, want)
		}
		seen[out.RCode]++
		if out.Truncated {
			seen[31]++
		}
	}
	for _, kind := range []int{wire.NoError, wire.NXDomain, wire.Refused, 31} {
		if seen[kind] < count/100 {
			t.Errorf("%d of %d answers were of kind %d: the questions are not varied enough", seen[kind], count, kind)
		}
	}
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
	dns.TypeDS, dns.TypeANY, dns.TypeHTTPS, dns.TypeRRSIG, dns.TypeNone, dns.TypeOPT, dns.TypeNXNAME, dns.TypeAXFR, dns.TypeTKEY, 65280,
}

func randomQuery(rnd *rand.Rand, world *zones.World) (*dns.Msg, netip.Addr) {
	q := new(dns.Msg)
	q.SetQuestion(randomName(rnd, world), randomTypes[rnd.IntN(len(randomTypes))])
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
	}
	return q, randomSubnet(rnd).Addr()
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
	name := zone.Records[rnd.IntN(len(zone.Records))].Header().Name
	if len(zone.Steer) > 0 && rnd.IntN(4) == 0 {
		name = zone.Steer[rnd.IntN(len(zone.Steer))].Owner
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
	s := snapshot(f)
	f.Fuzz(func(t *testing.T, query []byte, udp bool, random uint32) {
		limit := wire.MaxMessage
		if udp {
			limit = wire.MaxUDP
		}
		answer, out := wire.Answer(nil, s, query, european, limit, random)
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
