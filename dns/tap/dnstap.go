package tap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// The encoding is the one of dnstap.proto in version 2 of dnstap.info, and the framing that of Frame Streams. Both are
// written by hand: it is a dozen fields and five control frames, and the libraries allocate for each.

// Control frames.
const (
	controlAccept = 1
	controlStart  = 2
	controlStop   = 3
	controlReady  = 4
	controlFinish = 5

	controlContentType = 1
	contentType        = "protobuf:dnstap.Dnstap"
	maxControl         = 512 // bytes of a control frame that a reader may send
)

const (
	dialTimeout  = time.Second // for the connection and the handshake
	writeTimeout = time.Second // a reader that takes longer is left
	firstRedial  = time.Second
	lastRedial   = 30 * time.Second
)

var errNoReader = errors.New("tap: nobody reads the socket")

// A dnstap is a sink for one socket or file.
type dnstap struct {
	encoder encoder
	socket  string
	file    *file // nil: it goes to the socket

	conn     net.Conn // nil: there is none now
	out      *bufio.Writer
	redialAt time.Time
	wait     time.Duration
}

func newDnstap(c Config) (sink, error) {
	d := &dnstap{encoder: encoder{identity: c.Identity, version: c.Version}, socket: c.Dnstap.Socket, wait: firstRedial}
	if c.Dnstap.File == "" {
		return d, nil
	}
	var err error
	d.file, err = openFile(c.Dnstap.File, c.Dnstap.MaxSize, control(controlStart), control(controlStop))
	return d, err
}

// control packs a control frame.
func control(kind uint32) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 8), kind)
	if kind != controlStop && kind != controlFinish {
		b = binary.BigEndian.AppendUint32(b, controlContentType)
		b = binary.BigEndian.AppendUint32(b, uint32(len(contentType)))
		b = append(b, contentType...)
	}
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// expect reads a control frame of a kind.
func expect(r io.Reader, kind uint32) error {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size, got := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if binary.BigEndian.Uint32(head[:]) != 0 || size < 4 || size > maxControl || got != kind {
		return fmt.Errorf("tap: the reader sent %x, want control frame %d", head, kind)
	}
	_, err := io.CopyN(io.Discard, r, int64(size-4))
	return err
}

func (d *dnstap) write(r *record) error {
	if r.cut {
		return errors.New("tap: an answer was too long for a sample")
	}
	if d.file == nil && d.conn == nil {
		if err := d.dial(); err != nil {
			return err
		}
	}
	for _, kind := range [...]messageType{authQuery, authResponse} {
		if kind == authResponse && r.answer == 0 {
			return nil
		}
		frame := d.encoder.frame(kind, r)
		if d.file != nil {
			if err := d.file.write(frame); err != nil {
				return err
			}
		} else if _, err := d.out.Write(frame); err != nil {
			d.leave()
			return err
		}
	}
	return nil
}

// dial connects, unless it was in vain a moment ago.
func (d *dnstap) dial() error {
	now := time.Now()
	if now.Before(d.redialAt) {
		return errNoReader
	}
	d.redialAt, d.wait = now.Add(d.wait), min(2*d.wait, lastRedial)
	conn, err := net.DialTimeout("unix", d.socket, dialTimeout)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	if err := shakeHands(conn); err != nil {
		conn.Close()
		return fmt.Errorf("tap: %s: %w", d.socket, err)
	}
	d.conn, d.out = conn, bufio.NewWriterSize(timely{conn}, 64<<10)
	return nil
}

func shakeHands(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(control(controlReady)); err != nil {
		return err
	}
	if err := expect(conn, controlAccept); err != nil {
		return err
	}
	_, err := conn.Write(control(controlStart))
	return err
}

// A timely connection gives up a reader that does not read.
type timely struct{ net.Conn }

func (t timely) Write(b []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return t.Conn.Write(b)
}

func (d *dnstap) flush() error {
	switch {
	case d.file != nil:
		return d.file.flush()
	case d.conn == nil:
		return errNoReader
	}
	if err := d.out.Flush(); err != nil {
		d.leave()
		return err
	}
	d.wait = firstRedial // it reads
	return nil
}

func (d *dnstap) leave() {
	d.conn.Close()
	d.conn = nil
}

func (d *dnstap) close() {
	switch {
	case d.file != nil:
		d.file.close()
	case d.conn != nil:
		_, err := timely{d.conn}.Write(control(controlStop))
		if err == nil && d.conn.SetReadDeadline(time.Now().Add(dialTimeout)) == nil {
			_ = expect(d.conn, controlFinish) // the reader has all, or will never have
		}
		d.leave()
	}
}

type messageType uint64

const (
	authQuery    messageType = 1
	authResponse messageType = 2
)

// The numbers of dnstap's socket protocols, by our names of transports.
var protocols = map[string]uint64{"udp": 1, "xdp": 1, "tcp": 2, "dot": 3, "doh": 4, "doq": 7}

// An encoder packs frames into buffers that it uses again.
type encoder struct {
	identity, version string
	message, packed   []byte
}

// frame packs a data frame. It is good until the next call.
func (e *encoder) frame(kind messageType, r *record) []byte {
	m := appendVarint(e.message[:0], 1, uint64(kind))
	family := uint64(1)
	if r.from.Addr().Is6() {
		family = 2
	}
	m = appendVarint(m, 2, family)
	m = appendVarint(m, 3, protocols[r.protocol])
	m = appendAddress(m, 4, r.from.Addr())
	if !r.to.Addr().IsUnspecified() {
		m = appendAddress(m, 5, r.to.Addr())
	}
	m = appendVarint(m, 6, uint64(r.from.Port()))
	m = appendVarint(m, 7, uint64(r.to.Port()))
	m = appendVarint(m, 8, uint64(r.at.Unix()))
	m = appendFixed32(m, 9, uint32(r.at.Nanosecond()))
	if kind == authQuery {
		m = appendBytes(m, 10, r.queryBytes())
	} else {
		m = appendVarint(m, 12, uint64(r.at.Unix())) // the clock is read once for a batch
		m = appendFixed32(m, 13, uint32(r.at.Nanosecond()))
		m = appendBytes(m, 14, r.answerBytes())
	}
	e.message = m
	b := append(e.packed[:0], 0, 0, 0, 0)
	b = appendBytes(b, 1, []byte(e.identity))
	b = appendBytes(b, 2, []byte(e.version))
	b = appendBytes(b, 14, m)
	b = appendVarint(b, 15, 1) // type: message
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	e.packed = b
	return b
}

// Wire types of protocol buffers.
const (
	typeVarint  = 0
	typeBytes   = 2
	typeFixed32 = 5
)

func appendTag(b []byte, field, wireType uint64) []byte {
	return binary.AppendUvarint(b, field<<3|wireType)
}

func appendVarint(b []byte, field, value uint64) []byte {
	return binary.AppendUvarint(appendTag(b, field, typeVarint), value)
}

func appendFixed32(b []byte, field uint64, value uint32) []byte {
	return binary.LittleEndian.AppendUint32(appendTag(b, field, typeFixed32), value)
}

func appendBytes(b []byte, field uint64, value []byte) []byte {
	b = binary.AppendUvarint(appendTag(b, field, typeBytes), uint64(len(value)))
	return append(b, value...)
}

func appendAddress(b []byte, field uint64, a netip.Addr) []byte {
	if a.Is4() {
		v4 := a.As4()
		return appendBytes(b, field, v4[:])
	}
	v6 := a.As16()
	return appendBytes(b, field, v6[:])
}
