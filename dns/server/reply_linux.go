package server

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reply returns a function that answers the query at i from any goroutine, also when the worker has gone on. The socket
// is open for as long as the server has workers.
func (w *udpWorker) reply(i int) func(message []byte) error {
	name, control := w.names[i], w.controls[i]
	nameLength, controlLength := w.in[i].header.Namelen, w.in[i].header.Controllen
	return func(message []byte) error {
		io := unix.Iovec{Base: unsafe.SliceData(message)}
		io.SetLen(len(message))
		h := unix.Msghdr{Name: &name[0], Namelen: nameLength, Iov: &io}
		h.SetIovlen(1)
		if w.address.Addr().IsUnspecified() {
			h.Control, h.Controllen = (*byte)(unsafe.Pointer(&control)), controlLength
			leaveByAnyInterface(&control)
		}
		if _, _, errno := syscall.Syscall(unix.SYS_SENDMSG, uintptr(w.socket), uintptr(unsafe.Pointer(&h)), 0); errno != 0 {
			return errno
		}
		return nil
	}
}
