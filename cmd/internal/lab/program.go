//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const logTail = 3000 // bytes of a program's output that a failure shows

// A program runs in a region, and ends with the test.
type program struct {
	name    string
	command *exec.Cmd
	log     string // file
	ended   chan struct{}
	wanted  atomic.Bool // whether the lab has ended it
}

// start starts a program. in and out are what it reads and writes; where out is nil its output goes to a file.
func (l *lab) start(t *testing.T, r *region, name string, in io.Reader, out io.Writer, env []string, argv ...string) *program {
	t.Helper()
	p := &program{name: name, command: exec.Command(argv[0], argv[1:]...), log: filepath.Join(l.dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c := p.command
	c.Dir, c.Env = l.dir, append(os.Environ(), env...)
	c.Stdin, c.Stdout, c.Stderr = in, out, log
	if out == nil {
		c.Stdout = log
	}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	// To the kernel the parent with which the program dies is a thread: it stays until the program has ended.
	go r.space.Do(func() {
		err := c.Start()
		started <- err
		if err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, c.Process.Pid, 0) // it has one thread yet, and may have ended
			_ = c.Wait()                                              // how it ended is in its log
			close(p.ended)
		}
	})
	if err := <-started; err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	l.t.Cleanup(p.kill)
	return p
}

// kill ends the program without a word, if it has not ended yet.
func (p *program) kill() {
	p.wanted.Store(true)
	_ = p.command.Process.Kill() // it may have ended, which is fine
	<-p.ended
}

func (p *program) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		t.Errorf("%s: %v: %v", p.name, s, err)
	}
}

// check fails the test if the program has ended by itself.
func (p *program) check(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		if !p.wanted.Load() {
			t.Errorf("%s has ended: %v\n%s", p.name, p.command.ProcessState, tail(p.log))
		}
	default:
	}
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// nft gives the region's packet filter a script.
func (r *region) nft(script string) (err error) {
	r.space.Do(func() {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(script)
		if out, wrong := c.CombinedOutput(); wrong != nil {
			err = fmt.Errorf("nft: %w: %s", wrong, out)
		}
	})
	return err
}

// filter puts addresses of the region into a set of its packet filter, or takes them out.
func (r *region) filter(t *testing.T, set string, in bool, hosts ...int) {
	t.Helper()
	verb, names := "delete", make([]string, len(hosts))
	if in {
		verb = "add"
	}
	for i, host := range hosts {
		names[i] = r.address(host).String()
	}
	if err := r.nft(fmt.Sprintf("%s element inet lab %s { %s }\n", verb, set, strings.Join(names, ", "))); err != nil {
		t.Error(err)
	}
}

// meridian runs the program to its end.
func (l *lab) meridian(args ...string) error {
	c := exec.Command(l.program, args...)
	c.Dir = l.dir
	if out, err := c.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("meridian %s: %w", strings.Join(args, " "), err), errors.New(string(out)))
	}
	return nil
}
