//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A server is one of those that are compared, with its files in place.
type server struct {
	name  string
	argv  []string
	dir   string
	to    netip.AddrPort
	api   string // Meridian's
	cable *cable // nil: the loopback interface
}

const readyWithin = 120 * time.Second

// start starts the server on a CPU (-1: any) and waits until it answers the query.
func (s *server) start(cpu int, probe query) (*process, error) {
	p, err := launch(s.dir, s.name, cpu, s.argv)
	if err != nil {
		return nil, err
	}
	if err := s.await(p, probe); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (s *server) await(p *process, probe query) error {
	for time.Since(p.begun) < readyWithin {
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended at once, see %s", s.name, filepath.Join(s.dir, s.name+".log"))
		default:
		}
		if response, err := s.ask(probe); err == nil && probe.want.right(response) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s did not answer within %v, see %s", s.name, readyWithin, filepath.Join(s.dir, s.name+".log"))
}

// ask asks once and waits 50 ms.
func (s *server) ask(q query) (response []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err = s.cable.enter(); err == nil {
			response, err = s.askHere(q)
		}
	}()
	<-done
	return response, err
}

func (s *server) askHere(q query) ([]byte, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.to))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(q.wire); err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		return nil, err
	}
	b := make([]byte, packetSize)
	n, err := c.Read(b)
	if err == nil && n < 12 {
		err = errors.New("shorter than a header")
	}
	return b[:n], err
}

// program finds a server's program, which may be where only root's PATH leads.
func program(name string) (string, bool) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

// writeFiles writes files below a directory, by their paths.
func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
