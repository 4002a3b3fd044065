package replica

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// pass sends one command to a voter as the node of a certificate, and returns what the voter says.
func (c *cluster) pass(t *testing.T, to health.NodeID, as *tls.Config, cmd control.Command) reply {
	t.Helper()
	data, err := cmd.Encode()
	if err != nil {
		t.Fatal(err)
	}
	conf := as.Clone()
	conf.ServerName, conf.NextProtos = string(to), []string{protocolSubmit}
	for _, v := range c.voters {
		if v.ID != to {
			continue
		}
		conn, err := tls.Dial("tcp", v.Address, conf)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := writeJSON(conn, frameSubmit, forwarded{Command: data, WithinMS: 5000}, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		var answer reply
		if err := readJSON(conn, 10*time.Second, frameReply, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	t.Fatalf("no voter %q", to)
	return reply{}
}

// lastVia is whom the newest line of a node's history names as the one that took the command in.
func lastVia(n *node) health.NodeID {
	history := n.State().History()
	return history[len(history)-1].Via
}

func TestOnlyVotersDefine(t *testing.T) {
	c := newCluster(t, 3)
	c.start("v1")
	c.start("v2") // v3 is played here
	first, leader := c.leader()
	submit(t, leader, define("a b"))
	for _, tt := range []struct {
		name string
		as   *tls.Config
		want error
	}{
		{"a node that is no voter", c.authority.node("o1", "dns"), control.ErrNotVoter},
		{"a voter by certificate that is not listed", c.authority.node("v9", "voter"), control.ErrNotVoter},
		{"a node by the name of a voter, without the role", c.authority.node("v3", "dns"), control.ErrNotVoter},
		{"a voter", c.authority.node("v3", "voter"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := leader.State().Index
			refused := leader.metric(t, "meridian_replica_refused_connections_total", "role")
			cmd := define("a b c")
			cmd.Via = "v1" // anyone can say so
			answer := c.pass(t, first, tt.as, cmd)
			if answer.Why != "" || !errors.Is(answer.Result.Err(), tt.want) {
				t.Errorf("reply = %+v, want %v", answer, tt.want)
			}
			if tt.want == nil {
				return
			}
			if s := leader.State(); s.Index != before || len(s.Controls()) != 2 {
				t.Errorf("index %d with %d controls, want still %d with 2", s.Index, len(s.Controls()), before)
			}
			if got := leader.metric(t, "meridian_replica_refused_connections_total", "role"); got != refused+1 {
				t.Errorf("refused{role} = %v, want %v", got, refused+1)
			}
		})
	}
	for _, own := range []control.Command{
		{Kind: control.KindExpire, Actor: "node o1", Reason: "its time is over"},
		{Kind: control.KindLatch, Actor: "node o1", Reason: "failed away from", Latch: []control.Member{{Pool: "api", Endpoint: "euw1"}}},
	} {
		if answer := c.pass(t, first, c.authority.node("o1", "dns"), own); !errors.Is(answer.Result.Err(), control.ErrNotVoter) {
			t.Errorf("%s by a node that is no voter: %+v, want %v", own.Kind, answer, control.ErrNotVoter)
		}
		if answer := c.pass(t, first, c.authority.node("v3", "voter"), own); answer.Why != "" || answer.Result.Err() != nil {
			t.Errorf("%s by a voter: %+v, want it applied", own.Kind, answer)
		}
	}
	if !leader.State().Latched("api", "euw1") {
		t.Error("the latch of a voter is not there")
	}
	if n := len(leader.State().Controls()); n != 3 {
		t.Errorf("%d controls, want the 3 of the voter", n)
	}
}

// An observer that asks to define is told so, and not sent round among the voters.
func TestObserverIsToldThatItMayNotDefine(t *testing.T) {
	c := newCluster(t, 1)
	c.start("v1")
	observer := c.start("o1")
	c.leader()
	if _, err := observer.Submit(t.Context(), define("a b")); !errors.Is(err, control.ErrNotVoter) {
		t.Errorf("Submit = %v, want %v", err, control.ErrNotVoter)
	}
}

func TestViaIsTheNodeThatTookTheCommandIn(t *testing.T) {
	c := newCluster(t, 3)
	c.start("v1")
	c.start("v2")
	first, leader := c.leader()
	observer := c.start("o1")
	submit(t, leader, define("a b"))

	// Through Submit, wherever it is called.
	for _, id := range c.running() {
		res := submit(t, c.nodes[id], set("a", false))
		leader.until(t, "the command of "+string(id), func(s *control.State) bool { return s.Index >= res.Index })
		if got := lastVia(leader); got != id {
			t.Errorf("command of %s: via %q, want %q", id, got, id)
		}
	}
	relayed := set("a", false)
	relayed.Via = "somewhere"
	submit(t, observer, relayed)
	if got := lastVia(leader); got != "o1" {
		t.Errorf("an observer's word: via %q, want %q", got, "o1")
	}

	// Over the wire: the certificate says who, unless a voter passes on what it took in.
	for _, tt := range []struct {
		name string
		as   *tls.Config
		says health.NodeID
		want health.NodeID
	}{
		{"a node that says nothing", c.authority.node("o2", "dns"), "", "o2"},
		{"a node that says it is another", c.authority.node("o2", "dns"), "o1", "o2"},
		{"a voter by certificate that is not listed", c.authority.node("v9", "voter"), "o1", "v9"},
		{"a voter that passes on", c.authority.node("v3", "voter"), "o1", "o1"},
		{"a voter that says nothing", c.authority.node("v3", "voter"), "", "v3"},
	} {
		cmd := set("a", false)
		cmd.Via = tt.says
		if answer := c.pass(t, first, tt.as, cmd); answer.Why != "" || answer.Result.Err() != nil {
			t.Errorf("%s: reply = %+v, want it applied", tt.name, answer)
		} else if got := lastVia(leader); got != tt.want {
			t.Errorf("%s: via %q, want %q", tt.name, got, tt.want)
		}
	}
}
