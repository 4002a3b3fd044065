//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch       = 32                     // datagrams that the generator sends or takes with one system call
	packetSize  = 1500                   // of a response; of a longer one the rest is cut off
	lostAfter   = 250 * time.Millisecond // without an answer
	window      = 192                    // queries under way in a closed loop
	clientBytes = 4 << 20                // of socket buffer, so that no loss is the generator's
)

// A stream is a client with a socket of its own.
type stream struct {
	from    netip.Addr // source address; its port is the kernel's choice
	queries []query    // asked in this order, again and again
	rate    float64    // queries a second, whatever comes back (open loop); 0: as many as keep the window full (closed loop)
}

// A tally is what became of a stream's queries in the time that was measured.
type tally struct {
	answered, lost, wrong uint64
	took                  time.Duration
	latency               histogram
}

func (t *tally) qps() float64 { return float64(t.answered) / t.took.Seconds() }

// add puts another tally to t, as of one longer time.
func (t *tally) add(u *tally) {
	t.answered += u.answered
	t.lost += u.lost
	t.wrong += u.wrong
	t.took += u.took
	t.latency.merge(&u.latency)
}

// A run is one use of the generator.
type run struct {
	to            netip.AddrPort
	streams       []stream
	warm, measure time.Duration
	seed          uint64
	cpu           int    // that the generator stays on; -1: any
	cable         *cable // nil: the loopback interface
	begin, end    func() // called around the measured time, while the load goes on; nil: nothing
}

// do sends and counts, on a thread of its own that spins.
func (r run) do() (tallies []tally, err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would look like the server's latency
	if r.cpu >= 0 {
		release, err := confine(r.cpu)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and its namespace with it
		if err = r.cable.enter(); err == nil {
			tallies, err = r.spin()
		}
	}()
	<-done
	return tallies, err
}

func (r run) spin() ([]tally, error) {
	clients := make([]*client, len(r.streams))
	for i, s := range r.streams {
		c, err := dial(s, r.to, rand.NewPCG(r.seed, uint64(i)))
		if err != nil {
			return nil, err
		}
		defer unix.Close(c.socket)
		clients[i] = c
	}
	spinClients(clients, time.Now().Add(r.warm))
	for _, c := range clients {
		c.tally = tally{}
	}
	if r.begin != nil {
		r.begin()
	}
	start := time.Now()
	spinClients(clients, start.Add(r.measure))
	took := time.Since(start)
	if r.end != nil {
		r.end()
	}
	answered := make([]uint64, len(clients))
	for i, c := range clients {
		answered[i] = c.tally.answered
		c.stopped = true
	}
	spinClients(clients, time.Now().Add(lostAfter)) // what is still under way is late or lost
	tallies := make([]tally, len(clients))
	for i, c := range clients {
		c.tally.lost += uint64(c.underWay)
		c.tally.answered, c.tally.took = answered[i], took
		tallies[i] = c.tally
	}
	return tallies, nil
}

func spinClients(clients []*client, until time.Time) {
	begin := time.Now()
	for _, c := range clients {
		c.paced, c.begin = 0, begin
	}
	for {
		now := time.Now()
		if now.After(until) {
			return
		}
		for _, c := range clients {
			c.receive()
			c.expire(now)
			if !c.stopped {
				c.send(now)
			}
		}
	}
}

// A client is a stream at work. Its queries are numbered by their ids, in order.
type client struct {
	stream
	socket   int
	random   *rand.PCG
	tally    tally
	stopped  bool
	next     int // index of the query that is asked next
	begin    time.Time
	paced    int // sent since begin
	underWay int
	id       uint16 // of the next query
	oldest   uint16 // no query before it is under way
	asked    [1 << 16]asked

	out, in       [batch]mmsghdr
	outIO, inIO   [batch]unix.Iovec
	outBuf, inBuf [batch][packetSize]byte
}

type asked struct {
	at       time.Time
	underWay bool
	want     want
}

// A mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

func dial(s stream, to netip.AddrPort, random *rand.PCG) (*client, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("generator: socket: %w", err)
	}
	c := &client{stream: s, socket: socket, random: random}
	for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, option, clientBytes) // not for everyone; losses would show
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: s.from.As4()}); err != nil {
		unix.Close(socket)
		return nil, fmt.Errorf("generator: bind %v: %w", s.from, err)
	}
	if err := unix.Connect(socket, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		unix.Close(socket)
		return nil, fmt.Errorf("generator: connect %v: %w", to, err)
	}
	for i := range batch {
		c.outIO[i].Base, c.inIO[i].Base = &c.outBuf[i][0], &c.inBuf[i][0]
		c.inIO[i].SetLen(packetSize)
		c.out[i].header.Iov, c.in[i].header.Iov = &c.outIO[i], &c.inIO[i]
		c.out[i].header.SetIovlen(1)
		c.in[i].header.SetIovlen(1)
	}
	return c, nil
}

// receive takes all responses that are there.
func (c *client) receive() {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(c.socket), uintptr(unsafe.Pointer(&c.in[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return // nothing there, or an ICMP error: what is lost is counted by time
		}
		now := time.Now()
		for i := range int(n) {
			c.take(c.inBuf[i][:min(int(c.in[i].length), packetSize)], now)
		}
		if n < batch {
			return
		}
	}
}

func (c *client) take(response []byte, now time.Time) {
	if len(response) < 12 || response[2]&0x80 == 0 {
		return
	}
	a := &c.asked[binary.BigEndian.Uint16(response)]
	if !a.underWay {
		return // counted as lost before
	}
	a.underWay = false
	c.underWay--
	c.tally.answered++
	if !a.want.right(response) {
		c.tally.wrong++
	}
	c.tally.latency.add(now.Sub(a.at))
}

// expire gives up what was asked too long ago.
func (c *client) expire(now time.Time) {
	for c.oldest != c.id {
		a := &c.asked[c.oldest]
		if a.underWay {
			if now.Sub(a.at) < lostAfter {
				return
			}
			a.underWay = false
			c.underWay--
			c.tally.lost++
		}
		c.oldest++
	}
}

// due returns how many queries may be sent now.
func (c *client) due(now time.Time) int {
	n := window - c.underWay
	if c.rate > 0 {
		n = min(int(c.rate*now.Sub(c.begin).Seconds())-c.paced, len(c.asked)-1-c.underWay)
	}
	return max(0, min(n, batch))
}

func (c *client) send(now time.Time) {
	n := c.due(now)
	if n == 0 {
		return
	}
	for i := range n {
		q := &c.queries[(c.next+i)%len(c.queries)]
		id := c.id + uint16(i)
		c.outIO[i].SetLen(q.put(c.outBuf[i][:], id, c.random))
	}
	now = time.Now()
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(c.socket), uintptr(unsafe.Pointer(&c.out[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return
	}
	for range int(sent) {
		a := &c.asked[c.id]
		if a.underWay { // all ids are in use: the oldest query is no longer waited for
			c.underWay--
			c.tally.lost++
		}
		*a = asked{now, true, c.queries[c.next].want}
		c.next = (c.next + 1) % len(c.queries)
		c.id++
		c.underWay++
		c.paced++
	}
}
