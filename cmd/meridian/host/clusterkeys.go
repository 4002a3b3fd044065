package host

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/keyring"
	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/cmd/meridian/zonekeys"
	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/health/replica"
	"github.com/meridian-gslb/meridian/zones"
)

const (
	driveEvery = 10 * time.Second
	tellEvery  = time.Second
	askEvery   = time.Minute
	heardLast  = 35 * time.Second // three words of a nameserver may be lost
)

// given is what the signer was given for a zone.
type given struct {
	wire, apex string
	own        bool // keys of this node's own directory
	set        *dnssec.KeySet
}

// clusterKeys returns what the nodes have agreed on for a zone; nil: nothing yet.
func (h *Host) clusterKeys(apex string) (*dnssec.KeySet, error) {
	v := h.view.Load()
	if v == nil {
		return nil, nil
	}
	keys, there := v.Control.Keys(apex)
	if !there {
		return nil, nil
	}
	if last := h.opened[apex]; last.index == keys.Index && last.set != nil {
		return last.set, nil
	}
	cluster, err := readKey(h.cfg.GossipKey)
	if err != nil {
		return nil, err
	}
	set, err := keyring.Set(cluster, keys)
	h.opened[apex] = opened{keys.Index, set}
	return set, err
}

// opened is a key set of the cluster, and the index that set it.
type opened struct {
	index uint64
	set   *dnssec.KeySet
}

func (h *Host) clockFit() bool {
	v := h.view.Load()
	return v == nil || v.Clock.Fit
}

// viewed follows what is new for the keys in a view.
func (h *Host) viewed(v *node.View) {
	if h.signer != nil {
		h.signer.Trust(v.Clock.Fit)
	}
	if v.Control != h.obeys {
		h.obeys = v.Control
		h.lookAtKeys()
	}
}

func (h *Host) lookAtKeys() {
	select {
	case h.rekey <- struct{}{}:
	default: // they will be looked at
	}
}

// tellKeys tells the node which keys its nameserver serves, once all that they sign is signed.
func (h *Host) tellKeys(ctx context.Context) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			served := h.served()
			h.offer(func(now time.Time) { h.node.Serves(served, now) })
		}
	}
}

func (h *Host) served() (served []health.ServedKeys) {
	all := h.given.Load()
	if all == nil {
		return nil
	}
	for _, g := range *all {
		generation, whole := h.signer.Generation(g.wire)
		switch {
		case g.own:
			generation = 0 // which no generation of the cluster's keys is
		case !g.set.Signed():
			generation = g.set.Generation
		case !whole || generation != g.set.Generation:
			continue
		}
		served = append(served, health.ServedKeys{Zone: health.ZoneKey(g.apex), Generation: generation})
	}
	slices.SortFunc(served, func(a, b health.ServedKeys) int { return cmp.Compare(a.Zone, b.Zone) })
	return served
}

// driveKeys makes and rolls the keys of all zones while this node leads the voters.
func (h *Host) driveKeys(ctx context.Context) {
	if h.replica == nil || !h.cfg.Roles.Has(health.RoleControl) || h.abstains != "" {
		return
	}
	ticker := time.NewTicker(h.every(driveEvery))
	defer ticker.Stop()
	var ring *keyring.Ring
	var sizes ttls
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		v, s := h.view.Load(), h.snapshot.Load()
		if h.replica.Status().Role != replica.Leader || v == nil || s == nil || !v.Clock.Fit {
			ring = nil // what it heard grows old
			continue
		}
		if ring == nil {
			var err error
			if ring, err = h.ring(); err != nil {
				h.log.Error("keys not driven", "err", err)
				continue
			}
		}
		in := h.keyInput(v, time.Now())
		in.Zones = h.signedZones(sizes.of(s.Plan))
		commands, notes := ring.Step(in)
		for _, n := range notes {
			h.post(func(now time.Time) { h.node.Note(health.EventKeys, n.Zone, n.Text, now) })
		}
		for _, c := range commands {
			if _, err := h.replica.Submit(ctx, c); err != nil && !errors.Is(err, control.ErrVersion) && ctx.Err() == nil {
				h.log.Error("keys not changed", "zone", c.Keys.Zone, "err", err) // the next step tries again
			}
		}
	}
}

// every is how often keys are looked after: at once, nearly, among nodes that share a machine.
func (h *Host) every(d time.Duration) time.Duration {
	if h.cfg.Timing == nodefile.Local {
		return tellEvery
	}
	return d
}

func (h *Host) ring() (*keyring.Ring, error) {
	cluster, err := readKey(h.cfg.GossipKey)
	if err != nil {
		return nil, err
	}
	return keyring.New(h.cfg.Name, cluster, rand.Reader), nil
}

// keyInput is what this node knows of all nameservers.
func (h *Host) keyInput(v *node.View, now time.Time) keyring.Input {
	in := keyring.Input{Now: now, State: h.replica.State(), Complete: true}
	for _, p := range v.Peers {
		serving := p.Serving
		if now.Sub(p.Served) > heardLast {
			serving = nil
		}
		if p.Alive && serving == nil {
			in.Complete = false
		}
		if p.Roles.Has(health.RoleDNS) {
			in.Nameservers = append(in.Nameservers, keyring.Nameserver{Name: p.Node, Serving: serving})
		}
	}
	if seen := h.parents.Load(); seen != nil {
		in.Seen = *seen
	}
	return in
}

