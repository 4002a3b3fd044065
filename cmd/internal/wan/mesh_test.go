package wan_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/gossip"
)

const everyone = "n1 n2 n3 n4 n5"

// joinedBy is when all know all: the loss can eat a broadcast, and the next exchange of states brings it.
const joinedBy = 90 * time.Second

// streamWithin is when a short message by stream is there for certain: the round trip that opens the stream and the way of the bytes are
// 390 ms, but a loss of the first packet either way, once in fifty streams, costs a second more, and one of the bytes 300 ms.
const streamWithin = 3 * time.Second

func TestJoin(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		w.want("in time", everyone, w.nodes...)
		if t.Failed() {
			return
		}

		m := w.nodes[4].Members()[2]
		if m.Node != "n3" || m.Region != "eu-west" || m.Roles != health.RoleDNS || m.Address != netip.MustParseAddr("10.0.0.3") {
			t.Errorf("member = %+v, want n3 as its certificate says it, at 10.0.0.3", m)
		}
		if got := w.nodes[0].metric(t, "meridian_gossip_members", "eu-west"); got != 5 {
			t.Errorf("meridian_gossip_members = %v, want 5", got)
		}
		for _, n := range w.nodes {
			if n.changes > 6 {
				t.Errorf("%s was told %d times of its members, want changes gathered", n.host.Name(), n.changes)
			}
		}

		time.Sleep(10 * time.Minute)
		w.want("after ten minutes of 1 % loss", everyone, w.nodes...)
		for _, n := range w.nodes {
			if n.changes > 6 {
				t.Errorf("%s was told %d times of its members, want nobody lost by mistake", n.host.Name(), n.changes)
			}
		}
	})
}

func TestLeaveAndCrash(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		if err := w.nodes[4].Leave(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if err := w.nodes[4].Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		w.want("n5 left", "n1 n2 n3 n4", w.nodes[:4]...)

		w.nodes[3].host.Crash()
		time.Sleep(90 * time.Second)
		w.want("n4 crashed", "n1 n2 n3", w.nodes[:3]...)
	})
}

// memberlist alone never mends this: the dead are forgotten after a minute. Whoever hears a lost one knock joins it.
func TestPartition(t *testing.T) {
	for _, seeds := range []string{"10.0.0.1:7946", "10.0.0.5:7946"} { // on either side
		t.Run(seeds, func(t *testing.T) {
			inBubble(t, ocean, func(t *testing.T, w *world) {
				var heard atomic.Int64
				w.five(func(c *gossip.Config) {
					c.Seeds, c.Rejoin = []string{seeds}, 1000*time.Hour // once the early joins are over, by knocks alone
					c.OnKnock = func(health.NodeID) { heard.Add(1) }
				})
				time.Sleep(joinedBy)
				w.want("at first", everyone, w.nodes...)

				w.network.Cut(w.hosts(0, 2), w.hosts(2, 5))
				time.Sleep(time.Hour)
				w.want("in two halves", "n1 n2", w.nodes[:2]...)
				w.want("in two halves", "n3 n4 n5", w.nodes[2:]...)
				if got := heard.Load(); got != 0 {
					t.Errorf("%d knocks heard through a cut", got)
				}

				w.network.Heal()
				time.Sleep(time.Second)
				if got := heard.Load(); got < 8 {
					t.Errorf("%d knocks heard 1 s after the heal, want at least 8 of 12", got)
				}
				time.Sleep(2 * time.Second)
				w.want("3 s after the heal", everyone, w.nodes...)
			})
		})
	}
}

// Packets pass one way only: indirect probes and streams must not make the two nodes each other's ghosts for ever.
func TestOneWayCut(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		w.network.CutOneWay(w.hosts(0, 1), w.hosts(1, 2))
		time.Sleep(3 * time.Minute)
		w.want("n1 can't reach n2, but others can", everyone, w.nodes...)
		w.network.Heal()
		time.Sleep(30 * time.Second)
		w.want("after the heal", everyone, w.nodes...)
	})
}

// One that hears nothing, though it is heard, is lost and loses all the others, as who says nothing is. It knocks; to be joined it would have to hear.
func TestMemberThatOnlySends(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		var heard atomic.Int64
		w.five(func(c *gossip.Config) { c.OnKnock = func(health.NodeID) { heard.Add(1) } })
		time.Sleep(joinedBy)
		before := 0
		for _, n := range w.nodes {
			n.mu.Lock()
			before += n.changes
			n.mu.Unlock()
		}
		w.network.CutOneWay(w.hosts(0, 4), w.hosts(4, 5))
		time.Sleep(30 * time.Minute)
		w.want("n5 hears nothing", "n1 n2 n3 n4", w.nodes[:4]...)
		w.want("n5 hears nothing", "n5", w.nodes[4])
		if heard.Load() == 0 {
			t.Error("n5 did not knock, or was not heard")
		}
		changes := -before
		for _, n := range w.nodes {
			n.mu.Lock()
			changes += n.changes
			n.mu.Unlock()
		}
		if changes > 4+4 {
			t.Errorf("members changed %d times in half an hour, want one loss at each of four, and four at n5", changes)
		}
		w.network.Heal()
		time.Sleep(15 * time.Second) // whoever had begun to join it waits for the end of that
		w.want("it hears again", everyone, w.nodes...)
	})
}

