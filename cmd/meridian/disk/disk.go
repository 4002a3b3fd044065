// Package disk is how the program's stores make files that last, and read one that still grows.
//
// It decides nothing of what is kept or for how long. Always holds: no file that is there is
// written to by two stores.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A File is only written to at its end.
type File interface {
	io.WriteCloser
	Sync() error
}

// Create makes a file with mode 0600. One that is there already is an error that wraps os.ErrExist.
func Create(name string) (File, error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Numbered is the name of a file that is one of a sequence: in the order of the names, the numbers rise.
func Numbered(number uint64, suffix string) string { return fmt.Sprintf("%016d%s", number, suffix) }

// Next has the file of a sequence made whose number is the next above one that is not taken, and returns the number.
func Next(dir string, above uint64, suffix string, create func(name string) (File, error)) (File, uint64, error) {
	for number := above + 1; ; number++ {
		file, err := create(filepath.Join(dir, Numbered(number, suffix)))
		if !errors.Is(err, os.ErrExist) {
			return file, number, err
		}
	}
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
