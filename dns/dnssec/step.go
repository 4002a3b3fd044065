package dnssec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// An EventKind says what happened to a zone's keys.
type EventKind string

// The kinds of event, and the fields of Event that they use.
const (
	Tick       EventKind = "tick"        // time passed
	Configure  EventKind = "configure"   // Nodes, Parents and Limits are these from now on
	Reported   EventKind = "reported"    // Node serves the key set of Generation, and none before it any more
	SeenDS     EventKind = "seen-ds"     // Server of the parent answers DS with TTL; none: that there is none
	Introduce  EventKind = "introduce"   // sign by Keys: a KSK and a ZSK, or one CSK
	RollZSK    EventKind = "roll-zsk"    // replace the ZSK by Keys[0]
	RollKSK    EventKind = "roll-ksk"    // replace the KSK by Keys[0]
	RollCSK    EventKind = "roll-csk"    // replace the CSK by Keys[0]
	DeleteDS   EventKind = "delete-ds"   // leave the chain of trust
	AnnounceDS EventKind = "announce-ds" // come back into it
	Remove     EventKind = "remove"      // stop signing
)

// An Event is what Step works on.
type Event struct {
	Kind       EventKind  `json:"kind"`
	Node       string     `json:"node,omitempty"`
	Generation uint64     `json:"generation,omitempty"`
	Server     string     `json:"server,omitempty"`
	DS         [][]byte   `json:"ds,omitempty"` // RDATA
	TTL        uint32     `json:"ttl,omitempty"`
	Nodes      []string   `json:"nodes,omitempty"`
	Parents    []string   `json:"parents,omitempty"`
	Limits     *Limits    `json:"limits,omitempty"`
	Keys       []KeyState `json:"keys,omitempty"`
}

// ErrBusy is returned for a command that must wait until what is under way is over.
var ErrBusy = errors.New("not now")

// Step returns the state after an event, which happened at now, and leaves s as it is. An error says why a command is
// refused; the state is then as before, but for the time.
//
// A stage is over when every nameserver has reported its key set and the TTL has passed since the last of them did, and
// where the parent is concerned when all its servers show what they should and the TTL of DS has passed since. All of it
// is judged anew at each event, so a nameserver that falls silent, or a server of the parent that goes back, stops it.
func (s *State) Step(now time.Time, e Event) (*State, error) {
	next := s.clone()
	next.advance(now)
	before := next.clone()
	if err := next.apply(e); err != nil {
		return before, fmt.Errorf("zone %s: %w", s.Zone, err)
	}
	next.proceed()
	return next, nil
}

func (s *State) clone() *State {
	c := *s
	c.Keys, c.Nodes, c.Parents = slices.Clone(s.Keys), slices.Clone(s.Nodes), slices.Clone(s.Parents)
	return &c
}

// advance moves the state's own clock: never back, and no further than MaxStep.
func (s *State) advance(now time.Time) {
	passed := max(now.Sub(s.Wall), 0)
	if s.Limits.MaxStep > 0 {
		passed = min(passed, s.Limits.MaxStep)
	}
	s.Clock, s.Wall = s.Clock.Add(passed), now.UTC().Round(0)
}

func (s *State) apply(e Event) error {
	switch e.Kind {
	case Tick:
		return nil
	case Configure:
		return s.configure(e)
	case Reported:
		return s.reported(e.Node, e.Generation)
	case SeenDS:
		return s.seen(e.Server, e.DS, e.TTL)
	case Introduce:
		return s.introduce(e.Keys)
	case RollZSK, RollKSK, RollCSK:
		return s.roll(e.Kind, e.Keys)
	case DeleteDS:
		return s.command(e.Kind, Delete, Steady, Sign, Announce)
	case AnnounceDS:
		return s.command(e.Kind, Sign, Insecure, Delete)
	case Remove:
		if waits := s.parentWaits(nil, nil, 0); s.Stage == Insecure && len(waits) > 0 {
			return fmt.Errorf("remove: %s: %w", waits[0].Text, ErrBusy)
		}
		return s.command(e.Kind, Unsign, Insecure)
	}
	return fmt.Errorf("unknown event %q", e.Kind)
}

func (s *State) configure(e Event) error {
	if l := e.Limits; l == nil || l.DNSKEY == 0 || l.Silence <= 0 || l.ParentSilence <= 0 || l.Propagation < 0 || l.MaxStep < 0 {
		return fmt.Errorf("configure: limits %+v, want a TTL of DNSKEY and times of silence above 0, and none below", l)
	}
	if len(e.Nodes) > maxServers || len(e.Parents) > maxServers {
		return fmt.Errorf("configure: %d nameservers and %d servers of the parent, want at most %d",
			len(e.Nodes), len(e.Parents), maxServers)
	}
	nodes := make([]Node, 0, len(e.Nodes))
	for _, name := range unique(e.Nodes) {
		node := Node{Name: name}
		if i, ok := s.node(name); ok {
			node = s.Nodes[i]
		}
		nodes = append(nodes, node)
	}
	parents := make([]Parent, 0, len(e.Parents))
	for _, name := range unique(e.Parents) {
		parent := Parent{Name: name}
		if i, ok := s.parent(name); ok {
			parent = s.Parents[i]
		}
		parents = append(parents, parent)
	}
	if e.Limits.TTLs != s.Limits.TTLs {
		s.Generation++ // nameservers serve the keys with another TTL
	}
	s.Nodes, s.Parents, s.Limits = nodes, parents, *e.Limits
	s.raise(e.Limits.TTLs)
	return nil
}

