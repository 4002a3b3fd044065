package wan_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/gossip"
)

// A firewall lets some of what a node sends to one address pass.
type firewall struct {
	memberlist.Transport
	to       string
	udp, tcp atomic.Bool // is dropped
}

func (f *firewall) WriteTo(b []byte, address string) (time.Time, error) {
	if f.udp.Load() && address == f.to {
		return time.Now(), nil
	}
	return f.Transport.WriteTo(b, address)
}

func (f *firewall) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	if f.tcp.Load() && address == f.to {
		time.Sleep(timeout)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("i/o timeout")}
	}
	return f.Transport.DialTimeout(address, timeout)
}

// troubles are what a node knows to fail with others.
func troubles(n *node) string {
	var text []string
	for _, r := range n.Reach() {
		if t := r.Trouble(); t != "" {
			text = append(text, string(r.Node)+": "+t)
		}
	}
	return strings.Join(text, "; ")
}

// A firewall between two nodes keeps nobody out, so it must be said who can't hear whom, at both ends.
func TestReach(t *testing.T) {
	for _, tt := range []struct {
		name     string
		udp, tcp bool
		metric   string
		n1, n2   string
	}{
		{"UDP", true, false, "udp_to", "n2: UDP fails from here to it, TCP works (firewall?)", "n1: UDP fails from it to here, TCP works (firewall?)"},
		{"TCP", false, true, "tcp_to", "n2: TCP fails from here to it, UDP works (firewall?)", "n1: TCP fails from it to here, UDP works (firewall?)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, ocean, func(t *testing.T, w *world) {
				wall := &firewall{to: "10.0.0.2:7946"}
				var mu sync.Mutex
				told := make(map[string][]string)
				say := func() string {
					mu.Lock()
					defer mu.Unlock()
					return fmt.Sprint(told)
				}
				w.five(func(c *gossip.Config) {
					name := c.Name
					if name == "n1" {
						wall.Transport, c.Transport = c.Transport, wall
					}
					c.OnReach = func(r gossip.Reach) {
						mu.Lock()
						defer mu.Unlock()
						told[name] = append(told[name], string(r.Node)+": "+r.Trouble())
					}
				})
				time.Sleep(10 * time.Minute)
				for _, n := range w.nodes {
					for _, r := range n.Reach() {
						if r.UDPFrom != gossip.WayWorks || r.UDPTo != gossip.WayWorks || r.TCPFrom != gossip.WayWorks || r.TCPTo != gossip.WayWorks {
							t.Errorf("with 1 %% loss, %s has of %s %+v, want all to work", n.host.Name(), r.Node, r)
						}
					}
				}
				if got := say(); got != "map[]" {
					t.Errorf("told of %s before anything failed", got)
				}
				wall.udp.Store(tt.udp)
				wall.tcp.Store(tt.tcp)
				time.Sleep(5 * time.Minute)
				for i, want := range []string{tt.n1, tt.n2, "", "", ""} {
					if got := troubles(w.nodes[i]); got != want {
						t.Errorf("n%d says %q, want %q", i+1, got, want)
					}
				}
				w.want("behind the firewall", everyone, w.nodes...)
				if got := w.nodes[0].metric(t, "meridian_gossip_failing_peers", tt.metric); got != 1 {
					t.Errorf("meridian_gossip_failing_peers{%s} of n1 = %v, want 1", tt.metric, got)
				}
				wall.udp.Store(false)
				wall.tcp.Store(false)
				time.Sleep(5 * time.Minute)
				if got := troubles(w.nodes[0]) + troubles(w.nodes[1]); got != "" {
					t.Errorf("after it %s, want nothing", got)
				}
				if got, want := say(), fmt.Sprint(map[string][]string{"n1": {tt.n1, "n2: "}, "n2": {tt.n2, "n1: "}}); got != want {
					t.Errorf("told of %s, want %s", got, want)
				}
			})
		})
	}
}

