package probe

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/meridian-gslb/meridian/health"
)

// A padder is the server's end of TLS 1.3 that puts each byte into a record of its own, filled up to 16 KiB, which crypto/tls does not do.
type padder struct {
	*tls.Conn
	wire   net.Conn
	aead   cipher.AEAD
	iv     []byte
	number uint64 // of the next record
}

// pad makes the handshake of a padder.
func pad(conn net.Conn, config *tls.Config) (*padder, error) {
	keys := new(strings.Builder)
	config = config.Clone()
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, keys
	p := &padder{Conn: tls.Server(conn, config), wire: conn}
	if err := p.Handshake(); err != nil {
		return nil, err
	}
	if suite := p.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("this machine prefers %s, which a padder does not know", tls.CipherSuiteName(suite))
	}
	_, line, _ := strings.Cut(keys.String(), "SERVER_TRAFFIC_SECRET_0 ")
	_, secret, _ := strings.Cut(line, " ")
	key, err := derive(secret, "key", 16)
	if err != nil {
		return nil, err
	}
	if p.iv, err = derive(secret, "iv", 12); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	p.aead, err = cipher.NewGCM(block)
	return p, err
}

// derive makes a key of a secret in hexadecimal (RFC 8446, section 7.1).
func derive(secret, label string, length int) ([]byte, error) {
	bytes, err := hex.DecodeString(strings.TrimSpace(secret))
	if err != nil {
		return nil, err
	}
	label = "tls13 " + label
	info := append(binary.BigEndian.AppendUint16(nil, uint16(length)), byte(len(label)))
	return hkdf.Expand(sha256.New, bytes, string(append(append(info, label...), 0)), length)
}

func (p *padder) Write(b []byte) (int, error) {
	const inner = 1 << 14
	for i := range b {
		record := make([]byte, inner)
		record[0], record[1] = b[i], 23 // application data, and zeros
		header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(inner+p.aead.Overhead()))
		nonce := make([]byte, len(p.iv))
		binary.BigEndian.PutUint64(nonce[4:], p.number)
		for j := range nonce {
			nonce[j] ^= p.iv[j]
		}
		p.number++
		if _, err := p.wire.Write(p.aead.Seal(header, nonce, record, header)); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// A server that sends hardly anything in much padding is read no longer than one that sends much.
func TestPadding(t *testing.T) {
	for _, row := range []struct {
		why    string
		kind   string
		serve  func(io.ReadWriter)
		detail string
	}{
		{"a head", health.KindHTTPS, func(c io.ReadWriter) {
			http.ReadRequest(bufio.NewReader(c))
			for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"); err == nil; {
				_, err = io.WriteString(c, "A: b\r\n")
			}
		}, "answer: more bytes than a probe reads"},
		{"a body", health.KindHTTPS, func(c io.ReadWriter) {
			http.ReadRequest(bufio.NewReader(c))
			for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err == nil; {
				_, err = io.WriteString(c, "x")
			}
		}, "body: more bytes than a probe reads"},
		{"frames", health.KindGRPC, func(c io.ReadWriter) {
			io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
			go io.Copy(io.Discard, c)
			f := http2.NewFramer(c, nil)
			for err := f.WriteSettings(); err == nil; {
				err = f.WritePing(false, [8]byte{})
			}
		}, "first byte: more bytes than a probe reads"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			certificate := certificateUntil(t, w.begin.Add(day))
			sent := 0
			w.set(place(1), func(conn net.Conn) {
				padder, err := pad(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
				if err != nil {
					t.Error(err)
					return
				}
				row.serve(padder)
				sent = int(padder.number) << 14
			})
			target := &health.Target{
				Kind: row.kind, Address: place(1), Interval: 10 * time.Second, ExpectBody: "never", Options: health.Options{TLS: true},
			}
			expect(t, row.why, attempt(t.Context(), target, 0, wireOf(Config{Dial: w.dial, Roots: poolOf(certificate.Leaf)})), health.ReasonOther, row.detail)
			synctest.Wait()
			if sent == 0 || sent > recordLimit {
				t.Errorf("%s: %d bytes were sent, want at most %d", row.why, sent, recordLimit)
			}
		})
	}
}

// The limit is of each probe, not of a kept connection.
func TestKeptConnectionMaySendMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		certificate := certificateUntil(t, w.begin.Add(day))
		const size, probes = 60_000, 2 * recordLimit / 60_000
		w.set(place(1), func(conn net.Conn) {
			persistent(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}}))
		})
		target := &health.Target{Kind: health.KindHTTPS, Address: place(1), Interval: 10 * time.Second, Options: health.Options{KeepAlive: true}}
		wire := wireOf(Config{Dial: w.dial, Roots: poolOf(certificate.Leaf)})
		defer wire.keeper.close()
		for i := range probes {
			expect(t, fmt.Sprint("probe ", i), attempt(t.Context(), target, 0, wire), health.ReasonOK, "status 200")
		}
		if dials := len(w.startsAt(place(1))); dials != 1 {
			t.Errorf("%d connections for %d probes, want one", dials, probes)
		}
	})
}
