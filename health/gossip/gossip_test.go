package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// a heard is all that a node's callbacks were told; each kind of news is also a token in its channel.
type heard struct {
	members  chan []health.Member
	messages chan string
	states   chan string
}

func config(name string) (Config, heard) {
	h := heard{make(chan []health.Member, 100), make(chan string, 100), make(chan string, 100)}
	return Config{
		Name:  name,
		Bind:  loopback,
		Label: "example",
		Key:   bytes.Repeat([]byte{7}, 32),
		Meta:  []byte("eu-west"),
		Identify: func(name string, address netip.Addr, meta []byte) (health.Member, error) {
			if string(meta) != "eu-west" {
				return health.Member{}, fmt.Errorf("node %q: no certificate", name)
			}
			return health.Member{Node: health.NodeID(name), Region: "eu-west", Address: address}, nil
		},
		OnMembers:  func(m []health.Member) { h.members <- m },
		OnMessage:  func(kind byte, payload []byte, _ time.Time) { h.messages <- fmt.Sprintf("%d:%s", kind, payload) },
		LocalState: func() []byte { return []byte("state of " + name) },
		MergeState: func(state []byte, _ time.Time) { h.states <- string(state) },
		Local:      true,
	}, h
}

// value is that of a metric with one label.
func value(t *testing.T, from prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == name && m.Label[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func (m *Mesh) dropped(t *testing.T, reason string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.metrics)
	return value(t, registry, "meridian_gossip_dropped_total", reason)
}

func begin(t *testing.T, c Config) *Mesh {
	t.Helper()
	m, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// want waits for news that satisfy ok.
func want[T any](t *testing.T, what string, from <-chan T, ok func(T) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		select {
		case got := <-from:
			if ok(got) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("no %s within 20 s", what)
		}
	}
}

func names(want string) func([]health.Member) bool {
	return func(members []health.Member) bool {
		var names []string
		for _, m := range members {
			names = append(names, string(m.Node))
		}
		return strings.Join(names, " ") == want
	}
}

func is(want string) func(string) bool { return func(got string) bool { return got == want } }

// Over real sockets: join, messages of both sizes, states, leave.
func TestSockets(t *testing.T) {
	registry := prometheus.NewRegistry()
	configA, a := config("a")
	configA.Registerer = registry
	meshA := begin(t, configA)
	want(t, "mesh of one", a.members, names("a"))

	configB, b := config("b")
	configB.Seeds = []string{meshA.Address().String()}
	meshB := begin(t, configB)
	want(t, "join at a", a.members, names("a b"))
	want(t, "join at b", b.members, names("a b"))
	want(t, "state at a", a.states, is("state of b"))
	want(t, "state at b", b.states, is("state of a"))

	large := strings.Repeat("x", MaxMessage)
	for _, payload := range []string{"", "small", strings.Repeat("y", PacketSize), strings.Repeat("z", PacketSize+1), large} {
		if err := meshB.Send("a", 9, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		want(t, "message", a.messages, is("9:"+payload))
	}
	for _, test := range []struct {
		name string
		to   health.NodeID
		size int
		err  string
	}{
		{"nobody", "c", 1, "gossip: send to c: not a member"},
		{"oneself", "b", 1, "gossip: send to b: not a member"},
		{"too large", "a", MaxMessage + 1, "gossip: send to a: payload of 1048577 bytes, want at most 1048576"},
	} {
		if err := meshB.Send(test.to, 9, make([]byte, test.size)); err == nil || err.Error() != test.err {
			t.Errorf("Send, %s = %v, want %q", test.name, err, test.err)
		}
	}

	if got := value(t, registry, "meridian_gossip_members", "eu-west"); got != 2 {
		t.Errorf("meridian_gossip_members{eu-west} = %v, want 2", got)
	}
	eventually(t, "5 messages of kind 9 are counted", func() bool { // each when it has been handed on
		return value(t, registry, "meridian_gossip_messages_received_total", "kind 9") == 5
	})

	if err := meshB.Leave(10 * time.Second); err != nil {
		t.Error(err)
	}
	want(t, "leave", a.members, names("a"))
	if err := meshB.Close(); err != nil {
		t.Error(err)
	}
	if err := meshB.Leave(time.Second); err != nil {
		t.Errorf("Leave after Close = %v, want nothing to do", err)
	}
}

func TestStartRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bind := netip.MustParseAddrPort(taken.Addr().String())
	registry := prometheus.NewRegistry()
	first, _ := config("first")
	first.Registerer = registry
	begin(t, first)

	tests := []struct {
		name   string
		change func(*Config)
		err    string
	}{
		{"a port in use", func(c *Config) { c.Bind = bind },
			fmt.Sprintf("gossip: listen on %v: address already in use: stop what uses it, or change gossip.bind", bind)},
		{"a port in use, under another key", func(c *Config) { c.Bind, c.BindKey = bind, "listen.mesh" },
			fmt.Sprintf("gossip: listen on %v: address already in use: stop what uses it, or change listen.mesh", bind)},
		{"no address", func(c *Config) { c.Bind = netip.AddrPort{} }, "gossip: no address to listen on: set gossip.bind"},
		{"every address", func(c *Config) { c.Bind = netip.MustParseAddrPort("0.0.0.0:0") },
			"gossip: 0.0.0.0:0 is no address that others can reach: set gossip.bind to one, or advertise one"},
		{"no name", func(c *Config) { c.Name = "" }, "gossip: no name"},
		{"no key", func(c *Config) { c.Key = nil }, "gossip: key of 0 bytes, want 32"},
		{"a key for AES-128", func(c *Config) { c.Key = c.Key[:16] }, "gossip: key of 16 bytes, want 32"},
		{"large metadata", func(c *Config) { c.Meta = make([]byte, 513) }, "gossip: metadata of 513 bytes, want at most 512"},
		{"a long label", func(c *Config) { c.Label = strings.Repeat("l", 256) }, "gossip: label of 256 bytes, want at most 255"},
		{"a seed without a port", func(c *Config) { c.Seeds = []string{"10.0.0.1"} }, `gossip: seed "10.0.0.1": want host:port`},
		{"a seed at port 0", func(c *Config) { c.Seeds = []string{"ns1.example:0"} }, `gossip: seed "ns1.example:0": want host:port`},
		{"a certificate that the node itself refuses", func(c *Config) { c.Meta = []byte("none") },
			`gossip: this node would be kept out of its own mesh: node "n": no certificate`},
		{"metrics registered twice", func(c *Config) { c.Registerer = registry },
			"gossip: metrics: duplicate metrics collector registration attempted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, _ := config("n")
			test.change(&c)
			m, err := Start(c)
			if err == nil {
				m.Close()
			}
			if err == nil || err.Error() != test.err {
				t.Errorf("Start = %v, want %q", err, test.err)
			}
		})
	}
}

