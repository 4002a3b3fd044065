package server

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"sync"

	"github.com/meridian-gslb/meridian/dns/wire"
)

// A Request is about zones rather than names, or signed: a NOTIFY, an UPDATE, a query for AXFR or IXFR, or any with a TSIG record. It belongs to who is
// asked.
type Request struct {
	Message   []byte               // as it came; at least a header, and no response
	From      netip.AddrPort       // never v4-mapped, without a zone
	Transport string               // udp, tcp, dot or doq
	Limit     int                  // bytes that a message of the answer may have
	TLS       *tls.ConnectionState // nil where nothing is encrypted

	// Answer answers a query about names in so many bytes at most, as if it had come from this client and unsigned. It may wait for signatures
	// of DNSSEC; nil: there is no answer. It is for one call.
	Answer func(query []byte, limit int) []byte

	// Send sends a message of the answer as a whole; it may be used again when Send returns. Over UDP there is to be one
	// message. An error says that the client can't be reached any more.
	Send func(message []byte) error
}

// slots bound how many requests are under way.
type slots struct {
	mu             sync.Mutex
	all, perClient int
	taken          int
	byClient       map[netip.Prefix]int
}

func (s *slots) init(all, perClient int) {
	s.all, s.perClient, s.byClient = all, perClient, make(map[netip.Prefix]int)
}

func (s *slots) take(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := clientOf(from)
	if s.taken >= s.all || s.byClient[client] >= s.perClient {
		return false
	}
	s.taken++
	s.byClient[client]++
	return true
}

func (s *slots) give(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	decrement(s.byClient, clientOf(from))
}

// wants reports whether a message is for Config.Maintain.
func (s *Server) wants(message []byte) bool { return s.config.Maintain != nil && isUpkeep(message) }

// wantsDatagram is wants for UDP.
func (s *Server) wantsDatagram(message []byte) bool {
	return s.config.Maintain != nil && isUpkeepDatagram(message)
}

// takeUpkeep reports whether Config.Maintain has room for one more request; then answerUpkeep has to follow. Otherwise the answer is
// appendBusy's, or over UDP none: the client asks again.
func (s *Server) takeUpkeep(t transport, from netip.Addr) bool {
	ok := s.maintain.take(from)
	if !ok {
		s.shared[t].drop(dropMaintain)
	}
	return ok
}

// answerUpkeep has Config.Maintain answer a request, or dns/wire if that does not. It returns when all is sent. No rate limit applies here,
// so over UDP dns/wire says no more than that the client is to come by TCP.
func (s *Server) answerUpkeep(query []byte, c *conversation, send func([]byte) error) {
	defer s.maintain.give(c.from.Addr())
	defer func() {
		if cause := recover(); cause != nil {
			s.shared[c.transport].drop(dropPanic)
			s.logPanic(cause)
		}
	}()
	sent, rcode := 0, -1 // of what is sent first: the others agree
	counted := false
	handled := s.config.Maintain(s.ending, Request{
		Message: query, From: c.from, Transport: transportNames[c.transport], Limit: c.limit, TLS: c.tls,
		Answer: func(query []byte, limit int) []byte {
			counted = true
			plain := *c
			plain.limit = min(c.limit, limit)
			answer, _ := s.answer(nil, query, &plain)
			return answer
		},
		Send: func(message []byte) error {
			err := send(message)
			if err == nil {
				sent += len(message)
				if rcode < 0 && len(message) >= headerSize {
					rcode = int(message[3] & 15)
				}
			}
			return err
		},
	})
	switch {
	case handled && counted:
		return
	case handled:
		s.shared[c.transport].countUpkeep(questionType(query), rcode, len(query), sent)
		return
	}
	answer, ok := []byte(nil), false
	if c.transport == transportUDP {
		answer, ok, _ = s.answerBy(s.config.Signing.Signer, nil, query, c, true)
	} else {
		answer, ok = s.answer(nil, query, c)
	}
	if ok {
		_ = send(answer) // the connection's reader sees to what is wrong with it
	}
}

// countUpkeep counts a request that Config.Maintain has answered; rcode -1: it left it at that.
func (c *sharedCounters) countUpkeep(qtype uint16, rcode, received, sent int) {
	c.received.Add(uint64(received))
	c.types[typeIndex(qtype)].Add(1)
	if rcode >= 0 {
		c.rcodes[rcode].Add(1)
		c.sent.Add(uint64(sent))
	}
}

// upkeepDatagram has a request that came over UDP answered beside the worker that received it. reply sends the answer
// from any goroutine.
func (s *Server) upkeepDatagram(query []byte, from netip.AddrPort, reply func([]byte) error) {
	if !s.takeUpkeep(transportUDP, from.Addr()) {
		return
	}
	query = bytes.Clone(query)
	s.workers.Go(func() {
		c := conversation{transport: transportUDP, from: from, limit: wire.MaxUDP}
		s.answerUpkeep(query, &c, func(message []byte) error {
			err := reply(message)
			s.countUnsent(transportUDP, err)
			return err
		})
	})
}
