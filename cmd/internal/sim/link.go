package sim

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
)

// Faults are what one direction of a link does to messages. The zero value is a perfect link: only the distance delays.
// Shares are from 0 to 1.
type Faults struct {
	Cut       bool          // nothing arrives
	Delay     time.Duration // of every message, besides the distance
	Jitter    time.Duration // at most, of each message; later ones overtake
	Loss      float64       // share that does not arrive
	Duplicate float64       // share that arrives twice
	Hold      float64       // share that arrives up to holdUp late, long out of order
	Corrupt   float64       // share in which a byte is changed
}

// holdUp is how late a message may be that the network mislaid.
const holdUp = 20 * time.Second

// cut stops everything, or lets it pass again, from some hosts to some others: messages, and probes from their region where all of its nodes
// are among them.
func (s *Sim) cut(from, to []*host, cut bool) {
	for _, a := range from {
		for _, b := range to {
			if a != b {
				s.links[a.index][b.index].Cut = cut
			}
		}
	}
	for _, a := range s.plan.World.Regions {
		for _, b := range s.plan.World.Regions {
			if a.ID != b.ID && s.whole(a.ID, from) && s.whole(b.ID, to) {
				s.paths[path{a.ID, b.ID}] = cut
			}
		}
	}
}

// whole reports whether a region has nodes and all of them are in a list.
func (s *Sim) whole(region geo.RegionID, list []*host) bool {
	any := false
	for _, h := range s.hosts {
		if h.region == region {
			any = true
			if !slices.Contains(list, h) {
				return false
			}
		}
	}
	return any
}

// healLinks makes the network perfect.
func (s *Sim) healLinks() {
	for _, row := range s.links {
		clear(row)
	}
	clear(s.paths)
}

// distance is what light takes, one way.
func distance(a, b *host) time.Duration {
	if a.region == b.region {
		return time.Millisecond
	}
	return rtt.Prior(a.at, b.at) / 2
}

// transmit sends a message over a link, datagram by datagram.
func (s *Sim) transmit(from, to *host, message []byte) {
	if health.MessageKind(message[1]) == health.KindServing {
		// Its fate is drawn aside, so that the seeds of old failures keep their meaning.
		s.rnd, s.aside = s.aside, s.rnd
		defer func() { s.rnd, s.aside = s.aside, s.rnd }()
	}
	f := &s.links[from.index][to.index]
	copies := 1
	if s.chance(f.Duplicate) {
		copies = 2
	}
	for range copies {
		if f.Cut || s.chance(f.Loss) {
			continue
		}
		delay := s.far[from.index][to.index] + f.Delay + s.upTo(f.Jitter)
		if s.chance(f.Hold) {
			delay += s.upTo(holdUp)
		}
		arrives := message
		if s.chance(f.Corrupt) {
			arrives = slices.Clone(message)
			arrives[s.rnd.IntN(len(arrives))] ^= byte(1 + s.rnd.IntN(255))
		}
		s.after(delay, nil, func() { to.receive(arrives) })
	}
}

// talks reports whether a stream between two hosts works: both are up, and nothing is cut either way.
func (s *Sim) talks(a, b *host) bool {
	return a.up() && b.up() && !s.links[a.index][b.index].Cut && !s.links[b.index][a.index].Cut
}

// lostAfter is how long a node that does not answer stays a member.
const lostAfter = 8 * time.Second

// mingle is a round of membership: who is reached, directly or by way of one other, is a member.
func (s *Sim) mingle() {
	for _, a := range s.hosts {
		if !a.up() {
			continue
		}
		changed := !a.joined
		a.joined = true
		for _, b := range s.hosts {
			if a != b && s.reaches(a, b) {
				if !a.members[b] {
					a.members[b], changed = true, true
					s.exchange(a, b)
				}
				a.reached[b.index] = s.now
			} else if a.members[b] && s.now-a.reached[b.index] > lostAfter {
				delete(a.members, b)
				changed = true
			}
		}
		if changed {
			a.drive(func() { a.node.Members(a.list(), a.now()) })
		}
	}
}

func (s *Sim) reaches(a, b *host) bool {
	if s.talks(a, b) {
		return true
	}
	return slices.ContainsFunc(s.hosts, func(c *host) bool { return s.talks(a, c) && s.talks(c, b) })
}

// exchange is a push/pull: each gives the other everything, over a stream.
func (s *Sim) exchange(a, b *host) {
	if !s.talks(a, b) {
		return
	}
	for _, side := range [][2]*host{{a, b}, {b, a}} {
		from, to := side[0], side[1]
		delay := s.far[from.index][to.index] + s.links[from.index][to.index].Delay
		for _, message := range health.SplitMessages(health.AppendMessages(nil, from.pushPull)) {
			s.after(delay, nil, func() { to.receive(message) })
		}
	}
}

// list returns the members as a host's node is told them.
func (h *host) list() []health.Member {
	list := []health.Member{h.member()}
	for _, o := range h.sim.hosts {
		if h.members[o] {
			list = append(list, o.member())
		}
	}
	return list
}

func (h *host) member() health.Member {
	return health.Member{Node: h.name, Region: h.region, Roles: h.roles, Address: h.address, Key: h.key}
}

const signatureSize = 64

// sign makes a signature that is cheap, and good enough against accidents: a keyed hash.
func sign(key [32]byte, message []byte) []byte {
	signature := make([]byte, signatureSize)
	sum := binary.BigEndian.Uint64(key[:])
	for _, c := range message {
		sum = (sum ^ uint64(c)) * 0x100000001b3
	}
	for i := 0; i < signatureSize; i += 8 {
		sum = (sum ^ sum>>29) * 0xbf58476d1ce4e5b9
		binary.BigEndian.PutUint64(signature[i:], sum)
	}
	return signature
}

func verify(key [32]byte, message, signature []byte) bool {
	return slices.Equal(sign(key, message), signature)
}
