package server

import "golang.org/x/sys/unix"

// lowerPriority lowers the priority of this thread, which the goroutine must be locked to.
func lowerPriority(by int) {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, by) // on Linux a thread's own; without it the budget still bounds the work
}
