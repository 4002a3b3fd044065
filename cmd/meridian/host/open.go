package host

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-gslb/meridian/cmd/internal/node"
	"github.com/meridian-gslb/meridian/cmd/internal/pki"
	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/gateway"
	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/health/dashboard"
	"github.com/meridian-gslb/meridian/health/gossip"
	"github.com/meridian-gslb/meridian/health/probe"
	"github.com/meridian-gslb/meridian/health/replica"
	"github.com/meridian-gslb/meridian/zones"
)

// Timings of voters that share a machine.
const (
	localHeartbeat = 300 * time.Millisecond
	localLease     = 200 * time.Millisecond
)

// lockData has the data directory to this node. It makes it if it is not there.
func (h *Host) lockData() error {
	err := os.MkdirAll(h.cfg.Data, 0o700)
	if err == nil {
		h.lock, err = disk.Lock(h.cfg.Data)
	}
	switch {
	case errors.Is(err, disk.ErrInUse):
		return fmt.Errorf("data directory: %w (end that one, or give this node a directory of its own: key data of the node's file)", err)
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}

// open starts the edges. What a role does not need is left out.
func (h *Host) open(o Options, plan *zones.Plan, saved []node.Record) error {
	if err := h.openDNS(o, plan.World); err != nil {
		return err
	}
	if err := h.openGateway(o, plan); err != nil {
		return err
	}
	if err := h.openMesh(); err != nil {
		return err
	}
	if h.cfg.Roles.Has(health.RoleProbe) {
		seed := fnv.New64a()
		seed.Write([]byte(h.cfg.Name))
		h.prober = probe.Start(probe.Config{
			Observe: func(r health.Result) { h.offer(func(now time.Time) { h.node.Observe(r, now) }) },
			Seed:    seed.Sum64(), Deny: h.cfg.Prober.Deny, Source: h.cfg.Prober.Source, Exec: h.cfg.Prober.Exec, Logger: h.log, Registerer: h.registry,
		})
	}
	if err := h.openReplica(recordOf(saved, node.RecordControls)); err != nil {
		return err
	}
	return h.openAPI(o)
}

func (h *Host) openGateway(o Options, plan *zones.Plan) error {
	if !h.cfg.Roles.Has(health.RoleGateway) {
		return nil
	}
	cfg := gateway.Config{
		Name: string(h.cfg.Name), Region: h.cfg.Region, Order: h.regionOrder,
		Samples: h.sampled, Request: h.requested, Trusted: h.cfg.Trusted, Logger: h.log, Registerer: h.registry,
	}
	for _, address := range h.cfg.Gateway {
		l, err := listen(address, "listen.gateway")
		if err != nil {
			closeAll(cfg.Listeners)
			return err
		}
		cfg.Listeners = append(cfg.Listeners, l)
	}
	if o.Gateway != nil {
		o.Gateway(&cfg)
	}
	var err error
	if h.gateway, err = gateway.Start(cfg, plan.World.Gateway); err != nil {
		closeAll(cfg.Listeners)
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// listen opens a TCP listener; an error names the key of the file to change.
func listen(address netip.AddrPort, key string) (net.Listener, error) {
	l, err := net.Listen("tcp", address.String())
	if err == nil {
		return l, nil
	}
	advice := "use an address of this machine"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "end the process that has it"
	case errors.Is(err, syscall.EACCES):
		advice = "ports below 1024 need CAP_NET_BIND_SERVICE"
	}
	var cause syscall.Errno
	if errors.As(err, &cause) {
		err = cause // the rest says again what and where
	}
	return nil, fmt.Errorf("%s %v: %w (%s, or change %s in the node's file)", key, address, err, advice, key)
}

// regionOrder is this node's region and then the others, nearest first.
func (h *Host) regionOrder() []geo.RegionID {
	order := []geo.RegionID{h.cfg.Region}
	if s := h.snapshot.Load(); s != nil {
		order = append(order, s.Plan.Near[h.cfg.Region]...)
	}
	return order
}

func (h *Host) sampled(samples []gateway.Sample) {
	for part := range slices.Chunk(samples, samplesAtOnce) {
		converted := make([]rtt.Sample, len(part))
		for i, s := range part {
			converted[i] = rtt.Sample(s)
		}
		h.offer(func(now time.Time) { h.node.Sample(converted, now) })
	}
}

// samplesAtOnce keeps a node from its other events for a few milliseconds at most.
const samplesAtOnce = 1000

func (h *Host) openMesh() error {
	keys, err := readMeshKeys(&h.cfg)
	if err != nil {
		return err
	}
	h.mesh, err = gossip.Start(gossip.Config{
		Name: string(h.cfg.Name), Bind: h.cfg.Gossip, BindKey: "listen.gossip", Label: "meridian", Key: keys[0], OldKeys: keys[1:],
		Seeds: h.cfg.Seeds, Meta: h.identity.Meta(), Local: h.cfg.Timing == nodefile.Local,
		Identify: func(name string, address netip.Addr, meta []byte) (health.Member, error) {
			return h.identity.Identify(name, address, meta, time.Now())
		},
		OnMessage: func(_ byte, payload []byte, arrived time.Time) { h.receive(payload, arrived) },
		OnMembers: func(members []health.Member) { h.post(func(now time.Time) { h.node.Members(members, now) }) },
		OnKnock:   func(name health.NodeID) { h.post(func(now time.Time) { h.node.Knocked(name, now) }) },
		OnReach:   h.reached,
		LocalState: func() []byte {
			if messages := h.pushPull.Load(); messages != nil {
				return health.AppendMessages(nil, *messages)
			}
			return nil
		},
		MergeState: func(state []byte, arrived time.Time) {
			for _, m := range health.SplitMessages(state) {
				h.receive(m, arrived)
			}
		},
		Logger: h.log, Registerer: h.registry,
	})
	return err
}

func (h *Host) receive(message []byte, arrived time.Time) {
	h.offer(func(now time.Time) { h.node.Receive(message, arrived, now) })
}

// readKey reads the key of the mesh: 64 hexadecimal digits in a file that only its owner reads.
func readKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("keys.gossip: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("keys.gossip: %s: mode %04o lets others read it, want 0600", file, mode)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("keys.gossip: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("keys.gossip: %s: want 64 hexadecimal digits", file)
	}
	return key, nil
}

func (h *Host) openReplica(saved []byte) error {
	if len(h.cfg.Voters) == 0 {
		return nil
	}
	cfg := replica.Config{
		Self: h.cfg.Name, Dir: filepath.Join(h.cfg.Data, "raft"),
		ServerTLS: h.identity.ServerTLS(), ClientTLS: h.identity.ClientTLS, Authorize: authorize,
		OnState: func(_, _ uint64, s *control.State) { h.post(func(now time.Time) { h.node.Controls(s, now) }) },
		OnStuck: func(err error) {
			select {
			case h.fatal <- err:
			default:
			}
		},
		Logger: h.log, Registerer: h.registry,
	}
	for _, v := range h.cfg.Voters {
		cfg.Voters = append(cfg.Voters, replica.Voter{ID: v.Name, Address: v.Address})
	}
	if h.cfg.Timing == nodefile.Local {
		cfg.Timing = replica.Timing{Heartbeat: localHeartbeat, Lease: localLease}
	}
	if saved != nil {
		cfg.Initial, _ = control.Decode(saved) // the node reports one that can't be read
		h.remembers = cfg.Initial != nil
	}
	if h.cfg.Control.IsValid() {
		var err error
		if cfg.Listener, err = listen(h.cfg.Control, "listen.control"); err != nil {
			return err
		}
	}
	var err error
	h.replica, err = replica.Start(cfg)
	if errors.Is(err, replica.ErrDamaged) {
		h.log.Error("this node does not vote until its log is mended; it goes on answering", "err", err)
		h.abstains = err.Error()
		cfg.Abstain, cfg.Listener = true, nil
		h.replica, err = replica.Start(cfg)
	}
	return err
}

func authorize(state tls.ConnectionState) (health.NodeID, bool, error) {
	id, err := pki.PeerIdentity(state)
	return id.Name, id.Roles.Has(health.RoleControl), err
}

func (h *Host) openAPI(o Options) error {
	if !h.cfg.API.IsValid() {
		return nil
	}
	l, err := listen(h.cfg.API, "listen.api")
	if err != nil {
		return err
	}
	h.api, err = dashboard.Start(dashboard.Config{
		Listener: l, Hosts: []string{h.cfg.API.Addr().String()}, Extra: o.API, Gatherer: h.registry, Logger: h.log,
	}, h.source())
	if err != nil {
		l.Close()
		return err
	}
	return h.registry.Register(h.api)
}

// propose brings the definitions of a reloaded world to the voters. At a start only the very first world is proposed: a
// node that comes back with an old one must not undo what others decided since. It is the leader who proposes that, for a
// leader's log holds all that was ever decided.
func (h *Host) propose(ctx context.Context) {
	if h.replica == nil || !h.cfg.Roles.Has(health.RoleControl) || h.abstains != "" {
		return
	}
	ticker := time.NewTicker(proposeEvery)
	defer ticker.Stop()
	var wanted *control.Definitions
	empty := 0 // ticks for which this node has led voters that know no definitions
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.reloaded:
			wanted = &h.world.Load().Definitions
		case <-ticker.C:
		}
		state := h.replica.State()
		if h.replica.Status().Leader == h.cfg.Name && state.Generation() == 0 {
			empty++
		} else {
			empty = 0
		}
		if wanted == nil && empty >= emptyTicks {
			wanted = &h.world.Load().Definitions
		}
		if wanted == nil || state != nil && state.Generation() > 0 && state.Digest() == wanted.Digest() {
			wanted = nil
			continue
		}
		_, err := h.replica.Submit(ctx, control.Command{
			Kind: control.KindDefine, Actor: "node " + string(h.cfg.Name), Reason: "the world says so", Definitions: wanted,
		})
		if errors.Is(err, replica.ErrNoLeader) || errors.Is(err, replica.ErrInDoubt) {
			continue // until there is one
		}
		if err != nil {
			h.log.Error("definitions of controls refused, those in force stay", "err", err)
		}
		wanted = nil
	}
}

const proposeEvery = 500 * time.Millisecond

// emptyTicks is how long a leader must know of no definitions: one that has just been elected may not have applied the
// log yet.
const emptyTicks = 2

func recordOf(records []node.Record, name string) []byte {
	for _, r := range records {
		if r.Name == name {
			return r.Data
		}
	}
	return nil
}
