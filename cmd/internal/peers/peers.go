//go:build linux

// Package peers runs the nameservers and resolvers of others beside Meridian, for tests.
//
// It knows how NSD, Knot DNS and BIND are told to serve zone files, and nothing of what they should answer. It holds
// no test of its own beside the one that compares them with Meridian.
//
// Every program is a child of the test, runs in the foreground, without privileges and in a directory of its own, and
// ends with the test, by its process id. No port is fixed: a program gets an address that is free, or lives in a network
// namespace that the test made.
package peers

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	nobody  = 65534
	begin   = 20 * time.Second // until a program must answer its first query
	end     = 5 * time.Second  // until a program must have ended when asked to, before it is killed
	logTail = 4000             // bytes of a program's output that a failure shows
)

// Need skips the test, loudly, unless all programs are there. Debian keeps some where only root looks.
func Need(tb testing.TB, programs ...string) {
	tb.Helper()
	var missing []string
	for _, name := range programs {
		if _, err := lookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		tb.Skipf("SKIPPED: %s not here (.ci/deps installs them)", strings.Join(missing, ", "))
	}
}

func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// Dir returns a new directory that the programs may write to. It is removed with the test.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	own(tb, dir)
	return dir
}

// Write puts a file into a directory and returns its path.
func Write(tb testing.TB, dir, name, text string) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	own(tb, path)
	return path
}

func own(tb testing.TB, path string) {
	tb.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		tb.Fatal(err)
	}
}

// A Program is what is to be started. Address is where it will answer queries.
type Program struct {
	Name    string
	Args    []string
	Dir     string
	Space   *Space         // nil: the test's own
	Address netip.AddrPort // of no meaning to Run
}

// Start runs a program and returns when it answers. The program runs until stop is called, or the test ends.
func Start(tb testing.TB, p Program) (stop func()) {
	tb.Helper()
	c := p.command(tb)
	out, err := os.Create(filepath.Join(p.Dir, filepath.Base(p.Name)+".out"))
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		// The child is to die with its parent, and to the kernel that is the thread which made it.
		runtime.LockOSThread()
		p.Space.enter()
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // what it has to say of its end is in its output
		}
	}()
	if err := <-started; err != nil {
		tb.Fatal(err)
	}
	stop = sync.OnceFunc(func() { terminate(c.Process, ended) })
	tb.Cleanup(stop)
	for deadline := time.Now().Add(begin); ; {
		select {
		case <-ended:
			tb.Fatalf("%s ended at once:\n%s", p.Name, tail(out.Name()))
		case <-time.After(20 * time.Millisecond): // the program starts in real time
		}
		if p.answers() {
			return stop
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s does not answer on %s within %v:\n%s", p.Name, p.Address, begin, tail(out.Name()))
		}
	}
}

// Run runs a program to its end, which must be good, and returns what it printed.
func Run(tb testing.TB, p Program) string {
	tb.Helper()
	c := p.command(tb)
	var out []byte
	var err error
	p.Space.Do(func() { out, err = c.CombinedOutput() })
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", p.Name, strings.Join(p.Args, " "), err, out)
	}
	return string(out)
}

func (p Program) command(tb testing.TB) *exec.Cmd {
	tb.Helper()
	path, err := lookPath(p.Name)
	if err != nil {
		tb.Fatal(err)
	}
	c := exec.Command(path, p.Args...)
	c.Dir = p.Dir
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + p.Dir, "TMPDIR=" + p.Dir}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}
	}
	return c
}

// answers reports whether anything comes back for a query.
func (p Program) answers() (ok bool) {
	p.Space.Do(func() {
		client := dns.Client{Timeout: 200 * time.Millisecond}
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion(".", dns.TypeSOA), p.Address.String())
		ok = err == nil && m != nil
	})
	return ok
}

func terminate(process *os.Process, ended <-chan struct{}) {
	_ = process.Signal(syscall.SIGTERM) // it may have ended, which is fine
	select {
	case <-ended:
	case <-time.After(end):
		_ = process.Kill()
		<-ended
	}
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// Version returns the first line of what a program says of itself that has a number in it.
func Version(tb testing.TB, program, flag string) string {
	tb.Helper()
	path, err := lookPath(program)
	if err != nil {
		tb.Fatal(err)
	}
	out, _ := exec.Command(path, flag).CombinedOutput() // NSD calls it an error to be asked
	for line := range strings.Lines(string(out)) {
		if strings.ContainsAny(line, "0123456789") {
			return strings.TrimSpace(line)
		}
	}
	return fmt.Sprintf("%s of unknown version", program)
}
