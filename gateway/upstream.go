package gateway

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/gateway/head"
	"github.com/meridian-gslb/meridian/gateway/route"
)

var (
	errReplay = errors.New("connection lost after the request was written")
	errSwitch = errors.New("101 that does not answer a WebSocket handshake")
	errStatus = errors.New("status below 100")
)

// upstream makes trips to endpoints over net/http's transport, HTTP/1.1 in the clear.
type upstream struct {
	requests *http.Transport
	tunnels  *http.Transport
}

func newUpstream(l Limits, dial func(ctx context.Context, network, address string) (net.Conn, error)) *upstream {
	if dial == nil {
		dial = (&net.Dialer{Timeout: l.Connect}).DialContext
	}
	transport := func(idle time.Duration) *http.Transport {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		return &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, l.Connect)
				defer cancel()
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &idleConn{Conn: conn, idle: idle}, nil
			},
			DisableCompression:     true,
			MaxIdleConns:           1000,
			MaxIdleConnsPerHost:    100,
			IdleConnTimeout:        l.Idle / 2,
			ResponseHeaderTimeout:  l.ResponseHead,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: int64(l.HeadBytes),
			WriteBufferSize:        16 << 10,
			ReadBufferSize:         16 << 10,
			Protocols:              protocols,
		}
	}
	// The connection's limit is a little longer than that of the client's body and of the response's head: the
	// one who stands still is to be blamed.
	return &upstream{requests: transport(max(l.Idle, l.ResponseHead) + time.Second), tunnels: transport(l.TunnelIdle)}
}

func (u *upstream) close() {
	u.requests.CloseIdleConnections()
	u.tunnels.CloseIdleConnections()
}

// A trip is one try of a request at one endpoint.
type trip struct {
	cancel context.CancelFunc
	conn   *idleConn
	before int64 // bytes conn had written when the trip got it
	wrote  bool
	replay bool
}

// gotConn keeps the transport from sending a request a second time by itself: whether to is for next to decide.
// Without the close, bytes could go out before the transport sees that its context has ended.
func (t *trip) gotConn(info httptrace.GotConnInfo) {
	t.note()
	if t.wrote {
		t.replay = true
		info.Conn.Close()
		t.cancel()
		return
	}
	t.conn = info.Conn.(*idleConn)
	t.before = t.conn.written.Load()
}

func (t *trip) note() { t.wrote = t.wrote || t.conn != nil && t.conn.written.Load() > t.before }

// trip sends the request to an endpoint and returns as soon as there is the head of a response. The outcome's
// err is nil if and only if there is a response.
func (u *upstream) trip(ctx context.Context, address string, r *Request, path route.Path, key string) (*Response, outcome) {
	client := ctx
	ctx, cancel := context.WithCancel(ctx)
	t := &trip{cancel: cancel}
	out, body := request(r, address, path, key)
	out = out.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: t.gotConn}))
	transport := u.requests
	if key != "" {
		transport = u.tunnels
	}
	hr, err := transport.RoundTrip(out)
	if err == nil && hr.StatusCode == http.StatusSwitchingProtocols &&
		(key == "" || !head.Accepted(key, fieldsOf(hr.Header))) {
		hr.Body.Close()
		err = errSwitch
	}
	if err == nil && hr.StatusCode < http.StatusSwitchingProtocols {
		hr.Body.Close()
		err = errStatus
	}
	if err != nil {
		cancel()
		t.note()
		o := outcome{err: err, connected: t.conn != nil, wrote: t.wrote}
		if t.replay {
			o.err = errReplay
		}
		if body != nil {
			o.bodyRead, o.clientErr = body.detach()
		}
		o.clientErr = cmp.Or(o.clientErr, client.Err())
		o.timeout = isTimeout(o.err)
		return nil, o
	}
	resp := &Response{
		Status:   hr.StatusCode,
		Fields:   head.Response(fieldsOf(hr.Header)),
		Announce: announced(hr.Trailer),
	}
	if hr.StatusCode == http.StatusSwitchingProtocols {
		resp.Tunnel = &tunnelEnd{hr.Body.(io.ReadWriteCloser), cancel}
		return resp, outcome{connected: true}
	}
	resp.Body = Body{
		Reader:  &receivedBody{hr.Body, cancel},
		Length:  hr.ContentLength,
		Trailer: func() head.Fields { return head.Trailer(fieldsOf(hr.Trailer)) },
	}
	return resp, outcome{connected: true}
}

