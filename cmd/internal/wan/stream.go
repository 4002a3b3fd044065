package wan

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// a conn is one end of a stream. The network's lock guards everything but the addresses.
type conn struct {
	network       *Network
	local, remote netip.AddrPort
	in, out       *half

	readDeadline, writeDeadline time.Time
	err                         error         // why this end is over; net.ErrClosed if it was closed
	changed                     chan struct{} // closed and replaced at every change that a blocked call may wait for
}

// a half is one direction of a stream.
type half struct {
	from, to *conn
	segments []segment // in the order in which they were sent and are read: one that is late holds up those behind it
	size     int       // bytes in segments
	watched  bool      // a timer looks after the segments behind a cut
}

type segment struct {
	data     []byte
	fin      bool
	sent, at time.Time
}

// stream makes the two ends of a connection.
func (n *Network) stream(from, to netip.AddrPort) (client, server *conn) {
	client = &conn{network: n, local: from, remote: to, changed: make(chan struct{})}
	server = &conn{network: n, local: to, remote: from, changed: make(chan struct{})}
	client.out = &half{from: client, to: server}
	server.out = &half{from: server, to: client}
	client.in, server.in = server.out, client.out
	n.halves[client.out], n.halves[server.out] = struct{}{}, struct{}{}
	return client, server
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, wait, until, err := c.read(b)
		if wait == nil {
			return n, err
		}
		block(wait, until)
	}
}

// read takes what has arrived. If nothing has, it returns what to wait for, and how long at most.
func (c *conn) read(b []byte) (n int, wait <-chan struct{}, until time.Time, err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	now := time.Now()
	switch {
	case c.err != nil:
		return 0, nil, until, c.failed("read", c.err)
	case expired(c.readDeadline, now):
		return 0, nil, until, c.failed("read", os.ErrDeadlineExceeded)
	case len(b) == 0:
		return 0, nil, until, nil
	}
	until = c.readDeadline
	if len(c.in.segments) == 0 {
		return 0, c.changed, until, nil
	}
	head := &c.in.segments[0]
	if since, cut := c.network.cut(c.local.Addr(), c.remote.Addr()); cut && head.at.After(since) {
		return 0, c.changed, until, nil
	}
	if head.at.After(now) {
		if until.IsZero() || head.at.Before(until) {
			until = head.at
		}
		return 0, c.changed, until, nil
	}
	if head.fin {
		return 0, nil, until, io.EOF
	}
	n = copy(b, head.data)
	head.data = head.data[n:]
	if len(head.data) == 0 {
		c.in.segments = c.in.segments[1:]
	}
	c.in.size -= n
	c.in.from.wake() // there is room again
	return n, nil, until, nil
}

func (c *conn) Write(b []byte) (int, error) {
	written := 0
	for {
		n, wait, until, err := c.write(b[written:])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
		if wait != nil {
			block(wait, until)
		}
	}
}

func (c *conn) write(b []byte) (n int, wait <-chan struct{}, until time.Time, err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	switch now := time.Now(); {
	case c.err != nil:
		return 0, nil, until, c.failed("write", c.err)
	case expired(c.writeDeadline, now):
		return 0, nil, until, c.failed("write", os.ErrDeadlineExceeded)
	}
	n = min(len(b), window-c.out.size)
	if n == 0 {
		return 0, c.changed, c.writeDeadline, nil
	}
	c.out.send(segment{data: append([]byte(nil), b[:n]...)})
	return n, nil, until, nil
}

// send puts a segment on its way.
func (h *half) send(s segment) {
	network := h.from.network
	path := network.path(h.from.local.Addr(), h.from.remote.Addr())
	s.sent = time.Now()
	s.at = s.sent.Add(path.delay())
	if path.lost() {
		s.at = s.at.Add(max(minRTO, 3*path.link.Delay))
	}
	h.segments = append(h.segments, s)
	h.size += len(s.data)
	h.to.wake()
	h.watch()
	if h.to.err != nil && !s.fin { // nobody there: the answer is a reset
		from := h.from
		time.AfterFunc(2*path.link.Delay, func() { from.fail(syscall.ECONNRESET) })
	}
}

// stalled says since when the first segment that a cut holds back has waited.
func (h *half) stalled() (time.Time, bool) {
	since, cut := h.from.network.cut(h.from.local.Addr(), h.from.remote.Addr())
	if !cut {
		return time.Time{}, false
	}
	for _, s := range h.segments {
		if s.at.After(since) {
			if s.sent.After(since) {
				since = s.sent
			}
			return since, true
		}
	}
	return time.Time{}, false
}

// resend lets what a cut held back set out again.
func (h *half) resend(now time.Time) {
	since, cut := h.from.network.cut(h.from.local.Addr(), h.from.remote.Addr())
	if !cut {
		return
	}
	delay := h.from.network.path(h.from.local.Addr(), h.from.remote.Addr()).link.Delay
	for i := range h.segments {
		if s := &h.segments[i]; s.at.After(since) {
			s.sent, s.at = now, now.Add(delay)
		}
	}
}

// watch sees to it that segments behind a cut don't wait for ever. The sender gives up after stallTime;
// the other end, which may have nothing to send, by its keep-alives, as long again.
func (h *half) watch() {
	since, stalled := h.stalled()
	if !stalled || h.watched {
		return
	}
	h.watched = true
	network := h.from.network
	time.AfterFunc(time.Until(since.Add(stallTime)), func() {
		network.mu.Lock()
		h.watched = false
		since, stalled := h.stalled()
		late := stalled && !time.Now().Before(since.Add(stallTime))
		if !late {
			h.watch()
		}
		network.mu.Unlock()
		if late {
			h.from.fail(syscall.ETIMEDOUT)
			time.AfterFunc(stallTime, func() { h.to.fail(syscall.ETIMEDOUT) })
		}
	})
}

// Close sends the end of the stream after what was written.
func (c *conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.err != nil {
		return c.failed("close", c.err)
	}
	c.out.send(segment{fin: true})
	c.end(net.ErrClosed)
	return nil
}

func (c *conn) fail(err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.err == nil {
		c.end(err)
	}
}

func (c *conn) end(err error) {
	c.err = err
	c.in.segments, c.in.size = nil, 0
	c.wake()
	c.in.from.wake()
	if c.in.from.err != nil {
		delete(c.network.halves, c.in)
		delete(c.network.halves, c.out)
	}
}

func (c *conn) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) SetDeadline(t time.Time) error      { return c.setDeadlines(&t, &t) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.setDeadlines(&t, nil) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.err != nil {
		return c.failed("set", c.err)
	}
	if read != nil {
		c.readDeadline = *read
	}
	if write != nil {
		c.writeDeadline = *write
	}
	c.wake()
	return nil
}

func expired(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }

// block waits for a change, or until a time that is not zero.
func block(wait <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-wait
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-wait:
	case <-timer.C:
	}
}
