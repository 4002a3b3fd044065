package wan_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/internal/wan"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/gossip"
)

const port = 7946

// 100 to 130 ms there and as much back, and one packet in a hundred lost.
var ocean = wan.Link{Delay: 100 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.01}

// a world is a network, an authority and the nodes that a test has started.
type world struct {
	t       *testing.T
	network *wan.Network
	ca      *pki.CA
	caPEM   []byte
	nodes   []*node
}

func newWorld(t *testing.T, link wan.Link) *world {
	w := &world{t: t, network: wan.New(1, link)}
	w.ca, w.caPEM = authority(t)
	return w
}

func authority(t *testing.T) (*pki.CA, []byte) {
	certPEM, keyPEM, err := pki.NewCA("example", time.Now(), pki.CAValidity)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.ParseCA(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return ca, certPEM
}

// a node is one part of the mesh and what it was told.
type node struct {
	*gossip.Mesh
	host    *wan.Host
	metrics *prometheus.Registry

	mu       sync.Mutex
	members  []health.Member
	changes  int
	messages [][]byte // kind and payload
	states   []string
}

// host makes the i-th host of the world.
func (w *world) host(i int) *wan.Host {
	return w.network.Host(fmt.Sprint("host", i), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
}

var clusterKey = bytes.Repeat([]byte{7}, 32)

// start runs a node on a host; change may alter its configuration first.
func (w *world) start(host *wan.Host, name health.NodeID, change func(*gossip.Config)) *node {
	w.t.Helper()
	certPEM, keyPEM, err := w.ca.Issue(pki.Identity{Name: name, Region: "eu-west", Roles: health.RoleDNS}, time.Now(), pki.NodeValidity)
	if err != nil {
		w.t.Fatal(err)
	}
	identity, err := pki.NewNode(certPEM, keyPEM, w.caPEM)
	if err != nil {
		w.t.Fatal(err)
	}
	transport, err := host.Transport(port)
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{host: host, metrics: prometheus.NewRegistry()}
	config := gossip.Config{
		Name:  string(name),
		Label: "example",
		Key:   clusterKey,
		Seeds: []string{"10.0.0.1:7946", "10.0.0.2:7946"},
		Meta:  identity.Meta(),
		Identify: func(name string, address netip.Addr, meta []byte) (health.Member, error) {
			return identity.Identify(name, address, meta, time.Now())
		},
		OnMessage: func(kind byte, payload []byte, _ time.Time) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.messages = append(n.messages, append([]byte{kind}, payload...))
		},
		OnMembers: func(members []health.Member) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.members = members
			n.changes++
		},
		LocalState: func() []byte { return []byte("state of " + name) },
		MergeState: func(state []byte, _ time.Time) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.states = append(n.states, string(state))
		},
		Transport:  transport,
		Registerer: n.metrics,
	}
	if change != nil {
		change(&config)
	}
	if n.Mesh, err = gossip.Start(config); err != nil {
		w.t.Fatal(err)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// five starts n1 to n5.
func (w *world) five(change func(*gossip.Config)) {
	for i := 1; i <= 5; i++ {
		w.start(w.host(i), health.NodeID(fmt.Sprint("n", i)), change)
	}
}

// inBubble runs a test with a world in fake time, and closes what it started.
func inBubble(t *testing.T, link wan.Link, test func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, link)
		defer func() {
			for _, n := range w.nodes {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Minute) // memberlist's own goroutines end when their timers have run
		}()
		test(t, w)
	})
}

// states counts the states that were merged.
func (w *world) states() int {
	count := 0
	for _, n := range w.nodes {
		n.mu.Lock()
		count += len(n.states)
		n.mu.Unlock()
	}
	return count
}

func (n *node) names() string {
	var names []string
	for _, m := range n.Members() {
		names = append(names, string(m.Node))
	}
	return strings.Join(names, " ")
}

// want fails unless the nodes have these members, now and as they were told last.
func (w *world) want(when, members string, nodes ...*node) {
	w.t.Helper()
	synctest.Wait()
	for _, n := range nodes {
		if got := n.names(); got != members {
			w.t.Errorf("%s: members of %s = %s, want %s", when, n.host.Name(), got, members)
		}
		n.mu.Lock()
		if told := n.members; !slices.Equal(told, n.Members()) {
			w.t.Errorf("%s: %s was told of %v, want %v", when, n.host.Name(), told, n.Members())
		}
		n.mu.Unlock()
	}
}

// metric is the value of a counter with one label.
func (n *node) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := n.metrics.Gather()
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

func (w *world) hosts(from, to int) []*wan.Host {
	var hosts []*wan.Host
	for _, n := range w.nodes[from:to] {
		hosts = append(hosts, n.host)
	}
	return hosts
}
