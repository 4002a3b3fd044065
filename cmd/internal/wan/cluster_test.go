package wan_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/internal/wan"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/replica"
)

// A cluster is three voters v1, v2, v3 and an observer o1, which is no voter, far apart.
type cluster struct {
	t       *testing.T
	network *wan.Network
	voters  []replica.Voter
	ca      *pki.CA
	caPEM   []byte
	members map[health.NodeID]*member
}

var everybody = []health.NodeID{"v1", "v2", "v3", "o1"}

// A member is one node of the cluster. It outlives crashes of what runs on it.
type member struct {
	*replica.Replica
	id   health.NodeID
	host *wan.Host
	dir  string // of the voter's log
	runs int

	mu   sync.Mutex
	seen []*control.State // since the last start
}

const controlPort = 7000

// inCluster runs a test in fake time with all nodes started, and closes them. The logs are real files: a goroutine that
// waits for the disk is not durably blocked, so that fake time stands still meanwhile and a slow disk delays nothing.
func inCluster(t *testing.T, seed uint64, test func(*testing.T, *cluster)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, members: make(map[health.NodeID]*member)}
		c.network = wan.New(seed, wan.Link{Delay: 50 * time.Millisecond, Jitter: 100 * time.Millisecond, Loss: 0.01})
		c.ca, c.caPEM = authority(t)
		for i, id := range everybody {
			host := c.network.Host(string(id), netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
			c.members[id] = &member{id: id, host: host, dir: filepath.Join(dir, string(id)+"-0")}
			if strings.HasPrefix(string(id), "v") {
				c.voters = append(c.voters, replica.Voter{ID: id, Address: fmt.Sprintf("%v:%d", host.Address(), controlPort)})
			}
		}
		for _, id := range everybody {
			c.start(id)
		}
		defer func() {
			for _, m := range c.members {
				if m.Replica == nil {
					continue
				}
				if err := m.Close(); err != nil {
					t.Errorf("close %s: %v", m.id, err)
				}
			}
			time.Sleep(time.Minute) // what raft and TLS still wait for runs out
		}()
		test(t, c)
	})
}

// start runs a node on its host, from what its directory holds.
func (c *cluster) start(id health.NodeID) {
	c.t.Helper()
	m := c.members[id]
	identity := c.issue(id)
	cfg := replica.Config{
		Self: id, Voters: c.voters, Dir: m.dir, ServerTLS: identity.ServerTLS(), ClientTLS: identity.ClientTLS,
		Authorize: func(state tls.ConnectionState) (health.NodeID, bool, error) {
			peer, err := pki.PeerIdentity(state)
			return peer.Name, peer.Roles.Has(health.RoleControl), err
		},
		Dial: func(ctx context.Context, address string) (net.Conn, error) { return m.host.Dial(ctx, address) },
		OnState: func(_, _ uint64, s *control.State) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.seen = append(m.seen, s)
		},
		OnStuck: func(err error) { c.t.Errorf("%s: %v", id, err) },
	}
	var err error
	if m.voter() {
		if cfg.Listener, err = m.host.Listen(controlPort); err != nil {
			c.t.Fatal(err)
		}
	}
	m.seen = nil
	if m.Replica, err = replica.Start(cfg); err != nil {
		c.t.Fatalf("start %s: %v", id, err)
	}
}

func (m *member) voter() bool { return m.id != "o1" }

func (c *cluster) issue(id health.NodeID) *pki.Node {
	c.t.Helper()
	roles := health.RoleDNS
	if c.members[id].voter() {
		roles |= health.RoleControl
	}
	certPEM, keyPEM, err := c.ca.Issue(pki.Identity{Name: id, Region: "eu-west", Roles: roles}, time.Now(), pki.NodeValidity)
	if err != nil {
		c.t.Fatal(err)
	}
	identity, err := pki.NewNode(certPEM, keyPEM, c.caPEM)
	if err != nil {
		c.t.Fatal(err)
	}
	return identity
}

// crash takes the power away: peers hear nothing, and the disk stays as it is at this moment.
func (c *cluster) crash(id health.NodeID) {
	c.t.Helper()
	m := c.members[id]
	synctest.Wait() // nothing is half-way through a system call
	m.runs++
	image := fmt.Sprintf("%s-%d", strings.TrimSuffix(m.dir, fmt.Sprint("-", m.runs-1)), m.runs)
	if m.voter() {
		if err := os.CopyFS(image, os.DirFS(m.dir)); err != nil {
			c.t.Fatal(err)
		}
	}
	m.host.Crash()
	if err := m.Close(); err != nil { // what it writes now goes to files that nobody reads again
		c.t.Errorf("close %s: %v", id, err)
	}
	m.dir, m.Replica = image, nil
}

