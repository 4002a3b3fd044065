package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A SavedStatus is a status on disk.
type SavedStatus struct {
	Check      CheckID   `json:"check"`
	Definition uint32    `json:"definition"`
	State      State     `json:"state"`
	Since      time.Time `json:"since"`
	Recovered  time.Time `json:"recovered,omitzero"`
	Proven     bool      `json:"proven,omitempty"` // its check was once up, for some target, under this definition
}

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown state %q", text)
	}
	*s = State(i)
	return nil
}

// Load gives the table the statuses of an earlier run. They are held until there is fresh evidence.
func (t *Table) Load(saved []SavedStatus) {
	for _, s := range saved {
		t.loaded[s.Check] = s
	}
}

// Saved returns the statuses to keep on disk, ordered: those that were loaded and wait for a world included, for a node
// whose world does not compile must not forget them.
func (t *Table) Saved() []SavedStatus {
	saved := slices.Collect(maps.Values(t.loaded))
	for _, id := range slices.Sorted(maps.Keys(t.checks)) {
		if e := t.checks[id]; e.status.State != Unknown {
			saved = append(saved, SavedStatus{id, e.definition, e.status.State, e.status.Since, e.status.Recovered, t.isProven(e)})
		}
	}
	slices.SortFunc(saved, func(a, b SavedStatus) int { return cmp.Compare(a.Check, b.Check) })
	return saved
}
