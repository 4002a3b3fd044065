package dnssec

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A zone with every corner of the chain: empty non-terminals, wildcards, delegations with and without DS, glue, DNAME, odd names.
const cornerZone = `$ORIGIN example.
@ 3600 IN SOA ns.example. admin.example. 7 7200 900 1209600 300
@ 3600 IN NS ns.example.
@ 300 IN A 192.0.2.1
ns 300 IN A 192.0.2.53
WWW 60 IN A 192.0.2.10
www 60 IN A 192.0.2.9
www 60 IN AAAA 2001:db8::1
* 300 IN TXT "wild"
*.w.ent 300 IN A 192.0.2.2
deep.under.ent2 300 IN MX 10 Mail.Example.
insecure 300 IN NS ns.insecure.example.
insecure 300 IN NS ns.example.
ns.insecure 300 IN A 192.0.2.3
a.b.insecure 300 IN AAAA 2001:db8::2
secure 300 IN NS secure.example.
secure 300 IN A 192.0.2.4
secure 300 IN DS 12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20
old 300 IN DNAME new.example.
old 300 IN TXT "beside"
\000 300 IN TXT "zero"
z\255 300 IN TYPE65280 \# 1 00
_443._tcp.www 300 IN TLSA 3 1 1 ABCDEF
alias 300 IN CNAME Www.Example.
big 300 IN TXT "one" "two"
`

