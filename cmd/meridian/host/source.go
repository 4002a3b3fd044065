package host

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/health/replica"
)

// source is what the dashboard may see of the node.
func (h *Host) source() dashboard.Source {
	return dashboard.Source{
		Node: h.info,
		Health: func() *health.View {
			if v := h.view.Load(); v != nil {
				return v.Health
			}
			return nil
		},
		Control:   h.obeyed,
		Snapshot:  h.snapshot.Load,
		Submit:    h.submit,
		Keys:      h.shownKeys,
		OrderKeys: h.takeOrder,
		Challenge: h.challenge,
		Changed:   h.changed.next,
		Events:    h.recent.after,
		Journal:   h.journalled,
		Past:      h.replayed,
	}
}

// obeyed is the control state that this node's answers go by.
func (h *Host) obeyed() *control.State {
	if s := h.snapshot.Load(); s != nil {
		return s.Control
	}
	return nil
}

// obeyWait is how long a command waits for this node's own answers to obey it before it is called done.
const obeyWait = time.Second

func (h *Host) submit(ctx context.Context, c control.Command) (control.Result, error) {
	if h.replica == nil {
		return control.Result{}, fmt.Errorf("%w: this node's configuration lists no voters", replica.ErrNoLeader)
	}
	result, err := h.replica.Submit(ctx, c)
	if result.Index == 0 {
		return result, err
	}
	late := time.After(obeyWait)
	for {
		changed := h.changed.next()
		if s := h.obeyed(); s != nil && (s.Epoch > result.Epoch || s.Epoch == result.Epoch && s.Index >= result.Index) {
			return result, err
		}
		select {
		case <-changed:
		case <-late:
			return result, err
		case <-ctx.Done():
			return result, err
		}
	}
}

func (h *Host) info() dashboard.NodeInfo {
	info := dashboard.NodeInfo{Name: h.cfg.Name, Region: h.cfg.Region, Roles: h.cfg.Roles.Names(), Version: Version(), Refused: h.refusal.Load(), PlacesRefused: h.placer.refusal.Load()}
	if h.replica != nil {
		s := h.replica.Status()
		info.Raft, info.Quorum, info.Abstains = raftText(s), s.Leader != "", h.abstains
	}
	info.Failing, info.Gossip = h.failing(), h.gossipInfo()
	v := h.view.Load()
	if v == nil {
		return info
	}
	info.Started, info.Dropped = v.Started, v.Dropped
	if v.Abstains != health.ReasonNone {
		info.NoVerdicts = v.Abstains.String()
	}
	info.Dissents, info.Reaches = v.Dissents[:min(len(v.Dissents), mostShown)], v.Reaches[:min(len(v.Reaches), mostShown)]
	for _, p := range v.Peers {
		peer := dashboard.Peer{Name: p.Node, Region: p.Region, Roles: p.Roles.Names(), Alive: p.Alive, Heard: p.Heard}
		if b := p.Heartbeat; b != nil {
			peer.Ready, peer.World, peer.Snapshot = b.Ready, b.World, b.Snapshot
			peer.Epoch, peer.Index, peer.Answers = b.Epoch, b.Index, b.Answers
		}
		if p.Node == h.cfg.Name {
			h.refresh(&peer)
		}
		info.Peers = append(info.Peers, peer)
	}
	return info
}

// mostShown is how many dissents are shown, and how many endpoints that one region alone sees.
const mostShown = 20

// mostFailing is how many zones are named that are answered SERVFAIL.
const mostFailing = 10

// failing returns the zones that this node answers SERVFAIL; nil if there are none.
func (h *Host) failing() *dashboard.Failing {
	s := h.snapshot.Load()
	if s == nil || h.dns == nil {
		return nil
	}
	var f dashboard.Failing
	for i := range s.Plan.World.Zones {
		z := &s.Plan.World.Zones[i]
		ready := z.Static != nil
		if ready && z.Sign != "" && h.signer != nil {
			_, ready = h.signer.Zone(z.Static.Apex)
		}
		if ready {
			continue
		}
		if f.Count++; f.Count <= mostFailing {
			f.Zones = append(f.Zones, z.Apex)
		}
	}
	if f.Count == 0 {
		return nil
	}
	return &f
}

// refresh puts what this node goes by now in place of what its last heartbeat said.
func (h *Host) refresh(p *dashboard.Peer) {
	s := h.snapshot.Load()
	if s == nil {
		return
	}
	p.World, p.Snapshot = s.Plan.World.Digest, s.Digest
	if s.Control != nil {
		p.Epoch, p.Index = s.Control.Epoch, s.Control.Index
	}
}

func raftText(s replica.Status) string {
	leader := "no leader"
	if s.Leader != "" {
		leader = "leader is " + string(s.Leader)
	}
	return fmt.Sprintf("%s, %d voters", leader, len(s.Voters))
}
