package server

import (
	"bytes"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-gslb/meridian/zones"
)

// reportEvery is how often at most a report of an error is logged: anybody can make them up, in any number.
const reportEvery = 10 * time.Second

// A reporter logs some of the errors that resolvers report. Its methods may be called from any goroutine.
type reporter struct {
	log     *slog.Logger
	running *sync.WaitGroup // of the server's workers, one of which the caller is
	last    atomic.Int64    // when one was logged, in ns of the server's time; 0: never
	untold  atomic.Uint64   // since then
}

// tell logs a query that reports an error, unless another was logged just before. It neither waits nor, for most of them, allocates.
// now is in ns since the server began and greater than 0.
func (r *reporter) tell(s *zones.Snapshot, query []byte, from netip.Addr, now int64) {
	last := r.last.Load()
	if last > 0 && now-last < int64(reportEvery) || !r.last.CompareAndSwap(last, now) {
		r.untold.Add(1)
		return
	}
	untold, query := r.untold.Swap(0), bytes.Clone(query)
	r.running.Go(func() {
		report, err := s.Plan.Reports.Read(query[headerSize:])
		if err != nil { // a bug: dns/wire has found it to be one
			r.log.Error("report of an error not read", "err", err)
			return
		}
		r.log.Warn("a resolver reports an error", "name", report.Name, "types", report.Types, "info_code", report.InfoCode,
			"address", from, "not_logged", untold)
	})
}
