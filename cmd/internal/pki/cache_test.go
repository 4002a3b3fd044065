package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A certificate that is shown for another's name is refused before its signature is looked at, which costs more.
func TestIdentifyComparesTheNameFirst(t *testing.T) {
	ca, other := newAuthority(t, "example", start), newAuthority(t, "example", start)
	self, stranger := ca.node(t, use1, start), other.node(t, euw1, start)
	_, err := self.Identify("use1", address, stranger.Meta(), start)
	if want := `pki: node "use1": certificate of node "euw1"`; err == nil || err.Error() != want {
		t.Errorf("Identify = %v, want %s", err, want)
	}
}

// What was verified once is not verified again: the node forgets its authority here, and still knows whom it saw.
func TestIdentifyRemembers(t *testing.T) {
	ca := newAuthority(t, "example", start)
	self, peer, renewed := ca.node(t, use1, start), ca.node(t, euw1, start), ca.node(t, euw1, start)
	want, err := self.Identify("euw1", address, peer.Meta(), start)
	if err != nil {
		t.Fatal(err)
	}
	self.roots = x509.NewCertPool()
	broken := peer.Meta()
	broken[len(broken)-1] ^= 1
	for _, tt := range []struct {
		name string
		node string
		meta []byte
		now  time.Time
		err  string
	}{
		{"the same again", "euw1", peer.Meta(), start, ""},
		{"on its last day", "euw1", peer.Meta(), start.Add(NodeValidity - time.Hour), ""},
		{"once it has ended", "euw1", peer.Meta(), start.Add(NodeValidity + time.Hour), "expired"},
		{"before it begins", "euw1", peer.Meta(), start.Add(-time.Hour), "expired or is not yet valid"},
		{"another certificate of the same name", "euw1", renewed.Meta(), start, "unknown authority"},
		{"a signature with a bit flipped", "euw1", broken, start, "unknown authority"},
		{"for another name", "use1", peer.Meta(), start, `certificate of node "euw1"`},
	} {
		got, err := self.Identify(tt.node, address, tt.meta, tt.now)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: Identify = %v, want an error with %q", tt.name, err, tt.err)
			}
		case err != nil || got != want:
			t.Errorf("%s: Identify = %v, %v, want %v", tt.name, got, err, want)
		}
	}
	elsewhere := address.Next()
	if got, err := self.Identify("euw1", elsewhere, peer.Meta(), start); err != nil || got.Address != elsewhere || got.Key != want.Key {
		t.Errorf("at another address: Identify = %v, %v, want %v there", got, err, want)
	}
}

// A verification is good for as long as every certificate of its chain, the authority's too.
func TestIdentifyRemembersNoLongerThanTheAuthorityCounts(t *testing.T) {
	certPEM, keyPEM, err := NewCA("example", start, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := ParseCA(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	ownPEM, ownKeyPEM, err := ca.Issue(use1, start, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	self, err := NewNode(ownPEM, ownKeyPEM, certPEM)
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "euw1"}, NotBefore: start, NotAfter: start.Add(NodeValidity),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    euw1.dnsNames(), URIs: []*url.URL{euw1.uri()},
	}, ca.cert, public, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	meta := append([]byte{metaVersion}, der...)
	for range 2 {
		if _, err := self.Identify("euw1", address, meta, start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := self.Identify("euw1", address, meta, start.Add(3*time.Hour)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("Identify after the authority's end = %v, want an error with %q", err, "expired")
	}
}

func TestIdentifyRemembersABoundedNumber(t *testing.T) {
	ca := newAuthority(t, "example", start)
	self := ca.node(t, use1, start)
	var metas [][]byte
	var names []string
	for i := range maxVerified + 8 {
		id := Identity{health.NodeID(fmt.Sprint("n", i)), "eu-west", health.RoleDNS}
		names, metas = append(names, string(id.Name)), append(metas, ca.node(t, id, start).Meta())
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for i, meta := range metas {
				if _, err := self.Identify(names[i], address, meta, start); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(self.verified.known); n != maxVerified || len(self.verified.order) != n {
		t.Errorf("%d remembered, %d in order, want %d", n, len(self.verified.order), maxVerified)
	}
	self.roots = x509.NewCertPool()
	last := len(metas) - 1
	if _, err := self.Identify(names[last], address, metas[last], start); err != nil {
		t.Errorf("the newest: %v, want it remembered", err)
	}
}
