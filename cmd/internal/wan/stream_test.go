package wan_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/wan"
)

const ms = time.Millisecond

// two hosts, and a stream from the first to the second.
type two struct {
	network        *wan.Network
	a, b           *wan.Host
	client, server net.Conn
}

func connect(t *testing.T, link wan.Link) two {
	t.Helper()
	n := wan.New(1, link)
	a, b := n.Host("a", netip.MustParseAddr("10.0.0.1")), n.Host("b", netip.MustParseAddr("10.0.0.2"))
	l, err := b.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := a.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return two{n, a, b, client, server}
}

func (w two) cut()           { w.network.Cut([]*wan.Host{w.a}, []*wan.Host{w.b}) }
func (w two) cutServer()     { w.network.CutOneWay([]*wan.Host{w.b}, []*wan.Host{w.a}) }
func (w two) close()         { w.client.Close(); w.server.Close() }
func (w two) write(s string) { w.client.Write([]byte(s)) }

// read waits for the next bytes at the server.
func (w two) read() (string, error) {
	b := make([]byte, 100)
	n, err := w.server.Read(b)
	return string(b[:n]), err
}

// What a reader sees, by the time since the stream stood.
func TestStreamTimes(t *testing.T) {
	after := time.AfterFunc
	tests := []struct {
		name string
		link wan.Link
		do   func(w two) // sends "x" or not
		want string
		err  error
		at   time.Duration
	}{
		{"a link without delay", wan.Link{}, func(w two) { w.write("x") }, "x", nil, 0},
		{"bytes take the delay", wan.Link{Delay: 100 * ms}, func(w two) { w.write("x") }, "x", nil, 100 * ms},
		{"the end takes the delay too", wan.Link{Delay: 100 * ms}, func(w two) { w.client.Close() }, "", io.EOF, 100 * ms},
		{"what was written before the end comes first", wan.Link{Delay: 100 * ms}, func(w two) { w.write("x"); w.client.Close() }, "x", nil, 100 * ms},
		{"a lost segment is sent again", wan.Link{Delay: 100 * ms, Loss: 1}, func(w two) { w.write("x") }, "x", nil, 400 * ms},
		{"a read deadline", wan.Link{Delay: 100 * ms}, func(w two) {
			w.server.SetReadDeadline(time.Now().Add(70 * ms))
			w.write("x")
		}, "", os.ErrDeadlineExceeded, 70 * ms},
		{"a read deadline set while reading", wan.Link{Delay: 100 * ms}, func(w two) {
			after(20*ms, func() { w.server.SetDeadline(time.Now().Add(-1)) })
		}, "", os.ErrDeadlineExceeded, 20 * ms},
		{"a read deadline taken back while reading", wan.Link{Delay: 100 * ms}, func(w two) {
			w.server.SetReadDeadline(time.Now().Add(70 * ms))
			after(20*ms, func() { w.server.SetReadDeadline(time.Time{}) })
			w.write("x")
		}, "x", nil, 100 * ms},
		{"closed while reading", wan.Link{Delay: 100 * ms}, func(w two) {
			after(20*ms, func() { w.server.Close() })
		}, "", net.ErrClosed, 20 * ms},
		{"a cut holds bytes back until it heals", wan.Link{Delay: 100 * ms}, func(w two) {
			w.write("x")
			after(50*ms, w.cut)
			after(10*time.Second, w.network.Heal)
		}, "x", nil, 10*time.Second + 100*ms},
		{"bytes written behind a cut wait as well", wan.Link{Delay: 100 * ms}, func(w two) {
			w.cut()
			after(time.Second, func() { w.write("x") })
			after(10*time.Second, w.network.Heal)
		}, "x", nil, 10*time.Second + 100*ms},
		{"a cut after the arrival changes nothing", wan.Link{Delay: 100 * ms}, func(w two) {
			w.write("x")
			after(100*ms, w.cut)
		}, "x", nil, 100 * ms},
		{"a cut of the way back holds bytes too", wan.Link{Delay: 100 * ms}, func(w two) {
			w.write("x")
			after(50*ms, w.cutServer)
			after(10*time.Second, w.network.Heal)
		}, "x", nil, 10*time.Second + 100*ms},
		{"a long cut ends the stream", wan.Link{Delay: 100 * ms}, func(w two) {
			w.write("x")
			after(50*ms, w.cut)
		}, "", syscall.ETIMEDOUT, 50*ms + 2*time.Minute},
		{"a stream with nothing to say outlives a long cut", wan.Link{Delay: 100 * ms}, func(w two) {
			w.cut()
			after(time.Hour, func() { w.network.Heal(); w.write("x") })
		}, "x", nil, time.Hour + 100*ms},
		{"two cuts of 40 s, and bytes that waited for each", wan.Link{Delay: 100 * ms}, func(w two) {
			w.cut()
			w.write("x")
			after(40*time.Second, func() { w.network.Heal(); w.cut() })
			after(80*time.Second, w.network.Heal)
		}, "x", nil, 80*time.Second + 100*ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := connect(t, test.link)
				defer w.close()
				begin := time.Now()
				test.do(w)
				got, err := w.read()
				if got != test.want || !errors.Is(err, test.err) || time.Since(begin) != test.at {
					t.Errorf("Read = %q, %v after %v, want %q, %v after %v", got, err, time.Since(begin), test.want, test.err, test.at)
				}
			})
		})
	}
}

func TestSenderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t, wan.Link{Delay: 100 * ms})
		defer w.close()
		w.cut()
		w.write("x")
		time.Sleep(59 * time.Second)
		if _, err := w.client.Write([]byte("y")); err != nil {
			t.Errorf("Write after 59 s = %v, want no error yet", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := w.client.Write([]byte("z")); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("Write after a minute = %v, want ETIMEDOUT", err)
		}
	})
}

func TestWriteBlocksAtTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t, wan.Link{Delay: 100 * ms})
		defer w.close()
		w.client.SetWriteDeadline(time.Now().Add(time.Second))
		begin := time.Now()
		n, err := w.client.Write(make([]byte, 1<<20))
		if n != 256<<10 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("Write = %d, %v after %v, want the window and a timeout after 1 s", n, err, time.Since(begin))
		}
		w.client.SetWriteDeadline(time.Time{})
		go func() {
			w.client.Write(make([]byte, 1<<20))
			w.client.Close()
		}()
		if n, err := io.Copy(io.Discard, w.server); n != 1<<20+256<<10 || err != nil {
			t.Errorf("read %d bytes, %v, want all", n, err)
		}
	})
}

// Bytes come out as they went in, whatever the link does short of a long cut.
func TestStreamKeepsOrder(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := connect(t, wan.Link{Delay: 50 * ms, Jitter: 200 * ms, Loss: 0.2})
			defer w.close()
			r := rand.New(rand.NewPCG(seed, 0))
			var sent bytes.Buffer
			go func() {
				for i := range 200 {
					b := fmt.Appendf(nil, "%d %x\n", i, make([]byte, r.IntN(3000)))
					sent.Write(b)
					w.client.Write(b)
					time.Sleep(time.Duration(r.IntN(20)) * ms)
					if i == 100 {
						w.cut()
						time.AfterFunc(time.Duration(r.IntN(30))*time.Second, w.network.Heal)
					}
				}
				w.client.Close()
			}()
			got, err := io.ReadAll(w.server)
			if err != nil || !bytes.Equal(got, sent.Bytes()) {
				t.Errorf("seed %d: read %d bytes, %v, want the %d that were written", seed, len(got), err, sent.Len())
			}
		})
	}
}

func TestWriteToTheGone(t *testing.T) {
	for _, how := range []string{"closed", "crashed"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := connect(t, wan.Link{Delay: 100 * ms})
				defer w.close()
				if how == "closed" {
					w.server.Close()
				} else {
					w.b.Crash()
				}
				time.Sleep(time.Second)
				if _, err := w.client.Write([]byte("x")); err != nil {
					t.Errorf("first Write = %v, want it to leave", err)
				}
				time.Sleep(time.Second)
				if _, err := w.client.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("second Write = %v, want ECONNRESET", err)
				}
			})
		})
	}
}

