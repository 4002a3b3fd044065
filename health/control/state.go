package control

import (
	"cmp"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// The limits of what a state remembers.
const (
	maxHistory = 1000
	maxChanges = 20000 // in all entries of the history
	maxKeys    = 1000
)

// A State is all that is replicated. It is immutable: readers share it freely. The zero
// State, and a nil one, know nothing; New begins a replicated one. Each kind of thing has
// its own part, and every entry carries its time, epoch and index.
type State struct {
	Epoch uint64    // rises when the voters are set up anew after a loss
	Index uint64    // of the last entry
	Time  time.Time // of the last entry; never goes back

	generation  uint64 // rises by one with each change of the definitions
	definitions *Definitions
	digest      health.Hash64
	controls    []Control   // sorted by name
	zoneKeys    []ZoneKeys  // sorted by zone
	history     []*Entry    // oldest first
	keys        []keyed     // oldest first
	dynamic     []Challenge // ordered by name and value
	overlays    []Overlay   // sorted by endpoint
	latches     []Latch     // sorted by pool and endpoint
	freeze      *Freeze     // nil: nothing is frozen
	released    time.Time   // when a mass change was
}

// A Control is the state of one routing control. Copies are independent.
type Control struct {
	Name    ControlID `json:"name"`
	Panel   PanelID   `json:"panel"`
	On      bool      `json:"on"`
	Version uint64    `json:"version"` // 1 when defined, one more with each flip
	Changed time.Time `json:"changed"` // with all that follows: of the last flip, or of its definition
	Epoch   uint64    `json:"epoch"`
	Index   uint64    `json:"index"`
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason"`
}

// An Entry is a line of the audit log. It is immutable.
type Entry struct {
	Epoch     uint64          `json:"epoch"`
	Index     uint64          `json:"index"`
	Time      time.Time       `json:"time"`
	Kind      Kind            `json:"kind"`
	Panel     PanelID         `json:"panel,omitempty"`
	Pool      string          `json:"pool,omitempty"`     // that was to be resumed
	Endpoint  string          `json:"endpoint,omitempty"` // of that pool; empty: all
	Zone      string          `json:"zone,omitempty"`     // whose keys
	Order     string          `json:"order,omitempty"`    // of a person about keys, "roll-zsk"; of challenges, "set NAME, clear NAME"; of a freeze, "on"
	Actor     string          `json:"actor"`              // as the command claims
	Via       health.NodeID   `json:"via,omitempty"`      // the node that took the command in
	Reason    string          `json:"reason"`
	Changes   []Change        `json:"changes,omitempty"`   // of every control the command named; one that is unknown counts as on
	Overlays  []OverlayChange `json:"overlays,omitempty"`  // of every endpoint the command named, or that expired
	Latches   []LatchChange   `json:"latches,omitempty"`   // of members that were not latched before, or were and are resumed
	Rules     []string        `json:"rules,omitempty"`     // that refused, were overridden or stay broken
	Overrides []string        `json:"overrides,omitempty"` // as the command gave them
	Refused   Code            `json:"refused,omitempty"`   // empty: applied
	Text      string          `json:"text,omitempty"`
}

// A Change is what a command did, or would have done, to one control.
type Change struct {
	Control ControlID `json:"control"`
	Before  bool      `json:"before"`
	After   bool      `json:"after"`
}

// An OverlayChange is what a command did, or would have done, to the manual state of one endpoint.
type OverlayChange struct {
	Endpoint string    `json:"endpoint"`
	Before   Manual    `json:"before"`
	After    Manual    `json:"after"`
	Expires  time.Time `json:"expires,omitzero"` // of the state after; of an overlay that expired, its own
}

// A LatchChange is what a command did, or would have done, to the latch of one member of a pool.
type LatchChange struct {
	Member
	Before bool `json:"before"`
	After  bool `json:"after"`
}

// size is how many changes the entry lists.
func (e *Entry) size() int { return len(e.Changes) + len(e.Overlays) + len(e.Latches) }

// keyed is the first result of an idempotency key.
type keyed struct {
	Key    string `json:"key"`
	Digest uint64 `json:"digest"`
	Result Result `json:"result"`
}

// New returns the empty state of an epoch.
func New(epoch uint64) *State { return &State{Epoch: epoch} }

// Newer reports whether s is later than o; anything is later than nil.
func (s *State) Newer(o *State) bool {
	if s == nil || o == nil {
		return s != nil
	}
	return cmp.Or(cmp.Compare(s.Epoch, o.Epoch), cmp.Compare(s.Index, o.Index)) > 0
}

// On reports whether a control is on. A control that the state does not know counts as on:
// a node that has not heard of it must not take its members out. Use Control to tell the two apart.
func (s *State) On(id ControlID) bool {
	c, ok := s.Control(id)
	return !ok || c.On
}

// Control returns the state of one control.
func (s *State) Control(id ControlID) (Control, bool) {
	if s == nil {
		return Control{}, false
	}
	i, ok := s.find(id)
	if !ok {
		return Control{}, false
	}
	return s.controls[i], true
}

func (s *State) find(id ControlID) (int, bool) {
	return slices.BinarySearchFunc(s.controls, id, func(c Control, id ControlID) int { return cmp.Compare(c.Name, id) })
}

// Controls returns all controls, sorted by name. The caller owns the slice.
func (s *State) Controls() []Control {
	if s == nil {
		return nil
	}
	return slices.Clone(s.controls)
}

// History returns the audit log, oldest first: the last 1000 commands. The caller owns the slice, not the entries.
func (s *State) History() []*Entry {
	if s == nil {
		return nil
	}
	return slices.Clone(s.history)
}

// Used reports whether an idempotency key stands for a command already; the empty one never does.
func (s *State) Used(key string) bool {
	return s != nil && key != "" && slices.ContainsFunc(s.keys, func(k keyed) bool { return k.Key == key })
}

// Definitions returns what the controls are defined by, sorted by name; nobody may change it.
func (s *State) Definitions() Definitions {
	if s == nil || s.definitions == nil {
		return Definitions{}
	}
	return *s.definitions
}

// Digest is that of the definitions; the one of empty Definitions before there are any.
func (s *State) Digest() health.Hash64 {
	if s == nil || s.definitions == nil {
		return Definitions{}.Digest()
	}
	return s.digest
}

// Generation counts the changes of the definitions.
func (s *State) Generation() uint64 {
	if s == nil {
		return 0
	}
	return s.generation
}

// ContentOf returns the digest of what is in a zone by the definitions of this generation.
func (s *State) ContentOf(zone string) (digest uint64, defined bool) {
	contents := s.Definitions().Contents
	i, defined := slices.BinarySearchFunc(contents, zone, func(c Content, zone string) int { return cmp.Compare(c.Zone, zone) })
	if !defined {
		return 0, false
	}
	return contents[i].Digest, true
}

// Violations returns every rule that does not hold now, in a fixed order.
func (s *State) Violations() []Violation {
	if s == nil || s.definitions == nil {
		return nil
	}
	var broken []Violation
	for _, r := range s.definitions.rules() {
		if !r.holds(s.On) {
			broken = append(broken, r.violation(s.On))
		}
	}
	return broken
}
