package gateway

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/gateway/head"
)

// The front maps net/http's server to the pipeline and back.
type front struct {
	gw *Gateway
}

// A clientConn is what the front knows of a connection beside net/http.
type clientConn struct {
	net.Conn
	asked atomic.Bool // a request
}

type clientConnKey struct{} // inside the front only: net/http has no other way from a request to its connection

func newServer(g *Gateway, base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	var open atomic.Int64
	return &http.Server{
		Handler:           &front{g},
		Protocols:         protocols,
		ReadHeaderTimeout: g.limits.ReadHead,
		IdleTimeout:       g.limits.KeepAlive,
		MaxHeaderBytes:    g.limits.HeadBytes,
		ErrorLog:          log.New(io.Discard, "", 0), // it speaks of clients' mistakes; our own panics are logged below
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientConnKey{}, &clientConn{Conn: c})
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				g.metrics.connections.Inc()
				within := g.clientConnections.enter(g.clientOf(peerOf(c)))
				switch {
				case open.Add(1) > int64(g.limits.Connections):
					g.metrics.refused.WithLabelValues(ofAll).Inc()
					c.Close()
				case !within:
					g.metrics.refused.WithLabelValues(ofClient).Inc()
					c.Close()
				}
			case http.StateClosed, http.StateHijacked:
				g.metrics.connections.Dec()
				open.Add(-1)
				g.clientConnections.leave(g.clientOf(peerOf(c)))
			}
		},
	}
}

func (f *front) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	start := time.Now()
	g := f.gw
	rc := http.NewResponseController(w)
	r, body := f.request(rc, hr)
	if body != nil {
		defer body.finish()
	}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			g.log.Error("gateway panic", "err", p, "stack", string(debug.Stack()))
			panic(http.ErrAbortHandler)
		} else if p != nil {
			panic(p)
		}
	}()
	resp, service := g.serve(hr.Context(), r)
	if resp == nil {
		g.metrics.request(service, 0, time.Since(start))
		panic(http.ErrAbortHandler)
	}
	defer resp.Close()
	if resp.Tunnel != nil {
		g.metrics.request(service, resp.Status, time.Since(start))
		g.tunnel(rc, resp)
		return
	}
	if body.unread() {
		// Else net/http would drain the body before the response begins.
		resp.Fields = append(resp.Fields, head.Field{Name: "Connection", Value: "close"})
		if resp.upstream {
			body.take()
		}
	}
	err := f.respond(w, rc, hr, resp)
	status := resp.Status
	if err != nil {
		status = 0
	}
	g.metrics.request(service, status, time.Since(start))
	if err != nil {
		panic(http.ErrAbortHandler) // the client must see that the response is not whole
	}
	g.sample(hr, r.Peer.Addr(), service)
}

// request maps net/http's request to ours.
func (f *front) request(rc *http.ResponseController, hr *http.Request) (*Request, *frontBody) {
	path, query := splitTarget(hr.RequestURI)
	r := &Request{
		Method:  hr.Method,
		Path:    path,
		Query:   query,
		Host:    hr.Host,
		Version: strconv.Itoa(hr.ProtoMajor) + "." + strconv.Itoa(hr.ProtoMinor),
		Secure:  hr.TLS != nil,
		Fields:  fieldsOf(hr.Header),
	}
	r.Peer, _ = netip.ParseAddrPort(hr.RemoteAddr) // a listener that is no socket has none
	if hr.Body == nil || hr.Body == http.NoBody {
		return r, nil
	}
	body := &frontBody{rc: rc, r: hr.Body, idle: f.gw.limits.Idle, pace: newPace(f.gw.limits.BodyKiB), grace: f.gw.limits.ReadHead}
	r.Body = Body{Reader: body, Length: hr.ContentLength, Trailer: func() head.Fields { return fieldsOf(hr.Trailer) }}
	r.Announce = announced(hr.Trailer)
	return r, body
}

// splitTarget parts a request target in origin or absolute form (RFC 9112, section 3.2) into path and query.
func splitTarget(target string) (path, query string) {
	if !strings.HasPrefix(target, "/") {
		if _, rest, ok := strings.Cut(target, "://"); ok {
			i := strings.IndexAny(rest, "/?")
			if i < 0 {
				return "/", ""
			}
			target = rest[i:]
			if target[0] == '?' {
				target = "/" + target
			}
		}
	}
	if i := strings.IndexByte(target, '?'); i >= 0 {
		return target[:i], target[i:]
	}
	return target, ""
}

