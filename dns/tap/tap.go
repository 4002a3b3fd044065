// Package tap writes samples of queries and their answers down: as dnstap, to a unix socket or a file, and as a log of
// queries.
//
// It answers nothing and decides nothing. What it writes is a sample, never a record of everything.
//
// Nobody who answers queries waits for it: a worker copies what is sampled into a ring of its own, and a goroutine for each
// output empties the rings. Where an output is slow, gone or full, samples are left out and counted. Memory, files and the
// time that is spent on a reader are bounded.
package tap

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Config says what is written where.
type Config struct {
	Dnstap   Dnstap
	QueryLog QueryLog
	Identity string // of the nameserver, in dnstap
	Version  string // likewise

	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger
}

// A Dnstap goes to a socket or a file. Without either there is none.
type Dnstap struct {
	Socket  string // of a frame stream reader; dialled again and again while it is not there
	File    string
	Sample  int   // one of so many answers; at least 1
	MaxSize int64 // bytes of File until it becomes File.1
}

// A QueryLog has a line of JSON for each sampled answer.
type QueryLog struct {
	File    string // "": none
	Sample  int
	MaxSize int64
}

const (
	pollBusy = 5 * time.Millisecond // between two looks at the rings where there was something
	pollIdle = 50 * time.Millisecond
	complain = time.Minute // between two log lines about an output that fails
)

// A sink is where an output goes. Only the output's goroutine calls it.
type sink interface {
	write(*record) error
	flush() error // what was written since is lost if it fails
	close()
}

// An output is one way out, with the rings of all workers.
type output struct {
	name   string
	sample uint32
	sink   sink
	log    *slog.Logger

	mu       sync.Mutex
	samplers []*sampler

	written  atomic.Uint64
	failed   atomic.Uint64 // the sink did not take it
	said     time.Time     // when it was last said that it fails
	stopping chan struct{}
	done     chan struct{}
}

// A Tap writes from Start until Close.
type Tap struct {
	outputs    []*output
	registerer prometheus.Registerer
	closed     sync.Once
}

// Start opens the files, and begins to dial the socket.
func Start(c Config) (*Tap, error) {
	t := &Tap{registerer: c.Registerer}
	var err error
	if c.Dnstap.Socket != "" || c.Dnstap.File != "" {
		err = t.open("dnstap", c.Dnstap.Sample, c.Logger, func() (sink, error) { return newDnstap(c) })
	}
	if err == nil && c.QueryLog.File != "" {
		err = t.open("query_log", c.QueryLog.Sample, c.Logger, func() (sink, error) { return newQueryLog(c.QueryLog) })
	}
	if err == nil && t.registerer != nil {
		if err = t.registerer.Register(t); err != nil {
			t.registerer = nil
		}
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Tap) open(name string, sample int, log *slog.Logger, newSink func() (sink, error)) error {
	if sample < 1 {
		return errors.New("tap: " + name + ": the sample is one of at least 1")
	}
	s, err := newSink()
	if err != nil {
		return err
	}
	o := &output{name: name, sample: uint32(sample), sink: s, log: log, stopping: make(chan struct{}), done: make(chan struct{})}
	t.outputs = append(t.outputs, o)
	go o.run()
	return nil
}

// Close writes what is in the rings, as far as the outputs take it, and ends. No recorder may be used any more.
func (t *Tap) Close() {
	t.closed.Do(func() {
		for _, o := range t.outputs {
			close(o.stopping)
		}
		for _, o := range t.outputs {
			<-o.done
		}
		if t.registerer != nil {
			t.registerer.Unregister(t)
		}
	})
}

// A Recorder is for one goroutine at a time.
type Recorder struct{ samplers []*sampler }

// Recorder makes one more. Each has four megabytes for each output.
func (t *Tap) Recorder() *Recorder {
	r := new(Recorder)
	for _, o := range t.outputs {
		s := &sampler{output: o}
		s.left = s.gap()
		o.mu.Lock()
		o.samplers = append(o.samplers, s)
		o.mu.Unlock()
		r.samplers = append(r.samplers, s)
	}
	return r
}

// Record is shown an answer and copies it if it is in the sample. It allocates nothing and never waits. An empty answer
// says that there was none. protocol is udp, xdp, tcp, dot, doh or doq; to may have an unspecified address.
func (r *Recorder) Record(protocol string, from, to netip.AddrPort, at time.Time, query, answer []byte) {
	for _, s := range r.samplers {
		if s.left--; s.left == 0 {
			s.left = s.gap()
			if !s.ring.put(protocol, from, to, at, query, answer) {
				s.full.Add(1)
			}
		}
	}
}

// A sampler is one worker's part of an output.
type sampler struct {
	left   uint32        // answers until the next that is in the sample, and that one
	full   atomic.Uint64 // samples for which the ring had no room
	output *output
	ring   ring
}

// gap draws how far the next sample is away: at random, so that no rhythm of the queries hides from it.
func (s *sampler) gap() uint32 { return 1 + rand.Uint32N(2*s.output.sample-1) }

// run empties the rings until the tap is closed.
func (o *output) run() {
	defer close(o.done)
	defer o.sink.close()
	timer := time.NewTimer(pollIdle)
	defer timer.Stop()
	for {
		select {
		case <-o.stopping:
			o.drain()
			return
		case <-timer.C:
		}
		if o.drain() > 0 {
			timer.Reset(pollBusy)
		} else {
			timer.Reset(pollIdle)
		}
	}
}

// drain writes what is in the rings and returns how much that was. A worker that fills its ring meanwhile does not keep it:
// it takes one ringful of each.
func (o *output) drain() int {
	o.mu.Lock()
	samplers := o.samplers
	o.mu.Unlock()
	var seen, written uint64
	var failure error
	for _, s := range samplers {
		for range slots {
			r := s.ring.first()
			if r == nil {
				break
			}
			seen++
			if err := o.sink.write(r); err != nil {
				failure = err
			} else {
				written++
			}
			s.ring.drop()
		}
	}
	if written > 0 {
		if err := o.sink.flush(); err != nil {
			failure, written = err, 0
		}
	}
	o.written.Add(written)
	o.failed.Add(seen - written)
	if failure != nil && time.Since(o.said) >= complain {
		o.said = time.Now()
		o.log.Warn("samples of answers are lost", "output", o.name, "err", failure)
	}
	return int(seen)
}

// full counts the samples for which a ring had no room.
func (o *output) full() (sum uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.samplers {
		sum += s.full.Load()
	}
	return sum
}

var recordsDesc = prometheus.NewDesc("meridian_dns_tap_records_total",
	"Sampled answers by output (dnstap, query_log) and result: written, full (the output was too slow), failed (it did not take them).",
	[]string{"output", "result"}, nil)

// Describe makes the tap a prometheus.Collector.
func (t *Tap) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- recordsDesc }

// Collect makes the tap a prometheus.Collector.
func (t *Tap) Collect(metrics chan<- prometheus.Metric) {
	for _, o := range t.outputs {
		for result, count := range map[string]uint64{"written": o.written.Load(), "full": o.full(), "failed": o.failed.Load()} {
			metrics <- prometheus.MustNewConstMetric(recordsDesc, prometheus.CounterValue, float64(count), o.name, result)
		}
	}
}
