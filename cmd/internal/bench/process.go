//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a server under test, with its children.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
	begun   time.Time
}

// launch starts a command on the given CPU (-1: any). What it says goes to the file dir/name.log.
func launch(dir, name string, cpu int, argv []string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if cpu >= 0 {
		argv = append([]string{"taskset", "-c", strconv.Itoa(cpu)}, argv...)
	}
	p := &process{command: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{}), begun: time.Now()}
	p.command.Dir = dir
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	running.Store(p, true)
	go func() {
		_ = p.command.Wait() // how it ended is in its log
		running.Delete(p)
		close(p.ended)
	}()
	return p, nil
}

// running has every process that has not ended.
var running sync.Map

// stopAll ends all processes.
func stopAll() {
	running.Range(func(p, _ any) bool {
		p.(*process).stop()
		return true
	})
}

// stop ends the process and its children, the hard way if the polite one takes longer than 3 s.
func (p *process) stop() {
	pids := p.tree()
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		for _, pid := range pids {
			_ = unix.Kill(pid, signal) // it may have ended, which is fine
		}
		select {
		case <-p.ended:
			return
		case <-time.After(3 * time.Second):
		}
	}
}

// tree returns the process and all that it has started.
func (p *process) tree() []int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents := make(map[int]int, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		if s, err := parseStat(string(text)); err == nil {
			parents[s.pid] = s.parent
		}
	}
	var pids []int
	for pid := range parents {
		for up := pid; up > 1; up = parents[up] {
			if up == p.command.Process.Pid {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// A usage is processor time.
type usage struct {
	total        time.Duration // to the nanosecond
	user, system time.Duration // in ticks of 10 ms
}

func (u usage) minus(v usage) usage {
	return usage{u.total - v.total, u.user - v.user, u.system - v.system}
}

func (u usage) plus(v usage) usage {
	return usage{u.total + v.total, u.user + v.user, u.system + v.system}
}

// processClock is the clock of a process's time on a processor, of its threads that have ended too (clock_getcpuclockid(3)).
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

func usageOf(pids []int) (sum usage) {
	for _, pid := range pids {
		var t unix.Timespec
		if unix.ClockGettime(processClock(pid), &t) != nil {
			continue
		}
		sum.total += time.Duration(t.Nano())
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		if s, err := parseStat(string(text)); err == nil {
			sum.user += s.user
			sum.system += s.system
		}
	}
	return sum
}

// memory returns what the processes use together, shared pages counted once, and the most that one of them ever used.
func memory(pids []int) (now, peak int) {
	for _, pid := range pids {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
			now += parseKilobytes(string(text), "Pss:")
		}
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			peak = max(peak, parseKilobytes(string(text), "VmHWM:"))
		}
	}
	return now, peak
}

// A stat is what is used of /proc/PID/stat.
type stat struct {
	pid, parent  int
	user, system time.Duration
}

var errStat = errors.New("not the text of /proc/PID/stat")

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The second field is the program's name, which may hold anything.
func parseStat(text string) (s stat, err error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return s, errStat
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 13 {
		return s, errStat
	}
	var errs [4]error
	var user, system int
	s.pid, errs[0] = strconv.Atoi(strings.TrimSpace(text[:open]))
	s.parent, errs[1] = strconv.Atoi(fields[1])
	user, errs[2] = strconv.Atoi(fields[11])
	system, errs[3] = strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform that Go knows
	s.user, s.system = time.Duration(user)*tick, time.Duration(system)*tick
	return s, errors.Join(errs[:]...)
}

// parseKilobytes returns the value of a line such as "VmHWM:	 1234 kB"; 0 without such a line.
func parseKilobytes(text, key string) int {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == key {
			n, _ := strconv.Atoi(fields[1])
			return n
		}
	}
	return 0
}
