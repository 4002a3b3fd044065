package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var algorithms = []uint8{ECDSAP256SHA256, ED25519}

// One of every type that the DNS library reads from text and that can be signed, with capital letters in names.
var everyType = []string{
	"A 192.0.2.1", "AAAA 2001:db8::1", "AFSDB 1 Host.EXAMPLE.", "AMTRELAY 10 0 3 Relay.Example.", "APL 1:192.0.2.0/24",
	"AVC \"App\"", "CAA 0 issue \"CA.example\"", "CDNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
	"CDS 12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20", "CERT PKIX 1 RSASHA256 AAAA",
	"CNAME Target.Example.", "CSYNC 66 3 A NS AAAA", "DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
	"DLV 12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20", "DNAME Other.Example.",
	"DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
	"DS 12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20", "EID 01AB", "EUI48 00-00-5E-00-53-2A",
	"EUI64 00-00-5E-EF-10-00-00-2A", "GID 5", "GPOS -32.6882 116.8652 10.0",
	"HINFO \"Intel\" \"Linux\"", "HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p Rvs.Example.",
	"HTTPS 1 Svc.Example. alpn=h2 ipv4hint=192.0.2.1", "ISDN 150862028003217", "IPSECKEY 10 3 2 Gw.Example. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
	"KEY 256 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=", "KX 10 Kx.Example.", "L32 10 10.1.2.0", "L64 10 2001:0DB8:1140:1000",
	"LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m", "LP 10 Lp.Example.", "MB Mb.Example.", "MD Md.Example.",
	"MF Mf.Example.", "MG Mg.Example.", "MINFO Ra.Example. Eb.Example.", "MR Mr.Example.", "MX 10 Mail.Example.",
	"NAPTR 100 50 \"S\" \"SIP+D2U\" \"!^.*$!Sip!\" Next.Example.", "NID 10 0014:4FFF:FF20:EE64", "NIMLOC 01AB", "NINFO \"Zone\"",
	"NS Ns1.Example.", "NSEC Next.Example. A RRSIG NSEC", "NSEC3PARAM 1 0 0 -", "OPENPGPKEY AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6",
	"PTR Ptr.Example.", "PX 10 Map822.Example. Mapx400.Example.", "RKEY 256 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
	"RP Mbox.Example. Txt.Example.", "RT 10 Rt.Example.", "SMIMEA 3 1 1 ABCDEF", "SOA Ns.Example. Admin.Example. 1 7200 900 1209600 86400",
	"SPF \"v=SPF1\"", "SRV 10 20 443 Srv.Example.", "SSHFP 4 2 ABCDEF", "SVCB 0 Alias.Example.", "TA 12345 13 2 0102030405060708",
	"TALINK Prev.Example. Next.Example.", "TLSA 3 1 1 ABCDEF", "TXT \"Some Text\" \"More\"", "UID 7", "UINFO \"Who\"",
	"URI 10 1 \"https://Example/\"", "X25 311061700956", "ZONEMD 1 1 1 " + strings.Repeat("AB", 48), "RESINFO \"qnamemin\"",
	"NSAP-PTR Nsap.Example.", "TYPE65280 \\# 4 41424344",
}

