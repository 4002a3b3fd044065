package server

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// streamRecorder is the recorder of all streams, whose goroutines take turns. It is nil where there is none.
type streamRecorder struct {
	mu       sync.Mutex
	recorder Recorder
}

func newStreamRecorder(c *Config) *streamRecorder {
	if c.Recorder == nil {
		return nil
	}
	return &streamRecorder{recorder: c.Recorder()}
}

// Record is a Recorder's, for any goroutine.
func (r *streamRecorder) Record(protocol string, from, to netip.AddrPort, at time.Time, query, answer []byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorder.Record(protocol, from, to, at, query, answer)
}

// localOf returns the address of our own end of a connection, if somebody records it.
func (s *Server) localOf(conn interface{ LocalAddr() net.Addr }) netip.AddrPort {
	if s.recorder == nil {
		return netip.AddrPort{}
	}
	return addressOf(conn.LocalAddr())
}

func addressOf(local net.Addr) netip.AddrPort {
	switch a := local.(type) {
	case *net.TCPAddr:
		return plainAddress(a.AddrPort())
	case *net.UDPAddr:
		return plainAddress(a.AddrPort())
	}
	return netip.AddrPort{}
}
