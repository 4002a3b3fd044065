package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The types and flags of frames that a probe's answer is made of (RFC 9113, section 6).
const (
	frameData         = 0
	frameHeaders      = 1
	framePriority     = 2
	frameSettings     = 4
	frameContinuation = 9 // the last that is known

	flagEndStream  = 1
	flagEndHeaders = 4

	frameHeadSize = 9
	firstStream   = 1 // of the only request
)

var errSettings = errors.New("HTTP/2 that does not begin with settings")

// frames is the tape of a server that speaks HTTP/2, without those frames of which net/http's client writes a line each to the standard logger:
// a server could flood that.
//
//	frame                                          handed on
//	the first is not SETTINGS                      no, and nothing after it
//	of a type that is not known, PRIORITY          no (RFC 9113, sections 5.3.2 and 5.5), but within a field block, where
//	                                               net/http gives up in silence
//	longer than a probe reads                      yes: net/http does not get to its end
//	DATA of another stream than the request's,     no, and nothing after it
//	or after its end
//	DATA before net/http has the answer's head     when it has
//	else                                           yes
//
// One goroutine reads. The tape remembers also why it was given up here.
type frames struct {
	*tape
	in   *bufio.Reader
	ctx  context.Context // of the request
	head <-chan struct{} // closed when net/http has the head of the answer

	pending []byte // of the frame's own head
	payload int    // bytes of it that are left

	begun bool // settings have come
	block bool // a field block goes on in the next frame
	ended bool // so has the answer
}

func newFrames(ctx context.Context, tape *tape, head <-chan struct{}) *frames {
	return &frames{tape: tape, in: bufio.NewReader(tape), ctx: ctx, head: head}
}

// Read implements net.Conn.
func (f *frames) Read(b []byte) (n int, err error) {
	for len(f.pending) == 0 && f.payload == 0 {
		if err := f.next(); err != nil {
			f.note(err)
			return 0, err
		}
	}
	if len(f.pending) > 0 {
		n = copy(b, f.pending)
		f.pending = f.pending[n:]
		return n, nil
	}
	n, err = f.in.Read(b[:min(len(b), f.payload)])
	f.payload -= n
	return n, err
}

// next reads the head of the next frame, and passes over the frame if it is not handed on.
func (f *frames) next() error {
	head := make([]byte, frameHeadSize)
	if _, err := io.ReadFull(f.in, head); err != nil {
		return err
	}
	length, kind, flags := int(head[0])<<16|int(head[1])<<8|int(head[2]), head[3], head[4]
	stream := binary.BigEndian.Uint32(head[5:]) &^ (1 << 31)
	switch {
	case length > wireLimit:
	case !f.begun && kind != frameSettings:
		return errSettings
	case !f.block && (kind == framePriority || kind > frameContinuation):
		_, err := f.in.Discard(length)
		return err
	case kind == frameData && (stream != firstStream || f.ended):
		return fmt.Errorf("DATA of stream %d, which is not open", stream)
	case kind == frameData:
		select {
		case <-f.head:
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
	}
	f.begun = true
	if kind == frameHeaders || kind == frameContinuation {
		f.block = flags&flagEndHeaders == 0
	}
	if stream == firstStream && (kind == frameData || kind == frameHeaders) {
		f.ended = f.ended || flags&flagEndStream != 0
	}
	f.pending, f.payload = head, length
	return nil
}
