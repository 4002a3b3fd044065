package replica

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

var keepOne = control.Rule{Name: "keep-one", Assert: control.Any, Of: []control.ControlID{"a", "b"}, Wait: -1}

func TestThreeVotersAndAnObserver(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	observer := c.start("o1")
	first, leader := c.leader()

	submit(t, leader, define("a b", keepOne))
	res := submit(t, observer, set("a", false))
	for _, id := range c.running() {
		c.nodes[id].until(t, "a off at "+string(id), off("a"))
	}
	if res.Epoch != firstEpoch || len(res.Changed) != 1 || res.Changed[0] != "a" {
		t.Errorf("result = %+v", res)
	}
	if s := observer.State(); s.Index != res.Index || s.Epoch != res.Epoch {
		t.Errorf("observer at (%d, %d), want (%d, %d)", s.Epoch, s.Index, res.Epoch, res.Index)
	}

	// Every kind of node gets the refusal as the leader made it.
	for _, id := range c.running() {
		res, err := c.nodes[id].Submit(t.Context(), set("b", false))
		if !errors.Is(err, control.ErrUnsafe) || len(res.Rules) != 1 || res.Rules[0].Rule != "keep-one" {
			t.Errorf("at %s: %v, rules %v, want %v by keep-one", id, err, res.Rules, control.ErrUnsafe)
		}
		if _, err := c.nodes[id].Submit(t.Context(), set("x", false)); !errors.Is(err, control.ErrUnknownControl) {
			t.Errorf("at %s: %v, want %v", id, err, control.ErrUnknownControl)
		}
	}

	again := set("a", true)
	again.Key = "k"
	one, two := submit(t, observer, again), submit(t, c.nodes[first], again)
	if one.Index != two.Index || !two.Repeat {
		t.Errorf("same key: index %d and %d, repeat %v, want the first result again", one.Index, two.Index, two.Repeat)
	}

	c.stop(first)
	second, leader := c.leader()
	if second == first {
		t.Fatalf("leader %s still leads", first)
	}
	submit(t, observer, set("b", false))
	leader.until(t, "b off", off("b"))
	observer.until(t, "b off", off("b"))
	eventually(t, "observer sees who leads and who is gone", func() bool {
		s := observer.Status()
		reached := 0
		for _, v := range s.Voters {
			if v.Reached {
				reached++
			}
		}
		return s.Role == Observer && s.Leader == second && reached == 2 && s.Age < 5*time.Second
	})

	// The first one comes back from its disk and catches up.
	back := c.start(first)
	back.until(t, "b off", off("b"))
	for _, n := range c.nodes {
		n.mu.Lock()
		for i := 1; i < len(n.seen); i++ {
			if !n.seen[i].Newer(n.seen[i-1]) {
				t.Errorf("OnState told of index %d after %d", n.seen[i].Index, n.seen[i-1].Index)
			}
		}
		n.mu.Unlock()
	}
}

func TestRestartOfAllKeepsTheState(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	_, leader := c.leader()
	submit(t, leader, define("a b", keepOne))
	submit(t, leader, set("a", false))
	want := leader.State()
	if err := leader.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	submit(t, leader, set("a", false)) // an entry behind the snapshot
	want = leader.State()
	for _, id := range c.running() {
		c.stop(id)
	}
	c.startAll()
	_, leader = c.leader()
	got := leader.until(t, "all entries", func(s *control.State) bool { return s.Index >= want.Index })
	if !bytes.Equal(got.Encode(), want.Encode()) {
		t.Errorf("state after the restart:\n%s\nwant\n%s", got.Encode(), want.Encode())
	}
	submit(t, leader, set("a", true))
}

func TestObserverKeepsTheStateOfLostVoters(t *testing.T) {
	c := newCluster(t, 1)
	voter := c.start("v1")
	observer := c.start("o1")
	submit(t, voter, define("a b"))
	submit(t, voter, set("a", false))
	last := observer.until(t, "a off", off("a"))
	c.stop("v1")
	eventually(t, "the voter is missed", func() bool { return !observer.Status().Voters[0].Reached })

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := observer.Submit(ctx, set("a", true))
	if !errors.Is(err, ErrNoLeader) || !strings.Contains(err.Error(), "no leader with a quorum among v1; the last state stays") {
		t.Errorf("Submit = %v, want %v", err, ErrNoLeader)
	}
	if observer.State() != last {
		t.Errorf("state %v, want the last one", observer.State())
	}

	// A node that starts now has what its disk had, and takes nothing older from the voters.
	newer := c.start("o2", func(cfg *Config) { cfg.Initial = &control.State{Epoch: last.Epoch + 1, Index: 1} })
	older := c.start("o3", func(cfg *Config) { cfg.Initial = &control.State{Epoch: last.Epoch, Index: 1} })
	newer.until(t, "the next epoch", func(s *control.State) bool { return s.Epoch == last.Epoch+1 })
	c.start("v1")
	older.until(t, "what the voter has", off("a"))
	eventually(t, "the voter is reached", func() bool { return newer.Status().Voters[0].Index == last.Index })
	if got := newer.State(); got.Epoch != last.Epoch+1 || len(newer.seen) != 1 {
		t.Errorf("epoch %d, want %d: never back", got.Epoch, last.Epoch+1)
	}
}

