package node

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A relay is what this node keeps of another's messages as they came, to pass them on.
type relay struct {
	incarnation uint64
	full        []byte   // the newest batch of all verdicts
	sequence    uint64   // of full
	changes     []change // later batches, each once, at most maxChanges
	heartbeat   []byte   // the newest
	latest      []byte   // the newest message of any kind
}

// A change is a batch of some verdicts, as it came.
type change struct {
	sequence uint64
	message  []byte
}

// maxChanges bounds what a relay keeps besides the full batch; what is lost is pulled.
const (
	maxChanges     = 64
	maxChangeBytes = 4096 // an honest node sends changes in packets
)

// maxIncarnation is far beyond any clock in milliseconds, and far from where numbers end.
const maxIncarnation = 1 << 60

// droppedOld counts messages that are not newer than what is known: the network brought them twice or late, or somebody plays them again.
const droppedOld = "old"

// lateHeartbeats is how many heartbeats behind one may be that the network held up.
const lateHeartbeats = 20

// Receive takes a message of another node in, directly or passed on, that arrived at a time that may be past: whoever drives the node may have been
// kept from it, and what lay there meanwhile shows no sign of life of now. A message that is malformed, badly signed or of a
// node that is not a member is counted and changes nothing.
func (n *Node) Receive(message []byte, arrived, now time.Time) {
	n.at(now)
	stranger, known := false, false
	kind, origin, body, err := health.Open(message, func(origin health.NodeID, signed, signature []byte) bool {
		m := n.members[origin]
		stranger, known = m == nil, n.knows(origin, message)
		return known || m != nil && m.Key != [32]byte{} && n.cfg.Verify(m.Key, signed, signature)
	})
	switch {
	case known: // as most of what others pass on
		n.dropped["again"]++
		return
	case stranger:
		n.dropped["stranger"]++ // not news: a node's first messages may outrun the word that it joined
		return
	case err != nil:
		n.drop("message", err.Error())
		return
	}
	switch kind {
	case health.KindHeartbeat:
		err = n.hear(origin, body, message, arrived)
	case health.KindVerdicts:
		err = n.verdicts(origin, body, message)
	case health.KindPull:
		err = n.pulled(origin, body)
	case health.KindSamples:
		err = n.samples(origin, body)
	case health.KindServing:
		err = n.serving(origin, body)
	case health.KindDemand:
		err = n.demand(origin, body)
	default:
		err = fmt.Errorf("%w: %v", health.ErrMessage, kind)
	}
	if err != nil {
		n.drop(kind.String(), fmt.Sprintf("from %s: %v", origin, err))
	}
}

func (n *Node) hear(origin health.NodeID, body, message []byte, arrived time.Time) error {
	h, err := health.ParseHeartbeat(origin, body)
	if err != nil {
		return err
	}
	if origin == n.cfg.Name {
		if h.Incarnation > n.incarnation || h.Incarnation == n.incarnation && h.Sequence > n.heartbeats {
			n.outlive(h.Incarnation)
		}
		return nil
	}
	m := n.members[origin]
	r := n.relayOf(origin, h.Incarnation)
	if h.Incarnation < r.incarnation || m.heartbeat != nil && h.Incarnation == m.heartbeat.Incarnation && h.Sequence <= m.heartbeat.Sequence {
		n.dropped[droppedOld]++
		n.remind(m, r, h)
		return nil
	}
	if arrived.Sub(m.heard) > health.FreshFor {
		n.back[m.Region] = true
	}
	m.heartbeat, m.heard = h, arrived
	r.heartbeat = slices.Clone(message)
	r.latest = r.heartbeat
	n.viewChanged = true
	if !n.table.Hear(h, arrived) {
		m.pulls, m.missing = 0, time.Time{}
		return nil
	}
	if m.missing.IsZero() {
		m.missing = n.now
	}
	n.exchange(m)
	if m.pulledIn != h.Incarnation || m.pulledFor < h.Verdicts { // this is not what the last pull did not help with
		m.pulls = 0
	}
	if wait := min(pullEvery<<max(0, min(m.pulls, 7)-2), pullAtLeast); n.now.Sub(m.pulled) >= wait {
		m.pulled, m.pulledIn, m.pulledFor = n.now, h.Incarnation, h.Verdicts
		pull := health.Pull{Of: origin}
		n.send(n.helper(origin, m.pulls), health.KindPull, pull.Append(nil))
		m.pulls++
	}
	return nil
}

// exchange is the last resort, for verdicts that neither messages nor pulls have brought: with each of the others in turn, over a stream.
func (n *Node) exchange(m *member) {
	if n.now.Sub(m.missing) < exchangeAfter || n.now.Sub(n.exchanged) < exchangeEvery {
		return
	}
	n.exchanged = n.now
	n.out.Exchange = n.helper(m.Node, pullsOfOrigin+n.exchanges)
	n.exchanges++
}

// remind shows a node that lost its state how far it had come. A heartbeat that is only a little late, or twice, is the
// network's.
func (n *Node) remind(m *member, r *relay, h *health.Heartbeat) {
	proof := r.latest
	if h.Incarnation == r.incarnation {
		proof = r.heartbeat
		if h.Sequence+lateHeartbeats >= m.heartbeat.Sequence {
			return
		}
	}
	if proof == nil || n.now.Sub(m.reminded) < pullEvery {
		return
	}
	m.reminded = n.now
	n.pass(m.Node, health.KindHeartbeat, proof)
}

// pullsOfOrigin is how often a node is asked for its own verdicts before others are.
const pullsOfOrigin = 2

