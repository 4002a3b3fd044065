package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// The digests of DS records (RFC 8624, section 3.3).
const (
	SHA256 = 2
	SHA384 = 4
)

// A Key is a key of a zone. It is immutable but for Timing, and safe for concurrent use; the slices are its own.
type Key struct {
	Zone      string // the apex as text: lower case, fully qualified
	Apex      []byte // the same in wire form
	Flags     uint16
	Algorithm uint8
	Tag       uint16
	Public    []byte // as in DNSKEY: 64 bytes of ECDSA P-256, 32 of Ed25519
	Timing    Timing

	ecdsa   *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

// Timing is what a key's files say of its life, in whole seconds. A zero time is not set.
type Timing struct {
	Created, Publish, Activate, Inactive, Delete, SyncPublish, SyncDelete time.Time
}

// New makes a key for a zone from 32 bytes or, once in 2^32 calls, a few times as many of random.
func New(zone string, flags uint16, algorithm uint8, random io.Reader, now time.Time) (*Key, error) {
	k, err := newKey(zone, flags, algorithm)
	if err != nil {
		return nil, err
	}
	k.Timing.Created = now.Truncate(time.Second).UTC()
	seed := make([]byte, 32)
	for range 8 { // a number that is no key of the curve is drawn again
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, fmt.Errorf("zone %s: new key: %w", k.Zone, err)
		}
		if err = k.setPrivate(seed); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("zone %s: new key: the source of random numbers gives none: %w", k.Zone, err)
}

// newKey checks and sets what is known of a key without its bytes.
func newKey(zone string, flags uint16, algorithm uint8) (*Key, error) {
	apex, err := WireName(zone)
	if err != nil {
		return nil, err
	}
	k := &Key{Zone: TextName(apex), Apex: apex, Flags: flags, Algorithm: algorithm}
	if flags != FlagsZSK && flags != FlagsKSK {
		return nil, fmt.Errorf("zone %s: flags %d of a key, want %d (ZSK) or %d (KSK)", k.Zone, flags, FlagsZSK, FlagsKSK)
	}
	if publicSize(algorithm) == 0 {
		return nil, fmt.Errorf("zone %s: algorithm %s (have %s, %s)", k.Zone, AlgorithmName(algorithm),
			AlgorithmName(ECDSAP256SHA256), AlgorithmName(ED25519))
	}
	return k, nil
}

// publicSize returns the size of public keys in bytes, 0 for algorithms that are not served.
func publicSize(algorithm uint8) int {
	switch algorithm {
	case ECDSAP256SHA256:
		return 64
	case ED25519:
		return ed25519.PublicKeySize
	}
	return 0
}

// signatureSize is that of both algorithms, in bytes (RFC 6605, section 4; RFC 8080, section 4).
const signatureSize = 64

// AlgorithmName returns the mnemonic of an algorithm, or its number.
func AlgorithmName(algorithm uint8) string {
	if name := dns.AlgorithmToString[algorithm]; name != "" {
		return name
	}
	return fmt.Sprint(algorithm)
}

// ParseAlgorithm reads the mnemonic or the number of an algorithm that keys may have.
func ParseAlgorithm(text string) (uint8, error) {
	for _, algorithm := range []uint8{ECDSAP256SHA256, ED25519} {
		if strings.EqualFold(text, AlgorithmName(algorithm)) || text == fmt.Sprint(algorithm) {
			return algorithm, nil
		}
	}
	return 0, fmt.Errorf("unknown algorithm %q (have %s, %s)", text, AlgorithmName(ECDSAP256SHA256), AlgorithmName(ED25519))
}

// setPrivate takes the 32 bytes of a private key and derives the rest.
func (k *Key) setPrivate(private []byte) error {
	switch k.Algorithm {
	case ECDSAP256SHA256:
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
		if err != nil {
			return err
		}
		public, err := key.PublicKey.Bytes()
		if err != nil {
			return err
		}
		k.ecdsa = key
		k.setPublic(public[1:]) // without the octet that says it is not compressed (RFC 6605, section 4)
	case ED25519:
		if len(private) != ed25519.SeedSize {
			return fmt.Errorf("%d bytes of a private key, want %d", len(private), ed25519.SeedSize)
		}
		k.ed25519 = ed25519.NewKeyFromSeed(private)
		k.setPublic(k.ed25519[ed25519.SeedSize:])
	}
	return nil
}

func (k *Key) setPublic(public []byte) {
	k.Public = bytes.Clone(public)
	k.Tag = keyTag(k.DNSKEY())
}

// privateBytes returns the 32 bytes of a private key, nil if there is none.
func (k *Key) privateBytes() []byte {
	switch {
	case k.ecdsa != nil:
		private, err := k.ecdsa.Bytes()
		if err != nil {
			panic(fmt.Sprintf("dnssec: key %s: %v", k.Name(), err)) // it was checked when it was parsed
		}
		return private
	case k.ed25519 != nil:
		return k.ed25519.Seed()
	}
	return nil
}

// CanSign reports whether the private part is there.
func (k *Key) CanSign() bool { return k.ecdsa != nil || k.ed25519 != nil }

// keyTag is the checksum by which signatures name keys (RFC 4034, appendix B).
func keyTag(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i&1))
	}
	return uint16(sum + sum>>16)
}

// DNSKEY returns the RDATA of the key's DNSKEY record (RFC 4034, section 2.1). That of its CDNSKEY is the same (RFC 7344,
// section 3.2).
func (k *Key) DNSKEY() []byte {
	data := binary.BigEndian.AppendUint16(nil, k.Flags)
	return append(append(data, 3, k.Algorithm), k.Public...)
}

// DS returns the RDATA of a DS record for the key (RFC 4034, section 5.1). digest is SHA256 or SHA384. That of a CDS is
// the same (RFC 7344, section 3.1).
func (k *Key) DS(digest uint8) ([]byte, error) {
	data := binary.BigEndian.AppendUint16(nil, k.Tag)
	data = append(data, k.Algorithm, digest)
	hashed := append(bytes.Clone(k.Apex), k.DNSKEY()...)
	switch digest {
	case SHA256:
		sum := sha256.Sum256(hashed)
		return append(data, sum[:]...), nil
	case SHA384:
		sum := sha512.Sum384(hashed)
		return append(data, sum[:]...), nil
	}
	return nil, fmt.Errorf("key %s: digest %d (have SHA-256: %d, SHA-384: %d)", k.Name(), digest, SHA256, SHA384)
}

// DeleteCDS and DeleteCDNSKEY return the RDATA that ask the parent to remove all DS records (RFC 8078, section 4).
func DeleteCDS() []byte { return []byte{0, 0, 0, 0, 0} }

// DeleteCDNSKEY is the same as a CDNSKEY record.
func DeleteCDNSKEY() []byte { return []byte{0, 0, 3, 0, 0} }

// WireName packs a name, in lower case.
func WireName(name string) ([]byte, error) {
	buffer := make([]byte, maxName+1)
	n, err := dns.PackDomainName(dns.CanonicalName(name), buffer, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%q is not a domain name (labels have 1 to 63 bytes, all together at most 255)", name)
	}
	return buffer[:n], nil
}

// TextName returns a name as text, fully qualified.
func TextName(name []byte) string {
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		panic(fmt.Sprintf("dnssec: name % x: %v", name, err)) // names in wire form were checked when they were packed
	}
	return text
}
