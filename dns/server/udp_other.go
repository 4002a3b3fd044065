//go:build !linux

package server

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/meridian-gslb/meridian/dns/wire"
)

// A udpWorker answers what comes in at one socket, which the workers of an address share. Elsewhere than on Linux this
// is for development: it is several times slower.
type udpWorker struct {
	conn     *net.UDPConn
	counters *counters
	limiter  *limiter
	query    [2048]byte
	answers  [wire.MaxUDP]byte
}

var errWildcard = errors.New("all addresses at once are only possible on Linux: name those that clients ask")

func bindUDP(address netip.AddrPort, count int) ([]*udpWorker, error) {
	if address.Addr().IsUnspecified() {
		return nil, errWildcard
	}
	conn, err := net.ListenUDP(network("udp", address.Addr()), net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	workers := make([]*udpWorker, count)
	for i := range workers {
		workers[i] = &udpWorker{conn: conn}
	}
	return workers, nil
}

func closeUDP(workers []*udpWorker) {
	for _, w := range workers {
		w.conn.Close()
	}
}

func (w *udpWorker) serve(s *Server) {
	for !s.closing.Load() {
		_ = w.conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond)) // shared, so that Close need not interrupt
		n, from, err := w.conn.ReadFromUDPAddrPort(w.query[:])
		if err == nil {
			w.answer(s, w.query[:n], from)
		}
	}
}

func (w *udpWorker) answer(s *Server, query []byte, from netip.AddrPort) {
	defer func() {
		if cause := recover(); cause != nil {
			w.counters.drop(dropPanic)
			s.logPanic(cause)
		}
	}()
	if from.Port() == 0 {
		w.counters.drop(dropPort)
		return
	}
	client := plainAddress(from)
	if s.wantsDatagram(query) {
		s.upkeepDatagram(query, client, func(b []byte) error {
			_, err := w.conn.WriteToUDPAddrPort(b, from)
			return err
		})
		return
	}
	w.limiter.begin(s, false)
	snapshot := s.config.Snapshot()
	d := draft{query: query, from: client, random: rand.Uint32()}
	w.limiter.draft(&d, w.answers[:0], snapshot)
	answer, pending := w.limiter.settle(&d, snapshot)
	if pending {
		reply := func(b []byte) error {
			_, err := w.conn.WriteToUDPAddrPort(b, from)
			return err
		}
		if s.mayMake(client.Addr()) && s.signLater(later{append([]byte(nil), query...), client, w.limiter.to, reply}) {
			return
		}
		answer = w.limiter.truncated(&d, snapshot)
	}
	w.limiter.publish()
	if len(answer) == 0 {
		return
	}
	if _, err := w.conn.WriteToUDPAddrPort(answer, from); err != nil {
		w.counters.drop(dropSend)
	}
}
