package server

import (
	"encoding/binary"
	"errors"
	"os"
	"time"
)

// firstRead is how many bytes a connection's buffer has at first; it grows when a query needs more.
const firstRead = 4 << 10

// A reader takes the queries out of a stream. Its buffer holds at most one message of the greatest length.
type reader struct {
	stream *stream
	buffer []byte
	first  int // bytes of the buffer that are used up
	last   int // bytes of the buffer that have come
}

// buffered returns the next query if it has come as a whole. It is good until the next call of next.
func (r *reader) buffered() (query []byte, ok bool) {
	b := r.buffer[r.first:r.last]
	if len(b) < lengthSize {
		return nil, false
	}
	end := lengthSize + int(binary.BigEndian.Uint16(b))
	if len(b) < end {
		return nil, false
	}
	r.first += end
	return b[lengthSize:end], true
}

// next waits for the next query. The time for it runs from the call, not from the last byte: who sends a byte now and
// then is as idle as who sends none. It begins anew if earlier queries were still being answered.
func (r *reader) next() (query []byte, ok bool) {
	if query, ok = r.buffered(); ok {
		return query, true
	}
	for {
		done, ok := r.wait()
		if !ok {
			return nil, false
		}
		for {
			r.makeRoom()
			n, err := r.stream.conn.Read(r.buffer[r.last:])
			r.last += n
			if query, ok = r.buffered(); ok {
				return query, true
			}
			if errors.Is(err, os.ErrDeadlineExceeded) && r.stream.session.restless(done) {
				break
			}
			if err != nil {
				r.blame(err)
				return nil, false
			}
		}
	}
}

// wait sets the time for the next query, if there is to be one, and returns how many were done before.
func (r *reader) wait() (done int64, ok bool) {
	s := r.stream.server
	done = r.stream.session.done.Load()
	err := r.stream.conn.SetReadDeadline(time.Now().Add(s.clients.patience()))
	return done, err == nil && !s.closing.Load() // closing comes before the deadline of hurry, which this may have undone
}

// blame counts a client that began a query and let its time pass.
func (r *reader) blame(err error) {
	s := r.stream.server
	if errors.Is(err, os.ErrDeadlineExceeded) && r.last > r.first && !s.closing.Load() {
		s.shared[r.stream.session.transport].drop(dropStalled)
	}
}

// makeRoom moves what has come to the front of the buffer, and makes that larger if there is still no room.
func (r *reader) makeRoom() {
	copy(r.buffer, r.buffer[r.first:r.last])
	r.first, r.last = 0, r.last-r.first
	if r.last == len(r.buffer) {
		larger := make([]byte, wholeMessage)
		copy(larger, r.buffer)
		r.buffer = larger
	}
}