// helper returns whom to ask for a node's verdicts: that node twice, and then every node in turn, itself included.
func (n *Node) helper(origin health.NodeID, pulls int) health.NodeID {
	if pulls < pullsOfOrigin {
		return origin
	}
	var helpers []health.NodeID
	for _, id := range slices.Sorted(maps.Keys(n.alive)) {
		if id != n.cfg.Name && id != origin {
			helpers = append(helpers, id)
		}
	}
	helpers = append(helpers, origin)
	return helpers[(pulls-pullsOfOrigin)%len(helpers)]
}

func (n *Node) relayOf(origin health.NodeID, incarnation uint64) *relay {
	r := n.relay[origin]
	if r == nil || r.incarnation < incarnation {
		r = &relay{incarnation: incarnation}
		n.relay[origin] = r
	}
	return r
}

func (n *Node) verdicts(origin health.NodeID, body, message []byte) error {
	b, err := health.ParseBatch(origin, body)
	if err != nil {
		return err
	}
	if origin == n.cfg.Name {
		if b.Incarnation > n.incarnation || b.Incarnation == n.incarnation && b.Sequence > n.voice.sequence {
			n.outlive(b.Incarnation)
		}
		return nil
	}
	if !n.members[origin].Roles.Has(health.RoleProbe) {
		return fmt.Errorf("%w: %s is no probe node", health.ErrMessage, origin)
	}
	n.table.Merge(b)
	n.viewChanged = true
	n.relayOf(origin, b.Incarnation).keep(b, slices.Clone(message))
	return nil
}

// keep takes a batch of verdicts in, as it came. It owns the message.
func (r *relay) keep(b *health.Batch, message []byte) {
	if b.Incarnation < r.incarnation {
		return
	}
	r.latest = message
	switch {
	case b.Full && (r.full == nil || b.Sequence >= r.sequence):
		r.full, r.sequence = message, b.Sequence
		r.changes = slices.DeleteFunc(r.changes, func(c change) bool { return c.sequence <= b.Sequence })
	case !b.Full && b.Sequence > r.sequence && len(r.changes) < maxChanges && len(message) <= maxChangeBytes &&
		!slices.ContainsFunc(r.changes, func(c change) bool { return c.sequence == b.Sequence }):
		r.changes = append(r.changes, change{b.Sequence, message})
	}
}

// knows reports whether a message has verdicts that are here already, so that its signature makes no difference. Most that nodes pass on to each
// other is such, and when a partition ends all of it comes from every peer.
func (n *Node) knows(origin health.NodeID, message []byte) bool {
	r := n.relay[origin]
	if r == nil {
		return false
	}
	if merged, _, _ := n.table.Vector(origin); merged < r.incarnation {
		return false // it was no vantage for a while, and the table forgot it
	}
	incarnation, sequence, ok := health.BatchNumbers(message)
	return ok && (incarnation == r.incarnation && r.full != nil && sequence <= r.sequence ||
		slices.ContainsFunc(r.changes, func(c change) bool { return bytes.Equal(c.message, message) }))
}

// outlive jumps past an incarnation of this node that peers remember and it does not: its disk was lost. Otherwise
// everything it says would be taken for old. A number that leaves no room above it can't be an honest one.
func (n *Node) outlive(incarnation uint64) {
	if incarnation > maxIncarnation {
		return
	}
	records := n.table.Records(n.cfg.Name)
	n.incarnation = incarnation + 1
	n.persistIncarnation()
	n.event(health.EventRecovered, string(n.cfg.Name), fmt.Sprintf("peers remember incarnation %d: going on as %d", incarnation, n.incarnation))
	n.table.Merge(&health.Batch{Origin: n.cfg.Name, Incarnation: n.incarnation, Sequence: n.voice.sequence, Full: true, Records: records})
	n.broadcast(health.KindVerdicts, n.everything())
	n.nextHeartbeat = n.now
}

// pulled answers a request for verdicts with what this node has of them.
func (n *Node) pulled(origin health.NodeID, body []byte) error {
	p, err := health.ParsePull(origin, body)
	asked := n.members[origin]
	if err != nil || origin == n.cfg.Name || n.members[p.Of] == nil || n.now.Sub(asked.served[p.Of]) < pullEvery {
		return err
	}
	asked.served[p.Of] = n.now
	if p.Of == n.cfg.Name {
		n.send(origin, health.KindVerdicts, n.everything())
		return nil
	}
	if r := n.relay[p.Of]; r != nil {
		for _, message := range r.verdicts() {
			n.pass(origin, health.KindVerdicts, message)
		}
	}
	return nil
}

// verdicts are all messages with verdicts that are kept.
func (r *relay) verdicts() [][]byte {
	var messages [][]byte
	if r.full != nil {
		messages = append(messages, r.full)
	}
	for _, c := range r.changes {
		messages = append(messages, c.message)
	}
	return messages
}

// pass sends a message on as it came.
func (n *Node) pass(to health.NodeID, kind health.MessageKind, message []byte) {
	n.out.Messages = append(n.out.Messages, health.Message{To: to, Kind: kind, Bytes: message})
}

// pushPull is what a peer that asks for everything gets.
func (n *Node) pushPull() [][]byte {
	var messages [][]byte
	if n.cfg.Roles.Has(health.RoleProbe) {
		messages = append(messages, health.Seal(health.KindVerdicts, n.cfg.Name, n.everything(), n.cfg.Sign))
	}
	for _, id := range slices.Sorted(maps.Keys(n.relay)) {
		messages = append(messages, n.relay[id].verdicts()...)
	}
	return messages
}
