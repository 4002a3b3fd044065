package control

import (
	"maps"
	"slices"
)

// supposed is the actor and the reason of what nobody ordered.
const supposed = "what-if"

// Initial returns how the controls of definitions start when all of them are new, and nothing else: for what is reckoned without
// voters. No command made it, so it must not be replicated.
func Initial(d Definitions) *State {
	on := make(map[ControlID]bool)
	for _, p := range d.Panels {
		for _, c := range p.Controls {
			on[c.Name] = !c.InitialOff
		}
	}
	return (*State)(nil).Suppose(on, nil)
}

// Suppose returns the state as if some controls were on or off and some endpoints in a manual state, for what-ifs. Neither rules nor
// limits are asked. No command made it, so it must not be replicated.
func (s *State) Suppose(on map[ControlID]bool, manual map[string]Manual) *State {
	var next State
	if s != nil {
		next = *s
	}
	next.controls = slices.Clone(next.controls)
	for _, id := range slices.Sorted(maps.Keys(on)) {
		i, ok := next.find(id)
		if !ok {
			next.controls = slices.Insert(next.controls, i, Control{Name: id})
		}
		next.controls[i].On = on[id]
	}
	next.overlays = slices.Clone(next.overlays)
	for _, endpoint := range slices.Sorted(maps.Keys(manual)) {
		i, ok := findOverlay(next.overlays, endpoint)
		switch state := manual[endpoint]; {
		case state == Auto && ok:
			next.overlays = slices.Delete(next.overlays, i, i+1)
		case state == Auto:
		case ok && next.overlays[i].State == state:
		default:
			if !ok {
				next.overlays = slices.Insert(next.overlays, i, Overlay{})
			}
			next.overlays[i] = Overlay{Endpoint: endpoint, State: state, Changed: next.Time, Actor: supposed, Reason: supposed}
		}
	}
	return &next
}
