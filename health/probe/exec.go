package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/health"
)

// programsAtOnce is how many programs a vantage runs at once: they cost more than any other probe.
const programsAtOnce = 32

// outputLimit is how much of a program's output is kept; what follows is read and dropped.
const outputLimit = 512

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
//	the program                          reason
//	is not permitted here, or can't be   none: that says nothing of the target
//	started
//	does not end in time                 timeout, and all its processes are killed
//	exits with 0                         ok
//	ends otherwise                       status
func probeExec(ctx context.Context, t *health.Target, w wire) (r health.Result) {
	if why := w.config.forbids(t.Command); why != "" {
		r.Detail = why
		return r
	}
	select {
	case w.config.programs <- struct{}{}:
		defer func() { <-w.config.programs }()
	case <-ctx.Done():
		r.Detail = "too many programs run at once"
		return r
	}
	ended := run(ctx, t)
	output := ""
	if line, _, _ := strings.Cut(strings.TrimSpace(string(ended.output)), "\n"); line != "" {
		output = ": " + line
	}
	_, _, total := health.Timeouts(t)
	switch {
	case ended.failed != nil:
		r.Detail = "this vantage can't run the program: " + ended.failed.Error()
	case ended.killed:
		r.Reason, r.Detail = health.ReasonTimeout, fmt.Sprintf("exec: timeout after %v%s", total, output)
	case ended.status == "":
		r.Reason, r.Detail = health.ReasonOK, "exit status 0"+output
	default:
		r.Reason, r.Detail = health.ReasonStatus, ended.status+output
	}
	return r
}

// An outcome is how a program ended.
type outcome struct {
	failed error  // it was not started
	killed bool   // at the end of its time
	status string // empty: 0
	output []byte
}

// A beginning keeps the first bytes written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), outputLimit-len(*b))]...)
	return len(p), nil
}
