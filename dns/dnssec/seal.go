package dnssec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

const (
	// ClusterKeySize is the size in bytes of the key that the nodes of a cluster share.
	ClusterKeySize = 32

	sealVersion = 1
	sealLabel   = "meridian dnssec private keys, version 1"
	sealNonce   = 12 // bytes
)

// ErrSeal is returned by Open where bytes were sealed by another key, for another context, or changed on the way: it
// can't tell which.
var ErrSeal = errors.New("sealed by another key or for another use, or damaged")

// Seal encrypts a secret for the nodes of a cluster: AES-256-GCM by a key that HKDF-SHA256 (RFC 5869) derives from the
// cluster's, with 12 bytes of random as nonce, good for 2^32 secrets. context says what it is for and is not secret; Open
// needs the same.
func Seal(cluster, secret []byte, context string, random io.Reader) ([]byte, error) {
	aead, err := sealer(cluster)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, 1+sealNonce, 1+sealNonce+len(secret)+aead.Overhead())
	sealed[0] = sealVersion
	if _, err := io.ReadFull(random, sealed[1:]); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead.Seal(sealed, sealed[1:], secret, []byte(context)), nil
}

// Open returns what Seal was given.
func Open(cluster, sealed []byte, context string) ([]byte, error) {
	aead, err := sealer(cluster)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 1+sealNonce || sealed[0] != sealVersion {
		return nil, fmt.Errorf("%d sealed bytes are not of version %d: %w", len(sealed), sealVersion, ErrSeal)
	}
	secret, err := aead.Open(nil, sealed[1:1+sealNonce], sealed[1+sealNonce:], []byte(context))
	if err != nil {
		return nil, ErrSeal
	}
	return secret, nil
}

func sealer(cluster []byte) (cipher.AEAD, error) {
	if len(cluster) != ClusterKeySize {
		return nil, fmt.Errorf("cluster key of %d bytes, want %d", len(cluster), ClusterKeySize)
	}
	key, err := hkdf.Key(sha256.New, cluster, nil, sealLabel, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SealKey returns a key as a state has it, doing nothing yet, with its private part sealed.
func SealKey(cluster []byte, k *Key, random io.Reader) (KeyState, error) {
	state := NewKeyState(k)
	if !k.CanSign() {
		return state, fmt.Errorf("key %s: the private key is not here", k.Name())
	}
	var err error
	state.Sealed, err = Seal(cluster, k.PrivateFile(), k.Name(), random)
	return state, err
}

// OpenKey returns a key of a zone with its private part.
func OpenKey(cluster []byte, zone string, state KeyState) (*Key, error) {
	k, err := state.Key(zone)
	if err != nil {
		return nil, err
	}
	private, err := Open(cluster, state.Sealed, k.Name())
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.Name(), err)
	}
	return Parse(k.PublicFile(), private)
}
