package transfer

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
)

// newInfix is in the name of a file that is being written, or whose writer was stopped.
const newInfix = ".new-"

func shortSum(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}

// writeFile replaces a file. Whenever the machine stops, the file holds the old content or the new one.
func writeFile(name string, content []byte) error {
	return replaceFile(name, func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}

// replaceFile replaces a file by what write writes, if that goes well.
func replaceFile(name string, write func(*os.File) error) error {
	temporary, err := successor(name, write)
	if err != nil {
		return err
	}
	return succeed(temporary, name)
}

// successor writes what is to replace a file, beside it, and returns its name.
func successor(name string, write func(*os.File) error) (temporary string, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+newInfix+"*") // mode 0600
	if err != nil {
		return "", err
	}
	if err = write(f); err == nil {
		err = f.Sync() // or the file could be empty after a power cut, under its final name
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// succeed puts a successor in the place of a file.
func succeed(temporary, name string) error {
	if err := os.Rename(temporary, name); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}
