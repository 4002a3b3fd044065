package dashboard

import (
	"net/http"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// A status is the answer to "is all well?" as one node sees it.
type status struct {
	Now      time.Time    `json:"now"`
	Level    level        `json:"level"`   // of the worst finding
	Summary  string       `json:"summary"` // one line
	Findings []finding    `json:"findings"`
	More     int          `json:"more,omitempty"` // findings that are not listed
	Node     NodeInfo     `json:"node"`
	Peers    []peerView   `json:"peers"`
	Control  controlMark  `json:"control"`
	Snapshot snapshotMark `json:"snapshot"`
	Versions versions     `json:"versions"`
}

// A peerView is a peer and what it does not agree about.
type peerView struct {
	Peer
	Differs []difference `json:"differs,omitempty"`
}

type controlMark struct {
	Known       bool          `json:"known"`
	Epoch       uint64        `json:"epoch"`
	Index       uint64        `json:"index"`
	Time        time.Time     `json:"time,omitzero"` // of the last entry
	Definitions health.Hash64 `json:"definitions"`
}

type snapshotMark struct {
	Known     bool          `json:"known"`
	Digest    health.Hash64 `json:"digest"`
	World     health.Hash64 `json:"world"`
	Published time.Time     `json:"published,omitzero"`
	Age       float64       `json:"age_seconds"`
}

// versions rise when what the routes of these names return has changed. They begin anew with the process.
type versions struct {
	Checks   uint64 `json:"checks"`
	Pools    uint64 `json:"pools"`
	Controls uint64 `json:"controls"`
}

// A scene is all that one response is made from: the source's values, read once.
type scene struct {
	now      time.Time
	node     NodeInfo
	health   *health.View
	control  *control.State
	snapshot *zones.Snapshot
}

func (s *Server) scene(now time.Time) scene {
	c := scene{now: now, node: s.src.Node(), health: s.src.Health(), control: s.src.Control(), snapshot: s.src.Snapshot()}
	if c.health == nil {
		c.health = &health.View{}
	}
	return c
}

// A tracker remembers what a scene can't say: since when nodes differ, and what changed since the scene before.
type tracker struct {
	since    map[disagreement]time.Time
	versions versions
	health   *health.View
	control  *control.State
	snapshot *zones.Snapshot
	plan     *zones.Plan
	quorum   bool
}

func (t *tracker) follow(c scene) {
	var plan *zones.Plan
	if c.snapshot != nil {
		plan = c.snapshot.Plan
	}
	if t.versions.Checks == 0 || t.health != c.health || t.control != c.control || t.plan != plan {
		t.versions.Checks++
	}
	if t.versions.Pools == 0 || t.snapshot != c.snapshot {
		t.versions.Pools++
	}
	if t.versions.Controls == 0 || t.control != c.control || t.plan != plan || t.quorum != c.node.Quorum {
		t.versions.Controls++
	}
	t.health, t.control, t.snapshot, t.plan, t.quorum = c.health, c.control, c.snapshot, plan, c.node.Quorum
	t.since = since(t.since, disagreements(c.node), c.now)
}

func (s *Server) follow(c scene) (versions, map[disagreement]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracker.follow(c)
	return s.tracker.versions, s.tracker.since
}

// status says how things stand in a scene.
func (s *Server) status(c scene) status {
	versions, differing := s.follow(c)
	st := status{Now: c.now, Node: c.node, Versions: versions, Findings: find(c, differing)}
	st.Level, st.Summary = conclude(c, st.Findings)
	if n := len(st.Findings); n > maxFindings {
		st.Findings, st.More = st.Findings[:maxFindings], n-maxFindings
	}
	byNode := make(map[health.NodeID][]difference)
	for _, d := range disagreements(c.node) {
		byNode[d.node] = append(byNode[d.node], difference{d.what, differing[d.disagreement]})
	}
	st.Peers = []peerView{}
	for _, p := range c.node.Peers {
		st.Peers = append(st.Peers, peerView{p, byNode[p.Name]})
	}
	st.Control.Definitions = c.control.Digest()
	if c.control != nil {
		st.Control.Known, st.Control.Epoch, st.Control.Index, st.Control.Time = true, c.control.Epoch, c.control.Index, c.control.Time
	}
	if snap := c.snapshot; snap != nil {
		st.Snapshot = snapshotMark{true, snap.Digest, snap.Plan.World.Digest, snap.Published, c.now.Sub(snap.Published).Seconds()}
	}
	return st
}

func (s *Server) getStatus(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.status(s.scene(time.Now())))
}
