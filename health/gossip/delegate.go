package gossip

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gslb/meridian/health"
)

// a delegate is what memberlist calls, from several goroutines and in part under its own lock: nothing here
// waits, and nothing keeps a slice or a node of memberlist's.
type delegate struct{ *Mesh }

func (d *delegate) NodeMeta(int) []byte { return d.config.Meta }

func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

func (d *delegate) NotifyMsg(frame []byte) {
	if len(frame) == 0 {
		d.metrics.drop(dropMalformed)
		return
	}
	if len(frame) > 1+MaxMessage {
		d.metrics.drop(dropSize)
		return
	}
	switch frame[0] {
	case wordKind:
		if !d.reach.take(frame[1:], time.Now()) {
			d.metrics.drop(dropMalformed)
		}
		return
	case knockKind:
		d.knocked(string(frame[1:]))
		return
	}
	select {
	case d.inbox.messages <- message{frame[0], bytes.Clone(frame[1:]), time.Now()}:
		d.metrics.received.WithLabelValues(kindLabel(frame[0])).Inc()
	default:
		d.metrics.drop(dropInbox)
	}
}

// LocalState is for joins, and for Exchange, which is one. In the exchanges that memberlist makes by itself it would be most of all that nodes
// hear, and nearly always what they know.
func (d *delegate) LocalState(join bool) []byte {
	if d.config.LocalState == nil || !join {
		return nil
	}
	state := d.config.LocalState()
	if len(state) > MaxState {
		d.metrics.drop(dropStateSize)
		return nil
	}
	return state
}

func (d *delegate) MergeRemoteState(state []byte, _ bool) {
	if len(state) > MaxState {
		d.metrics.drop(dropStateSize)
		return
	}
	select {
	case d.inbox.states <- message{payload: bytes.Clone(state), arrived: time.Now()}:
	default:
		d.metrics.drop(dropStates)
	}
}

// NotifyAlive keeps out the nodes that Identify refuses.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	if _, err := d.identify(n); err != nil {
		d.metrics.refused.WithLabelValues(refusedIdentity).Inc()
		return err
	}
	return nil
}

// identify asks Identify, and holds it to the name that memberlist knows the node by.
func (m *Mesh) identify(n *memberlist.Node) (health.Member, error) {
	member, err := m.config.Identify(n.Name, address(n).Addr(), n.Meta)
	if err == nil && string(member.Node) != n.Name {
		err = fmt.Errorf("node %q: identified as %q", n.Name, member.Node)
	}
	return member, err
}

func (d *delegate) NotifyJoin(n *memberlist.Node) {
	if d.take(n) && n.Name != d.config.Name {
		d.log.Info("member joined", "peer", n.Name, "address", address(n))
	}
}

func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.take(n) }

func (d *delegate) take(n *memberlist.Node) bool {
	node := *n
	node.Addr, node.Meta = slices.Clone(n.Addr), bytes.Clone(n.Meta)
	// NotifyAlive has just let it in, so it's refused only if its certificate ended in between.
	member, err := d.identify(&node)
	d.table.put(entry{node: node, member: member, refused: err != nil})
	d.inbox.change()
	return err == nil
}

func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if e, ok := d.table.lose(n.Name); ok {
		d.forget(health.NodeID(n.Name))
		d.inbox.change()
		if n.Name != d.config.Name { // which leaves by itself
			d.log.Warn("member lost", "peer", n.Name, "region", e.member.Region, "address", address(&e.node))
		}
	}
}

// NotifyConflict hears of two live nodes of one name: one moved and the loss of the old address isn't known yet, or
// a certificate is used twice.
func (d *delegate) NotifyConflict(*memberlist.Node, *memberlist.Node) {
	d.metrics.refused.WithLabelValues(refusedConflict).Inc()
}

// The limits of what waits for the callbacks.
const (
	inboxDepth = 4096 // messages, of at most MaxMessage; those of a packet's size are 5 MB
	stateDepth = 8
	knockDepth = 64
	settle     = 50 * time.Millisecond // how long changes of membership are gathered
)

// an inbox is what waits for the one goroutine of the callbacks.
type inbox struct {
	messages chan message
	states   chan message
	knocks   chan health.NodeID
	changed  chan struct{} // holds one: members have changed
}

type message struct {
	kind    byte
	payload []byte
	arrived time.Time
}

func newInbox() inbox {
	return inbox{make(chan message, inboxDepth), make(chan message, stateDepth), make(chan health.NodeID, knockDepth), make(chan struct{}, 1)}
}

func (i *inbox) change() {
	select {
	case i.changed <- struct{}{}:
	default:
	}
}

// dispatch calls back, one at a time.
func (m *Mesh) dispatch() {
	var settled <-chan time.Time
	for m.ctx.Err() == nil {
		select {
		case <-m.ctx.Done():
		case msg := <-m.inbox.messages:
			if m.config.OnMessage != nil {
				m.config.OnMessage(msg.kind, msg.payload, msg.arrived)
			}
		case state := <-m.inbox.states:
			if m.config.MergeState != nil {
				m.config.MergeState(state.payload, state.arrived)
			}
		case name := <-m.inbox.knocks:
			if m.config.OnKnock != nil {
				m.config.OnKnock(name)
			}
		case <-m.inbox.changed:
			if settled == nil {
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			if m.config.OnMembers != nil {
				m.config.OnMembers(m.table.list())
			}
		}
	}
}
