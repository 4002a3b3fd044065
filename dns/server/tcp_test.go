package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones"
)

var somebody = netip.MustParseAddrPort("192.0.2.200:4053")

// unbound is a server without sockets, for connections that tests make.
func unbound(t *testing.T, limits Limits) *Server {
	t.Helper()
	published := snapshot(t, toEurope)
	s := newServer(Config{Limits: limits, Snapshot: func() *zones.Snapshot { return published }})
	t.Cleanup(s.end)
	return s
}

// serve serves a connection that a test has made as if it had been accepted.
func (s *Server) serve(conn net.Conn) {
	who := &session{transport: transportTCP, from: somebody, end: func() { conn.Close() }, hurry: func() { expire(conn) }}
	if s.enter(who) {
		s.converse(conn, who, nil)
		s.leave(who)
	}
}

// framed packs a query behind its length. padding makes it longer.
func framed(t *testing.T, id uint16, name string, qtype uint16, padding int) []byte {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.Id = id
	if padding > 0 {
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, padding)}}
	}
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// readAnswer takes one answer out of a stream.
func readAnswer(t *testing.T, r io.Reader) *dns.Msg {
	t.Helper()
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPipelinedQueries(t *testing.T) {
	r := run(t, Config{})
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const queries = 500
	isBig := func(id uint16) bool { return id%50 == 0 }
	var all []byte
	for id := range uint16(queries) {
		name, padding := "mail.example.com.", 0
		if isBig(id) {
			name, padding = "big.example.com.", 60_000
		}
		all = append(all, framed(t, id, name, dns.TypeTXT, padding)...)
	}
	go func() {
		_, _ = conn.Write(all)
		_ = conn.(*net.TCPConn).CloseWrite() // what was asked is answered nevertheless
	}()
	for id := range uint16(queries) {
		if m := readAnswer(t, conn); m.Id != id || (len(m.Answer) == 40) != isBig(id) {
			t.Fatalf("answer %d has ID %d and %d records", id, m.Id, len(m.Answer))
		}
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last answer: %d bytes, %v, want EOF", n, err)
	}
}

func TestConnectionsPerClient(t *testing.T) {
	r := run(t, Config{Limits: Limits{PerClient: 2}})
	query := framed(t, 1, "mail.example.com.", dns.TypeA, 0)
	var conns []net.Conn
	for i := range 3 {
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		_, _ = conn.Write(query)
		if i < 2 {
			readAnswer(t, conn)
		} else if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d was answered %d bytes, want it closed", i+1, n)
		}
	}
	conns[0].Close()
	eventually(t, func() bool { return r.clients.count.Load() == 1 })
	if got, want := ask(t, r.address, "tcp", "mail.example.com.", dns.TypeA), "NOERROR 192.0.2.25"; got != want {
		t.Errorf("when one has left: %s, want %s", got, want)
	}
	if got := r.metrics(t)["dropped_total{reason=connections_per_client,transport=tcp}"]; got != 1 {
		t.Errorf("%v connections dropped, want 1", got)
	}
}

