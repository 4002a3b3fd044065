package pki

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A Node is this node's own certificate and key, and the authority it believes. It never changes but
// for what it remembers of others; any number of goroutines may use it, and nobody may copy it.
type Node struct {
	identity Identity
	cert     *x509.Certificate
	key      ed25519.PrivateKey
	roots    *x509.CertPool
	verified verified
}

// NewNode takes a node's certificate and key, and the certificate of the authority, or of two while
// the nodes change over. The certificate must be the authority's, but may have ended: a node goes on
// answering, and its peers refuse it.
func NewNode(certPEM, keyPEM, caPEM []byte) (*Node, error) {
	certs, err := parseCertificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	authorities, err := parseCertificates(caPEM)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	n := &Node{cert: certs[0], key: key, roots: x509.NewCertPool()}
	for _, authority := range authorities {
		if !authority.IsCA {
			return nil, fmt.Errorf("authority: the certificate of %q is no authority's", authority.Subject.CommonName)
		}
		n.roots.AddCert(authority)
	}
	if !key.Public().(ed25519.PublicKey).Equal(n.cert.PublicKey) {
		return nil, errors.New("certificate and key are not a pair")
	}
	if n.identity, err = identify(n.cert); err != nil {
		return nil, err
	}
	if _, err := n.verify(n.cert, n.cert.NotBefore); err != nil {
		return nil, err
	}
	return n, nil
}

// Identity is what the node's own certificate says.
func (n *Node) Identity() Identity { return n.identity }

// Expires is when the node's own certificate ends.
func (n *Node) Expires() time.Time { return n.cert.NotAfter }

// Key is the node's public key.
func (n *Node) Key() [ed25519.PublicKeySize]byte {
	return [ed25519.PublicKeySize]byte(n.key.Public().(ed25519.PublicKey))
}

// Sign signs a message that Verify takes with the node's key.
func (n *Node) Sign(message []byte) []byte {
	signature, err := n.key.Sign(nil, message, signing)
	if err != nil {
		panic(fmt.Sprintf("pki: sign: %v", err)) // only for options that crypto/ed25519 doesn't know
	}
	return signature
}

// metaVersion is the first byte of gossip metadata.
const metaVersion = 1

// Meta is the node's certificate as gossip metadata: at most 512 bytes, a version and the DER.
func (n *Node) Meta() []byte { return append([]byte{metaVersion}, n.cert.Raw...) }

// Identify says which member the gossip metadata makes of a node that calls itself name at address.
// The metadata must be a certificate of the cluster's authority, good now, for that very name.
//
// A certificate is no secret, and metadata doesn't prove that its bearer holds the key: that is
// for signatures and TLS to show. Here it only says which key they must be made with.
func (n *Node) Identify(name string, address netip.Addr, meta []byte, now time.Time) (health.Member, error) {
	if len(meta) == 0 || meta[0] != metaVersion {
		return health.Member{}, fmt.Errorf("pki: node %q: metadata is not a certificate of version %d", name, metaVersion)
	}
	as := shown{name, string(meta)}
	known, ok := n.verified.get(as, now)
	if !ok {
		var err error
		if known, err = n.look(name, meta[1:], now); err != nil {
			return health.Member{}, fmt.Errorf("pki: node %q: %w", name, err)
		}
		if len(meta) <= 1+MaxCertificate {
			n.verified.put(as, known)
		}
	}
	return health.Member{
		Node:    known.identity.Name,
		Region:  known.identity.Region,
		Roles:   known.identity.Roles,
		Address: address.Unmap(),
		Key:     known.key,
	}, nil
}

// look checks the certificate of a node that calls itself name, the signature last: it costs the most.
func (n *Node) look(name string, der []byte, now time.Time) (verification, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return verification{}, err
	}
	id, err := identify(cert)
	if err != nil {
		return verification{}, err
	}
	if string(id.Name) != name {
		return verification{}, fmt.Errorf("certificate of node %q", id.Name)
	}
	chain, err := n.verify(cert, now)
	if err != nil {
		return verification{}, err
	}
	from, to := validity(chain)
	return verification{id, [ed25519.PublicKeySize]byte(cert.PublicKey.(ed25519.PublicKey)), from, to}, nil
}

// verify returns the chain from a certificate to the authority, if it's one of the authority's and good now.
func (n *Node) verify(cert *x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	chains, err := cert.Verify(x509.VerifyOptions{
		Roots:       n.roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

// AnyControl is the name to expect of whichever control node answers.
const AnyControl health.NodeID = ""

// ServerTLS is the configuration of a listener: TLS 1.3, for nodes of the cluster only. The caller
// may set NextProtos and further checks on it.
func (n *Node) ServerTLS() *tls.Config {
	c := n.tls()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = n.roots
	c.SessionTicketsDisabled = true // every connection shows a certificate that is still good
	return c
}

// ClientTLS is the configuration of a connection to the node expect, or to AnyControl.
func (n *Node) ClientTLS(expect health.NodeID) *tls.Config {
	c := n.tls()
	c.RootCAs = n.roots
	c.ServerName = controlName
	if expect != AnyControl {
		c.ServerName = Identity{Name: expect}.dnsName()
	}
	return c
}

func (n *Node) tls() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{n.cert.Raw}, PrivateKey: n.key, Leaf: n.cert}},
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := PeerIdentity(state)
			return err
		},
	}
}

// PeerIdentity says which node is on the other side of a connection that ServerTLS or ClientTLS made.
func PeerIdentity(state tls.ConnectionState) (Identity, error) {
	if len(state.VerifiedChains) == 0 {
		return Identity{}, errors.New("pki: peer showed no certificate of the cluster's authority")
	}
	id, err := identify(state.VerifiedChains[0][0])
	if err != nil {
		return Identity{}, fmt.Errorf("pki: peer: %w", err)
	}
	return id, nil
}

// RequireRole is a further check for a listener: peers must have all of roles.
func RequireRole(roles health.Roles) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		id, err := PeerIdentity(state)
		if err != nil {
			return err
		}
		if !id.Roles.Has(roles) {
			return fmt.Errorf("pki: node %q: roles %v, want %v", id.Name, id.Roles.Names(), roles.Names())
		}
		return nil
	}
}
