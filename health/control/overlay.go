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

var manuals = [...]Manual{Auto, ForceUp, ForceDown, Drain}

// Manuals returns every manual state, Auto first. The caller owns the slice.
func Manuals() []Manual { return slices.Clone(manuals[:]) }

// The limits of overlays.
const (
	maxOverlays = 1000 // in all
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
