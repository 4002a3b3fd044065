package signer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/dns/signer"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

const world = `
regions: {eu: {coordinates: [50, 8]}, us: {coordinates: [39, -77]}}
checks: {c: {type: tcp, port: 80}}
pools:
  api:
    policy: weighted
    check: c
    members:
      - {endpoint: a, region: eu, address: [192.0.2.1, "2001:db8::1"]}
      - {endpoint: b, region: us, address: 192.0.2.2}
  v4: {policy: failover, members: [{endpoint: c, region: eu, address: 192.0.2.3}]}
zones:
  example.com:
    file: zone
    steer: {api: {pool: api}, "@": {pool: v4}, only4: {pool: v4}, "*.steered": {pool: api}}
    dnssec: {}
  unsigned.org: {file: unsigned}
`

const zone = `$TTL 300
@ SOA ns1 admin 7 7200 900 1209600 300
@ NS ns1
@ NS ns2
@ MX 10 Mail
ns1 A 192.0.2.53
ns2 AAAA 2001:db8::53
mail A 192.0.2.25
www CNAME mail
chain CNAME www
dangling CNAME nothing.here
out CNAME www.example.net.
*.wild A 192.0.2.80
*.wild TXT "wild"
deep.ent A 192.0.2.4
old DNAME new
x.new A 192.0.2.5
secure NS ns.secure
secure DS 20326 13 2 e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d
ns.secure A 192.0.2.54
insecure NS ns.example.net.
big TXT "0123456789"
`

