package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

const (
	aliveEvery  = time.Second
	aliveWithin = 5 * time.Second // silence until a subscriber connects anew
	pushWithin  = 30 * time.Second
	retryFirst  = 100 * time.Millisecond
	retryMost   = 2 * time.Second
)

// A hello says what the subscriber has; voters want no states, raft brings them.
type hello struct {
	Epoch  uint64 `json:"epoch"`
	Index  uint64 `json:"index"`
	States bool   `json:"states"`
}

// alive says where a voter stands.
type alive struct {
	Epoch  uint64        `json:"epoch"`
	Index  uint64        `json:"index"`
	Term   uint64        `json:"term"`
	Leader health.NodeID `json:"leader"` // empty: it knows none
	AgeMS  int64         `json:"age_ms"` // since it last heard of a leader
	Time   time.Time     `json:"time"`   // its clock
}

func (r *Replica) alive() alive {
	a := alive{Term: r.raft.CurrentTerm(), Leader: r.leader(), AgeMS: r.ownAge().Milliseconds(), Time: r.cfg.Now()}
	if s := r.view.newest(); s != nil {
		a.Epoch, a.Index = s.Epoch, s.Index
	}
	return a
}

func (r *Replica) leader() health.NodeID {
	_, id := r.raft.LeaderWithID()
	return health.NodeID(id)
}

// ownAge is how long ago a voter was last under a leader with a quorum.
func (r *Replica) ownAge() time.Duration {
	if r.raft.State() == raft.Leader {
		return 0 // it steps down when the lease ends
	}
	if last := r.raft.LastContact(); !last.IsZero() {
		return time.Since(last)
	}
	return time.Since(r.start)
}

// serveState pushes to one subscriber.
func (r *Replica) serveState(conn net.Conn) {
	var h hello
	if err := readJSON(conn, handshakeWithin, frameHello, &h); err != nil {
		r.metrics.turnedAway("garbage")
		return
	}
	has := &control.State{Epoch: h.Epoch, Index: h.Index}
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		s, changed := r.view.watch()
		if h.States && s.Newer(has) {
			s, data := r.view.bytes()
			if err := writeFrame(conn, frameState, data, pushWithin); err != nil {
				return
			}
			has = s
		}
		if err := writeJSON(conn, frameAlive, r.alive(), aliveWithin); err != nil {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
	}
}

// follow keeps a subscription to one voter.
func (r *Replica) follow(v Voter) {
	pause := retryFirst
	for r.ctx.Err() == nil {
		heard, err := r.subscribe(v)
		if r.ctx.Err() != nil {
			return
		}
		if r.peers.lost(v.ID) {
			r.log.Warn("voter lost", "peer", v.ID, "err", err)
		}
		if heard {
			pause = retryFirst
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-r.ctx.Done():
		}
		pause = min(2*pause, retryMost)
	}
}

// subscribe takes what one voter pushes until the connection ends; heard: it pushed anything.
func (r *Replica) subscribe(v Voter) (heard bool, err error) {
	conn, err := r.dial(r.ctx, v, protocolState)
	if err != nil {
		return false, err
	}
	defer hangUp(conn)
	defer context.AfterFunc(r.ctx, func() { hangUp(conn) })()
	h := hello{States: !r.voter}
	if s := r.view.newest(); s != nil {
		h.Epoch, h.Index = s.Epoch, s.Index
	}
	if err := writeJSON(conn, frameHello, h, handshakeWithin); err != nil {
		return false, err
	}
	for {
		kind, payload, err := readFrame(conn, aliveWithin, frameAlive, frameState)
		if err != nil {
			return heard, err
		}
		heard = true
		switch kind {
		case frameState:
			s, err := control.Decode(payload)
			if err != nil {
				return heard, err
			}
			if !r.voter {
				r.view.offer(s)
			}
		case frameAlive:
			var a alive
			if err := json.Unmarshal(payload, &a); err != nil {
				return heard, fmt.Errorf("keep-alive: %w", err)
			}
			if a.AgeMS < 0 {
				return heard, errors.New("keep-alive: age below 0")
			}
			if r.peers.heard(v.ID, a) {
				r.log.Info("voter reached", "peer", v.ID, "leader", a.Leader, "epoch", a.Epoch, "index", a.Index)
			}
		}
	}
}

// peers is what the other voters said last.
type peers struct {
	mu sync.Mutex
	of map[health.NodeID]*peer
}

type peer struct {
	reached bool
	said    bool // lost was said once
	seen    time.Time
	alive   alive
}

func newPeers(voters []Voter, self health.NodeID) *peers {
	p := &peers{of: make(map[health.NodeID]*peer)}
	for _, v := range voters {
		if v.ID != self {
			p.of[v.ID] = new(peer)
		}
	}
	return p
}

// heard reports whether the voter is newly reached.
func (p *peers) heard(id health.NodeID, a alive) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.of[id]
	fresh := !v.reached
	v.reached, v.said, v.seen, v.alive = true, false, time.Now(), a
	return fresh
}

// lost reports whether that is news.
func (p *peers) lost(id health.NodeID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.of[id]
	news := !v.said
	v.reached, v.said = false, true
	return news
}

func (p *peers) get(id health.NodeID) peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.of[id]
}

// best returns the voters to ask for a decision, best first: the leader that most voters name, then those reached, then the rest.
func (r *Replica) best() []Voter {
	named := make(map[health.NodeID]uint64) // by the highest term
	reached := make(map[health.NodeID]bool)
	for _, v := range r.cfg.Voters {
		if v.ID == r.cfg.Self {
			continue
		}
		if p := r.peers.get(v.ID); p.reached {
			reached[v.ID] = true
			named[p.alive.Leader] = max(named[p.alive.Leader], p.alive.Term)
		}
	}
	rank := func(v Voter) (n uint64) {
		if n = named[v.ID] << 1; reached[v.ID] {
			n++
		}
		return n
	}
	order := slices.DeleteFunc(slices.Clone(r.cfg.Voters), func(v Voter) bool { return v.ID == r.cfg.Self })
	slices.SortStableFunc(order, func(a, b Voter) int {
		switch ra, rb := rank(a), rank(b); {
		case ra > rb:
			return -1
		case ra < rb:
			return 1
		}
		return 0
	})
	return order
}