func TestKeptOut(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testing.T, *gossip.Config)
		metric string // that another node counts
		label  string
	}{
		{"another key", func(t *testing.T, c *gossip.Config) { c.Key = bytes.Repeat([]byte{8}, 32) }, "meridian_gossip_dropped_total", "key"},
		{"another label", func(t *testing.T, c *gossip.Config) { c.Label = "other" }, "meridian_gossip_dropped_total", "label"},
		{"a certificate of another authority", func(t *testing.T, c *gossip.Config) {
			ca, caPEM := authority(t)
			certPEM, keyPEM, err := ca.Issue(pki.Identity{Name: "n6", Region: "eu-west", Roles: health.RoleDNS}, time.Now(), pki.NodeValidity)
			if err != nil {
				t.Fatal(err)
			}
			stranger, err := pki.NewNode(certPEM, keyPEM, caPEM)
			if err != nil {
				t.Fatal(err)
			}
			c.Meta = stranger.Meta()
			c.Identify = func(name string, address netip.Addr, meta []byte) (health.Member, error) {
				return stranger.Identify(name, address, meta, time.Now())
			}
		}, "meridian_gossip_refused_total", "identity"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, ocean, func(t *testing.T, w *world) {
				w.five(nil)
				stranger := w.start(w.host(6), "n6", func(c *gossip.Config) { test.change(t, c) })
				time.Sleep(5 * time.Minute)
				w.want("after five minutes", everyone, w.nodes[:5]...)
				w.want("after five minutes", "n6", stranger)
				if got := w.nodes[0].metric(t, test.metric, test.label); got == 0 {
					t.Errorf("%s{%s} of n1 = 0, want more", test.metric, test.label)
				}
				stranger.mu.Lock()
				if len(stranger.messages) > 0 {
					t.Errorf("the stranger got messages %q", stranger.messages)
				}
				stranger.mu.Unlock()
			})
		})
	}
}

// A certificate that ends takes its node out, though memberlist still sees it.
func TestCertificateEnds(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		ends := time.Now().Add(5 * time.Minute)
		w.five(func(c *gossip.Config) {
			identify := c.Identify
			c.Identify = func(name string, address netip.Addr, meta []byte) (health.Member, error) {
				if name == "n5" && time.Now().After(ends) {
					return health.Member{}, fmt.Errorf("node %q: certificate has ended", name)
				}
				return identify(name, address, meta)
			}
		})
		time.Sleep(time.Minute)
		w.want("before", everyone, w.nodes...)
		time.Sleep(5 * time.Minute)
		w.want("after", "n1 n2 n3 n4", w.nodes[:4]...)
		if err := w.nodes[0].Send("n5", 1, nil); err == nil {
			t.Error("Send to a node whose certificate has ended = nil, want an error")
		}
	})
}

func TestRestartElsewhere(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		w.nodes[4].host.Crash()
		again := w.start(w.host(6), "n5", nil) // at once, while the others still think it alive
		// 18 s until the old address counts as dead, 5 s more, and an exchange of states. Without
		// DeadNodeReclaimTime, memberlist would keep the name for a minute longer.
		time.Sleep(75 * time.Second)
		w.want("after 75 s", everyone, append(w.nodes[:4:4], again)...)
		if t.Failed() {
			return
		}
		for _, n := range append(w.nodes[:4:4], again) {
			if got, want := n.Members()[4].Address, netip.MustParseAddr("10.0.0.6"); got != want {
				t.Errorf("%s has n5 at %v, want %v", n.host.Name(), got, want)
			}
		}
		welcome := bytes.Repeat([]byte("welcome "), gossip.PacketSize) // a stream, for a packet may be lost
		if err := w.nodes[0].Send("n5", 1, welcome); err != nil {
			t.Fatal(err)
		}
		time.Sleep(streamWithin)
		again.mu.Lock()
		defer again.mu.Unlock()
		if got := again.messages; len(got) != 1 || string(got[0]) != "\x01"+string(welcome) {
			t.Errorf("%d messages, want the one sent", len(got))
		}
	})
}

