package transfer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// receive asks for a zone by miekg/dns and returns what came, and in how many messages.
func receive(t *testing.T, address netip.AddrPort, query *dns.Msg, secrets map[string]string) (rrs []dns.RR, messages int, err error) {
	t.Helper()
	transfer := &dns.Transfer{TsigSecret: secrets, ReadTimeout: 10 * time.Second}
	envelopes, err := transfer.In(query, address.String())
	if err != nil {
		t.Fatal(err)
	}
	for e := range envelopes {
		if e.Error != nil {
			err = e.Error
			continue
		}
		rrs = append(rrs, e.RR...)
		messages++
	}
	return rrs, messages, err
}

func axfr(apex string) *dns.Msg { return new(dns.Msg).SetAxfr(apex) }

func soaQuery(name string) *dns.Msg { return new(dns.Msg).SetQuestion(name, dns.TypeSOA) }

func ixfr(apex string, serial uint32) *dns.Msg {
	return new(dns.Msg).SetIxfr(apex, serial, "ns1."+apex, "hostmaster."+apex)
}

// A large zone goes out whole in many signed messages, none of them larger than is good.
func TestAXFR(t *testing.T) {
	var records []string
	for i := range 5000 {
		records = append(records, fmt.Sprintf("host-%d.shop.example. 300 IN TXT %q", i, strings.Repeat("x", 40)))
	}
	zone := zoneOf(t, "shop.example.", 7, records...)
	for _, algorithm := range []string{"hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		key := keyOfTest(t, "peer", algorithm)
		s := open(t, Config{Zones: shelfOf(zone).find})
		apply(t, s, Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example": {Allow: []Grant{{Key: "peer"}}}}})
		address, _ := front(t, s, nil)
		query := axfr("Shop.Example.").SetTsig("peer.", key.Algorithm, 300, time.Now().Unix())
		rrs, messages, err := receive(t, address, query, secretOf(key))
		if err != nil {
			t.Fatal(err)
		}
		if len(rrs) != len(zone.rrs)+1 || !dns.IsDuplicate(rrs[0], zone.rrs[0]) || !dns.IsDuplicate(rrs[len(rrs)-1], zone.rrs[0]) {
			t.Fatalf("%s: %d records, want %d between two SOA records", algorithm, len(rrs), len(zone.rrs))
		}
		if got, want := sortedRRs(rrs[1:]), sorted(zone.Records); !slices.Equal(got, want) {
			t.Errorf("%s: what came is not the zone", algorithm)
		}
		if messages < 10 || messages > 30 {
			t.Errorf("%s: %d messages", algorithm, messages)
		}
	}
}

// Only the first message of a transfer repeats the question and EDNS (RFC 5936, sections 2.2.1 and 2.2.5).
func TestAXFRMessages(t *testing.T) {
	s := open(t, Config{Zones: shelfOf(zoneOf(t, "shop.example.", 7, manyRecords(2000)...)).find})
	apply(t, s, Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
	query, err := axfr("shop.example.").SetEdns0(1232, true).Pack()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	s.Handle(Query{Message: query, From: loopbackPort, Send: func(b []byte) error {
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprint(len(m.Question), m.IsEdns0() != nil, m.Authoritative, len(b) < mostOfMessage+1000))
		return nil
	}})
	if len(got) < 3 || got[0] != "1 true true true" || slices.ContainsFunc(got[1:], func(m string) bool { return m != "0 false true true" }) {
		t.Errorf("messages (questions, EDNS, AA, size): %v", got)
	}
}

// A version of EDNS that does not exist yet is answered as RFC 6891, section 6.1.3 wants.
func TestFutureEDNS(t *testing.T) {
	s := open(t, Config{})
	query := axfr("shop.example.").SetEdns0(1232, false)
	query.IsEdns0().SetVersion(1)
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	s.Handle(Query{Message: packed, From: loopbackPort, Send: func(b []byte) error {
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil || m.Rcode != dns.RcodeBadVers || m.IsEdns0().Version() != 0 {
			t.Errorf("%v (%v)", m, err)
		}
		return nil
	}})
}

func TestIXFR(t *testing.T) {
	bulk := "bulk.shop.example. 300 IN TXT" + strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 4) // or the zone is the smaller answer
	versions := []*textZone{
		zoneOf(t, "shop.example.", 7, bulk, "a.shop.example. 300 IN A 192.0.2.10", "b.shop.example. 300 IN A 192.0.2.11"),
		zoneOf(t, "shop.example.", 8, bulk, "a.shop.example. 60 IN A 192.0.2.10", "b.shop.example. 300 IN A 192.0.2.11"),
		zoneOf(t, "shop.example.", 9, bulk, "a.shop.example. 60 IN A 192.0.2.10", "c.shop.example. 300 IN A 192.0.2.12"),
	}
	dir, zones := t.TempDir(), shelfOf(versions[0])
	setup := Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}}
	s := open(t, Config{Dir: dir, Zones: zones.find})
	apply(t, s, setup)
	s.Changed(nil, versions[0])
	zones.put(s, versions[1])
	zones.put(s, versions[2])
	s.Close()

	s = open(t, Config{Dir: dir, Zones: zones.find}) // the journal outlives a restart
	apply(t, s, setup)
	s.Changed(nil, versions[2])
	address, _ := front(t, s, nil)
	const all = "SOA9 SOA7 a300 SOA8 a60 SOA8 b300 SOA9 c300 SOA9"
	for _, test := range []struct {
		why    string
		serial uint32
		udp    bool
		want   string
	}{
		{"the newest version", 9, false, "SOA9"},
		{"newer than ours", 10, false, "SOA9"},
		{"newer than ours, round the end of the numbers", 1<<31 + 8, false, "SOA9"},
		{"one difference", 8, false, "SOA9 SOA8 b300 SOA9 c300 SOA9"},
		{"two differences", 7, false, all},
		{"not in the journal: the zone", 6, false, "SOA9 shop300 ns1300 bulk300 a60 c300 SOA9"},
		{"over UDP in one message", 7, true, all},
		{"over UDP and not in the journal: ask over TCP", 6, true, "SOA9"},
	} {
		var got []dns.RR
		var err error
		if test.udp {
			var m *dns.Msg
			if m, _, err = new(dns.Client).Exchange(ixfr("shop.example.", test.serial).SetEdns0(1232, false), address.String()); err == nil {
				got = m.Answer
			}
		} else {
			c := &dns.Client{Net: "tcp"}
			var m *dns.Msg
			if m, _, err = c.Exchange(ixfr("shop.example.", test.serial), address.String()); err == nil {
				got = m.Answer
			}
		}
		if err != nil {
			t.Errorf("%s: %v", test.why, err)
		}
		if short := shorten(got); short != test.want {
			t.Errorf("%s: %s, want %s", test.why, short, test.want)
		}
	}
}

