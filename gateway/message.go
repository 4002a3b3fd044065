package gateway

import (
	"io"
	"net/netip"

	"github.com/meridian-gslb/meridian/gateway/head"
)

// A Request is what an engine hands to the pipeline. It is owned by one exchange.
type Request struct {
	Method   string
	Path     string // as sent, still encoded, without the query
	Query    string // as sent, with its ?; empty: none
	Host     string // the one authority, as sent
	Version  string // of HTTP: 1.0, 1.1
	Secure   bool   // came over TLS
	Peer     netip.AddrPort
	Fields   head.Fields // without Host; framing fields only inform
	Body     Body
	Announce []string // names that Trailer said would come
}

// A Response is what the pipeline hands to an engine, which closes it.
type Response struct {
	Status   int
	Fields   head.Fields // without framing
	Body     Body
	Announce []string
	Tunnel   io.ReadWriteCloser // of a 101: what the upstream's side is
	upstream bool               // answered, not the gateway
	release  func()
}

// Close frees what the response holds. It is safe on any response, once.
func (r *Response) Close() {
	if r.Body.Reader != nil {
		r.Body.Reader.Close()
	}
	if r.Tunnel != nil {
		r.Tunnel.Close()
	}
	if r.release != nil {
		r.release()
	}
}

// A Body is a stream. The zero Body is of length 0.
type Body struct {
	Reader  io.ReadCloser      // nil: nothing to read, as in an answer to HEAD
	Length  int64              // -1: unknown
	Trailer func() head.Fields // what followed, once Reader gave io.EOF; nil: nothing
}

func (b Body) trailer() head.Fields {
	if b.Trailer == nil {
		return nil
	}
	return b.Trailer()
}
