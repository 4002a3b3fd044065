package server

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// YieldToWorkers binds the calling goroutine to its thread for good, and lowers that thread's priority below that of the UDP workers
// (setpriority(2)): under full load it gets about a tenth of their time. The thread ends with the goroutine. It is for work that may
// take long and that nobody waits for. Elsewhere than on Linux it does nothing.
func YieldToWorkers() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, backgroundPriority) // on Linux a thread's own; without it the work is only slower to yield
}

const backgroundPriority = 10
