package host

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
)

// pair makes a certificate with a serial number, and its key.
func pair(t *testing.T, serial int64, notAfter time.Time) (certificatePEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"ns1.example.com"}, NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// A lockedLog takes log lines from any goroutine.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// take returns the messages since the last call.
func (l *lockedLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var messages []string
	for line := range strings.Lines(l.text.String()) {
		_, message, _ := strings.Cut(line, `msg="`)
		message, _, _ = strings.Cut(message, `"`)
		messages = append(messages, message)
	}
	l.text.Reset()
	return strings.Join(messages, "; ")
}

func TestCertificateIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		files := nodefile.TLS{Certificate: filepath.Join(dir, "ns1.crt"), Key: filepath.Join(dir, "ns1.key")}
		put := func(serial int64, life time.Duration) func() {
			return func() {
				certificatePEM, keyPEM := pair(t, serial, time.Now().Add(life))
				write(t, files.Certificate, certificatePEM)
				write(t, files.Key, keyPEM)
			}
		}
		const day = 24 * time.Hour
		certificate, key := pair(t, 11, time.Now().Add(day))
		stamped := func(text string) { // the files look the same, whatever is in them
			write(t, files.Certificate, text)
			write(t, files.Key, key)
			for _, file := range []string{files.Certificate, files.Key} {
				if err := os.Chtimes(file, time.Time{}, time.Now().Truncate(day)); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(1, day)()
		log := new(lockedLog)
		c, err := openCertificate(files, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.run(ctx)
		}()
		const read, refused = "certificate read", "certificate refused, the one in force stays"
		for _, event := range []struct {
			reason string
			after  time.Duration
			do     func()
			serial int64
			log    string
		}{
			{"nothing changes", 0, func() {}, 1, ""},
			{"a new pair", 0, put(2, day), 2, read},
			{"a damaged certificate", 0, func() { write(t, files.Certificate, "torn") }, 2, refused},
			{"it stays damaged", time.Minute, func() {}, 2, ""},
			{"another pair", 0, put(3, day), 3, read},
			{"the key alone is new", 0, func() {
				_, keyPEM := pair(t, 4, time.Now().Add(day))
				write(t, files.Key, keyPEM)
			}, 3, refused},
			{"a pair again", 0, put(5, day), 5, read},
			{"others may read the key", 0, func() { loosen(t, files.Key) }, 5, refused},
			{"they may not", 0, func() {
				if err := os.Chmod(files.Key, 0o600); err != nil {
					t.Fatal(err)
				}
			}, 5, read},
			{"no key", 0, func() { os.Remove(files.Key) }, 5, refused},
			{"still none", time.Minute, func() {}, 5, ""},
			{"renamed into place", 0, func() {
				put(6, day)()
				if err := os.Rename(files.Key, files.Key+".new"); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(files.Key+".new", files.Key); err != nil {
					t.Fatal(err)
				}
			}, 6, read},
			{"an expired one", 0, put(7, -time.Hour), 6, refused},
			{"one that lives an hour", 0, put(8, time.Hour), 8, read},
			{"it expires", time.Hour, func() {}, 8, "certificate expired, clients will refuse it"},
			{"expired for a while", time.Hour, func() {}, 8, ""},
			{"an expired one is as good", 0, put(9, -time.Hour), 9, read},
			{"asked for", 0, func() { c.reload <- struct{}{} }, 9, read},
			{"a good one", 0, put(10, day), 10, read},
			{"damaged again", 0, func() { stamped(strings.Repeat("x", len(certificate))) }, 10, refused},
			{"mended in a way that does not show", time.Minute, func() { stamped(certificate) }, 11, read},
		} {
			time.Sleep(event.after)
			event.do()
			time.Sleep(certificateEvery)
			synctest.Wait()
			shown, err := c.get(nil)
			if err != nil || shown.Leaf.SerialNumber.Int64() != event.serial {
				t.Errorf("%s: certificate %v, %v, want %d", event.reason, shown.Leaf.SerialNumber, err, event.serial)
			}
			if got := log.take(); got != event.log {
				t.Errorf("%s: log %q, want %q", event.reason, got, event.log)
			}
		}
		cancel()
		<-done
	})
}

func TestOpenCertificate(t *testing.T) {
	dir := t.TempDir()
	files := nodefile.TLS{Certificate: filepath.Join(dir, "ns1.crt"), Key: filepath.Join(dir, "ns1.key")}
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	certificatePEM, keyPEM := pair(t, 1, at)
	_, otherPEM := pair(t, 2, at)
	for _, tt := range []struct {
		reason           string
		certificate, key string
		mode             os.FileMode
		want             string // with DIR for the directory
		log              string
	}{
		{"no certificate", "", keyPEM, 0o600, "tls: open DIR/ns1.crt: no such file or directory", ""},
		{"no key", certificatePEM, "", 0o600, "tls: open DIR/ns1.key: no such file or directory", ""},
		{"a key that others may read", certificatePEM, keyPEM, 0o640, "tls: DIR/ns1.key: mode 0640 lets others at the key, want 0600", ""},
		{"a key of another certificate", certificatePEM, otherPEM, 0o600, "tls: DIR/ns1.crt, DIR/ns1.key: tls: private key does not match public key", ""},
		{"an expired certificate", certificatePEM, keyPEM, 0o600, "<nil>", "certificate expired, clients will refuse it"},
	} {
		os.Remove(files.Certificate)
		os.Remove(files.Key)
		if tt.certificate != "" {
			write(t, files.Certificate, tt.certificate)
		}
		if tt.key != "" {
			write(t, files.Key, tt.key)
			if err := os.Chmod(files.Key, tt.mode); err != nil {
				t.Fatal(err)
			}
		}
		log := new(lockedLog)
		_, err := openCertificate(files, slog.New(slog.NewTextHandler(log, nil)))
		if got := fmt.Sprint(err); got != strings.ReplaceAll(tt.want, "DIR", dir) {
			t.Errorf("%s: openCertificate() = %s, want %s", tt.reason, got, tt.want)
		}
		if got := log.take(); got != tt.log {
			t.Errorf("%s: log %q, want %q", tt.reason, got, tt.log)
		}
		if err := checkCertificate(files); tt.want == "<nil>" && fmt.Sprint(err) != "tls: "+files.Certificate+": certificate expired on 2020-01-02T03:04:05Z" {
			t.Errorf("%s: checkCertificate() = %v, want that it is expired", tt.reason, err)
		}
	}
}
