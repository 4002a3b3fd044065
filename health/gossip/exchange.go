package gossip

import "github.com/meridian-gslb/meridian/health"

// Exchange begins an exchange of states with a member and returns at once. It is for what messages did not bring: it goes by TCP and carries
// everything, so it is dear. None is begun with this node itself or who is no member, nor while another waits to be.
func (m *Mesh) Exchange(with health.NodeID) {
	select {
	case m.asked <- with:
	default:
	}
}

func (m *Mesh) keepExchanging() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case name := <-m.asked:
			node, ok := m.table.get(name)
			if !ok || string(name) == m.config.Name || m.leaving.Load() {
				continue
			}
			at := address(&node)
			err := m.join(at)
			m.metrics.exchange(err)
			if err != nil {
				m.log.Debug("exchange of states failed", "peer", name, "address", at, "err", err)
			}
		}
	}
}