func TestDial(t *testing.T) {
	tests := []struct {
		name    string
		do      func(*wan.Network, *wan.Host, *wan.Host)
		address string
		err     error
		at      time.Duration
	}{
		{"a listener: one round trip", nil, "10.0.0.2:9000", nil, 200 * ms},
		{"a port nobody listens on", nil, "10.0.0.2:9001", syscall.ECONNREFUSED, 200 * ms},
		{"no such host", nil, "10.0.0.9:9000", os.ErrDeadlineExceeded, 5 * time.Second},
		{"a cut", func(n *wan.Network, a, b *wan.Host) { n.Cut([]*wan.Host{a}, []*wan.Host{b}) }, "10.0.0.2:9000", os.ErrDeadlineExceeded, 5 * time.Second},
		{"a cut of the way back", func(n *wan.Network, a, b *wan.Host) { n.CutOneWay([]*wan.Host{b}, []*wan.Host{a}) }, "10.0.0.2:9000", os.ErrDeadlineExceeded, 5 * time.Second},
		{"a cut that heals in time", func(n *wan.Network, a, b *wan.Host) {
			n.Cut([]*wan.Host{a}, []*wan.Host{b})
			time.AfterFunc(3*time.Second, n.Heal)
		}, "10.0.0.2:9000", nil, 3*time.Second + 200*ms},
		{"a link of its own", func(n *wan.Network, a, b *wan.Host) { n.Between(a, b, wan.Link{Delay: 10 * ms}) }, "10.0.0.2:9000", nil, 20 * ms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := wan.New(1, wan.Link{Delay: 100 * ms})
				a, b := n.Host("a", netip.MustParseAddr("10.0.0.1")), n.Host("b", netip.MustParseAddr("10.0.0.2"))
				l, err := b.Listen(9000)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if _, err := b.Listen(9000); !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("Listen on a port in use = %v, want EADDRINUSE", err)
				}
				if test.do != nil {
					test.do(n, a, b)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begin := time.Now()
				c, err := a.Dial(ctx, test.address)
				if !errors.Is(err, test.err) || time.Since(begin) != test.at {
					t.Errorf("Dial = %v after %v, want %v after %v", err, time.Since(begin), test.err, test.at)
				}
				var timeout net.Error
				if test.err == os.ErrDeadlineExceeded && !(errors.As(err, &timeout) && timeout.Timeout()) {
					t.Errorf("Dial = %v, want an error that says Timeout", err)
				}
				if c != nil {
					c.Close()
				}
			})
		})
	}
}

func TestPackets(t *testing.T) {
	// arrivals are the milliseconds at which each of 2000 packets came, in the order of arrival.
	arrivals := func(t *testing.T, seed uint64, link wan.Link) (text string, n int) {
		synctest.Test(t, func(t *testing.T) {
			network := wan.New(seed, link)
			a, b := network.Host("a", netip.MustParseAddr("10.0.0.1")), network.Host("b", netip.MustParseAddr("10.0.0.2"))
			from, err := a.Transport(7946)
			if err != nil {
				t.Fatal(err)
			}
			to, err := b.Transport(7946)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			go func() {
				for i := range 2000 {
					if _, err := from.WriteTo(fmt.Append(nil, i), "10.0.0.2:7946"); err != nil {
						t.Error(err)
					}
					time.Sleep(10 * ms)
				}
			}()
			end := time.After(time.Minute)
			for {
				select {
				case p := <-to.PacketCh():
					n++
					text += fmt.Sprintf("%s@%d ", p.Buf, time.Since(begin).Milliseconds())
				case <-end:
					from.Shutdown()
					to.Shutdown()
					return
				}
			}
		})
		return text, n
	}
	link := wan.Link{Delay: 100 * ms, Jitter: 50 * ms, Loss: 0.1}
	once, n := arrivals(t, 1, link)
	if n < 1750 || n > 1850 {
		t.Errorf("%d of 2000 packets arrived, want about 90 %%", n)
	}
	if again, _ := arrivals(t, 1, link); again != once {
		t.Error("the same seed gave other arrivals")
	}
	if other, _ := arrivals(t, 2, link); other == once {
		t.Error("another seed gave the same arrivals")
	}
}
