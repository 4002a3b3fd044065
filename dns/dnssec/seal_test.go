package dnssec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func TestSeal(t *testing.T) {
	cluster := bytes.Repeat([]byte{7}, ClusterKeySize)
	sealed, err := Seal(cluster, []byte("secret"), "here", seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := Open(cluster, sealed, "here"); err != nil || string(secret) != "secret" {
		t.Errorf("Open = %q, %v", secret, err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the secret is not hidden")
	}
	// What was sealed by this version must be opened by later ones.
	const golden = "016ae6783f4fbde91b6eb88b73129f077984de2a41d2b7392e629c4b0019ac029b3b3c"
	if got := hex.EncodeToString(sealed); got != golden {
		t.Errorf("sealed %s, want %s", got, golden)
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := Open(cluster, damaged, "here"); !errors.Is(err, ErrSeal) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := Open(cluster, sealed[:n], "here"); !errors.Is(err, ErrSeal) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := Open(cluster, sealed, "there"); !errors.Is(err, ErrSeal) {
		t.Errorf("another context: %v", err)
	}
	if _, err := Open(bytes.Repeat([]byte{8}, ClusterKeySize), sealed, "here"); !errors.Is(err, ErrSeal) {
		t.Errorf("another cluster: %v", err)
	}
	if _, err := Seal(cluster[:31], nil, "", seeded(1)); err == nil {
		t.Error("a short cluster key is taken")
	}
	if _, err := Seal(cluster, nil, "", bytes.NewReader(nil)); err == nil {
		t.Error("sealed without random numbers")
	}
}

func TestSealKey(t *testing.T) {
	cluster := bytes.Repeat([]byte{7}, ClusterKeySize)
	k := newTestKey(t, "example.", FlagsKSK, ECDSAP256SHA256, 1)
	state, err := SealKey(cluster, k, seeded(2))
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKey(cluster, "example.", state)
	if err != nil || !bytes.Equal(again.privateBytes(), k.privateBytes()) {
		t.Errorf("OpenKey = %v, %v", again, err)
	}
	other := NewKeyState(newTestKey(t, "example.", FlagsKSK, ECDSAP256SHA256, 3))
	other.Sealed = state.Sealed
	if _, err := OpenKey(cluster, "example.", other); !errors.Is(err, ErrSeal) {
		t.Errorf("the private part of one key opened as that of another: %v", err)
	}
	public, err := Parse(k.PublicFile(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SealKey(cluster, public, seeded(2)); err == nil {
		t.Error("sealed a private key that is not there")
	}
}
