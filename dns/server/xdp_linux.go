package server

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	keyXDP = "listen.xdp"

	xdpQueues  = 64  // of an interface that are served; what comes in at others goes to the sockets
	xdpTargets = 256 // addresses and ports that a program looks for

	leastUDP   = 512  // bytes of an answer that every client takes (RFC 1035, section 4.2.1)
	timerSlack = 1000 // ns that the kernel may add to a nap
)

// An xdpListener takes plain queries from an interface before the kernel's network stack sees them (AF_XDP). All else
// goes on to the stack: other ports and protocols, fragments, what is malformed, requests about zones.
//
// The program is bound to the process by a link: when the process ends, however that happens, the interface is as before.
type xdpListener struct {
	link    link.Link
	program *ebpf.Program
	sockets *ebpf.Map // by receive queue
	workers []*xdpWorker
}

// An xdpTarget is an address whose queries an interface takes, with the UDP socket that is bound to it too.
type xdpTarget struct {
	address  netip.AddrPort
	socket   int
	anywhere bool // the socket is bound to all addresses
}

// bindXDP attaches to all interfaces of the configuration, until one can't be had.
func (s *Server) bindXDP() error {
	for _, name := range s.config.XDP {
		l, err := s.attachXDP(name)
		if err != nil {
			return xdpError(name, err)
		}
		s.xdp = append(s.xdp, l)
	}
	return nil
}

func (s *Server) attachXDP(name string) (*xdpListener, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	targets, err := targetsAt(s.bound, device)
	if err != nil {
		return nil, err
	}
	limit := min(wire.MaxUDP, device.MTU-ipv6Header-udpHeader)
	if limit < leastUDP {
		return nil, fmt.Errorf("an MTU of %d bytes has no room for an answer of %d", device.MTU, leastUDP)
	}
	queues, err := filepath.Glob(filepath.Join("/sys/class/net", name, "queues/rx-*"))
	if err != nil {
		return nil, err
	}
	l := new(xdpListener)
	if err := l.open(s, device, targets, limit, min(max(1, len(queues)), xdpQueues)); err != nil {
		l.detach()
		l.close()
		return nil, err
	}
	return l, nil
}

// open makes the sockets first and attaches the program last: until then nothing changes for the interface.
func (l *xdpListener) open(s *Server, device *net.Interface, targets []xdpTarget, limit, queues int) (err error) {
	if l.sockets, err = newSocketMap(queues); err != nil {
		return err
	}
	for queue := range queues {
		socket, err := openXDP(device.Index, queue)
		if err != nil {
			return fmt.Errorf("receive queue %d: %w", queue, err)
		}
		w := &xdpWorker{socket: socket, targets: targets, limit: limit}
		w.counters = s.ledger.open(transportXDP)
		w.limiter = s.newLimiter(w.counters, targets[0].address)
		l.workers = append(l.workers, w)
		if err := l.sockets.Put(uint32(queue), uint32(socket.fd)); err != nil {
			return fmt.Errorf("receive queue %d: %w", queue, err)
		}
	}
	if l.program, err = loadXDP(targets, l.sockets); err != nil {
		return err
	}
	l.link, err = link.AttachXDP(link.XDPOptions{Program: l.program, Interface: device.Index, Flags: link.XDPGenericMode})
	return err
}

// detach lets all queries go to the UDP sockets. What the workers have already is theirs still.
func (l *xdpListener) detach() {
	if l.link != nil {
		_ = l.link.Close() // closes a descriptor; the kernel does the rest
	}
}

// close frees what is left when the workers have ended.
func (l *xdpListener) close() {
	for _, w := range l.workers {
		w.socket.close()
	}
	if l.program != nil {
		_ = l.program.Close() // a descriptor too
	}
	if l.sockets != nil {
		_ = l.sockets.Close()
	}
}

// targetsAt returns the addresses whose queries may come in at a device. One of all addresses stands for those that
// the device has now; link-local ones are left out, for the same may be in use elsewhere. So is an address of another
// device: its queries don't come this way, or they are those of a VLAN, whose tag the program may not get to see.
func targetsAt(bound []binding, device *net.Interface) (targets []xdpTarget, err error) {
	own, others, err := addressesBy(device)
	if err != nil {
		return nil, err
	}
	for _, b := range bound {
		a, port, socket := b.address.Addr(), b.address.Port(), b.udp[0].socket
		switch {
		case a.IsUnspecified():
			for address := range own {
				if address.Is4() == a.Is4() {
					targets = append(targets, xdpTarget{netip.AddrPortFrom(address, port), socket, true})
				}
			}
		case !a.IsLoopback() && a.Zone() == "" && !others[a]:
			targets = append(targets, xdpTarget{b.address, socket, false})
		}
	}
	if len(targets) == 0 {
		return nil, errors.New("no address of listen.dns is asked there")
	}
	if len(targets) > xdpTargets {
		return nil, fmt.Errorf("%d addresses of listen.dns are asked there, want at most %d", len(targets), xdpTargets)
	}
	return targets, nil
}

