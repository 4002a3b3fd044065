package probe

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// script writes a program for a test.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// program is a target that runs one.
func program(command ...string) *health.Target {
	return &health.Target{
		Kind: health.KindExec, Endpoint: "use1", Address: netip.MustParseAddrPort("192.0.2.1:8080"), Interval: 10 * time.Second, Options: health.Options{Command: command},
	}
}

func TestExec(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		why    string
		file   string
		args   []string
		reason health.Reason
		detail string
	}{
		{"good", script(t, "exit 0"), nil, health.ReasonOK, "exit status 0"},
		{"with a word", script(t, "echo fine; echo more"), nil, health.ReasonOK, "exit status 0: fine"},
		{"bad", script(t, "exit 3"), nil, health.ReasonStatus, "exit status 3"},
		{"bad, with a word", script(t, "echo 'disk full' >&2; exit 1"), nil, health.ReasonStatus, "exit status 1: disk full"},
		{"killed by itself", script(t, "kill -9 $$"), nil, health.ReasonStatus, "signal: killed"},
		{"arguments are not for a shell", script(t, `echo "$#:$1:$2"`), []string{"a b;$(id)", "*"}, health.ReasonOK, "exit status 0: 2:a b;$(id):*"},
		{"the environment is ours alone", script(t, `/usr/bin/env | /usr/bin/sort | /usr/bin/grep -v '^PWD\|^SHLVL\|^_=\|^OLDPWD' | /usr/bin/tr '\n' ' '; pwd`), nil, health.ReasonOK,
			"exit status 0: MERIDIAN_ADDRESS=192.0.2.1 MERIDIAN_ENDPOINT=use1 MERIDIAN_PORT=8080 /"},
		{"nothing to read", script(t, "cat"), nil, health.ReasonOK, "exit status 0"},
		{"much to say", script(t, "/usr/bin/head -c 10000000 /dev/zero | /usr/bin/tr '\\0' x"), nil, health.ReasonOK, ("exit status 0: " + strings.Repeat("x", 300))[:200]},
		{"what is no text", script(t, `printf '\033[2J\377'`), nil, health.ReasonOK, "exit status 0: ?[2J?"},
		{"no such program", none, nil, health.ReasonNone, "this vantage can't run the program: fork/exec " + none + ": no such file or directory"},
		{"no program", text, nil, health.ReasonNone, "this vantage can't run the program: fork/exec " + text + ": permission denied"},
	} {
		target := program(append([]string{row.file}, row.args...)...)
		got := attempt(t.Context(), target, 0, wireOf(Config{Exec: []string{row.file}}))
		if row.reason == health.ReasonNone {
			row.detail = clip(row.detail)
		}
		expect(t, row.why, got, row.reason, row.detail)
	}
}

// Only what the node's file lists is run, letter by letter.
func TestExecIsOffUnlessPermitted(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	file := script(t, "echo > "+mark)
	for _, allowed := range [][]string{nil, {"/bin/true"}, {filepath.Dir(file)}, {file + "x"}} {
		got := attempt(t.Context(), program(file), 0, wireOf(Config{Exec: allowed}))
		expect(t, strings.Join(allowed, " "), got, health.ReasonNone, clip("this vantage may not run "+file+" (probe.exec of its node's file)"))
	}
	expect(t, "nothing", attempt(t.Context(), program(), 0, wireOf(Config{})), health.ReasonNone, "no program to run")
	if _, err := os.Stat(mark); err == nil {
		t.Error("the program was run")
	}
}

// A program that does not end is killed with all that it started, and so is what a program that ended left behind.
func TestExecLeavesNothingBehind(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	for _, row := range []struct {
		why    string
		text   string
		limit  time.Duration
		reason health.Reason
		detail string
	}{
		{"does not end", "sleep 1000 & echo $! > " + pids + "; echo waiting; trap '' TERM; wait", 300 * time.Millisecond, health.ReasonTimeout, "exec: timeout after 10s: waiting"},
		{"leaves a child", "sleep 1000 & echo $! > " + pids + "; exit 0", 10 * time.Second, health.ReasonOK, "exit status 0"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), row.limit)
		file := script(t, row.text)
		start := time.Now()
		got := attempt(ctx, program(file), 0, wireOf(Config{Exec: []string{file}}))
		cancel()
		expect(t, row.why, got, row.reason, row.detail)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %v", row.why, took)
		}
		written, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		child, err := strconv.Atoi(strings.TrimSpace(string(written)))
		if err != nil {
			t.Fatal(err)
		}
		for alive := 0; running(child); alive++ {
			if alive > 1000 {
				t.Fatalf("%s: its child %d lives on", row.why, child)
			}
			time.Sleep(time.Millisecond) // the kernel is at it
		}
	}
}

// running reports whether a process is there and no zombie.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// A fake is a program that takes a while, and may not die of being killed.
type fake struct {
	takes    time.Duration
	immortal bool
	end      chan struct{} // ends it all the same

	started, reaped int
}

func (f *fake) launch(*health.Target) (process, error) {
	f.started++
	ended, killed := make(chan struct{}), make(chan struct{})
	kill := sync.OnceFunc(func() { close(killed) })
	if f.immortal {
		kill = func() {}
	}
	go func() {
		defer close(ended)
		select {
		case <-time.After(f.takes):
		case <-killed:
		case <-f.end:
		}
	}()
	return process{
		ended: ended,
		kill:  kill,
		reap:  func() outcome { f.reaped++; return outcome{} },
	}, nil
}

