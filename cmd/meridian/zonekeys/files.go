// Package zonekeys keeps the DNSSEC keys of zones as files, and drives their rolls by hand.
//
// A directory holds key files as BIND has them and, once the keys of a zone are in use, ZONE.keys.json with their state.
// It never overwrites the file of another key, never prints a secret, and refuses private files that others can read. It
// makes no signatures: whatever serves the zone reads the timing in the key files.
package zonekeys

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

const (
	stateSuffix = "keys.json" // behind the zone's name and its dot
	maxFile     = 1 << 20     // bytes
)

// Load reads the keys of a zone from a directory, of all zones if zone is empty, ordered by zone, KSKs first, then tag. Keys
// without a .private file can't sign. An error names the file.
func Load(dir, zone string) ([]*dnssec.Key, error) {
	prefix := "K"
	if zone != "" {
		var err error
		if prefix, err = dnssec.FilePrefix(zone); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var keys []*dnssec.Key
	for _, e := range entries {
		base, isKey := strings.CutSuffix(e.Name(), ".key")
		if !isKey || !strings.HasPrefix(base, prefix) {
			continue
		}
		k, err := loadKey(filepath.Join(dir, base))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, e.Name()), err)
		}
		if k.Name() != base {
			return nil, fmt.Errorf("%s holds the key %s", filepath.Join(dir, e.Name()), k.Name())
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b *dnssec.Key) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), -cmp.Compare(a.Flags, b.Flags), cmp.Compare(a.Tag, b.Tag))
	})
	return keys, nil
}

func loadKey(base string) (*dnssec.Key, error) {
	public, err := readFile(base + ".key")
	if err != nil {
		return nil, err
	}
	private, err := readFile(base + ".private")
	if errors.Is(err, fs.ErrNotExist) {
		return dnssec.Parse(public, nil)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(base + ".private")
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s.private has the mode %04o: others can read it, want 0600", base, mode)
	}
	return dnssec.Parse(public, private)
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", name, info.Size(), maxFile)
	}
	return os.ReadFile(name)
}

// Create writes the files of a new key.
func Create(dir string, k *dnssec.Key) error {
	base := filepath.Join(dir, k.Name())
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{base + ".private", k.PrivateFile(), 0o600}, {base + ".key", k.PublicFile(), 0o644}} {
		file, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return err
		}
		if err := finish(file, f.data); err != nil {
			return err
		}
	}
	return nil
}

// renew writes the files of a key with another timing.
func renew(dir string, k *dnssec.Key) error {
	base := filepath.Join(dir, k.Name())
	if k.CanSign() {
		if err := replace(base+".private", k.PrivateFile(), 0o600); err != nil {
			return err
		}
	}
	return replace(base+".key", k.PublicFile(), 0o644)
}

// replace puts a file in the place of another, whole or not at all.
func replace(name string, data []byte, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // it is gone if all went well
	if err := errors.Join(file.Chmod(mode), finish(file, data)); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// finish writes a file, and to the disk.
func finish(file *os.File, data []byte) error {
	_, err := file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// LoadState reads the state of a zone's keys; without a file it is that of a zone without keys.
func LoadState(dir, zone string, now time.Time) (*dnssec.State, error) {
	s, err := dnssec.NewState(zone, now)
	if err != nil {
		return nil, err
	}
	name, err := stateFile(dir, zone)
	if err != nil {
		return nil, err
	}
	data, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := dnssec.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if known.Zone != s.Zone {
		return nil, fmt.Errorf("%s is of zone %s, not %s", name, known.Zone, s.Zone)
	}
	return known, nil
}

func saveState(dir string, s *dnssec.State) error {
	name, err := stateFile(dir, s.Zone)
	if err != nil {
		return err
	}
	return replace(name, append(bytes.TrimSpace(s.Encode()), '\n'), 0o600)
}

func stateFile(dir, zone string) (string, error) {
	prefix, err := dnssec.FilePrefix(zone)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, prefix[1:len(prefix)-1]+stateSuffix), nil
}
