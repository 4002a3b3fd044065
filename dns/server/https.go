package server

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"

	"github.com/meridian-gslb/meridian/dns/wire"
)

const (
	webPath    = "/dns-query"
	mediaType  = "application/dns-message"
	headerMost = 16 << 10 // bytes of a request's head, and so of a query in its path
)

// A web serves DNS over HTTPS (RFC 8484) on connections that it is handed with TLS set up.
type web struct {
	server *Server
	http   http.Server
	tls    *tls.Config
	conns  chan net.Conn
	ended  chan struct{}
	once   sync.Once
}

func newWeb(s *Server) *web {
	l := s.config.Limits
	h := &web{server: s, tls: s.tlsConfig("h2", "http/1.1"), conns: make(chan net.Conn), ended: make(chan struct{})}
	h.http = http.Server{
		Handler: h, TLSConfig: h.tls, ConnState: h.track, ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: l.Idle, ReadTimeout: l.Idle, WriteTimeout: l.Write, IdleTimeout: l.Idle, MaxHeaderBytes: headerMost,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: l.InFlight, WriteByteTimeout: l.Write,
			MaxReceiveBufferPerConnection: 128 << 10, MaxReceiveBufferPerStream: 64 << 10,
		},
	}
	return h
}

func (h *web) serve() { _ = h.http.Serve(h) } // it ends with close

// Accept implements net.Listener.
func (h *web) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *web) Close() error {
	h.once.Do(func() { close(h.ended) })
	return nil
}

// Addr implements net.Listener.
func (h *web) Addr() net.Addr { return &net.TCPAddr{} } // of many addresses

// close lets the requests that have come be answered, and ends all connections.
func (h *web) close() {
	ctx, cancel := context.WithTimeout(context.Background(), h.server.config.Limits.Write)
	defer cancel()
	_ = h.http.Shutdown(ctx)
	_ = h.Close()
	_ = h.http.Close()
}

func (s *Server) serveHTTPS(conn *tracked) {
	secure, ok := s.handshake(conn, s.web.tls)
	if !ok {
		return
	}
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		s.clients.setHurry(conn.session, nil) // a client of HTTP/2 is told when its connection ends
	}
	select {
	case s.web.conns <- secure:
	case <-s.web.ended:
		secure.Close()
	}
}

// track keeps the session's idle time.
func (h *web) track(conn net.Conn, state http.ConnState) {
	who := conn.(*tls.Conn).NetConn().(*tracked).session
	switch state {
	case http.StateActive:
		h.server.clients.begin(who)
	case http.StateIdle:
		h.server.clients.finish(who)
	}
}

// A badRequest is a request without a query that could be answered.
type badRequest struct {
	status int
	text   string
}

func (h *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, bad := readQuery(w, r)
	var answer []byte
	if bad == nil {
		var ok bool
		if answer, ok = h.server.answer(nil, query, h.conversation(r)); !ok {
			bad = &badRequest{http.StatusBadRequest, "the message is no query"}
		}
	} else {
		h.server.shared[transportHTTPS].drop(dropProtocol)
	}
	if bad != nil {
		if bad.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, POST")
		}
		http.Error(w, bad.text, bad.status)
		return
	}
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Length", strconv.Itoa(len(answer)))
	// Private, because another client may get another answer to the same query: it may be elsewhere.
	header.Set("Cache-Control", "private, max-age="+strconv.FormatUint(uint64(freshness(answer)), 10))
	if _, err := w.Write(answer); err != nil {
		h.server.countUnsent(transportHTTPS, err)
	}
}

func (h *web) conversation(r *http.Request) *conversation {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		panic(err) // net/http has it from the connection
	}
	c := &conversation{transport: transportHTTPS, from: plainAddress(from), limit: wire.MaxMessage, tls: r.TLS}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		c.to = addressOf(local)
	}
	return c
}

// readQuery takes the query out of a request (RFC 8484, section 4.1).
func readQuery(w http.ResponseWriter, r *http.Request) ([]byte, *badRequest) {
	if r.URL.Path != webPath {
		return nil, &badRequest{http.StatusNotFound, "queries go to " + webPath}
	}
	switch r.Method {
	case http.MethodGet:
		return queryOfURL(r.URL)
	case http.MethodPost:
		return queryOfBody(w, r)
	}
	return nil, &badRequest{http.StatusMethodNotAllowed, "want GET or POST"}
}

func queryOfURL(u *url.URL) ([]byte, *badRequest) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(values["dns"]) != 1 {
		return nil, &badRequest{http.StatusBadRequest, "want one parameter dns"}
	}
	query, err := base64.RawURLEncoding.DecodeString(values.Get("dns")) // without padding (section 6)
	if err != nil || len(query) == 0 {
		return nil, &badRequest{http.StatusBadRequest, "parameter dns: want a message in base64url without padding"}
	}
	return query, nil
}

func queryOfBody(w http.ResponseWriter, r *http.Request) ([]byte, *badRequest) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != mediaType {
		return nil, &badRequest{http.StatusUnsupportedMediaType, "want content of type " + mediaType}
	}
	tooLarge := &badRequest{http.StatusRequestEntityTooLarge, "a message has at most 65535 bytes"}
	if r.ContentLength > wire.MaxMessage {
		return nil, tooLarge
	}
	query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxMessage))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return nil, tooLarge
	case err != nil:
		return nil, &badRequest{http.StatusBadRequest, "the body ends early"}
	}
	return query, nil
}
