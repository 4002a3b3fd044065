package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const (
	programsAtOnce = 32                     // that a vantage runs: they cost more than any other probe
	programWait    = time.Second            // for one of them to end, before a probe gives up
	deathLimit     = time.Second            // for a program to end that was killed
	undeadEach     = 3                      // programs of a target that can't be killed, and then no more are started
	outputLag      = 100 * time.Millisecond // for output, should a process that left the group hold it open
	outputLimit    = 512                    // bytes of output that are kept; what follows is read and dropped
)

// forbids says why a program may not be run; empty if it may.
func (c *Config) forbids(command []string) string {
	switch {
	case len(command) == 0:
		return "no program to run"
	case !slices.Contains(c.Exec, command[0]):
		return fmt.Sprintf("this vantage may not run %s (probe.exec of its node's file)", command[0])
	}
	return ""
}

// environment is all that a program is told beside its arguments.
func environment(t *health.Target) []string {
	environment := []string{"MERIDIAN_ADDRESS=" + t.Address.Addr().Unmap().String(), "MERIDIAN_ENDPOINT=" + t.Endpoint}
	if t.Address.Port() != 0 {
		environment = append(environment, fmt.Sprintf("MERIDIAN_PORT=%d", t.Address.Port()))
	}
	return environment
}

// probeExec runs a program, without a shell, in a group of processes of its own that does not outlive the probe.
//
//	the program                           reason
//	is not permitted here, or can't be    none: that says nothing of the target
//	started, or too many others run
//	does not end in time, for it had to   none
//	wait for others
//	does not end in time                  timeout, and all its processes are killed
//	is not started, for three of earlier  timeout
//	probes can't be killed
//	exits with 0                          ok
//	ends otherwise                        status
func probeExec(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	if why := w.config.forbids(t.Command); why != "" {
		r.Detail = why
		return r
	}
	_, _, total := health.Timeouts(t)
	if w.undead != nil && w.undead.Load() >= undeadEach {
		r.Reason, r.Detail = health.ReasonTimeout, fmt.Sprintf("exec: %d programs that can't be killed are there since earlier probes", undeadEach)
		return r
	}
	waited, ok := w.config.takeProgram(ctx)
	if !ok {
		r.Detail = "too many programs run at once"
		return r
	}
	ended := w.run(ctx, t)
	output := ""
	if line, _, _ := strings.Cut(strings.TrimSpace(string(ended.output)), "\n"); line != "" {
		output = ": " + line
	}
	switch {
	case ended.failed != nil:
		r.Detail = "this vantage can't run the program: " + ended.failed.Error()
	case ended.killed && waited:
		r.Detail = "exec: cut short, for it had to wait for other programs" + output
	case ended.immortal:
		r.Reason, r.Detail = health.ReasonTimeout, fmt.Sprintf("exec: timeout after %v, and it can't be killed", total)
	case ended.killed:
		r.Reason, r.Detail = health.ReasonTimeout, fmt.Sprintf("exec: timeout after %v%s", total, output)
	case ended.status == "":
		r.Reason, r.Detail = health.ReasonOK, "exit status 0"+output
	default:
		r.Reason, r.Detail = health.ReasonStatus, ended.status+output
	}
	return r
}

// takeProgram takes the place of a program among those that run at once, and reports whether it had to wait, and whether it got one.
func (c *Config) takeProgram(ctx context.Context) (waited, ok bool) {
	select {
	case c.programs <- struct{}{}:
		return false, true
	default:
	}
	late := time.NewTimer(programWait)
	defer late.Stop()
	select {
	case c.programs <- struct{}{}:
		return true, true
	case <-late.C:
	case <-ctx.Done():
	}
	return true, false
}

// run runs the program of a target, which has its place, and when it has ended or its time is up kills what is left of its group. A program that
// the kernel does not let die, as in the wait for a disk that is gone, is left to itself: it keeps its place until it ends, so that
// there can't be many, but no probe waits for it.
func (w wire) run(ctx context.Context, t *health.Target) outcome {
	p, err := w.config.launch(t)
	if err != nil {
		<-w.config.programs
		return outcome{failed: err}
	}
	killed := false
	select {
	case <-p.ended:
	case <-ctx.Done():
		killed = true
	}
	p.kill()
	late := time.NewTimer(deathLimit)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		if w.undead != nil {
			w.undead.Add(1)
		}
		go func() {
			<-p.ended
			p.reap()
			if w.undead != nil {
				w.undead.Add(-1)
			}
			<-w.config.programs
		}()
		return outcome{killed: true, immortal: true}
	}
	o := p.reap()
	o.killed = killed
	<-w.config.programs
	return o
}

// A process is a program that was started. Once it has ended it is a zombie until it is reaped, so that its number and that of its group can't be
// another's while it may be killed.
type process struct {
	ended <-chan struct{} // closed when it has
	kill  func()          // the process and its group
	reap  func() outcome  // after it has ended, once
}

// An outcome is how a program ended.
type outcome struct {
	failed   error  // it was not started
	killed   bool   // at the end of its time
	immortal bool   // it did not end
	status   string // empty: 0
	output   []byte
}

// A beginning keeps the first bytes written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), outputLimit-len(*b))]...)
	return len(p), nil
}
