package tap

import (
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
)

const (
	slots      = 1024
	recordSize = 4000 // bytes of query and answer together; more than UDP carries both ways
)

// A record is a copy of one query and its answer.
type record struct {
	at       time.Time
	protocol string
	from, to netip.AddrPort
	query    int // bytes of it in data
	answer   int // likewise, behind the query
	cut      bool
	data     [recordSize]byte
}

func (r *record) queryBytes() []byte  { return r.data[:r.query] }
func (r *record) answerBytes() []byte { return r.data[r.query : r.query+r.answer] }

// A ring carries records from the one goroutine that puts them to the one that takes them. Neither waits for the other.
type ring struct {
	_       cpu.CacheLinePad
	filled  atomic.Uint64
	_       cpu.CacheLinePad
	taken   atomic.Uint64
	_       cpu.CacheLinePad
	records [slots]record
}

// put reports whether there was room.
func (r *ring) put(protocol string, from, to netip.AddrPort, at time.Time, query, answer []byte) bool {
	n := r.filled.Load()
	if n-r.taken.Load() == slots {
		return false
	}
	r.records[n%slots].fill(protocol, from, to, at, query, answer)
	r.filled.Store(n + 1)
	return true
}

func (r *record) fill(protocol string, from, to netip.AddrPort, at time.Time, query, answer []byte) {
	r.at, r.protocol, r.from, r.to = at, protocol, from, to
	r.query = copy(r.data[:], query)
	r.answer = copy(r.data[r.query:], answer)
	r.cut = r.query < len(query) || r.answer < len(answer)
}

// first returns the oldest record, which is good until drop; nil if there is none.
func (r *ring) first() *record {
	n := r.taken.Load()
	if n == r.filled.Load() {
		return nil
	}
	return &r.records[n%slots]
}

func (r *ring) drop() { r.taken.Add(1) }
