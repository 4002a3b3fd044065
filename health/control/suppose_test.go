package control

import (
	"bytes"
	"testing"
	"time"
)

func TestInitial(t *testing.T) {
	s := Initial(Definitions{Panels: []Panel{
		{Name: "b", Controls: []NewControl{{Name: "z"}, {Name: "c", InitialOff: true}}},
		{Name: "a", Controls: []NewControl{{Name: "m"}}},
	}})
	for id, want := range map[ControlID]bool{"z": true, "c": false, "m": true, "unheard-of": true} {
		if got := s.On(id); got != want {
			t.Errorf("On(%s) = %v, want %v", id, got, want)
		}
	}
	if n := len(s.Controls()); n != 3 {
		t.Errorf("Initial has %d controls, want 3", n)
	}
}

func TestSuppose(t *testing.T) {
	at := time.Unix(1000, 0).UTC()
	s := &State{Epoch: 2, Index: 7, Time: at,
		controls: []Control{{Name: "a", Panel: "p", On: true}, {Name: "c", Panel: "p", On: false}},
		overlays: []Overlay{{Endpoint: "x", State: ForceDown, Actor: "alice", Reason: "broken"}, {Endpoint: "y", State: Drain, Actor: "bob", Reason: "repair"}},
	}
	before := s.Encode()
	got := s.Suppose(map[ControlID]bool{"a": false, "b": false, "c": true}, map[string]Manual{"w": Drain, "x": Auto, "y": Drain, "z": Auto})
	for id, want := range map[ControlID]bool{"a": false, "b": false, "c": true, "d": true} {
		if on := got.On(id); on != want {
			t.Errorf("On(%s) = %v, want %v", id, on, want)
		}
	}
	if c, _ := got.Control("a"); c.Panel != "p" {
		t.Errorf("control a is of panel %q, want p as before", c.Panel)
	}
	var manual []string
	for _, o := range got.Overlays() {
		manual = append(manual, o.Endpoint+" "+string(o.State)+" by "+o.Actor)
	}
	want := []string{"w drain by what-if", "y drain by bob"}
	if len(manual) != 2 || manual[0] != want[0] || manual[1] != want[1] {
		t.Errorf("overlays are %q, want %q", manual, want)
	}
	if !bytes.Equal(s.Encode(), before) {
		t.Error("Suppose changed the state that it was asked of")
	}
	if nothing := (*State)(nil).Suppose(nil, nil); !nothing.On("a") || len(nothing.Overlays()) > 0 {
		t.Errorf("no state and no supposition give %+v", nothing)
	}
}