// shorten writes records as first label and TTL, and SOA records with their serials.
func shorten(rrs []dns.RR) string {
	var words []string
	for _, rr := range rrs {
		if soa, ok := rr.(*dns.SOA); ok {
			words = append(words, fmt.Sprint("SOA", soa.Serial))
			continue
		}
		words = append(words, fmt.Sprint(dns.SplitDomainName(rr.Header().Name)[0], rr.Header().Ttl))
	}
	return strings.Join(words, " ")
}

// Who may not have a zone, and what is no good query, is told so by the right code.
func TestRefusals(t *testing.T) {
	key, other := keyOfTest(t, "peer", "hmac-sha256"), keyOfTest(t, "other", "hmac-sha256")
	zones := shelfOf(zoneOf(t, "shop.example.", 7), zoneOf(t, "bare.example.", 7), zoneOf(t, "tls.example.", 7))
	find := func(apex string) (Zone, error) {
		switch apex {
		case "steered.example.":
			return nil, fmt.Errorf("zone %s: %w", apex, ErrRefused)
		case "empty.example.":
			return nil, errors.New("not loaded")
		}
		return zones.find(apex)
	}
	s := open(t, Config{Zones: find})
	open := Policy{Allow: []Grant{{Prefix: loopback}}}
	apply(t, s, Setup{Keys: []Key{key, other}, Primary: map[string]Policy{
		"shop.example.": {Allow: []Grant{{Key: "peer", Prefix: loopback}, {Key: "other", Prefix: netip.MustParsePrefix("192.0.2.0/24")}}},
		"tls.example.":  {Allow: []Grant{{Prefix: loopback}}, XoT: true}, "steered.example.": open, "empty.example.": open,
	}})
	address, _ := front(t, s, nil)
	now := time.Now().Unix()
	wrong := keyOfTest(t, "peer", "hmac-sha256")
	type alter func(m *dns.Msg) *dns.Msg
	signed := func(k Key, at int64) alter {
		return func(m *dns.Msg) *dns.Msg { return m.SetTsig(k.Name, k.Algorithm, 300, at) }
	}
	for _, test := range []struct {
		why   string
		query *dns.Msg
		sign  alter
		keys  map[string]string
		net   string
		rcode int
		tsig  int // error in the TSIG record; -1: no record
		ede   int // code of the extended error; -1: none
	}{
		{"the serial of a zone that is not ours", soaQuery("other.example."), signed(key, now), secretOf(key), "tcp", dns.RcodeNotAuth, 0, -1},
		{"the serial of a zone that is not loaded", soaQuery("empty.example."), signed(key, now), secretOf(key), "tcp", dns.RcodeServerFailure, 0, 0},
		{"not our zone", axfr("other.example."), nil, nil, "tcp", dns.RcodeNotAuth, -1, -1},
		{"below a zone of ours", axfr("www.shop.example."), nil, nil, "tcp", dns.RcodeNotAuth, -1, -1},
		{"nobody is allowed by default", axfr("bare.example."), nil, nil, "tcp", dns.RcodeRefused, -1, 18},
		{"without a signature", axfr("shop.example."), nil, nil, "tcp", dns.RcodeRefused, -1, 18},
		{"a key that is for another prefix", axfr("shop.example."), signed(other, now), secretOf(other), "tcp", dns.RcodeRefused, 0, 18},
		{"without TLS", axfr("tls.example."), nil, nil, "tcp", dns.RcodeRefused, -1, 18},
		{"a steered zone", axfr("steered.example."), nil, nil, "tcp", dns.RcodeRefused, -1, 18},
		{"a zone that is not loaded", axfr("empty.example."), nil, nil, "tcp", dns.RcodeServerFailure, -1, 0},
		{"AXFR over UDP", axfr("shop.example."), signed(key, now), secretOf(key), "udp", dns.RcodeFormatError, 0, 0},
		{"IXFR without a serial", new(dns.Msg).SetQuestion("shop.example.", dns.TypeIXFR), signed(key, now), secretOf(key), "tcp", dns.RcodeFormatError, 0, 0},
		{"an unknown key", axfr("shop.example."), signed(Key{Name: "nobody.", Algorithm: dns.HmacSHA256}, now), map[string]string{"nobody.": "c2VjcmV0"}, "tcp", dns.RcodeNotAuth, dns.RcodeBadKey, -1},
		{"a known key by another algorithm", axfr("shop.example."), signed(Key{Name: "peer.", Algorithm: dns.HmacSHA512}, now), secretOf(key), "tcp", dns.RcodeNotAuth, dns.RcodeBadKey, -1},
		{"another secret", axfr("shop.example."), signed(wrong, now), secretOf(wrong), "tcp", dns.RcodeNotAuth, dns.RcodeBadSig, -1},
		{"another secret, of who asks for a name", new(dns.Msg).SetQuestion("www.shop.example.", dns.TypeA), signed(wrong, now), secretOf(wrong), "udp", dns.RcodeNotAuth, dns.RcodeBadSig, -1},
		{"a clock ten minutes behind", axfr("shop.example."), signed(key, now-600), secretOf(key), "tcp", dns.RcodeNotAuth, dns.RcodeBadTime, -1},
	} {
		t.Run(test.why, func(t *testing.T) {
			query := test.query.SetEdns0(1232, false)
			if test.sign != nil {
				query = test.sign(query)
			}
			got, _, err := (&dns.Client{Net: test.net, TsigSecret: test.keys, Timeout: 20 * time.Second}).Exchange(query, address.String())
			if got == nil {
				t.Fatal(err)
			}
			tsig, ede := -1, -1
			if r := got.IsTsig(); r != nil {
				tsig = int(r.Error)
				if test.tsig == dns.RcodeBadTime && (r.TimeSigned != uint64(now-600) || len(r.OtherData) != 12) {
					t.Errorf("BADTIME with time %d and other data %q", r.TimeSigned, r.OtherData)
				}
				if at := time.Unix(int64(r.TimeSigned), 0); test.tsig != dns.RcodeBadTime && time.Since(at).Abs() > time.Minute {
					t.Errorf("an answer with error %d is of %v", r.Error, at)
				}
				if signedAnyway := r.MACSize > 0; signedAnyway == (tsig == dns.RcodeBadKey || tsig == dns.RcodeBadSig) {
					t.Errorf("an answer with error %d has a MAC of %d bytes", r.Error, r.MACSize)
				}
			}
			for _, option := range got.IsEdns0().Option {
				if e, ok := option.(*dns.EDNS0_EDE); ok {
					ede = int(e.InfoCode)
				}
			}
			if got.Rcode != test.rcode || tsig != test.tsig || ede != test.ede {
				t.Errorf("rcode %s, TSIG error %d, EDE %d, want %s, %d, %d",
					dns.RcodeToString[got.Rcode], tsig, ede, dns.RcodeToString[test.rcode], test.tsig, test.ede)
			}
		})
	}
}

