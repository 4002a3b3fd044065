package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// weakKeys are every encoding of a point of small order: those of the table, with either sign.
func weakKeys() (keys []ed25519.PublicKey) {
	for _, y := range smallOrder {
		other := y
		other[31] |= 0x80
		keys = append(keys, y[:], other[:])
	}
	return keys
}

// forged is a signature that nobody made: R is the neutral point, and S is 0.
func forged() []byte { return append([]byte{1}, make([]byte, 63)...) }

// Under a key of small order the forged signature holds for one message in eight, or more. crypto/ed25519 says so
// itself, which shows that the table has only such keys.
func TestVerifyRefusesKeysOfSmallOrder(t *testing.T) {
	signature := forged()
	for _, key := range weakKeys() {
		holds := 0
		for i := range 500 {
			message := fmt.Appendf(nil, "down: api/use1/%d", i)
			if ed25519.VerifyWithOptions(key, message, signature, signing) == nil {
				holds++
			}
			if Verify([32]byte(key), message, signature) {
				t.Fatalf("Verify took a forged signature of %s under key %x", message, key)
			}
		}
		if holds == 0 {
			t.Errorf("key %x: no forged signature holds, want only keys of small order in the table", key)
		}
	}
	if zero := [32]byte{}; !hasSmallOrder(zero[:]) {
		t.Error("the key of zeros counts as good")
	}
}

func TestIdentifyRefusesKeysOfSmallOrder(t *testing.T) {
	ca := newAuthority(t, "example", start)
	self := ca.node(t, use1, start)
	for _, key := range weakKeys() {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{CommonName: "euw1"}, NotBefore: start, NotAfter: start.Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames:    euw1.dnsNames(), URIs: []*url.URL{euw1.uri()},
		}, ca.cert, key, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = self.Identify("euw1", address, append([]byte{metaVersion}, der...), start)
		if err == nil || !strings.Contains(err.Error(), "small order") {
			t.Errorf("Identify with key %x = %v, want an error with %q", key, err, "small order")
		}
	}
}
