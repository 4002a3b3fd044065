package transfer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// certificateOf makes a certificate for a name, and the pool that trusts it.
func certificateOf(t testing.TB, name string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// A told collects what a secondary tells.
type told chan string

func (c told) config(dir string) Config {
	return Config{
		Dir:     dir,
		Loaded:  func(apex, file string) { c <- "loaded " + apex },
		Expired: func(apex string) { c <- "expired " + apex },
		Dropped: func(apex string) { c <- "dropped " + apex },
		Event:   func(zone, text string) { c <- "event " + zone + " " + text },
	}
}

// want waits for what is told next.
func (c told) want(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-c:
		if !strings.HasPrefix(got, want) {
			t.Fatalf("told %q, want %q", got, want)
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("not told %q", want)
	}
}

// copied reads the copy that a secondary has.
func copied(t testing.TB, s *Service, apex string) []string {
	t.Helper()
	f, err := os.Open(s.copyFile(apex))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rrs []dns.RR
	if err := eachOf(f, func(rr dns.RR) error { rrs = append(rrs, rr); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := rrs[0].(*dns.SOA); !ok {
		t.Errorf("the copy begins with %v", rrs[0])
	}
	return sortedRRs(rrs)
}

// A secondary of ours follows a primary of ours: whole, then by differences after notices; signed, plain, and over TLS.
func TestSecondaryFollows(t *testing.T) {
	key := keyOfTest(t, "peer", "hmac-sha512")
	certificate, roots := certificateOf(t, "ns1.shop.example")
	for _, test := range []struct {
		why     string
		key     string
		tls     bool
		require bool
	}{{"plain", "", false, false}, {"signed", "peer", false, false}, {"over TLS and signed", "peer", true, true}} {
		t.Run(test.why, func(t *testing.T) {
			bulk := "bulk.shop.example. 300 IN TXT" + strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 4)
			first := zoneOf(t, "shop.example.", 7, bulk, "a.shop.example. 300 IN A 192.0.2.10", `odd.shop.example. 300 IN TXT "a\"b\\c;d" "\000\255"`,
				`$include.shop.example. 300 IN A 192.0.2.13`, `x.shop.example. 300 IN TYPE65400 \# 3 abcdef`,
				`svc.shop.example. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1`, `caa.shop.example. 300 IN CAA 0 issue "ca.example"`)
			second := zoneOf(t, "shop.example.", 8, append(textsOf(first.rrs[3:]), "b.shop.example. 300 IN A 192.0.2.11")...)
			zones := shelfOf(first)
			primary := open(t, Config{Zones: zones.find})
			plain, secured := front(t, primary, certificate)

			events := make(told, 100)
			secondary := open(t, events.config(t.TempDir()))
			notices, _ := front(t, secondary, nil)
			grant := Grant{Key: test.key, Prefix: loopback}
			apply(t, primary, Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example.": {
				Allow: []Grant{grant}, XoT: test.require, Notify: []Target{{Address: notices, Key: test.key}},
			}}})
			primary.Changed(nil, first)
			from := Primary{Address: plain, Key: test.key}
			if test.tls {
				from = Primary{Address: secured, Key: test.key, TLS: &TLS{Name: "ns1.shop.example", Roots: roots}}
			}
			apply(t, secondary, Setup{Keys: []Key{key}, Secondary: map[string]Secondary{"shop.example.": {[]Primary{from}}}})
			events.want(t, "loaded shop.example.")
			if got, want := copied(t, secondary, "shop.example."), sorted(first.Records); !slices.Equal(got, want) {
				t.Errorf("copied\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			zones.put(primary, second)
			events.want(t, "loaded shop.example.")
			if got, want := copied(t, secondary, "shop.example."), sorted(second.Records); !slices.Equal(got, want) {
				t.Errorf("after a difference: copied\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if n := counted(t, secondary.metrics.incoming, "ixfr", "ok"); n != 1 {
				t.Errorf("%v incremental transfers, want 1", n)
			}
		})
	}
}

func textsOf(rrs []dns.RR) []string {
	var texts []string
	for _, rr := range rrs {
		texts = append(texts, escapeOwner(rr.String()))
	}
	return texts
}

// A primary that can't prove its name, or does not speak for the zone, gives nothing.
func TestSecondaryDistrusts(t *testing.T) {
	key := keyOfTest(t, "peer", "hmac-sha256")
	certificate, roots := certificateOf(t, "ns1.shop.example")
	primary := open(t, Config{Zones: shelfOf(zoneOf(t, "shop.example.", 7)).find})
	plain, secured := front(t, primary, certificate)
	other, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certificate}}) // not for DNS
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var busy sync.WaitGroup
	busy.Go(func() { frontTCP(primary, other, &busy) })
	apply(t, primary, Setup{Keys: []Key{key}, Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
	for _, test := range []struct {
		why  string
		from Primary
		zone string
		want string
	}{
		{"a certificate for another name", Primary{Address: secured, TLS: &TLS{Name: "ns2.shop.example", Roots: roots}}, "shop.example.", "ns1.shop.example"},
		{"a certificate of nobody we trust", Primary{Address: secured, TLS: &TLS{Name: "ns1.shop.example"}}, "shop.example.", "unknown authority"},
		{"a server that is not for DNS", Primary{Address: other.Addr().(*net.TCPAddr).AddrPort(), TLS: &TLS{Name: "ns1.shop.example", Roots: roots}}, "shop.example.", "protocol dot"},
		{"another secret", Primary{Address: plain, Key: "peer"}, "shop.example.", "BADSIG"},
		{"a zone that it has not", Primary{Address: plain}, "other.example.", "SOA: is not authoritative"},
	} {
		t.Run(test.why, func(t *testing.T) {
			events := make(told, 100)
			secondary := open(t, events.config(t.TempDir()))
			apply(t, secondary, Setup{
				Keys:      []Key{keyOfTest(t, "peer", "hmac-sha256")},
				Secondary: map[string]Secondary{test.zone: {[]Primary{test.from}}},
			})
			if got := <-events; !strings.HasPrefix(got, "event "+test.zone+" zone not refreshed") || !strings.Contains(got, test.want) {
				t.Errorf("told %q, want %q in it", got, test.want)
			}
			if _, err := os.Stat(secondary.copyFile(test.zone)); !os.IsNotExist(err) {
				t.Errorf("there is a copy (%v)", err)
			}
		})
	}
}

// A copy is loaded from disk before any primary is asked, and the next primary is asked when one is silent.
func TestSecondaryStartsFromDisk(t *testing.T) {
	primary := open(t, Config{Zones: shelfOf(zoneOf(t, "shop.example.", 7)).find})
	address, _ := front(t, primary, nil)
	apply(t, primary, Setup{Primary: map[string]Policy{"shop.example.": {Allow: []Grant{{Prefix: loopback}}}}})
	events, dir := make(told, 100), t.TempDir()
	silent := Primary{Address: netip.MustParseAddrPort("127.0.0.1:1")}
	setup := func() Setup {
		return Setup{Secondary: map[string]Secondary{"shop.example.": {[]Primary{silent, {Address: address}}}}}
	}
	s := open(t, events.config(dir))
	apply(t, s, setup())
	events.want(t, "loaded shop.example.")
	s.Close()

	leftover := filepath.Join(dir, secondaryDir, "shop.example.zone"+newInfix+"1")
	if err := os.WriteFile(leftover, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, events.config(dir))
	if _, err := os.Stat(leftover); !os.IsNotExist(err) {
		t.Errorf("what a crash left is still there (%v)", err)
	}
	s.secondaries.silent(address, time.Now().Add(time.Hour)) // no network now
	apply(t, s, setup())
	select {
	case got := <-events:
		if got != "loaded shop.example." {
			t.Errorf("told %q", got)
		}
	default:
		t.Error("the copy on disk was not loaded by Apply")
	}
	s.Close()
	state, err := readState(s.copyFile("shop.example."))
	if err != nil {
		t.Fatal(err)
	}
	state.Member = "a" // it was another zone of this name
	if err := writeState(s.copyFile("shop.example."), state); err != nil {
		t.Fatal(err)
	}
	s = open(t, events.config(dir))
	for len(events) > 0 {
		<-events
	}
	s.secondaries.silent(address, time.Now().Add(time.Hour))
	apply(t, s, setup())
	if got := <-events; !strings.HasPrefix(got, "event shop.example. zone not refreshed") {
		t.Errorf("told %q of a copy of another zone", got)
	}
	s.secondaries.silent(address, time.Now().Add(-time.Hour))
	s.secondaries.Lock()
	s.secondaries.zones["shop.example."].failed = time.Time{} // long ago
	s.secondaries.Unlock()
	s.secondaries.notified("shop.example.", address.Addr(), nil)
	for got := range events {
		if got == "loaded shop.example." {
			break
		}
	}
	apply(t, s, Setup{})
	for got := range events {
		if got == "dropped shop.example." {
			break
		}
	}
	s.secondaries.sweep(time.Now().Add(6 * 24 * time.Hour))
	if _, err := os.Stat(s.copyFile("shop.example.")); err != nil {
		t.Errorf("the copy is gone after six days: %v", err)
	}
	s.secondaries.sweep(time.Now().Add(8 * 24 * time.Hour))
	if files, _ := filepath.Glob(filepath.Join(dir, secondaryDir, "*")); len(files) > 0 {
		t.Errorf("files left after eight days: %v", files)
	}
}

// Whoever is not a primary of a zone may not say that it changed.
func TestNotifyFromOthers(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, Setup{Secondary: map[string]Secondary{
		"shop.example.": {[]Primary{{Address: netip.MustParseAddrPort("192.0.2.1:53")}}},
	}})
	address, _ := front(t, s, nil)
	for zone, want := range map[string]int{"shop.example.": dns.RcodeRefused, "other.example.": dns.RcodeNotAuth} {
		m, _, err := new(dns.Client).Exchange(new(dns.Msg).SetNotify(zone), address.String())
		if err != nil || m.Rcode != want {
			t.Errorf("%s: %v (%v), want rcode %d", zone, m, err, want)
		}
	}
}
