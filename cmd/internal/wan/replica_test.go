package wan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/replica"
)

var voters = everybody[:3]

// others are the voters but one.
func others(id health.NodeID) []health.NodeID {
	return slices.DeleteFunc(slices.Clone(voters), func(v health.NodeID) bool { return v == id })
}

func TestCommitReachesAll(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inCluster(t, seed, func(t *testing.T, c *cluster) {
				leader := c.leader(voters...)
				follower := others(leader)[0]
				c.submit(leader, panelOf())
				r := c.submit(follower, turn("a", false))
				if s := c.agreed(5*time.Second, r, everybody...); s.On("a") || !s.On("b") {
					t.Errorf("a is %v and b %v, want off and on", s.On("a"), s.On("b"))
				}

				// The rule speaks through every kind of node.
				for _, id := range []health.NodeID{leader, follower, "o1"} {
					if err := c.refused(id, turn("b", false), control.ErrUnsafe); !strings.Contains(err.Error(), "keep-one") {
						t.Errorf("at %s: %v, want the rule's name", id, err)
					}
				}
				r = c.submit("o1", turn("a", true))
				if s := c.agreed(5*time.Second, r, everybody...); !s.On("a") || !s.On("b") {
					t.Errorf("a is %v and b %v, want on and on", s.On("a"), s.On("b"))
				}

				// Ten minutes of loss change no leader.
				term := c.members[leader].Status().Term
				time.Sleep(10 * time.Minute)
				if s := c.members[leader].Status(); s.Role != replica.Leader || s.Term != term {
					t.Errorf("after ten minutes of 1 %% loss: %s in term %d, want leader in term %d", s.Role, s.Term, term)
				}
				c.neverBack()
			})
		})
	}
}

// The leader and the observer are cut off from the two other voters for ten minutes.
func TestPartitionOfTheLeader(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		old := c.leader(voters...)
		majority := others(old)
		c.submit(old, panelOf())
		before := c.agreed(5*time.Second, c.submit(old, turn("a", false)), everybody...)

		c.network.Cut(c.hosts(old, "o1"), c.hosts(majority...))
		// The old leader doesn't know yet, and puts this into its log. It must not come back from there.
		c.refused(old, turn("a", true), replica.ErrInDoubt)

		leader := c.leader(majority...)
		follower := slices.DeleteFunc(others(old), func(id health.NodeID) bool { return id == leader })[0]
		c.submit(follower, turn("a", true))
		newest := c.submit(leader, turn("b", false))
		c.agreed(5*time.Second, newest, majority...)
		for _, id := range []health.NodeID{old, "o1"} {
			c.refused(id, turn("b", false), replica.ErrNoLeader)
		}

		time.Sleep(10 * time.Minute)
		if role := c.members[old].Status().Role; role == replica.Leader {
			t.Errorf("%s still leads without a majority", old)
		}
		for _, id := range []health.NodeID{old, "o1"} {
			if s := c.members[id].told(); string(s.Encode()) != string(before.Encode()) {
				t.Errorf("%s has index %d after ten minutes in the minority, want %d as before", id, s.Index, before.Index)
			}
			if age := c.members[id].Status().Age; age < 9*time.Minute || age > 11*time.Minute {
				t.Errorf("%s says its state is known to be the newest %v ago, want ten minutes", id, age)
			}
			c.refused(id, turn("b", false), replica.ErrNoLeader)
		}
		if got := c.leader(majority...); got != leader {
			t.Errorf("majority changed its leader from %s to %s", leader, got)
		}

		c.network.Heal()
		// Raft's pauses between tries to reach a lost voter grow to 10.24 s; the observer waits for no such thing.
		c.agreed(5*time.Second, newest, append(majority, "o1")...)
		s := c.agreed(12*time.Second, newest, everybody...)
		if !s.On("a") || s.On("b") {
			t.Errorf("after the heal: a is %v and b %v, want on and off as the majority decided", s.On("a"), s.On("b"))
		}
		c.leader(voters...)
		c.agreed(5*time.Second, c.submit("o1", turn("b", true)), everybody...)
		c.neverBack()
	})
}

func TestCrashOfVoters(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		first := c.leader(voters...)
		c.submit(first, panelOf())
		c.agreed(5*time.Second, c.submit(first, turn("a", false)), everybody...)

		// A follower is gone: nothing changes for the rest, and it catches up from its disk and the leader.
		gone := others(first)[0]
		c.crash(gone)
		r := c.submit("o1", turn("a", true))
		c.start(gone)
		c.agreed(10*time.Second, r, everybody...)

		// The leader is gone: the rest elects, and what it had committed stays.
		r = c.submit(first, turn("b", false))
		c.crash(first)
		rest := others(first)
		second := c.leader(rest...)
		if s := c.agreed(5*time.Second, r, append(rest, "o1")...); s.On("b") {
			t.Error("b is on, want off as committed before the crash")
		}
		r = c.submit(second, turn("b", true))
		c.start(first)
		c.agreed(10*time.Second, r, everybody...)

		// All are gone at once: the state is on the disks; the observer kept it meanwhile.
		r = c.submit("o1", turn("a", false))
		want := c.agreed(5*time.Second, r, everybody...)
		for _, id := range voters {
			c.crash(id)
		}
		c.refused("o1", turn("a", true), replica.ErrNoLeader)
		if s := c.members["o1"].told(); s.Index != want.Index || s.On("a") {
			t.Errorf("observer without voters: index %d, a is %v, want %d and off", s.Index, s.On("a"), want.Index)
		}
		for _, id := range voters {
			c.start(id)
		}
		c.leader(voters...)
		if s := c.agreed(5*time.Second, r, everybody...); s.On("a") || s.Digest() != want.Digest() {
			t.Errorf("after all were gone: a is %v, want off and the same definitions", s.On("a"))
		}
		c.agreed(5*time.Second, c.submit("o1", turn("a", true)), everybody...)
		c.neverBack()
	})
}