// zoneSets reads a zone's text into sets.
func zoneSets(t testing.TB, text string) []Set {
	t.Helper()
	grouped := make(map[string][]dns.RR)
	var order []string
	parser := dns.NewZoneParser(strings.NewReader(text), "", "")
	for r, ok := parser.Next(); ok; r, ok = parser.Next() {
		key := fmt.Sprintf("%s %d", strings.ToLower(r.Header().Name), r.Header().Rrtype)
		if grouped[key] == nil {
			order = append(order, key)
		}
		grouped[key] = append(grouped[key], r)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	var sets []Set
	for _, key := range order {
		owner, _, _ := strings.Cut(key, " ")
		sets = append(sets, Set{wire(t, owner), pack(t, grouped[key]...)})
	}
	return sets
}

func testKeySet(t testing.TB, algorithm uint8, csk bool) *KeySet {
	t.Helper()
	ksk := newTestKey(t, "example.", FlagsKSK, algorithm, 1)
	set := &KeySet{Generation: 1, TTL: 3600, Published: []*Key{ksk}, KeySigners: []*Key{ksk}, Signers: []*Key{ksk}, Announced: []*Key{ksk}}
	if !csk {
		zsk := newTestKey(t, "example.", FlagsZSK, algorithm, 2)
		set.Published, set.Signers = append(set.Published, zsk), []*Key{zsk}
	}
	return set
}

// signZone gathers what SignZone emits.
func signZone(apex []byte, sets []Set, keys *KeySet, now time.Time) (signed []Set, err error) {
	return resignZone(apex, sets, Signing{Keys: keys, Now: now, Validity: DefaultValidity})
}

func resignZone(apex []byte, sets []Set, s Signing) (signed []Set, err error) {
	err = SignZone(apex, sets, s, func(set Set) error {
		signed = append(signed, Set{slices.Clone(set.Owner), slices.Clone(set.Records)})
		return nil
	})
	return signed, err
}

func TestSignZoneByLibrary(t *testing.T) {
	for _, csk := range []bool{false, true} {
		keys := testKeySet(t, ECDSAP256SHA256, csk)
		// The tools of the test below would not take what lies below a DNAME.
		sets := zoneSets(t, cornerZone+"under.old 300 IN A 192.0.2.5\n")
		signed, err := signZone(wire(t, "example."), sets, keys, day0)
		if err != nil {
			t.Fatal(err)
		}
		var last []byte
		var chain []string
		signatures := 0
		for i, set := range signed {
			if last != nil && CompareNames(last, set.Owner) > 0 {
				t.Errorf("%s comes after %s", TextName(set.Owner), TextName(last))
			}
			last = set.Owner
			rrs := unpack(t, set.Owner, set.Records)
			switch rrs[0].(type) {
			case *dns.NSEC:
				chain = append(chain, rrs[0].String())
				if ttl := rrs[0].Header().Ttl; ttl != 300 { // RFC 9077: the lesser of the SOA's TTL and minimum
					t.Errorf("%v: TTL %d, want 300", rrs[0], ttl)
				}
			case *dns.RRSIG:
				for _, r := range rrs {
					signatures++
					verify(t, keys, r.(*dns.RRSIG), unpack(t, set.Owner, signed[i-1].Records))
				}
			}
		}
		if signatures < 30 {
			t.Errorf("%d signatures, which can't be all", signatures)
		}
		// The chain as it must be, by hand.
		apex := "A NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY"
		want := []string{
			"example. \\000.example. " + apex, "\\000.example. *.example. TXT RRSIG NSEC", "*.example. alias.example. TXT RRSIG NSEC",
			"alias.example. big.example. CNAME RRSIG NSEC", "big.example. *.w.ent.example. TXT RRSIG NSEC",
			"*.w.ent.example. deep.under.ent2.example. A RRSIG NSEC", "deep.under.ent2.example. insecure.example. MX RRSIG NSEC",
			"insecure.example. ns.example. NS RRSIG NSEC", "ns.example. old.example. A RRSIG NSEC",
			"old.example. secure.example. TXT DNAME RRSIG NSEC", "secure.example. www.example. NS DS RRSIG NSEC",
			"www.example. _443._tcp.www.example. A AAAA RRSIG NSEC", "_443._tcp.www.example. z\\255.example. RRSIG NSEC TLSA",
			"z\\255.example. example. RRSIG NSEC TYPE65280",
		}
		for i := range max(len(chain), len(want)) {
			if i >= len(chain) || i >= len(want) || flat(chain[i]) != want[i] {
				t.Fatalf("chain:\n%s\nwant:\n%s", strings.Join(chain, "\n"), strings.Join(want, "\n"))
			}
		}
		// Another order and another run give the same.
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
		again, err := signZone(wire(t, "example."), sets, keys, day0)
		if err != nil || !slices.EqualFunc(signed, again, func(a, b Set) bool { return string(a.Owner)+string(a.Records) == string(b.Owner)+string(b.Records) }) {
			t.Errorf("signed again, the zone differs (%v)", err)
		}
	}
}

// flat is a record without TTL, class and type.
func flat(text string) string {
	fields := strings.Fields(text)
	return strings.Join(append(fields[:1:1], fields[4:]...), " ")
}

func verify(t *testing.T, keys *KeySet, sig *dns.RRSIG, rrs []dns.RR) {
	t.Helper()
	i := slices.IndexFunc(keys.Published, func(k *Key) bool { return k.Tag == sig.KeyTag })
	if i < 0 {
		t.Fatalf("%v: by no published key", sig)
	}
	if ksk := keys.Published[i].Flags == FlagsKSK; len(keys.Published) > 1 && ksk != slices.Contains([]uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY}, sig.TypeCovered) {
		t.Errorf("%v: by the wrong key", sig)
	}
	if err := sig.Verify(oracleKey(keys.Published[i]), rrs); err != nil {
		t.Errorf("%v: %v", sig, err)
	}
}

// The tools of BIND and of NLnet Labs take a zone that was signed whole.
func TestSignZoneByValidators(t *testing.T) {
	for _, tool := range []string{"dnssec-verify", "ldns-verify-zone"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("SKIPPED: %s is not installed (Debian: bind9-utils, ldnsutils)", tool)
			}
			for _, algorithm := range algorithms {
				for _, csk := range []bool{false, true} {
					file := filepath.Join(t.TempDir(), "zone")
					// The tools read the clock.
					signed, err := signZone(wire(t, "example."), zoneSets(t, cornerZone), testKeySet(t, algorithm, csk), time.Now())
					if err != nil {
						t.Fatal(err)
					}
					check(t, tool, file, zoneText(t, signed), true)
					i := slices.IndexFunc(signed, func(s Set) bool { return s.rrtype() == typeNSEC })
					check(t, tool, file, zoneText(t, slices.Delete(signed, i, i+2)), false)
				}
			}
		})
	}
}

