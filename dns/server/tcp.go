package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/meridian-gslb/meridian/dns/wire"
)

const (
	lengthSize   = 2        // bytes before each message (RFC 1035, section 4.2.2)
	writeAt      = 64 << 10 // bytes of answers that are sent even though more queries wait
	acceptPause  = 50 * time.Millisecond
	wholeMessage = lengthSize + wire.MaxMessage
)

// A tracked connection leaves the table of sessions when it is closed, whoever closes it.
type tracked struct {
	*net.TCPConn
	server  *Server
	session *session
}

func (c *tracked) Close() error {
	err := c.TCPConn.Close()
	c.server.leave(c.session)
	return err
}

// accept takes connections until the listener is closed. What serves one closes it in the end.
func (s *Server) accept(listener *net.TCPListener, t transport, serve func(*tracked)) {
	for {
		conn, err := listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or the client has gone again
			time.Sleep(acceptPause)
			continue
		}
		who := &session{
			transport: t, from: plainAddress(conn.RemoteAddr().(*net.TCPAddr).AddrPort()),
			end:   func() { conn.Close() },
			hurry: func() { expire(conn) },
		}
		if !s.enter(who) {
			conn.Close()
			continue
		}
		c := &tracked{conn, s, who}
		s.workers.Go(func() { serve(c) })
	}
}

// expire ends the waiting of a connection for its client.
func expire(conn net.Conn) { _ = conn.SetReadDeadline(time.Unix(1, 0)) } // it may be closed already

// plainAddress is a client's address as everything but the sockets knows it.
func plainAddress(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func (s *Server) serveTCP(conn *tracked) { s.converse(conn, conn.session, nil) }

// A stream is a connection that carries messages behind their lengths.
type stream struct {
	server  *Server
	conn    net.Conn
	session *session
	client  conversation
	writing sync.Mutex     // whoever has it sends whole messages
	apart   sync.WaitGroup // goroutines that answer a query each while the connection goes on
	signing chan struct{}  // of them that sign, at most Limits.InFlight
}

// converse answers the queries of one connection until the client ends it, is too slow, or sends what is no query. All
// queries that have come are answered together, in their order, with one write (RFC 7766, section 6.2.1.1). A query
// whose answer takes its time is answered apart, and later ones overtake it (section 7).
func (s *Server) converse(conn net.Conn, who *session, state *tls.ConnectionState) {
	st := &stream{server: s, conn: conn, session: who, signing: make(chan struct{}, s.config.Limits.InFlight)}
	st.client = conversation{transport: who.transport, from: who.from, to: s.localOf(conn), limit: wire.MaxMessage, tls: state}
	if st.run() {
		st.apart.Wait() // the client has ended or is idle: what is on its way is still sent
	} else {
		who.end() // at once, so that nobody goes on writing
	}
	conn.Close()
	st.apart.Wait()
}

// run reports whether the connection came to a good end.
func (st *stream) run() bool {
	s := st.server
	in := reader{stream: st, buffer: make([]byte, firstRead)}
	var out []byte
	for !s.closing.Load() {
		query, ok := in.next()
		if !ok {
			return true
		}
		s.clients.begin(st.session)
		st.client.idle = s.clients.patience()
		out = out[:0]
		for n := 1; ; n++ {
			if out, ok = st.answer(out, query); !ok {
				return false
			}
			if n == s.config.Limits.InFlight || len(out) >= writeAt || len(st.signing) == cap(st.signing) {
				break // the next may have to wait, and these need not
			}
			if query, ok = in.buffered(); !ok {
				break
			}
		}
		err := st.write(out)
		s.clients.finish(st.session)
		if err != nil {
			return false
		}
	}
	return true
}

// answer appends the answer to a query, behind its length, unless the answer comes apart from others. Without an answer
// the connection is of no use.
func (st *stream) answer(out, query []byte) (_ []byte, ok bool) {
	s := st.server
	start := len(out)
	if s.wants(query) {
		if s.takeUpkeep(st.client.transport, st.client.from.Addr()) {
			st.upkeep(query)
			return out, true
		}
		out = appendBusy(append(out, 0, 0), query)
		binary.BigEndian.PutUint16(out[start:], uint16(len(out)-start-lengthSize))
		return out, true
	}
	answered, ok, pending := s.answerBy(s.config.Signing.Signer, append(out, 0, 0), query, &st.client, false)
	switch {
	case pending:
		st.signApart(query)
		return out, true
	case ok:
		binary.BigEndian.PutUint16(answered[start:], uint16(len(answered)-start-lengthSize))
	}
	return answered, ok
}

// signApart answers a query whose signatures are missing while the connection goes on. Where as many wait as may it waits for one of them:
// for signPatience at most, and Limits.Write if the client is slow to take answers.
func (st *stream) signApart(query []byte) {
	s, client, query := st.server, st.client, append([]byte(nil), query...)
	st.signing <- struct{}{}
	s.clients.begin(st.session)
	st.apart.Go(func() {
		defer s.clients.finish(st.session)
		defer func() { <-st.signing }()
		answer, ok := s.answer(nil, query, &client)
		if ok && st.write(appendFramed(nil, answer)) != nil {
			st.session.end()
		}
	})
}

// upkeep answers a request beside the queries of the connection. How many of them there are at once is bounded by
// Limits.MaintainPerClient.
func (st *stream) upkeep(query []byte) {
	s, client, query := st.server, st.client, append([]byte(nil), query...)
	s.clients.begin(st.session)
	st.apart.Go(func() {
		defer s.clients.finish(st.session)
		var framed []byte
		s.answerUpkeep(query, &client, func(message []byte) error {
			framed = appendFramed(framed[:0], message)
			err := st.write(framed)
			if err != nil {
				st.session.end() // the reader need not wait for more
			}
			return err
		})
	})
}

// appendFramed appends a message behind its length.
func appendFramed(b, message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(message))), message...)
}

// write sends whole messages.
func (st *stream) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	st.writing.Lock()
	defer st.writing.Unlock()
	if err := st.conn.SetWriteDeadline(time.Now().Add(st.server.config.Limits.Write)); err != nil {
		return err
	}
	_, err := st.conn.Write(b)
	st.server.countUnsent(st.client.transport, err)
	return err
}

// countUnsent counts an answer that could not be sent.
func (s *Server) countUnsent(t transport, err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.shared[t].drop(dropSlow)
	case err != nil:
		s.shared[t].drop(dropSend)
	}
}
