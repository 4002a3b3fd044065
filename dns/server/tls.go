package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// A handshakeReason says why TLS or QUIC was not set up.
type handshakeReason uint8

const (
	handshakeGone        handshakeReason = iota // the client went away, or its place was needed
	handshakeTimeout                            // the client took too long
	handshakeNotTLS                             // it speaks something else
	handshakeCertificate                        // there was no certificate to show
	handshakeRejected                           // the client ended it, perhaps for our certificate
	handshakeRefused                            // we did: no version, cipher or protocol in common, or nonsense
)

var handshakeNames = [...]string{"gone", "timeout", "not_tls", "no_certificate", "rejected", "refused"}

type handshakeFailures [len(transportNames)][len(handshakeNames)]atomic.Uint64

// reasonOf sorts the error of a handshake.
func reasonOf(err error) handshakeReason {
	var (
		notTLS   tls.RecordHeaderError
		alert    tls.AlertError
		op       *net.OpError
		timeout  *quic.HandshakeTimeoutError
		idle     *quic.IdleTimeoutError
		violated *quic.TransportError
	)
	switch {
	case errors.Is(err, errNoCertificate):
		return handshakeCertificate
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout), errors.As(err, &idle):
		return handshakeTimeout
	case errors.As(err, &notTLS):
		return handshakeNotTLS
	case errors.As(err, &violated):
		if violated.Remote {
			return handshakeRejected
		}
		return handshakeRefused
	case errors.As(err, &op) && op.Op == "remote error", errors.As(err, &alert):
		return handshakeRejected
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return handshakeGone
	}
	return handshakeRefused
}

// tlsConfig is for a server of the protocols. A client may leave it open which of them it wants.
func (s *Server) tlsConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate, err := s.config.Certificate(hello)
			if err != nil || certificate == nil {
				return nil, errNoCertificate
			}
			return certificate, nil
		},
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
	}
}

// handshake sets up TLS on a connection. If that fails it closes the connection.
func (s *Server) handshake(conn *tracked, config *tls.Config) (*tls.Conn, bool) {
	secure := tls.Server(conn, config)
	err := conn.SetDeadline(time.Now().Add(s.config.Limits.Handshake))
	if s.closing.Load() { // before the deadline of hurry, which this may have undone
		conn.Close()
		return nil, false
	}
	if err == nil {
		err = secure.Handshake()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		if !s.closing.Load() {
			s.failures[conn.session.transport][reasonOf(err)].Add(1)
		}
		conn.Close()
		return nil, false
	}
	return secure, true
}

// serveTLS serves DNS over TLS (RFC 7858). Who names a protocol must name this one: a zone transfer depends on it
// (RFC 9103, section 7.1).
func (s *Server) serveTLS(conn *tracked) {
	secure, ok := s.handshake(conn, s.dot)
	if !ok {
		return
	}
	state := secure.ConnectionState()
	s.converse(secure, conn.session, &state)
}
