package server

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	xdpFrames    = 2048 // that the kernel can put queries into, and as many for answers
	xdpFrameSize = 2048
	xdpMemory    = 2 * xdpFrames * xdpFrameSize
	underWay     = ^uint64(0) // no frame begins there
	xdpHeadroom  = 256        // bytes of a frame that the kernel keeps before a packet (XDP_PACKET_HEADROOM)

	// The kernel frees a queue some time after its last user is gone.
	xdpPatience = time.Second

	// When queries come faster than one by one it costs less to let some gather than to be woken for each.
	nap = 20 * time.Microsecond
)

// An xdpSocket is one AF_XDP socket, with the memory that it shares with the kernel: frames, and four rings of
// references to them. The first half of the frames goes round from fill to received and back, the second from free to
// sending to completed and back. It is used by one goroutine.
type xdpSocket struct {
	fd     int
	frames []byte
	free   []uint64 // where frames for answers begin; underWay: was sent with the batch at work

	fill, completed    ring[uint64]
	receiving, sending ring[unix.XDPDesc]
}

// A ring has one producer and one consumer, one of which is the kernel. at is our own position.
type ring[T any] struct {
	memory             []byte
	producer, consumer *atomic.Uint32
	entries            *[xdpFrames]T
	at                 uint32
}

func (r *ring[T]) entry(position uint32) *T { return &r.entries[position%xdpFrames] }

// openXDP makes a socket for one receive queue of a device.
func openXDP(device, queue int) (*xdpSocket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	x := &xdpSocket{fd: fd}
	if err := x.configure(); err != nil {
		x.close()
		return nil, err
	}
	for i := range uint64(xdpFrames) {
		*x.fill.entry(uint32(i)) = i * xdpFrameSize
		x.free = append(x.free, (xdpFrames+i)*xdpFrameSize)
	}
	x.fill.at = xdpFrames
	x.fill.producer.Store(x.fill.at)
	// The packets are copied: that works with every driver.
	address := &unix.SockaddrXDP{Flags: unix.XDP_COPY | unix.XDP_USE_NEED_WAKEUP, Ifindex: uint32(device), QueueID: uint32(queue)}
	err = unix.Bind(fd, address)
	for end := time.Now().Add(xdpPatience); errors.Is(err, unix.EBUSY) && time.Now().Before(end); err = unix.Bind(fd, address) {
		time.Sleep(xdpPatience / 50)
	}
	if err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

func (x *xdpSocket) configure() (err error) {
	x.frames, err = unix.Mmap(-1, 0, xdpMemory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	memory := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&x.frames[0]))), Len: xdpMemory, Size: xdpFrameSize}
	if err := x.set(unix.XDP_UMEM_REG, unsafe.Pointer(&memory), unsafe.Sizeof(memory)); err != nil {
		return fmt.Errorf("XDP_UMEM_REG: %w", err)
	}
	size := uint32(xdpFrames)
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := x.set(option, unsafe.Pointer(&size), unsafe.Sizeof(size)); err != nil {
			return fmt.Errorf("ring %d: %w", option, err)
		}
	}
	var at unix.XDPMmapOffsets
	length := uint32(unsafe.Sizeof(at))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(x.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return fmt.Errorf("XDP_MMAP_OFFSETS: %w", errno)
	}
	if err := x.fill.open(x.fd, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr); err != nil {
		return err
	}
	if err := x.completed.open(x.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr); err != nil {
		return err
	}
	if err := x.receiving.open(x.fd, unix.XDP_PGOFF_RX_RING, at.Rx); err != nil {
		return err
	}
	return x.sending.open(x.fd, unix.XDP_PGOFF_TX_RING, at.Tx)
}

func (x *xdpSocket) set(option int, value unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(x.fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0); errno != 0 {
		return errno
	}
	return nil
}

