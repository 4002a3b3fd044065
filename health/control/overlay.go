package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Manual is what a person wants of an endpoint, over whatever is measured of it.
type Manual string

const (
	Auto      Manual = "auto"       // nothing: what is measured counts. It takes an overlay away
	ForceUp   Manual = "force_up"   // counts as up; a routing control that is off still wins
	ForceDown Manual = "force_down" // is not answered
	Drain     Manual = "drain"      // takes no new clients: answered before any that is down, never before one that is up
)

// KindOverlay sets the manual state of endpoints, all or none.
const KindOverlay Kind = "overlay"

// KindExpire takes away the overlays whose time is over by the time of the entry. Whoever leads the voters proposes it.
const KindExpire Kind = "expire"

var manuals = [...]Manual{Auto, ForceUp, ForceDown, Drain}

// Manuals returns every manual state, Auto first. The caller owns the slice.
func Manuals() []Manual { return slices.Clone(manuals[:]) }

// The limits of overlays.
const (
	maxOverlays    = 1000 // in all
	maxOverlaySets = 100  // of one command
	minOverlayLife = time.Second
)

// An Overlay is the manual state of an endpoint, the same in every pool that has it. It stays in force past its expiry until
// a committed command ends it. Copies are independent.
type Overlay struct {
	Endpoint string    `json:"endpoint"`
	State    Manual    `json:"state"`            // never Auto
	Expires  time.Time `json:"expires,omitzero"` // zero: never
	Changed  time.Time `json:"changed"`          // since when the endpoint is in this state
	Epoch    uint64    `json:"epoch"`            // with all that follows: of the last command that set the state or its expiry
	Index    uint64    `json:"index"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
}

// An OverlaySet is one endpoint's part of a command. Setting a state that is there gives it another expiry.
type OverlaySet struct {
	Endpoint string        `json:"endpoint"`
	State    Manual        `json:"state"`
	For      time.Duration `json:"for_ns,omitempty"` // from the time of the entry, at least a second; 0: as Expires says
	Expires  time.Time     `json:"expires,omitzero"` // zero: never
}

// Overdue reports whether the overlay should have ended by now: nobody could commit its end yet.
func (o Overlay) Overdue(now time.Time) bool { return !o.Expires.IsZero() && !now.Before(o.Expires) }

// Overlay returns the manual state of an endpoint; false: it has none.
func (s *State) Overlay(endpoint string) (Overlay, bool) {
	if s == nil {
		return Overlay{}, false
	}
	i, ok := findOverlay(s.overlays, endpoint)
	if !ok {
		return Overlay{}, false
	}
	return s.overlays[i], true
}

func findOverlay(all []Overlay, endpoint string) (int, bool) {
	return slices.BinarySearchFunc(all, endpoint, func(o Overlay, endpoint string) int { return cmp.Compare(o.Endpoint, endpoint) })
}

// Overlays returns the manual states of all endpoints that have one, sorted by endpoint. The caller owns the slice.
func (s *State) Overlays() []Overlay {
	if s == nil {
		return nil
	}
	return slices.Clone(s.overlays)
}

// check reports whether m is a manual state.
func (m Manual) check() error {
	if slices.Contains(manuals[:], m) {
		return nil
	}
	var have []string
	for _, known := range manuals {
		have = append(have, string(known))
	}
	return fmt.Errorf("unknown state %q (have %s)", clip(string(m), maxName), strings.Join(have, ", "))
}

// checkOverlaySets reports what is wrong with the part of a command that is about overlays.
func (c *Command) checkOverlaySets() error {
	if n := len(c.Overlays); n == 0 || n > maxOverlaySets {
		return fmt.Errorf("%d endpoints, want 1 to %d", n, maxOverlaySets)
	}
	seen := make(map[string]bool)
	for i := range c.Overlays {
		o := &c.Overlays[i]
		if err := o.check(); err != nil {
			return fmt.Errorf("endpoint %q: %w", clip(o.Endpoint, maxName), err)
		}
		if seen[o.Endpoint] {
			return fmt.Errorf("endpoint %q is listed twice", o.Endpoint)
		}
		seen[o.Endpoint] = true
	}
	return nil
}

func (o *OverlaySet) check() error {
	if err := cmp.Or(checkName(o.Endpoint), o.State.check()); err != nil {
		return err
	}
	expires := !o.Expires.IsZero()
	switch {
	case o.State == Auto && (o.For != 0 || expires):
		return fmt.Errorf("%s takes an overlay away, so it can't expire", Auto)
	case o.For != 0 && expires:
		return fmt.Errorf("expires after %v and at %s, want one of them", o.For, o.Expires.UTC().Format(time.RFC3339))
	case o.For != 0 && o.For < minOverlayLife:
		return fmt.Errorf("for %v, want at least %v", o.For, minOverlayLife)
	case expires && !sane(o.Expires):
		return fmt.Errorf("expires at %v", o.Expires)
	}
	return nil
}

// until is when an overlay that is set at a time expires; zero: never.
func (o *OverlaySet) until(now time.Time) time.Time {
	if o.For == 0 {
		return o.Expires.UTC().Round(0)
	}
	end := now.Add(o.For).Truncate(time.Second) // which is after now, for it is a second at least
	if !sane(end) {
		return now // so it is refused
	}
	return end
}

// overlay sets overlays in s, which is not shared yet, unless it refuses.
func (s *State) overlay(cmd Command, res Result) Result {
	all := slices.Clone(s.overlays)
	var late, changed []string
	for i := range cmd.Overlays {
		set := &cmd.Overlays[i]
		o := Overlay{set.Endpoint, set.State, set.until(s.Time), s.Time, s.Epoch, s.Index, cmd.Actor, cmd.Reason}
		if o.Overdue(s.Time) {
			late = append(late, fmt.Sprintf("endpoint %q: expires at %s, want a time after %s", o.Endpoint,
				o.Expires.Format(time.RFC3339), s.Time.Format(time.RFC3339)))
			continue
		}
		at, there := findOverlay(all, o.Endpoint)
		switch {
		case o.State == Auto && there:
			all = slices.Delete(all, at, at+1)
		case o.State == Auto:
			continue
		case !there:
			all = slices.Insert(all, at, o)
		case all[at].State != o.State:
			all[at] = o
		case all[at].Expires.Equal(o.Expires):
			continue
		default:
			o.Changed = all[at].Changed
			all[at] = o
		}
		changed = append(changed, o.Endpoint)
	}
	if len(late) > 0 {
		slices.Sort(late)
		return res.refuse(fmt.Errorf("%w: %s", ErrCommand, strings.Join(late, "; ")))
	}
	if err := checkOverlays(all); err != nil {
		return res.refuse(fmt.Errorf("%w: %w", ErrCommand, err))
	}
	slices.Sort(changed)
	s.overlays, res.Endpoints = all, changed
	return res
}

// expire ends the overlays of s, which is not shared yet, that are overdue by the time of the entry. It reports whether any was.
func (s *State) expire(res Result, entry *Entry) (Result, bool) {
	var left []Overlay
	for _, o := range s.overlays {
		if !o.Overdue(s.Time) {
			left = append(left, o)
			continue
		}
		res.Endpoints = append(res.Endpoints, o.Endpoint)
		entry.Overlays = append(entry.Overlays, OverlayChange{o.Endpoint, o.State, Auto, o.Expires})
	}
	if len(res.Endpoints) == 0 {
		return res, false
	}
	s.overlays = left
	return res, true
}

// overlayChanges says what a command wants of overlays, sorted by endpoint, whatever becomes of it.
func (s *State) overlayChanges(sets []OverlaySet) (changes []OverlayChange) {
	for i := range sets {
		before := Auto
		if o, ok := s.Overlay(sets[i].Endpoint); ok {
			before = o.State
		}
		changes = append(changes, OverlayChange{sets[i].Endpoint, before, sets[i].State, sets[i].until(s.Time)})
	}
	slices.SortFunc(changes, func(a, b OverlayChange) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return changes
}

// checkOverlays refuses what Apply could not have made.
func checkOverlays(all []Overlay) error {
	if len(all) > maxOverlays {
		return fmt.Errorf("overlays of %d endpoints, at most %d", len(all), maxOverlays)
	}
	for i := range all {
		o := &all[i]
		err := checkName(o.Endpoint)
		switch {
		case err != nil:
		case o.State == Auto:
			err = fmt.Errorf("overlay of state %q", Auto)
		default:
			err = o.State.check()
		}
		if err != nil {
			return fmt.Errorf("endpoint %q: %w", clip(o.Endpoint, maxName), err)
		}
		if i > 0 && all[i-1].Endpoint >= o.Endpoint {
			return fmt.Errorf("overlay of endpoint %q out of order", o.Endpoint)
		}
	}
	return nil
}
