// Package control holds the replicated state that people switch by hand: routing controls, the manual states of endpoints, the
// latches of pools. It holds zone keys and ACME challenges beside them, and refuses unsafe changes.
//
// A State is made from the one before by Apply, and from nothing else: safety rules are
// decided inside Apply, so every voter that applies the same entries refuses the same
// commands and holds the same bytes. A State never changes after it was made; any number
// of goroutines may read it.
//
// The package opens no socket or file and reads no clock: the leader stamps the command,
// and the time of a state never goes back. Always holds: a command that names no override
// breaks no safety rule that held before it; a refused command changes nothing but the
// history; a change of definitions flips no control; no clock ends an overlay, only a command.
package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A ControlID is the name of a routing control; it is unique over all panels.
type ControlID string

// A PanelID is the name of a panel: the controls that may be changed together.
type PanelID string

// An Assertion is what a safety rule says of its controls.
type Assertion string

const (
	AtLeast Assertion = "at_least" // Threshold of them are on
	All     Assertion = "all"      // every one is on
	Any     Assertion = "any"      // one is on
)

// The limits of definitions. DefaultWait is the wait period of a rule that names none.
const (
	maxPanels   = 200
	maxControls = 100 // of one panel
	maxRules    = 100 // of one panel
	maxPools    = 2000
	maxContents = 1000
	maxName     = 100

	DefaultWait = 5 * time.Second
	maxWait     = time.Hour
)

// LastOn begins the name of the rule that is built in for every pool: it keeps its last on control.
const LastOn = "last-on:"

// Definitions are what the configuration says of controls, and what else all nodes have to agree on. The zero value has none.
// A copy shares its slices.
type Definitions struct {
	Panels   []Panel        `json:"panels,omitempty"`
	Pools    []PoolControls `json:"pools,omitempty"`
	Contents []Content      `json:"contents,omitempty"`
}

// A Content says what is in a zone whose serial comes from the generation of the definitions: so each content has its own.
type Content struct {
	Zone   string `json:"zone"` // fully qualified, lower case
	Digest uint64 `json:"digest"`
}

// A Panel is a group of controls, with the rules over them.
type Panel struct {
	Name     PanelID      `json:"name"`
	Controls []NewControl `json:"controls"`
	Rules    []Rule       `json:"rules,omitempty"`
}

// A NewControl says how a control starts. One that exists already stays as it is.
type NewControl struct {
	Name       ControlID `json:"name"`
	InitialOff bool      `json:"initial_off,omitempty"` // for a region that is not open yet
}

// A Rule is a safety rule: an assertion over controls of its panel.
type Rule struct {
	Name      string        `json:"name"`
	Assert    Assertion     `json:"assert"`
	Inverted  bool          `json:"inverted,omitempty"`  // the opposite must hold
	Threshold int           `json:"threshold,omitempty"` // of at_least: 1 to len(Of)
	Of        []ControlID   `json:"of"`
	Wait      time.Duration `json:"wait_ns,omitempty"` // from one change of an asserted control to the next; 0: DefaultWait, negative: none
}

// PoolControls lists the controls of a pool's members. A pool that also has members without
// a control can't be switched off as a whole: leave it out.
type PoolControls struct {
	Pool     string      `json:"pool"`
	Controls []ControlID `json:"controls"`
}

