package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// MaxCertificate is the size in bytes of the largest node certificate: it travels as gossip
// metadata, of which memberlist takes 512 bytes, behind a byte for the version.
const MaxCertificate = 511

// A CA signs node certificates. It is immutable.
type CA struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

// NewCA makes the authority of a cluster: its certificate, which every node has, and its key, which none needs.
func NewCA(cluster string, now time.Time, validity time.Duration) (certPEM, keyPEM []byte, err error) {
	if err := checkLabel(cluster); err != nil {
		return nil, nil, fmt.Errorf("pki: cluster %q: %w", cluster, err)
	}
	if validity <= 0 {
		return nil, nil, fmt.Errorf("pki: cluster %q: validity %v, want more than 0", cluster, validity)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: cluster %q: %w", cluster, err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: cluster},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs nodes, no further authority
	}
	return sign(template, template, public, private, private)
}

// ParseCA takes an authority's certificate and key.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	certs, err := parseCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	if len(certs) != 1 || !certs[0].IsCA {
		return nil, errors.New("want the certificate of one authority")
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(certs[0].PublicKey) {
		return nil, errors.New("certificate and key are not a pair")
	}
	return &CA{certs[0], key}, nil
}

// Issue makes a node's certificate and a new key for it. It refuses an identity whose certificate is
// larger than MaxCertificate, and a certificate that would outlast the authority.
func (ca *CA) Issue(id Identity, now time.Time, validity time.Duration) (certPEM, keyPEM []byte, err error) {
	if err := id.validate(); err != nil {
		return nil, nil, fmt.Errorf("pki: %w", err)
	}
	end := now.Add(validity)
	if validity <= 0 || end.After(ca.cert.NotAfter) {
		return nil, nil, fmt.Errorf("pki: node %q: validity %v, want more than 0 and at most %v, the rest of the authority's",
			id.Name, validity, ca.cert.NotAfter.Sub(now).Truncate(time.Hour))
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: node %q: %w", id.Name, err)
	}
	parent := *ca.cert
	parent.SubjectKeyId = nil // else every certificate carries it: the issuer's name is enough to find it
	certPEM, keyPEM, err = sign(&x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: string(id.Name)},
		NotBefore:    now.Add(-backdate),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     id.dnsNames(),
		URIs:         []*url.URL{id.uri()},
	}, &parent, public, ca.key, private)
	if err != nil {
		return nil, nil, err
	}
	if block, _ := pem.Decode(certPEM); len(block.Bytes) > MaxCertificate {
		return nil, nil, fmt.Errorf("pki: node %q: certificate of %d bytes, want at most %d: shorten the name, the region or the cluster's name",
			id.Name, len(block.Bytes), MaxCertificate)
	}
	return certPEM, keyPEM, nil
}

// sign makes a certificate for public, signed by signer, and encodes it with subject, public's private key.
func sign(template, parent *x509.Certificate, public ed25519.PublicKey, signer, subject ed25519.PrivateKey) (certPEM, keyPEM []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: certificate of %q: %w", template.Subject.CommonName, err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(subject)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: key of %q: %w", template.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: key}), nil
}

// serial is 63 random bits: unique without a ledger, and positive as RFC 5280, section 4.1.2.2 wants it.
func serial() *big.Int {
	var b [8]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != certificateBlock {
			return nil, fmt.Errorf("PEM block %q, want %q", block.Type, certificateBlock)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return certs, nil
}

func parseKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key of type %T, want Ed25519", key)
	}
	return private, nil
}
