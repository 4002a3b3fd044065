package server

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	batchSize   = 64        // datagrams that one system call takes
	fewQueries  = 8         // so many in a batch say that there may be more
	querySize   = 2048 + 64 // bytes of a query; of a longer one the rest is cut off; no power of two, so that the batch spreads in the cache
	answerAlign = 16        // bytes
	nameSize    = unix.SizeofSockaddrInet6
	controlSize = 64 // room for a packet's destination address, of either family
	yieldEvery  = int64(5 * time.Millisecond)
)

// A mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// A udpWorker answers what comes in at one socket. An address has several: the kernel spreads the clients over them.
//
// It waits inside the system call: a trip through the runtime's poller would cost a tenth more for each packet. The kernel
// writes to all of this while the worker waits, so it stays where it is, on the heap.
//
// The scheduler is told of a system call that waits, and gives the processor to other goroutines meanwhile. It is not told
// of those that can't wait: it looks each 20 µs, a batch takes longer than that to send, and to get the processor back
// costs more than ten answers.
//
// Nor may a worker run for 10 ms without yielding. The scheduler's monitor (sysmon) would take it for a hog, take the processor from
// it in its next system call, and then look each 20 µs for a while, from a thread that interrupts the worker: at 20,000 queries a second
// a tenth of the answers took three times as long.
type udpWorker struct {
	socket   int
	address  netip.AddrPort
	anywhere bool // bound to all addresses: packets carry the one that was asked
	batch
	replies int // of the batch so far
	written int // bytes of the answers
	random  rand.PCG

	in       [batchSize]mmsghdr
	out      [batchSize]mmsghdr
	queryIO  [batchSize]unix.Iovec
	answerIO [batchSize]unix.Iovec
	names    [batchSize][nameSize]byte
	controls [batchSize][controlSize / 8]uint64 // aligned as the kernel wants it
	queries  [batchSize][querySize]byte
	answers  [batchSize * wire.MaxUDP]byte // one behind the other, so that they take few lines of the cache
}

// bindUDP opens sockets that share an address.
func bindUDP(address netip.AddrPort, count int) ([]*udpWorker, error) {
	var workers []*udpWorker
	for range count {
		socket, err := openUDP(address)
		if err != nil {
			closeUDP(workers)
			return nil, err
		}
		w := &udpWorker{socket: socket, address: address}
		w.prepare()
		workers = append(workers, w)
	}
	return workers, nil
}

func closeUDP(workers []*udpWorker) {
	for _, w := range workers {
		unix.Close(w.socket)
	}
}

// prepare ties the parts of the batch together.
func (w *udpWorker) prepare() {
	w.anywhere = w.address.Addr().IsUnspecified()
	w.random.Seed(rand.Uint64(), rand.Uint64())
	for i := range batchSize {
		w.queryIO[i].Base = &w.queries[i][0]
		w.queryIO[i].SetLen(querySize)
		w.in[i].header.Iov = &w.queryIO[i]
		w.in[i].header.SetIovlen(1)
		w.in[i].header.Name = &w.names[i][0]
		w.in[i].header.Namelen = nameSize // the kernel puts the family's size there, which fits ever after
		w.out[i].header.Iov = &w.answerIO[i]
		w.out[i].header.SetIovlen(1)
		w.rearm(i)
	}
}

// rearm undoes what the kernel has written to a header and would read again.
func (w *udpWorker) rearm(i int) {
	if w.anywhere {
		h := &w.in[i].header
		h.Control = w.control(i)
		h.SetControllen(controlSize)
	}
}

func (w *udpWorker) control(i int) *byte { return (*byte)(unsafe.Pointer(&w.controls[i])) }

func (w *udpWorker) serve(s *Server) {
	n, yielded := 0, int64(0)
	for !s.closing.Load() {
		if w.limiter.now-yielded >= yieldEvery {
			runtime.Gosched()
			yielded = w.limiter.now
		}
		n = w.receive(n >= fewQueries)
		w.limiter.begin(s, n == batchSize)
		w.answer(s, n)
		w.limiter.publish() // before who has an answer can look at the metrics
		w.send()
		for i := range n {
			w.rearm(i)
		}
	}
}