// addressesBy returns the addresses of a device and those of the others but loopback.
func addressesBy(device *net.Interface) (own, others map[netip.Addr]bool, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, nil, err
	}
	own, others = make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for _, d := range all {
		of := others
		if d.Index == device.Index {
			of = own
		} else if d.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := d.Addrs()
		if err != nil {
			return nil, nil, err
		}
		for _, address := range addresses {
			if p, err := netip.ParsePrefix(address.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				of[p.Addr()] = true
			}
		}
	}
	return own, others, nil
}

// xdpError says what can be done about it.
func xdpError(name string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, os.ErrPermission):
		advice = "; it needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON: grant them, or leave the interface out"
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		advice = fmt.Sprintf("; it locks %d MiB for each receive queue: raise RLIMIT_MEMLOCK, or grant CAP_IPC_LOCK", xdpMemory>>20)
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EEXIST):
		advice = "; another program has it: stop that one, or leave the interface out"
	}
	return fmt.Errorf("dns: xdp %q: %w%s (config key %s)", name, err, advice, keyXDP)
}

// An xdpWorker answers what comes in at one receive queue of an interface.
type xdpWorker struct {
	socket  *xdpSocket
	targets []xdpTarget
	limit   int // bytes of an answer that the interface carries
	batch
	in [batchSize]frame // of each draft
}

func (w *xdpWorker) serve(s *Server) {
	runtime.LockOSThread()                                      // the thread ends with the goroutine: its timers are not to be had by another
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) // else naps are longer than need be
	n := 0
	for !s.closing.Load() {
		n = w.socket.receive(n >= fewQueries)
		w.take(s, n)
	}
	for range xdpFrames / batchSize { // what came before the interface was given back
		w.take(s, w.socket.ready())
	}
}

// take answers the n queries that are there.
func (w *xdpWorker) take(s *Server, n int) {
	if n == 0 {
		return
	}
	w.limiter.begin(s, n == batchSize)
	w.limiter.scratch.Request.Limit = w.limit
	answerBatch(w, &w.batch, s, n, (*xdpWorker).draft, (*xdpWorker).settle)
	w.limiter.publish()
	w.socket.release(n)
	w.socket.flush()
}

// draft drafts the answer to the query at w.at.
func (w *xdpWorker) draft(s *Server, snapshot *zones.Snapshot) {
	in, ok := parseFrame(w.socket.received(w.at))
	if !ok || in.from.Port() == 0 {
		w.counters.drop(dropPort)
		return
	}
	if s.wantsDatagram(in.query) { // a signed one for an SOA record: the program passes the others on
		s.upkeepDatagram(in.query, in.from, w.reply(in))
		return
	}
	out := w.socket.room(w.drafted)
	if out == nil { // the device is behind
		w.counters.drop(dropSend)
		return
	}
	d := &w.drafts[w.drafted]
	d.query, d.from, d.random = in.query, in.from, rand.Uint32()
	w.limiter.draft(d, out[in.headers:in.headers:in.headers+w.limit], snapshot)
	w.in[w.drafted] = in
	w.drafted++
}

// settle makes the draft at w.at a reply, unless none is to be sent.
func (w *xdpWorker) settle(s *Server, snapshot *zones.Snapshot) {
	d, in := &w.drafts[w.at], &w.in[w.at]
	w.limiter.to = in.to
	answer, pending := w.limiter.settle(d, snapshot)
	if pending {
		if s.mayMake(d.from.Addr()) && s.signLater(later{bytes.Clone(d.query), d.from, in.to, w.reply(*in)}) {
			return
		}
		answer = w.limiter.truncated(d, snapshot)
	}
	if len(answer) == 0 {
		return
	}
	in.answerHeaders(w.socket.room(w.at), len(answer), uint16(rand.Uint32()))
	w.socket.send(w.at, in.headers+len(answer))
}

// reply returns a function that answers a query from any goroutine, over the UDP socket that is bound to its target.
func (w *xdpWorker) reply(in frame) func(message []byte) error {
	for _, t := range w.targets {
		if t.address == in.to {
			return func(message []byte) error { return t.reply(in.from, message) }
		}
	}
	return func([]byte) error { return syscall.EADDRNOTAVAIL } // the program looks for none but the targets
}

func (t xdpTarget) reply(to netip.AddrPort, message []byte) error {
	var control []byte
	if a := t.address.Addr(); t.anywhere && a.Is4() {
		control = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	} else if t.anywhere {
		control = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
	}
	sockaddr, err := sockaddrOf(to)
	if err != nil {
		return err
	}
	_, err = unix.SendmsgN(t.socket, message, control, sockaddr, 0)
	return err
}
