package gossip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/hashicorp/memberlist"
)

// The limits of streams that others have opened and that are not over. Anyone can open one: who it is shows only when
// memberlist has read it, for which it waits as long as TCPTimeout.
const (
	maxStreams = 256
	maxSource  = 16 // from one source: an IPv4 address, or an IPv6 /64

	// memberlist keeps what comes until all of it is there, before it looks at the key.
	maxStream = MaxState + 1<<20 // bytes of one, which has room for the membership of 1500 nodes
	maxBytes  = 64 << 20         // of those under way together
	maxShare  = maxBytes / 4     // and of those of one source
)

// a guarded transport hands memberlist the streams that there is room for, and closes the others. Close of the mesh
// ends those under way.
type guarded struct {
	memberlist.Transport
	ctx     context.Context
	drop    func(reason string)
	streams chan net.Conn
	done    chan struct{} // closed when the transport is shut down
	once    sync.Once
	running sync.WaitGroup

	mu  sync.Mutex
	of  map[netip.Prefix]share // streams under way
	all share
}

// a share is what a source has of the streams: how many, and the bytes that came by them.
type share struct{ streams, bytes int }

// guard watches a transport until it is shut down.
func guard(ctx context.Context, inner memberlist.Transport, drop func(string)) *guarded {
	g := &guarded{Transport: inner, ctx: ctx, drop: drop, streams: make(chan net.Conn), done: make(chan struct{}), of: make(map[netip.Prefix]share)}
	g.running.Go(g.watch)
	return g
}

// StreamCh implements memberlist.Transport.
func (g *guarded) StreamCh() <-chan net.Conn { return g.streams }

// Shutdown implements memberlist.Transport. Streams are taken until the end, since the transport waits for that.
func (g *guarded) Shutdown() error {
	err := g.Transport.Shutdown()
	g.once.Do(func() { close(g.done) })
	g.running.Wait()
	return err
}

func (g *guarded) watch() {
	for {
		var conn net.Conn
		select {
		case c, ok := <-g.Transport.StreamCh():
			if !ok {
				return
			}
			conn = c
		case <-g.done:
			return
		}
		source := sourceOf(conn.RemoteAddr())
		if why := g.enter(source); why != "" {
			g.drop(why)
			conn.Close()
			continue
		}
		stop := context.AfterFunc(g.ctx, func() { conn.Close() })
		came := &guardedStream{Conn: conn, of: g, source: source}
		came.leave = sync.OnceFunc(func() { stop(); g.leave(came) })
		select {
		case g.streams <- came:
		case <-g.ctx.Done():
			came.Close()
		case <-g.done:
			came.Close()
			return
		}
	}
}

// enter counts a stream, or says why there is no room for it.
func (g *guarded) enter(source netip.Prefix) (why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.of[source].streams >= maxSource:
		return dropSource
	case g.all.streams >= maxStreams:
		return dropBusy
	}
	g.count(source, share{streams: 1})
	return ""
}

func (g *guarded) leave(s *guardedStream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(s.source, share{-1, -s.held})
	s.over = true
}

// count is for holders of the lock.
func (g *guarded) count(source netip.Prefix, more share) {
	has := g.of[source]
	has.streams, has.bytes = has.streams+more.streams, has.bytes+more.bytes
	g.all.streams, g.all.bytes = g.all.streams+more.streams, g.all.bytes+more.bytes
	if g.of[source] = has; has.streams == 0 {
		delete(g.of, source)
	}
}

// a guardedStream breaks off when more comes by it than any member sends, or by all streams than there is room for.
type guardedStream struct {
	net.Conn
	of     *guarded
	source netip.Prefix
	leave  func()

	held int  // under the lock of the transport
	over bool // likewise
}

var errTooMuch = errors.New("more bytes than are taken")

// Read implements net.Conn.
func (s *guardedStream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if why := s.of.hold(s, n); why != "" {
		s.of.drop(why)
		s.Close()
		return 0, errTooMuch
	}
	return n, err
}

// Close implements net.Conn.
func (s *guardedStream) Close() error {
	s.leave()
	return s.Conn.Close()
}

// hold counts bytes that came, or says why they are too many.
func (g *guarded) hold(s *guardedStream, n int) (why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.over {
		return ""
	}
	s.held += n
	g.count(s.source, share{bytes: n})
	switch {
	case s.held > maxStream:
		return dropStreamSize
	case g.of[s.source].bytes > maxShare:
		return dropSource
	case g.all.bytes > maxBytes:
		return dropBusy
	}
	return ""
}

// sourceOf is what counts as one source; of an IPv6 address only the half that a subscriber can't choose.
// Streams of no known address are all of one source.
func sourceOf(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	address := at.Addr().Unmap().WithZone("")
	bits := 64
	if address.Is4() {
		bits = 32
	}
	source, _ := address.Prefix(bits)
	return source
}
