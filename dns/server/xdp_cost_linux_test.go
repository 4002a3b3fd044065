package server

import (
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/zones"
)

// BenchmarkXDPCost is the processor time of a query over a virtual cable: for an AF_XDP worker, a socket worker, and a
// socket worker that sends every query back as it is. All have their turn with the same batch, on one thread, so that the
// work of the kernel is seen whoever pays for it elsewhere: with the client's send goes the way into the server's socket,
// with the server's send that into the client's.
func BenchmarkXDPCost(b *testing.B) {
	l := newLab(b)
	// A second cable, for what goes without the program.
	ip(b, "link add plain1 netns %s type veth peer name plain0 netns %s", l.client, l.server)
	ip(b, "-n %s address add 198.51.100.1/24 dev plain1", l.client)
	ip(b, "-n %s address add 198.51.100.53/24 dev plain0", l.server)
	ip(b, "-n %s link set plain1 up", l.client)
	ip(b, "-n %s link set plain0 up", l.server)
	published := snapshot(b, toEurope)
	config := Config{
		UDPWorkers: 1, Snapshot: func() *zones.Snapshot { return published }, CookieKey: cookieKey, XDP: []string{labDevice},
		Listen: []netip.AddrPort{netip.MustParseAddrPort(labServer4 + ":53"), netip.MustParseAddrPort("198.51.100.53:53")},
	}
	var s *Server
	var err error
	within(b, l.server, func() { s, err = Listen(config) })
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	query := packed(b)
	socket, worker := s.bound[1].udp[0], s.xdp[0].workers[0]
	turns := []struct {
		name   string
		client *udpWorker
		server func() int
		phases [3][]float64
		whole  []float64
	}{
		{name: "echo", client: l.client4(b, s.bound[1].address, query), server: func() int {
			n := socket.receive(true)
			socket.echo(n)
			socket.send()
			return n
		}},
		{name: "socket", client: l.client4(b, s.bound[1].address, query), server: func() int {
			n := socket.receive(true)
			socket.limiter.begin(s, n == batchSize)
			socket.answer(s, n)
			socket.limiter.publish()
			socket.send()
			return n
		}},
		{name: "xdp", client: l.client4(b, s.bound[0].address, query), server: func() int {
			n := worker.socket.ready()
			worker.take(s, n)
			return n
		}},
	}
	for b.Loop() {
		for i := range turns {
			turn := &turns[i]
			turn.client.replies = batchSize
			begin := threadTime()
			turn.client.send()
			asked := threadTime()
			for done := 0; done < batchSize; {
				n := turn.server()
				if n == 0 {
					b.Fatalf("%s: %d of %d queries came", turn.name, done, batchSize)
				}
				done += n
			}
			answered := threadTime()
			turn.client.takeAll(b)
			end := threadTime()
			for phase, took := range []time.Duration{asked - begin, answered - asked, end - answered} {
				turn.phases[phase] = append(turn.phases[phase], float64(took)/batchSize)
			}
			turn.whole = append(turn.whole, float64(end-begin)/batchSize)
		}
	}
	median := func(values []float64) float64 {
		slices.Sort(values)
		return values[len(values)/2]
	}
	echo, whole := median(turns[0].phases[1]), median(turns[0].whole)
	for _, turn := range turns {
		for phase, name := range []string{"ask", "answer", "take"} {
			b.ReportMetric(median(turn.phases[phase]), turn.name+"-"+name+"-ns")
		}
		b.ReportMetric(median(turn.phases[1])/echo, turn.name+"-×echo")
		b.ReportMetric(median(turn.whole)/whole, turn.name+"-whole-×echo")
	}
}

// client4 opens a client that asks a query in batches.
func (l *lab) client4(b *testing.B, to netip.AddrPort, query []byte) *udpWorker {
	var workers []*udpWorker
	var err error
	within(b, l.client, func() { workers, err = bindUDP(netip.MustParseAddrPort("0.0.0.0:0"), 1) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeUDP(workers) })
	c := workers[0]
	c.counters = newLedger().open(transportUDP)
	if err := unix.Connect(c.socket, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		b.Fatal(err)
	}
	for i := range batchSize {
		c.in[i].header.Control, c.in[i].header.Controllen = nil, 0
		c.answerIO[i].Base = &query[0]
		c.answerIO[i].SetLen(len(query))
	}
	return c
}

// takeAll takes the answers to a batch.
func (w *udpWorker) takeAll(b *testing.B) {
	for got := 0; got < batchSize; {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(w.socket),
			uintptr(unsafe.Pointer(&w.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			b.Fatalf("%d of %d answers came", got, batchSize)
		}
		got += int(n)
	}
}
