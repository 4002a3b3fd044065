package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"testing"
	"time"
)

// plainEd25519 signs without a context, as TLS does.
var plainEd25519 = crypto.Hash(0)

type strangeCertificate struct {
	name string
	der  []byte
	err  string
}

// strangeCertificates are signed by the authority but are not what Issue makes.
func strangeCertificates(t testing.TB, ca *CA) []strangeCertificate {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(key any, change func(*x509.Certificate)) []byte {
		template := &x509.Certificate{
			SerialNumber: serial(),
			Subject:      pkix.Name{CommonName: "euw1"},
			NotBefore:    start.Add(-time.Hour),
			NotAfter:     start.Add(time.Hour),
			ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames:     euw1.dnsNames(),
			URIs:         []*url.URL{euw1.uri()},
		}
		change(template)
		der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	uri := func(s string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}

	// A node can't become an authority: what its key signs is refused.
	leaf, err := x509.ParseCertificate(issue(public, func(*x509.Certificate) {}))
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := x509.CreateCertificate(rand.Reader, leaf, leaf, public, private)
	if err != nil {
		t.Fatal(err)
	}

	return []strangeCertificate{
		{"no URI", issue(public, func(c *x509.Certificate) { c.URIs = nil }), "want one URI"},
		{"two URIs", issue(public, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), "want one URI"},
		{"a URI of another scheme", issue(public, uri("https://example.com/eu-west/dns")), "want one URI"},
		{"a role unknown here", issue(public, uri("meridian:/eu-west/dns+mail")), `unknown role "mail"`},
		{"no role", issue(public, uri("meridian:/eu-west")), "unknown role"},
		{"no region", issue(public, uri("meridian://dns")), "not a node certificate"},
		{"control, but not by name", issue(public, func(c *x509.Certificate) { c.DNSNames = []string{euw1.dnsName()} }), "DNS names"},
		{"a name beside its own", issue(public, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "use1"+domain) }), "DNS names"},
		{"common name of another node", issue(public, func(c *x509.Certificate) { c.Subject.CommonName = "use1" }), "DNS names"},
		{"a key of another kind", issue(&ec.PublicKey, func(*x509.Certificate) {}), "want Ed25519"},
		{"not for TLS", issue(public, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), "incompatible key usage"},
		{"signed by a node", grandchild, "x509"},
	}
}
