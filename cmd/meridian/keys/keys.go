// Package keys makes the files of secrets and certificates that the nodes of a cluster need.
//
// It never overwrites a file, and never prints a secret. Files with secrets are readable
// by their owner only.
package keys

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
)

// Names of the files in a directory of keys. A node's are NAME.crt and NAME.key.
const (
	CACertificate = "ca.crt"
	CAKey         = "ca.key"
	Gossip        = "gossip.key"
)

// caValidity is how long a CA is good for.
const caValidity = 10 * 365 * 24 * time.Hour

// Init makes a directory with the CA of a new cluster and the key of its mesh.
func Init(dir, cluster string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	gossip := filepath.Join(dir, Gossip)
	if _, err := os.Lstat(gossip); err == nil {
		return fmt.Errorf("%s is there already; it is not overwritten", gossip)
	}
	certificate, key, err := pki.NewCA(cluster, time.Now(), caValidity)
	if err != nil {
		return err
	}
	if err := pki.WritePair(filepath.Join(dir, CACertificate), certificate, filepath.Join(dir, CAKey), key); err != nil {
		return err
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	file, err := os.OpenFile(gossip, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(file, hex.EncodeToString(secret)); err != nil {
		return err
	}
	return file.Close()
}

// Issue makes the certificate and key of a node by the CA in a directory.
func Issue(dir string, id pki.Identity, validity time.Duration) error {
	ca, err := pki.LoadCA(filepath.Join(dir, CACertificate), filepath.Join(dir, CAKey))
	if err != nil {
		return err
	}
	certificate, key, err := ca.Issue(id, time.Now(), validity)
	if err != nil {
		return err
	}
	return pki.WritePair(filepath.Join(dir, string(id.Name)+".crt"), certificate, filepath.Join(dir, string(id.Name)+".key"), key)
}
