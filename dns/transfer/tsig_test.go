package transfer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// streamOf makes the messages of an answer to a signed query, of which only some are signed; the MAC goes over all.
func streamOf(t *testing.T, key Key, query *dns.Msg, mac string, sections [][]dns.RR, signed []bool) [][]byte {
	t.Helper()
	var stream, pending [][]byte
	later := false
	for i, sign := range signed {
		m := new(dns.Msg).SetReply(query)
		m.Authoritative, m.Answer = true, sections[i]
		if !sign {
			packed, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			pending, stream = append(pending, packed), append(stream, packed)
			continue
		}
		m.SetTsig(key.Name, key.Algorithm, fudge, time.Now().Unix())
		h := &hasher{keys: map[string]Key{key.Name: key}, prior: 2 + len(mac)/2, pending: pending}
		packed, next, err := dns.TsigGenerateWithProvider(m, h, mac, later)
		if err != nil {
			t.Fatal(err)
		}
		stream, mac, later, pending = append(stream, packed), next, true, nil
	}
	return stream
}

// An answer of many messages is verified as a whole (RFC 8945, section 5.3.1).
func TestVerifier(t *testing.T) {
	key := keyOfTest(t, "peer", "hmac-sha256")
	none := func([][]byte) [][]byte { return nil }
	same := func(s [][]byte) [][]byte { return s }
	gap := make([]bool, 102)
	gap[0], gap[100], gap[101] = true, true, true
	wide := make([]bool, 103)
	wide[0], wide[101], wide[102] = true, true, true
	for _, test := range []struct {
		why    string
		signed []bool
		change func([][]byte) [][]byte
		done   bool
		err    error
	}{
		{"each signed", []bool{true, true, true}, same, true, nil},
		{"some signed", []bool{true, false, false, true, false, true}, same, true, nil},
		{"99 in a row without", gap, same, true, nil},
		{"100 in a row without", wide, same, false, errUnsigned},
		{"the first not signed", []bool{false, true}, same, false, errUnsigned},
		{"the last not signed", []bool{true, false}, same, false, nil},
		{"one without a signature changed", []bool{true, false, true}, func(s [][]byte) [][]byte { s[1][len(s[1])-1]++; return s }, false, errBadSig},
		{"one without a signature missing", []bool{true, false, true}, func(s [][]byte) [][]byte { return [][]byte{s[0], s[2]} }, false, errBadSig},
		{"two in another order", []bool{true, true, true}, func(s [][]byte) [][]byte { return [][]byte{s[0], s[2], s[1]} }, false, errBadSig},
		{"nothing", nil, none, false, nil},
	} {
		query := axfr("shop.example.")
		_, signature, err := signQuery(query, key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		v, done := signature.verifier(), false
		var sections [][]dns.RR
		for i := range test.signed {
			sections = append(sections, []dns.RR{rrOf(t, fmt.Sprintf("a.shop.example. %d IN A 192.0.2.1", i))})
		}
		for _, raw := range test.change(streamOf(t, key, query, signature.mac, sections, test.signed)) {
			m := new(dns.Msg)
			if err := m.Unpack(raw); err != nil {
				t.Fatal(err)
			}
			if done, err = v.check(raw, m); err != nil {
				break
			}
		}
		if done != test.done || !errors.Is(err, test.err) {
			t.Errorf("%s: verified %v, %v, want %v, %v", test.why, done, err, test.done, test.err)
		}
	}
}

// What is wrong with a signature is told apart as RFC 8945, section 5.2 wants.
func TestCheckQuery(t *testing.T) {
	key := keyOfTest(t, "peer", "hmac-sha256")
	keys := map[string]Key{key.Name: key}
	for _, test := range []struct {
		why    string
		change func(m *dns.Msg, tsig *dns.TSIG)
		err    error
		code   uint16
	}{
		{"good", func(*dns.Msg, *dns.TSIG) {}, nil, 0},
		{"a MAC of half its length", func(_ *dns.Msg, s *dns.TSIG) { s.MAC, s.MACSize = s.MAC[:32], 16 }, errBadTrunc, dns.RcodeBadTrunc},
		{"a MAC of half its length, and wrong", func(m *dns.Msg, s *dns.TSIG) { s.MAC, s.MACSize = s.MAC[2:34], 16 }, errBadSig, dns.RcodeBadSig},
		{"a MAC of less", func(_ *dns.Msg, s *dns.TSIG) { s.MAC, s.MACSize = s.MAC[:30], 15 }, errTSIGForm, 0},
		{"no MAC", func(_ *dns.Msg, s *dns.TSIG) { s.MAC, s.MACSize = "", 0 }, errTSIGForm, 0},
		{"another question", func(m *dns.Msg, _ *dns.TSIG) { m.Question[0].Name = "chop.example." }, errBadSig, dns.RcodeBadSig},
		{"not the last record", func(m *dns.Msg, _ *dns.TSIG) { m.Extra = append(m.Extra, rrOf(t, "a. 0 IN A 192.0.2.1")) }, errTSIGForm, 0},
		{"two of them", func(m *dns.Msg, s *dns.TSIG) { m.Extra = append(m.Extra, s) }, errTSIGForm, 0},
		{"among the answers", func(m *dns.Msg, s *dns.TSIG) { m.Answer, m.Extra = m.Extra, nil }, errTSIGForm, 0},
		{"of another class", func(_ *dns.Msg, s *dns.TSIG) { s.Hdr.Class = dns.ClassINET }, errTSIGForm, 0},
		{"with a TTL", func(_ *dns.Msg, s *dns.TSIG) { s.Hdr.Ttl = 1 }, errTSIGForm, 0},
	} {
		packed := signedText(t, axfr("shop.example."), key, test.change)
		m := new(dns.Msg)
		if err := m.Unpack(packed); err != nil {
			t.Fatal(err)
		}
		s, err := checkQuery(packed, m, keys)
		if !errors.Is(err, test.err) || s.code != test.code {
			t.Errorf("%s: %v, code %d, want %v, %d", test.why, err, s.code, test.err, test.code)
		}
	}
}

// signedText signs a query, changes it after that, and packs it.
func signedText(t *testing.T, query *dns.Msg, key Key, change func(m *dns.Msg, tsig *dns.TSIG)) []byte {
	t.Helper()
	packed, _, err := signQuery(query, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	change(m, m.IsTsig())
	if packed, err = m.Pack(); err != nil {
		t.Fatal(err)
	}
	return packed
}

// FuzzHandle has the service answer anything at all.
func FuzzHandle(f *testing.F) {
	for _, m := range []*dns.Msg{axfr("shop.example."), ixfr("shop.example.", 1), new(dns.Msg).SetNotify("shop.example."), new(dns.Msg).SetUpdate("shop.example.")} {
		packed, err := m.SetEdns0(1232, true).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, true)
		f.Add(packed, false)
	}
	zone := zoneOf(f, "shop.example.", 7)
	s := open(f, Config{Zones: shelfOf(zone).find})
	apply(f, s, Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
	f.Fuzz(func(t *testing.T, message []byte, udp bool) {
		answers := 0
		handled := s.Handle(Query{Message: message, From: loopbackPort, UDP: udp, Send: func(b []byte) error {
			answers++
			m := new(dns.Msg)
			if err := m.Unpack(b); err != nil || !m.Response || udp && len(b) > udpSize {
				t.Errorf("answer of %d bytes: %v", len(b), err)
			}
			return nil
		}, Answer: func(query []byte, limit int) []byte { return plainAnswer(s, query, limit) }})
		if handled != Wants(message) || handled != (answers > 0) {
			t.Errorf("handled %v with %d answers", handled, answers)
		}
	})
}