// A signed query about a name is answered as one that is not, and the answer is signed and has room for that.
func TestSignedQueriesAboutNames(t *testing.T) {
	key := keyOfTest(t, "peer", "hmac-sha512")
	s := open(t, Config{Zones: shelfOf(zoneOf(t, "shop.example.", 7)).find})
	apply(t, s, Setup{Keys: []Key{key}})
	address, _ := front(t, s, nil)
	size := dns.Len(&dns.TSIG{Hdr: dns.RR_Header{Name: key.Name}, Algorithm: key.Algorithm, MAC: strings.Repeat("00", 64), MACSize: 64})
	for _, test := range []struct {
		why, net string
		edns     uint16
		room     int
		other    int // bytes of data in the signature that mean nothing
	}{
		{"over UDP", "udp", 0, 512, 0}, {"over UDP with EDNS", "udp", 1000, 1000, 0}, {"with more than we send", "udp", 4096, 1232, 0},
		{"over TCP", "tcp", 512, 65535, 0}, {"with a signature that is longer than the answer may be", "udp", 0, 512, 900},
	} {
		query := new(dns.Msg).SetQuestion("wWw.shop.example.", dns.TypeTXT)
		if test.edns > 0 {
			query.SetEdns0(test.edns, false)
		}
		query.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
		if test.other > 0 {
			tsig := query.IsTsig()
			tsig.OtherLen, tsig.OtherData = uint16(test.other), strings.Repeat("00", test.other)
		}
		got, _, err := (&dns.Client{Net: test.net, TsigSecret: secretOf(key), Timeout: 20 * time.Second}).Exchange(query, address.String())
		if err != nil || got.IsTsig() == nil || len(got.Answer) != 1 {
			t.Fatalf("%s: %v, %v, want a signed answer", test.why, got, err)
		}
		if room, want := got.Answer[0].(*dns.TXT).Txt[0], fmt.Sprint(test.room-size); room != want || got.Question[0].Name != "wWw.shop.example." {
			t.Errorf("%s: %v with room for %s bytes, want %s", test.why, got.Question[0], room, want)
		}
	}
}

