//go:build linux

package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A manner is how a stand-in answers a request.
type manner string

const (
	good   manner = "good"
	wrong  manner = "500"    // every request is answered with status 500
	slow   manner = "slow"   // the first byte comes after slowness
	hang   manner = "hang"   // the request is taken, and nothing comes back
	refuse manner = "refuse" // nothing listens
)

const (
	slowness    = 5 * time.Second
	standInVar  = "MERIDIAN_LAB_STANDIN" // an environment variable: the addresses at which this process is a stand-in
	standInDone = "done"
	standInLate = "late" // asks how much later than it should the stand-in has run

	tick = 20 * time.Millisecond
	busy = 100 * time.Millisecond // of a tick that is late by that, the machine is to blame
)

// A stand is one address of a stand-in.
type stand struct {
	address  string
	manner   atomic.Value
	listener net.Listener
}

func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch s.manner.Load().(manner) {
	case wrong:
		http.Error(w, "as told", http.StatusInternalServerError)
	case slow:
		select {
		case <-time.After(slowness):
		case <-r.Context().Done():
			return
		}
		fmt.Fprintln(w, "at last")
	case hang:
		<-r.Context().Done()
	default:
		fmt.Fprintln(w, "hello")
	}
}

// set changes the manner.
func (s *stand) set(m manner) error {
	if s.listener != nil && m == refuse {
		s.listener.Close()
		s.listener = nil
	}
	s.manner.Store(m)
	if s.listener != nil || m == refuse {
		return nil
	}
	var err error
	if s.listener, err = net.Listen("tcp", s.address); err != nil {
		return err
	}
	server := http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go server.Serve(s.listener) //nolint:errcheck // it ends when the listener is closed
	return nil
}

// standIn is a process of its own: many endpoints, each of which answers as it is told. A line "ADDRESS MANNER" from in tells, and is
// answered by one line; the line "late" is answered by how many ticks there were since it was last said, and how many were late. The process ends with in.
func standIn(addresses []string, in io.Reader, out io.Writer) error {
	var ticks, late atomic.Int64
	go func() {
		for last := time.Now(); ; last = time.Now() {
			time.Sleep(tick)
			ticks.Add(1)
			if time.Since(last) > tick+busy {
				late.Add(1)
			}
		}
	}()
	stands := make(map[string]*stand)
	for _, a := range addresses {
		s := &stand{address: a}
		if err := s.set(good); err != nil {
			return err
		}
		stands[a] = s
	}
	fmt.Fprintln(out, standInDone)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		address, how, _ := strings.Cut(lines.Text(), " ")
		if address == standInLate {
			fmt.Fprintln(out, ticks.Swap(0), late.Swap(0))
			continue
		}
		if err := stands[address].set(manner(how)); err != nil {
			return err
		}
		fmt.Fprintln(out, standInDone)
	}
	return nil
}

// runStandIn makes the process a stand-in if it was started as one, and then does not return.
func runStandIn() {
	addresses := os.Getenv(standInVar)
	if addresses == "" {
		return
	}
	if err := standIn(strings.Fields(addresses), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A puppeteer tells a region's stand-in how to answer.
type puppeteer struct {
	in  io.Writer
	out *bufio.Scanner
}

// startStandIn starts the stand-in of a region.
func (l *lab) startStandIn(t *testing.T, r *region, addresses []netip.AddrPort) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range addresses {
		names = append(names, a.String())
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.standIn = l.start(t, r, r.name+"-standin", childIn, childOut, []string{standInVar + "=" + strings.Join(names, " ")}, self)
	childIn.Close()
	childOut.Close()
	t.Cleanup(func() {
		in.Close()
		out.Close()
	})
	r.puppeteer = puppeteer{in, bufio.NewScanner(out)}
	r.puppeteer.wait(t)
}

// tell has addresses answer in a manner, from now on.
func (p *puppeteer) tell(t *testing.T, m manner, addresses ...netip.AddrPort) {
	t.Helper()
	for _, a := range addresses {
		fmt.Fprintln(p.in, a, m)
		p.wait(t)
	}
}

// late returns how many ticks of the stand-in there were since it was last asked, and how many were late.
func (p *puppeteer) late(t *testing.T) (ticks, late int) {
	t.Helper()
	fmt.Fprintln(p.in, standInLate)
	if !p.out.Scan() {
		t.Fatalf("stand-in: %v", p.out.Err())
	}
	if _, err := fmt.Sscan(p.out.Text(), &ticks, &late); err != nil {
		t.Fatalf("stand-in: %q: %v", p.out.Text(), err)
	}
	return ticks, late
}

func (p *puppeteer) wait(t *testing.T) {
	t.Helper()
	if !p.out.Scan() || p.out.Text() != standInDone {
		t.Fatalf("stand-in: %q, %v", p.out.Text(), p.out.Err())
	}
}