func check(t *testing.T, tool, file, text string, want bool) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{file}
	if tool == "dnssec-verify" {
		args = []string{"-o", "example.", "-z", file} // -z: a CSK signs all
	}
	out, err := exec.Command(tool, args...).CombinedOutput()
	if (err == nil) != want {
		t.Errorf("%s: %v, want it taken: %v\n%s", tool, err, want, out)
	}
}

func zoneText(t *testing.T, sets []Set) string {
	var b strings.Builder
	for _, set := range sets {
		for _, r := range unpack(t, set.Owner, set.Records) {
			if r.Header().Rrtype == dns.TypeSOA {
				fmt.Fprintln(&b, r)
			}
		}
	}
	for _, set := range sets {
		for _, r := range unpack(t, set.Owner, set.Records) {
			if r.Header().Rrtype != dns.TypeSOA {
				fmt.Fprintln(&b, r)
			}
		}
	}
	return b.String()
}

// Signed again, a zone takes the signatures that it would make anyway, and no others.
func TestSignZoneKnowsSignatures(t *testing.T) {
	apex := wire(t, "example.")
	for _, csk := range []bool{false, true} {
		keys := testKeySet(t, ECDSAP256SHA256, csk)
		before, err := signZone(apex, zoneSets(t, cornerZone), keys, day0)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name  string
			zone  string
			keys  *KeySet
			now   time.Time
			least int // that are taken
			most  int
		}{
			{"all as it was", cornerZone, keys, day0, 34, 34},
			{"a name that is new", cornerZone + "new 60 IN A 192.0.2.11\n", keys, day0, 33, 33},
			{"the next day", cornerZone, keys, day0.Add(24 * time.Hour), 20, 33},
			{"after all have been renewed", cornerZone, keys, day0.Add(DefaultValidity), 0, 0},
			{"by another ZSK", cornerZone, testKeySet2(t, keys), day0, 0, 3},
		} {
			known := func(mark byte) func(set Set) []byte {
				return func(set Set) []byte {
					i := slices.IndexFunc(before, func(b Set) bool {
						return string(b.Owner) == string(set.Owner) && string(b.Records) == string(set.Records)
					})
					if i < 0 {
						return nil
					}
					signature := slices.Clone(before[i+1].Records)
					signature[len(signature)-1] ^= mark // those that are made never have it: all is deterministic
					return signature
				}
			}
			want, err := signZone(apex, zoneSets(t, tt.zone), tt.keys, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			signing := Signing{Keys: tt.keys, Now: tt.now, Validity: DefaultValidity, Known: known(1)}
			marked, err := resignZone(apex, zoneSets(t, tt.zone), signing)
			if err != nil || len(marked) != len(want) {
				t.Fatalf("%s: %d sets, %v, want %d", tt.name, len(marked), err, len(want))
			}
			taken := 0
			for i := range marked {
				if string(marked[i].Records) != string(want[i].Records) {
					taken++
				}
			}
			if taken < tt.least || taken > tt.most {
				t.Errorf("%s: %d of the signatures of before are taken, want %d to %d", tt.name, taken, tt.least, tt.most)
			}
			signing.Known = known(0)
			got, err := resignZone(apex, zoneSets(t, tt.zone), signing)
			if err != nil || !slices.EqualFunc(got, want, func(a, b Set) bool { return string(a.Owner)+string(a.Records) == string(b.Owner)+string(b.Records) }) {
				t.Errorf("%s: with known signatures the zone is another (%v)", tt.name, err)
			}
		}
	}
}

