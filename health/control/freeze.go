package control

import (
	"fmt"
	"time"
)

// KindFreeze stops all automatic change of what is answered, or lets it go on.
const KindFreeze Kind = "freeze"

// KindRelease ends the hold of a mass change, so that what is measured is obeyed.
const KindRelease Kind = "release"

// A Freeze is in force while statuses stay as they are, whatever is measured. Copies are independent.
type Freeze struct {
	Since  time.Time `json:"since"`
	Epoch  uint64    `json:"epoch"`
	Index  uint64    `json:"index"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
}

// Frozen returns the freeze in force.
func (s *State) Frozen() (f Freeze, on bool) {
	if s == nil || s.freeze == nil {
		return Freeze{}, false
	}
	return *s.freeze, true
}

// Released returns when a mass change was last released; zero: never.
func (s *State) Released() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.released
}

func (c *Command) checkFreeze() error {
	if c.Freeze == nil {
		return fmt.Errorf("freeze says neither on nor off")
	}
	return nil
}

// setFreeze freezes or thaws s, which is not shared yet. To freeze again changes nothing: who froze first is shown.
func (s *State) setFreeze(cmd Command, res Result) Result {
	switch {
	case *cmd.Freeze && s.freeze == nil:
		s.freeze = &Freeze{s.Time, s.Epoch, s.Index, cmd.Actor, cmd.Reason}
	case !*cmd.Freeze:
		s.freeze = nil
	}
	return res
}

// release notes that what is held of a mass change is to be obeyed.
func (s *State) release(res Result) Result {
	s.released = s.Time
	return res
}

// checkDecoded refuses what Apply could not have made.
func (f *Freeze) checkDecoded() error {
	if f == nil {
		return nil
	}
	if err := checkText(f.Actor, maxActor); err != nil {
		return fmt.Errorf("freeze: actor: %w", err)
	}
	if err := checkText(f.Reason, maxReason); err != nil {
		return fmt.Errorf("freeze: reason: %w", err)
	}
	return nil
}
