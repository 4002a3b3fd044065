package control

import (
	"encoding/json"
	"fmt"
	"time"
)

// MaxStateBytes bounds an encoded state. The limits of its parts keep it far below.
const MaxStateBytes = 32 << 20

const stateVersion = 1

// stateWire is a state as snapshots and pushes carry it. Each part of the state has its own key, and a
// reader passes over parts that it does not know, so that nodes one version apart work together.
type stateWire struct {
	Version     int          `json:"version"`
	Epoch       uint64       `json:"epoch"`
	Index       uint64       `json:"index"`
	Time        time.Time    `json:"time,omitzero"`
	Generation  uint64       `json:"generation,omitempty"`
	Definitions *Definitions `json:"definitions,omitempty"`
	Controls    []Control    `json:"controls,omitempty"`
	ZoneKeys    []ZoneKeys   `json:"zone_keys,omitempty"`
	History     []*Entry     `json:"history,omitempty"`
	Keys        []keyed      `json:"keys,omitempty"`
	Dynamic     []Challenge  `json:"dynamic,omitempty"`
	Overlays    []Overlay    `json:"overlays,omitempty"`
	Latches     []Latch      `json:"latches,omitempty"`
	Freeze      *Freeze      `json:"freeze,omitempty"`
	Released    time.Time    `json:"released,omitzero"`
}

// Encode returns the state as bytes; equal states give equal bytes. They hold no secret: the private keys of zones are sealed.
func (s *State) Encode() []byte {
	data, err := marshal(stateWire{stateVersion, s.Epoch, s.Index, s.Time, s.generation, s.definitions, s.controls, s.zoneKeys, s.history, s.keys, s.dynamic,
		s.overlays, s.latches, s.freeze, s.released})
	if err != nil {
		panic(fmt.Sprintf("control: state does not encode: %v", err)) // Apply and Decode let nothing in that does not
	}
	return data
}

// Decode reads what Encode wrote, and refuses what Apply could not have made.
func Decode(data []byte) (*State, error) {
	bad := func(format string, args ...any) (*State, error) {
		return nil, fmt.Errorf("control state: "+format, args...)
	}
	if len(data) > MaxStateBytes {
		return bad("%d bytes, at most %d", len(data), MaxStateBytes)
	}
	var w stateWire
	if err := json.Unmarshal(data, &w); err != nil {
		return bad("%w", err)
	}
	if w.Version != stateVersion {
		return bad("version %d (have %d)", w.Version, stateVersion)
	}
	if len(w.History) > maxHistory || len(w.Keys) > maxKeys {
		return bad("%d entries and %d keys, at most %d and %d", len(w.History), len(w.Keys), maxHistory, maxKeys)
	}
	times := []*time.Time{&w.Time}
	for _, e := range w.History {
		if e == nil {
			return bad("empty entry in the history")
		}
		times = append(times, &e.Time)
		for i := range e.Overlays {
			times = append(times, &e.Overlays[i].Expires)
		}
	}
	for i := range w.Keys {
		r := &w.Keys[i].Result
		times = append(times, &r.Time)
		for j := range r.Rules {
			times = append(times, &r.Rules[j].Until)
		}
	}
	for i := range w.Controls {
		times = append(times, &w.Controls[i].Changed)
	}
	for i := range w.ZoneKeys {
		times = append(times, &w.ZoneKeys[i].Changed)
	}
	for i := range w.Overlays {
		times = append(times, &w.Overlays[i].Changed, &w.Overlays[i].Expires)
	}
	for i := range w.Latches {
		times = append(times, &w.Latches[i].Since)
	}
	times = append(times, &w.Released)
	if w.Freeze != nil {
		times = append(times, &w.Freeze.Since)
	}
	for _, t := range times {
		if *t = t.UTC(); !sane(*t) {
			return bad("time %v", *t)
		}
	}
	if err := checkDecodedKeys(w.ZoneKeys); err != nil {
		return bad("%w", err)
	}
	if err := checkDynamic(w.Dynamic); err != nil {
		return bad("%w", err)
	}
	if err := checkOverlays(w.Overlays); err != nil {
		return bad("%w", err)
	}
	if err := checkLatches(w.Latches); err != nil {
		return bad("%w", err)
	}
	if err := w.Freeze.checkDecoded(); err != nil {
		return bad("%w", err)
	}
	s := &State{Epoch: w.Epoch, Index: w.Index, Time: w.Time, generation: w.Generation, zoneKeys: w.ZoneKeys, history: w.History, keys: w.Keys, dynamic: w.Dynamic,
		overlays: w.Overlays, latches: w.Latches, freeze: w.Freeze, released: w.Released}
	panels := make(map[ControlID]PanelID)
	if w.Definitions != nil {
		if err := w.Definitions.Check(); err != nil {
			return bad("%w", err)
		}
		d := w.Definitions.normal()
		s.definitions, s.digest = &d, d.Digest()
		for _, p := range d.Panels {
			for _, c := range p.Controls {
				panels[c.Name] = p.Name
			}
		}
	}
	if len(w.Controls) != len(panels) {
		return bad("%d controls, %d defined", len(w.Controls), len(panels))
	}
	for i := range w.Controls {
		c := &w.Controls[i]
		if panel, ok := panels[c.Name]; !ok || panel != c.Panel || c.Version == 0 {
			return bad("control %q of panel %q, version %d: not as defined", c.Name, c.Panel, c.Version)
		}
		if i > 0 && w.Controls[i-1].Name >= c.Name {
			return bad("control %q out of order", c.Name)
		}
	}
	s.controls = w.Controls
	return s, nil
}