func (r *ring[T]) open(fd int, page int64, at unix.XDPRingOffset) (err error) {
	size := int(at.Desc) + int(unsafe.Sizeof(*r.entries))
	if r.memory, err = unix.Mmap(fd, page, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("ring at %#x: %w", page, err)
	}
	base := unsafe.Pointer(&r.memory[0])
	r.producer = (*atomic.Uint32)(unsafe.Add(base, at.Producer))
	r.consumer = (*atomic.Uint32)(unsafe.Add(base, at.Consumer))
	r.entries = (*[xdpFrames]T)(unsafe.Add(base, at.Desc))
	return nil
}

// close gives the queue free: the socket lives on for as long as a ring is mapped.
func (x *xdpSocket) close() {
	for _, memory := range [][]byte{x.fill.memory, x.completed.memory, x.receiving.memory, x.sending.memory} {
		if memory != nil {
			_ = unix.Munmap(memory)
		}
	}
	_ = unix.Close(x.fd)
	if x.frames != nil {
		_ = unix.Munmap(x.frames)
	}
}

// receive waits for queries and returns how many are there; 0 when there is none for a while. If more are likely to come
// at once it lets them gather.
func (x *xdpSocket) receive(likely bool) int {
	if n := x.ready(); n > 0 {
		return n
	}
	if likely {
		t := unix.NsecToTimespec(nap.Nanoseconds())
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0) // a shorter one is as good
		if n := x.ready(); n > 0 {
			return n
		}
	}
	t := unix.NsecToTimespec(wakeEvery * 1000)
	poll := unix.PollFd{Fd: int32(x.fd), Events: unix.POLLIN}
	_, _, _ = syscall.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&t)), 0, 0, 0) // what is there says ready
	return x.ready()
}

// ready returns how many queries are there, at most a batch.
func (x *xdpSocket) ready() int {
	return int(min(x.receiving.producer.Load()-x.receiving.at, batchSize))
}

// received returns the i-th frame that is ready. It is valid until release.
func (x *xdpSocket) received(i int) []byte {
	d := x.receiving.entry(x.receiving.at + uint32(i))
	return x.frames[d.Addr : d.Addr+uint64(d.Len)]
}

// release gives the first n frames that are ready back to the kernel.
func (x *xdpSocket) release(n int) {
	for range n {
		*x.fill.entry(x.fill.at) = x.receiving.entry(x.receiving.at).Addr &^ (xdpFrameSize - 1)
		x.receiving.at++
		x.fill.at++
	}
	x.receiving.consumer.Store(x.receiving.at)
	x.fill.producer.Store(x.fill.at)
}

// room returns the frame for the i-th answer of a batch; nil if so many are not free.
func (x *xdpSocket) room(i int) []byte {
	if i >= len(x.free) {
		return nil
	}
	at := x.free[len(x.free)-1-i]
	return x.frames[at : at+xdpFrameSize]
}

// send has flush send the first n bytes of room(i). An answer that is not sent keeps its frame free.
func (x *xdpSocket) send(i, n int) {
	at := &x.free[len(x.free)-1-i]
	*x.sending.entry(x.sending.at) = unix.XDPDesc{Addr: *at, Len: uint32(n)}
	x.sending.at++
	*at = underWay
}

// flush has the kernel send, which takes some of the answers with each call. Those that it does not take, because the
// device is behind or down, go with a later batch or with the wait for one.
func (x *xdpSocket) flush() {
	rest := max(0, len(x.free)-batchSize)
	x.free = append(x.free[:rest], slices.DeleteFunc(x.free[rest:], func(at uint64) bool { return at == underWay })...)
	x.sending.producer.Store(x.sending.at)
	for left := x.sending.at - x.sending.consumer.Load(); left > 0; {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(x.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		still := x.sending.at - x.sending.consumer.Load()
		if still == left || errno != 0 && errno != unix.EAGAIN {
			break
		}
		left = still
	}
	for end := x.completed.producer.Load(); x.completed.at != end; x.completed.at++ {
		x.free = append(x.free, *x.completed.entry(x.completed.at)&^(xdpFrameSize-1))
	}
	x.completed.consumer.Store(x.completed.at)
}
