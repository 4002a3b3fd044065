package zonekeys

import (
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What a server of the parent says of a DS counts as far as a validator could follow it.
func TestSeenDS(t *testing.T) {
	newKey := func(zone string) (*dns.DNSKEY, ed25519.PrivateKey) {
		key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}, Flags: 256, Protocol: 3, Algorithm: dns.ED25519}
		private, err := key.Generate(256)
		if err != nil {
			t.Fatal(err)
		}
		return key, private.(ed25519.PrivateKey)
	}
	sign := func(by string, private ed25519.PrivateKey, tag uint16, from, to time.Duration, set ...dns.RR) *dns.RRSIG {
		s := &dns.RRSIG{Hdr: dns.RR_Header{Ttl: 60}, Algorithm: dns.ED25519, KeyTag: tag, SignerName: by,
			Inception: uint32(begin.Add(from).Unix()), Expiration: uint32(begin.Add(to).Unix())}
		if err := s.Sign(private, set); err != nil {
			t.Fatal(err)
		}
		return s
	}
	ds, err := dns.NewRR("www.example. 60 IN DS 12345 15 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	large := dns.Copy(ds)
	large.Header().Ttl = 7200
	other := dns.Copy(ds)
	other.(*dns.DS).KeyTag = 1
	key, private := newKey("example.")
	root, rootPrivate := newKey(".")
	child, childPrivate := newKey("www.example.")
	_, forger := newKey("example.")
	good := sign("example.", private, key.KeyTag(), -time.Hour, time.Hour, ds)
	const refused = "www.example. DS: 1 records and no signature over them that is valid now, by a key of a zone above"
	for _, tt := range []struct {
		why    string
		answer []dns.RR
		want   int
		ttl    uint32
		err    string
	}{
		{"a good one", []dns.RR{ds, good}, 1, 60, ""},
		{"one from further above", []dns.RR{ds, sign(".", rootPrivate, root.KeyTag(), -time.Hour, time.Hour, ds)}, 1, 60, ""},
		{"a TTL that has run down", []dns.RR{ds, sign("example.", private, key.KeyTag(), -time.Hour, time.Hour, large)}, 1, 7200, ""},
		{"a bad signature beside a good one", []dns.RR{ds, sign("example.", forger, key.KeyTag(), -time.Hour, time.Hour, ds), good}, 1, 60, ""},
		{"no DS", nil, 0, 0, ""},
		{"no signature", []dns.RR{ds}, 0, 0, refused},
		{"a signature that has expired", []dns.RR{ds, sign("example.", private, key.KeyTag(), -2*time.Hour, -time.Hour, ds)}, 0, 0, refused},
		{"one for later", []dns.RR{ds, sign("example.", private, key.KeyTag(), time.Hour, 2*time.Hour, ds)}, 0, 0, refused},
		{"over another set", []dns.RR{ds, sign("example.", private, key.KeyTag(), -time.Hour, time.Hour, other)}, 0, 0, refused},
		{"by a key that the server does not have", []dns.RR{ds, sign("example.", forger, key.KeyTag(), -time.Hour, time.Hour, ds)}, 0, 0, refused},
		{"by the zone itself", []dns.RR{ds, sign("www.example.", childPrivate, child.KeyTag(), -time.Hour, time.Hour, ds)}, 0, 0, refused},
	} {
		ask := Ask(func(_ context.Context, _ string, q *dns.Msg) (*dns.Msg, error) {
			r := new(dns.Msg).SetReply(q)
			r.Authoritative = true
			if r.Answer = tt.answer; q.Question[0].Qtype == dns.TypeDNSKEY {
				r.Answer = []dns.RR{key, root, child}
			}
			return r, nil
		})
		set, ttl, err := ask.SeenDS(t.Context(), "parent", "www.example.", begin)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if len(set) != tt.want || ttl != tt.ttl || !strings.HasPrefix(said, tt.err) || said != "" && tt.err == "" {
			t.Errorf("%s: SeenDS = %d records, TTL %d, %q, want %d, %d, %q", tt.why, len(set), ttl, said, tt.want, tt.ttl, tt.err)
		}
	}
}
