package replica

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
)

// A frame is a kind, the length of what follows as four bytes, and that. The protocol's version is in its ALPN name.
const (
	frameHello  = 'H' // subscriber: what it has
	frameAlive  = 'A' // voter: where it stands, each second and after each change
	frameState  = 'S' // voter: a whole state
	frameSubmit = 'C' // a command to be decided
	frameReply  = 'R' // what became of it
)

const (
	maxFrame    = 1 << 20 // of every kind but frameState
	frameHeader = 5
)

func frameLimit(kind byte) int {
	switch kind {
	case frameState:
		return control.MaxStateBytes
	case frameHello, frameAlive:
		return 4 << 10
	case frameSubmit, frameReply:
		return maxFrame
	default:
		return -1
	}
}

// writeFrame writes within the time; it does not write what the reader would refuse.
func writeFrame(conn net.Conn, kind byte, payload []byte, within time.Duration) error {
	if len(payload) > frameLimit(kind) {
		return fmt.Errorf("frame %q of %d bytes, at most %d", kind, len(payload), frameLimit(kind))
	}
	frame := make([]byte, frameHeader, frameHeader+len(payload))
	frame[0] = kind
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload)))
	if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := conn.Write(append(frame, payload...))
	return err
}

func writeJSON(conn net.Conn, kind byte, v any, within time.Duration) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(conn, kind, payload, within)
}

// readFrame reads one frame of the kinds that are due. It waits for the first byte and as long again for the rest.
func readFrame(conn net.Conn, within time.Duration, due ...byte) (kind byte, payload []byte, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return 0, nil, err
	}
	var header [frameHeader]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return 0, nil, err
	}
	kind = header[0]
	n := binary.BigEndian.Uint32(header[1:])
	limit := -1
	for _, d := range due {
		if d == kind {
			limit = frameLimit(d)
		}
	}
	if limit < 0 {
		return 0, nil, fmt.Errorf("frame of kind %q, want one of %q", kind, due)
	}
	if int64(n) > int64(limit) {
		return 0, nil, fmt.Errorf("frame %q of %d bytes, at most %d", kind, n, limit)
	}
	if kind == frameState {
		within = pushWithin
	}
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return 0, nil, err
	}
	payload, err = io.ReadAll(io.LimitReader(conn, int64(n))) // grows with what comes, not with what is said to come
	if err == nil && len(payload) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return kind, payload, err
}

func readJSON(conn net.Conn, within time.Duration, kind byte, v any) error {
	_, payload, err := readFrame(conn, within, kind)
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, v)
}
