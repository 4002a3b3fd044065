package health

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// Since tells of a change in any part of a status, and of nothing else.
func TestSince(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	some := func() Status {
		return Status{Check: "c/a/ipv4", State: Up, Measured: Up, Since: at, Recovered: at, Assigned: 2, Fresh: 2, Regions: []Vote{
			{Region: "eu", State: Up, Vantages: []Opinion{{Vantage: "e1", State: Up, Reason: ReasonOK, Fresh: true}}},
			{Region: "us", State: Up, Vantages: []Opinion{{Vantage: "u1", State: Up, Reason: ReasonOK, Fresh: true}}},
		}}
	}
	other := Status{Check: "c/b/ipv4", State: Down}
	before := NewView([]Status{some(), other})
	if changed, gone := NewView([]Status{some(), other}).Since(before); len(changed)+len(gone) > 0 {
		t.Errorf("Since an equal view = %v, %v, want nothing", changed, gone)
	}
	if changed, gone := before.Since(before); len(changed)+len(gone) > 0 {
		t.Errorf("Since itself = %v, %v, want nothing", changed, gone)
	}
	if changed, _ := before.Since(nil); len(changed) != 2 || changed[0].Check != "c/a/ipv4" || changed[1].Check != "c/b/ipv4" {
		t.Errorf("Since nil = %v, want both checks in order", changed)
	}
	if changed, gone := NewView([]Status{some()}).Since(before); len(changed) > 0 || !slices.Equal(gone, []CheckID{"c/b/ipv4"}) {
		t.Errorf("Since, without one check = %v, %v, want that one gone", changed, gone)
	}
	changes := map[string]func(*Status){
		"State": func(s *Status) { s.State = Down }, "Measured": func(s *Status) { s.Measured = Down }, "Held": func(s *Status) { s.Held = true },
		"Quorum": func(s *Status) { s.Quorum.Preset = QuorumAll }, "Hold": func(s *Status) { s.Hold = HoldMass },
		"Damped": func(s *Status) { s.Damped = true }, "Shadow": func(s *Status) { s.Shadow = true },
		"Terms":    func(s *Status) { s.Terms = []TermState{{Check: "c/b/ipv4"}} },
		"HeldBack": func(s *Status) { s.HeldBack = true }, "Grace": func(s *Status) { s.Grace = true },
		"Since": func(s *Status) { s.Since = at.Add(1) }, "Recovered": func(s *Status) { s.Recovered = at.Add(1) },
		"Assigned": func(s *Status) { s.Assigned++ }, "Fresh": func(s *Status) { s.Fresh-- },
		"Regions":          func(s *Status) { s.Regions = s.Regions[:1] },
		"Regions.Region":   func(s *Status) { s.Regions[1].Region = "za" },
		"Regions.State":    func(s *Status) { s.Regions[1].State = Down },
		"Regions.Vantages": func(s *Status) { s.Regions[1].Vantages[0].Reason = ReasonDrain },
	}
	for name, change := range changes {
		s := some()
		change(&s)
		if changed, _ := NewView([]Status{s, other}).Since(before); len(changed) != 1 || fmt.Sprint(changed[0]) != fmt.Sprint(s) {
			t.Errorf("Since with another %s = %v, want that status", name, changed)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Status]()) {
		if changes[f.Name] == nil && f.Name != "Check" {
			t.Errorf("Status has a field %s that this test changes nothing of", f.Name)
		}
	}
}
