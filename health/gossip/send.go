package gossip

import (
	"fmt"
	"sync"

	"github.com/meridian-gslb/meridian/health"
)

// The limits of what waits to be sent. Packets and streams have lanes of their own, because a stream to a peer that
// doesn't answer holds its worker for seconds. One worker serves a peer at a time, so one peer holds one worker. Words by stream go to those
// that don't answer above all: they hold nobody else's worker, and in a minute theirs get through 190 of them.
const (
	packetDepth, packetWorkers = 256, 2
	streamDepth, streamWorkers = 16, 8
	wordDepth, wordWorkers     = 1, 32
)

// Send queues a message to one member and returns at once. Up to PacketSize bytes it may be lost on the way; above, it's
// sent as a stream. Messages may overtake each other. The payload is copied. ErrNotMember and ErrFull
// say that it was dropped, which is counted too.
func (m *Mesh) Send(to health.NodeID, kind byte, payload []byte) error {
	if len(payload) > MaxMessage {
		m.metrics.drop(dropSize)
		return fmt.Errorf("gossip: send to %s: payload of %d bytes, want at most %d", to, len(payload), MaxMessage)
	}
	if kind >= knockKind {
		return fmt.Errorf("gossip: send to %s: kind %d is the mesh's own", to, kind)
	}
	if _, ok := m.table.get(to); !ok || string(to) == m.config.Name {
		m.metrics.drop(dropNotMember)
		return fmt.Errorf("gossip: send to %s: %w", to, ErrNotMember)
	}
	lane := m.packets
	if len(payload) > PacketSize {
		lane = m.streams
	}
	frame := make([]byte, 0, 1+len(payload))
	if !lane.put(to, append(append(frame, kind), payload...)) {
		m.metrics.drop(dropPeerQueue)
		return fmt.Errorf("gossip: send to %s: %w", to, ErrFull)
	}
	return nil
}

func (m *Mesh) sendPacket(to health.NodeID, frame []byte) {
	if node, ok := m.table.get(to); !ok {
		m.metrics.drop(dropNotMember)
	} else {
		m.sent(to, frame, m.list.SendBestEffort(&node, frame))
	}
}

func (m *Mesh) sendStream(to health.NodeID, frame []byte) {
	if node, ok := m.table.get(to); !ok {
		m.metrics.drop(dropNotMember)
	} else {
		m.sent(to, frame, m.list.SendReliable(&node, frame))
	}
}

func (m *Mesh) sent(to health.NodeID, frame []byte, err error) {
	if err != nil {
		m.metrics.drop(dropSend)
		m.log.Debug("message not sent", "peer", to, "kind", frame[0], "size_bytes", len(frame), "err", err)
		return
	}
	m.metrics.sent.WithLabelValues(kindLabel(frame[0])).Inc()
}

// forget drops what waits for a peer that is gone.
func (m *Mesh) forget(peer health.NodeID) {
	for range m.packets.forget(peer) + m.streams.forget(peer) + m.words.forget(peer) {
		m.metrics.drop(dropNotMember)
	}
}

// a lane is a queue for each peer and the peers whose turn it is.
type lane struct {
	depth int
	send  func(health.NodeID, []byte)

	mu     sync.Mutex
	more   sync.Cond
	queues map[health.NodeID][][]byte // of peers in ready or with a worker
	ready  []health.NodeID            // each at most once
	closed bool
}

func newLane(depth int, send func(health.NodeID, []byte)) *lane {
	l := &lane{depth: depth, send: send, queues: map[health.NodeID][][]byte{}}
	l.more.L = &l.mu
	return l
}

// put reports false if the peer's queue is full.
func (l *lane) put(to health.NodeID, frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, served := l.queues[to]
	if len(queue) == l.depth {
		return false
	}
	l.queues[to] = append(queue, frame)
	if !served {
		l.ready = append(l.ready, to)
		l.more.Signal()
	}
	return true
}

// forget empties the queue of a peer and says how many were in it.
func (l *lane) forget(peer health.NodeID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, served := l.queues[peer]
	if served {
		l.queues[peer] = nil // the worker, now or soon with this peer, takes it out
	}
	return len(queue)
}

// work sends one message of the next peer and lines the peer up again, until the lane is closed.
func (l *lane) work() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.ready) == 0 && !l.closed {
			l.more.Wait()
		}
		if l.closed {
			return
		}
		peer := l.ready[0]
		l.ready = l.ready[1:]
		if queue := l.queues[peer]; len(queue) > 0 {
			frame := queue[0]
			l.queues[peer] = queue[1:]
			l.mu.Unlock()
			l.send(peer, frame)
			l.mu.Lock()
		}
		if len(l.queues[peer]) > 0 {
			l.ready = append(l.ready, peer)
			l.more.Signal()
		} else {
			delete(l.queues, peer)
		}
	}
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.more.Broadcast()
}
