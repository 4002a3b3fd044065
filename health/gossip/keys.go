package gossip

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// MaxKeys bounds a keyring: every packet under none of them is tried with each.
const MaxKeys = 4

const keySize = 32 // AES-256

// Fingerprint names a key without giving it away.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(append([]byte("meridian gossip key "), key...))
	return hex.EncodeToString(sum[:fingerprintSize])
}

const fingerprintSize = 4

func checkKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return errors.New("no key")
	}
	if len(keys) > MaxKeys {
		return fmt.Errorf("%d keys, want at most %d", len(keys), MaxKeys)
	}
	for i, key := range keys {
		if len(key) != keySize {
			return fmt.Errorf("key of %d bytes, want %d", len(key), keySize)
		}
		for _, before := range keys[:i] {
			if bytes.Equal(before, key) {
				return fmt.Errorf("key %s is there twice", Fingerprint(key))
			}
		}
	}
	return nil
}

// SetKeys changes the keys that packets and streams may be under, while they go on. The first is the one that this node
// sends under: every other node must have it by then. The keys are copied.
func (m *Mesh) SetKeys(keys [][]byte) error {
	if err := checkKeys(keys); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	m.setting.Lock()
	defer m.setting.Unlock()
	use := func(key []byte) {
		if err := m.ring.UseKey(key); err != nil {
			panic(fmt.Sprintf("gossip: key %s was just added: %v", Fingerprint(key), err))
		}
	}
	wanted := func(key []byte) bool {
		return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
	}
	for _, key := range keys {
		if err := m.ring.AddKey(bytes.Clone(key)); err != nil {
			return fmt.Errorf("gossip: key %s: %w", Fingerprint(key), err)
		}
	}
	use(keys[0])
	for {
		ring := m.ring.GetKeys()
		last := ring[len(ring)-1]
		switch {
		case !wanted(last): // only the last one: memberlist would move the others while packets are tried with them
			if err := m.ring.RemoveKey(last); err != nil {
				return fmt.Errorf("gossip: key %s: %w", Fingerprint(last), err)
			}
		case slices.ContainsFunc(ring, func(k []byte) bool { return !wanted(k) }):
			for _, key := range slices.Backward(keys) { // to the front, so that the others come last
				use(key)
			}
		default:
			m.reach.setKeys(keys)
			return nil
		}
	}
}
