package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// pipes is a listener whose connections are pipes, so that time in a test's bubble stands still while they do.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8053} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// reader takes a stream apart: one block of lines at a time.
type reader struct {
	conn io.Closer
	b    *bufio.Reader
}

func openStream(t *testing.T, p *pipes, header string) *reader {
	t.Helper()
	conn := p.dial()
	if _, err := fmt.Fprintf(conn, "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n%s\r\n", header); err != nil {
		t.Fatal(err)
	}
	b := bufio.NewReader(conn)
	response, err := http.ReadResponse(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %s, content type %q", response.Status, response.Header.Get("Content-Type"))
	}
	return &reader{conn, bufio.NewReader(response.Body)}
}

func (r *reader) block(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := r.b.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", text.String(), err)
		}
		if line == "\n" {
			return text.String()
		}
		text.WriteString(line)
	}
}

// next returns the next block of a kind, and how many events passed before it.
func (r *reader) next(t *testing.T, kind string) (block string, events int) {
	t.Helper()
	for {
		block = r.block(t)
		if strings.Contains(block, kind) {
			return block, events
		}
		if strings.Contains(block, "event: event\n") {
			events++
		}
	}
}

func summary(t *testing.T, block string) string {
	t.Helper()
	_, data, _ := strings.Cut(block, "data: ")
	var st struct{ Summary string }
	if err := json.Unmarshal([]byte(data), &st); err != nil {
		t.Fatalf("%q: %v", block, err)
	}
	return st.Summary
}

// Without a stream no status is made; the first one is told how things stand, not how they stood, and at once.
func TestNobodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(t), newPipes()
		s := start(t, f, p)
		for range 2 {
			r := openStream(t, p, "")
			r.next(t, "event: status")
			r.conn.Close()
			time.Sleep(time.Second)
			for _, v := range fakeVantages {
				f.say(v.Node, "euw1", health.Down, health.ReasonRefused)
			}
			f.advance()
			time.Sleep(time.Second)
			if text := s.picture().status; text != nil {
				t.Errorf("a status for nobody: %s", text)
			}
		}
		before := time.Now()
		block, _ := openStream(t, p, "").next(t, "event: status")
		if got, want := summary(t, block), "2 checks are down: gateway/euw1/ipv4, gateway/euw1/ipv6"; got != want || !time.Now().Equal(before) {
			t.Errorf("first status %q after %v, want %q at once", got, time.Since(before), want)
		}
	})
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFake(t), newPipes()
		s := start(t, f, p)
		r := openStream(t, p, "")
		block, events := r.next(t, "event: status")
		if got, want := summary(t, block), "All 6 checks up, all 3 nodes agree"; got != want || events != len(f.journal) {
			t.Errorf("first status %q after %d events, want %q after %d", got, events, want, len(f.journal))
		}
		time.Sleep(time.Second)

		before, known := time.Now(), len(f.journal)
		for _, v := range fakeVantages {
			f.say(v.Node, "euw1", health.Down, health.ReasonRefused)
		}
		f.advance()
		last := ""
		for range len(f.journal) - known {
			last, _ = r.next(t, "event: event")
		}
		block, _ = r.next(t, "event: status")
		if got, want := summary(t, block), "2 checks are down: gateway/euw1/ipv4, gateway/euw1/ipv6"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
		if took := time.Since(before); took > lookEvery {
			t.Errorf("a change takes %v to show, want at most %v", took, lookEvery)
		}

		before = time.Now()
		r.next(t, ": heartbeat")
		if took := time.Since(before); took > beatEvery {
			t.Errorf("heartbeat after %v, want at most %v", took, beatEvery)
		}
		r.conn.Close()
		synctest.Wait()
		if n := s.streams.Load(); n != 0 {
			t.Errorf("%d streams are counted after the client left", n)
		}

		// A client that comes back is told what it missed, and nothing twice.
		id, _, _ := strings.Cut(strings.TrimPrefix(last, "id: "), "\n")
		f.say("ap1", "aps1/ipv4", health.Down, health.ReasonTimeout)
		r = openStream(t, p, "Last-Event-ID: "+id+"\r\n")
		if _, events := r.next(t, "event: status"); events != 1 {
			t.Errorf("%d events after %s, want 1", events, id)
		}
		r.conn.Close()
		// An id of another run says nothing.
		r = openStream(t, p, "Last-Event-ID: 1-3\r\n")
		if _, events := r.next(t, "event: status"); events != len(f.journal) {
			t.Errorf("%d events after an id of another run, want %d", events, len(f.journal))
		}
		r.conn.Close()
	})
}

func TestSlowClientIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := start(t, newFake(t), p)
		r := openStream(t, p, "")
		time.Sleep(streamWait + time.Second)
		synctest.Wait()
		if streams, dropped := s.streams.Load(), s.dropped[dropSlow].Load(); streams != 0 || dropped != 1 {
			t.Errorf("%d streams, %d dropped, want 0 and 1", streams, dropped)
		}
		r.conn.Close()
	})
}

// A stream outlives every limit on requests as long as its client takes what comes.
func TestStreamLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		start(t, newFake(t), p)
		r := openStream(t, p, "")
		for range 20 {
			r.next(t, ": heartbeat")
		}
		r.conn.Close()
	})
}

func TestStreamsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := start(t, newFake(t), p)
		s.streams.Store(maxStreams)
		if w := ask(s, "GET /v1/stream"); w.Code != 503 || !strings.Contains(w.Body.String(), "100 streams are open already") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		s.streams.Store(0)
		if w := ask(s, "HEAD /v1/stream"); w.Code != 200 {
			t.Errorf("HEAD: status %d", w.Code)
		}
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := start(t, newFake(t), p)
		s.connections.open.Store(maxConnections)
		conn := p.dial()
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read() = %v, want %v", err, io.EOF)
		}
		if n := s.dropped[dropConnections].Load(); n != 1 {
			t.Errorf("%d connections dropped, want 1", n)
		}
		s.connections.open.Store(0)
	})
}

func TestCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s, err := Start(Config{Listener: p, Gatherer: prometheus.NewRegistry(), Logger: discard}, newFake(t).source())
		if err != nil {
			t.Fatal(err)
		}
		r := openStream(t, p, "")
		r.next(t, "event: status")
		ended := make(chan error)
		go func() {
			_, err := io.ReadAll(r.b)
			ended <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the stream ends with %v", err)
		}
		r.conn.Close()
	})
}