func TestRestartInPlace(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		w.nodes[4].host.Crash()
		w.nodes[4].Close()
		again := w.start(w.nodes[4].host, "n5", nil)
		time.Sleep(joinedBy)
		w.want("in time", everyone, append(w.nodes[:4:4], again)...)
	})
}

// Joins hand over states, and so does an exchange that is asked for; those that memberlist makes by itself, each 30 s, do not.
func TestStates(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		after := w.states()
		if after == 0 {
			t.Error("no states have been merged after joins")
		}
		time.Sleep(10 * time.Minute)
		if now := w.states(); now != after {
			t.Errorf("%d states merged in ten minutes of peace, want none", now-after)
		}

		for i, n := range w.nodes {
			for _, none := range []health.NodeID{"nobody", health.NodeID(fmt.Sprint("n", i+1))} {
				n.Exchange(none)
				time.Sleep(time.Second)
			}
			for j := range w.nodes {
				if i != j {
					n.Exchange(health.NodeID(fmt.Sprint("n", j+1)))
					time.Sleep(5 * time.Second)
				}
			}
		}
		for i, n := range w.nodes {
			n.mu.Lock()
			for j := 1; j <= 5; j++ {
				state := fmt.Sprint("state of n", j)
				if has := slices.Contains(n.states, state); has == (i+1 == j) {
					t.Errorf("n%d has merged %q: %v, want each peer's and not its own", i+1, state, has)
				}
			}
			n.mu.Unlock()
		}
		if now := w.states(); now-after != 2*5*4 {
			t.Errorf("%d states merged, want two by each of 20 exchanges", now-after)
		}
	})
}

// Small messages are packets, of which the link loses one in a hundred; large ones are streams and all arrive.
func TestMessages(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		const sent = 1000
		large := bytes.Repeat([]byte("verdict "), 40_000) // 320 kB
		begin := time.Now()
		for i := range sent {
			if err := w.nodes[0].Send("n2", 3, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		for i := range 10 {
			if err := w.nodes[0].Send("n2", 4, append(large, byte(i))); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != sent*time.Millisecond {
			t.Errorf("Send took %v of the caller's time, want none", took-sent*time.Millisecond)
		}
		time.Sleep(10 * time.Second)

		n2 := w.nodes[1]
		n2.mu.Lock()
		defer n2.mu.Unlock()
		small, streams := map[string]bool{}, map[byte]bool{}
		for _, m := range n2.messages {
			switch {
			case m[0] == 3:
				small[string(m[1:])] = true
			case m[0] == 4 && bytes.Equal(m[1:len(m)-1], large):
				streams[m[len(m)-1]] = true
			default:
				t.Errorf("a message of kind %d and %d bytes, want none such", m[0], len(m))
			}
		}
		if len(small) < sent*97/100 || len(small) > sent-1 {
			t.Errorf("%d of %d small messages arrived, want about 99 %%", len(small), sent)
		}
		if len(streams) != 10 {
			t.Errorf("%d of 10 large messages arrived, want all", len(streams))
		}
		if got, want := w.nodes[0].metric(t, "meridian_gossip_messages_sent_total", "samples"), 10.; got != want {
			t.Errorf("messages_sent_total{samples} = %v, want %v", got, want)
		}
		if got, want := n2.metric(t, "meridian_gossip_messages_received_total", "pull"), float64(len(small)); got != want {
			t.Errorf("messages_received_total{pull} = %v, want %v", got, want)
		}
	})
}

// A peer behind a cut fills its own queue, and nobody else's.
func TestSilentPeer(t *testing.T) {
	inBubble(t, ocean, func(t *testing.T, w *world) {
		w.five(nil)
		time.Sleep(joinedBy)
		w.network.Cut(w.hosts(0, 1), w.hosts(1, 2))
		large := make([]byte, gossip.PacketSize+1)
		full := 0
		for range 100 {
			if err := w.nodes[0].Send("n2", 4, large); err != nil {
				full++
			}
		}
		if full < 80 || full > 90 {
			t.Errorf("%d of 100 messages to a peer that is cut off were refused, want the rest of its queue", full)
		}
		if got := w.nodes[0].metric(t, "meridian_gossip_dropped_total", "peer_queue"); got != float64(full) {
			t.Errorf("dropped_total{peer_queue} = %v, want %d", got, full)
		}
		if err := w.nodes[0].Send("n3", 4, large); err != nil {
			t.Fatal(err)
		}
		time.Sleep(streamWithin) // the stream to n2 still waits then, for it may do so for 10 s
		w.nodes[2].mu.Lock()
		defer w.nodes[2].mu.Unlock()
		if got := len(w.nodes[2].messages); got != 1 {
			t.Errorf("%d messages at n3, want 1", got)
		}
	})
}
