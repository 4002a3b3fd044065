package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"

	"github.com/meridian-gslb/meridian/gateway/head"
	"github.com/meridian-gslb/meridian/gateway/route"
)

// own labels what the gateway answers itself, whatever service was meant. No service is named so.
const own = "-"

// serve answers one request, whatever engine brought it. The response is nil when there is nobody left to
// answer. The service is a label for metrics.
func (g *Gateway) serve(ctx context.Context, r *Request) (resp *Response, service string) {
	id := ""
	trusted := g.trusted(r.Peer.Addr())
	if trusted {
		id = head.RequestID(r.Fields)
	}
	if id == "" {
		id = rand.Text()
	}
	path, pathErr := route.ParsePath(r.Path)
	if path.String() == healthPath {
		return g.health(r.Method, id), own
	}
	client := g.clientOf(r.Peer.Addr())
	if refusal := g.enter(client, id); refusal != nil {
		return refusal, own
	}
	defer func() {
		if resp == nil {
			g.leave(client)
			return
		}
		release := resp.release
		resp.release = func() {
			if release != nil {
				release()
			}
			g.leave(client)
		}
	}()

	if r.Method == http.MethodConnect {
		return problem(http.StatusNotImplemented, "CONNECT is not served", id), own // RFC 9110, section 9.3.6
	}
	host, err := route.ParseHost(r.Host)
	if err != nil {
		return problem(http.StatusBadRequest, "the host is missing or malformed", id), own
	}
	if pathErr != nil {
		return problem(http.StatusBadRequest, "the path is malformed", id), own
	}
	key := head.Handshake(r.Method, r.Version, r.Body.Reader != nil, r.Fields)
	fields, dropped := head.DropLookalikes(head.EndToEnd(r.Fields))
	g.metrics.dropped.Add(float64(dropped))

	now := g.routes.Load()
	match, err := now.table.Match(host, path)
	switch {
	case errors.Is(err, route.ErrUnknownHost) && r.Secure:
		return problem(http.StatusMisdirectedRequest, "this gateway does not serve that host", id), own
	case errors.Is(err, route.ErrAmbiguous):
		return problem(http.StatusBadRequest, "the path has more than one reading", id), own
	case err != nil:
		return problem(http.StatusNotFound, "no route", id), own
	}
	self, sibling := head.Loop(fields, g.name, pseudonym)
	if self {
		return problem(http.StatusLoopDetected, "the request came through this gateway before", id), match.Service
	}
	if g.cfg.Request != nil && !(sibling && trusted) {
		g.cfg.Request(host, head.Client(fields, r.Peer.Addr(), g.trusted))
	}
	hop := head.Hop{Gateway: g.name, Version: r.Version, Peer: r.Peer.Addr(), Trusted: trusted, Proto: "http", Host: r.Host, RequestID: id}
	if r.Secure {
		hop.Proto = "https"
	}
	r.Fields = hop.Apply(fields)
	return g.forward(ctx, now.services[match.Service], r, path, key, sibling, id), match.Service
}

// enter takes a slot for a request of the client, or returns why there is none. One who has too many gets none of
// those that are for all.
func (g *Gateway) enter(client netip.Prefix, id string) (refusal *Response) {
	again := head.Field{Name: "Retry-After", Value: "1"}
	if !g.clientRequests.enter(client) {
		g.clientRequests.leave(client)
		g.metrics.busy.WithLabelValues(ofClient).Inc()
		return problem(http.StatusServiceUnavailable, "too many requests of one client at once", id, again)
	}
	if g.requests.Add(1) > int64(g.limits.Requests) {
		g.leave(client)
		g.metrics.busy.WithLabelValues(ofAll).Inc()
		return problem(http.StatusServiceUnavailable, "too many requests at once", id, again)
	}
	return nil
}

func (g *Gateway) leave(client netip.Prefix) {
	g.requests.Add(-1)
	g.clientRequests.leave(client)
}

const healthPath = "/healthz"

// health answers probes of the gateway itself.
//
//	draining           503 with Meridian-Drain: a probe takes it for a drain, not for a failure
//	not ready          503
//	ready              200
func (g *Gateway) health(method, id string) *Response {
	switch {
	case method != http.MethodGet && method != http.MethodHead:
		return problem(http.StatusMethodNotAllowed, "GET and HEAD only", id, head.Field{Name: "Allow", Value: "GET, HEAD"})
	case g.draining.Load():
		return document(http.StatusServiceUnavailable, "application/json", []byte(`{"status":"draining"}`),
			head.Field{Name: "Meridian-Drain", Value: "1"})
	case !g.Ready():
		return document(http.StatusServiceUnavailable, "application/json", []byte(`{"status":"not ready"}`))
	}
	return document(http.StatusOK, "application/json", []byte(`{"status":"ok"}`))
}
