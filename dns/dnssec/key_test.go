package dnssec

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestKeyAgainstLibrary(t *testing.T) {
	for _, algorithm := range algorithms {
		for _, flags := range []uint16{FlagsZSK, FlagsKSK} {
			k := newTestKey(t, "Example.COM", flags, algorithm, 7)
			o := oracleKey(k)
			if k.Zone != "example.com." || k.Tag != o.KeyTag() {
				t.Errorf("%s: zone %s, want example.com.; tag %d, want %d", k.Name(), k.Zone, k.Tag, o.KeyTag())
			}
			if got, want := unpack(t, k.Apex, AppendRecord(nil, typeDNSKEY, 3600, k.DNSKEY()))[0].String(), o.String(); got != want {
				t.Errorf("DNSKEY %s, want %s", got, want)
			}
			for digest, size := range map[uint8]uint8{SHA256: dns.SHA256, SHA384: dns.SHA384} {
				data, err := k.DS(digest)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := unpack(t, k.Apex, AppendRecord(nil, typeDS, 3600, data))[0].String(), o.ToDS(size).String(); !strings.EqualFold(got, want) {
					t.Errorf("DS %s, want %s", got, want)
				}
			}
			if _, err := k.DS(1); err == nil || !strings.Contains(err.Error(), "digest 1 (have SHA-256: 2, SHA-384: 4)") {
				t.Errorf("DS by SHA-1: %v", err)
			}
			// The library reads our private file.
			private, err := o.ReadPrivateKey(bytes.NewReader(k.PrivateFile()), "")
			if err != nil || private == nil {
				t.Errorf("%s: %v", k.PrivateFile(), err)
			}
		}
	}
	deletes := map[string][]byte{"0 0 0 00": DeleteCDS()}
	for text, data := range deletes {
		if want := pack(t, rr(t, "x. 0 IN CDS "+text)); !bytes.Equal(AppendRecord(nil, typeCDS, 0, data), want) {
			t.Errorf("delete CDS % x, want % x", data, want)
		}
	}
	if want := pack(t, rr(t, "x. 0 IN CDNSKEY 0 3 0 AA==")); !bytes.Equal(AppendRecord(nil, typeCDNSKEY, 0, DeleteCDNSKEY()), want) {
		t.Errorf("delete CDNSKEY % x, want % x", DeleteCDNSKEY(), want)
	}
}

