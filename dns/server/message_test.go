package server

import (
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

func TestIsUpkeep(t *testing.T) {
	query := asking(t, 1, dns.OpcodeQuery, dns.TypeSOA)
	response := asking(t, 1, dns.OpcodeNotify, dns.TypeSOA)
	response[2] |= 0x80
	strange := asking(t, 1, dns.OpcodeQuery, dns.TypeIXFR) // with a SOA record in its authority section
	strange[headerSize+len("example.com.")+2] = typeAXFR
	signed := func(qtype uint16, edns bool) []byte {
		m := new(dns.Msg).SetQuestion("example.com.", qtype)
		if edns {
			m.SetEdns0(1232, false)
		}
		m.SetTsig("key.example.", dns.HmacSHA256, 300, 1)
		b, _, err := dns.TsigGenerate(m, "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=", "", false)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := func(id uint16, do bool) []byte {
		m := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA)
		m.Id = id
		b, err := m.SetEdns0(1232, do).Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// forged ends with a record that has the type of a signature, a class and a TTL.
	forged := func(class, ttl byte) []byte {
		m := plain(0x1234, true)
		m[headerSize-1]++
		return append(m, 0, 0, typeTSIG, 0, class, 0, 0, 0, ttl, 0, 6, 0x12, 0x34, 0, 0, 0, 0)
	}
	for _, test := range []struct {
		reason           string
		message          []byte
		stream, datagram bool
	}{
		{"what may be a signature", forged(classANY, 0), true, true},
		{"a signature of another class", forged(1, 0), false, false},
		{"a signature with a TTL", forged(classANY, 1), false, false},
		{"a query", query, false, false},
		{"a signed query for an SOA record", signed(dns.TypeSOA, false), true, true},
		{"the same with EDNS", signed(dns.TypeSOA, true), true, true},
		{"a signed query for another type", signed(dns.TypeA, false), true, true},
		{"a query for an SOA record with EDNS", plain(7, true), false, false},
		{"the same with the ID 0, so that it ends as a signed one", plain(0, false), false, false},
		{"NOTIFY", asking(t, 1, dns.OpcodeNotify, dns.TypeSOA), true, true},
		{"UPDATE", asking(t, 1, dns.OpcodeUpdate, dns.TypeSOA), true, true},
		{"STATUS", asking(t, 1, dns.OpcodeStatus, dns.TypeSOA), false, false},
		{"IXFR", asking(t, 1, dns.OpcodeQuery, dns.TypeIXFR), true, true},
		{"AXFR", asking(t, 1, dns.OpcodeQuery, dns.TypeAXFR), true, false},
		{"AXFR that looks like IXFR", strange, true, false},
		{"a response", response, false, false},
		{"half a header", response[:11], false, false},
		{"nothing", nil, false, false},
		{"a question that ends early", asking(t, 1, dns.OpcodeQuery, dns.TypeAXFR)[:27], false, false},
	} {
		if got := isUpkeep(test.message); got != test.stream {
			t.Errorf("%s: isUpkeep() = %v, want %v", test.reason, got, test.stream)
		}
		if got := isUpkeepDatagram(test.message); got != test.datagram {
			t.Errorf("%s: isUpkeepDatagram() = %v, want %v", test.reason, got, test.datagram)
		}
	}
}

func TestFreshness(t *testing.T) {
	const soa = "example.com. 300 SOA ns1 hostmaster 1 7200 900 1209600 "
	for _, test := range []struct {
		reason            string
		answer, authority []string
		want              uint32
	}{
		{"nothing", nil, nil, 0},
		{"the smallest of the answer", []string{"www.example.com. 60 A 192.0.2.1", "www.example.com. 30 A 192.0.2.2", "www.example.com. 90 A 192.0.2.3"}, nil, 30},
		{"not of the authority", []string{"www.example.com. 60 A 192.0.2.1"}, []string{"example.com. 20 NS ns1.example.com."}, 60},
		{"the minimum of the SOA record", nil, []string{soa + "60"}, 60},
		{"the TTL of the SOA record", nil, []string{soa + "900"}, 300},
		{"an alias to nothing", []string{"www.example.com. 100 CNAME nothing.example.com."}, []string{soa + "60"}, 60},
		{"a referral", nil, []string{"example.com. 20 NS ns1.example.com."}, 0},
		{"a TTL with the highest bit", []string{"www.example.com. 2147483648 A 192.0.2.1"}, nil, 0},
	} {
		m := new(dns.Msg)
		m.SetQuestion("www.example.com.", dns.TypeA)
		m.Compress = true
		for section, texts := range map[*[]dns.RR][]string{&m.Answer: test.answer, &m.Ns: test.authority} {
			for _, text := range texts {
				rr, err := dns.NewRR(text)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				*section = append(*section, rr)
			}
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := freshness(b); got != test.want {
			t.Errorf("%s: freshness() = %d, want %d", test.reason, got, test.want)
		}
	}
}

// What the server reads of messages is what miekg/dns reads of them.
func TestMessagesAgainstTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := new(dns.Msg)
		m.SetQuestion(rapid.SampledFrom([]string{".", "example.com.", "www.a.b.example.com."}).Draw(t, "name"), rapid.Uint16Range(1, 300).Draw(t, "type"))
		m.Compress = rapid.Bool().Draw(t, "compress")
		least := uint32(1<<32 - 1)
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			ttl := rapid.Uint32Range(0, 1<<20).Draw(t, "ttl")
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: 1, Ttl: ttl}, Txt: []string{"text"}})
			least = min(least, ttl)
		}
		if len(m.Answer) == 0 {
			least = 0
		}
		m.SetEdns0(1232, false)
		keepalive := rapid.Bool().Draw(t, "keepalive")
		o := m.IsEdns0()
		if rapid.Bool().Draw(t, "padding") {
			o.Option = append(o.Option, &dns.EDNS0_PADDING{Padding: make([]byte, 11)})
		}
		if keepalive {
			o.Option = append(o.Option, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := questionType(b); got != m.Question[0].Qtype {
			t.Errorf("questionType() = %d, want %d", got, m.Question[0].Qtype)
		}
		if got := hasOption(b, optionKeepalive); got != keepalive {
			t.Errorf("hasOption() = %v, want %v", got, keepalive)
		}
		if got := freshness(b); got != least {
			t.Errorf("freshness() = %d, want %d", got, least)
		}
	})
}

// No message makes the server read behind its end.
func FuzzMessage(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("example.com.", dns.TypeAXFR)
	q.SetEdns0(1232, true)
	b, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x00\x00\x28\x00\x00\x01\xff\xff\x00\x00\x00\x00\xc0"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x01\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x29\x00\x00\x00\x00\x00\x00\x00\x05\x00\x0b\xff\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if isUpkeepDatagram(b) && !isUpkeep(b) {
			t.Error("for UDP it is about zones, and otherwise not")
		}
		_ = hasOption(b, optionKeepalive)
		_ = freshness(b)
	})
}