// respond writes head, body and trailer. Bytes go out as they come, unless all that is left comes at once.
func (f *front) respond(w http.ResponseWriter, rc *http.ResponseController, hr *http.Request, resp *Response) error {
	idle := f.gw.limits.Idle
	rc.SetWriteDeadline(time.Now().Add(idle))
	// What is left is flushed after the handler, and what net/http says by itself comes later still.
	defer func() { rc.SetWriteDeadline(time.Now().Add(idle + f.gw.limits.KeepAlive)) }()

	h := w.Header()
	for _, field := range resp.Fields {
		h.Add(field.Name, field.Value)
	}
	if !resp.Fields.Has("Content-Type") {
		h["Content-Type"] = nil // else net/http guesses one
	}
	bodyless := resp.Status == http.StatusNoContent || resp.Status == http.StatusNotModified
	if n := resp.Body.Length; n > 0 || n == 0 && !bodyless {
		h.Set("Content-Length", strconv.FormatInt(n, 10))
	}
	announce := head.Trailer(named(resp.Announce))
	for _, field := range announce {
		h.Add("Trailer", field.Name)
	}
	w.WriteHeader(resp.Status)
	if hr.Method == http.MethodHead || resp.Body.Reader == nil || bodyless {
		return nil
	}
	if resp.Body.Length < 0 {
		if err := rc.Flush(); err != nil {
			return err
		}
	}
	if err := stream(w, rc, resp.Body, idle); err != nil {
		return err
	}
	for _, field := range resp.Body.trailer() {
		name := field.Name
		if !slices.ContainsFunc(announce, func(o head.Field) bool { return o.Name == name }) {
			name = http.TrailerPrefix + name
		}
		h.Add(name, field.Value)
	}
	return nil
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func stream(w io.Writer, rc *http.ResponseController, b Body, idle time.Duration) error {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for written := int64(0); ; {
		n, err := b.Reader.Read(buffer[:])
		if n > 0 {
			rc.SetWriteDeadline(time.Now().Add(idle))
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			written += int64(n)
			if written != b.Length {
				if err := rc.Flush(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A frontBody is a client's body with limits on how long no byte comes and how long few come. The upstream engine
// may still be reading when the exchange is over: finish makes it stop.
type frontBody struct {
	rc    *http.ResponseController
	r     io.ReadCloser
	idle  time.Duration
	grace time.Duration // to drain what nobody read

	reading sync.Mutex // held while a read is under way
	pace    pace       // guarded by reading

	mu       sync.Mutex
	started  bool
	ended    bool
	finished bool
}

func (b *frontBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	switch {
	case b.finished:
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	case b.ended:
		b.mu.Unlock()
		return 0, io.EOF // net/http reads on by itself now, without a limit: leave it so
	}
	b.started = true
	start := time.Now()
	b.rc.SetReadDeadline(start.Add(min(b.idle, b.pace.left)))
	b.mu.Unlock()
	n, err := b.r.Read(p)
	b.pace.read(n, time.Since(start))
	if err == io.EOF {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
	}
	return n, err
}

// Close does nothing: net/http closes the body.
func (b *frontBody) Close() error { return nil }

// unread reports whether the body's end has not been seen. It is safe on nil, no body.
func (b *frontBody) unread() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ended
}

// take says that the body is an upstream's: once it has answered, what is left is of no use to anybody, even if the
// transport has not come to reading yet.
func (b *frontBody) take() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = true
}

// finish ends the reading. What is left is drained by net/http, which sets no limit to that by itself and lifts
// the one that is set if it finds a read under way.
func (b *frontBody) finish() {
	b.mu.Lock()
	b.finished = true
	switch {
	case b.ended:
	case b.started:
		b.rc.SetReadDeadline(time.Unix(1, 0))
	default:
		b.rc.SetReadDeadline(time.Now().Add(b.grace))
	}
	b.mu.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
}

// sample takes the round-trip time of the client's connection after its first request, if that went to a service:
// to ask for nothing that is there must be no cheap vote. A trusted peer is not the client.
func (g *Gateway) sample(hr *http.Request, peer netip.Addr, service string) {
	if g.samples == nil {
		return
	}
	c := hr.Context().Value(clientConnKey{}).(*clientConn)
	if c.asked.Swap(true) || service == own || g.trusted(peer) {
		return
	}
	if rtt, ok := roundTripTime(c.Conn); ok && !g.samples.add(peer, rtt) {
		g.metrics.samplesDropped.Inc()
	}
}