func snapshot(tb testing.TB) *zones.Snapshot {
	tb.Helper()
	parsed, err := zones.Parse(zones.FileMap{
		"w.yaml": []byte(world), "zone": []byte(zone), "unsigned": []byte(strings.Replace(zone, "@ MX", "; @ MX", 1)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	var b geo.Builder
	plan, err := parsed.Compile(b.Build(), rtt.New().Orders())
	if err != nil {
		tb.Fatal(err)
	}
	return plan.Publish(nil, zones.Inputs{Health: new(health.View)}, zones.Change{All: true}, time.Now())
}

const apex = "\x07example\x03com\x00"

// keys are two keys that do not change from one run to the next.
func keys(tb testing.TB) *dnssec.KeySet {
	tb.Helper()
	random := rand.NewChaCha8([32]byte{1})
	ksk, err := dnssec.New("example.com.", dnssec.FlagsKSK, dnssec.ECDSAP256SHA256, random, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	zsk, err := dnssec.New("example.com.", dnssec.FlagsZSK, dnssec.ECDSAP256SHA256, random, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return &dnssec.KeySet{Generation: 1, TTL: 3600, Published: []*dnssec.Key{ksk, zsk}, KeySigners: []*dnssec.Key{ksk},
		Signers: []*dnssec.Key{zsk}, Announced: []*dnssec.Key{ksk}}
}

// An asker asks a snapshot through a signer.
type asker struct {
	snapshot *zones.Snapshot
	signer   wire.Signer
}

func (a asker) ask(tb testing.TB, name string, qtype uint16, co bool, random uint32) (*dns.Msg, wire.Outcome) {
	tb.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(4096, true)
	q.IsEdns0().SetCo(co)
	return a.put(tb, q, random)
}

// put asks a question as it is.
func (a asker) put(tb testing.TB, q *dns.Msg, random uint32) (*dns.Msg, wire.Outcome) {
	tb.Helper()
	packed, err := q.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	answer, outcome := wire.Answer(nil, a.snapshot, nil, &wire.Request{Query: packed, Source: netip.MustParseAddr("192.0.2.200"),
		Limit: wire.MaxMessage, Signer: a.signer, Random: random})
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		tb.Fatalf("%v: %v", q, err)
	}
	return m, outcome
}

// verify checks the signatures of a section and returns the sets that have none.
func verify(tb testing.TB, what string, section []dns.RR, published []dns.RR, now time.Time) (unsigned []string) {
	tb.Helper()
	type key struct {
		name string
		t    uint16
	}
	sets := map[key][]dns.RR{}
	signatures := map[key][]*dns.RRSIG{}
	for _, rr := range section {
		k := key{strings.ToLower(rr.Header().Name), rr.Header().Rrtype}
		if s, ok := rr.(*dns.RRSIG); ok {
			k.t = s.TypeCovered
			signatures[k] = append(signatures[k], s)
			continue
		}
		sets[k] = append(sets[k], rr)
	}
	for k, set := range sets {
		if len(signatures[k]) == 0 {
			unsigned = append(unsigned, fmt.Sprintf("%s %s", k.name, dns.Type(k.t)))
		}
		for _, s := range signatures[k] {
			var signedBy *dns.DNSKEY
			for _, rr := range published {
				if dnskey, ok := rr.(*dns.DNSKEY); ok && dnskey.KeyTag() == s.KeyTag {
					signedBy = dnskey
				}
			}
			if signedBy == nil {
				tb.Errorf("%s: %s %s is signed by key %d, which is not published", what, k.name, dns.Type(k.t), s.KeyTag)
				continue
			}
			if err := s.Verify(signedBy, set); err != nil {
				tb.Errorf("%s: signature over %s %s: %v\n%v", what, k.name, dns.Type(k.t), err, set)
			}
			if !s.ValidityPeriod(now) || s.Header().Ttl != set[0].Header().Ttl || s.OrigTtl < set[0].Header().Ttl {
				tb.Errorf("%s: %v over %v: not valid now, or another TTL", what, s, set)
			}
		}
	}
	slices.Sort(unsigned)
	return unsigned
}

func TestAnswersValidate(t *testing.T) {
	s, err := signer.New(signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetKeys(apex, keys(t))
	a := asker{snapshot(t), s.Maker(func() bool { return true })}
	published, _ := a.ask(t, "example.com.", dns.TypeDNSKEY, false, 0)
	for _, row := range []struct {
		why, name string
		qtype     uint16
		rcode     int // with CO; without it NXDOMAIN becomes NOERROR
		answer    string
		nsec      string // the bitmap of the denial
		next      string
	}{
		{"an address", "mail.example.com.", dns.TypeA, dns.RcodeSuccess, "A", "", ""},
		{"in mixed case", "MAIL.Example.com.", dns.TypeA, dns.RcodeSuccess, "A", "", ""},
		{"the keys", "example.com.", dns.TypeDNSKEY, dns.RcodeSuccess, "DNSKEY", "", ""},
		{"what the parent should have", "example.com.", dns.TypeCDS, dns.RcodeSuccess, "CDS", "", ""},
		{"the same as keys", "example.com.", dns.TypeCDNSKEY, dns.RcodeSuccess, "CDNSKEY", "", ""},
		{"an alias", "chain.example.com.", dns.TypeA, dns.RcodeSuccess, "A CNAME", "", ""},
		{"an alias to nothing", "dangling.example.com.", dns.TypeA, dns.RcodeNameError, "CNAME", "NSEC NXNAME RRSIG", `\000.nothing.here.example.com.`},
		{"an alias to elsewhere", "out.example.com.", dns.TypeA, dns.RcodeSuccess, "CNAME", "", ""},
		{"a steered name", "api.example.com.", dns.TypeA, dns.RcodeSuccess, "A", "", ""},
		{"a steered apex", "example.com.", dns.TypeA, dns.RcodeSuccess, "A", "", ""},
		{"a family that no member has", "only4.example.com.", dns.TypeAAAA, dns.RcodeSuccess, "", "A NSEC RRSIG", `\000.only4.example.com.`},
		{"a type that a steered name has not", "api.example.com.", dns.TypeMX, dns.RcodeSuccess, "", "A AAAA NSEC RRSIG", `\000.api.example.com.`},
		{"a steered wildcard", "x.steered.example.com.", dns.TypeA, dns.RcodeSuccess, "A", "", ""},
		{"a type that a name has not", "mail.example.com.", dns.TypeAAAA, dns.RcodeSuccess, "", "A NSEC RRSIG", `\000.mail.example.com.`},
		{"no bitmap denies the type and has it", "www.example.com.", dns.TypeANY, dns.RcodeSuccess, "CNAME", "", ""},
		{"an empty non-terminal", "ent.example.com.", dns.TypeA, dns.RcodeSuccess, "", "NSEC RRSIG", `\000.ent.example.com.`},
		{"a name that is not there", "no.such.example.com.", dns.TypeA, dns.RcodeNameError, "", "NSEC NXNAME RRSIG", `\000.no.such.example.com.`},
		{"a wildcard", "x.wild.example.com.", dns.TypeA, dns.RcodeSuccess, "A", "", ""},
		{"a type that a wildcard has not", "x.wild.example.com.", dns.TypeMX, dns.RcodeSuccess, "", "A NSEC RRSIG TXT", `\000.x.wild.example.com.`},
		{"the apex has the keys' types", "example.com.", dns.TypeTXT, dns.RcodeSuccess, "", "A CDNSKEY CDS DNSKEY MX NS NSEC RRSIG SOA", `\000.example.com.`},
		{"below a DNAME", "x.old.example.com.", dns.TypeA, dns.RcodeSuccess, "A CNAME DNAME", "", ""},
		{"below a DNAME, nothing", "y.old.example.com.", dns.TypeA, dns.RcodeNameError, "CNAME DNAME", "NSEC NXNAME RRSIG", `\000.y.new.example.com.`},
		{"a secure delegation", "x.secure.example.com.", dns.TypeA, dns.RcodeSuccess, "", "", ""},
		{"an insecure delegation", "x.insecure.example.com.", dns.TypeA, dns.RcodeSuccess, "", "NS NSEC RRSIG", `insecure\000.example.com.`},
		{"DS at a delegation", "secure.example.com.", dns.TypeDS, dns.RcodeSuccess, "DS", "", ""},
		{"no DS at a delegation", "insecure.example.com.", dns.TypeDS, dns.RcodeSuccess, "", "NS NSEC RRSIG", `insecure\000.example.com.`},
		{"no DS at the apex", "example.com.", dns.TypeDS, dns.RcodeSuccess, "", "A CDNSKEY CDS DNSKEY MX NS NSEC RRSIG SOA", `\000.example.com.`},
		{"all types", "mail.example.com.", dns.TypeANY, dns.RcodeSuccess, "HINFO", "", ""},
		{"NSEC itself", "mail.example.com.", dns.TypeNSEC, dns.RcodeSuccess, "NSEC", "", ""},
	} {
		for _, co := range []bool{true, false} {
			m, outcome := a.ask(t, row.name, row.qtype, co, 0)
			want := row.rcode
			if want == dns.RcodeNameError && !co {
				want = dns.RcodeSuccess
			}
			if m.Rcode != want || outcome.Pending {
				t.Errorf("%s: rcode %s, pending %v, want %s", row.why, dns.RcodeToString[m.Rcode], outcome.Pending, dns.RcodeToString[want])
			}
			if m.IsEdns0().Co() != co {
				t.Errorf("%s: CO %v, want %v", row.why, !co, co)
			}
			var types []string
			for _, rr := range m.Answer {
				if name := dns.Type(rr.Header().Rrtype).String(); name != "RRSIG" && !slices.Contains(types, name) {
					types = append(types, name)
				}
			}
			slices.Sort(types)
			if got := strings.Join(types, " "); got != row.answer {
				t.Errorf("%s: answer has %q, want %q", row.why, got, row.answer)
			}
			for _, set := range verify(t, row.why, m.Answer, published.Answer, time.Now()) {
				if !strings.Contains(set, ".old.example.com. CNAME") { // synthesised: the DNAME is what is signed
					t.Errorf("%s: answer has %s without a signature", row.why, set)
				}
			}
			for _, set := range verify(t, row.why, m.Ns, published.Answer, time.Now()) {
				if !strings.HasSuffix(set, "secure.example.com. NS") { // of the child
					t.Errorf("%s: authority has %s without a signature", row.why, set)
				}
			}
			var bitmap, next string
			for _, rr := range m.Ns {
				if n, ok := rr.(*dns.NSEC); ok {
					next = n.NextDomain
					var words []string
					for _, t := range n.TypeBitMap {
						words = append(words, dns.Type(t).String())
					}
					slices.Sort(words)
					bitmap = strings.Join(words, " ")
				}
			}
			if bitmap != row.nsec || next != row.next {
				t.Errorf("%s: NSEC of %q, next %q, want %q, %q", row.why, bitmap, next, row.nsec, row.next)
			}
		}
	}
	m, _ := a.ask(t, "mail.unsigned.org.", dns.TypeA, false, 0)
	if len(m.Answer) != 1 {
		t.Errorf("answer from a zone that is not signed: %v, want no signature", m.Answer)
	}
}

// Every answer from a name that exists is there when a snapshot was published, whatever the pick, and is made anew in time.
func TestPresigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := signer.New(signer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		a := asker{snapshot(t), s}
		s.SetKeys(apex, keys(t))
		s.Published(a.snapshot)
		synctest.Wait()
		published, _ := a.ask(t, "example.com.", dns.TypeDNSKEY, false, 0)
		ask := func() (signatures []string) {
			for _, name := range []string{"example.com.", "mail.example.com.", "api.example.com.", "only4.example.com.", "www.example.com.", "chain.example.com.",
				"out.example.com.", "ent.example.com.", "secure.example.com.", "x.insecure.example.com.", "*.wild.example.com.", "x.old.example.com."} {
				for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeDS, dns.TypeANY, dns.TypeSOA, dns.TypeNSEC, dns.TypeRRSIG, dns.TypeCNAME, dns.TypeDNSKEY, 65280} {
					for random := range uint32(4) {
						m, outcome := a.ask(t, name, qtype, true, random<<30)
						if outcome.Pending {
							t.Errorf("%s %s: a signature is missing", name, dns.Type(qtype))
						}
						verify(t, name, m.Answer, published.Answer, time.Now())
						verify(t, name, m.Ns, published.Answer, time.Now())
						for _, rr := range slices.Concat(m.Answer, m.Ns) {
							if r, ok := rr.(*dns.RRSIG); ok {
								signatures = append(signatures, r.Signature)
							}
						}
					}
				}
			}
			return signatures
		}
		first := ask()
		if _, outcome := a.ask(t, "random.example.com.", dns.TypeA, true, 0); !outcome.Pending {
			t.Error("the denial of a name that nobody knew of is there, want it pending")
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if !slices.Equal(ask(), first) {
			t.Log("some were renewed within six hours") // each owner has its own time
		}
		for range 60 { // days
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			ask()
		}
		if slices.Equal(ask(), first) {
			t.Error("signatures are the same after 60 days")
		}
		s.SetKeys(apex, nil)
		if m, _ := a.ask(t, "mail.example.com.", dns.TypeA, true, 0); len(m.Answer) != 1 {
			t.Errorf("answer without keys: %v, want no signature", m.Answer)
		}
	})
}

// Nameservers with the same keys make the same signatures.
func TestSignersAgree(t *testing.T) {
	var answers [2][]byte
	at := time.Date(2026, 5, 5, 5, 5, 5, 0, time.UTC)
	for i := range answers {
		s, err := signer.New(signer.Config{Now: func() time.Time { return at.Add(time.Duration(i) * time.Second) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.SetKeys(apex, keys(t))
		q := new(dns.Msg)
		q.SetQuestion("nothing.example.com.", dns.TypeA).SetEdns0(4096, true)
		q.Id = 1
		packed, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		answers[i], _ = wire.Answer(nil, snapshot(t), nil, &wire.Request{Query: packed, Source: netip.MustParseAddr("192.0.2.200"),
			Limit: wire.MaxMessage, Signer: s.Maker(func() bool { return true })})
	}
	if !bytes.Equal(answers[0], answers[1]) {
		t.Errorf("two nameservers answer\n% x\n% x", answers[0], answers[1])
	}
}

// Over its budget a maker makes nothing, and says so.
func TestBudget(t *testing.T) {
	s, err := signer.New(signer.Config{Recent: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetKeys(apex, keys(t))
	left := 100
	a := asker{snapshot(t), s.Maker(func() bool { left--; return left >= 0 })}
	pending := 0
	for i := range 200 {
		if _, outcome := a.ask(t, fmt.Sprintf("n%d.example.com.", i), dns.TypeA, true, 0); outcome.Pending {
			pending++
		}
	}
	if pending != 101 { // the SOA took one
		t.Errorf("%d of 200 answers are pending with a budget of 100, want 101", pending)
	}
}

func BenchmarkSigned(b *testing.B) {
	s, err := signer.New(signer.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.SetKeys(apex, keys(b))
	sn := snapshot(b)
	s.Published(sn)
	for whole := false; !whole; _, whole = s.Generation(apex) {
		time.Sleep(time.Millisecond)
	}
	maker := asker{sn, s.Maker(func() bool { return true })}
	for _, bench := range []struct{ name, qname string }{{"positive", "mail.example.com."}, {"NODATA", "ns2.example.com."}, {"NXNAME", "nothing.example.com."}} {
		maker.ask(b, bench.qname, dns.TypeA, true, 0)
		q := new(dns.Msg)
		q.SetQuestion(bench.qname, dns.TypeA).SetEdns0(1232, true)
		packed, err := q.Pack()
		if err != nil {
			b.Fatal(err)
		}
		r := wire.Request{Query: packed, Source: netip.MustParseAddr("192.0.2.200"), Limit: wire.MaxUDP, Signer: s, Scratch: new(wire.Scratch)}
		b.Run(bench.name, func(b *testing.B) {
			buffer := make([]byte, 0, wire.MaxUDP)
			b.ReportAllocs()
			for b.Loop() {
				if _, outcome := wire.Answer(buffer, sn, nil, &r); outcome.Pending {
					b.Fatal("pending")
				}
			}
		})
	}
}