func unique(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func (s *State) raise(ttls TTLs) {
	s.Peak = TTLs{DNSKEY: max(s.Peak.DNSKEY, ttls.DNSKEY), Zone: max(s.Peak.Zone, ttls.Zone), DS: max(s.Peak.DS, ttls.DS)}
}

func (s *State) node(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Nodes, name, func(n Node, name string) int { return cmp.Compare(n.Name, name) })
}

func (s *State) parent(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Parents, name, func(p Parent, name string) int { return cmp.Compare(p.Name, name) })
}

func (s *State) reported(name string, generation uint64) error {
	i, ok := s.node(name)
	if !ok {
		return fmt.Errorf("nameserver %q is not listed", name)
	}
	node := &s.Nodes[i]
	if node.Heard.IsZero() || node.Generation != generation {
		node.Generation, node.Since = generation, s.Clock
	}
	node.Heard = s.Clock
	return nil
}

func (s *State) seen(name string, set [][]byte, ttl uint32) error {
	i, ok := s.parent(name)
	if !ok {
		return fmt.Errorf("server %q of the parent is not listed", name)
	}
	if len(set) > maxDS {
		return fmt.Errorf("server %q of the parent has %d DS records, want at most %d", name, len(set), maxDS)
	}
	set = slices.SortedFunc(slices.Values(set), bytes.Compare)
	parent := &s.Parents[i]
	if parent.Seen.IsZero() || !slices.EqualFunc(parent.DS, set, bytes.Equal) {
		parent.DS, parent.Since = set, s.Clock
	}
	parent.Seen = s.Clock
	s.raise(TTLs{DS: ttl})
	return nil
}

// command goes to a stage if the present one is among from.
func (s *State) command(kind EventKind, to Stage, from ...Stage) error {
	if !slices.Contains(from, s.Stage) {
		return fmt.Errorf("%s: its keys are at %s (want %v): %w", kind, s.Stage, from, ErrBusy)
	}
	s.enter(to)
	return nil
}

func (s *State) introduce(keys []KeyState) error {
	if s.Stage != Unsigned {
		return fmt.Errorf("introduce: its keys are at %s (want %s): %w", s.Stage, Unsigned, ErrBusy)
	}
	if err := s.checkNew(keys); err != nil {
		return err
	}
	keys = slices.Clone(keys)
	sortKeys(keys)
	if n := len(keys); n == 0 || n > 2 || keys[0].Flags != FlagsKSK || n == 2 && keys[1].Flags != FlagsZSK {
		return fmt.Errorf("introduce: %d keys, want a KSK and a ZSK, or one KSK that signs all", n)
	}
	s.Keys = keys
	s.enter(Sign)
	return nil
}

// checkNew checks keys that are to be used beside those that are there.
func (s *State) checkNew(keys []KeyState) error {
	all := slices.Clone(s.Keys)
	for _, k := range keys {
		if _, err := k.Key(s.Zone); err != nil {
			return err
		}
		if k.Published || k.SignsKeys || k.SignsData || k.Announced || k.Leaving {
			return fmt.Errorf("key %d is in use already", k.Tag)
		}
		for _, other := range all {
			if other.Algorithm != k.Algorithm {
				return fmt.Errorf("key %d is of %s, the zone's keys are of %s: the algorithm can't be changed by a roll; "+
					"leave the chain of trust (delete-ds, remove) and introduce the new keys",
					k.Tag, AlgorithmName(k.Algorithm), AlgorithmName(other.Algorithm))
			}
			if other.Tag == k.Tag {
				return fmt.Errorf("key %d has the tag of another: make a new one", k.Tag)
			}
		}
		all = append(all, k)
	}
	return nil
}

// roll puts a new key beside the one that it is to replace.
func (s *State) roll(kind EventKind, keys []KeyState) error {
	first := map[EventKind]Stage{RollZSK: ZSKPublish, RollKSK: KSKAnnounce, RollCSK: CSKPublish}[kind]
	if s.Stage != Steady {
		return fmt.Errorf("%s: its keys are at %s (want %s): %w", kind, s.Stage, Steady, ErrBusy)
	}
	flags := uint16(FlagsKSK)
	if kind == RollZSK {
		flags = FlagsZSK
	}
	if len(keys) != 1 || keys[0].Flags != flags {
		return fmt.Errorf("%s: want one key with the flags %d", kind, flags)
	}
	if csk := len(s.Keys) == 1; csk != (kind == RollCSK) {
		return fmt.Errorf("%s: the zone has %s", kind, map[bool]string{true: "a CSK", false: "a KSK and a ZSK"}[csk])
	}
	if err := s.checkNew(keys); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	for i := range s.Keys {
		s.Keys[i].Leaving = s.Keys[i].Flags == flags
	}
	s.Keys = append(s.Keys, keys[0])
	sortKeys(s.Keys)
	s.enter(first)
	return nil
}
