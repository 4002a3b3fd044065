package probe

import (
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/meridian-gslb/meridian/health"
)

// grpcOK sends the head, the message and the trailers of a service that serves, with something before each.
func grpcOK(f *http2.Framer, before func()) {
	time.Sleep(time.Second) // till the request is there
	before()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true}) // :status 200
	before()
	f.WriteData(1, false, frame(8, 1))
	before()
	trailers := append([]byte{0, 11}, "grpc-status\x010"...)
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: trailers, EndHeaders: true, EndStream: true})
}

// No server makes net/http write to the standard logger, which a hostile one could flood.
func TestHTTP2IsNotLogged(t *testing.T) {
	early := func(stream uint32) func(net.Conn) {
		return func(c net.Conn) {
			for f := settings(c); f.WriteData(stream, false, []byte{0}) == nil; {
			}
		}
	}
	for _, row := range []struct {
		why    string
		serve  func(net.Conn)
		reason health.Reason
		detail string
	}{
		{"nothing unusual", func(c net.Conn) { grpcOK(settings(c), func() {}) }, health.ReasonOK, "SERVING"},
		{"types of the future", func(c net.Conn) {
			f := settings(c)
			grpcOK(f, func() { f.WriteRawFrame(200, 7, 1, make([]byte, 300)) })
		}, health.ReasonOK, "SERVING"},
		{"priorities", func(c net.Conn) {
			f := settings(c)
			grpcOK(f, func() { f.WritePriority(3, http2.PriorityParam{Weight: 1}) })
		}, health.ReasonOK, "SERVING"},
		{"a flood", func(c net.Conn) {
			for f := settings(c); f.WriteRawFrame(200, 0, 0, nil) == nil; {
			}
		}, health.ReasonOther, "first byte: more bytes than a probe reads"},
		{"a type of the future within a field block", func(c net.Conn) {
			f := settings(c)
			time.Sleep(time.Second)
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
			f.WriteRawFrame(200, 0, 1, nil)
			f.WriteContinuation(1, true, nil)
		}, health.ReasonOther, "first byte: connection error: PROTOCOL_ERROR"},
		{"no settings first", func(c net.Conn) {
			go io.Copy(io.Discard, c)
			http2.NewFramer(c, nil).WritePing(false, [8]byte{})
		}, health.ReasonOther, "first byte: HTTP/2 that does not begin with settings"},
		{"data before the head", early(1), health.ReasonTimeout, "first byte: timeout after 2s"},
		{"data before the head, after an informational one", func(c net.Conn) {
			f := settings(c)
			time.Sleep(time.Second)
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append([]byte{0x48, 3}, "103"...), EndHeaders: true})
			f.WriteData(1, false, []byte{0})
		}, health.ReasonTimeout, "first byte: timeout after 2s"},
		{"data of a stream that nobody opened", early(3), health.ReasonOther, "first byte: DATA of stream 3, which is not open"},
		{"data after the end", func(c net.Conn) {
			f := settings(c)
			grpcOK(f, func() {})
			for f.WriteData(1, false, []byte{0}) == nil {
			}
		}, health.ReasonOK, "SERVING"},
	} {
		synctest.Test(t, func(t *testing.T) {
			logged := new(bytes.Buffer)
			log.SetOutput(logged)
			defer log.SetOutput(os.Stderr)
			w := newWorld()
			w.set(place(1), row.serve)
			target := health.Target{Kind: health.KindGRPC, Address: place(1), Interval: 10 * time.Second}
			expect(t, row.why, attempt(t.Context(), &target, 0, wireOf(Config{Dial: w.dial})), row.reason, row.detail)
			pass(time.Hour)
			if logged.Len() > 0 {
				t.Errorf("%s: logged %s", row.why, logged)
			}
		})
	}
}

// conversation is a connection on which a server has said all that it will.
type conversation struct {
	net.Conn
	io.Reader
}

func (c conversation) Read(b []byte) (int, error) { return c.Reader.Read(b) }

// What is handed on are whole frames, as they came and in that order, and but within a field block only those that net/http knows.
func FuzzFrames(f *testing.F) {
	seed := func(write func(*http2.Framer)) {
		said := new(bytes.Buffer)
		framer := http2.NewFramer(said, nil)
		framer.WriteSettings()
		write(framer)
		f.Add(said.Bytes())
	}
	seed(func(f *http2.Framer) { grpcOK(f, func() {}) })
	seed(func(f *http2.Framer) { grpcOK(f, func() { f.WriteRawFrame(200, 7, 1, []byte("future")) }) })
	seed(func(f *http2.Framer) { grpcOK(f, func() { f.WritePriority(3, http2.PriorityParam{Weight: 1}) }) })
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	head := make(chan struct{})
	close(head)
	f.Fuzz(func(t *testing.T, said []byte) {
		handed, _ := io.ReadAll(newFrames(t.Context(), &tape{Conn: conversation{Reader: bytes.NewReader(said)}, left: len(said)}, head))
		block := false
		for first := true; len(handed) > 0; first = false {
			if len(said) < frameHeadSize {
				t.Fatalf("%x is handed on, and was not said", handed)
			}
			length, kind, flags := int(binary.BigEndian.Uint32(append([]byte{0}, said[:3]...))), said[3], said[4]
			frame, known := said[:min(frameHeadSize+length, len(said))], kind <= frameContinuation && kind != framePriority
			said = said[len(frame):]
			rest, ok := bytes.CutPrefix(handed, frame)
			if !ok {
				if known || block {
					t.Fatalf("%x is handed on, and not %x before it", handed, frame)
				}
				continue
			}
			if handed = rest; length <= wireLimit && (!known && !block || first && kind != frameSettings) {
				t.Fatalf("%x is handed on", frame)
			}
			if kind == frameHeaders || kind == frameContinuation {
				block = flags&flagEndHeaders == 0
			}
		}
	})
}
