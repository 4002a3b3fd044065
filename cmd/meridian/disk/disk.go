// Package disk is how the program's stores make files that last, and read one that still grows.
//
// It decides nothing of what is kept or for how long.
package disk

import (
	"errors"
	"io"
	"os"
)

// Create makes a file that is only written to at its end, with mode 0600. One that is there already is an error that wraps os.ErrExist.
func Create(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// SyncDir makes what was created, renamed or removed in a directory survive a loss of power.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Part opens a file to be read from a place on, up to a size in all: what is behind that may just be written.
func Part(name string, from, size int64) (io.ReadCloser, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return part{io.LimitReader(file, max(0, size-from)), file}, nil
}

type part struct {
	io.Reader
	io.Closer
}
