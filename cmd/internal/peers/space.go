//go:build linux

package peers

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A Space is a network namespace with nothing in it but a loopback interface, on which any address can be had and any
// port, 53 too, without privileges. A nil Space is the one that the test runs in.
type Space struct{ file *os.File }

// NewSpace makes a namespace whose loopback interface has addresses. It lasts until the end of the test, which is skipped,
// loudly, where it may not make one.
func NewSpace(tb testing.TB, addresses ...netip.Addr) *Space {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skip("SKIPPED: only root makes network namespaces")
	}
	type result struct {
		space *Space
		err   error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no more use to others
		space, err := newSpace(addresses)
		made <- result{space, err}
	}()
	r := <-made
	if r.err != nil {
		tb.Skipf("SKIPPED: no network namespace: %v", r.err)
	}
	tb.Cleanup(func() { r.space.file.Close() })
	return r.space
}

func newSpace(addresses []netip.Addr) (*Space, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, address := range addresses {
		commands = append(commands, []string{"address", "add", address.String(), "dev", "lo"})
	}
	for _, args := range commands {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o644); err != nil {
		return nil, err
	}
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	return &Space{file}, nil
}

// Do calls f on a thread that is in the namespace, and returns when f does. Sockets that f opens, by itself and not by
// another goroutine, are the namespace's.
func (s *Space) Do(f func()) {
	if s == nil {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		s.enter()
		f()
	}()
	<-done
}

// enter moves the calling thread, which must be locked, into the namespace.
func (s *Space) enter() {
	if s == nil {
		return
	}
	if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("setns: %v", err))
	}
}
