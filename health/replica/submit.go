package replica

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
)

// What a caller of Submit must tell apart, beside the refusals of package control.
var (
	// ErrNoLeader says that the command reached no leader with a quorum: it was not applied, and the last state stays.
	ErrNoLeader = errors.New("no leader with a quorum")
	// ErrInDoubt says that the command may have been applied, or may yet be. The same key again finds out.
	ErrInDoubt = errors.New("outcome unknown")
)

const (
	submitWithin = 10 * time.Second // unless the caller's context ends earlier
	tryWithin    = 4 * time.Second  // one voter; the key makes it safe to ask the next
	maxForwarded = 256              // commands of other nodes in hand
	maxForwards  = 8                // commands on their way to one voter; with its other connections within maxPeer
	askFirst     = 25 * time.Millisecond
	askMost      = 400 * time.Millisecond
)

// A forwarded command travels from a node to a voter, and once more if that is not the leader.
type forwarded struct {
	Command  json.RawMessage `json:"command"`
	Last     bool            `json:"last"` // only the leader may answer
	WithinMS int64           `json:"within_ms"`
}

// A reply is a result, or why there is none.
type reply struct {
	Result control.Result `json:"result"`
	Why    string         `json:"why,omitempty"` // no_leader or in_doubt
	Text   string         `json:"text,omitempty"`
}

// Submit has a command decided by the voters and returns what became of it; the error is that of the
// result, ErrNoLeader or ErrInDoubt. A command without a key is given one, so that asking another voter
// after a broken connection applies it once at most; one without Via is given this node's name.
func (r *Replica) Submit(ctx context.Context, cmd control.Command) (control.Result, error) {
	if err := cmd.Check(); err != nil {
		return control.Refuse(err), err
	}
	if cmd.Key == "" {
		cmd.Key = "auto-" + rand.Text()
	}
	cmd.Via = cmp.Or(cmd.Via, r.cfg.Self)
	ctx, cancel := context.WithTimeout(ctx, submitWithin)
	defer cancel()
	r.metrics.submitted.Inc()
	lost := func(trouble error) (control.Result, error) {
		r.metrics.refused.WithLabelValues("no_leader").Inc()
		return control.Result{}, fmt.Errorf("replica: %w among %s; the last state stays: %v", ErrNoLeader, r.names(), trouble)
	}
	if !r.voter && len(r.best()) == 0 {
		return lost(fmt.Errorf("voter %q abstains, and there is no other to ask", r.cfg.Self))
	}
	var trouble error
	doubt := false
	for pause := askFirst; ; pause = min(2*pause, askMost) {
		res, err := r.ask(ctx, cmd)
		if err == nil {
			if err := res.Err(); err != nil {
				r.metrics.refused.WithLabelValues(string(res.Code)).Inc()
				return res, err
			}
			return res, nil
		}
		if trouble == nil || ctx.Err() == nil {
			trouble = err // what came before the time was up says more
		}
		doubt = doubt || errors.Is(err, ErrInDoubt)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-r.ctx.Done():
		}
		if ctx.Err() != nil || r.ctx.Err() != nil {
			break
		}
	}
	// The troubles on the way may be of both kinds, so they are told, not wrapped: a caller sees one of the two.
	if doubt {
		r.metrics.refused.WithLabelValues("in_doubt").Inc()
		return control.Result{}, fmt.Errorf("replica: %w: the command with key %q may have been applied: %v", ErrInDoubt, cmd.Key, trouble)
	}
	return lost(trouble)
}

func (r *Replica) names() string {
	var names []string
	for _, v := range r.cfg.Voters {
		names = append(names, string(v.ID))
	}
	return strings.Join(names, ", ")
}

// ask tries once: here if this node leads, else at the leader, else at any voter.
func (r *Replica) ask(ctx context.Context, cmd control.Command) (control.Result, error) {
	if r.voter {
		if r.raft.State() == raft.Leader {
			return r.apply(ctx, cmd)
		}
		leader := r.leader()
		if a, ok := r.address(leader); ok && leader != r.cfg.Self {
			return r.forward(ctx, Voter{leader, a}, cmd, true)
		}
		return control.Result{}, ErrNoLeader
	}
	var trouble []error
	for _, v := range r.best() {
		res, err := r.forward(ctx, v, cmd, false)
		if err == nil || ctx.Err() != nil {
			return res, err
		}
		trouble = append(trouble, err)
	}
	return control.Result{}, errors.Join(trouble...)
}

