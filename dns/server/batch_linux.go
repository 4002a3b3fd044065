package server

import (
	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/zones"
)

// A batch is the queries that a worker has taken at once. It is answered in two rounds, for what bounds an answer seldom lies
// in the cache: so the processor fetches it for all of them at once.
type batch struct {
	counters *counters
	limiter  *limiter
	at       int // the query or draft that is being worked on
	drafted  int
	drafts   [batchSize]draft
	asked    [batchSize]int // the query of each draft
	buckets  [batchSize]rrl.Bucket
}

// answerBatch answers the first n queries of a worker's batch, from one snapshot. What draft and settle are about is at b.at.
func answerBatch[W any](w W, b *batch, s *Server, n int, draft, settle func(W, *Server, *zones.Snapshot)) {
	snapshot := s.config.Snapshot()
	b.drafted = 0
	each(w, b, s, snapshot, n, draft)
	b.fetch()
	each(w, b, s, snapshot, b.drafted, settle)
}

// each does something with b.at from 0 to n-1. A panic costs only the one that caused it.
func each[W any](w W, b *batch, s *Server, snapshot *zones.Snapshot, n int, do func(W, *Server, *zones.Snapshot)) {
	for b.at = 0; b.at < n; b.at++ {
		until(w, b, s, snapshot, n, do)
	}
}

// until is each from b.at on, as far as a panic.
func until[W any](w W, b *batch, s *Server, snapshot *zones.Snapshot, n int, do func(W, *Server, *zones.Snapshot)) {
	defer func() {
		if cause := recover(); cause != nil {
			b.counters.drop(dropPanic)
			s.logPanic(cause)
		}
	}()
	for ; b.at < n; b.at++ {
		do(w, s, snapshot)
	}
}

// fetch has what bounds the drafts in the cache.
func (b *batch) fetch() {
	n := 0
	for i := range b.drafts[:b.drafted] {
		if d := &b.drafts[i]; d.bounded {
			b.buckets[n] = d.bucket
			n++
		}
	}
	if n > 0 {
		b.limiter.table.Fetch(b.buckets[:n])
	}
}
