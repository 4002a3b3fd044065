// Package node is one node's whole decision-making without the world: events in, Ready out.
//
// It decides which targets this node probes, what its verdicts are and whom they are sent
// to, merges what other nodes say, and publishes a snapshot whenever health, a control or
// the configuration changed what is answered.
//
// It opens no socket and no file, starts no goroutine, and never reads a clock: every event
// comes with its time, which must not go back. What it wants done it says in Ready, and
// whoever drives it must do that in Ready's order. Given the same events, it does the same.
package node

import (
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

// Periods of what a node does unasked.
const (
	heartbeatEvery   = time.Second
	hastyBeat        = heartbeatEvery / 4 // after the last, at least, where somebody waits for it
	fullEvery        = 30 * time.Second   // all verdicts, changed or not
	repeatAfter      = heartbeatEvery / 4 // changes are sent twice: to miss one costs a second or two
	publishEvery     = 100 * time.Millisecond
	pullEvery        = time.Second // per vantage, and from the third that did not help on twice as long each time
	pullAtLeast      = 5 * time.Second
	exchangeAfter    = 10 * time.Second // of pulls that did not help
	exchangeEvery    = 30 * time.Second // whatever is missing
	reportEvery      = time.Minute      // round-trip times
	saveEvery        = 5 * time.Second
	saveSamplesEvery = 10 * time.Minute
	forgetAfter      = 24 * time.Hour // a member that is gone no longer counts as a vantage
)

// Config says which node this is. It is not changed.
type Config struct {
	Name   health.NodeID
	Region geo.RegionID
	Roles  health.Roles
	Key    [32]byte // Ed25519 public key, of its certificate
	Sign   func(message []byte) (signature []byte)
	Verify func(key [32]byte, message, signature []byte) bool
}

// Names of records.
const (
	RecordIncarnation = "incarnation"
	RecordControls    = "controls"
	RecordStatuses    = "statuses"
	RecordMembers     = "members"
	RecordSamples     = "samples"
)

// A Record is a piece of state on disk; a newer one replaces an older one of the same name.
type Record struct {
	Name string
	Data []byte
	Sync bool // must be on disk before the messages of the same Ready are sent
}

// Ready is what a node wants done, in this order. Nil means: nothing.
type Ready struct {
	Persist  []Record
	Messages []health.Message
	Probes   *health.Assignment
	Retry    []health.CheckID // what of these failed is to be probed again at once
	Snapshot *zones.Snapshot
	View     *View
	PushPull [][]byte      // what to hand to peers that ask for everything
	Exchange health.NodeID // whom to ask for everything, and hand it everything
	Orders   *rtt.Orders   // the world is to be compiled again by these
	Count    bool          // an epoch of the demand has ended: what came in it is to be handed to Counted
	Events   []health.Event
	Wake     time.Time // when to tick at the latest
}

// A View is an immutable picture of a node, for people.
type View struct {
	Node      health.NodeID
	Region    geo.RegionID
	Started   time.Time
	Health    *health.View
	Control   *control.State
	Plan      *zones.Plan
	Snapshot  health.Hash64
	Peers     []Peer // ordered by name, this node included
	Clock     Clock
	Dropped   map[string]uint64 // messages refused, by reason
	Forgotten uint64            // counts of round-trip times that there was no room for
	Loads     []zones.Load      // what members with a capacity get, as the last two minutes' demand predicts
	Abstains  health.Reason     // why this node's vantage gives no verdicts; ReasonNone: it does
	Dissents  []health.Dissent  // of vantages that have said otherwise than all together for long
	Reaches   []health.Reach    // what only one region has seen up for long
}

// A Peer is what a node knows of another one.
type Peer struct {
	health.Member
	Alive     bool
	Heartbeat *health.Heartbeat // the newest; nil before the first
	Heard     time.Time
	Serving   *health.Serving // the newest; nil before the first
	Served    time.Time       // when that was heard
}

// A Node is the state of one node. One goroutine owns it.
type Node struct {
	cfg     Config
	started time.Time
	now     time.Time

	table       *health.Table
	doubt       doubt
	opposition  opposition
	incarnation uint64
	voice       voice
	members     map[health.NodeID]*member
	alive       map[health.NodeID]bool
	back        map[geo.RegionID]bool // regions of which a node was heard again, since the last Ready
	relay       map[health.NodeID]*relay
	exchanged   time.Time // when Ready last had an Exchange
	exchanges   int

	plan     *zones.Plan
	control  *control.State
	unsaved  bool // control is newer than on disk
	snapshot *zones.Snapshot
	change   zones.Change
	urgent   bool // publish without waiting for company
	stale    bool // something changed that a publish would show

	model  *rtt.Model
	digest *rtt.Digest // of this node's gateway

	ledger  *demand.Ledger
	counted uint64 // epoch in which the host was last asked to count
	told    uint64 // messages about the demand
	loads   []zones.Load
	loaded  uint64 // epoch of which they are

	serves   []health.ServedKeys
	servings uint64 // messages about them
	clock    Clock

	answers       []health.RegionAnswers
	heartbeats    uint64
	nextHeartbeat time.Time
	nextFull      time.Time
	nextReport    time.Time
	nextServing   time.Time
	nextSave      time.Time
	nextSamples   time.Time // when those of this node's gateway are saved
	lastPublish   time.Time
	lastView      time.Time
	viewChanged   bool
	statusWake    time.Time

	journal uint64 // sequence of the last event
	dropped map[string]uint64
	out     Ready
}

// New starts a node with what an earlier run left on disk. A record that can't be read is said in an event and taken as
// missing.
func New(cfg Config, saved []Record, now time.Time) *Node {
	n := &Node{
		cfg: cfg, started: now, now: now, table: health.NewTable(cfg.Region, now),
		members: make(map[health.NodeID]*member), alive: make(map[health.NodeID]bool), back: make(map[geo.RegionID]bool),
		relay: make(map[health.NodeID]*relay), model: rtt.New(), digest: rtt.NewDigest(rtt.MaxDigest),
		ledger: demand.NewLedger(string(cfg.Name), now), dropped: make(map[string]uint64), viewChanged: true, clock: Clock{Fit: true},
		nextHeartbeat: now, nextFull: now.Add(fullEvery), nextReport: now.Add(reportEvery), nextServing: now, nextSave: now.Add(saveEvery),
		nextSamples: now.Add(saveSamplesEvery),
	}
	n.voice.init()
	for _, r := range saved {
		if err := n.load(r); err != nil {
			n.event(health.EventRecovered, r.Name, fmt.Sprintf("state on disk can't be read, going on without it: %v", err))
		}
	}
	// A node that lost its disk, or got an old one back, must not go by a number that its former self has used: peers would
	// take what they remember of that one for its own. The clock is past those numbers, unless it was wrong; see outlive.
	n.incarnation = max(n.incarnation+1, uint64(now.UnixMilli()))
	n.persistIncarnation()
	n.remember(n.self(health.Member{}))
	n.alive[cfg.Name] = true
	n.table.SetVantages(n.vantages())
	return n
}

// Tick tells the node the time. Every event does; a tick is for when nothing else happens by Ready.Wake.
func (n *Node) Tick(now time.Time) { n.at(now) }

func (n *Node) at(now time.Time) {
	if now.Before(n.now) {
		panic(fmt.Sprintf("node %s: time goes back from %v to %v", n.cfg.Name, n.now, now))
	}
	n.now = now
}

// Ready returns what is to be done after the events so far, and forgets it.
func (n *Node) Ready() Ready {
	n.retry()
	n.withdrawSilent()
	n.speak()
	n.beat()
	n.tellServing()
	before := n.table.View()
	changed, wake := n.table.Advance(n.now)
	n.statusWake = wake
	n.noteStatuses(before, changed)
	n.noteMass(before)
	n.lookForDissent()
	n.reportSamples()
	n.learn()
	n.spread()
	n.expire()
	n.publish()
	n.predict()
	n.show()
	n.save()
	ready := n.out
	n.out = Ready{}
	ready.Wake = n.wake()
	return ready
}

// wake returns the next time at which time alone makes the node act.
func (n *Node) wake() time.Time {
	at := n.nextHeartbeat
	for _, t := range []time.Time{n.voice.repeat, n.nextFull, n.nextReport, n.nextServing, n.nextSave, n.statusWake} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	if n.snapshot != nil {
		if end := n.snapshot.Expires(); !end.IsZero() && end.Before(at) {
			at = end
		}
	}
	if next := demand.Next(n.now); n.capped() && next.Before(at) {
		at = next
	}
	if due := n.lastPublish.Add(publishEvery); n.stale && n.plan != nil && due.Before(at) {
		at = due
	}
	return at
}

func (n *Node) event(kind health.EventKind, subject, text string) {
	n.journal++
	n.out.Events = append(n.out.Events, health.Event{Sequence: n.journal, Time: n.now, Kind: kind, Subject: subject, Text: text})
}

// drop counts a message that was refused. Only the first of a reason is an event: a sender of garbage must not fill the
// journal.
func (n *Node) drop(reason, text string) {
	if n.dropped[reason] == 0 {
		n.event(health.EventDropped, reason, text)
	}
	n.dropped[reason]++
	n.viewChanged = true
}
