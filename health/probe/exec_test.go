package probe

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
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

// Programs beyond the limit wait, and what does not get its turn is no evidence.
func TestExecAtOnce(t *testing.T) {
	file := script(t, "exit 0")
	w := wireOf(Config{Exec: []string{file}})
	for range programsAtOnce {
		w.config.programs <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	expect(t, "no room", attempt(ctx, program(file), 0, w), health.ReasonNone, "too many programs run at once")
	<-w.config.programs
	expect(t, "room", attempt(t.Context(), program(file), 0, w), health.ReasonOK, "exit status 0")
	if len(w.config.programs) != programsAtOnce-1 {
		t.Errorf("%d programs are counted, want %d", len(w.config.programs), programsAtOnce-1)
	}
}
