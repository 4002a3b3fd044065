package zones

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/meridian-gslb/meridian/health/control"
)

// What is allowed, and seldom does what it was written for, has its warning beside it.
func TestTraps(t *testing.T) {
	const dir = "testdata/traps"
	world, err := Parse(readWorld(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join(dir, "warnings.txt"), Problems(world.Warnings).Error()+"\n")
}

// Whether rules exclude or imply each other is as when every state of the controls is tried.
func TestBoundsAgreeWithAllStates(t *testing.T) {
	all := []control.ControlID{"a", "b", "c", "d"}
	var bounds []bound
	for set := 1; set < 1<<len(all); set++ {
		var of []control.ControlID
		for i, c := range all {
			if set>>i&1 == 1 {
				of = append(of, c)
			}
		}
		for n := 1; n <= len(of); n++ {
			bounds = append(bounds, bound{n: n, of: of}, bound{atMost: true, n: n - 1, of: of})
		}
	}
	holds := func(b *bound, state int) bool {
		on := 0
		for i, c := range all {
			if state>>i&1 == 1 && slices.Contains(b.of, c) {
				on++
			}
		}
		if b.atMost {
			return on <= b.n
		}
		return on >= b.n
	}
	excluded, implied := 0, 0
	for i := range bounds {
		for j := range bounds {
			a, b := &bounds[i], &bounds[j]
			together, alone := false, false
			for state := range 1 << len(all) {
				together = together || holds(a, state) && holds(b, state)
				alone = alone || holds(a, state) && !holds(b, state)
			}
			if got := a.excludes(b); got != !together {
				t.Fatalf("%+v excludes %+v: %v, want %v", a, b, got, !together)
			}
			// A bound of one kind never says more than one of the other kind, but for what all states fulfil.
			if got := a.implies(b); got != (!alone && a.atMost == b.atMost) {
				t.Fatalf("%+v implies %+v: %v, want %v", a, b, got, !alone)
			}
			if !together {
				excluded++
			}
			if !alone {
				implied++
			}
		}
	}
	if excluded == 0 || implied == 0 {
		t.Errorf("%d pairs exclude and %d imply each other", excluded, implied)
	}
}
