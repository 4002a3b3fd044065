package probe

import (
	"context"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/health"
)

// run runs the program of a target and, when it has ended or its time is up, kills what is left of its group. The program is left a zombie
// until that is done, so that the number of the group can't be another's by then.
func run(ctx context.Context, t *health.Target) outcome {
	var output beginning
	c := exec.Command(t.Command[0], t.Command[1:]...)
	c.Dir, c.Env = "/", environment(t)
	c.Stdout, c.Stderr = &output, &output
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = 100 * time.Millisecond // for output, should a process that left the group hold it open
	if err := c.Start(); err != nil {
		return outcome{failed: err}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	killed := false
	select {
	case <-ended:
	case <-ctx.Done():
		killed = true
	}
	syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	<-ended
	c.Wait()
	o := outcome{killed: killed, output: output}
	if !c.ProcessState.Success() {
		o.status = c.ProcessState.String()
	}
	return o
}
