package host

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
)

// A store keeps a node's records in a directory, one file each. The first line of a file says what it is and the
// checksum of the rest, so that a damaged one is told from a good one.
type store struct{ dir string }

const (
	recordSuffix = ".record"
	newInfix     = ".record-new-" // a record that is being written, or whose writer was stopped
)

const recordHeader = "meridian record v1 crc32 "

var errDamaged = errors.New("damaged")

// openStore makes the directory if it is not there, and removes what a crash left half-written.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if !strings.Contains(e.Name(), newInfix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	return &store{dir}, nil
}

// load returns the records, and what was damaged: those files are set aside under another name.
func (s *store) load(now time.Time) (records []node.Record, damaged []error, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) || e.IsDir() {
			continue
		}
		name := filepath.Join(s.dir, e.Name())
		data, err := readRecord(name)
		if errors.Is(err, errDamaged) {
			aside := fmt.Sprintf("%s.damaged-%d", name, now.Unix())
			if err := os.Rename(name, aside); err != nil {
				return nil, nil, err
			}
			damaged = append(damaged, fmt.Errorf("%w; set aside as %s", err, aside))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		records = append(records, node.Record{Name: strings.TrimSuffix(filepath.Base(name), recordSuffix), Data: data})
	}
	return records, damaged, nil
}

func readRecord(name string) ([]byte, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	header, data, _ := bytes.Cut(file, []byte("\n"))
	if string(header) != headerOf(data) {
		return nil, fmt.Errorf("%s: %w: header %.60q does not fit the content", name, errDamaged, header)
	}
	return data, nil
}

func headerOf(data []byte) string {
	return fmt.Sprintf("%s%08x", recordHeader, crc32.ChecksumIEEE(data))
}

// save replaces a record. Whenever the process or the machine stops, the file holds the old one or the new one; with
// Sync it is the new one when save returns.
func (s *store) save(r node.Record) error {
	temporary, err := s.write(r)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(s.dir, r.Name+recordSuffix)); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if r.Sync {
		return disk.SyncDir(s.dir)
	}
	return nil
}

// write puts a record into a new file.
func (s *store) write(r node.Record) (name string, err error) {
	file, err := os.CreateTemp(s.dir, r.Name+newInfix+"*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(file, "%s\n%s", headerOf(r.Data), r.Data)
	if err == nil {
		err = file.Sync() // or the file could be empty after a power cut, under its final name
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}
