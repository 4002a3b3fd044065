package gossip

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gslb/meridian/health"
)

const maxRemembered = 512 // members that are absent; beyond, those lost first are forgotten

// a table is what memberlist has said of nodes, in copies: its own change under its lock.
type table struct {
	mu      sync.Mutex
	present map[string]entry
	absent  []remembered // in the order of their loss
}

type entry struct {
	node    memberlist.Node
	member  health.Member
	refused bool // by Identify, since it came: its certificate has ended
}

type remembered struct {
	name      string
	address   netip.AddrPort
	answering bool      // its knock
	failed    int       // answers, one after the other, after which it still was lost
	deaf      time.Time // until then its knocks are not answered
}

func (t *table) init() { t.present = map[string]entry{} }

func (t *table) put(e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.present[e.node.Name] = e
	t.absent = slices.DeleteFunc(t.absent, func(r remembered) bool { return r.name == e.node.Name })
}

// lose turns a member into a memory, and returns who it was.
func (t *table) lose(name string) (entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.present[name]
	if !ok {
		return entry{}, false
	}
	delete(t.present, name)
	if len(t.absent) == maxRemembered {
		t.absent = slices.Delete(t.absent, 0, 1)
	}
	t.absent = append(t.absent, remembered{name: name, address: address(&e.node)})
	return e, true
}

// lost are the members that are remembered.
func (t *table) lost() []remembered {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.absent)
}

func (t *table) isLost(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(name) != nil
}

// answer returns a lost member whose knock is to be answered. It is not ok if that is done already, or was lately in vain.
func (t *table) answer(name string, now time.Time) (r remembered, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := t.find(name)
	if lost == nil || lost.answering || now.Before(lost.deaf) {
		return remembered{}, false
	}
	lost.answering = true
	return *lost, true
}

// answered says that an answer is over. If it was in vain, the next waits: a second, and each time twice as long, at most some time.
func (t *table) answered(name string, now time.Time, atMost time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if lost := t.find(name); lost != nil {
		lost.answering = false
		lost.deaf = now.Add(min(time.Second<<min(lost.failed, 10), atMost))
		lost.failed++
	}
}

// find is for holders of the lock.
func (t *table) find(name string) *remembered {
	for i := range t.absent {
		if t.absent[i].name == name {
			return &t.absent[i]
		}
	}
	return nil
}

// get returns the node to send to.
func (t *table) get(name health.NodeID) (memberlist.Node, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.present[string(name)]
	return e.node, ok && !e.refused
}

func (t *table) list() []health.Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	members := make([]health.Member, 0, len(t.present))
	for _, e := range t.present {
		if !e.refused {
			members = append(members, e.member)
		}
	}
	slices.SortFunc(members, func(a, b health.Member) int { return cmp.Compare(a.Node, b.Node) })
	return members
}

// entries are all nodes that are here, refused or not.
func (t *table) entries() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.present))
}

// mark sets whether a node is refused, if it still is the one that was looked at.
func (t *table) mark(e entry, refused bool) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, ok := t.present[e.node.Name]
	if !ok || now.refused == refused || !slices.Equal(now.node.Meta, e.node.Meta) {
		return false
	}
	now.refused = refused
	t.present[e.node.Name] = now
	return true
}

// addresses are where members are, and where those remembered have been.
func (t *table) addresses() (present map[netip.AddrPort]bool, absent []netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	present = map[netip.AddrPort]bool{}
	for _, e := range t.present {
		present[address(&e.node)] = true
	}
	for _, r := range t.absent {
		absent = append(absent, r.address)
	}
	return present, absent
}

func address(n *memberlist.Node) netip.AddrPort { return addrPort(n.Addr, n.Port) }

// addrPort is zero for an IP that is none.
func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port)
}