// testKeySet2 is a key set with the same KSK as another and a ZSK of its own, or with another CSK.
func testKeySet2(t *testing.T, keys *KeySet) *KeySet {
	zsk := newTestKey(t, "example.", FlagsZSK, keys.Published[0].Algorithm, 9)
	next := *keys
	next.Published, next.Signers = append(slices.Clone(keys.KeySigners), zsk), []*Key{zsk}
	return &next
}

func TestSignZoneRefuses(t *testing.T) {
	apex, keys := wire(t, "example."), testKeySet(t, ED25519, true)
	soa := "example. 3600 IN SOA ns.example. admin.example. 7 7200 900 1209600 300\n"
	for _, tt := range []struct {
		why, zone string
		keys      *KeySet
		want      string
	}{
		{"no keys", soa, &KeySet{Generation: 3}, "zone example.: the key set of generation 3 is empty"},
		{"no SOA", "www.example. 300 IN A 192.0.2.1\n", keys, "zone example.: no SOA"},
		{"a SOA elsewhere", soa + "www.example. 3600 IN SOA . . 7 7200 900 1209600 300\n", keys, "zone example.: a bad SOA at www.example."},
		{"outside", soa + "example.com. 300 IN A 192.0.2.1\n", keys, "zone example.: example.com. lies outside"},
		{"signed already", soa + "www.example. 300 IN NSEC example. A\n", keys, "zone example.: www.example. has records of type 47 already, which signing makes"},
	} {
		if _, err := signZone(apex, zoneSets(t, tt.zone), tt.keys, day0); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.why, err, tt.want)
		}
	}
	sets := zoneSets(t, soa)
	if _, err := signZone(apex, append(sets, sets...), keys, day0); err == nil || err.Error() != "zone example.: two sets of type 6 at example." {
		t.Errorf("a set given twice: %v", err)
	}
	if _, _, err := keys.AppendRRSIGs(nil, apex, sets[0].Records, Cover{Labels: 1}); err != nil {
		t.Error(err)
	}
	if _, _, err := new(KeySet).AppendRRSIGs(nil, apex, sets[0].Records, Cover{Labels: 1}); err == nil {
		t.Error("the empty key set signs")
	}
}

// The SOA's TTL bounds that of a denial too.
func TestNSECOfShortSOA(t *testing.T) {
	signed, err := signZone(wire(t, "example."), zoneSets(t, "example. 60 IN SOA . . 7 7200 900 1209600 300\n"), testKeySet(t, ED25519, true), day0)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(signed, func(s Set) bool { return s.rrtype() == typeNSEC }); i < 0 || signed[i].ttl() != 60 {
		t.Errorf("NSEC at %d, want one with the TTL 60", i)
	}
}

// A zone on its way out asks the parent to remove its DS.
func TestKeySetWithdraws(t *testing.T) {
	keys := testKeySet(t, ECDSAP256SHA256, false)
	keys.Withdraw, keys.Announced = true, nil
	_, cds, cdnskey := keys.Sets()
	if got := unpack(t, keys.Published[0].Apex, append(cds, cdnskey...)); got[0].String() != "example.\t3600\tIN\tCDS\t0 0 0 00" || got[1].String() != "example.\t3600\tIN\tCDNSKEY\t0 3 0 AA==" {
		t.Errorf("%v", got)
	}
}

func BenchmarkSignZone(b *testing.B) {
	var text strings.Builder
	text.WriteString("example. 3600 IN SOA ns.example. admin.example. 7 7200 900 1209600 300\n")
	const names = 2000
	for i := range names {
		fmt.Fprintf(&text, "%s 300 IN A 192.0.2.1\n", name(i))
	}
	sets, apex := zoneSets(b, text.String()), wire(b, "example.")
	for _, algorithm := range algorithms {
		b.Run(AlgorithmName(algorithm), func(b *testing.B) {
			keys := testKeySet(b, algorithm, true)
			for b.Loop() {
				if _, err := signZone(apex, sets, keys, day0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*names), "us/name")
		})
	}
}