// normal returns a copy of d in which order and ways of writing make no difference.
func (d Definitions) normal() Definitions {
	var n Definitions
	for _, p := range d.Panels {
		p.Controls = slices.Clone(p.Controls)
		slices.SortFunc(p.Controls, func(a, b NewControl) int { return cmp.Compare(a.Name, b.Name) })
		p.Rules = slices.Clone(p.Rules)
		for i := range p.Rules {
			r := &p.Rules[i]
			r.Of = slices.Sorted(slices.Values(r.Of))
			if r.Wait == 0 {
				r.Wait = DefaultWait
			}
			r.Wait = max(r.Wait, -1)
		}
		slices.SortFunc(p.Rules, func(a, b Rule) int { return cmp.Compare(a.Name, b.Name) })
		n.Panels = append(n.Panels, p)
	}
	slices.SortFunc(n.Panels, func(a, b Panel) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range d.Pools {
		p.Controls = slices.Compact(slices.Sorted(slices.Values(p.Controls)))
		n.Pools = append(n.Pools, p)
	}
	slices.SortFunc(n.Pools, func(a, b PoolControls) int { return cmp.Compare(a.Pool, b.Pool) })
	n.Contents = slices.Clone(d.Contents)
	slices.SortFunc(n.Contents, func(a, b Content) int { return cmp.Compare(a.Zone, b.Zone) })
	return n
}

// Digest is equal for definitions that mean the same, in whatever order they are written.
func (d Definitions) Digest() health.Hash64 {
	text, err := json.Marshal(d.normal())
	if err != nil {
		panic(fmt.Sprintf("control: definitions do not encode: %v", err)) // structs of strings and numbers always do
	}
	sum := sha256.Sum256(text)
	return health.Hash64(binary.BigEndian.Uint64(sum[:]))
}

// Check reports every mistake in d; the error wraps ErrDefinitions.
func (d Definitions) Check() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if len(d.Panels) > maxPanels || len(d.Pools) > maxPools || len(d.Contents) > maxContents {
		return fmt.Errorf("%w: %d panels, %d pools and %d contents of zones, at most %d, %d and %d", ErrDefinitions,
			len(d.Panels), len(d.Pools), len(d.Contents), maxPanels, maxPools, maxContents)
	}
	panels, of := make(map[PanelID]bool), make(map[ControlID]PanelID)
	for _, p := range d.Panels {
		if err := checkName(string(p.Name)); err != nil {
			bad("panel %q: %w", p.Name, err)
		}
		if panels[p.Name] {
			bad("panel %q: listed twice", p.Name)
		}
		panels[p.Name] = true
		if n := len(p.Controls); n == 0 || n > maxControls {
			bad("panel %q: %d controls, want 1 to %d", p.Name, n, maxControls)
		}
		for _, c := range p.Controls[:min(len(p.Controls), maxControls)] {
			if err := checkName(string(c.Name)); err != nil {
				bad("panel %q: control %q: %w", p.Name, c.Name, err)
			}
			if other, ok := of[c.Name]; ok {
				bad("panel %q: control %q: already in panel %q", p.Name, c.Name, other)
			}
			of[c.Name] = p.Name
		}
	}
	for _, p := range d.Panels {
		checkRules(p, of, bad)
	}
	pools := make(map[string]bool)
	for _, p := range d.Pools {
		if err := checkName(p.Pool); err != nil {
			bad("pool %q: %w", p.Pool, err)
		}
		if pools[p.Pool] {
			bad("pool %q: listed twice", p.Pool)
		}
		pools[p.Pool] = true
		if n := len(p.Controls); n == 0 || n > maxPanels*maxControls {
			bad("pool %q: %d controls, want 1 to %d", p.Pool, n, maxPanels*maxControls)
		}
		for _, c := range p.Controls {
			if _, ok := of[c]; !ok {
				bad("pool %q: unknown control %q", p.Pool, c)
			}
		}
	}
	zones := make(map[string]bool)
	for _, c := range d.Contents {
		if err := checkZone(c.Zone); err != nil {
			bad("contents: %w", err)
		}
		if zones[c.Zone] {
			bad("contents of zone %q: listed twice", c.Zone)
		}
		zones[c.Zone] = true
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDefinitions, errors.Join(wrong...))
}

func checkRules(p Panel, panelOf map[ControlID]PanelID, bad func(format string, args ...any)) {
	if len(p.Rules) > maxRules {
		bad("panel %q: %d rules, at most %d", p.Name, len(p.Rules), maxRules)
	}
	rules := make(map[string]bool)
	for _, r := range p.Rules[:min(len(p.Rules), maxRules)] {
		bad := func(format string, args ...any) {
			bad("panel %q: rule %q: "+format, append([]any{p.Name, r.Name}, args...)...)
		}
		if err := checkName(r.Name); err != nil {
			bad("%w", err)
		}
		if rules[r.Name] {
			bad("listed twice")
		}
		rules[r.Name] = true
		if n := len(r.Of); n == 0 || n > maxControls {
			bad("of %d controls, want 1 to %d", n, maxControls)
			continue
		}
		switch r.Assert {
		case AtLeast:
			if r.Threshold < 1 || r.Threshold > len(r.Of) {
				bad("threshold %d, want 1 to %d", r.Threshold, len(r.Of))
			}
		case All, Any:
			if r.Threshold != 0 {
				bad("threshold %d belongs to %s only", r.Threshold, AtLeast)
			}
		default:
			bad("unknown assertion %q (have %s, %s, %s)", r.Assert, AtLeast, All, Any)
		}
		if r.Wait > maxWait {
			bad("wait period %v, at most %v", r.Wait, maxWait)
		}
		seen := make(map[ControlID]bool)
		for _, c := range r.Of {
			if panelOf[c] != p.Name {
				bad("control %q is not of this panel", c)
			}
			if seen[c] {
				bad("control %q is listed twice", c)
			}
			seen[c] = true
		}
	}
}

// checkName allows what needs no quoting anywhere, and neither ":" nor "/", which the names of rules are built with.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a name has 1 to %d bytes, not %d", maxName, len(name))
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.", c) >= 0) {
			return fmt.Errorf("a name has only letters, digits and -_. (not %q)", c)
		}
	}
	return nil
}