// receive waits for queries and returns how many came; 0 when there is none for a while. If more are likely to be there
// already it looks before it waits.
func (w *udpWorker) receive(likely bool) int {
	if likely {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(w.socket),
			uintptr(unsafe.Pointer(&w.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n)
		}
	}
	n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, uintptr(w.socket),
		uintptr(unsafe.Pointer(&w.in[0])), batchSize, unix.MSG_WAITFORONE, 0, 0)
	if errno != 0 {
		return 0 // EAGAIN, EINTR, or an ICMP error about an earlier answer
	}
	return int(n)
}

// answer answers the first n queries.
func (w *udpWorker) answer(s *Server, n int) {
	w.written = 0
	answerBatch(w, &w.batch, s, n, (*udpWorker).draft, (*udpWorker).settle)
}

// draft drafts the answer to the query at w.at.
func (w *udpWorker) draft(s *Server, snapshot *zones.Snapshot) {
	i := w.at
	query := w.queries[i][:min(int(w.in[i].length), querySize)]
	from, ok := sourceOf(&w.names[i])
	if !ok {
		w.counters.drop(dropPort)
		return
	}
	if s.wantsDatagram(query) {
		s.upkeepDatagram(query, from, w.reply(i))
		return
	}
	d := &w.drafts[w.drafted]
	d.query, d.from, d.random = query, from, uint32(w.random.Uint64())
	w.limiter.draft(d, w.answers[w.written:w.written:w.written+wire.MaxUDP], snapshot)
	room := (len(d.answer) + answerAlign - 1) &^ (answerAlign - 1)
	d.answer = d.answer[:len(d.answer):room] // what it may become yet must leave the next alone
	w.written += room
	w.asked[w.drafted] = i
	w.drafted++
}

// settle makes the draft at w.at a reply, unless none is to be sent.
func (w *udpWorker) settle(s *Server, snapshot *zones.Snapshot) {
	d, i := &w.drafts[w.at], w.asked[w.at]
	answer, pending := w.limiter.settle(d, snapshot)
	if pending {
		if s.mayMake(d.from.Addr()) && s.signLater(later{bytes.Clone(d.query), d.from, w.limiter.to, w.reply(i)}) {
			return
		}
		answer = w.limiter.truncated(d, snapshot)
	}
	if len(answer) == 0 {
		return
	}
	h := &w.out[w.replies].header
	h.Name, h.Namelen = &w.names[i][0], w.in[i].header.Namelen
	if w.anywhere {
		h.Control = w.control(i)
		h.Controllen = w.in[i].header.Controllen
		leaveByAnyInterface(&w.controls[i])
	}
	w.answerIO[w.replies].Base = &answer[0]
	w.answerIO[w.replies].SetLen(len(answer))
	w.replies++
}

// sourceOf reads a packet's source. There is nothing at port 0: such a packet is forged.
func sourceOf(name *[nameSize]byte) (from netip.AddrPort, ok bool) {
	port := binary.BigEndian.Uint16(name[2:])
	if binary.NativeEndian.Uint16(name[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port), port != 0
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(name[8:24])).Unmap(), port), port != 0
}

// leaveByAnyInterface makes packet information that came with a query fit to go out with its answer: the address that
// was asked becomes the source, but the way back need not be the one that the query took.
func leaveByAnyInterface(control *[controlSize / 8]uint64) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(control))
	data := unsafe.Add(unsafe.Pointer(control), unix.CmsgLen(0))
	if h.Level == unix.IPPROTO_IP {
		(*unix.Inet4Pktinfo)(data).Ifindex = 0
	} else {
		(*unix.Inet6Pktinfo)(data).Ifindex = 0
	}
}

// send sends the replies of the batch. One that can't be sent is left out: its client will ask again.
func (w *udpWorker) send() {
	for sent := 0; sent < w.replies; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(w.socket),
			uintptr(unsafe.Pointer(&w.out[sent])), uintptr(w.replies-sent), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EAGAIN { // the device is behind
			n, _, errno = syscall.Syscall6(unix.SYS_SENDMMSG, uintptr(w.socket),
				uintptr(unsafe.Pointer(&w.out[sent])), uintptr(w.replies-sent), 0, 0, 0)
		}
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			w.counters.drop(dropSend)
			sent++
		default:
			sent += int(n)
		}
	}
	w.replies = 0
}
