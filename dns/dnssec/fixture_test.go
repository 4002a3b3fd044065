package dnssec

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var day0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// seeded is a source of random numbers for tests.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newTestKey(t testing.TB, zone string, flags uint16, algorithm uint8, seed byte) *Key {
	t.Helper()
	k, err := New(zone, flags, algorithm, seeded(seed), day0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// oracleKey is the key as the DNS library has it.
func oracleKey(k *Key) *dns.DNSKEY {
	return &dns.DNSKEY{Hdr: dns.RR_Header{Name: k.Zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: k.Flags, Protocol: 3, Algorithm: k.Algorithm, PublicKey: base64.StdEncoding.EncodeToString(k.Public)}
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil || r == nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// pack brings records of one owner into answer form.
func pack(t testing.TB, rrs ...dns.RR) []byte {
	t.Helper()
	var set []byte
	for _, r := range rrs {
		buffer := make([]byte, dns.MaxMsgSize)
		n, err := dns.PackRR(r, buffer, 0, nil, false)
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		set = append(set, 0xC0, 12)
		set = append(set, buffer[nameLength(buffer):n]...)
	}
	return set
}

// unpack brings answer form back.
func unpack(t testing.TB, owner, set []byte) (rrs []dns.RR) {
	t.Helper()
	for len(set) > 0 {
		_, rest, err := cutRecord(set)
		if err != nil {
			t.Fatal(err)
		}
		one := append(append([]byte(nil), owner...), set[2:len(set)-len(rest)]...)
		r, n, err := dns.UnpackRR(one, 0)
		if err != nil || n != len(one) {
			t.Fatalf("unpack % x: %d of %d bytes, %v", one, n, len(one), err)
		}
		rrs, set = append(rrs, r), rest
	}
	return rrs
}

func wire(t testing.TB, name string) []byte {
	t.Helper()
	w, err := WireName(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// signTest signs a set for two weeks and returns the signature as the DNS library has it.
func signTest(t testing.TB, k *Key, owner, set []byte, labels uint8) *dns.RRSIG {
	t.Helper()
	ttl := binary.BigEndian.Uint32(set[6:])
	inception, expiration, _ := Window(owner, day0, DefaultValidity)
	signed, err := k.AppendRRSIG([]byte("before"), owner, set, Cover{TTL: ttl, OriginalTTL: ttl, Labels: labels, Inception: inception, Expiration: expiration})
	if err != nil {
		t.Fatal(err)
	}
	if string(signed[:6]) != "before" {
		t.Fatalf("AppendRRSIG changed what was there: %q", signed[:6])
	}
	rrs := unpack(t, owner, signed[6:])
	if len(rrs) != 1 {
		t.Fatalf("%d records, want one RRSIG", len(rrs))
	}
	return rrs[0].(*dns.RRSIG)
}

func name(i int) string { return fmt.Sprintf("n%d.example.", i) }
