package demo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Fault is how a gateway fails.
type Fault string

const (
	Refuse Fault = "refuse" // nothing listens: the connection is refused
	Hang   Fault = "hang"   // connections stand, and nothing comes back
	Err500 Fault = "500"    // every request is answered with status 500
	Cut    Fault = "cut"    // nothing comes back, not even to a first packet
)

// Faults are all of them.
var Faults = []Fault{Refuse, Hang, Err500, Cut}

const healthy Fault = ""

// A breakable is a listener that can be made to fail and be healed while a server accepts from it.
type breakable struct {
	address string

	mu     sync.Mutex
	fault  Fault
	inner  net.Listener // nil while nothing is to be accepted
	hole   *hole        // while cut
	open   map[*tracked]bool
	change chan struct{} // closed at the next change
	closed bool
}

// newBreakable takes a bound listener over.
func newBreakable(inner net.Listener) *breakable {
	return &breakable{address: inner.Addr().String(), inner: inner, open: make(map[*tracked]bool), change: make(chan struct{})}
}

// Set makes the listener fail in a way, or heals it. Open connections are closed, as a crash would.
func (b *breakable) Set(f Fault) error {
	if f != healthy && !slices.Contains(Faults, f) {
		return fmt.Errorf("unknown way to fail %q (have %s)", f, faultNames())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return net.ErrClosed
	}
	b.shut()
	b.fault = f
	defer func() {
		close(b.change)
		b.change = make(chan struct{})
	}()
	var err error
	switch f {
	case Refuse:
		return nil
	case Cut:
		b.hole, err = dig(b.address)
	default:
		b.inner, err = net.Listen("tcp", b.address)
	}
	return err
}

func faultNames() string {
	names := make([]string, len(Faults))
	for i, f := range Faults {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

// shut closes whatever is open.
func (b *breakable) shut() {
	if b.inner != nil {
		b.inner.Close()
		b.inner = nil
	}
	if b.hole != nil {
		b.hole.Close()
		b.hole = nil
	}
	for t := range b.open {
		t.Conn.Close()
	}
	clear(b.open)
}

// Accept implements net.Listener: it returns connections while the listener is healthy.
func (b *breakable) Accept() (net.Conn, error) {
	for {
		b.mu.Lock()
		inner, fault, change, closed := b.inner, b.fault, b.change, b.closed
		b.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if inner == nil {
			<-change
			continue
		}
		c, err := inner.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				continue // it was made to fail, or healed
			}
			return nil, err
		}
		if tracked := b.track(c, inner); tracked == nil {
			c.Close()
		} else if fault == healthy {
			return tracked, nil
		} else if fault == Err500 {
			go answer500(tracked)
		} else {
			go swallow(tracked)
		}
	}
}

// track notes a connection as open, unless the listener that it came by is gone.
func (b *breakable) track(c net.Conn, by net.Listener) net.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inner != by {
		return nil
	}
	t := &tracked{c, b}
	b.open[t] = true
	return t
}

type tracked struct {
	net.Conn
	by *breakable
}

func (t *tracked) Close() error {
	t.by.mu.Lock()
	delete(t.by.open, t)
	t.by.mu.Unlock()
	return t.Conn.Close()
}

// swallow reads until the client gives up.
func swallow(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(io.Discard, c) // how it ends is the client's
}

func answer500(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // a connection that is gone has no deadline to set
	if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		fmt.Fprint(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
}

// Addr implements net.Listener.
func (b *breakable) Addr() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inner != nil {
		return b.inner.Addr()
	}
	address, _ := net.ResolveTCPAddr("tcp", b.address)
	return address
}

// Close implements net.Listener.
func (b *breakable) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.shut()
	close(b.change)
	return nil
}
