package background

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const nice = 10 // under full load about a tenth of a core

// Thread binds the calling goroutine to its thread for good, and lowers that thread's priority below all others' (setpriority(2)). The thread
// ends with the goroutine. Elsewhere than on Linux it does nothing.
func Thread() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, nice) // on Linux a thread's own; without it the work is only slower to give way
}
