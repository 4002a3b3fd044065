package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gslb/meridian/health"
)

// idle is a mesh without memberlist, for its delegates.
func idle(c Config) *Mesh {
	m := &Mesh{config: c, log: slog.New(slog.DiscardHandler), inbox: newInbox()}
	m.table.init()
	m.reach = newReach(c.Name, c.Local)
	m.metrics = newMetrics(m.Members, m.reach.partly)
	m.packets, m.streams = newLane(packetDepth, nil), newLane(streamDepth, nil)
	m.words, m.knocks = newLane(wordDepth, nil), make(chan remembered, 1)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

func TestInboxIsBounded(t *testing.T) {
	c, _ := config("a")
	m := idle(c)
	d := &delegate{m}
	frame := []byte{3, 'x'}
	for range inboxDepth + 5 {
		d.NotifyMsg(frame)
	}
	d.NotifyMsg(nil)
	frame[1] = 'y' // memberlist uses its buffers again
	for range stateDepth + 2 {
		d.MergeRemoteState([]byte("state"), false)
	}
	d.MergeRemoteState(make([]byte, MaxState+1), false)
	for reason, want := range map[string]float64{dropInbox: 5, dropMalformed: 1, dropStates: 2, dropStateSize: 1} {
		if got := m.dropped(t, reason); got != want {
			t.Errorf("dropped{%s} = %v, want %v", reason, got, want)
		}
	}
	if got := <-m.inbox.messages; got.kind != 3 || string(got.payload) != "x" {
		t.Errorf("message = %v, want a copy of what came", got)
	}
}

func TestStateIsBounded(t *testing.T) {
	c, _ := config("a")
	c.LocalState = func() []byte { return make([]byte, MaxState+1) }
	d := &delegate{idle(c)}
	if got := d.LocalState(true); got != nil {
		t.Errorf("LocalState = %d bytes, want none", len(got))
	}
	d.config.LocalState = func() []byte { return []byte("state") }
	if join, periodic := string(d.LocalState(true)), string(d.LocalState(false)); join != "state" || periodic != "" {
		t.Errorf("LocalState = %q at a join and %q between, want the state at a join alone", join, periodic)
	}
}

// A burst of changes is told once; the delegate's node may change afterwards.
func TestMembersAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := config("a")
		var told []int
		c.OnMembers = func(members []health.Member) { told = append(told, len(members)) }
		m := idle(c)
		d := &delegate{m}
		done := make(chan struct{})
		go func() { m.dispatch(); close(done) }()
		node := &memberlist.Node{Addr: net.IP{10, 0, 0, 1}, Port: 7946, Meta: []byte("eu-west")}
		for i := range 50 {
			node.Name = fmt.Sprint("n", i)
			d.NotifyJoin(node)
			time.Sleep(time.Millisecond / 2)
		}
		node.Addr[0] = 99
		time.Sleep(time.Second)
		node.Name = "n7"
		d.NotifyLeave(node)
		time.Sleep(time.Second)
		m.cancel()
		<-done
		if want := []int{50, 49}; fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told of %v members, want %v", told, want)
		}
		if got, want := m.Members()[0].Address, netip.MustParseAddr("10.0.0.1"); got != want {
			t.Errorf("address = %v, want %v", got, want)
		}
	})
}

func TestRememberedAreBounded(t *testing.T) {
	c, _ := config("a")
	m := idle(c)
	d := &delegate{m}
	for i := range maxRemembered + 10 {
		n := &memberlist.Node{Name: fmt.Sprint("n", i), Addr: net.IP{10, 0, byte(i >> 8), byte(i)}, Port: 7946, Meta: []byte("eu-west")}
		d.NotifyJoin(n)
		d.NotifyLeave(n)
	}
	_, absent := m.table.addresses()
	if want := netip.MustParseAddrPort("10.0.0.10:7946"); len(absent) != maxRemembered || absent[0] != want {
		t.Errorf("%d remembered, the first %v, want %d, the first %v", len(absent), absent[0], maxRemembered, want)
	}
	// One that comes back elsewhere is no longer looked for where it was.
	d.NotifyJoin(&memberlist.Node{Name: "n10", Addr: net.IP{10, 9, 9, 9}, Port: 7946, Meta: []byte("eu-west")})
	present, absent := m.table.addresses()
	if !present[netip.MustParseAddrPort("10.9.9.9:7946")] || absent[0] != netip.MustParseAddrPort("10.0.0.11:7946") {
		t.Errorf("present %v, first absent %v, want n10 where it is now only", present, absent[0])
	}
}

