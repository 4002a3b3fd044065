package probe

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/health"
)

// launch starts the program of a target. One that moves to another group is killed itself, but not what it takes there.
func launch(t *health.Target) (process, error) {
	var output beginning
	c := exec.Command(t.Command[0], t.Command[1:]...)
	c.Dir, c.Env = "/", environment(t)
	c.Stdout, c.Stderr = &output, &output
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = outputLag
	if err := c.Start(); err != nil {
		return process{}, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	return process{
		ended: ended,
		kill: func() {
			syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			syscall.Kill(c.Process.Pid, syscall.SIGKILL)
		},
		reap: func() outcome {
			c.Wait()
			o := outcome{output: output}
			if !c.ProcessState.Success() {
				o.status = c.ProcessState.String()
			}
			return o
		},
	}, nil
}
