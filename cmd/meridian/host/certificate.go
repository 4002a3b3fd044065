package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
)

// certificateEvery is how often the files of the certificate are looked at for changes.
const certificateEvery = 5 * time.Second

// certificateMost bounds what is read of a file: a chain of certificates is some kilobytes.
const certificateMost = 1 << 20

// A certificate is what clients of encrypted transports are shown. Its files may change at any time; while they are
// damaged, what was read before stays in force.
type certificate struct {
	files  nodefile.TLS
	log    *slog.Logger
	reload chan struct{}

	current atomic.Pointer[tls.Certificate]
	seen    [2]fs.FileInfo // the files when they were read last; nil where there was none
	refused string         // why they were then; empty: they were not. They may be good again with no change that shows
	expired bool           // is said already
}

// openCertificate reads the files. An expired certificate is no reason not to start: it hurts only some of the clients.
func openCertificate(files nodefile.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, reload: make(chan struct{}, 1), seen: stat(files)}
	read, err := readCertificate(files)
	if err != nil {
		return nil, err
	}
	c.current.Store(read)
	c.tellExpiry(time.Now())
	return c, nil
}

// get is asked by each handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

func (c *certificate) run(ctx context.Context) {
	ticker := time.NewTicker(certificateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if now := stat(c.files); !same(now, c.seen) || c.refused != "" {
				c.again(now)
			}
		case <-c.reload:
			c.refused = "" // who asks is to hear
			c.again(stat(c.files))
		}
		c.tellExpiry(time.Now())
	}
}

// again reads the files, which are looked at before: what changes meanwhile shows the next time.
func (c *certificate) again(seen [2]fs.FileInfo) {
	c.seen = seen
	read, err := readCertificate(c.files)
	if err == nil && expired(read, time.Now()) && !expired(c.current.Load(), time.Now()) {
		err = expiredError(c.files.Certificate, read)
	}
	before := c.refused
	if c.refused = ""; err != nil {
		if c.refused = err.Error(); c.refused != before {
			c.log.Error("certificate refused, the one in force stays", "err", err)
		}
		return
	}
	c.current.Store(read)
	c.log.Info("certificate read", "file", c.files.Certificate, "not_after", read.Leaf.NotAfter)
}

func (c *certificate) tellExpiry(now time.Time) {
	was := c.expired
	c.expired = expired(c.current.Load(), now)
	if c.expired && !was {
		c.log.Error("certificate expired, clients will refuse it", "file", c.files.Certificate, "not_after", c.current.Load().Leaf.NotAfter)
	}
}

func expired(c *tls.Certificate, now time.Time) bool { return now.After(c.Leaf.NotAfter) }

func expiredError(file string, c *tls.Certificate) error {
	return fmt.Errorf("tls: %s: certificate expired on %s", file, c.Leaf.NotAfter.UTC().Format(time.RFC3339))
}

// gauge shows when the certificate in force expires.
func (c *certificate) gauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_dns_certificate_not_after_timestamp_seconds",
		Help: "When the certificate of the encrypted transports expires, in Unix time.",
	}, func() float64 { return float64(c.current.Load().Leaf.NotAfter.Unix()) })
}

// checkCertificate says what a start would find wrong with the files; here it matters that the certificate has expired.
func checkCertificate(files nodefile.TLS) error {
	if files == (nodefile.TLS{}) {
		return nil
	}
	read, err := readCertificate(files)
	if err == nil && expired(read, time.Now()) {
		err = expiredError(files.Certificate, read)
	}
	return err
}

func stat(files nodefile.TLS) (infos [2]fs.FileInfo) {
	for i, file := range []string{files.Certificate, files.Key} {
		infos[i], _ = os.Stat(file) // reading says what is wrong
	}
	return infos
}

func same(a, b [2]fs.FileInfo) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != b[i] {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() || a[i].Mode() != b[i].Mode() {
			return false
		}
	}
	return true
}

func readCertificate(files nodefile.TLS) (*tls.Certificate, error) {
	certificatePEM, noCertificate := readFile(files.Certificate, 0o777)
	keyPEM, noKey := readFile(files.Key, 0o700)
	if err := errors.Join(noCertificate, noKey); err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("tls: %s, %s: %w", files.Certificate, files.Key, err)
	}
	return &c, nil
}

// readFile reads a file that nobody but those that the mask allows may touch, by the mode of the very file it reads.
func readFile(file string, mask fs.FileMode) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if mode := info.Mode().Perm(); mode&^mask != 0 {
		return nil, fmt.Errorf("tls: %s: mode %04o lets others at the key, want 0600", file, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, certificateMost))
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return text, nil
}
