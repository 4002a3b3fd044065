package dashboard

import (
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// NodeInfo is what is shown of the node itself and of the mesh as it sees it. It is immutable.
type NodeInfo struct {
	Name          health.NodeID     `json:"name"`
	Region        geo.RegionID      `json:"region"`
	Roles         []string          `json:"roles"`
	Version       string            `json:"version"`
	Started       time.Time         `json:"started"`
	Raft          string            `json:"raft,omitempty"`           // for people: "leader is eu1, 3 voters"; empty: no voters are configured
	Quorum        bool              `json:"quorum"`                   // the voters can decide, as far as the node knows
	Dropped       map[string]uint64 `json:"dropped,omitempty"`        // messages refused, by reason
	Abstains      string            `json:"abstains,omitempty"`       // why this voter does not vote; empty: it does, or is none
	NoVerdicts    string            `json:"no_verdicts,omitempty"`    // why this vantage gives none; empty: it does, or is none
	Dissents      []health.Dissent  `json:"dissents,omitempty"`       // of vantages that have said otherwise than all together for five minutes, at most 20
	Reaches       []health.Reach    `json:"reaches,omitempty"`        // what one region alone has seen up for as long, at most 20
	Refused       *Refusal          `json:"refused,omitempty"`        // nil: the configuration on disk is in force
	PlacesRefused *Refusal          `json:"places_refused,omitempty"` // nil: clients are placed by the databases and overrides as they are on disk
	Failing       *Failing          `json:"failing,omitempty"`        // nil: the node answers all zones, or is no nameserver
	Gossip        *Gossip           `json:"gossip,omitempty"`         // nil: the mesh is not open yet
	Peers         []Peer            `json:"-"`                        // ordered by name, this node included; shown by themselves
}

// Gossip is how words pass in the mesh.
type Gossip struct {
	Keys  []string     `json:"keys"`  // fingerprints of this node's keys, the one that it sends under first
	Peers []GossipPeer `json:"peers"` // ordered by name
}

// A GossipPeer is a member that this node passes words with: each way is unknown, works or fails.
type GossipPeer struct {
	Node    health.NodeID `json:"node"`
	UDPFrom string        `json:"udp_from"` // it to here
	UDPTo   string        `json:"udp_to"`   // as it says
	TCPFrom string        `json:"tcp_from"`
	TCPTo   string        `json:"tcp_to"`
	Trouble string        `json:"trouble,omitempty"` // in words; empty: nothing is known to fail
	Keys    []string      `json:"keys"`              // as Gossip.Keys; none: it has not said
}

// Failing are the zones that the node answers SERVFAIL, for it has no data or not the keys of them.
type Failing struct {
	Count int      `json:"count"`
	Zones []string `json:"zones"` // by apex; of many the first ten
}

// A Refusal says that files on disk were not taken, or not all of them.
type Refusal struct {
	Since time.Time `json:"since"`
	Text  string    `json:"text"`            // every mistake, one a line
	Zones []string  `json:"zones,omitempty"` // zone files, sorted, if they alone are refused and the rest is in force
}

// A Peer is what the node knows of one node of the mesh, itself included.
type Peer struct {
	Name     health.NodeID          `json:"name"`
	Region   geo.RegionID           `json:"region"`
	Roles    []string               `json:"roles"`
	Alive    bool                   `json:"alive"`
	Heard    time.Time              `json:"heard,omitzero"` // when the newest heartbeat came; zero: none yet, and what follows says nothing
	Ready    bool                   `json:"ready"`          // answers queries
	World    health.Hash64          `json:"world"`
	Snapshot health.Hash64          `json:"snapshot"`
	Epoch    uint64                 `json:"epoch"` // of the control state it obeys
	Index    uint64                 `json:"index"`
	Answers  []health.RegionAnswers `json:"answers,omitempty"`
}

// counts reports whether the peer's digests are to be compared: it lives and has said what they are.
func (p *Peer) counts() bool { return p.Alive && !p.Heard.IsZero() }
