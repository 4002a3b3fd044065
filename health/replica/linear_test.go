package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// A register is what one control is to its users: a switch with a version.
type register struct {
	on      bool
	version uint64
}

type swap struct {
	on     bool
	expect uint64
}

type outcome string

const (
	applied outcome = "applied"
	stale   outcome = "stale"   // ErrVersion
	nothing outcome = "nothing" // ErrNoLeader
	doubt   outcome = "doubt"   // ErrInDoubt
)

var registerModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{true, 1}} },
	Step: func(state, input, output any) []any {
		r, in := state.(register), input.(swap)
		next := r
		if in.on != r.on {
			next = register{in.on, r.version + 1}
		}
		fits := in.expect == r.version
		switch {
		case output == applied && fits:
			return []any{next}
		case output == stale && !fits, output == nothing, output == doubt && !fits:
			return []any{r}
		case output == doubt:
			return []any{r, next}
		}
		return nil
	},
	Equal: func(a, b any) bool { return a == b },
}

// Many nodes swap one control while leaders die: what they are told fits one order of events.
func TestSubmitIsLinearizable(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	nodes := []*node{c.start("o1"), c.start("o2")}
	_, leader := c.leader()
	submit(t, leader, define("a"))
	for _, n := range nodes {
		n.until(t, "a", func(s *control.State) bool { return len(s.Controls()) == 1 })
	}

	var mu sync.Mutex
	var events []porcupine.Operation
	counts := make(map[outcome]int)
	start := time.Now()
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for id := range 4 {
		clients.Go(func() {
			n, r := nodes[id%len(nodes)], rand.New(rand.NewPCG(uint64(id), 1))
			for range 1000 {
				select {
				case <-stop:
					return
				default:
				}
				have, _ := n.State().Control("a")
				in := swap{on: r.IntN(2) == 0, expect: have.Version}
				cmd := set("a", in.on)
				cmd.Switches[0].Version = in.expect
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+r.IntN(1500))*time.Millisecond)
				call := time.Since(start)
				_, err := n.Submit(ctx, cmd)
				cancel()
				end := time.Since(start)
				var out outcome
				switch {
				case err == nil:
					out = applied
				case errors.Is(err, control.ErrVersion):
					out = stale
				case errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrInDoubt):
					out = nothing
				case errors.Is(err, ErrInDoubt) && !errors.Is(err, ErrNoLeader):
					out, end = doubt, time.Hour // it may happen at any time from now on
				default:
					t.Errorf("Submit = %v, want a result, %v or %v", err, ErrNoLeader, ErrInDoubt)
					return
				}
				mu.Lock()
				events = append(events, porcupine.Operation{ClientId: len(events), Input: in, Call: int64(call), Output: out, Return: int64(end)})
				counts[out]++
				mu.Unlock()
			}
		})
	}
	tally := func(o outcome) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[o]
	}
	for range 3 {
		before := tally(applied)
		eventually(t, "progress", func() bool { return tally(applied) >= before+15 })
		var leader health.NodeID
		eventually(t, "a leader to kill", func() bool { leader = nodes[0].Status().Leader; return leader != "" && c.has(leader) })
		c.stop(leader)
		eventually(t, "another leader", func() bool { now := nodes[1].Status().Leader; return now != "" && now != leader })
		c.start(leader)
	}
	close(stop)
	clients.Wait()
	t.Logf("%v", counts)
	if counts[applied] == 0 || counts[stale] == 0 {
		t.Errorf("%v: the test tries nothing", counts)
	}
	if got := porcupine.CheckOperationsTimeout(registerModel.ToModel(), events, 30*time.Second); got != porcupine.Ok {
		t.Errorf("linearizable: %v, want %v", got, porcupine.Ok)
		for _, e := range events {
			t.Logf("%8.3f to %8.3f %+v -> %v", float64(e.Call)/1e9, float64(e.Return)/1e9, e.Input, e.Output)
		}
	}
}

func (c *cluster) has(id health.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[id] != nil
}

// A leader whose disk hangs still sends heartbeats, so nobody would replace it: it has to give up by itself.
func TestLeaderWithAHungDiskStepsDown(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes as long as the store's patience")
	}
	c := newCluster(t, 3)
	stuck := make(chan error, 100)
	for _, v := range c.voters {
		c.start(v.ID, func(cfg *Config) { cfg.OnStuck = func(err error) { stuck <- err } })
	}
	observer := c.start("o1")
	first, leader := c.leader()
	submit(t, leader, define("a b"))
	release := hang(leader.store)
	start := time.Now()
	_, err := observer.Submit(t.Context(), set("a", false))
	t.Logf("%v after %v", err, time.Since(start))
	if err != nil {
		t.Errorf("Submit = %v, want the next leader to take it within %v", err, submitWithin)
	}
	if second, _ := c.leader(); second == first {
		t.Errorf("%s still leads", first)
	}
	select {
	case err := <-stuck:
		if !errors.Is(err, errStuck) || time.Since(start) < stuckAfter-time.Second {
			t.Errorf("stuck: %v after %v", err, time.Since(start))
		}
	case <-time.After(2 * stuckAfter):
		t.Error("stuck was not told")
	}
	release()
	leader.until(t, "a off, after the disk is back", func(s *control.State) bool { return !s.On("a") })
}

// A flaky listener breaks the first connection after it is armed, once the connection has something to say after committed.
type flaky struct {
	net.Listener
	armed     *atomic.Bool
	committed func() bool
}

type flakyConn struct {
	net.Conn
	committed func() bool
}

func (l flaky) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil && l.armed.CompareAndSwap(true, false) {
		return flakyConn{conn, l.committed}, nil
	}
	return conn, err
}

func (c flakyConn) Write(b []byte) (int, error) {
	if c.committed() {
		c.Close()
		return 0, errors.New("cable pulled")
	}
	return c.Conn.Write(b)
}

func TestAnswerThatIsLostIsAskedForAgain(t *testing.T) {
	c := newCluster(t, 1)
	var armed atomic.Bool
	var voter *node
	voter = c.start("v1", func(cfg *Config) {
		cfg.Listener = flaky{cfg.Listener, &armed, func() bool { return !voter.State().On("a") }}
	})
	observer := c.start("o1")
	submit(t, voter, define("a b"))
	eventually(t, "a subscription", func() bool { return observer.Status().Voters[0].Reached })
	armed.Store(true)
	cmd := set("a", false)
	cmd.Switches[0].Version = 1 // a second run would be refused
	if res := submit(t, observer, cmd); !res.Repeat || len(res.Changed) != 1 {
		t.Errorf("result = %+v, want the first one again", res)
	}
	if s := voter.State(); len(s.History()) != 2 {
		t.Errorf("%d entries in the history, want 2", len(s.History()))
	}
}
