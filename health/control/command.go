package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-gslb/meridian/health"
)

// The limits of a command.
const (
	MaxCommandBytes = 1 << 20 // encoded
	maxReason       = 500
	maxActor        = 200
	maxKey          = 100
	maxOverrides    = 200
	maxErrorText    = 2000
	maxListed       = 32 // violations in a result
)

// A Kind is what a command does.
type Kind string

const (
	KindSet    Kind = "set"    // switches controls of one panel, all or none
	KindDefine Kind = "define" // replaces the definitions
	KindKeys   Kind = "keys"   // sets the DNSSEC keys of one zone
	// More kinds stand beside what they change: KindChallenge, KindOverlay, KindExpire, KindLatch, KindResume, KindFreeze, KindRelease.
)

var kinds = [...]Kind{KindSet, KindDefine, KindKeys, KindChallenge, KindOverlay, KindExpire, KindLatch, KindResume, KindFreeze, KindRelease}

// VotersOnly reports whether commands of the kind are the voters' own: no other node may have one replicated.
func (k Kind) VotersOnly() bool { return k == KindDefine || k == KindExpire || k == KindLatch }

// kindList names every kind.
func kindList() string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// A Command is what someone wants changed. The zero Command is refused.
type Command struct {
	Kind      Kind      `json:"kind"`
	Time      time.Time `json:"time,omitzero"` // stamped by the leader
	Actor     string    `json:"actor"`         // who
	Reason    string    `json:"reason"`        // why; required
	Key       string    `json:"key,omitempty"` // the same key again gives the first result; empty: none
	Overrides []string  `json:"overrides,omitempty"`

	// Via is the node that took the command in. Whoever replicates it vouches for that; Actor is only claimed.
	Via health.NodeID `json:"via,omitempty"`

	Panel    PanelID  `json:"panel,omitempty"` // set: empty is the panel of the first control
	Switches []Switch `json:"switches,omitempty"`

	Definitions *Definitions `json:"definitions,omitempty"`

	Keys       *NewKeys       `json:"keys,omitempty"`
	Challenges []ChallengeSet `json:"challenges,omitempty"`

	Overlays []OverlaySet `json:"overlays,omitempty"`
	Latch    []Member     `json:"latch,omitempty"`
	Resume   *Member      `json:"resume,omitempty"` // without an endpoint: all of the pool
	Freeze   *bool        `json:"freeze,omitempty"` // on or off
}

// A Switch is one control's part of a set.
type Switch struct {
	Control ControlID `json:"control"`
	On      bool      `json:"on"`
	Version uint64    `json:"version,omitempty"` // refused unless the control is at it; 0: any
}

const commandVersion = 1

type commandWire struct {
	Version int `json:"version"`
	Command
}

// Encode returns the command as it is kept in the log and sent between nodes; the error wraps ErrCommand.
func (c Command) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	data, err := marshal(commandWire{commandVersion, c})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if len(data) > MaxCommandBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrCommand, len(data), MaxCommandBytes)
	}
	return data, nil
}