// Programs beyond the limit wait for a second. That there was no place, or less time than a program is due, is no evidence.
func TestExecAtOnce(t *testing.T) {
	const timeout, cut = "exec: timeout after 10s", "exec: cut short, for it had to wait for other programs"
	for _, row := range []struct {
		why    string
		free   time.Duration // after which there is a place
		takes  time.Duration
		reason health.Reason
		detail string
		took   time.Duration
	}{
		{"a place at once", 0, time.Second, health.ReasonOK, "exit status 0", time.Second},
		{"a place at once, and all the time", 0, time.Hour, health.ReasonTimeout, timeout, 10 * time.Second},
		{"a place in time", 900 * time.Millisecond, 9 * time.Second, health.ReasonOK, "exit status 0", 9900 * time.Millisecond},
		{"a place in time, but less to run", 900 * time.Millisecond, 9500 * time.Millisecond, health.ReasonNone, cut, 10 * time.Second},
		{"no place in time", time.Hour, 0, health.ReasonNone, "too many programs run at once", time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			f := &fake{takes: row.takes}
			w := wireOf(Config{Exec: []string{"/check"}, launch: f.launch})
			for range programsAtOnce {
				w.config.programs <- struct{}{}
			}
			if row.free == 0 {
				<-w.config.programs
			} else {
				time.AfterFunc(row.free, func() { <-w.config.programs })
			}
			expect(t, row.why, attempt(t.Context(), program("/check"), 0, w), row.reason, row.detail)
			if took := time.Since(begin); took != row.took {
				t.Errorf("%s: took %v, want %v", row.why, took, row.took)
			}
			if took := time.Since(begin); row.free < took && len(w.config.programs) != programsAtOnce-1 {
				t.Errorf("%s: %d programs are counted, want %d", row.why, len(w.config.programs), programsAtOnce-1)
			}
			pass(2 * time.Hour)
		})
	}
}

// A program that SIGKILL does not end keeps its place among programs, but no probe and no Close waits for it. What the kernel does not let die a
// test can't make, so the program is a fake.
func TestExecThatCantBeKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		f := &fake{takes: 1000 * time.Hour, immortal: true, end: make(chan struct{})}
		w := wireOf(Config{Exec: []string{"/check"}, launch: f.launch})
		got := attempt(t.Context(), program("/check"), 0, w)
		expect(t, "immortal", got, health.ReasonTimeout, "exec: timeout after 10s, and it can't be killed")
		if took := time.Since(begin); took != 11*time.Second {
			t.Errorf("took %v, want 11 s", took)
		}
		pass(time.Hour)
		if len(w.config.programs) != 1 || f.reaped != 0 {
			t.Errorf("%d programs are counted and %d reaped while it lives, want 1 and 0", len(w.config.programs), f.reaped)
		}
		close(f.end)
		synctest.Wait()
		if len(w.config.programs) != 0 || f.reaped != 1 {
			t.Errorf("%d programs are counted and %d reaped after its end, want 0 and 1", len(w.config.programs), f.reaped)
		}
	})
	synctest.Test(t, func(t *testing.T) { // nor do those of one target take the places of others
		f := &fake{takes: 1000 * time.Hour, immortal: true, end: make(chan struct{})}
		r := Start(Config{Observe: func(health.Result) {}, Exec: []string{"/check"}, launch: f.launch})
		r.Assign(assignment(program("/check")))
		pass(time.Hour)
		if most := undeadEach + program("/check").Fall; f.started < undeadEach || f.started > most {
			t.Errorf("%d programs that can't be killed in an hour, want %d to %d", f.started, undeadEach, most)
		}
		r.Close()
		close(f.end)
	})
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: 1000 * time.Hour, immortal: true, end: make(chan struct{})}
		r := Start(Config{Observe: func(health.Result) {}, Exec: []string{"/check"}, launch: f.launch})
		r.Assign(assignment(program("/check")))
		pass(5 * time.Second)
		at := time.Now()
		r.Close()
		if took := time.Since(at); f.started == 0 || took > deathLimit {
			t.Errorf("Close took %v with %d programs, want at most %v", took, f.started, deathLimit)
		}
		close(f.end)
	})
}

// leaver makes the test's binary a program that leaves the group it was started in.
const leaver = "leave the group"

func leave() {
	child := exec.Command("/bin/cat")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, err := child.StdinPipe(); err != nil { // which ends with this process, and so does the child
		panic(err)
	}
	if err := child.Start(); err != nil {
		panic(err)
	}
	if err := syscall.Setpgid(0, child.Process.Pid); err != nil {
		panic(err)
	}
	fmt.Println("left")
	time.Sleep(time.Minute) // until it is killed
}

// A program that has left its group is killed all the same.
func TestExecThatLeavesItsGroup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	w := wireOf(Config{Exec: []string{os.Args[0]}})
	expect(t, "left", attempt(ctx, program(os.Args[0], leaver), 0, w), health.ReasonTimeout, "exec: timeout after 10s: left")
	if len(w.config.programs) != 0 {
		t.Errorf("%d programs are counted, want none", len(w.config.programs))
	}
}
