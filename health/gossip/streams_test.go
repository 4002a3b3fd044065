package gossip

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// silence opens streams to a mesh from one address of the loopback, and says nothing on them.
func silence(t *testing.T, m *Mesh, source string, n int) []net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second}
	var conns []net.Conn
	for range n {
		conn, err := d.Dial("tcp", m.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Anyone can open streams. Those of one address leave room for others, and there is an end to all of them.
func TestStreamsAreBounded(t *testing.T) {
	configA, a := config("a")
	configA.Local = false // streams end after 10 s
	meshA := begin(t, configA)

	flood := silence(t, meshA, "127.0.0.2", 20)
	eventually(t, "4 of 20 dropped", func() bool { return meshA.dropped(t, dropSource) == 4 })
	configB, b := config("b")
	configB.Seeds = []string{meshA.Address().String()}
	meshB := begin(t, configB)
	want(t, "join at a", a.members, names("a b"))
	want(t, "join at b", b.members, names("a b"))
	large := strings.Repeat("x", PacketSize+1)
	if err := meshB.Send("a", 9, []byte(large)); err != nil {
		t.Fatal(err)
	}
	want(t, "stream of another address", a.messages, is("9:"+large))

	for i := range 15 {
		silence(t, meshA, net.IPv4(127, 0, 1, byte(i)).String(), 16)
	}
	silence(t, meshA, "127.0.2.1", 3)
	eventually(t, "3 over 256 dropped", func() bool { return meshA.dropped(t, dropBusy) >= 3 })
	if got := meshA.dropped(t, dropSource); got != 4 {
		t.Errorf("dropped{source} = %v, want 4", got)
	}

	// One that ends makes room for one.
	for _, conn := range flood {
		conn.Close()
	}
	before := meshA.dropped(t, dropSource)
	eventually(t, "room again", func() bool {
		conn := silence(t, meshA, "127.0.0.2", 1)[0]
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		timeout, ok := err.(net.Error)
		return ok && timeout.Timeout()
	})
	if got := meshA.dropped(t, dropSource); got > before+16 {
		t.Errorf("dropped{source} = %v, want about %v: those that ended don't count", got, before)
	}
}

// Garbage on streams is counted, and fills no log.
func TestNoiseOnStreams(t *testing.T) {
	shown := &buffer{}
	c, _ := config("a")
	c.Logger = slog.New(slog.NewTextHandler(shown, nil))
	m := begin(t, c)
	labelled := "\xf4\x07example"
	for _, text := range []string{
		labelled + "\xff\xff\xff\xff",                                   // no encryption
		labelled + "\x0a\x00\x00\x00\x20\x01" + strings.Repeat("x", 31), // another key
		labelled + "\x0a\xff\xff\xff\xff",                               // too long
		labelled + "\x0a\x00\x00\x00\x00",                               // nothing in it
		labelled + "\x0a\x00\x00\x00\x02\x01x",                          // too short for encryption
	} {
		conn := silence(t, m, "127.0.0.2", 1)[0].(*net.TCPConn)
		conn.Write([]byte(text))
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		conn.Read(make([]byte, 1))
		conn.Close()
	}
	eventually(t, "all are counted", func() bool { return m.dropped(t, dropGarbage)+m.dropped(t, dropKey) == 5 })
	if got := m.dropped(t, dropGarbage); got != 3 {
		t.Errorf("dropped{garbage} = %v, want 3", got)
	}
	if strings.Contains(shown.String(), "memberlist says") {
		t.Errorf("log = %s, want nothing of the noise", shown.String())
	}
}

// Who has not the key can't make a node keep more than the largest member sends, nor all streams together more than there is room for.
func TestBytesOfStreamsAreBounded(t *testing.T) {
	c, _ := config("a")
	c.Local = false // streams end after 10 s
	m := begin(t, c)
	const head = "\xf4\x07example\x0a\x01\x00\x00\x00" // 16 MiB will follow
	part := make([]byte, 1<<20)
	pour := func(conn net.Conn, mebibytes int) {
		conn.Write([]byte(head))
		for range mebibytes {
			conn.Write(part)
		}
	}
	pour(silence(t, m, "127.0.0.2", 1)[0], 8)
	eventually(t, "one stream is cut", func() bool { return m.dropped(t, dropStreamSize) == 1 })
	if got := m.dropped(t, dropBusy); got != 0 {
		t.Errorf("dropped{busy} = %v, want 0", got)
	}
	for _, conn := range silence(t, m, "127.0.0.3", 4) {
		pour(conn, 4)
	}
	eventually(t, "one of four of a source that have 16 MiB is cut", func() bool { return m.dropped(t, dropSource) == 1 })
	for i := range 5 {
		for _, conn := range silence(t, m, net.IPv4(127, 0, 1, byte(i)).String(), 3) {
			pour(conn, 4)
		}
	}
	eventually(t, "one of those that have 64 MiB is cut", func() bool { return m.dropped(t, dropBusy) > 0 })
	if got := m.dropped(t, dropSource); got != 1 {
		t.Errorf("dropped{source} = %v, want 1 as before", got)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	c, _ := config("a")
	m := idle(c)
	d := &delegate{m}
	d.NotifyMsg(make([]byte, 1+MaxMessage))
	d.NotifyMsg(make([]byte, 2+MaxMessage))
	if got := m.dropped(t, dropSize); got != 1 {
		t.Errorf("dropped{size} = %v, want 1", got)
	}
	if got := len(m.inbox.messages); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestLinesOfStreamsAreQuiet(t *testing.T) {
	for _, line := range []string{
		"[ERR] memberlist: failed to receive: EOF from=127.0.0.2:1",
		"[ERR] memberlist: Failed to send error: write: broken pipe from=127.0.0.2:1",
		"[ERR] memberlist: UDP packet too short (0 bytes) from=127.0.0.2:1",
	} {
		var out bytes.Buffer
		newLogger(slog.New(slog.NewTextHandler(&out, nil)), newMetrics(nil, nil)).Print(line)
		if out.Len() > 0 {
			t.Errorf("%s\n gives %s, want nothing", line, out.String())
		}
	}
}

// a buffer that several goroutines write to.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