// The key and DS of RFC 6605, section 6.1, and RFC 8080, section 6.1.
func TestPublishedKeys(t *testing.T) {
	for _, tt := range []struct{ dnskey, private, ds string }{
		{"example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
			"Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n",
			"55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17"},
		{"example.com. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
			"Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n",
			"3613 15 2 3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b"},
	} {
		k, err := Parse([]byte(tt.dnskey), []byte(tt.private))
		if err != nil {
			t.Fatal(err)
		}
		data, err := k.DS(SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if want := rr(t, k.Zone+" 3600 IN DS "+tt.ds); hex.EncodeToString(data) != hex.EncodeToString(pack(t, want)[recordHead:]) {
			t.Errorf("DS %x, want %v", data, want)
		}
	}
}

func TestFilesRoundTrip(t *testing.T) {
	for _, algorithm := range algorithms {
		k := newTestKey(t, "0/25.2.0.192.in-addr.arpa.", FlagsKSK, algorithm, 3)
		k.Timing.Activate, k.Timing.SyncPublish = day0.Add(time.Hour), day0.Add(2*time.Hour)
		again, err := Parse(k.PublicFile(), k.PrivateFile())
		if err != nil {
			t.Fatal(err)
		}
		if again.Name() != k.Name() || again.Timing != k.Timing || !bytes.Equal(again.privateBytes(), k.privateBytes()) {
			t.Errorf("%s\n%s\nread again: %+v, want %+v", k.PublicFile(), k.PrivateFile(), again, k)
		}
		if prefix, err := FilePrefix("0/25.2.0.192.IN-ADDR.arpa"); err != nil || !strings.HasPrefix(k.Name(), prefix) || strings.Contains(prefix, "/") {
			t.Errorf("prefix %q (%v) of %q", prefix, err, k.Name())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	k, other := newTestKey(t, "example.", FlagsKSK, ECDSAP256SHA256, 1), newTestKey(t, "example.", FlagsKSK, ECDSAP256SHA256, 2)
	public, private := string(k.PublicFile()), string(k.PrivateFile())
	for _, tt := range []struct{ why, public, private, want string }{
		{"two records", public + public, private, "want one DNSKEY record"},
		{"none", "; nothing\n", private, "want one DNSKEY record"},
		{"another type", "example. IN A 192.0.2.1\n", private, "want one DNSKEY record"},
		{"revoked", strings.Replace(public, "257", "385", 1), private, "flags 385 of a key, want 256 (ZSK) or 257 (KSK)"},
		{"RSA", strings.Replace(public, " 13 ", " 8 ", 1), private, "algorithm RSASHA256 (have ECDSAP256SHA256, ED25519)"},
		{"short key", "example. IN DNSKEY 257 3 13 AAAA\n", private, "3 bytes of a public key for ECDSAP256SHA256, want 64"},
		{"another key", public, string(other.PrivateFile()), "belongs to another key"},
		{"not a private file", public, public, `does not begin with "Private-key-format: v1."`},
		{"no key in it", public, "Private-key-format: v1.3\n", "no line PrivateKey"},
		{"another algorithm", public, strings.Replace(private, ": 13", ": 15", 1), "line 2: algorithm"},
		{"zero is no key of the curve", public, "Private-key-format: v1.3\nPrivateKey: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "line 2: not a key of ECDSAP256SHA256"},
		{"a bad time", public, private + "Delete: soon\n", "Delete is no time like"},
		{"too long", public, private + strings.Repeat("\n", maxKeyFile), "want at most"},
	} {
		if _, err := Parse([]byte(tt.public), []byte(tt.private)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.why, err, tt.want)
		} else if secret := strings.Fields(private)[6]; strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret", tt.why)
		}
	}
}

func TestNewIsFixedByItsRandomness(t *testing.T) {
	one, two := newTestKey(t, "example.", FlagsZSK, ECDSAP256SHA256, 1), newTestKey(t, "example.", FlagsZSK, ECDSAP256SHA256, 1)
	if !bytes.Equal(one.privateBytes(), two.privateBytes()) {
		t.Error("equal random numbers give different keys")
	}
	// What is no key of the curve is drawn again; a source that gives nothing else, or ends, is an error.
	seed := append(bytes.Repeat([]byte{0xFF}, 32), one.privateBytes()...)
	if k, err := New("example.", FlagsZSK, ECDSAP256SHA256, bytes.NewReader(seed), day0); err != nil || k.Tag != one.Tag {
		t.Errorf("after a number that is too large: %v, %v", k, err)
	}
	for why, source := range map[string][]byte{"ends": seed[:40], "gives only what is too large": bytes.Repeat(seed[:32], 8)} {
		if k, err := New("example.", FlagsZSK, ECDSAP256SHA256, bytes.NewReader(source), day0); err == nil {
			t.Errorf("a source that %s: %v", why, k)
		}
	}
}

// BIND reads our files, and we read its.
func TestFilesWithBIND(t *testing.T) {
	for _, tool := range []string{"dnssec-keygen", "dnssec-settime"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %s is not installed (Debian: bind9-utils)", tool)
		}
	}
	dir := t.TempDir()
	for _, algorithm := range algorithms {
		k := newTestKey(t, "example.", FlagsKSK, algorithm, 1)
		k.Timing.Publish, k.Timing.Delete = day0, day0.Add(48*time.Hour)
		base := filepath.Join(dir, k.Name())
		for ext, data := range map[string][]byte{".key": k.PublicFile(), ".private": k.PrivateFile()} {
			if err := os.WriteFile(base+ext, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("dnssec-settime", "-u", "-p", "all", base).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Publish: 1772366400") || !strings.Contains(string(out), "Delete: 1772539200") {
			t.Errorf("dnssec-settime of our files: %v\n%s", err, out)
		}
		out, err = exec.Command("dnssec-keygen", "-q", "-K", dir, "-a", AlgorithmName(algorithm), "-f", "KSK", "-I", "20300101000000", "-Psync", "20290101000000", "sub.example.").Output()
		if err != nil {
			t.Fatal(err)
		}
		made := filepath.Join(dir, strings.TrimSpace(string(out)))
		public, err := os.ReadFile(made + ".key")
		if err != nil {
			t.Fatal(err)
		}
		private, err := os.ReadFile(made + ".private")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := Parse(public, private)
		if err != nil {
			t.Fatal(err)
		}
		if theirs.Name() != filepath.Base(made) || theirs.Timing.Inactive.Year() != 2030 || theirs.Timing.SyncPublish.Year() != 2029 || theirs.Timing.Created.IsZero() {
			t.Errorf("%s read as %s, %+v", private, theirs.Name(), theirs.Timing)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, algorithm := range algorithms {
		k := newTestKey(f, "example.", FlagsKSK, algorithm, 1)
		f.Add(k.PublicFile(), k.PrivateFile())
	}
	f.Fuzz(func(t *testing.T, public, private []byte) {
		k, err := Parse(public, private)
		if err != nil {
			return
		}
		again, err := Parse(k.PublicFile(), k.PrivateFile())
		if err != nil || again.Name() != k.Name() || again.Timing != k.Timing {
			t.Errorf("%q, %q: read again %v: %v", public, private, again, err)
		}
	})
}
