package replica

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/meridian-gslb/meridian/health/control"
)

// firstEpoch is that of voters who were never set up anew.
const firstEpoch = 1

// A machine is the state machine that raft feeds: all decisions are control.State.Apply's.
type machine struct {
	publish func(*control.State)

	mu    sync.Mutex // raft snapshots on another goroutine than it applies on
	state *control.State
}

func newMachine(publish func(*control.State)) *machine {
	return &machine{publish: publish, state: control.New(firstEpoch)}
}

// Apply implements raft.FSM and returns a control.Result.
func (m *machine) Apply(log *raft.Log) any {
	cmd, err := control.DecodeCommand(log.Data)
	if err != nil {
		return control.Refuse(err) // the same on every voter
	}
	m.mu.Lock()
	next, result := m.state.Apply(log.Index, cmd)
	m.state = next
	m.mu.Unlock()
	m.publish(next)
	return result
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return machineSnapshot{m.state}, nil
}

// Restore implements raft.FSM.
func (m *machine) Restore(from io.ReadCloser) error {
	data, err := io.ReadAll(io.LimitReader(from, control.MaxStateBytes+1))
	if err := errors.Join(err, from.Close()); err != nil {
		return err
	}
	state, err := control.Decode(data)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	m.mu.Lock()
	m.state = state
	m.mu.Unlock()
	m.publish(state)
	return nil
}

type machineSnapshot struct{ state *control.State }

func (s machineSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.state.Encode()); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (machineSnapshot) Release() {}
