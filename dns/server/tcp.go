package server

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	lengthSize   = 2        // bytes before each message (RFC 1035, section 4.2.2)
	firstRead    = 4 << 10  // bytes of a connection's buffer at first; it grows when a query needs more
	writeAt      = 64 << 10 // bytes of answers that are sent even though more queries wait
	acceptPause  = 50 * time.Millisecond
	wholeMessage = lengthSize + wire.MaxMessage
)

// tcpCounters are the counters of all connections: those of UDP have one writer each, these take turns.
type tcpCounters struct {
	sync.Mutex
	*counters
}

func (c *tcpCounters) drop(reason dropReason) { c.counters.drop(reason) }

func (c *tcpCounters) count(s *zones.Snapshot, o wire.Outcome, received, sent int) {
	c.Lock()
	defer c.Unlock()
	c.counters.count(s, o, received, sent)
}

// accept takes connections until the listener is closed.
func (s *Server) accept(listener *net.TCPListener) {
	for {
		conn, err := listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or the client has gone again
			time.Sleep(acceptPause)
			continue
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
		if reason, ok := s.clients.admit(from, conn); !ok {
			s.tcp.drop(reason)
			conn.Close()
			continue
		}
		s.workers.Go(func() {
			defer s.clients.leave(from, conn)
			s.converse(conn, from)
		})
	}
}

// converse answers the queries of one connection until the client ends it, is too slow, or sends what is no query. All
// queries that have come are answered together, in their order (RFC 7766, section 6.2.1.1), with one write.
func (s *Server) converse(conn net.Conn, from netip.Addr) {
	defer conn.Close()
	in := reader{conn: conn, closing: &s.closing, idle: s.config.TCP.Idle, buffer: make([]byte, firstRead)}
	var out []byte
	for !s.closing.Load() {
		query, ok := in.next()
		if !ok {
			return
		}
		out = out[:0]
		for n := 1; ; n++ {
			if out, ok = s.answerTCP(out, query, from); !ok {
				return
			}
			if n == s.config.TCP.InFlight || len(out) >= writeAt {
				break
			}
			if query, ok = in.buffered(); !ok {
				break
			}
		}
		if !s.write(conn, out) {
			return
		}
	}
}

func (s *Server) write(conn net.Conn, b []byte) bool {
	if err := conn.SetWriteDeadline(time.Now().Add(s.config.TCP.Write)); err != nil {
		return false
	}
	_, err := conn.Write(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.tcp.drop(dropSlow)
	case err != nil:
		s.tcp.drop(dropSend)
	}
	return err == nil
}

// answerTCP appends the answer to a query, behind its length. Without an answer the connection is of no use.
func (s *Server) answerTCP(out, query []byte, from netip.Addr) (_ []byte, ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.tcp.drop(dropPanic)
			s.logPanic(cause)
			ok = false
		}
	}()
	start := len(out)
	snapshot := s.config.Snapshot()
	out, outcome := wire.Answer(append(out, 0, 0), snapshot, nil, &wire.Request{
		Query: query, Source: from, Limit: wire.MaxMessage, Random: rand.Uint32(), Stream: true,
	})
	size := len(out) - start - lengthSize
	s.tcp.count(snapshot, outcome, len(query), size)
	binary.BigEndian.PutUint16(out[start:], uint16(size))
	return out, size > 0
}

// A reader takes the queries out of a stream. Its buffer holds at most one message of the greatest length.
type reader struct {
	conn    net.Conn
	closing *atomic.Bool
	idle    time.Duration
	buffer  []byte
	first   int // bytes of the buffer that are used up
	last    int // bytes of the buffer that have come
}

// buffered returns the next query if it has come as a whole. It is good until the next call of next.
func (r *reader) buffered() (query []byte, ok bool) {
	b := r.buffer[r.first:r.last]
	if len(b) < lengthSize {
		return nil, false
	}
	end := lengthSize + int(binary.BigEndian.Uint16(b))
	if len(b) < end {
		return nil, false
	}
	r.first += end
	return b[lengthSize:end], true
}

// next waits for the next query. The time for it runs from the call, not from the last byte: who sends a byte now and
// then is as idle as who sends none.
func (r *reader) next() (query []byte, ok bool) {
	if query, ok = r.buffered(); ok {
		return query, true
	}
	err := r.conn.SetReadDeadline(time.Now().Add(r.idle))
	if err != nil || r.closing.Load() { // closing comes before the deadline of hurry, which this may have undone
		return nil, false
	}
	for {
		r.makeRoom()
		n, err := r.conn.Read(r.buffer[r.last:])
		r.last += n
		if query, ok = r.buffered(); ok {
			return query, true
		}
		if err != nil {
			return nil, false
		}
	}
}

// makeRoom moves what has come to the front of the buffer, and makes that larger if there is still no room.
func (r *reader) makeRoom() {
	copy(r.buffer, r.buffer[r.first:r.last])
	r.first, r.last = 0, r.last-r.first
	if r.last == len(r.buffer) {
		larger := make([]byte, wholeMessage)
		copy(larger, r.buffer)
		r.buffer = larger
	}
}