func TestWithoutAQuorumTheLastStateStays(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	id, leader := c.leader()
	submit(t, leader, define("a b"))
	submit(t, leader, set("a", false))
	for _, other := range c.running() {
		if other != id {
			c.stop(other)
		}
	}
	eventually(t, "the leader steps down", func() bool { return leader.Status().Role != Leader })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := leader.Submit(ctx, set("a", true)); !errors.Is(err, ErrNoLeader) {
		t.Errorf("Submit = %v, want %v", err, ErrNoLeader)
	}
	if leader.State().On("a") {
		t.Error("the state went back")
	}
	before := leader.Status().Age
	eventually(t, "the age grows", func() bool { return leader.Status().Age > before })
}

// There is nobody to ask, now or later: that is no answer, and it is said at once.
func TestAbstainingLastVoterDecidesNothing(t *testing.T) {
	c := newCluster(t, 1)
	alone := c.start("v1", func(cfg *Config) { cfg.Abstain = true })
	res, err := alone.Submit(t.Context(), set("a", true))
	if !errors.Is(err, ErrNoLeader) || !strings.Contains(err.Error(), `no leader with a quorum among v1; the last state stays: voter "v1" abstains`) {
		t.Errorf("Submit = %+v, %v, want %v", res, err, ErrNoLeader)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	voter := c.start("v1")
	c.leader()
	submit(t, voter, define("a b"))
	address := c.voters[0].Address
	foreign := newAuthority(t)
	away := func(reason string) float64 {
		return voter.metric(t, "meridian_replica_refused_connections_total", reason)
	}

	for _, tt := range []struct {
		name, reason, protocol string
		conf                   *tls.Config
		send                   string
	}{
		{"no certificate", "certificate", protocolSubmit, &tls.Config{RootCAs: c.authority.pool}, ""},
		{"certificate of another authority", "certificate", protocolState, foreign.node("v1", "voter"), ""},
		{"a node that is no voter speaks raft", "role", protocolRaft, c.authority.node("o1", "dns"), ""},
		{"a voter by certificate that is not listed", "role", protocolRaft, c.authority.node("v9", "voter"), ""},
		{"no protocol", "protocol", "", c.authority.node("o1", "dns"), ""},
		{"a protocol of tomorrow", "certificate", "meridian-state/2", c.authority.node("o1", "dns"), ""}, // TLS refuses it
		{"not TLS at all", "certificate", "", nil, "GET / HTTP/1.1\r\n\r\n"},
		{"garbage instead of a command", "garbage", protocolSubmit, c.authority.node("o1", "dns"), "C\x00\x00\x00\x03{]}"},
		{"a frame too long", "garbage", protocolSubmit, c.authority.node("o1", "dns"), "C\xff\xff\xff\xff"},
		{"a frame of the wrong kind", "garbage", protocolState, c.authority.node("o1", "dns"), "S\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := away(tt.reason)
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if tt.conf != nil {
				conf := tt.conf.Clone()
				conf.ServerName, conf.RootCAs = "v1", c.authority.pool
				if tt.protocol != "" {
					conf.NextProtos = []string{tt.protocol}
				}
				conn = tls.Client(conn, conf)
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			conn.Write([]byte(tt.send))
			if n, err := conn.Read(make([]byte, 1)); err == nil && tt.conf != nil {
				t.Errorf("read %d bytes, want the connection closed", n)
			}
			eventually(t, "counted as "+tt.reason, func() bool { return away(tt.reason) == before+1 })
		})
	}
	submit(t, voter, set("a", false)) // still in its right mind

	// A voter that shows another's certificate is not talked to. Submit is ended when it tries again: then it has met the voter once.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tries atomic.Int32
	n := c.start("o1", func(cfg *Config) {
		cfg.Authorize = func(s tls.ConnectionState) (health.NodeID, bool, error) {
			if s.NegotiatedProtocol == protocolSubmit && tries.Add(1) == 2 {
				cancel()
			}
			return "v2", true, nil
		}
	})
	if _, err := n.Submit(ctx, set("a", true)); !errors.Is(err, ErrNoLeader) || !strings.Contains(err.Error(), `is node "v2"`) {
		t.Errorf("Submit to the wrong node = %v, want %v that says so", err, ErrNoLeader)
	}
}

func TestRaftGarbageFromAVoter(t *testing.T) {
	c := newCluster(t, 3)
	c.start("v1")
	c.start("v2")
	_, leader := c.leader()
	submit(t, leader, define("a b"))
	conf := c.authority.node("v3", "voter")
	conf.NextProtos = []string{protocolRaft}
	for _, garbage := range []string{"\xff", "\x00\xc1\xc1", "\x03\x80", "\x01\xdf\xff\xff\xff\xff", "\x00" + strings.Repeat("\x91", 5000)} {
		for _, v := range c.voters[:2] {
			conf := conf.Clone()
			conf.ServerName = string(v.ID)
			conn, err := tls.Dial("tcp", v.Address, conf)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			conn.Write([]byte(garbage))
			conn.CloseWrite()
			conn.Read(make([]byte, 100))
			conn.Close()
		}
	}
	submit(t, leader, set("a", false))
}

func TestDamagedStoreIsNotStarted(t *testing.T) {
	c := newCluster(t, 1)
	voter := c.start("v1")
	c.leader()
	submit(t, voter, define("a b"))
	c.stop("v1")
	path := filepath.Join(c.dir, "v1", "raft.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		damage func() error
		says   string
	}{
		{"cut short", func() error { return os.WriteFile(path, whole[:3*4096], 0o600) }, "is damaged"},
		{"empty", func() error { return os.WriteFile(path, nil, 0o600) }, "is damaged: empty file"},
		{"other bytes", func() error { return os.WriteFile(path, bytes.Repeat([]byte("x"), len(whole)), 0o600) }, "is damaged"},
		{"one bit of an entry", func() error {
			other := bytes.Clone(whole)
			for i := 0; ; {
				j := bytes.Index(other[i:], []byte(`"reason":"world"`))
				if j < 0 {
					break
				}
				other[i+j+12] ^= 1
				i += j + 1
			}
			return os.WriteFile(path, other, 0o600)
		}, "checksum does not match"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.damage(); err != nil {
				t.Fatal(err)
			}
			r, err := Start(c.config("v1"))
			if err == nil {
				r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Start = %v, want an error that names %s and says %s", err, path, tt.says)
			} else {
				t.Log(err)
			}
		})
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	voter = c.start("v1")
	voter.until(t, "the controls", func(s *control.State) bool { return len(s.Controls()) == 2 })
	if _, err := Start(func() Config { cfg := c.config2("v1"); return cfg }()); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second start in the same directory = %v, want it refused", err)
	}
}

