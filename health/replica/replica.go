// Package replica replicates control commands among the voters, and brings the state to every node.
//
// It decides nothing about controls: raft orders the commands, control.State.Apply judges them on
// every voter alike. Nodes that are no voters keep a connection to each voter and take the state
// with the highest (epoch, index).
//
// It never lets a voter go on without its log, never accepts a peer without a certificate, and
// never takes a state back: what OnState has seen only gets newer. Without a quorum the last state stays.
package replica

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

const (
	snapshotsKept     = 2
	snapshotThreshold = 256 // entries between snapshots
	trailingLogs      = 256 // entries kept behind a snapshot, for voters that lag
	cachedLogs        = 256
	closeWithin       = 5 * time.Second
)

// A Voter is a node that votes, and where the others reach it.
type Voter struct {
	ID      health.NodeID
	Address string // host:port
}

// Timing is how patient voters are with each other. The zero Timing suits voters on several continents.
type Timing struct {
	Heartbeat time.Duration // silence of the leader until a follower stands for election; 2 s
	Lease     time.Duration // silence of the majority until a leader steps down; at most Heartbeat; half of it
}

// A Config says who this node is to the others. Fields without a default must be set.
type Config struct {
	Self   health.NodeID
	Voters []Voter // the same on every node: 1, 3 or 5

	// Abstain makes a listed voter take part as any other node does: its log is damaged, and a voter that forgot what it
	// promised could undo what was committed. Dir, Listener and ServerTLS are not needed then.
	Abstain bool

	Dir      string       // voters: for log and snapshots; made if missing
	Listener net.Listener // voters: bound, without TLS; the replica closes it

	ServerTLS *tls.Config                           // voters
	ClientTLS func(voter health.NodeID) *tls.Config // for a connection to that voter
	// Authorize says whose certificate the peer showed, and whether its node may be a voter.
	Authorize func(tls.ConnectionState) (id health.NodeID, voter bool, err error)

	Dial func(ctx context.Context, address string) (net.Conn, error) // default: TCP

	Timing  Timing
	Initial *control.State // last known, from disk; may be nil
	// OnState is told of every new state, in order, by one goroutine; it must not block for long.
	OnState func(epoch, index uint64, s *control.State)
	// OnStuck is told when the disk has not answered for 10 s; the process should end. It may be told again.
	OnStuck func(error)

	Now        func() time.Time      // stamps the commands; default time.Now
	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: none
}

// A Replica is one node's share of the replication. Any goroutine may call its methods.
type Replica struct {
	cfg    Config
	voter  bool
	log    *slog.Logger
	start  time.Time
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	raft    *raft.Raft // voters only, as the next five
	store   *store
	stream  *stream
	machine *machine
	slots   chan struct{} // of forwarded commands in hand
	inHand  inHand

	forwards map[health.NodeID]chan struct{} // of commands on their way to each voter

	view    view
	peers   *peers
	metrics *metrics
	closing sync.Once
}

