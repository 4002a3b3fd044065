package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meridian-gslb/meridian/health"
)

// The protocols on a voter's one listener, by their ALPN names.
const (
	protocolRaft   = "meridian-raft/1"
	protocolState  = "meridian-state/1"
	protocolSubmit = "meridian-submit/1"
)

const (
	handshakeWithin = 3 * time.Second
	rpcWithin       = 3 * time.Second
)

// A stream is a voter's listener: it checks who connects, and is raft's layer of connections to other voters.
// Raft's own connections have no idle limit, since raft uses one again after hours; their number has one.
type stream struct {
	r      *Replica
	tls    *tls.Config
	raft   chan net.Conn
	closed chan struct{} // closed by raft's transport
	once   sync.Once

	mu    sync.Mutex
	conns map[net.Conn]*guest // nil for a connection that this voter made
	room  room
	done  bool
}

func newStream(r *Replica) *stream {
	conf := r.cfg.ServerTLS.Clone()
	conf.MinVersion = tls.VersionTLS13
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	conf.NextProtos = []string{protocolRaft, protocolState, protocolSubmit}
	conf.SessionTicketsDisabled = true // every connection shows a certificate
	return &stream{r: r, tls: conf, raft: make(chan net.Conn), closed: make(chan struct{}),
		conns: make(map[net.Conn]*guest), room: newRoom(r.cfg.Voters)}
}

// accept takes connections until the listener is closed.
func (s *stream) accept() {
	pause := time.Duration(0)
	for {
		conn, err := s.r.cfg.Listener.Accept()
		if err != nil {
			if s.r.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second) // out of files, most likely
			s.r.log.Warn("accept", "err", err)
			select {
			case <-time.After(pause):
			case <-s.r.ctx.Done():
				return
			}
			continue
		}
		pause = 0
		guest := &guest{source: sourceOf(conn.RemoteAddr())}
		peer := tls.Server(conn, s.tls)
		if why := s.greet(peer, guest); why != "" {
			s.r.metrics.turnedAway(why)
			conn.Close()
			continue
		}
		s.r.wg.Go(func() { s.serve(peer, guest) })
	}
}

// serve checks one peer and hands its connection to the protocol it asks for.
func (s *stream) serve(conn *tls.Conn, guest *guest) {
	ctx, cancel := context.WithTimeout(s.r.ctx, handshakeWithin)
	err := conn.HandshakeContext(ctx)
	cancel()
	if err != nil {
		s.refuse(conn, "certificate", err)
		return
	}
	state := conn.ConnectionState()
	id, voter, err := s.r.cfg.Authorize(state)
	if err != nil {
		s.refuse(conn, "certificate", err)
		return
	}
	if why := s.admit(guest, id, s.r.votes(id, voter)); why != "" {
		s.refuse(conn, why, fmt.Errorf("node %q has too many connections, or all have", id))
		return
	}
	switch state.NegotiatedProtocol {
	case protocolRaft:
		if !s.r.votes(id, voter) || id == s.r.cfg.Self {
			s.refuse(conn, "role", fmt.Errorf("node %q is no voter", id))
			return
		}
		select {
		case s.raft <- &kept{conn, s}: // raft closes it
		case <-s.r.ctx.Done():
			s.drop(conn)
		}
	case protocolState:
		s.r.serveState(conn)
		s.drop(conn)
	case protocolSubmit:
		s.r.serveSubmit(conn, id, voter)
		s.drop(conn)
	default:
		s.refuse(conn, "protocol", fmt.Errorf("node %q asks for protocol %q", id, state.NegotiatedProtocol))
	}
}

func (s *stream) refuse(conn net.Conn, why string, err error) {
	if s.r.ctx.Err() == nil {
		s.r.metrics.turnedAway(why)
		s.r.log.Debug("connection refused", "address", conn.RemoteAddr(), "err", err)
	}
	s.drop(conn)
}

// greet finds room for a handshake, and remembers the connection so that shut can close it; else it says why not.
func (s *stream) greet(conn net.Conn, g *guest) (why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return whyBusy
	}
	if why = s.room.greet(g); why == "" {
		s.conns[conn] = g
	}
	return why
}

