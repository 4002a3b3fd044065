package dnssec

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// A Cover says how a set is signed.
type Cover struct {
	TTL         uint32 // of the RRSIG record: that of the set it travels with
	OriginalTTL uint32 // at least every TTL that the set is served with
	Labels      uint8  // of the owner, see Labels; fewer: the set is given by the wildcard with so many
	// Both in seconds of serial number arithmetic (RFC 4034, section 3.1.5), see Window.
	Inception, Expiration uint32
}

// AppendRRSIG appends the RRSIG record over a set, both in answer form. The records of a set share their type and class
// IN; their order, their TTL, repeated ones and the case of names in them do not count. owner is the wildcard or, with the
// labels of the wildcard, the name that was asked: both give the same. dst is grown by the size of the set while it
// works. It fails if the set is not in answer form, if RDATA does not fit its type, or without the private key.
func (k *Key) AppendRRSIG(dst, owner, set []byte, c Cover) ([]byte, error) {
	if !k.CanSign() {
		return nil, fmt.Errorf("key %s: the private key is not here", k.Name())
	}
	data := len(dst) + recordHead
	out := k.appendHead(dst, c)
	signature := len(out)
	// What is signed follows where the signature will be.
	out, rrtype, err := appendSigned(out, owner, set, c)
	if err != nil {
		return nil, fmt.Errorf("sign %s by key %s: %w", TextName(owner), k.Name(), err)
	}
	binary.BigEndian.PutUint16(out[data:], rrtype)
	var made [signatureSize]byte
	if err := k.sign(&made, out[data:]); err != nil {
		return nil, fmt.Errorf("sign %s by key %s: %w", TextName(owner), k.Name(), err)
	}
	return append(out[:signature], made[:]...), nil
}

// appendHead appends an RRSIG record up to its signature, for a set of no type yet.
func (k *Key) appendHead(dst []byte, c Cover) []byte {
	dst = appendHead(dst, typeRRSIG, c.TTL, 18+len(k.Apex)+signatureSize)
	dst = append(dst, 0, 0, k.Algorithm, c.Labels)
	dst = binary.BigEndian.AppendUint32(dst, c.OriginalTTL)
	dst = binary.BigEndian.AppendUint32(dst, c.Expiration)
	dst = binary.BigEndian.AppendUint32(dst, c.Inception)
	dst = binary.BigEndian.AppendUint16(dst, k.Tag)
	return append(dst, k.Apex...)
}

// sign makes a signature that depends on key and message alone (RFC 6979 and RFC 8032).
func (k *Key) sign(signature *[signatureSize]byte, message []byte) error {
	if k.ed25519 != nil {
		copy(signature[:], ed25519.Sign(k.ed25519, message))
		return nil
	}
	digest := sha256.Sum256(message)
	der, err := k.ecdsa.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	return fromDER(signature, der)
}

// fromDER brings a signature into the form of RFC 6605, section 4: r and s, 32 bytes each.
func fromDER(signature *[signatureSize]byte, der []byte) error {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return fmt.Errorf("signature % x is no sequence", der)
	}
	rest := der[2:]
	for _, half := range [][]byte{signature[:32], signature[32:]} {
		if len(rest) < 2 || rest[0] != 0x02 || len(rest) < 2+int(rest[1]) {
			return fmt.Errorf("signature % x does not hold two numbers", der)
		}
		number := rest[2 : 2+int(rest[1])]
		rest = rest[2+len(number):]
		for len(number) > 0 && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > len(half) {
			return fmt.Errorf("signature % x has a number of %d bytes", der, len(number))
		}
		copy(half[len(half)-len(number):], number)
	}
	return nil
}
