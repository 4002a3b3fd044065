// Package gossip keeps the mesh joined and carries opaque (kind, bytes) messages between nodes.
//
// It decides who is a member: memberlist finds nodes and notices lost ones, Identify says which
// of them belong. It decides how a message travels: as one packet if it's small, as a stream if not.
//
// It never reads a payload and never says who sent one: origin and order are signed inside. It
// spreads nothing by memberlist's broadcasts, which carry little over a kilobyte a second; a message
// goes straight to the peers that need it. It never waits for a peer on the caller's time.
//
// Always: every queue has a limit, and what doesn't fit is dropped and counted; callbacks run on one
// goroutine; absent seeds and members are joined again on a timer, for ever, and a lost member as soon as it is
// heard. DESIGN.md has the protocol.
package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
)

// The limits of messages.
const (
	PacketSize = 1200    // bytes of payload that still go as one packet
	MaxMessage = 1 << 20 // bytes of payload; a larger one is an error
	MaxState   = 4 << 20 // bytes of what LocalState returns; a larger one is not sent
	MaxMeta    = memberlist.MetaMaxSize
)

// What Send may say.
var (
	ErrNotMember = errors.New("not a member")
	ErrFull      = errors.New("queue is full")
)

// A Config says who this node is in the mesh and who is told of what. Start copies it; slices in it must not change afterwards.
type Config struct {
	Name      string
	Bind      netip.AddrPort // UDP and TCP; port 0 is any free one
	Advertise netip.AddrPort // where others reach this node; zero: Bind
	Label     string         // of the cluster; packets and streams under another are dropped
	Key       []byte         // of the cluster, that this node sends under; 32 bytes, AES-256
	OldKeys   [][]byte       // that others may send under, too
	Seeds     []string       // host:port of nodes to join
	Meta      []byte         // this node's certificate, for Identify on the others; at most 512 bytes

	// Identify says which member the node is that calls itself name and shows meta. An error keeps it out.
	// It must be quick and may be called from any goroutine.
	Identify func(name string, address netip.Addr, meta []byte) (health.Member, error)

	// These are called one at a time on one goroutine, which waits for them; nil: nobody is told. They own the
	// slices they get. They must not call Close.
	OnMessage  func(kind byte, payload []byte, arrived time.Time)
	OnMembers  func([]health.Member)                 // after changes, several at once; sorted by Node, this node included
	MergeState func(state []byte, arrived time.Time) // what a peer's LocalState returned

	// OnKnock is told of a lost member that is heard again, and will likely be a member within a second. On the goroutine of the others.
	OnKnock func(health.NodeID)

	// OnReach is told of a member with whom words by UDP or TCP begin to fail or to pass again. Not on that goroutine, and never
	// twice at a time; it must be quick.
	OnReach func(Reach)

	// LocalState is what to give a peer when states are exchanged, which joins do, and Exchange. It must be quick and may be called from any goroutine.
	LocalState func() []byte

	Rejoin    time.Duration        // how often absent seeds and members are joined again; 0: 15 s, or 2 s if Local
	Local     bool                 // all nodes are on one machine: notice losses within a few seconds
	Transport memberlist.Transport // for tests; nil: sockets at Bind
	BindKey   string               // what the configuration file calls Bind, for errors; "": gossip.bind

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: none
}