// signedZones are the zones that the world wants signed, with their largest TTLs.
func (h *Host) signedZones(sizes map[string]uint32) []keyring.Zone {
	own := make(map[string]bool)
	if all := h.given.Load(); all != nil {
		for _, g := range *all {
			own[g.apex] = g.own
		}
	}
	var all []keyring.Zone
	for _, z := range h.world.Load().Zones {
		algorithm, err := dnssec.ParseAlgorithm(string(z.Sign))
		if z.Sign == "" || err != nil || sizes[z.Apex] == 0 {
			continue
		}
		zone := keyring.Zone{Apex: z.Apex, Algorithm: algorithm, TTL: sizes[z.Apex], Own: own[z.Apex]}
		if p := h.parentOf(z.Apex); p != nil {
			for _, server := range p.Servers {
				zone.Parents = append(zone.Parents, server.String())
			}
		}
		all = append(all, zone)
	}
	return all
}

// parentOf returns the nearest zone above one whose servers are configured.
func (h *Host) parentOf(apex string) (nearest *nodefile.Parent) {
	for i, p := range h.cfg.Parents {
		above := p.Zone == "." || strings.HasSuffix(apex, "."+p.Zone)
		if above && (nearest == nil || len(p.Zone) > len(nearest.Zone)) {
			nearest = &h.cfg.Parents[i]
		}
	}
	return nearest
}

// ttls are the largest TTLs of the signed zones of a world.
type ttls struct {
	world   *zones.World
	largest map[string]uint32
}

func (t *ttls) of(plan *zones.Plan) map[string]uint32 {
	if t.world == plan.World {
		return t.largest
	}
	pools := make(map[string]uint32)
	for _, p := range plan.World.Pools {
		pools[p.Name] = uint32(p.TTL / time.Second)
	}
	t.world, t.largest = plan.World, make(map[string]uint32)
	for _, z := range plan.World.Zones {
		if z.Sign == "" || z.Static == nil {
			continue
		}
		most := uint32(0)
		for name := range z.Static.All {
			for set := range name.Sets {
				most = max(most, set.TTL)
			}
		}
		for _, s := range z.Steer {
			most = max(most, pools[s.Pool])
		}
		t.largest[z.Apex] = most
	}
	return t.largest
}

// askParents asks the servers of parent zones for the DS of the zones below while this node leads.
func (h *Host) askParents(ctx context.Context) {
	if h.replica == nil || len(h.cfg.Parents) == 0 {
		return
	}
	ticker := time.NewTicker(h.every(askEvery))
	defer ticker.Stop()
	for {
		if h.replica.Status().Role == replica.Leader {
			seen := h.lookAtParents(ctx)
			h.parents.Store(&seen)
		} else {
			h.parents.Store(nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *Host) lookAtParents(ctx context.Context) (seen []keyring.Seen) {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	for _, z := range h.world.Load().Zones {
		p := h.parentOf(z.Apex)
		if z.Sign == "" || p == nil {
			continue
		}
		for _, server := range p.Servers {
			ds, ttl, err := zonekeys.Ask(zonekeys.AskTCP).SeenDS(ctx, server.String(), z.Apex, time.Now())
			if err != nil {
				h.log.Warn("server of a parent zone not asked", "zone", z.Apex, "server", server, "err", err)
				continue
			}
			seen = append(seen, keyring.Seen{Zone: z.Apex, Server: server.String(), DS: ds, TTL: ttl})
		}
	}
	return seen
}

// orderKeys has the voters decide an order of a person. It may be given at any node.
func (h *Host) orderKeys(ctx context.Context, o keyring.Order, key string) (control.Result, error) {
	v, s := h.view.Load(), h.snapshot.Load()
	if h.replica == nil || v == nil || s == nil {
		return control.Result{}, fmt.Errorf("%w: this node has no voters or no world yet", replica.ErrNoLeader)
	}
	ring, err := h.ring()
	if err != nil {
		return control.Result{}, err
	}
	lives := func(name string) bool {
		return slices.ContainsFunc(v.Peers, func(p node.Peer) bool { return string(p.Node) == name && p.Alive && p.Roles.Has(health.RoleDNS) })
	}
	var zone *keyring.Zone
	for _, z := range h.signedZones(new(ttls).of(s.Plan)) {
		if z.Apex == o.Zone {
			zone = &z
		}
	}
	command, err := ring.Order(h.replica.State(), o, zone, lives, time.Now())
	switch {
	case errors.Is(err, dnssec.ErrBusy):
		return control.Result{}, fmt.Errorf("%w: %w", dashboard.ErrKeysBusy, err)
	case err != nil:
		return control.Result{}, fmt.Errorf("%w: %w", dashboard.ErrKeysOrder, err)
	}
	command.Key = key
	return h.submit(ctx, *command)
}
