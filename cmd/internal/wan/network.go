// Package wan is a network of hosts far apart, in memory, for tests.
//
// It decides when each packet and each byte of a stream arrives: a Link has a delay, a
// jitter and a loss, and can be cut in one direction or both, and healed. Hosts give real
// interfaces: a memberlist.Transport, a net.Listener, a net.Conn. It opens no socket,
// and under testing/synctest it never sleeps in real time: make the Network inside the bubble.
//
// Always: the fate of what a link carries is drawn from the network's seed and the link's two
// ends; streams are reliable and ordered, or end with an error; nothing that blocks holds a lock.
package wan

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// A Link is how one direction between two hosts behaves. The zero Link is perfect.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // at most this much on top, evenly spread
	Loss   float64       // share of packets lost, 0 to 1; to a stream each costs a retransmission
}

// The limits of streams.
const (
	window    = 256 << 10        // bytes on their way or unread, in one direction
	backlog   = 128              // connections that wait for Accept
	stallTime = 60 * time.Second // how long bytes may wait behind a cut until their sender gives up
	minRTO    = 200 * time.Millisecond
)

// A Network is hosts and the links between them. All methods may be called from any goroutine.
type Network struct {
	seed uint64

	mu     sync.Mutex // guards everything below, and the insides of hosts, listeners and streams
	link   Link
	hosts  map[netip.Addr]*Host
	paths  map[[2]netip.Addr]*path // by source and destination
	halves map[*half]struct{}      // of streams that are open
	moved  chan struct{}           // closed and replaced when a cut, a heal or a listener may let a dial go on
}

// a path is one direction between two hosts.
type path struct {
	link  Link
	cut   bool
	since time.Time // of the cut
	rand  *rand.Rand
}

// New makes a network in which all links are alike until Between says otherwise.
func New(seed uint64, link Link) *Network {
	return &Network{
		seed:   seed,
		link:   link,
		hosts:  map[netip.Addr]*Host{},
		paths:  map[[2]netip.Addr]*path{},
		halves: map[*half]struct{}{},
		moved:  make(chan struct{}),
	}
}

// Host adds a host; a host that is there already is a mistake of the test.
func (n *Network) Host(name string, address netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other := n.hosts[address]; other != nil {
		panic(fmt.Sprintf("wan: host %s at %v: there is %s already", name, address, other.name))
	}
	h := &Host{
		network:    n,
		name:       name,
		address:    address,
		nextPort:   40000,
		listeners:  map[uint16]*listener{},
		transports: map[uint16]*transport{},
	}
	n.hosts[address] = h
	return h
}

// Between sets the links between two hosts, both ways. What is on its way already arrives as it would have.
func (n *Network) Between(a, b *Host, link Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path(a.address, b.address).link = link
	n.path(b.address, a.address).link = link
}

// Cut severs every link between a host of a and a host of b, both ways. Packets are lost without a sign;
// the bytes of streams wait, and when they have waited for a minute the sender's connection ends.
func (n *Network) Cut(a, b []*Host) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// CutOneWay severs the links from hosts of a to hosts of b. Packets still pass the other way. Streams don't:
// without acknowledgements their bytes stop in both directions.
func (n *Network) CutOneWay(a, b []*Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for _, from := range a {
		for _, to := range b {
			if p := n.path(from.address, to.address); from != to && !p.cut {
				p.cut, p.since = true, now
			}
		}
	}
	n.wake()
}

// Heal mends all links. What waits in streams sets out again now.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for h := range n.halves {
		h.resend(now)
	}
	for _, p := range n.paths {
		p.cut = false
	}
	n.wake()
}

// wake lets everything that waits look again.
func (n *Network) wake() {
	for h := range n.halves {
		h.watch()
		h.to.wake()
	}
	close(n.moved)
	n.moved = make(chan struct{})
}

func (n *Network) path(from, to netip.Addr) *path {
	key := [2]netip.Addr{from, to}
	p := n.paths[key]
	if p == nil {
		name := fnv.New64a()
		fmt.Fprint(name, from, ">", to)
		p = &path{link: n.link, rand: rand.New(rand.NewPCG(n.seed, name.Sum64()))}
		if from == to {
			p.link = Link{}
		}
		n.paths[key] = p
	}
	return p
}

func (p *path) delay() time.Duration {
	d := p.link.Delay
	if p.link.Jitter > 0 {
		d += time.Duration(p.rand.Int64N(int64(p.link.Jitter) + 1))
	}
	return d
}

func (p *path) lost() bool { return p.link.Loss > 0 && p.rand.Float64() < p.link.Loss }

// cut says since when a stream between the two hosts stands still, if it does.
func (n *Network) cut(a, b netip.Addr) (since time.Time, cut bool) {
	for _, p := range [...]*path{n.path(a, b), n.path(b, a)} {
		if p.cut && (!cut || p.since.Before(since)) {
			since, cut = p.since, true
		}
	}
	return since, cut
}
