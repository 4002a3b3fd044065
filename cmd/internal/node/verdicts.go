package node

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A verdict is withdrawn after so long without a finished probe.
const (
	silentIntervals = 3
	silentAtLeast   = 12 * time.Second // a probe may take 10 s, with the shortest intervals too
)

// recordsPerMessage keeps a batch of changes within a datagram of 1200 bytes.
const recordsPerMessage = 55

// A voice is what this node says as a vantage.
type voice struct {
	assigned map[health.CheckID]*assigned
	probes   *health.Assignment
	sequence uint64    // of the newest change
	told     uint64    // up to which changes were sent
	twice    uint64    // up to which they were sent again
	repeat   time.Time // when the others are; zero: there are none
}

// assigned is a target that this node probes.
type assigned struct {
	target     *health.Target
	definition uint32
	detector   *health.Detector
	reference  bool      // tells whether this vantage sees the world at all, and is no verdict
	finished   time.Time // when a probe last ended, or the target was assigned
	since      time.Time // when the detector last changed its mind; zero: it never did
	attempts   attempts
}

func (v *voice) init() { v.assigned = make(map[health.CheckID]*assigned) }

// reassign follows a change of targets or vantages.
func (n *Node) reassign() {
	if !n.cfg.Roles.Has(health.RoleProbe) {
		return
	}
	targets := n.table.Assigned(n.cfg.Name)
	references := len(targets)
	if n.plan != nil {
		targets = append(targets, referencesOf(n.plan, n.cfg.Region)...)
	}
	if n.voice.probes != nil && slices.EqualFunc(targets, n.voice.probes.Targets, sameTarget) {
		return
	}
	before := n.voice.assigned
	n.voice.assigned = make(map[health.CheckID]*assigned, len(targets))
	for i, t := range targets {
		a := before[t.ID]
		if definition := t.Digest(); a == nil || a.definition != definition {
			a = &assigned{target: t, definition: definition, detector: health.NewDetector(t.Fall, t.Rise, t.Rules.Damping), reference: i >= references, finished: n.now}
		}
		n.voice.assigned[t.ID] = a
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if n.voice.assigned[id] != before[id] && !before[id].reference {
			n.say(before[id], health.Unknown, health.ReasonNone)
		}
	}
	n.voice.probes = &health.Assignment{Targets: targets}
	n.out.Probes = n.voice.probes
}

// Observe takes the result of a probe in. Results for what is no longer assigned are ignored.
func (n *Node) Observe(r health.Result, now time.Time) {
	n.at(now)
	a := n.voice.assigned[r.Check]
	if a == nil || a.definition != r.Definition {
		return
	}
	a.finished = now
	a.attempts.add(&r)
	before := a.detector.State()
	state, changed := a.detector.Observe(r.Reason, now)
	if state == health.Unknown {
		return
	}
	if changed {
		n.eventBy(health.EventVerdict, r.Check, fmt.Sprintf("%v: %s", state, r.Detail),
			&health.Evidence{Before: before, After: state, Since: a.since, Attempts: a.attempts.list()})
		a.since = now
	}
	if changed && a.reference {
		n.reconsider() // before the next verdict is said
	}
	n.sayAsSeen(a)
}

// sayAsSeen publishes what the detector of a target says, or why this vantage says nothing.
func (n *Node) sayAsSeen(a *assigned) {
	switch why := n.doubt.reason(a.target); {
	case a.reference:
	case why != health.ReasonNone:
		n.say(a, health.Unknown, why)
	default:
		n.say(a, a.detector.State(), a.detector.Reason())
	}
}

func sameTarget(a, b *health.Target) bool {
	return a == b || a.ID == b.ID && strings.HasPrefix(string(a.ID), referencePrefix) && a.Digest() == b.Digest()
}

// withdrawSilent takes back the verdicts whose probes have stopped ending. It looks before each heartbeat.
func (n *Node) withdrawSilent() {
	if n.now.Before(n.nextHeartbeat) {
		return
	}
	var silent []health.CheckID
	for id, a := range n.voice.assigned {
		if !a.reference && n.now.Sub(a.finished) > max(silentIntervals*a.target.Interval, silentAtLeast) {
			silent = append(silent, id)
		}
	}
	slices.Sort(silent)
	for _, id := range silent {
		n.say(n.voice.assigned[id], health.Unknown, health.ReasonNone)
	}
}

