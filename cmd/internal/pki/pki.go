// Package pki decides who is a node of the cluster: a small certificate authority, the
// certificates it gives to nodes, and the checks of one node by another.
//
// A node certificate says the node's name, region and roles, is lean enough to travel as
// gossip metadata, and serves on both sides of TLS. The package opens no socket and reads
// no clock: time comes in as an argument, except inside a TLS handshake, which asks
// crypto/tls for it. It revokes nothing: a certificate counts until it ends, so a lost key
// is answered with a new authority (a CA file may hold two while nodes change over).
//
// Always: a peer counts only by a certificate that the cluster's own authority signed, never
// by a system root; TLS is 1.3 and checked on both sides; a key that others on the machine
// can read is refused; no file is ever overwritten.
package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// How long certificates are good for unless a flag says otherwise.
const (
	CAValidity   = 10 * 365 * 24 * time.Hour
	NodeValidity = 365 * 24 * time.Hour
)

// backdate lets a node whose clock is behind the authority's use a new certificate at once.
const backdate = 5 * time.Minute

// Every node certificate has the DNS name NAME.meridian.internal, and those of control nodes
// have controlName besides: no node can have that name, since a node's name is one label.
// RFC 9476 and ICANN keep .internal out of the public DNS.
const (
	domain      = ".meridian.internal"
	controlName = "control.role.meridian.internal"
)

// Region and roles are one URI: meridian:/eu-west/dns+probe.
const scheme = "meridian"

// An Identity is what a certificate says of its node. The zero Identity is nobody.
type Identity struct {
	Name   health.NodeID
	Region geo.RegionID
	Roles  health.Roles
}

var errNotNode = errors.New("not a node certificate")

// validate names the first thing about the identity that no certificate may say.
func (id Identity) validate() error {
	if err := checkLabel(string(id.Name)); err != nil {
		return fmt.Errorf("node %q: %w", id.Name, err)
	}
	if err := checkLabel(string(id.Region)); err != nil {
		return fmt.Errorf("node %q: region %q: %w", id.Name, id.Region, err)
	}
	if len(id.Roles.Names()) == 0 {
		return fmt.Errorf("node %q: no role (have %s)", id.Name, strings.Join(health.RoleNames[:], ", "))
	}
	return nil
}

// checkLabel keeps names to DNS labels (RFC 1123, section 2.1), in lower case so that names compare by ==.
func checkLabel(s string) error {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return errors.New("want 1 to 63 of a-z 0-9 -, no hyphen at either end")
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errors.New("want 1 to 63 of a-z 0-9 -, no hyphen at either end")
		}
	}
	return nil
}

func (id Identity) dnsName() string { return string(id.Name) + domain }

func (id Identity) dnsNames() []string {
	if id.Roles.Has(health.RoleControl) {
		return []string{id.dnsName(), controlName}
	}
	return []string{id.dnsName()}
}

func (id Identity) uri() *url.URL {
	return &url.URL{Scheme: scheme, Path: "/" + string(id.Region) + "/" + strings.Join(id.Roles.Names(), "+")}
}

// identify reads the identity out of a certificate; it says nothing of who signed it.
func identify(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != scheme {
		return Identity{}, fmt.Errorf("%w: want one URI %s:/region/roles", errNotNode, scheme)
	}
	region, roles, _ := strings.Cut(strings.TrimPrefix(cert.URIs[0].Path, "/"), "/")
	set, err := health.ParseRoles(strings.Split(roles, "+"))
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", errNotNode, err)
	}
	id := Identity{health.NodeID(cert.Subject.CommonName), geo.RegionID(region), set}
	if err := id.validate(); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", errNotNode, err)
	}
	if !slices.Equal(cert.DNSNames, id.dnsNames()) {
		return Identity{}, fmt.Errorf("%w: node %q: DNS names %q, want %q", errNotNode, id.Name, cert.DNSNames, id.dnsNames())
	}
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return Identity{}, fmt.Errorf("%w: key of type %T, want Ed25519", errNotNode, cert.PublicKey)
	}
	if hasSmallOrder(key) {
		return Identity{}, fmt.Errorf("%w: node %q: key of small order, which anyone can sign with", errNotNode, id.Name)
	}
	return id, nil
}

// signatures of messages carry a context (RFC 8032, section 5.1), so that they can't be taken for
// anything else that the same key signs, a TLS handshake above all.
var signing = &ed25519.Options{Context: "meridian message"}

// Verify reports whether the node of that key signed the message. A key that anyone can sign with is no node's.
func Verify(key [ed25519.PublicKeySize]byte, message, signature []byte) bool {
	return !hasSmallOrder(key[:]) && ed25519.VerifyWithOptions(key[:], message, signature, signing) == nil
}