// admit finds room for a peer whose certificate is known; else it says why not.
func (s *stream) admit(g *guest, id health.NodeID, voter bool) (why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return whyBusy
	}
	return s.room.admit(g, id, voter)
}

// hold remembers a connection that this voter made, unless the end has come.
func (s *stream) hold(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.conns[conn] = nil
	}
	return !s.done
}

func (s *stream) drop(conn net.Conn) error {
	s.mu.Lock()
	if g := s.conns[conn]; g != nil {
		s.room.leave(g)
	}
	delete(s.conns, conn)
	s.mu.Unlock()
	return hangUp(conn)
}

// hangUp closes without waiting for a peer that takes no more bytes.
func hangUp(conn net.Conn) error {
	conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // TLS says goodbye first
	return conn.Close()
}

// shut closes the listener and every connection.
func (s *stream) shut() {
	s.mu.Lock()
	s.done = true
	conns := s.conns
	s.conns = make(map[net.Conn]*guest)
	s.mu.Unlock()
	s.r.cfg.Listener.Close()
	for conn := range conns {
		hangUp(conn)
	}
}

// A kept connection is raft's, and forgotten when raft closes it.
type kept struct {
	net.Conn
	s *stream
}

func (k *kept) Close() error { return k.s.drop(k.Conn) }

// Write never hangs for longer than one call of raft may take.
func (k *kept) Write(b []byte) (int, error) {
	k.Conn.SetWriteDeadline(time.Now().Add(rpcWithin))
	return k.Conn.Write(b)
}

// Accept implements raft.StreamLayer.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.raft:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements raft.StreamLayer.
func (s *stream) Close() error {
	s.shut()
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr implements raft.StreamLayer.
func (s *stream) Addr() net.Addr {
	own, _ := s.r.address(s.r.cfg.Self)
	return address(own)
}

// Dial implements raft.StreamLayer.
func (s *stream) Dial(to raft.ServerAddress, within time.Duration) (net.Conn, error) {
	i := slices.IndexFunc(s.r.cfg.Voters, func(v Voter) bool { return v.Address == string(to) })
	if i < 0 {
		return nil, fmt.Errorf("no voter has address %s", to)
	}
	ctx, cancel := context.WithTimeout(s.r.ctx, within)
	defer cancel()
	conn, err := s.r.dial(ctx, s.r.cfg.Voters[i], protocolRaft)
	if err != nil {
		return nil, err
	}
	if !s.hold(conn) {
		hangUp(conn)
		return nil, net.ErrClosed
	}
	return &outgoing{conn, s}, nil
}

// An outgoing connection is raft's, which sets its deadlines itself.
type outgoing struct {
	net.Conn
	s *stream
}

func (o *outgoing) Close() error { return o.s.drop(o.Conn) }

// ServerAddr implements raft.ServerAddressProvider: the listed address, even if the log knows an older one.
func (s *stream) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	a, ok := s.r.address(health.NodeID(id))
	if !ok {
		return "", fmt.Errorf("voter %q is not listed", id)
	}
	return raft.ServerAddress(a), nil
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func (r *Replica) address(id health.NodeID) (string, bool) {
	for _, v := range r.cfg.Voters {
		if v.ID == id {
			return v.Address, true
		}
	}
	return "", false
}

// votes reports whether a peer is one of the voters: its certificate says that it may be, and it is listed.
func (r *Replica) votes(id health.NodeID, voter bool) bool {
	_, listed := r.address(id)
	return voter && listed
}

// dial connects to a voter for one protocol and makes sure that it is the voter.
func (r *Replica) dial(ctx context.Context, v Voter, protocol string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeWithin)
	defer cancel()
	raw, err := r.cfg.Dial(ctx, v.Address)
	if err != nil {
		return nil, err
	}
	conf := r.cfg.ClientTLS(v.ID).Clone()
	conf.MinVersion = tls.VersionTLS13
	conf.NextProtos = []string{protocol}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	state := conn.ConnectionState()
	id, voter, err := r.cfg.Authorize(state)
	if err == nil && (id != v.ID || !voter || state.NegotiatedProtocol != protocol) {
		err = fmt.Errorf("%s is node %q (voter: %v, protocol %q), want voter %q", v.Address, id, voter, state.NegotiatedProtocol, v.ID)
	}
	if err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}
