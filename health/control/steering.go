package control

import "time"

// Steering returns the state without what no steered answer follows from: the history, the keys of zones, and the idempotency keys. It is
// for those who keep many states, and not one that Apply may go on from.
func (s *State) Steering() *State {
	if s == nil {
		return nil
	}
	only := *s
	only.history, only.zoneKeys, only.keys, only.freeze, only.released = nil, nil, nil, nil, time.Time{}
	return &only
}