// leader waits for a voter of these that leads, and of which the others know.
func (c *cluster) leader(ids ...health.NodeID) health.NodeID {
	c.t.Helper()
	var leader health.NodeID
	c.within(20*time.Second, "a leader among "+fmt.Sprint(ids), func() bool {
		for _, id := range ids {
			if c.members[id].Status().Role == replica.Leader {
				leader = id
				return !slices.ContainsFunc(ids, func(id health.NodeID) bool { return c.members[id].Status().Leader != leader })
			}
		}
		return false
	})
	return leader
}

// within waits for something to become true, in fake time, and says how long that took.
func (c *cluster) within(limit time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if took := time.Since(begin); ok() {
			return took
		} else if took > limit {
			c.t.Fatalf("not within %v: %s\n%s", limit, what, c.text())
		}
	}
}

// text says where every node stands.
func (c *cluster) text() string {
	var b strings.Builder
	for _, id := range everybody {
		if m := c.members[id]; m.Replica != nil {
			s := m.Status()
			fmt.Fprintf(&b, "%s: %s, leader %q, term %d, at (%d, %d), age %v\n", id, s.Role, s.Leader, s.Term, s.Epoch, s.Index, s.Age)
		}
	}
	return b.String()
}

// agreed waits until all these nodes have been told of the same newest state, at least that of a result.
func (c *cluster) agreed(limit time.Duration, r control.Result, ids ...health.NodeID) *control.State {
	c.t.Helper()
	var first *control.State
	c.within(limit, fmt.Sprintf("%v agree on index %d", ids, r.Index), func() bool {
		first = c.members[ids[0]].told()
		for _, id := range ids {
			if s := c.members[id].told(); s == nil || s.Index < r.Index || string(s.Encode()) != string(first.Encode()) {
				return false
			}
		}
		return true
	})
	return first
}

// told is the newest state that OnState was given; nil before any.
func (m *member) told() *control.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) == 0 {
		return nil
	}
	return m.seen[len(m.seen)-1]
}

// neverBack fails if a node was told of an older state after a newer one.
func (c *cluster) neverBack() {
	c.t.Helper()
	for _, id := range everybody {
		m := c.members[id]
		m.mu.Lock()
		for i := 1; i < len(m.seen); i++ {
			if !m.seen[i].Newer(m.seen[i-1]) {
				c.t.Errorf("%s was told of index %d after %d", id, m.seen[i].Index, m.seen[i-1].Index)
			}
		}
		m.mu.Unlock()
	}
}

func (c *cluster) hosts(ids ...health.NodeID) []*wan.Host {
	var hosts []*wan.Host
	for _, id := range ids {
		hosts = append(hosts, c.members[id].host)
	}
	return hosts
}

// submit wants a command taken.
func (c *cluster) submit(id health.NodeID, cmd control.Command) control.Result {
	c.t.Helper()
	r, err := c.members[id].Submit(c.t.Context(), cmd)
	if err != nil {
		c.t.Fatalf("at %s: Submit = %v\n%s", id, err, c.text())
	}
	return r
}

// refused wants a command refused for a reason.
func (c *cluster) refused(id health.NodeID, cmd control.Command, why error) error {
	c.t.Helper()
	_, err := c.members[id].Submit(c.t.Context(), cmd)
	if !errors.Is(err, why) {
		c.t.Fatalf("at %s: Submit = %v, want %v\n%s", id, err, why, c.text())
	}
	return err
}

// panelOf has two controls, a and b, of which one stays on.
func panelOf() control.Command {
	return control.Command{Kind: control.KindDefine, Actor: "reload", Reason: "world", Definitions: &control.Definitions{
		Panels: []control.Panel{{
			Name: "api", Controls: []control.NewControl{{Name: "a"}, {Name: "b"}},
			Rules: []control.Rule{{Name: "keep-one", Assert: control.Any, Of: []control.ControlID{"a", "b"}, Wait: -1}},
		}},
	}}
}

func turn(name control.ControlID, on bool) control.Command {
	return control.Command{Kind: control.KindSet, Actor: "ada", Reason: "test", Switches: []control.Switch{{Control: name, On: on}}}
}
