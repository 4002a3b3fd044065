package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/meridian-gslb/meridian/dns/wire"
)

// Error codes of DNS over QUIC (RFC 9250, section 4.3).
const (
	doqNoError       = 0
	doqInternalError = 1
	doqProtocolError = 2
	doqCancelled     = 3
	doqExcessiveLoad = 4
	doqUnspecified   = 5
)

// A quicListener is one address of DNS over QUIC.
type quicListener struct {
	socket    *net.UDPConn
	transport *quic.Transport
	listener  *quic.Listener
}

// Addr returns the address as bound.
func (l *quicListener) Addr() netip.AddrPort { return l.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

func (l *quicListener) close() {
	l.listener.Close()
	l.transport.Close()
	l.socket.Close()
}

// bindQUIC takes an address. A message needs no more than the windows allow, and queries all come on streams that the
// client opens. There is no 0-RTT: a query in it could be replayed by anybody (RFC 9250, section 4.5).
func (s *Server) bindQUIC(address netip.AddrPort) (*quicListener, error) {
	socket, err := net.ListenUDP(network("udp", address.Addr()), net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	limits := s.config.Limits
	l := &quicListener{socket: socket}
	l.transport = &quic.Transport{
		Conn: socket, ConnContext: s.attempt,
		// Who sends from an address that is not his can't take up the places for handshakes.
		VerifySourceAddress: func(net.Addr) bool { return s.attempts.Load() > int64(limits.Connections)/8 },
	}
	l.listener, err = l.transport.Listen(s.tlsConfig("doq"), &quic.Config{
		HandshakeIdleTimeout: limits.Handshake / 2, // and twice that in all
		MaxIdleTimeout:       limits.Idle,
		MaxIncomingStreams:   int64(limits.InFlight), MaxIncomingUniStreams: -1, // RFC 9250, section 4.3.3
		InitialStreamReceiveWindow: 4 << 10, MaxStreamReceiveWindow: 2 * wholeMessage,
		InitialConnectionReceiveWindow: 32 << 10, MaxConnectionReceiveWindow: 2 * wholeMessage,
	})
	if err != nil {
		socket.Close()
		return nil, err
	}
	return l, nil
}

// An attempt is a connection until its handshake is done.
type attempt struct{ done atomic.Bool }

type attemptKey struct{}

var errTooMany = errors.New("dns: too many handshakes")

// attempt lets a handshake begin, and counts if nothing comes of it.
func (s *Server) attempt(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if s.attempts.Add(1) > int64(s.config.Limits.Connections) {
		s.attempts.Add(-1)
		s.shared[transportQUIC].drop(dropConnections)
		return nil, errTooMany
	}
	a := new(attempt)
	context.AfterFunc(ctx, func() {
		if s.settle(a) && !s.closing.Load() {
			s.failures[transportQUIC][reasonOf(context.Cause(ctx))].Add(1)
		}
	})
	return context.WithValue(ctx, attemptKey{}, a), nil
}

// settle ends an attempt, and reports whether it was still going on.
func (s *Server) settle(a *attempt) bool {
	if !a.done.CompareAndSwap(false, true) {
		return false
	}
	s.attempts.Add(-1)
	return true
}

// acceptQUIC takes connections until the server closes.
func (s *Server) acceptQUIC(l *quicListener) {
	for {
		conn, err := l.listener.Accept(s.ending)
		if err != nil {
			return
		}
		s.settle(conn.Context().Value(attemptKey{}).(*attempt))
		who := &session{
			transport: transportQUIC, from: plainAddress(conn.RemoteAddr().(*net.UDPAddr).AddrPort()),
			end: func() { _ = conn.CloseWithError(doqExcessiveLoad, "") },
		}
		if !s.enter(who) {
			who.end()
			continue
		}
		s.workers.Go(func() {
			defer s.leave(who)
			s.serveQUIC(conn, who)
		})
	}
}

// serveQUIC answers the queries of a connection, each on a stream and a goroutine of its own, until the client ends it or
// is idle.
func (s *Server) serveQUIC(conn *quic.Conn, who *session) {
	var streams sync.WaitGroup
	for {
		done := who.done.Load()
		idle, cancel := context.WithTimeout(s.ending, s.clients.patience())
		st, err := conn.AcceptStream(idle)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && who.restless(done) {
			continue // its idle time began while we waited, or did not yet
		}
		if err != nil {
			break
		}
		s.clients.begin(who)
		streams.Go(func() {
			defer s.clients.finish(who)
			s.answerStream(conn, st, who)
		})
	}
	streams.Wait()
	_ = conn.CloseWithError(doqNoError, "")
}

// answerStream answers the one query of a stream (RFC 9250, section 4.2). Mistakes of the client end its connection
// (section 4.3.3).
func (s *Server) answerStream(conn *quic.Conn, st *quic.Stream, who *session) {
	query, fault := s.readStream(st)
	c := conversation{transport: transportQUIC, from: who.from, to: s.localOf(conn), limit: wire.MaxMessage}
	switch fault {
	case faultNone:
	case faultProtocol:
		s.shared[transportQUIC].drop(dropProtocol)
		_ = conn.CloseWithError(doqProtocolError, "")
		return
	case faultStalled:
		s.shared[transportQUIC].drop(dropStalled)
		st.CancelRead(doqUnspecified)
		st.CancelWrite(doqUnspecified)
		return
	case faultCancelled:
		st.CancelWrite(doqCancelled)
		return
	}
	var framed []byte
	send := func(message []byte) error {
		_ = st.SetWriteDeadline(time.Now().Add(s.config.Limits.Write)) // an error shows below
		framed = appendFramed(framed[:0], message)
		_, err := st.Write(framed)
		s.countUnsent(transportQUIC, err)
		return err
	}
	if s.wants(query) {
		if !s.takeUpkeep(transportQUIC, c.from.Addr()) {
			_ = send(appendBusy(nil, query)) // nothing follows
			_ = st.Close()
			return
		}
		state := conn.ConnectionState().TLS
		c.tls = &state
		s.answerUpkeep(query, &c, send)
		_ = st.Close()
		return
	}
	answer, ok := s.answer(nil, query, &c)
	if !ok {
		st.CancelWrite(doqInternalError)
		return
	}
	if send(answer) != nil {
		st.CancelWrite(doqUnspecified)
		return
	}
	_ = st.Close()
}

// A fault is what a client did wrong with a stream.
type fault int

const (
	faultNone      fault = iota
	faultProtocol        // what RFC 9250 forbids
	faultStalled         // it takes too long
	faultCancelled       // the client wants no answer any more
)

// readStream reads the query of a stream and makes sure that it is all of it. The buffer grows with what comes, not with
// what is promised.
func (s *Server) readStream(st *quic.Stream) (query []byte, _ fault) {
	_ = st.SetReadDeadline(time.Now().Add(s.config.Limits.Idle)) // an error shows below
	var b bytes.Buffer
	_, err := b.ReadFrom(io.LimitReader(st, wholeMessage+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, faultStalled
	case err != nil:
		return nil, faultCancelled
	}
	message := b.Bytes()
	if len(message) < lengthSize+headerSize || int(binary.BigEndian.Uint16(message)) != len(message)-lengthSize {
		return nil, faultProtocol
	}
	query = message[lengthSize:]
	switch {
	case binary.BigEndian.Uint16(query) != 0, // the message ID (section 4.2.1)
		query[2]&0x80 != 0,                // a response
		hasOption(query, optionKeepalive): // section 5.5.2
		return nil, faultProtocol
	}
	return query, faultNone
}
