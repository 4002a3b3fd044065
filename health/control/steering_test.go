package control

import (
	"reflect"
	"slices"
	"testing"
)

// What answers follow from is in the steering part of a state, whatever else it holds.
func TestSteering(t *testing.T) {
	full := reflect.New(reflect.TypeFor[State]()).Elem()
	kept := []string{"Epoch", "Index", "Time", "generation", "definitions", "digest", "controls", "dynamic", "overlays", "latches"}
	left := []string{"history", "zoneKeys", "keys", "freeze", "released"}
	for i := range full.NumField() {
		if name := full.Type().Field(i).Name; slices.Contains(kept, name) == slices.Contains(left, name) {
			t.Errorf("State has a field %s: do answers follow from it?", name)
		}
	}
	s := &State{Epoch: 1, Index: 7, history: []*Entry{{Index: 7}}, zoneKeys: []ZoneKeys{{Zone: "a."}}, keys: []keyed{{Key: "k"}},
		overlays: []Overlay{{Endpoint: "e", State: Drain}}, latches: []Latch{{Pool: "p", Endpoint: "e"}}}
	only := s.Steering()
	if _, ok := only.Overlay("e"); !ok || !only.Latched("p", "e") || only.Epoch != 1 || only.Index != 7 {
		t.Errorf("Steering() = %+v, want what is in %+v", only, s)
	}
	if len(only.History())+len(only.AllKeys())+len(only.keys) > 0 {
		t.Errorf("Steering() = %+v, want no history and no keys", only)
	}
	if len(s.History()) != 1 || len(s.AllKeys()) != 1 {
		t.Error("Steering changed the state that it is of")
	}
	if (*State)(nil).Steering() != nil {
		t.Error("Steering of nil is not nil")
	}
	decoded, err := Decode(only.Encode())
	if err != nil || !slices.Equal(decoded.overlays, only.overlays) || !slices.Equal(decoded.latches, only.latches) {
		t.Errorf("Decode(Encode(Steering())) = %+v, %v, want %+v", decoded, err, only)
	}
}
