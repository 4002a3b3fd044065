package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/meridian-gslb/meridian/health/gossip"
)

// ringMost bounds what is read of a file.
const ringMost = 4096

// ReadRing reads the keys of a mesh: a line of 64 hexadecimal digits each, in a file that only its owner reads. No error
// says what is in it.
func ReadRing(file string) ([][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %04o lets others read it, want 0600", file, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, ringMost+1))
	if err != nil {
		return nil, err
	}
	if len(text) > ringMost {
		return nil, fmt.Errorf("%s: more than %d bytes", file, ringMost)
	}
	var ring [][]byte
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("%s:%d: want 64 hexadecimal digits", file, i+1)
		}
		if has(ring, gossip.Fingerprint(key)) >= 0 {
			return nil, fmt.Errorf("%s:%d: key %s is there twice", file, i+1, gossip.Fingerprint(key))
		}
		ring = append(ring, key)
	}
	if len(ring) == 0 || len(ring) > gossip.MaxKeys {
		return nil, fmt.Errorf("%s: %d keys, want 1 to %d", file, len(ring), gossip.MaxKeys)
	}
	return ring, nil
}

func has(ring [][]byte, fingerprint string) int {
	for i, key := range ring {
		if gossip.Fingerprint(key) == fingerprint {
			return i
		}
	}
	return -1
}

// writeRing replaces the file: whenever the program stops it holds the old keys or the new ones. It stays where a symbolic link
// leads to, and its owner's, who is the node that reads it.
func writeRing(file string, ring [][]byte) error {
	var text bytes.Buffer
	for _, key := range ring {
		fmt.Fprintln(&text, hex.EncodeToString(key))
	}
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	if err := replace(file, text.Bytes()); err != nil {
		return fmt.Errorf("%s is not changed: %w", file, err)
	}
	return nil
}

func replace(file string, text []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err = f.Chown(int(owner.Uid), -1); err == nil {
		_ = f.Chown(-1, int(owner.Gid)) // not everybody may, and nothing is the group's with this mode
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// AddToRing makes a new key, that is taken and not sent under, and returns its fingerprint.
func AddToRing(file string) (string, error) {
	ring, err := ReadRing(file)
	if err != nil {
		return "", err
	}
	if len(ring) == gossip.MaxKeys {
		return "", fmt.Errorf("%s has %d keys already: remove one first", file, len(ring))
	}
	key := make([]byte, 32)
	rand.Read(key)
	return gossip.Fingerprint(key), writeRing(file, append(ring, key))
}

// UseInRing makes a key the one that is sent under.
func UseInRing(file, fingerprint string) error {
	ring, i, err := inRing(file, fingerprint)
	if err != nil || i == 0 {
		return err
	}
	key := ring[i]
	copy(ring[1:], ring[:i])
	ring[0] = key
	return writeRing(file, ring)
}

// RemoveFromRing forgets a key.
func RemoveFromRing(file, fingerprint string) error {
	ring, i, err := inRing(file, fingerprint)
	if err != nil {
		return err
	}
	if i == 0 {
		return fmt.Errorf("%s: key %s is the one that is sent under: use another first", file, fingerprint)
	}
	return writeRing(file, append(ring[:i], ring[i+1:]...))
}

func inRing(file, fingerprint string) (ring [][]byte, i int, err error) {
	if ring, err = ReadRing(file); err != nil {
		return nil, 0, err
	}
	if i = has(ring, fingerprint); i < 0 {
		var have []string
		for _, key := range ring {
			have = append(have, gossip.Fingerprint(key))
		}
		return nil, 0, fmt.Errorf("%s: no key %q (have %s)", file, fingerprint, strings.Join(have, ", "))
	}
	return ring, i, nil
}