// request maps ours to the transport's.
func request(r *Request, address string, path route.Path, key string) (*http.Request, *sentBody) {
	header := make(http.Header, len(r.Fields)+2)
	for _, f := range r.Fields {
		header[f.Name] = append(header[f.Name], f.Value)
	}
	delete(header, "Content-Length")
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = []string{""} // else the transport has one of its own
	}
	switch {
	case key != "":
		header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	case len(header["Te"]) > 0:
		header["Connection"] = []string{"TE"} // RFC 9110, section 10.1.4
	}
	decoded, err := url.PathUnescape(path.String())
	if err != nil {
		panic(err) // a route.Path is well-formed
	}
	u := &url.URL{Scheme: "http", Host: address, Path: decoded, RawPath: path.String()}
	if r.Query != "" {
		u.RawQuery, u.ForceQuery = r.Query[1:], true
	}
	out := &http.Request{Method: r.Method, URL: u, Host: r.Host, Header: header}
	if r.Body.Reader == nil {
		return out, nil
	}
	body := &sentBody{body: r.Body}
	out.Body, out.ContentLength = body, r.Body.Length
	if names := head.Trailer(named(r.Announce)); len(names) > 0 && r.Body.Length < 0 {
		out.Trailer = make(http.Header, len(names))
		for _, f := range names {
			out.Trailer[f.Name] = nil
		}
		body.trailer = out.Trailer
	}
	return out, body
}

// A sentBody is the client's body on one trip. The transport may read it after the trip; detach ends that.
type sentBody struct {
	body    Body
	trailer http.Header // to fill at the end; nil: none was announced

	mu       sync.Mutex
	started  bool
	detached bool
	err      error
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.detached {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.started = true
	b.mu.Unlock()
	n, err := b.body.Reader.Read(p)
	switch {
	case err == io.EOF && b.trailer != nil:
		for _, f := range head.Trailer(b.body.trailer()) {
			if _, ok := b.trailer[f.Name]; ok {
				b.trailer[f.Name] = append(b.trailer[f.Name], f.Value)
			}
		}
	case err != nil && err != io.EOF:
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Close leaves the body open: it is the front's.
func (b *sentBody) Close() error { return nil }

func (b *sentBody) detach() (read bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	return b.started, b.err
}

// A receivedBody is the upstream's body; its end is the end of the trip.
type receivedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *receivedBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

type tunnelEnd struct {
	io.ReadWriteCloser
	cancel context.CancelFunc
}

func (t *tunnelEnd) Close() error {
	err := t.ReadWriteCloser.Close()
	t.cancel()
	return err
}

// An idleConn fails its reads and writes when for so long no byte was read, written or wanted. It counts what was written.
type idleConn struct {
	net.Conn
	idle    time.Duration
	written atomic.Int64
}

func (c *idleConn) Read(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(c.idle))
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(c.idle))
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// fieldsOf takes net/http's header, ordered by name.
func fieldsOf(h http.Header) head.Fields {
	f := make(head.Fields, 0, len(h)+8)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			f = append(f, head.Field{Name: name, Value: value})
		}
	}
	return f
}

func announced(trailer http.Header) []string { return slices.Sorted(maps.Keys(trailer)) }

func named(names []string) head.Fields {
	f := make(head.Fields, len(names))
	for i, name := range names {
		f[i].Name = name
	}
	return f
}