// a port takes packets from the test and nothing else.
type port struct{ packets chan *memberlist.Packet }

func (port) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP{10, 0, 0, 1}, 7946, nil
}
func (port) WriteTo([]byte, string) (time.Time, error)           { return time.Now(), nil }
func (p port) PacketCh() <-chan *memberlist.Packet               { return p.packets }
func (port) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, net.ErrClosed }
func (port) StreamCh() <-chan net.Conn                           { return nil }
func (port) Shutdown() error                                     { return nil }

// Anyone can send packets to the port. They are counted, and fill no log.
func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shown bytes.Buffer
		c, _ := config("a")
		c.Logger = slog.New(slog.NewTextHandler(&shown, nil))
		p := port{make(chan *memberlist.Packet)}
		c.Transport = p
		m, err := Start(c)
		if err != nil {
			t.Fatal(err)
		}
		labelled := append([]byte{244, 7}, "example"...)
		for _, packet := range [][]byte{
			[]byte("GET / HTTP/1.1"),              // no label
			append([]byte{244, 5}, "other..."...), // another's
			{244},                                 // half a label
			append(slices.Clone(labelled), make([]byte, 100)...), // no encryption
			append(slices.Clone(labelled), 1),                    // too short for it
			append(append(labelled, 1), make([]byte, 100)...),    // another key
		} {
			p.packets <- &memberlist.Packet{Buf: packet, From: &net.UDPAddr{IP: net.IP{10, 0, 0, 9}, Port: 53}}
		}
		synctest.Wait()
		for _, reason := range []string{dropKey, dropLabel} {
			if got := m.dropped(t, reason); got != 3 {
				t.Errorf("dropped{%s} = %v, want 3", reason, got)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // memberlist's own goroutines end when their timers have run
		if strings.Contains(shown.String(), "memberlist says") {
			t.Errorf("log = %s, want nothing of the noise", shown.String())
		}
	})
}

func TestSendErrorsAreTold(t *testing.T) {
	c, _ := config("a")
	m := begin(t, c)
	if err := m.Send("b", 1, nil); !errors.Is(err, ErrNotMember) {
		t.Errorf("Send to nobody = %v, want ErrNotMember", err)
	}
	if got := m.dropped(t, dropNotMember); got != 1 {
		t.Errorf("dropped{not_member} = %v, want 1", got)
	}
}