func TestEveryTypeVerifies(t *testing.T) {
	covered := make(map[uint16]bool)
	for _, algorithm := range algorithms {
		k := newTestKey(t, "example.", FlagsZSK, algorithm, algorithm)
		for _, text := range everyType {
			r := rr(t, "Host.Example. 300 IN "+text)
			covered[r.Header().Rrtype] = true
			owner := wire(t, "host.example.")
			set := pack(t, r)
			if err := signTest(t, k, owner, set, Labels(owner)).Verify(oracleKey(k), unpack(t, owner, set)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	// What is no data of a zone, is not signed, or can't be written as text.
	never := []uint16{dns.TypeRRSIG, dns.TypeSIG, dns.TypeNXT, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeANY, dns.TypeNULL, dns.TypeNSEC3,
		dns.TypeNXNAME, dns.TypeUNSPEC, dns.TypeHTTPS}
	for rrtype := range dns.TypeToRR {
		if !covered[rrtype] && !slices.Contains(never, rrtype) {
			t.Errorf("no record of type %s is tried", dns.TypeToString[rrtype])
		}
	}
}

// Sets of several records, in any order, some twice, with any case: the library takes the signature, and it is the same one.
func TestSetsVerifyInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, algorithm := range algorithms {
		k := newTestKey(t, "example.", FlagsZSK, algorithm, algorithm)
		for _, texts := range [][]string{
			{"A 192.0.2.9", "A 192.0.2.1", "A 10.0.0.1", "A 192.0.2.1"},
			{"NS b.Example.", "NS A.example.", "NS ab.example.", "NS \\000.example.", "NS a.EXAMPLE."},
			{"TXT \"b\"", "TXT \"a\"", "TXT \"ab\"", "TXT \"\"", "TXT \"a\" \"\""},
			{"MX 10 b.example.", "MX 5 Z.example.", "MX 10 A.example."},
			{"SRV 1 1 1 B.example.", "SRV 1 1 1 a.example.", "SRV 0 9 9 c.example."},
			{"NAPTR 1 1 \"U\" \"s\" \"\" B.example.", "NAPTR 1 1 \"U\" \"s\" \"\" a.example."},
		} {
			owner := wire(t, "www.example.")
			var rrs []dns.RR
			for _, text := range texts {
				rrs = append(rrs, rr(t, "www.example. 300 IN "+text))
			}
			want := signTest(t, k, owner, pack(t, rrs...), Labels(owner)).Signature
			for range 8 {
				random.Shuffle(len(rrs), func(i, j int) { rrs[i], rrs[j] = rrs[j], rrs[i] })
				mixed := make([]dns.RR, len(rrs))
				for i, r := range rrs {
					mixed[i] = dns.Copy(r)
					flipNames(mixed[i], random)
				}
				set := pack(t, mixed...)
				sig := signTest(t, k, owner, set, Labels(owner))
				if err := sig.Verify(oracleKey(k), mixed); err != nil {
					t.Errorf("%v: %v", mixed, err)
				}
				if sig.Signature != want {
					t.Errorf("%v: another signature than that of %v", mixed, texts)
				}
			}
		}
	}
}

// flipNames changes the case of the names in RDATA at random.
func flipNames(r dns.RR, random *rand.Rand) {
	flip := func(s *string) {
		b := []byte(*s)
		for i, c := range b {
			if ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') && random.IntN(2) == 0 {
				b[i] = c ^ 0x20
			}
		}
		*s = string(b)
	}
	switch r := r.(type) {
	case *dns.NS:
		flip(&r.Ns)
	case *dns.MX:
		flip(&r.Mx)
	case *dns.SRV:
		flip(&r.Target)
	case *dns.NAPTR:
		flip(&r.Replacement)
	}
}

func TestWildcardAnswersVerify(t *testing.T) {
	k := newTestKey(t, "example.", FlagsZSK, ECDSAP256SHA256, 1)
	set := pack(t, rr(t, "*.w.example. 300 IN A 192.0.2.1"))
	wild := wire(t, "*.w.example.")
	atWild := signTest(t, k, wild, set, Labels(wild))
	if atWild.Labels != 2 {
		t.Fatalf("labels %d, want 2", atWild.Labels)
	}
	answer := wire(t, "a.b.w.example.")
	atAnswer := signTest(t, k, answer, set, 2)
	atWild.Hdr.Name = "a.b.w.example."
	for _, sig := range []*dns.RRSIG{atWild, atAnswer} {
		if err := sig.Verify(oracleKey(k), unpack(t, answer, set)); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
	c := Cover{TTL: 300, OriginalTTL: 300, Labels: 2, Inception: 1, Expiration: 2}
	one, err := k.AppendRRSIG(nil, wild, set, c)
	if err != nil {
		t.Fatal(err)
	}
	two, err := k.AppendRRSIG(nil, answer, set, c)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("the wildcard's signature differs from that of an answer by it (%v)", err)
	}
}

// The vector of RFC 6979, appendix A.2.5, for SHA-256 and "sample".
func TestDeterministicECDSA(t *testing.T) {
	private, err := hex.DecodeString("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
	if err != nil {
		t.Fatal(err)
	}
	k := &Key{Algorithm: ECDSAP256SHA256, ecdsa: key}
	var signature [signatureSize]byte
	if err := k.sign(&signature, []byte("sample")); err != nil {
		t.Fatal(err)
	}
	const want = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
	if got := strings.ToUpper(hex.EncodeToString(signature[:])); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestSignRefuses(t *testing.T) {
	k := newTestKey(t, "example.", FlagsZSK, ED25519, 1)
	a, aaaa := pack(t, rr(t, "x. 300 IN A 192.0.2.1")), pack(t, rr(t, "x. 300 IN AAAA ::1"))
	compressed := AppendRecord(nil, 5, 300, []byte{0xC0, 12})
	for _, tt := range []struct {
		why    string
		set    []byte
		labels uint8
		want   string
	}{
		{"two types", append(bytes.Clone(a), aaaa...), 2, "type 28, class 1 in a set of type 1, class 1"},
		{"cut off", a[:len(a)-1], 2, "a record of 16 bytes, of which the set holds 15"},
		{"no records", nil, 2, "2 labels and 0 bytes of records at an owner of 2 labels"},
		{"more labels than the owner has", a, 3, "3 labels and 16 bytes of records at an owner of 2 labels"},
		{"a compressed name", compressed, 2, "type 5: RDATA holds no whole, uncompressed name"},
		{"another owner", append([]byte{0, 0}, a[2:]...), 2, "16 bytes left of a set are no record with the owner C00C"},
		{"too short for its name", AppendRecord(nil, 33, 300, []byte{0, 1}), 2, "type 33: 2 bytes of RDATA, want 6 and a name"},
		{"ends in its strings", AppendRecord(nil, 35, 300, []byte{0, 1, 0, 1}), 2, "type 35: RDATA ends in its strings"},
		{"a string longer than all", AppendRecord(nil, 35, 300, []byte{0, 1, 0, 1, 0, 0, 9}), 2, "type 35: RDATA of 7 bytes ends before its name"},
		{"prefix of A6", AppendRecord(nil, 38, 300, []byte{129}), 2, "type 38: prefix length 129, want at most 128"},
	} {
		out, err := k.AppendRRSIG(nil, wire(t, "www.example."), tt.set, Cover{Labels: tt.labels})
		if err == nil || out != nil || !strings.HasSuffix(err.Error(), ": "+tt.want) {
			t.Errorf("%s: %v, want %s", tt.why, err, tt.want)
		}
	}
	public, err := Parse(k.PublicFile(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := public.AppendRRSIG(nil, wire(t, "www.example."), a, Cover{Labels: 2}); err == nil || !strings.Contains(err.Error(), "private key is not here") {
		t.Errorf("signed without a private key: %v", err)
	}
}

// The names of A6 and NXT are lowered too, which the DNS library does not know.
func TestCanonicalOldTypes(t *testing.T) {
	upper := wire(t, "x.example.")
	copy(upper, "\x01X\x07EXAMPLE")
	for _, tt := range []struct {
		why    string
		rrtype uint16
		before []byte
		named  bool
	}{
		{"NXT", 30, nil, true},
		{"A6 without a prefix has no name", 38, make([]byte, 17), false},
		{"A6 of 64 bits", 38, append([]byte{64}, make([]byte, 8)...), true},
		{"A6 that is all prefix", 38, []byte{128}, true},
		{"HINFO has no names", 13, nil, false},
		{"NSEC is not lowered", 47, nil, false},
	} {
		got, err := appendCanonical(nil, tt.rrtype, slices.Concat(tt.before, upper))
		want := slices.Concat(tt.before, upper)
		if tt.named {
			want = slices.Concat(tt.before, wire(t, "x.example."))
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: % x, %v, want % x", tt.why, got, err, want)
		}
	}
}

// A signature costs what the curve costs and little more: the sizes of the sets do not show in the number of allocations.
func TestSignAllocations(t *testing.T) {
	owner := wire(t, "www.example.")
	var rrs []dns.RR
	for i := range 8 {
		rrs = append(rrs, rr(t, "www.example. 300 IN MX 10 "+name(8-i)))
	}
	set := pack(t, rrs...)
	for _, algorithm := range algorithms {
		k := newTestKey(t, "example.", FlagsZSK, algorithm, 1)
		dst := make([]byte, 0, 4096)
		allocs := testing.AllocsPerRun(50, func() {
			if _, err := k.AppendRRSIG(dst, owner, set, Cover{Labels: 2}); err != nil {
				t.Fatal(err)
			}
		})
		var signature [signatureSize]byte
		alone := testing.AllocsPerRun(50, func() {
			if err := k.sign(&signature, set); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > alone+1 {
			t.Errorf("%s: %v allocations for a set, %v for the signature alone", AlgorithmName(algorithm), allocs, alone)
		}
	}
}

func BenchmarkAppendRRSIG(b *testing.B) {
	owner := wire(b, "www.example.")
	set := pack(b, rr(b, "www.example. 300 IN A 192.0.2.2"), rr(b, "www.example. 300 IN A 192.0.2.1"))
	for _, algorithm := range algorithms {
		b.Run(AlgorithmName(algorithm), func(b *testing.B) {
			k := newTestKey(b, "example.", FlagsZSK, algorithm, 1)
			dst := make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.AppendRRSIG(dst, owner, set, Cover{Labels: 2}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzAppendRRSIG(f *testing.F) {
	k := newTestKey(f, "example.", FlagsZSK, ED25519, 1)
	owner := wire(f, "www.example.")
	for _, text := range everyType {
		f.Add(pack(f, rr(f, "x. 300 IN "+text)))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		signed, err := k.AppendRRSIG(nil, owner, set, Cover{Labels: 2})
		if err != nil {
			return
		}
		if r, rest, err := cutRecord(signed); err != nil || len(rest) > 0 || r.rrtype != typeRRSIG {
			t.Errorf("signature of % x is % x", set, signed)
		}
	})
}
