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
	var seen os.FileInfo // nil: the file is read at the first tick, since it may have changed since the start
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := os.Stat(h.cfg.MeshKeys)
		if err == nil && seen != nil && os.SameFile(now, seen) && now.ModTime().Equal(seen.ModTime()) && now.Size() == seen.Size() && now.Mode() == seen.Mode() || err != nil && seen == missing {
			continue
		}
		if seen = now; err != nil {
			seen = missing
		}
		h.takeMeshKeys()
	}
}

// missing stands for a file that is not there, so that this is said once.
var missing os.FileInfo = absent{}

type absent struct{ os.FileInfo }

func (h *Host) takeMeshKeys() {
	ring, err := readMeshKeys(&h.cfg)
	before := h.mesh.Keys()
	if err == nil {
		err = h.mesh.SetKeys(ring)
	}
	if err != nil {
		h.metrics.meshKeysRefused.Inc()
		h.log.Error("keys of the mesh refused, those in force stay", "err", err)
		return
	}
	if after := h.mesh.Keys(); fmt.Sprint(after) != fmt.Sprint(before) {
		h.post(func(now time.Time) {
			h.node.Meshed(string(h.cfg.Name), fmt.Sprintf("keys of the mesh are %v, were %v; the first is sent under", after, before), now)
		})
	}
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