// One transfer too many is refused, and gives its place back when it ends.
func TestTransfersAtOnce(t *testing.T) {
	zone := zoneOf(t, "shop.example.", 7)
	s := open(t, Config{Zones: shelfOf(zone).find, Limits: Limits{Out: 1}})
	apply(t, s, Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
	query, err := axfr("shop.example.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(send func(*dns.Msg)) {
		s.Handle(Query{Message: query, From: netip.MustParseAddrPort("127.0.0.1:1"), Send: func(b []byte) error {
			m := new(dns.Msg)
			if err := m.Unpack(b); err != nil {
				t.Error(err)
			}
			send(m)
			return nil
		}})
	}
	var outer, inner int
	ask(func(m *dns.Msg) {
		outer = m.Rcode
		ask(func(m *dns.Msg) { inner = m.Rcode }) // while the first is sending
	})
	if outer != dns.RcodeSuccess || inner != dns.RcodeServerFailure {
		t.Errorf("rcodes %d and %d, want 0 and %d", outer, inner, dns.RcodeServerFailure)
	}
	ask(func(m *dns.Msg) { outer = m.Rcode })
	if outer != dns.RcodeSuccess {
		t.Errorf("after the first has ended: rcode %d", outer)
	}
}

func TestWants(t *testing.T) {
	for _, test := range []struct {
		why  string
		m    *dns.Msg
		want bool
	}{
		{"AXFR", axfr("shop.example."), true},
		{"IXFR of the root", new(dns.Msg).SetIxfr(".", 1, "ns1.example.", "hostmaster.example."), true},
		{"NOTIFY", new(dns.Msg).SetNotify("shop.example."), true},
		{"UPDATE", new(dns.Msg).SetUpdate("shop.example."), true},
		{"a plain query", new(dns.Msg).SetQuestion("shop.example.", dns.TypeA), false},
		{"an SOA query", new(dns.Msg).SetQuestion("shop.example.", dns.TypeSOA).SetEdns0(1232, true), false},
		{"a signed query", new(dns.Msg).SetQuestion("shop.example.", dns.TypeA).SetTsig("peer.", dns.HmacSHA256, 300, 1), true},
		{"a signed SOA query", new(dns.Msg).SetQuestion("shop.example.", dns.TypeSOA).SetTsig("peer.", dns.HmacSHA256, 300, 1), true},
		{"an answer", new(dns.Msg).SetReply(axfr("shop.example.")), false},
	} {
		var packed []byte
		var err error
		if test.m.IsTsig() != nil {
			packed, _, err = dns.TsigGenerate(test.m, "c2VjcmV0", "", false)
		} else {
			packed, err = test.m.Pack()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := Wants(packed); got != test.want {
			t.Errorf("%s: Wants = %v", test.why, got)
		}
		for n := range packed {
			Wants(packed[:n]) // must not panic
		}
		if n := testing.AllocsPerRun(100, func() { Wants(packed) }); n != 0 {
			t.Errorf("%s: %v allocations", test.why, n)
		}
	}
}