// A node that starts behind a firewall is told of it, as is the other.
func TestReachAtStart(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		wall := &firewall{to: "10.0.0.2:7946"}
		wall.udp.Store(true)
		w.five(func(c *gossip.Config) {
			if c.Name == "n1" {
				wall.Transport, c.Transport = c.Transport, wall
			}
		})
		time.Sleep(joinedBy + 25*time.Second)
		for i, want := range []string{"n2: UDP fails from here to it, TCP works (firewall?)", "n1: UDP fails from it to here, TCP works (firewall?)", "", "", ""} {
			if got := troubles(w.nodes[i]); got != want {
				t.Errorf("n%d says %q, want %q", i+1, got, want)
			}
		}
	})
}

// A cut in both directions is a lost member, and no finding about protocols; nor is a restart.
func TestReachOfTheLost(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		var told atomic.Int32
		w.five(func(c *gossip.Config) { c.OnReach = func(gossip.Reach) { told.Add(1) } })
		time.Sleep(10 * time.Minute)
		w.nodes[4].host.Crash()
		w.nodes[4].Close()
		time.Sleep(30 * time.Second)
		w.start(w.nodes[4].host, "n5", nil)
		time.Sleep(10 * time.Minute)
		w.network.Cut(w.hosts(0, 2), w.hosts(2, 5))
		time.Sleep(10 * time.Minute)
		w.network.Heal()
		time.Sleep(10 * time.Minute)
		if got := told.Load(); got != 0 {
			t.Errorf("told %d times that words fail one way, want never", got)
		}
	})
}

// The key is changed on one node after another, and nobody is lost, no message is refused.
func TestKeyRotation(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		fresh := bytes.Repeat([]byte{9}, 32)
		changes := make(map[string]int)
		w.five(nil)
		time.Sleep(joinedBy)
		for _, n := range w.nodes {
			n.mu.Lock()
			changes[n.host.Name()] = n.changes
			n.mu.Unlock()
		}
		keys := func(n *node, keys ...[]byte) {
			if err := n.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
		}
		sent := 0
		for _, step := range [][][]byte{{clusterKey, fresh}, {fresh, clusterKey}, {fresh}} {
			for _, n := range w.nodes {
				keys(n, step...)
				large := bytes.Repeat([]byte("x"), gossip.PacketSize+1)
				if err := n.Send(health.NodeID(w.nodes[(sent+1)%5].Members()[(sent+1)%5].Node), 4, large); err != nil {
					t.Fatal(err)
				}
				sent++
				time.Sleep(2 * time.Minute)
			}
			for _, r := range w.nodes[0].Reach() {
				var want []string
				for _, key := range step {
					want = append(want, gossip.Fingerprint(key))
				}
				if fmt.Sprint(r.Keys) != fmt.Sprint(want) {
					t.Errorf("%s says that it has keys %v, want %v", r.Node, r.Keys, want)
				}
			}
		}
		w.want("under the new key", everyone, w.nodes...)
		arrived := 0
		for _, n := range w.nodes {
			n.mu.Lock()
			arrived += len(n.messages)
			if n.changes != changes[n.host.Name()] {
				t.Errorf("%s was told %d times of its members, want nobody lost meanwhile", n.host.Name(), n.changes-changes[n.host.Name()])
			}
			n.mu.Unlock()
			if got := n.metric(t, "meridian_gossip_dropped_total", "key"); got != 0 {
				t.Errorf("%s dropped %v packets and streams under another key, want none", n.host.Name(), got)
			}
		}
		if arrived != sent {
			t.Errorf("%d of %d messages arrived", arrived, sent)
		}

		old := w.start(w.host(6), "n6", nil) // has the old key only
		time.Sleep(5 * time.Minute)
		w.want("with the old key", everyone, w.nodes[:5]...)
		w.want("with the old key", "n6", old)
	})
}