func (c *Config) check() error {
	switch {
	case c.Name == "":
		return errors.New("no name")
	case len(c.Meta) > MaxMeta:
		return fmt.Errorf("metadata of %d bytes, want at most %d", len(c.Meta), MaxMeta)
	case len(c.Label) > memberlist.LabelMaxSize:
		return fmt.Errorf("label of %d bytes, want at most %d", len(c.Label), memberlist.LabelMaxSize)
	case c.Identify == nil:
		return errors.New("no Identify")
	case c.Rejoin < 0:
		return fmt.Errorf("rejoin every %v, want more than 0", c.Rejoin)
	}
	if err := checkKeys(c.keys()); err != nil {
		return err
	}
	for _, seed := range c.Seeds {
		if err := checkSeed(seed); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) keys() [][]byte { return append([][]byte{c.Key}, c.OldKeys...) }

// A Mesh is this node's part of the mesh. All methods may be called from any goroutine.
type Mesh struct {
	config  Config
	list    *memberlist.Memberlist
	address netip.AddrPort // that others reach
	table   table
	inbox   inbox
	packets *lane
	streams *lane
	words   *lane              // by stream
	knocks  chan remembered    // to be answered
	asked   chan health.NodeID // by Exchange
	metrics *metrics
	log     *slog.Logger
	reach   *reach

	setting sync.Mutex // of ring, one at a time
	ring    *memberlist.Keyring

	ctx     context.Context // of everything that goes on until Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	leaving  atomic.Bool
	lifetime sync.Mutex // Leave and Close, one at a time
	closed   bool
}

// Start listens, and begins to join the seeds. It doesn't wait for them: a node alone is a mesh of one.
func Start(config Config) (*Mesh, error) {
	m, err := start(config)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return m, nil
}

func start(config Config) (*Mesh, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config.BindKey = cmp.Or(config.BindKey, "gossip.bind")
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Rejoin == 0 {
		config.Rejoin = rejoin(config.Local)
	}
	m := &Mesh{config: config, log: config.Logger, inbox: newInbox(), knocks: make(chan remembered, knocksEach), asked: make(chan health.NodeID, 1)}
	m.table.init()
	m.reach = newReach(config.Name, config.Local)
	m.reach.setKeys(config.keys())
	m.metrics = newMetrics(m.Members, m.reach.partly)
	m.ctx, m.cancel = context.WithCancel(context.Background())

	settings := settings(config.Local)
	inner, err := m.listen()
	if err != nil {
		return nil, err
	}
	m.packets = newLane(packetDepth, m.sendPacket)
	m.streams = newLane(streamDepth, m.sendStream)
	m.words = newLane(wordDepth, m.sendStream)
	guarded := guard(m.ctx, inner, m.metrics.drop)
	fail := func(err error) (*Mesh, error) {
		m.cancel()
		guarded.Shutdown()
		return nil, err
	}
	ip, port, err := inner.FinalAdvertiseAddr(advertised(config))
	if err != nil {
		return fail(err)
	}
	m.address = addrPort(ip, uint16(port))
	if _, err := m.identify(&memberlist.Node{Name: config.Name, Addr: ip, Port: uint16(port), Meta: config.Meta}); err != nil {
		return fail(fmt.Errorf("this node would be kept out of its own mesh: %w", err))
	}
	if err := m.metrics.register(config.Registerer); err != nil {
		return fail(err)
	}

	settings.Name = config.Name
	settings.Label = config.Label
	if m.ring, err = memberlist.NewKeyring(config.OldKeys, config.Key); err != nil {
		m.metrics.unregister(config.Registerer)
		return fail(err)
	}
	settings.Keyring = m.ring
	settings.BindPort = port
	settings.AdvertiseAddr, settings.AdvertisePort = advertised(config)
	settings.Transport = &transport{Transport: guarded, ctx: m.ctx, timeout: settings.TCPTimeout, sockets: config.Transport == nil}
	settings.Logger = newLogger(m.log, m.metrics)
	d := &delegate{m}
	settings.Delegate, settings.Events, settings.Alive, settings.Conflict = d, d, d, d

	if m.list, err = memberlist.Create(settings); err != nil {
		m.metrics.unregister(config.Registerer)
		return fail(err)
	}
	m.running.Go(m.dispatch)
	m.running.Go(m.keepJoined)
	m.running.Go(m.keepKnocking)
	m.running.Go(m.keepExchanging)
	for range answersAtOnce {
		m.running.Go(m.keepAnswering)
	}
	m.running.Go(func() { m.keepReached(m.ctx) })
	for range packetWorkers {
		m.running.Go(m.packets.work)
	}
	for range streamWorkers {
		m.running.Go(m.streams.work)
	}
	for range wordWorkers {
		m.running.Go(m.words.work)
	}
	return m, nil
}

// Address is where other nodes reach this one.
func (m *Mesh) Address() netip.AddrPort { return m.address }

// Members are the nodes that are here and identified, sorted by Node, this one included. The caller owns the slice.
func (m *Mesh) Members() []health.Member { return m.table.list() }

// Leave tells the others that this node goes on purpose, so that they need not find out. They hear it
// within timeout, or not at all. Close must follow.
func (m *Mesh) Leave(timeout time.Duration) error {
	m.lifetime.Lock()
	defer m.lifetime.Unlock()
	if m.closed {
		return nil
	}
	m.leaving.Store(true)
	if err := m.list.Leave(timeout); err != nil {
		return fmt.Errorf("gossip: leave: %w", err)
	}
	return nil
}

// Close ends the mesh without a word to the others. When it returns no callback runs any more. Messages that
// wait are lost. It may be called twice.
func (m *Mesh) Close() error {
	m.lifetime.Lock()
	defer m.lifetime.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.cancel()
	m.packets.close()
	m.streams.close()
	m.words.close()
	err := m.list.Shutdown()
	m.running.Wait()
	m.metrics.unregister(m.config.Registerer)
	if err != nil {
		return fmt.Errorf("gossip: close: %w", err)
	}
	return nil
}
