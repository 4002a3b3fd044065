package node

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health"
)

const (
	servingEvery = 10 * time.Second
	servingFresh = 35 * time.Second // three may be lost
)

// A Clock is how a node's clock stands to those of its peers.
type Clock struct {
	Fit   bool          // to make signatures by: not outvoted by theirs
	Off   bool          // further from their median than dnssec.MaxClockOffset
	Ahead time.Duration // how far the median is ahead of it
	Peers int           // that were heard of late
}

// Serves tells the node which keys its nameserver signs by now.
func (n *Node) Serves(keys []health.ServedKeys, now time.Time) {
	n.at(now)
	if !slices.Equal(n.serves, keys) {
		n.serves, n.nextServing = keys, now // what waits for it should not wait longer than it must
	}
}

// Note puts an event into the journal that its driver knows of.
func (n *Node) Note(kind health.EventKind, subject, text string, now time.Time) {
	n.at(now)
	n.event(kind, subject, text)
}

// tellServing tells every node what this one's clock shows and which keys it serves, and looks at its clock.
func (n *Node) tellServing() {
	if n.now.Before(n.nextServing) {
		return
	}
	n.nextServing = n.now.Add(servingEvery)
	n.servings++
	s := &health.Serving{Origin: n.cfg.Name, Incarnation: n.incarnation, Sequence: n.servings, Time: n.now, Keys: n.serves}
	self := n.members[n.cfg.Name]
	self.serving, self.servingHeard = s, n.now
	n.broadcast(health.KindServing, s.Append(nil))
	n.compareClocks()
	n.viewChanged = true
}

// serving takes in what another node serves; an older word than the last is a replay.
func (n *Node) serving(origin health.NodeID, body []byte) error {
	s, err := health.ParseServing(origin, body)
	if err != nil || origin == n.cfg.Name {
		return err
	}
	m := n.members[origin]
	if last := m.serving; last != nil && (s.Incarnation < last.Incarnation || s.Incarnation == last.Incarnation && s.Sequence <= last.Sequence) {
		return nil
	}
	m.serving, m.servingHeard, m.ahead = s, n.now, s.Time.Sub(n.now)
	n.compareClocks()
	n.viewChanged = true
	return nil
}

// compareClocks judges this node's clock by those of the peers it heard of late.
func (n *Node) compareClocks() {
	var ahead []time.Duration
	for _, id := range slices.Sorted(maps.Keys(n.alive)) {
		if m := n.members[id]; id != n.cfg.Name && m.serving != nil && n.now.Sub(m.servingHeard) <= servingFresh {
			ahead = append(ahead, m.ahead)
		}
	}
	was, median := n.clock, dnssec.Median(ahead)
	n.clock = Clock{Off: median.Abs() > dnssec.MaxClockOffset, Ahead: median, Peers: len(ahead)}
	n.clock.Fit = dnssec.ClockFit(ahead)
	if n.clock.Fit == was.Fit && n.clock.Off == was.Off {
		return
	}
	text := "signatures are made again"
	switch {
	case !n.clock.Fit:
		text = fmt.Sprintf("more than %v: no signatures are made, those that there are serve", dnssec.MaxClockOffset)
	case n.clock.Off:
		text = fmt.Sprintf("more than %v, but most clocks are not against it: signatures are made", dnssec.MaxClockOffset)
	case was.Fit:
		text = "which is near enough again"
	}
	n.event(health.EventClock, string(n.cfg.Name), fmt.Sprintf("%v off the median of %d peers, %s", median.Round(time.Second), len(ahead), text))
}