func (cfg *Config) check() error {
	if n := len(cfg.Voters); n != 1 && n != 3 && n != 5 {
		return fmt.Errorf("replica: %d voters, want 1, 3 or 5", n)
	}
	ids, addresses := make(map[health.NodeID]bool), make(map[string]bool)
	for _, v := range cfg.Voters {
		if v.ID == "" || ids[v.ID] {
			return fmt.Errorf("replica: voter %q: listed twice or without a name", v.ID)
		}
		if v.Address == "" || addresses[v.Address] {
			return fmt.Errorf("replica: voter %q: address %q: missing or of another voter too", v.ID, v.Address)
		}
		ids[v.ID], addresses[v.Address] = true, true
	}
	if cfg.Self == "" || cfg.ClientTLS == nil || cfg.Authorize == nil {
		return errors.New("replica: Self, ClientTLS and Authorize must be set")
	}
	if ids[cfg.Self] && !cfg.Abstain && (cfg.Listener == nil || cfg.ServerTLS == nil || cfg.Dir == "") {
		return errors.New("replica: a voter needs Listener, ServerTLS and Dir")
	}
	t := &cfg.Timing
	t.Heartbeat = cmp.Or(t.Heartbeat, 2*time.Second)
	t.Lease = cmp.Or(t.Lease, t.Heartbeat/2)
	if t.Heartbeat < 50*time.Millisecond || t.Lease < 20*time.Millisecond || t.Lease > t.Heartbeat {
		return fmt.Errorf("replica: heartbeat %v and lease %v: want at least 50ms and 20ms, lease at most heartbeat", t.Heartbeat, t.Lease)
	}
	cfg.Voters = slices.SortedFunc(slices.Values(cfg.Voters), func(a, b Voter) int { return cmp.Compare(a.ID, b.ID) })
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Start begins to replicate. The replica owns the listener, whether or not there is an error.
func Start(cfg Config) (*Replica, error) {
	err := cfg.check()
	if err != nil {
		if cfg.Listener != nil {
			cfg.Listener.Close()
		}
		return nil, err
	}
	r := &Replica{cfg: cfg, log: cfg.Logger, start: time.Now(), slots: make(chan struct{}, maxForwarded), forwards: make(map[health.NodeID]chan struct{})}
	for _, v := range cfg.Voters {
		r.forwards[v.ID] = make(chan struct{}, maxForwards)
	}
	r.voter = !cfg.Abstain && slices.ContainsFunc(cfg.Voters, func(v Voter) bool { return v.ID == cfg.Self })
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.view.init(cfg.Initial)
	r.peers = newPeers(cfg.Voters, cfg.Self)
	r.metrics = newMetrics(r)
	if cfg.Listener != nil && !r.voter {
		cfg.Listener.Close()
	}
	if r.voter {
		if err := r.startVoter(); err != nil {
			r.cancel()
			cfg.Listener.Close()
			return nil, err
		}
	}
	r.wg.Go(r.deliver)
	for _, v := range cfg.Voters {
		if v.ID != cfg.Self {
			r.wg.Go(func() { r.follow(v) })
		}
	}
	if err := r.metrics.register(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Replica) startVoter() (err error) {
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	logger := newHCLogger(r.ctx, r.log)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(r.cfg.Dir, snapshotsKept, logger)
	if err != nil {
		return fmt.Errorf("replica: snapshots in %s: %w", r.cfg.Dir, err)
	}
	kept, err := snapshots.List()
	if err != nil {
		return fmt.Errorf("replica: snapshots in %s: %w", r.cfg.Dir, err)
	}
	var newest uint64
	if len(kept) > 0 {
		newest = kept[0].Index
	}
	if r.store, err = openStore(r.cfg.Dir, newest, r.stuck); err != nil {
		return err
	}
	r.stream = newStream(r)
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: r.stream, Logger: logger, Stream: r.stream, MaxPool: 3, Timeout: rpcWithin,
	})
	r.machine = newMachine(r.view.offer)
	defer func() {
		if p := recover(); p != nil { // raft panics over a store that it can't use
			err = fmt.Errorf("replica: start from %s: %v", r.cfg.Dir, p)
		}
		if err != nil {
			r.stream.shut()
			err = errors.Join(err, transport.Close(), r.store.Close())
		}
	}()
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(r.cfg.Self)
	conf.Logger = logger
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = r.cfg.Timing.Heartbeat, r.cfg.Timing.Heartbeat, r.cfg.Timing.Lease
	conf.CommitTimeout = min(50*time.Millisecond, r.cfg.Timing.Lease/2)
	conf.SnapshotThreshold, conf.TrailingLogs = snapshotThreshold, trailingLogs
	conf.ShutdownOnRemove = false
	logs, err := raft.NewLogCache(cachedLogs, r.store)
	if err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	if known, err := raft.HasExistingState(logs, r.store, snapshots); err != nil {
		return fmt.Errorf("replica: %w", err)
	} else if !known {
		var all raft.Configuration
		for _, v := range r.cfg.Voters {
			all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(v.ID), Address: raft.ServerAddress(v.Address)})
		}
		if err := raft.BootstrapCluster(conf, logs, r.store, snapshots, transport, all); err != nil {
			return fmt.Errorf("replica: first start in %s: %w", r.cfg.Dir, err)
		}
		r.log.Info("first start as voter", "peer", r.cfg.Self, "voters", len(r.cfg.Voters))
	}
	r.store.held = true
	if r.raft, err = raft.NewRaft(conf, r.machine, logs, r.store, snapshots, transport); err != nil {
		return fmt.Errorf("replica: start from %s: %w", r.cfg.Dir, err)
	}
	r.warnOfStrangers()
	r.watchLeader()
	r.wg.Go(r.stream.accept)
	return nil
}

