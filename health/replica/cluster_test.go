package replica

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An authority makes the certificates of one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  ed25519.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{t, cert, key, pool}
}

// node makes the TLS configuration of a node; a voter's certificate says so in its unit.
func (a *authority) node(id health.NodeID, unit string) *tls.Config {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: string(id), OrganizationalUnit: []string{unit}},
		DNSNames: []string{string(id)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool, ClientCAs: a.pool}
}

func authorize(state tls.ConnectionState) (health.NodeID, bool, error) {
	if len(state.VerifiedChains) == 0 {
		return "", false, errors.New("no certificate")
	}
	subject := state.VerifiedChains[0][0].Subject
	return health.NodeID(subject.CommonName), slices.Contains(subject.OrganizationalUnit, "voter"), nil
}

// A cluster is voters v1, v2, … and other nodes on this machine, whose connections can be cut.
type cluster struct {
	t         *testing.T
	authority *authority
	dir       string
	voters    []Voter
	listeners map[health.NodeID]net.Listener

	mu    sync.Mutex
	nodes map[health.NodeID]*node
	down  map[string]bool // addresses that nobody reaches
}

type node struct {
	*Replica
	registry *prometheus.Registry
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each new state
	seen     []*control.State
}

func newCluster(t *testing.T, voters int) *cluster {
	c := &cluster{t: t, authority: newAuthority(t), dir: t.TempDir(), listeners: make(map[health.NodeID]net.Listener), nodes: make(map[health.NodeID]*node), down: make(map[string]bool)}
	for i := range voters {
		id := health.NodeID(fmt.Sprint("v", i+1))
		l := listen(t, "127.0.0.1:0")
		c.listeners[id] = l
		c.voters = append(c.voters, Voter{id, l.Addr().String()})
	}
	t.Cleanup(func() {
		for _, id := range c.running() {
			c.stop(id)
		}
		for _, l := range c.listeners {
			l.Close()
		}
	})
	return c
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *cluster) running() []health.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []health.NodeID
	for id := range c.nodes {
		ids = append(ids, id)
	}
	return ids
}

func (c *cluster) config(id health.NodeID) Config {
	unit := "dns"
	listener := c.listeners[id]
	delete(c.listeners, id)
	for _, v := range c.voters {
		if v.ID == id {
			unit = "voter"
			if listener == nil {
				listener = listen(c.t, v.Address) // its own again, after a restart
			}
		}
	}
	own := c.authority.node(id, unit)
	return Config{
		Self: id, Voters: c.voters, Dir: filepath.Join(c.dir, string(id)), Listener: listener,
		ServerTLS: own,
		ClientTLS: func(peer health.NodeID) *tls.Config {
			conf := own.Clone()
			conf.ServerName = string(peer)
			return conf
		},
		Authorize: authorize,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			c.mu.Lock()
			down := c.down[address]
			c.mu.Unlock()
			if down {
				return nil, errors.New("cut")
			}
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
		Timing: Timing{Heartbeat: 300 * time.Millisecond, Lease: 200 * time.Millisecond},
	}
}

func (c *cluster) start(id health.NodeID, change ...func(*Config)) *node {
	c.t.Helper()
	cfg := c.config(id)
	n := &node{changed: make(chan struct{}), registry: prometheus.NewRegistry()}
	cfg.Registerer = n.registry
	cfg.Logger = slog.New(slog.NewTextHandler(testWriter{c.t, id}, nil))
	cfg.OnState = func(epoch, index uint64, s *control.State) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.seen = append(n.seen, s)
		close(n.changed)
		n.changed = make(chan struct{})
	}
	for _, f := range change {
		f(&cfg)
	}
	r, err := Start(cfg)
	if err != nil {
		c.t.Fatalf("start %s: %v", id, err)
	}
	n.Replica = r
	c.mu.Lock()
	c.nodes[id] = n
	c.mu.Unlock()
	return n
}

func (c *cluster) startAll() {
	c.t.Helper()
	for _, v := range c.voters {
		c.start(v.ID)
	}
}

func (c *cluster) stop(id health.NodeID) {
	c.mu.Lock()
	n := c.nodes[id]
	delete(c.nodes, id)
	c.mu.Unlock()
	if err := n.Close(); err != nil {
		c.t.Errorf("close %s: %v", id, err)
	}
}

// leader waits for a voter that leads.
func (c *cluster) leader() (health.NodeID, *node) {
	c.t.Helper()
	var id health.NodeID
	var n *node
	eventually(c.t, "a leader", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for id, n = range c.nodes {
			if n.Status().Role == Leader {
				return true
			}
		}
		return false
	})
	return id, n
}

// until waits for a state that a node has been told of.
func (n *node) until(t *testing.T, what string, ok func(*control.State) bool) *control.State {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		n.mu.Lock()
		changed := n.changed
		var last *control.State
		if len(n.seen) > 0 {
			last = n.seen[len(n.seen)-1]
		}
		n.mu.Unlock()
		if last != nil && ok(last) {
			return last
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("no state with %s", what)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

type testWriter struct {
	t  *testing.T
	id health.NodeID
}

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s %s", w.id, bytes.TrimSpace(b))
	return len(b), nil
}

func define(controls string, rules ...control.Rule) control.Command {
	p := control.Panel{Name: "api", Rules: rules}
	for _, name := range strings.Fields(controls) {
		p.Controls = append(p.Controls, control.NewControl{Name: control.ControlID(name)})
	}
	d := control.Definitions{Panels: []control.Panel{p}}
	return control.Command{Kind: control.KindDefine, Actor: "reload", Reason: "world", Definitions: &d}
}

func set(name control.ControlID, on bool) control.Command {
	return control.Command{Kind: control.KindSet, Actor: "ada", Reason: "test", Switches: []control.Switch{{Control: name, On: on}}}
}

func off(names ...control.ControlID) func(*control.State) bool {
	return func(s *control.State) bool {
		for _, name := range names {
			if s.On(name) {
				return false
			}
		}
		return true
	}
}

func submit(t *testing.T, n *node, cmd control.Command) control.Result {
	t.Helper()
	res, err := n.Submit(t.Context(), cmd)
	if err != nil {
		t.Fatalf("Submit(%v) = %v", cmd, err)
	}
	return res
}
