//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// confine keeps all threads of this process, and those that they start, on one processor until release: the others are the server's.
func confine(cpu int) (release func(), err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("affinity: %w", err)
	}
	one.Set(cpu)
	release = func() { _ = setAffinity(&before) } // the next run fails on what fails here
	if err := setAffinity(&one); err != nil {
		release()
		return nil, fmt.Errorf("processor %d: %w", cpu, err)
	}
	return release, nil
}

func setAffinity(set *unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, set); err != nil && err != unix.ESRCH { // it may have ended
			return err
		}
	}
	return nil
}