// warnOfStrangers says when the listed voters are not those that the log knows: a list alone changes no membership.
func (r *Replica) warnOfStrangers() {
	future := r.raft.GetConfiguration()
	if future.Error() != nil {
		return
	}
	var known, listed []string
	for _, s := range future.Configuration().Servers {
		known = append(known, string(s.ID))
	}
	for _, v := range r.cfg.Voters {
		listed = append(listed, string(v.ID))
	}
	slices.Sort(known)
	if !slices.Equal(known, listed) {
		r.log.Warn("listed voters are not those of the log, which count", "listed", listed, "log", known)
	}
}

// watchLeader logs every change of leader.
func (r *Replica) watchLeader() {
	changes := make(chan raft.Observation, 64)
	observer := raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.raft.RegisterObserver(observer)
	r.wg.Go(func() {
		defer r.raft.DeregisterObserver(observer)
		last := ""
		for {
			select {
			case o := <-changes:
				leader := string(o.Data.(raft.LeaderObservation).LeaderID)
				if leader == last {
					continue
				}
				if last = leader; leader == "" {
					r.log.Warn("no leader of the voters known", "peer", r.cfg.Self)
				} else {
					r.log.Info("leader of the voters", "peer", r.cfg.Self, "leader", leader, "term", r.raft.CurrentTerm())
				}
				r.view.poke()
			case <-r.ctx.Done():
				return
			}
		}
	})
}

func (r *Replica) stuck(err error) {
	r.log.Error("disk does not answer", "err", err)
	if r.cfg.OnStuck != nil {
		r.cfg.OnStuck(err)
	}
}

// deliver tells OnState of every new state, in order.
func (r *Replica) deliver() {
	for {
		states := r.view.wait(r.ctx)
		if states == nil {
			return
		}
		for _, s := range states {
			if r.cfg.OnState != nil {
				r.cfg.OnState(s.Epoch, s.Index, s)
			}
		}
	}
}

// State is the newest state that this node knows; nil before any.
func (r *Replica) State() *control.State { return r.view.newest() }

// Close answers the commands in hand, takes no more, and ends replication. The error names a disk that hangs.
func (r *Replica) Close() error {
	var err error
	r.closing.Do(func() {
		limit, stop := context.WithTimeout(context.Background(), closeWithin)
		defer stop()
		if r.voter {
			select {
			case <-r.inHand.close():
			case <-limit.Done(): // the disk hangs
			}
		}
		r.cancel()
		if r.voter {
			r.stream.shut()
			down := make(chan struct{})
			go func() {
				r.raft.Shutdown().Error()
				close(down)
			}()
			select {
			case <-down:
				err = r.store.Close()
			case <-limit.Done(): // raft waits for the disk
				if err = r.store.Close(); err == nil {
					<-down
				}
			}
		}
		if err == nil {
			r.wg.Wait()
		}
		r.metrics.unregister()
	})
	return err
}
