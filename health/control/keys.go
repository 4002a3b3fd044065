package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The limits of the keys of zones. MaxZoneKeys zones with a handful of nameservers fit well into the bytes.
const (
	MaxZoneKeys      = 2000
	maxZone          = 1020 // an apex as text, every byte of it escaped
	maxZoneState     = 64 << 10
	maxAllZoneStates = 8 << 20
)

// A ZoneKeys is what is agreed of the DNSSEC keys of one zone. Copies share State, which nobody may change.
type ZoneKeys struct {
	Zone    string    `json:"zone"`  // the apex: lower case, fully qualified
	State   []byte    `json:"state"` // opaque; secrets in it are sealed
	Changed time.Time `json:"changed"`
	Epoch   uint64    `json:"epoch"`
	Index   uint64    `json:"index"` // also the version: no two are set at the same
	Actor   string    `json:"actor"`
	Reason  string    `json:"reason"`
}

// NewKeys is what a command says of the keys of one zone.
type NewKeys struct {
	Zone   string `json:"zone"`
	State  []byte `json:"state,omitempty"` // empty: forget them
	Expect uint64 `json:"expect"`          // the index that set those which are there; 0: there are none. Else it is refused
	// Only times in the state are new: the history gets no line, or the clock would push out what people did.
	Times bool `json:"times,omitempty"`
	// Order is what a person ordered, for the history: "roll-zsk". Empty: nobody did, it is a step of a roll.
	Order string `json:"order,omitempty"`
}

// Keys returns what is agreed of the keys of a zone.
func (s *State) Keys(zone string) (ZoneKeys, bool) {
	if s == nil {
		return ZoneKeys{}, false
	}
	i, ok := s.findKeys(zone)
	if !ok {
		return ZoneKeys{}, false
	}
	return s.zoneKeys[i], true
}

func (s *State) findKeys(zone string) (int, bool) {
	return slices.BinarySearchFunc(s.zoneKeys, zone, func(k ZoneKeys, zone string) int { return cmp.Compare(k.Zone, zone) })
}

// AllKeys returns what is agreed of the keys of all zones, sorted by zone. The caller owns the slice.
func (s *State) AllKeys() []ZoneKeys {
	if s == nil {
		return nil
	}
	return slices.Clone(s.zoneKeys)
}

// check reports whether the keys keep the limits of a command.
func (k *NewKeys) check() error {
	if err := checkZone(k.Zone); err != nil {
		return err
	}
	if len(k.State) > maxZoneState {
		return fmt.Errorf("zone %q: keys of %d bytes, at most %d", k.Zone, len(k.State), maxZoneState)
	}
	if err := checkText(k.Order, maxName); err != nil {
		return fmt.Errorf("zone %q: order: %w", k.Zone, err)
	}
	if k.Times && (k.Expect == 0 || len(k.State) == 0) {
		return fmt.Errorf("zone %q: new times of no keys", k.Zone)
	}
	return nil
}

func checkZone(zone string) error {
	if err := checkText(zone, maxZone); err != nil {
		return fmt.Errorf("zone: %w", err)
	}
	if !strings.HasSuffix(zone, ".") || zone != strings.ToLower(zone) {
		return fmt.Errorf("zone %q: want a name in lower case that ends with a dot", zone)
	}
	return nil
}

// setKeys sets or forgets the keys of a zone in s, which is not shared yet, unless it refuses.
func (s *State) setKeys(cmd Command, res Result) Result {
	k := cmd.Keys
	i, known := s.findKeys(k.Zone)
	var at uint64
	by := "nobody"
	if known {
		at, by = s.zoneKeys[i].Index, s.zoneKeys[i].Actor
	}
	if k.Expect != at {
		return res.refuse(fmt.Errorf("%w: keys of zone %q are of index %d, not %d: set by %s", ErrVersion, k.Zone, at, k.Expect, by))
	}
	all := slices.Clone(s.zoneKeys)
	switch keys := (ZoneKeys{k.Zone, k.State, s.Time, s.Epoch, s.Index, cmd.Actor, cmd.Reason}); {
	case len(k.State) == 0 && known:
		all = slices.Delete(all, i, i+1)
	case len(k.State) == 0:
		return res.refuse(fmt.Errorf("%w: zone %q has no keys to forget", ErrKeys, k.Zone))
	case known:
		all[i] = keys
	default:
		all = slices.Insert(all, i, keys)
	}
	if err := checkAllKeys(all); err != nil {
		return res.refuse(fmt.Errorf("%w: %w", ErrKeys, err))
	}
	s.zoneKeys = all
	return res
}

// checkAllKeys reports whether the keys of all zones keep the limits of a state.
func checkAllKeys(all []ZoneKeys) error {
	if len(all) > MaxZoneKeys {
		return fmt.Errorf("keys of %d zones, at most %d", len(all), MaxZoneKeys)
	}
	size := 0
	for _, k := range all {
		size += len(k.State)
	}
	if size > maxAllZoneStates {
		return fmt.Errorf("keys of %d zones with %d bytes, at most %d", len(all), size, maxAllZoneStates)
	}
	return nil
}

// checkDecodedKeys reports whether Apply could have made the keys.
func checkDecodedKeys(all []ZoneKeys) error {
	for i, k := range all {
		if err := checkZone(k.Zone); err != nil {
			return err
		}
		if len(k.State) == 0 || len(k.State) > maxZoneState {
			return fmt.Errorf("zone %q: keys of %d bytes, want 1 to %d", k.Zone, len(k.State), maxZoneState)
		}
		if i > 0 && all[i-1].Zone >= k.Zone {
			return fmt.Errorf("zone %q: keys out of order", k.Zone)
		}
	}
	return checkAllKeys(all)
}
