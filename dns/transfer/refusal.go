package transfer

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

// refusalEvery is how often at most a refusal of one kind is logged: anybody can have requests refused, in any number.
const refusalEvery = 10 * time.Second

// A refusalKind is the line in the log about one kind of request.
type refusalKind string

const (
	transferRefused  refusalKind = "transfer refused"
	updateRefused    refusalKind = "update refused"
	signatureRefused refusalKind = "signature refused" // of any request
)

// refusals know when one was logged last. Its methods may be called from any goroutine.
type refusals struct {
	mu    sync.Mutex
	kinds map[refusalKind]*refusalLog
}

type refusalLog struct {
	last   time.Time
	untold int // since then
}

func (r *refusals) init() {
	r.kinds = map[refusalKind]*refusalLog{transferRefused: {}, updateRefused: {}, signatureRefused: {}}
}

// due reports whether a refusal is to be logged, and how many were not since the last one that was.
func (r *refusals) due(kind refusalKind, now time.Time) (untold int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.kinds[kind]
	if !l.last.IsZero() && now.Sub(l.last) < refusalEvery {
		l.untold++
		return 0, false
	}
	untold = l.untold
	*l = refusalLog{last: now}
	return untold, true
}

// refused logs that the request was refused, unless another of its kind was just before. key is the one that the request names.
func (x *exchange) refused(kind refusalKind, key string, rcode int, why string) {
	untold, due := x.service.refusals.due(kind, time.Now())
	if !due {
		return
	}
	x.service.config.Logger.Warn(string(kind), "zone", x.apex(), "peer", x.From, "key", key, "rcode", dns.RcodeToString[rcode],
		"err", why, "not_logged", untold)
}
