package dashboard

import (
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// What nodes may disagree about.
const (
	differsWorld    = "configuration"
	differsSnapshot = "answers"
	differsControl  = "controls"
)

// A disagreement is one thing about which one node does not agree with the others.
type disagreement struct {
	node health.NodeID
	what string
}

// compared is a disagreement with its values at one moment.
type compared struct {
	disagreement
	have, want string
}

// A difference is a disagreement as a peer's line shows it.
type difference struct {
	What  string    `json:"what"`
	Since time.Time `json:"since"`
}

// disagreements compares what the living nodes say of themselves, in the order of the peers.
//
//	configuration   against what most have; equal numbers: this node's
//	answers         likewise, among those that answer; only where the configuration agrees, or it would say the same twice
//	controls        against the newest (epoch, index)
func disagreements(info NodeInfo) []compared {
	var worlds, snapshots ballot
	var epoch, index uint64
	for i := range info.Peers {
		p := &info.Peers[i]
		if !p.counts() {
			continue
		}
		self := p.Name == info.Name
		worlds.add(p.World, self)
		if p.Ready {
			snapshots.add(p.Snapshot, self)
		}
		if p.Epoch > epoch || p.Epoch == epoch && p.Index > index {
			epoch, index = p.Epoch, p.Index
		}
	}
	world, snapshot := worlds.most(), snapshots.most()
	var found []compared
	for i := range info.Peers {
		p := &info.Peers[i]
		if !p.counts() {
			continue
		}
		if p.World != world {
			found = append(found, compared{disagreement{p.Name, differsWorld}, p.World.String(), world.String()})
		} else if p.Ready && p.Snapshot != snapshot {
			found = append(found, compared{disagreement{p.Name, differsSnapshot}, p.Snapshot.String(), snapshot.String()})
		}
		if p.Epoch != epoch || p.Index != index {
			found = append(found, compared{disagreement{p.Name, differsControl}, place(p.Epoch, p.Index), place(epoch, index)})
		}
	}
	return found
}

func place(epoch, index uint64) string { return fmt.Sprintf("%d.%d", epoch, index) }

// A ballot counts digests. Among equals the one of this node wins, then the one that was named first.
type ballot struct {
	digests []health.Hash64
	votes   []int
	own     int // index of this node's digest, plus one
}

func (b *ballot) add(d health.Hash64, self bool) {
	at := -1
	for i := range b.digests {
		if b.digests[i] == d {
			at = i
		}
	}
	if at < 0 {
		at = len(b.digests)
		b.digests, b.votes = append(b.digests, d), append(b.votes, 0)
	}
	b.votes[at]++
	if self {
		b.own = at + 1
	}
}

func (b *ballot) most() health.Hash64 {
	best := b.own - 1
	for i, n := range b.votes {
		if best < 0 || n > b.votes[best] {
			best = i
		}
	}
	if best < 0 {
		return 0
	}
	return b.digests[best]
}

// since keeps the beginning of every disagreement that goes on. The result is a new map.
func since(before map[disagreement]time.Time, found []compared, now time.Time) map[disagreement]time.Time {
	after := make(map[disagreement]time.Time, len(found))
	for _, d := range found {
		begun, known := before[d.disagreement]
		if !known {
			begun = now
		}
		after[d.disagreement] = begun
	}
	return after
}
