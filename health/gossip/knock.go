package gossip

import (
	"net"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/meridian-gslb/meridian/health"
)

// To join the lost again costs a connection to each, so it is done seldom, and the end of a partition would be noticed late. A packet costs
// next to nothing: every lost member is sent one twice a second, wherever it was last. Who gets one of somebody that it has lost knows that the way
// is open again. The one of the two with the smaller name joins the other at once, and then those that are still lost: a join brings each side all that
// the other knows, so after the first most of the others are members again, and many at once would keep both sides busy with what they know already.
const (
	knockKind  = 254 // of messages that stay in here
	knockEvery = time.Second / 2
	knocksEach = 64 // time; the next time goes on behind the last

	answersAtOnce = 2
)

// keepKnocking sends a knock, this node's name, to those that are lost.
func (m *Mesh) keepKnocking() {
	ticker := time.NewTicker(knockEvery)
	defer ticker.Stop()
	frame := append([]byte{knockKind}, m.config.Name...)
	for next := 0; ; {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
		}
		lost := m.table.lost()
		if m.leaving.Load() || len(lost) == 0 {
			continue
		}
		for range min(knocksEach, len(lost)) {
			next = (next + 1) % len(lost)
			to := lost[next]
			node := memberlist.Node{Name: to.name, Addr: net.IP(to.address.Addr().AsSlice()), Port: to.address.Port()}
			if err := m.list.SendBestEffort(&node, frame); err != nil {
				m.log.Debug("knock not sent", "peer", to.name, "err", err)
			}
		}
	}
}

// knocked takes a knock. Of somebody that is here, or was never, it is nothing.
func (m *Mesh) knocked(name string) {
	if !m.table.isLost(name) {
		return
	}
	select {
	case m.inbox.knocks <- health.NodeID(name):
	default:
	}
	if name <= m.config.Name {
		return
	}
	r, ok := m.table.answer(name, time.Now())
	if !ok {
		return
	}
	select {
	case m.knocks <- r:
	default:
		m.answered(name)
	}
}

func (m *Mesh) answered(name string) { m.table.answered(name, time.Now(), m.config.Rejoin) }

// exchanges is how many exchanges of states make two one that have taken each other for dead: by the first each learns that it is dead to the other,
// and says anew that it is alive; by the second the other hears that.
const exchanges = 2

// keepAnswering joins those that knocked, one at a time; several of it run.
func (m *Mesh) keepAnswering() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case r := <-m.knocks:
			for range exchanges {
				if !m.table.isLost(r.name) || m.leaving.Load() || m.ctx.Err() != nil {
					break
				}
				err := m.join(r.address)
				m.metrics.join(err)
				if err != nil {
					m.log.Debug("join failed after a knock", "peer", r.name, "address", r.address, "err", err)
					break
				}
			}
			m.answered(r.name)
		}
	}
}