func TestAbsent(t *testing.T) {
	c, _ := config("a")
	c.Seeds = []string{"10.0.0.2:7946", "10.0.0.1:7946", "10.0.0.3:7946", "[2001:db8::1]:7946"}
	m := idle(c)
	m.address = netip.MustParseAddrPort("10.0.0.1:7946")
	d := &delegate{m}
	b := &memberlist.Node{Name: "b", Addr: net.IP{10, 0, 0, 2}, Port: 7946, Meta: []byte("eu-west")}
	gone := &memberlist.Node{Name: "c", Addr: net.IP{10, 0, 0, 4}, Port: 7946, Meta: []byte("eu-west")}
	d.NotifyJoin(b)
	d.NotifyJoin(gone)
	d.NotifyLeave(gone)
	j := joiner{Mesh: m, unresolved: map[string]bool{}}
	if got, want := fmt.Sprint(j.absent()), "[10.0.0.3:7946 10.0.0.4:7946 [2001:db8::1]:7946]"; got != want {
		t.Errorf("absent = %s, want %s: neither itself nor who is here", got, want)
	}
}

// A peer that takes its time holds one worker; its queue fills and nobody else's; what waits for the lost is dropped.
func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan string, 10)
		l := newLane(3, func(to health.NodeID, frame []byte) {
			if to == "slow" {
				time.Sleep(10 * time.Second)
			}
			sent <- string(to) + string(frame)
		})
		var soFar []string
		list := func() string {
			for len(sent) > 0 {
				soFar = append(soFar, <-sent)
			}
			return strings.Join(soFar, " ")
		}
		for range 2 {
			go l.work()
		}
		full := 0
		for i := range 6 {
			if !l.put("slow", fmt.Append(nil, i)) {
				full++
			}
			synctest.Wait()
		}
		if full != 2 { // one is with the worker, three wait
			t.Errorf("%d of 6 were refused, want 2", full)
		}
		time.Sleep(time.Second)
		for i := range 3 {
			if !l.put("quick", fmt.Append(nil, i)) {
				t.Errorf("the queue of another peer is full")
			}
		}
		time.Sleep(time.Second)
		if got := list(); got != "quick0 quick1 quick2" {
			t.Errorf("sent %s, want the quick peer's three in order", got)
		}
		time.Sleep(10 * time.Second)
		if got := l.forget("slow"); got != 2 {
			t.Errorf("forgot %d, want 2", got)
		}
		time.Sleep(time.Minute)
		if got := list(); got != "quick0 quick1 quick2 slow0 slow1" {
			t.Errorf("sent %s, want the two that were with a worker behind them", got)
		}
		synctest.Wait()
		if len(l.queues) != 0 || len(l.ready) != 0 {
			t.Errorf("%d queues and %d peers are left, want none", len(l.queues), len(l.ready))
		}
		l.close()
	})
}

func TestLogLevels(t *testing.T) {
	tests := []struct{ line, want string }{
		{"[WARN] memberlist: Refuting a suspect message (from: b)", "level=INFO msg=\"memberlist says\" text=\"Refuting a suspect message (from: b)\"\n"},
		{"[ERR] memberlist: Push/Pull with b failed: EOF", "level=WARN msg=\"memberlist says\" text=\"Push/Pull with b failed: EOF\"\n"},
		{"Err: Could not set the deadline", "level=WARN msg=\"memberlist says\" text=\"Err: Could not set the deadline\"\n"},
		{"[INFO] memberlist: Suspect b has failed", ""},
		{"[DEBUG] memberlist: Stream connection", ""},
		{"[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.9:53", ""},
		{"[WARN] memberlist: handler queue full, dropping message (8) from=10.0.0.9:53", ""},
	}
	for _, test := range tests {
		var out bytes.Buffer
		handler := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		newLogger(slog.New(handler), newMetrics(nil, nil)).Print(test.line)
		if out.String() != test.want {
			t.Errorf("%s\n gives %s, want %s", test.line, out.String(), test.want)
		}
	}
}

// What a setting promises of others.
func TestSettings(t *testing.T) {
	for _, local := range []bool{false, true} {
		s := settings(local)
		if s.ProbeInterval < 2*s.ProbeTimeout {
			t.Errorf("local %v: probes every %v with a timeout of %v, want room for indirect ones", local, s.ProbeInterval, s.ProbeTimeout)
		}
		if s.TCPTimeout >= rejoin(local) {
			t.Errorf("local %v: streams end after %v, want less than a round of joins, %v", local, s.TCPTimeout, rejoin(local))
		}
		if !s.GossipVerifyIncoming || !s.GossipVerifyOutgoing {
			t.Errorf("local %v: unencrypted packets pass", local)
		}
	}
}