// DecodeCommand is strict: an unknown version, an unknown field or more than one value is an error, which wraps ErrCommand.
func DecodeCommand(data []byte) (Command, error) {
	var w commandWire
	if len(data) > MaxCommandBytes {
		return Command{}, fmt.Errorf("%w: %d bytes, at most %d", ErrCommand, len(data), MaxCommandBytes)
	}
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return Command{}, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if v.Version != commandVersion {
		return Command{}, fmt.Errorf("%w: version %d (have %d)", ErrCommand, v.Version, commandVersion)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Command{}, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if err := w.Check(); err != nil {
		return Command{}, err
	}
	return w.Command, nil
}

// Check reports whether the command keeps the limits; whether it may be applied is for Apply to say. The error wraps ErrCommand.
func (c Command) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrCommand}, args...)...)
	}
	for _, t := range []struct {
		what, text string
		limit      int
	}{{"actor", c.Actor, maxActor}, {"reason", c.Reason, maxReason}, {"key", c.Key, maxKey}, {"via", string(c.Via), maxName}} {
		if err := checkText(t.text, t.limit); err != nil {
			return bad("%s: %w", t.what, err)
		}
	}
	if c.Actor == "" {
		return bad("actor missing")
	}
	if !sane(c.Time) {
		return bad("time %v", c.Time)
	}
	if len(c.Overrides) > maxOverrides {
		return bad("%d overrides, at most %d", len(c.Overrides), maxOverrides)
	}
	for _, o := range c.Overrides {
		if err := checkText(o, 2*maxName+1); err != nil {
			return bad("override: %w", err)
		}
	}
	if !slices.Contains(kinds[:], c.Kind) {
		return bad("unknown kind %q (have %s)", clip(string(c.Kind), maxName), kindList())
	}
	for _, part := range []struct {
		of    []Kind
		what  string
		there bool
	}{
		{[]Kind{KindSet}, "controls", c.Panel != "" || len(c.Switches) > 0},
		{[]Kind{KindDefine}, "definitions", c.Definitions != nil},
		{[]Kind{KindSet, KindDefine}, "overrides", len(c.Overrides) > 0},
		{[]Kind{KindKeys}, "keys", c.Keys != nil},
		{[]Kind{KindChallenge}, "challenges", len(c.Challenges) > 0},
		{[]Kind{KindOverlay}, "overlays", len(c.Overlays) > 0},
		{[]Kind{KindLatch}, "members to latch", len(c.Latch) > 0},
		{[]Kind{KindResume}, "a pool to resume", c.Resume != nil},
		{[]Kind{KindFreeze}, "a freeze", c.Freeze != nil},
	} {
		if part.there && !slices.Contains(part.of, c.Kind) {
			return bad("%s carries %s", c.Kind, part.what)
		}
	}
	var err error
	switch c.Kind {
	case KindSet:
		err = c.checkSet()
	case KindDefine:
		if c.Definitions == nil {
			err = fmt.Errorf("define carries no definitions")
		}
	case KindKeys:
		if c.Keys == nil {
			err = fmt.Errorf("keys carries no keys of a zone")
		} else {
			err = c.Keys.check()
		}
	case KindChallenge:
		err = c.checkChallenges()
	case KindOverlay:
		err = c.checkOverlaySets()
	case KindLatch:
		err = c.checkMembers()
	case KindResume:
		err = c.checkResume()
	case KindFreeze:
		err = c.checkFreeze()
	}
	if err != nil {
		return bad("%w", err)
	}
	return nil
}

// checkSet reports what is wrong with the part of a command that is about controls.
func (c *Command) checkSet() error {
	if n := len(c.Switches); n == 0 || n > maxControls {
		return fmt.Errorf("%d controls, want 1 to %d", n, maxControls)
	}
	if err := checkText(string(c.Panel), maxName); err != nil {
		return fmt.Errorf("panel: %w", err)
	}
	seen := make(map[ControlID]bool)
	for _, s := range c.Switches {
		if err := checkText(string(s.Control), maxName); err != nil {
			return fmt.Errorf("control: %w", err)
		}
		if seen[s.Control] {
			return fmt.Errorf("control %q is listed twice", s.Control)
		}
		seen[s.Control] = true
	}
	return nil
}

// digest is equal for the same command submitted again, whenever the leader stamped it and through whichever node.
func (c Command) digest() uint64 {
	c.Time, c.Via = time.Time{}, ""
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("control: checked command does not encode: %v", err))
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

// checkText allows what can be shown on one line of a log or a terminal.
func checkText(text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%d bytes, at most %d", len(text), limit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("not UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return fmt.Errorf("control character %q", r)
		}
	}
	return nil
}

// sane reports whether a time, and one a wait period later, can be written as RFC 3339.
func sane(t time.Time) bool {
	year := t.UTC().Year()
	return 1 <= year && year <= 9000
}

// clip cuts text to at most limit bytes, between characters.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = "..."
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
