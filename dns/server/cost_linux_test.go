package server

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/zones"
)

// BenchmarkCost is the processor time of a query with that of the system calls, and its ratio to a worker that sends
// every query back as it is. Both have their turn with the same batch, on one thread: nothing waits, so that what else
// the machine does shows little.
func BenchmarkCost(b *testing.B) {
	published := snapshot(b, toEurope)
	config := Config{UDPWorkers: 1, Snapshot: func() *zones.Snapshot { return published }, CookieKey: cookieKey}
	s := newServer(config)
	query := packed(b)
	answering, echoing := newPair(b, s, query), newPair(b, s, query)
	var answer, echo, ratio []float64
	for b.Loop() {
		a := answering.turn(b, func(n int) {
			answering.worker.limiter.begin(s, n == batchSize)
			answering.worker.answer(s, n)
			answering.worker.limiter.publish()
		})
		e := echoing.turn(b, echoing.worker.echo)
		answer, echo, ratio = append(answer, a), append(echo, e), append(ratio, a/e)
	}
	for _, figure := range []struct {
		unit   string
		values []float64
	}{{"ns/query", answer}, {"ns/echo", echo}, {"×echo", ratio}} {
		slices.Sort(figure.values)
		b.ReportMetric(figure.values[len(figure.values)/2], figure.unit)
	}
}

// echo makes every query of the batch its answer.
func (w *udpWorker) echo(n int) {
	for i := range n {
		h := &w.out[i].header
		h.Name, h.Namelen = &w.names[i][0], w.in[i].header.Namelen
		w.answerIO[i].Base = &w.queries[i][0]
		w.answerIO[i].SetLen(int(w.in[i].length))
	}
	w.replies = n
}

// A pair is a worker and its client.
type pair struct {
	worker, client *udpWorker
	network        uint32
	sources        [batchSize][4]byte
}

// disguise has n queries come from 1,024 networks by turns, so that they are bounded each by itself as different names are.
func (p *pair) disguise(n int) {
	for i := range n {
		p.network += 1 << 22
		source := p.worker.names[i][4:8]
		copy(p.sources[i][:], source)
		binary.BigEndian.PutUint32(source, p.network)
	}
}

// unmask undoes disguise, so that the answers find back.
func (p *pair) unmask(n int) {
	for i := range n {
		copy(p.worker.names[i][4:8], p.sources[i][:])
	}
}

func newPair(b *testing.B, s *Server, query []byte) *pair {
	open := func() *udpWorker {
		workers, err := bindUDP(netip.MustParseAddrPort("127.0.0.1:0"), 1)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { closeUDP(workers) })
		workers[0].counters = s.ledger.open(transportUDP)
		workers[0].limiter = s.newLimiter(workers[0].counters, workers[0].address)
		return workers[0]
	}
	p := &pair{worker: open(), client: open()}
	name, err := unix.Getsockname(p.worker.socket)
	if err != nil {
		b.Fatal(err)
	}
	if err := unix.Connect(p.client.socket, name); err != nil {
		b.Fatal(err)
	}
	for i := range batchSize {
		p.client.out[i].header.Name = nil
		p.client.answerIO[i].Base = &query[0]
		p.client.answerIO[i].SetLen(len(query))
	}
	return p
}

// turn has the client ask a batch and returns what its answers cost the worker, in ns for each.
func (p *pair) turn(b *testing.B, answer func(n int)) float64 {
	p.client.replies = batchSize
	p.client.send()
	begin := threadTime()
	done := 0
	for done < batchSize {
		n := p.worker.receive(true)
		if n == 0 {
			b.Fatalf("%d of %d queries came", done, batchSize)
		}
		p.disguise(n)
		answer(n)
		p.unmask(n)
		p.worker.send()
		for i := range n {
			p.worker.rearm(i)
		}
		done += n
	}
	cost := threadTime() - begin
	for got := 0; got < batchSize; {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(p.client.socket),
			uintptr(unsafe.Pointer(&p.client.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			b.Fatalf("%d of %d answers came", got, batchSize)
		}
		got += int(n)
	}
	return float64(cost) / batchSize
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