// say changes what this node publishes of one check, if it differs.
func (n *Node) say(a *assigned, state health.State, reason health.Reason) {
	record := health.Record{Check: a.target.ID.Key(), Definition: a.definition, State: state, Reason: reason,
		Proven: state != health.Unknown && n.table.Proven(a.target.ID)}
	if last, said := n.table.Record(n.cfg.Name, record.Check); said == (state != health.Unknown || reason.Abstains()) &&
		(!said || last.Definition == record.Definition && last.State == state && last.Reason == reason && last.Proven == record.Proven) {
		return
	}
	n.voice.sequence++
	record.Sequence = n.voice.sequence
	n.table.Merge(&health.Batch{Origin: n.cfg.Name, Incarnation: n.incarnation, Sequence: record.Sequence, Records: []health.Record{record}})
}

// speak sends what changed since the last time to every node, and soon after once more, and everything now and then.
func (n *Node) speak() {
	v := &n.voice
	if !v.repeat.IsZero() && !n.now.Before(v.repeat) {
		n.tellSince(v.twice)
		v.twice, v.told, v.repeat = v.sequence, v.sequence, time.Time{}
	}
	if v.told < v.sequence {
		n.tellSince(v.told)
		v.told = v.sequence
		if v.repeat.IsZero() {
			v.repeat = n.now.Add(repeatAfter)
		}
	}
	if n.now.Before(n.nextFull) {
		return
	}
	n.nextFull = n.now.Add(fullEvery)
	if n.cfg.Roles.Has(health.RoleProbe) {
		n.broadcast(health.KindVerdicts, n.everything())
	}
	n.out.PushPull = n.pushPull()
	n.forget()
}

// tellSince sends every node what changed since a change.
func (n *Node) tellSince(sequence uint64) {
	for chunk := range slices.Chunk(n.table.Since(n.cfg.Name, sequence), recordsPerMessage) {
		batch := health.Batch{Incarnation: n.incarnation, Sequence: chunk[len(chunk)-1].Sequence, Records: chunk}
		n.broadcast(health.KindVerdicts, batch.Append(nil))
	}
}

// everything is a batch of all verdicts of this node.
func (n *Node) everything() []byte {
	batch := health.Batch{Incarnation: n.incarnation, Sequence: n.voice.sequence, Full: true, Records: n.table.Records(n.cfg.Name)}
	return batch.Append(nil)
}

// beat sends the heartbeat, and hears it itself: a node's own vantage is as fresh as its clock.
func (n *Node) beat() {
	if n.now.Before(n.nextHeartbeat) {
		return
	}
	n.nextHeartbeat = n.now.Add(heartbeatEvery)
	n.reconsider()
	n.heartbeats++
	h := &health.Heartbeat{Origin: n.cfg.Name, Incarnation: n.incarnation, Sequence: n.heartbeats, Ready: n.snapshot != nil, Answers: n.answers}
	_, h.Verdicts, h.Digest = n.table.Vector(n.cfg.Name)
	if n.plan != nil {
		h.World = n.plan.World.Digest
	}
	if n.snapshot != nil {
		h.Snapshot = n.snapshot.Digest
		if c := n.snapshot.Control; c != nil { // what is answered by, not what was heard of
			h.Epoch, h.Index = c.Epoch, c.Index
		}
	}
	n.table.Hear(h, n.now)
	n.members[n.cfg.Name].heartbeat, n.members[n.cfg.Name].heard = h, n.now
	n.viewChanged = true
	n.broadcast(health.KindHeartbeat, h.Append(nil))
}

func (n *Node) broadcast(kind health.MessageKind, body []byte) { n.send("", kind, body) }

func (n *Node) send(to health.NodeID, kind health.MessageKind, body []byte) {
	sealed := health.Seal(kind, n.cfg.Name, body, n.cfg.Sign)
	n.out.Messages = append(n.out.Messages, health.Message{To: to, Kind: kind, Bytes: sealed})
}

func appendUint64(b []byte, numbers ...uint64) []byte {
	for _, x := range numbers {
		b = binary.BigEndian.AppendUint64(b, x)
	}
	return b
}
