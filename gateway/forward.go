package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/meridian-gslb/meridian/gateway/balance"
	"github.com/meridian-gslb/meridian/gateway/route"
	"github.com/meridian-gslb/meridian/geo"
)

// An outcome is how a trip to an endpoint that brought no response ended.
type outcome struct {
	err       error
	connected bool  // else it was a connect error
	wrote     bool  // bytes of the request went out
	bodyRead  bool  // bytes of the client's body were taken: they can't be sent again
	clientErr error // of the client's body, or that the client left: no fault of the upstream
	timeout   bool
}

func (o outcome) reason() string {
	switch {
	case o.clientErr != nil:
		return "client"
	case !o.connected && o.timeout:
		return "connect_timeout"
	case !o.connected:
		return "connect"
	case o.timeout:
		return "timeout"
	}
	return "response"
}

// What to do after a trip without a response.
type verdict int

const (
	giveUp   verdict = iota
	tryOther         // another endpoint, or the same if it was connected to and there is no other
	retry            // likewise, but once
)

// next decides what follows a trip that brought no response.
//
//	the client failed or left                   give up
//	bytes of the body were taken                give up
//	no byte of the request went out             try another, any method
//	no answer in time                           give up: it would cost as long again
//	idempotent, no body, not retried yet        retry
//	any other                                   give up
func next(o outcome, r *Request, retried bool) verdict {
	switch {
	case o.clientErr != nil || o.bodyRead:
		return giveUp
	case !o.wrote:
		return tryOther
	case o.timeout || retried || r.Body.Reader != nil || !idempotent(r.Method):
		return giveUp
	}
	return retry
}

// idempotent is RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// forward brings the request to an endpoint of s. One that came from another gateway of ours stays in this
// region: one hop between regions is the most.
func (g *Gateway) forward(ctx context.Context, s *service, r *Request, path route.Path, key string, hopped bool, id string) *Response {
	order := []geo.RegionID{g.cfg.Region}
	if !hopped {
		order = g.order(s)
	}
	var tried []*balance.Endpoint
	var last outcome
	retried := false
	for try := 0; try < g.limits.Tries; try++ {
		p, ok := s.pick(order, tried)
		if !ok && last.connected {
			p, ok = s.pick(order, tried[:len(tried)-1]) // its old connection was the trouble, perhaps not the endpoint
		}
		if !ok {
			break
		}
		resp, out := g.upstream.trip(ctx, p.Address, r, path, key)
		g.settle(s, p, out)
		if out.err == nil {
			resp.upstream = true
			resp.release = func() { s.release(p) }
			return resp
		}
		s.release(p)
		if ctx.Err() != nil && !isTimeout(out.clientErr) {
			return nil
		}
		last = out
		g.metrics.upstreamErrors.WithLabelValues(s.name, string(p.Region), out.reason()).Inc()
		tried = append(tried, p.Endpoint)
		switch next(out, r, retried) {
		case giveUp:
			return failure(last, id)
		case retry:
			retried = true
		}
		g.metrics.retries.WithLabelValues(s.name).Inc()
	}
	return failure(last, id)
}

// failure is what the client hears of it.
func failure(last outcome, id string) *Response {
	switch {
	case last.err == nil:
		return problem(http.StatusServiceUnavailable, "the service has no upstream", id)
	case isTimeout(last.clientErr):
		return problem(http.StatusRequestTimeout, "the body did not arrive in time", id)
	case last.clientErr != nil:
		return problem(http.StatusBadRequest, "the body is malformed", id)
	case last.connected && last.timeout:
		return problem(http.StatusGatewayTimeout, "the upstream did not answer in time", id)
	case !last.connected:
		return problem(http.StatusBadGateway, "no upstream could be reached", id)
	}
	return problem(http.StatusBadGateway, "the upstream did not answer properly", id)
}

func (g *Gateway) order(s *service) []geo.RegionID {
	var near []geo.RegionID
	if g.cfg.Order != nil {
		near = g.cfg.Order()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up.Order(g.cfg.Region, near)
}

func (s *service) pick(order []geo.RegionID, tried []*balance.Endpoint) (balance.Pick, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up.Pick(order, tried, time.Now())
}

func (s *service) release(p balance.Pick) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up.Release(p)
}

// settle tells the balance whether the endpoint took a connection, and logs what that changes.
func (g *Gateway) settle(s *service, p balance.Pick, o outcome) {
	now := time.Now()
	s.mu.Lock()
	var readmitted bool
	var out time.Duration
	switch {
	case o.connected:
		readmitted = s.up.Connected(p)
	case o.clientErr == nil:
		out = s.up.ConnectFailed(p, now, s.rng)
	}
	s.mu.Unlock()
	switch {
	case readmitted:
		g.log.Info("upstream readmitted", "service", s.name, "region", p.Region, "endpoint", p.Address)
	case out > 0:
		g.log.Warn("upstream ejected", "service", s.name, "region", p.Region, "endpoint", p.Address,
			"for", out.Round(time.Second), "err", o.err)
	}
}
