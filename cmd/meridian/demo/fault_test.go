package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client waits long for an answer that must come, and not at all long for one that must not.
const (
	patience   = 10 * time.Second
	impatience = 150 * time.Millisecond
)

// knownFaults leaves out what this system can't do.
func knownFaults() []Fault {
	if runtime.GOOS == "linux" {
		return Faults
	}
	return slices.DeleteFunc(slices.Clone(Faults), func(f Fault) bool { return f == Cut })
}

// serveBroken starts a server behind a breakable listener. Its address is none that clients of the machine call from, so
// that nobody takes the port while nothing listens.
func serveBroken(t *testing.T) *breakable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.1.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBreakable(l)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "well") })}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(b); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v, want %v", err, http.ErrServerClosed)
		}
	})
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return b
}

// fetch makes a request over a connection of its own and says what became of it.
func fetch(address string, within time.Duration) string {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: within}).DialContext}
	client := &http.Client{Transport: transport, Timeout: 2 * within} // later than the dialer, which is to say that it was the dial
	response, err := client.Get("http://" + address + "/")
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case os.IsTimeout(err) && strings.Contains(err.Error(), "dial"):
		return "no connection"
	case os.IsTimeout(err):
		return "connection without answer"
	case err != nil:
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(response.Status + " " + string(text))
}

// symptom is what a client sees of a fault.
var symptom = map[Fault]string{
	healthy: "200 OK well", Refuse: "refused", Hang: "connection without answer", Err500: "500 Internal Server Error", Cut: "no connection",
}

// want fails unless a client sees the fault.
func want(t *testing.T, b *breakable, f Fault) {
	t.Helper()
	within := patience
	if f == Hang || f == Cut {
		within = impatience
	}
	if got := fetch(b.address, within); got != symptom[f] {
		t.Errorf("with fault %q a client sees %q, want %q", f, got, symptom[f])
	}
}

func set(t *testing.T, b *breakable, f Fault) {
	t.Helper()
	if err := b.Set(f); err != nil {
		t.Fatalf("Set(%q) = %v", f, err)
	}
}

// Every fault follows every other, and each is healed.
func TestFaults(t *testing.T) {
	b := serveBroken(t)
	want(t, b, healthy)
	for _, from := range knownFaults() {
		for _, to := range knownFaults() {
			t.Run(string(from)+" then "+string(to), func(t *testing.T) {
				set(t, b, from)
				want(t, b, from)
				set(t, b, to)
				want(t, b, to)
				if got := b.Addr().String(); got != b.address {
					t.Errorf("Addr = %s, want %s whatever the fault", got, b.address)
				}
				set(t, b, healthy)
				want(t, b, healthy)
			})
		}
	}
	set(t, b, Refuse)
	b.mu.Lock()
	if len(b.open) != 0 {
		t.Errorf("%d connections are still open, want none", len(b.open))
	}
	b.mu.Unlock()
	set(t, b, healthy)
	if err := b.Set("explode"); err == nil || err.Error() != `unknown way to fail "explode" (have refuse, hang, 500, cut)` {
		t.Errorf(`Set("explode") = %v, want the ways that there are`, err)
	}
	want(t, b, healthy)
}

// A fault ends the connections that stand, as a crash does, and so does Close.
func TestFaultEndsOpenConnections(t *testing.T) {
	for _, before := range []Fault{healthy, Hang, Err500} {
		for _, after := range append(knownFaults(), healthy, "close") {
			t.Run(fmt.Sprintf("%q then %q", before, after), func(t *testing.T) {
				b := serveBroken(t)
				set(t, b, before)
				c, err := net.Dial("tcp", b.address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				// A request that is not whole, so that the server has the connection and waits. A second connection that
				// is seen to be accepted is behind it in the queue.
				if _, err := c.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
					t.Fatal(err)
				}
				want(t, b, before)
				if after == "close" {
					if err := b.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				} else {
					set(t, b, after)
				}
				if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
					t.Errorf("Read = %d, %v, want the end of the connection", n, err)
				}
			})
		}
	}
}

// Close ends a blocked Accept during each fault, and frees the address.
func TestCloseDuringFaults(t *testing.T) {
	for _, f := range append(knownFaults(), healthy) {
		t.Run(fmt.Sprintf("%q", f), func(t *testing.T) {
			b := serveBroken(t) // its server waits in Accept
			set(t, b, f)
			want(t, b, f)
			if f == Hang || f == Err500 {
				c, err := net.Dial("tcp", b.address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			for range 2 {
				if err := b.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			}
			if _, err := b.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept after Close = %v, want %v", err, net.ErrClosed)
			}
			if err := b.Set(healthy); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Set after Close = %v, want %v", err, net.ErrClosed)
			}
			l, err := net.Listen("tcp", b.address)
			if err != nil {
				t.Fatalf("address after Close: %v, want it free", err)
			}
			l.Close()
		})
	}
}

// Faults come while clients call and the server accepts: nothing races, nothing is left.
func TestFaultsUnderLoad(t *testing.T) {
	b := serveBroken(t)
	over := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					fetch(b.address, impatience)
				}
			}
		})
	}
	for range 20 {
		for _, f := range []Fault{Refuse, healthy, Hang, Err500, healthy, Err500, Hang, Refuse, Err500} {
			set(t, b, f)
		}
	}
	set(t, b, healthy)
	close(over)
	clients.Wait()
	want(t, b, healthy)
}

// A connection that came just before a fault is not let in after it.
func TestConnectionOfBefore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.1.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBreakable(l)
	defer b.Close()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	for _, f := range []Fault{Refuse, Err500, healthy} {
		set(t, b, f)
		if got := b.track(server, l); got != nil {
			t.Errorf("a connection of before fault %q is tracked after it, want it turned away", f)
		}
	}
}

// When the address was taken meanwhile, a heal says so, and the next one works.
func TestHealOfATakenAddress(t *testing.T) {
	b := serveBroken(t)
	set(t, b, Refuse)
	taken, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Set(healthy); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Set = %v, want %v", err, syscall.EADDRINUSE)
	}
	taken.Close()
	set(t, b, healthy)
	want(t, b, healthy)
}
