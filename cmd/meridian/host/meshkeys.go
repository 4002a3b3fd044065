package host

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/keys"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/health/gossip"
)

// meshKeysEvery is how often the file of the keys of the mesh is looked at for changes.
const meshKeysEvery = 5 * time.Second

// readMeshKeys reads the keys of the mesh, the one to send under first.
func readMeshKeys(cfg *nodefile.Node) ([][]byte, error) {
	if cfg.MeshKeys == "" {
		key, err := readKey(cfg.GossipKey)
		return [][]byte{key}, err
	}
	ring, err := keys.ReadRing(cfg.MeshKeys)
	if err != nil {
		return nil, fmt.Errorf("keys.mesh: %w", err)
	}
	return ring, nil
}

// watchMeshKeys takes the keys of the mesh over when their file changes. While it is not good, those in force stay.
func (h *Host) watchMeshKeys(ctx context.Context, every time.Duration) {
	if h.cfg.MeshKeys == "" {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	file := watched{name: h.cfg.MeshKeys}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := file.look(h.takeMeshKeys); err != nil {
			h.metrics.meshKeysRefused.Inc()
			h.log.Error("keys of the mesh refused, those in force stay", "err", err)
		}
	}
}

// A watched file is read when it has changed, and again and again while it is refused: that its owner becomes the right one, or
// that a disk can be read again, does not show in it.
type watched struct {
	name    string
	seen    os.FileInfo // when it was read last; nil: it was not yet, since it may have changed since the start, or it was not there
	refused string      // why it was last time; empty: it was taken
}

// look reads the file if there is cause to. It returns why it is refused, unless that was so last time.
func (w *watched) look(read func() error) error {
	now, err := os.Stat(w.name)
	if err == nil && w.refused == "" && w.seen != nil && os.SameFile(now, w.seen) && now.ModTime().Equal(w.seen.ModTime()) && now.Size() == w.seen.Size() && now.Mode() == w.seen.Mode() {
		return nil
	}
	before := w.refused
	w.seen, w.refused = now, ""
	if err := read(); err != nil {
		if w.refused = err.Error(); w.refused != before {
			return err
		}
	}
	return nil
}

func (h *Host) takeMeshKeys() error {
	ring, err := readMeshKeys(&h.cfg)
	if err != nil {
		return err
	}
	before := h.mesh.Keys()
	if err := h.mesh.SetKeys(ring); err != nil {
		return err
	}
	if after := h.mesh.Keys(); fmt.Sprint(after) != fmt.Sprint(before) {
		h.post(func(now time.Time) {
			h.node.Meshed(string(h.cfg.Name), fmt.Sprintf("keys of the mesh are %v, were %v; the first is sent under", after, before), now)
		})
	}
	return nil
}

// reached makes an event of a member with whom words begin to fail, or pass again.
func (h *Host) reached(r gossip.Reach) {
	text := r.Trouble()
	if text == "" {
		text = "nothing is known to fail any more"
	}
	h.post(func(now time.Time) { h.node.Meshed(string(r.Node), "gossip with it: "+text, now) })
}

// gossipInfo is how the mesh passes words, for people.
func (h *Host) gossipInfo() *dashboard.Gossip {
	if h.mesh == nil {
		return nil
	}
	g := &dashboard.Gossip{Keys: h.mesh.Keys()}
	for _, r := range h.mesh.Reach() {
		g.Peers = append(g.Peers, dashboard.GossipPeer{Node: r.Node, UDPFrom: r.UDPFrom.String(), UDPTo: r.UDPTo.String(), TCPFrom: r.TCPFrom.String(),
			TCPTo: r.TCPTo.String(), Trouble: r.Trouble(), Keys: r.Keys})
	}
	return g
}
