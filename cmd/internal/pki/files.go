package pki

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// The modes of files: a key is its owner's alone.
const (
	keyMode         fs.FileMode = 0o600
	certificateMode fs.FileMode = 0o644
)

// LoadCA reads an authority's certificate and key.
func LoadCA(certFile, keyFile string) (*CA, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	keyPEM, err := readKey(keyFile)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	ca, err := ParseCA(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("pki: %s, %s: %w", certFile, keyFile, err)
	}
	return ca, nil
}

// LoadNode reads a node's certificate and key, and the certificate of the authority. The error names every file that can't be
// read, and the key of node.yaml that says it.
func LoadNode(certFile, keyFile, caFile string) (*Node, error) {
	var errs []error
	read := func(key, file string, read func(string) ([]byte, error)) []byte {
		text, err := read(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("keys.%s: %w", key, err))
		}
		return text
	}
	certPEM := read("certificate", certFile, os.ReadFile)
	keyPEM := read("key", keyFile, readKey)
	caPEM := read("ca", caFile, os.ReadFile)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	n, err := NewNode(certPEM, keyPEM, caPEM)
	if err != nil {
		return nil, fmt.Errorf("keys.certificate %s, keys.key %s, keys.ca %s: %w", certFile, keyFile, caFile, err)
	}
	return n, nil
}

// WritePair writes a certificate and its key to two new files. If either is there already, neither is touched.
func WritePair(certFile string, certPEM []byte, keyFile string, keyPEM []byte) error {
	if err := writeNew(keyFile, keyPEM, keyMode); err != nil {
		return err
	}
	if err := writeNew(certFile, certPEM, certificateMode); err != nil {
		os.Remove(keyFile) // nothing holds the certificate of a key just made
		return err
	}
	return nil
}

func writeNew(file string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("pki: %w", err) // of O_EXCL: open FILE: file exists
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(file)
		return fmt.Errorf("pki: %w", err)
	}
	return nil
}

// readKey refuses a key that group or others may touch, by the mode of the very file it reads.
func readKey(file string) ([]byte, error) {
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
		return nil, fmt.Errorf("%s: mode %04o lets others at the key, want %04o", file, mode, keyMode)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096)) // a PKCS #8 Ed25519 key is 119 bytes of PEM
	if err != nil {
		return nil, err
	}
	return text, nil
}