// config2 is that of a second process which took the directory but another port.
func (c *cluster) config2(id health.NodeID) Config {
	c.listeners[id] = listen(c.t, "127.0.0.1:0")
	return c.config(id)
}

func TestConfigIsChecked(t *testing.T) {
	c := newCluster(t, 3)
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"two voters", func(cfg *Config) { cfg.Voters = cfg.Voters[:2] }, "replica: 2 voters, want 1, 3 or 5"},
		{"one twice", func(cfg *Config) { cfg.Voters = append(cfg.Voters[:2:2], cfg.Voters[0]) }, `replica: voter "v1": listed twice or without a name`},
		{"voter without a directory", func(cfg *Config) { cfg.Dir = "" }, "replica: a voter needs Listener, ServerTLS and Dir"},
		{"lease longer than the heartbeat", func(cfg *Config) { cfg.Timing = Timing{Heartbeat: time.Second, Lease: 2 * time.Second} },
			"replica: heartbeat 1s and lease 2s: want at least 50ms and 20ms, lease at most heartbeat"},
	} {
		cfg := c.config("v1")
		tt.change(&cfg)
		if _, err := Start(cfg); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Start = %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	c := newCluster(t, 1)
	n := c.start("v1")
	c.leader()
	submit(t, n, define("a b"))
	n.Submit(t.Context(), set("x", false))
	for _, m := range []struct {
		name, label string
		want        float64
	}{
		{"meridian_control_submitted_total", "", 2},
		{"meridian_control_refused_total", "unknown_control", 1},
		{"meridian_raft_leader", "", 1},
		{"meridian_raft_term", "", float64(n.Status().Term)},
		{"meridian_raft_index", "", float64(n.State().Index)},
		{"meridian_control_state_age_seconds", "", 0},
	} {
		if got := n.metric(t, m.name, m.label); got != m.want {
			t.Errorf("%s{%s} = %v, want %v", m.name, m.label, got, m.want)
		}
	}
	c.stop("v1")
	if all, err := n.registry.Gather(); len(all) > 0 || err != nil {
		t.Errorf("after Close %d metrics are left, %v", len(all), err)
	}
}

// metric is the value of a metric, of one label's value if that is not empty; 0 if there is none yet.
func (n *node) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	all, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}
