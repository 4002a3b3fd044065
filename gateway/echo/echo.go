// Package echo is an upstream for demonstrations: it answers with what it was asked.
//
// It keeps nothing, and is not for production: it shows every field it got.
//
// A request is answered with one JSON object; a WebSocket handshake is accepted, and every
// message up to 64 KiB comes back as it was sent.
package echo

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/gateway/head"
)

const (
	maxBody  = 1 << 20
	maxFrame = 64 << 10
	idle     = 10 * time.Minute
)

// An Answer is what comes back.
type Answer struct {
	Region    string              `json:"region"`
	Method    string              `json:"method"`
	Host      string              `json:"host"`
	Path      string              `json:"path"` // still encoded
	Query     string              `json:"query"`
	Headers   map[string][]string `json:"headers"`
	BodyBytes int64               `json:"bodyBytes"`
	Trailers  map[string][]string `json:"trailers,omitempty"`
}

// Handler answers in the name of a region.
func Handler(region string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			webSocket(w, r)
			return
		}
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the body is too long or broke off", http.StatusRequestEntityTooLarge)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.Encode(Answer{region, r.Method, r.Host, r.URL.EscapedPath(), r.URL.RawQuery, r.Header, n, r.Trailer})
	})
}

func webSocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "no WebSocket here", http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+
		head.Accept(key)+"\r\n\r\n")
	for {
		if rw.Flush() != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(idle))
		first, payload, err := readFrame(rw.Reader)
		if err != nil {
			return
		}
		switch opcode := first & 0x0f; opcode {
		case 8: // close
			writeFrame(rw.Writer, first, payload)
			rw.Flush()
			return
		case 9: // ping
			writeFrame(rw.Writer, 0x80|10, payload)
		case 10: // pong
		default:
			writeFrame(rw.Writer, first, payload)
		}
	}
}

var errFrame = errors.New("frame: not masked, too long, or with unknown bits")

// readFrame reads one frame of a client (RFC 6455, section 5.2).
func readFrame(r *bufio.Reader) (first byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(h[1] & 0x7f)
	switch length {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, nil, err
		}
		length = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(b[:])
	}
	if h[1]&0x80 == 0 || h[0]&0x70 != 0 || length > maxFrame {
		return 0, nil, errFrame
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return h[0], payload, nil
}

func writeFrame(w *bufio.Writer, first byte, payload []byte) {
	w.WriteByte(first)
	switch n := len(payload); {
	case n < 126:
		w.WriteByte(byte(n))
	case n <= 0xffff:
		w.WriteByte(126)
		w.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	default:
		w.WriteByte(127)
		w.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	w.Write(payload)
}