// What a client does on its connection, and when the server has enough of it.
func TestConnectionEnds(t *testing.T) {
	const idle, write = 10 * time.Second, 5 * time.Second
	for _, test := range []struct {
		reason string
		client func(t *testing.T, conn net.Conn)
		after  time.Duration
		drop   dropReason
		drops  uint64
	}{
		{"says nothing", func(*testing.T, net.Conn) {}, idle, 0, 0},
		{"goes away", func(_ *testing.T, conn net.Conn) { conn.Close() }, 0, 0, 0},
		{"asks once", func(t *testing.T, conn net.Conn) {
			_, _ = conn.Write(framed(t, 1, "mail.example.com.", dns.TypeA, 0))
			readAnswer(t, conn)
		}, idle, 0, 0},
		{"asks every nine seconds", func(t *testing.T, conn net.Conn) {
			for range 3 {
				time.Sleep(9 * time.Second)
				_, _ = conn.Write(framed(t, 1, "mail.example.com.", dns.TypeA, 0))
				readAnswer(t, conn)
			}
		}, 27*time.Second + idle, 0, 0},
		{"sends a byte every three seconds", func(t *testing.T, conn net.Conn) {
			for _, b := range framed(t, 1, "mail.example.com.", dns.TypeA, 0) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(3 * time.Second)
			}
		}, idle, dropStalled, 1},
		{"sends a query byte by byte, but soon", func(t *testing.T, conn net.Conn) {
			for _, b := range framed(t, 1, "mail.example.com.", dns.TypeA, 0) {
				_, _ = conn.Write([]byte{b})
			}
			readAnswer(t, conn)
		}, idle, 0, 0},
		{"does not read", func(t *testing.T, conn net.Conn) {
			_, _ = conn.Write(framed(t, 1, "mail.example.com.", dns.TypeA, 0))
		}, write, dropSlow, 1},
		{"reads a byte every three seconds", func(t *testing.T, conn net.Conn) {
			_, _ = conn.Write(framed(t, 1, "mail.example.com.", dns.TypeA, 0))
			for range 4 {
				_, _ = conn.Read(make([]byte, 1))
				time.Sleep(3 * time.Second)
			}
		}, write, dropSlow, 1},
		{"sends a response", func(t *testing.T, conn net.Conn) {
			b := framed(t, 1, "mail.example.com.", dns.TypeA, 0)
			b[4] |= 0x80
			_, _ = conn.Write(b)
		}, 0, dropResponse, 1},
		{"sends a message of no bytes", func(t *testing.T, conn net.Conn) {
			_, _ = conn.Write([]byte{0, 0})
		}, 0, dropShort, 1},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := unbound(t, Limits{Idle: idle, Write: write})
				near, far := net.Pipe()
				defer far.Close()
				start := time.Now()
				var lasted time.Duration
				done := make(chan struct{})
				go func() {
					defer close(done)
					s.serve(near)
					lasted = time.Since(start)
				}()
				test.client(t, far)
				<-done
				if lasted != test.after {
					t.Errorf("the connection lasted %v, want %v", lasted, test.after)
				}
				if got := s.shared[transportTCP].drops[test.drop].Load(); got != test.drops {
					t.Errorf("%d drops for %s, want %d", got, dropNames[test.drop], test.drops)
				}
			})
		})
	}
}

// A connection may set the time for its next query just after Close has told it to hurry.
func TestCloseBeforeTheDeadlineIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unbound(t, Limits{})
		near, far := net.Pipe()
		defer far.Close()
		start := time.Now()
		s.serve(hurried{near, s})
		if lasted := time.Since(start); lasted != 0 {
			t.Errorf("the connection lasted %v longer than the server", lasted)
		}
	})
}

// A hurried connection's server closes at the worst time.
type hurried struct {
	net.Conn
	server *Server
}

func (h hurried) SetReadDeadline(at time.Time) error {
	h.server.closing.Store(true)
	_ = h.Conn.SetReadDeadline(time.Unix(1, 0))
	return h.Conn.SetReadDeadline(at)
}

// The answers of one write are at most as many as allowed, and not much longer than writeAt.
func TestWritesAreBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		qtype uint16
		limit int
		want  int // answers in the first write
	}{
		{"mail.example.com.", dns.TypeA, 3, 3},
		{"big.example.com.", dns.TypeTXT, 1000, 26}, // of 2.5 kB each: the first that passes writeAt is the last
	} {
		s := unbound(t, Limits{InFlight: test.limit})
		var in []byte
		for id := range uint16(40) {
			in = append(in, framed(t, id, test.name, test.qtype, 0)...)
		}
		conn := &recorded{in: bytes.NewReader(in)}
		s.serve(conn)
		if len(conn.writes) == 0 {
			t.Fatalf("%s: nothing is written", test.name)
		}
		first, count := bytes.NewReader(conn.writes[0]), 0
		for ; first.Len() > 0; count++ {
			readAnswer(t, first)
		}
		if count != test.want {
			t.Errorf("%s: the first write has %d answers, want %d", test.name, count, test.want)
		}
	}
}

// A recorded connection has said all that it says, and keeps what it is told.
type recorded struct {
	net.Conn
	in     *bytes.Reader
	writes [][]byte
}

func (r *recorded) Read(b []byte) (int, error) { return r.in.Read(b) }

func (r *recorded) Write(b []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(b))
	return len(b), nil
}

func (r *recorded) SetReadDeadline(time.Time) error  { return nil }
func (r *recorded) SetWriteDeadline(time.Time) error { return nil }
func (r *recorded) Close() error                     { return nil }