// An inHand counts the commands that raft is to answer, and takes none once it is closed: raft forgets those
// that it has committed and not yet applied when it is shut down, and whoever waits for one would wait forever.
type inHand struct {
	mu     sync.Mutex
	closed bool
	count  sync.WaitGroup
}

func (h *inHand) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.count.Add(1)
	}
	return !h.closed
}

func (h *inHand) done() { h.count.Done() }

// close takes no more; the channel is closed when all are answered.
func (h *inHand) close() <-chan struct{} {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	answered := make(chan struct{})
	go func() {
		h.count.Wait()
		close(answered)
	}()
	return answered
}

// apply decides a command on the leader.
func (r *Replica) apply(ctx context.Context, cmd control.Command) (control.Result, error) {
	cmd.Time = r.cfg.Now().UTC()
	data, err := cmd.Encode()
	if err != nil {
		return control.Refuse(err), nil
	}
	within := submitWithin
	if end, ok := ctx.Deadline(); ok {
		within = time.Until(end)
	}
	if within <= 0 {
		return control.Result{}, ErrNoLeader
	}
	if !r.inHand.take() {
		return control.Result{}, fmt.Errorf("%w: voter %q is closing", ErrNoLeader, r.cfg.Self)
	}
	future := r.raft.Apply(data, within)
	done := make(chan error, 1)
	go func() { // ends with the leadership at the latest
		defer r.inHand.done()
		done <- future.Error()
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return control.Result{}, fmt.Errorf("%w: %w", ErrInDoubt, ctx.Err())
	case <-r.ctx.Done():
		return control.Result{}, fmt.Errorf("%w: voter %q is closing", ErrInDoubt, r.cfg.Self)
	}
	switch {
	case err == nil:
		return future.Response().(control.Result), nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return control.Result{}, fmt.Errorf("%w: %w", ErrNoLeader, err)
	default:
		return control.Result{}, fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
}

// forward asks another voter. Once the command is out, a broken connection leaves its outcome in doubt.
func (r *Replica) forward(ctx context.Context, v Voter, cmd control.Command, last bool) (control.Result, error) {
	lost := func(why, err error) (control.Result, error) {
		return control.Result{}, fmt.Errorf("%w: voter %q: %w", why, v.ID, err)
	}
	data, err := cmd.Encode()
	if err != nil {
		return control.Refuse(err), nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	select {
	case r.forwards[v.ID] <- struct{}{}:
		defer func() { <-r.forwards[v.ID] }()
	case <-ctx.Done():
		return lost(ErrNoLeader, ctx.Err())
	}
	conn, err := r.dial(ctx, v, protocolSubmit)
	if err != nil {
		return lost(ErrNoLeader, err)
	}
	defer hangUp(conn)
	defer context.AfterFunc(ctx, func() { hangUp(conn) })()
	defer context.AfterFunc(r.ctx, func() { hangUp(conn) })()
	end, _ := ctx.Deadline()
	within := time.Until(end)
	if err := writeJSON(conn, frameSubmit, forwarded{data, last, within.Milliseconds()}, min(within, handshakeWithin)); err != nil {
		return lost(ErrInDoubt, err)
	}
	var answer reply
	if err := readJSON(conn, within, frameReply, &answer); err != nil {
		return lost(ErrInDoubt, err)
	}
	switch answer.Why {
	case "":
		return answer.Result, nil
	case "no_leader":
		return lost(ErrNoLeader, errors.New(answer.Text))
	default:
		return lost(ErrInDoubt, errors.New(answer.Text))
	}
}

// serveSubmit answers one forwarded command of a peer.
func (r *Replica) serveSubmit(conn net.Conn, id health.NodeID, voter bool) {
	var f forwarded
	if err := readJSON(conn, handshakeWithin, frameSubmit, &f); err != nil {
		r.metrics.turnedAway("garbage")
		return
	}
	var answer reply
	select {
	case r.slots <- struct{}{}:
		answer = r.decide(f, id, voter)
		<-r.slots
	default:
		answer = reply{Why: "no_leader", Text: "voter is busy"}
	}
	writeJSON(conn, frameReply, answer, handshakeWithin)
}

// decide answers for a command of a peer. Some commands are the voters' own, and voters say who gave them a command; any
// other node speaks for itself only.
func (r *Replica) decide(f forwarded, id health.NodeID, voter bool) reply {
	cmd, err := control.DecodeCommand(f.Command)
	if err != nil {
		return reply{Result: control.Refuse(err)}
	}
	if !r.votes(id, voter) {
		if cmd.Kind.VotersOnly() {
			r.metrics.turnedAway("role")
			return reply{Result: control.Refuse(fmt.Errorf("%w: %s by node %q", control.ErrNotVoter, cmd.Kind, id))}
		}
		cmd.Via = id
	}
	cmd.Via = cmp.Or(cmd.Via, id)
	within := min(max(time.Duration(f.WithinMS)*time.Millisecond, 0), submitWithin)
	ctx, cancel := context.WithTimeout(r.ctx, within)
	defer cancel()
	var res control.Result
	if f.Last && r.raft.State() != raft.Leader {
		err = fmt.Errorf("%w: %q is not the leader", ErrNoLeader, r.cfg.Self)
	} else {
		res, err = r.ask(ctx, cmd)
	}
	switch {
	case err == nil:
		return reply{Result: res}
	case errors.Is(err, ErrInDoubt):
		return reply{Why: "in_doubt", Text: err.Error()}
	default:
		return reply{Why: "no_leader", Text: err.Error()}
	}
}

// A Role is a node's part among the voters.
type Role string

const (
	Leader    Role = "leader"
	Follower  Role = "follower"
	Candidate Role = "candidate"
	Observer  Role = "observer" // no voter
)

// A Status says where replication stands, as this node sees it. It is a copy.
type Status struct {
	Role   Role          `json:"role"`
	Leader health.NodeID `json:"leader"` // empty: none known
	Term   uint64        `json:"term"`
	Epoch  uint64        `json:"epoch"`
	Index  uint64        `json:"index"`
	// Age is how long ago the state was known to be the voters' newest: since the leader was last heard,
	// by this node or by a voter that told it; since the start if never.
	Age    time.Duration `json:"age_ns"`
	Voters []VoterStatus `json:"voters"` // sorted by name
}

// A VoterStatus is one voter, as this node sees it.
type VoterStatus struct {
	ID      health.NodeID `json:"id"`
	Address string        `json:"address"`
	Reached bool          `json:"reached"` // true for this node itself
	Seen    time.Time     `json:"seen,omitzero"`
	Epoch   uint64        `json:"epoch"`
	Index   uint64        `json:"index"`
}

// Status returns where replication stands.
func (r *Replica) Status() Status {
	s := Status{Role: Observer, Age: time.Since(r.start)}
	state := r.view.newest()
	if state != nil {
		s.Epoch, s.Index = state.Epoch, state.Index
	}
	if r.voter {
		s.Role = Role(strings.ToLower(r.raft.State().String()))
		s.Term, s.Leader, s.Age = r.raft.CurrentTerm(), r.leader(), r.ownAge()
	}
	for _, v := range r.cfg.Voters {
		vs := VoterStatus{ID: v.ID, Address: v.Address}
		if v.ID == r.cfg.Self {
			vs.Reached, vs.Seen, vs.Epoch, vs.Index = true, time.Now(), s.Epoch, s.Index
		} else {
			p := r.peers.get(v.ID)
			vs.Reached, vs.Seen, vs.Epoch, vs.Index = p.reached, p.seen, p.alive.Epoch, p.alive.Index
			if !r.voter && !p.seen.IsZero() {
				s.Age = min(s.Age, time.Since(p.seen)+time.Duration(p.alive.AgeMS)*time.Millisecond)
				if p.reached && p.alive.Term >= s.Term && p.alive.Leader != "" {
					s.Term, s.Leader = p.alive.Term, p.alive.Leader
				}
			}
		}
		s.Voters = append(s.Voters, vs)
	}
	return s
}
