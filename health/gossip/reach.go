package gossip

import (
	"cmp"
	"context"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A firewall that lets TCP pass and not UDP, or one way only, keeps nobody out: memberlist finds other ways, and verdicts
// are late or lost. So each node sends every other a word by each way now and then, and says in it what it has heard.
const (
	wordKind     = 255 // of messages that stay in here
	reachVersion = 1

	reachEvery  = time.Minute
	reachLocal  = 5 * time.Second
	reachCopies = 2 // packets may be lost
	reachMisses = 5 // half periods without a word until a way fails

	// At first words are sent more often, so that a node which has just started soon says what fails.
	reachSoon  = 3 * time.Second
	reachEarly = 15 * time.Second
	soonLocal  = time.Second
)

// A Way says whether words come through.
type Way uint8

const (
	WayUnknown Way = iota // too early to tell, or nothing is heard by any way
	WayWorks
	WayFails
)

var wayNames = [...]string{"unknown", "works", "fails"}

func (w Way) String() string { return wayNames[w] }

// MarshalText makes a way its name in JSON.
func (w Way) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// The protocols of words, as indices.
const (
	byUDP = iota
	byTCP
	protocols
)

// A Reach is how words pass between this node and a member.
type Reach struct {
	Node    health.NodeID `json:"node"`
	UDPFrom Way           `json:"udp_from"` // it to here
	UDPTo   Way           `json:"udp_to"`   // as it says
	TCPFrom Way           `json:"tcp_from"`
	TCPTo   Way           `json:"tcp_to"`
	Keys    []string      `json:"keys"`           // fingerprints of those it has, the one it sends under first; none: it has not said, or not lately
	Heard   time.Time     `json:"heard,omitzero"` // the last word
}

// Trouble says what fails; empty: nothing is known to.
func (r *Reach) Trouble() string {
	udp, tcp := fails(r.UDPFrom, r.UDPTo), fails(r.TCPFrom, r.TCPTo)
	works := func(name string, from, to Way) string {
		if from == WayWorks || to == WayWorks {
			return ", " + name + " works"
		}
		return ""
	}
	switch {
	case udp != "" && tcp != "":
		return "UDP fails " + udp + ", TCP fails " + tcp + " (firewall?)"
	case udp != "":
		return "UDP fails " + udp + works("TCP", r.TCPFrom, r.TCPTo) + " (firewall?)"
	case tcp != "":
		return "TCP fails " + tcp + works("UDP", r.UDPFrom, r.UDPTo) + " (firewall?)"
	}
	return ""
}

func fails(from, to Way) string {
	switch {
	case from == WayFails && to == WayFails:
		return "both ways"
	case from == WayFails:
		return "from it to here"
	case to == WayFails:
		return "from here to it"
	}
	return ""
}

// reach is what is known of the ways to and from every member.
type reach struct {
	name        health.NodeID
	every, soon time.Duration

	mu    sync.Mutex
	peers map[health.NodeID]*reached
	keys  []byte                   // fingerprints of this node's
	last  map[health.NodeID]string // trouble that was told of
}

type reached struct {
	since time.Time // that it is a member
	sent  time.Time // the last word
	next  time.Time // when it is sent the next word
	first time.Time // the first word of it, by any protocol
	heard [protocols]time.Time
	told  time.Time
	says  [protocols]Way // of what it hears from here
	keys  []string
}

func newReach(name string, local bool) *reach {
	r := &reach{name: health.NodeID(name), every: reachEvery, soon: reachSoon, peers: make(map[health.NodeID]*reached), last: make(map[health.NodeID]string)}
	if local {
		r.every, r.soon = reachLocal, soonLocal
	}
	return r
}

func (r *reach) window() time.Duration { return reachMisses * r.every / 2 }

func (r *reach) setKeys(keys [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = nil
	for _, key := range keys {
		print, _ := hex.DecodeString(Fingerprint(key)) // which is of such digits
		r.keys = append(r.keys, print...)
	}
}

// A word is version, protocol, what the sender hears of the receiver by each protocol, how many keys it has and their
// fingerprints, and its name.
func (r *reach) word(protocol int, p *reached, now time.Time) []byte {
	ways := p.from(now, r.window())
	frame := []byte{wordKind, reachVersion, byte(protocol), byte(ways[byUDP]), byte(ways[byTCP]), byte(len(r.keys) / fingerprintSize)}
	return append(append(frame, r.keys...), r.name...)
}

// from says by which protocols a peer is heard.
//
//	heard within the window                                  works
//	not, while the other protocol is, and it is here for     fails
//	longer than the window
//	never, while the other protocol is and has been for      fails
//	longer than reachEarly
//	else                                                     unknown
func (p *reached) from(now time.Time, window time.Duration) (ways [protocols]Way) {
	lately := func(protocol int) bool { return !p.heard[protocol].IsZero() && now.Sub(p.heard[protocol]) <= window }
	for protocol := range ways {
		switch {
		case lately(protocol):
			ways[protocol] = WayWorks
		case lately(1-protocol) && (now.Sub(p.since) > window || p.heard[protocol].IsZero() && now.Sub(p.first) > reachEarly):
			ways[protocol] = WayFails
		}
	}
	return ways
}

// take reads a word that came, and reports whether it is one. Of a later version it takes what it knows.
func (r *reach) take(word []byte, now time.Time) bool {
	const fixed = 5
	if len(word) < fixed || word[0] == 0 || word[1] >= protocols || word[2] > byte(WayFails) || word[3] > byte(WayFails) || word[4] > MaxKeys {
		return false
	}
	prints := int(word[4]) * fingerprintSize
	if len(word) <= fixed+prints {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[health.NodeID(word[fixed+prints:])]
	if p == nil {
		return true // it is not known yet, or not any more
	}
	if p.first.IsZero() {
		p.first = now
	}
	p.heard[word[1]], p.told = now, now
	p.says = [protocols]Way{Way(word[2]), Way(word[3])}
	if soon := p.sent.Add(r.soon); slices.Contains(p.says[:], WayUnknown) && soon.Before(p.next) {
		p.next = soon // it has just started, and waits for words
	}
	p.keys = nil
	for print := range slices.Chunk(word[fixed:fixed+prints], fingerprintSize) {
		p.keys = append(p.keys, hex.EncodeToString(print))
	}
	return true
}

// due follows the members, and returns whom to send a word now.
func (r *reach) due(members []health.Member, now time.Time, send func(to health.NodeID, protocol int, word []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	here := make(map[health.NodeID]bool, len(members))
	for _, m := range members {
		if m.Node == r.name {
			continue
		}
		here[m.Node] = true
		p := r.peers[m.Node]
		if p == nil {
			p = &reached{since: now, next: now}
			r.peers[m.Node] = p
		}
		if now.Before(p.next) {
			continue
		}
		p.sent, p.next = now, now.Add(r.every+rand.N(r.every/5+1)-r.every/10)
		if now.Sub(p.since) < reachEarly {
			p.next = now.Add(r.soon)
		}
		for range reachCopies {
			send(m.Node, byUDP, r.word(byUDP, p, now))
		}
		send(m.Node, byTCP, r.word(byTCP, p, now))
	}
	for name := range r.peers {
		if !here[name] {
			delete(r.peers, name)
		}
	}
}

// list is what is known of every member, by name.
func (r *reach) list(now time.Time) []Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Reach
	for name, p := range r.peers {
		from := p.from(now, r.window())
		one := Reach{Node: name, UDPFrom: from[byUDP], TCPFrom: from[byTCP], Heard: p.told}
		if !p.told.IsZero() && now.Sub(p.told) <= r.window() {
			one.UDPTo, one.TCPTo, one.Keys = p.says[byUDP], p.says[byTCP], slices.Clone(p.keys)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Reach) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// changed are those whose trouble is another than when it was asked last. Of somebody who is gone there is none.
func (r *reach) changed(all []Reach) (changed []Reach) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := make(map[health.NodeID]string)
	for _, one := range all {
		now[one.Node] = one.Trouble()
		if now[one.Node] != r.last[one.Node] {
			changed = append(changed, one)
		}
	}
	r.last = now
	return changed
}

// Reach is how words pass between this node and every other member, sorted by Node. The caller owns the slice.
func (m *Mesh) Reach() []Reach { return m.reach.list(time.Now()) }

// Keys are the fingerprints of the keys of this node, the one that it sends under first.
func (m *Mesh) Keys() []string {
	m.reach.mu.Lock()
	text := hex.EncodeToString(m.reach.keys)
	m.reach.mu.Unlock()
	var prints []string
	for print := range slices.Chunk([]byte(text), 2*fingerprintSize) {
		prints = append(prints, string(print))
	}
	return prints
}

// keepReached sends words, and tells of ways that begin to fail or work again.
func (m *Mesh) keepReached(ctx context.Context) {
	ticker := time.NewTicker(m.reach.soon)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if m.leaving.Load() {
			continue
		}
		now := time.Now()
		m.reach.due(m.Members(), now, func(to health.NodeID, protocol int, word []byte) {
			lane := m.packets
			if protocol == byTCP {
				lane = m.words
			}
			if !lane.put(to, word) {
				m.metrics.drop(dropPeerQueue)
			}
		})
		changed := m.reach.changed(m.reach.list(now))
		for _, one := range changed {
			if m.config.OnReach != nil {
				m.config.OnReach(one)
			}
		}
	}
}

// partly counts the members by the way that fails.
func (r *reach) partly(now time.Time) map[string]int {
	count := map[string]int{"udp_from": 0, "udp_to": 0, "tcp_from": 0, "tcp_to": 0}
	for _, one := range r.list(now) {
		for name, way := range map[string]Way{"udp_from": one.UDPFrom, "udp_to": one.UDPTo, "tcp_from": one.TCPFrom, "tcp_to": one.TCPTo} {
			if way == WayFails {
				count[name]++
			}
		}
	}
	return count
}
