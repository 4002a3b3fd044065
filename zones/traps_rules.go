package zones

import (
	"fmt"
	"slices"

	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A bound is what a safety rule comes to: at least so many of some controls are on, or at most so many.
type bound struct {
	name   string // for people
	atMost bool
	n      int
	of     []control.ControlID
}

func boundOf(r *control.Rule) bound {
	b := bound{name: fmt.Sprintf("rule %q", r.Name), n: r.Threshold, of: r.Of}
	switch r.Assert {
	case control.All:
		b.n = len(r.Of)
	case control.Any:
		b.n = 1
	}
	if r.Inverted {
		b.atMost, b.n = true, b.n-1
	}
	return b
}

// only returns how many controls of a list are in no other.
func only(list, others []control.ControlID) (n int) {
	for _, c := range list {
		if !slices.Contains(others, c) {
			n++
		}
	}
	return n
}

// excludes reports whether two bounds can never hold together: at least n of some controls are on, so of others at least n without
// those that are not among them.
func (b *bound) excludes(o *bound) bool {
	if b.atMost == o.atMost {
		return false
	}
	least, most := b, o
	if b.atMost {
		least, most = o, b
	}
	return least.n-only(least.of, most.of) > most.n
}

// implies reports whether a bound holds wherever another does.
func (b *bound) implies(o *bound) bool {
	switch {
	case b.atMost != o.atMost:
		return false
	case b.atMost:
		return b.n+only(o.of, b.of) <= o.n
	}
	return b.n-only(b.of, o.of) >= o.n
}

// trapsOfRules warns of rules that are always broken, or never.
func (p *parser) trapsOfRules() {
	starts := control.Initial(p.world.Definitions)
	for i, panel := range p.world.Definitions.Panels {
		bounds := make([]bound, len(panel.Rules))
		for j := range panel.Rules {
			bounds[j] = boundOf(&panel.Rules[j])
		}
		for j := range panel.Rules {
			rule, b, at := &panel.Rules[j], &bounds[j], p.source.controls[i].Value.rules[j].Position
			p.trapsOfRule(at, fmt.Sprintf("panel %q: rule %q", panel.Name, rule.Name), b, starts)
			said := false
			for k := range bounds {
				switch other := &bounds[k]; {
				case k < j && b.excludes(other):
					p.warnings.Add(at, "panel %q: rule %q: can never hold together with %s: whoever brings one about breaks the other", panel.Name, rule.Name, other.name)
				case k != j && !said && other.implies(b) && (!b.implies(other) || k < j):
					p.warnings.Add(at, "panel %q: rule %q: can't be broken while %s holds, so it guards nothing more", panel.Name, rule.Name, other.name)
					said = true
				}
			}
			for _, pool := range p.world.Definitions.Pools {
				last := bound{n: 1, of: pool.Controls}
				if b.excludes(&last) {
					p.warnings.Add(at, "panel %q: rule %q: can never hold: pool %q would lose its last control, which the built-in rule %s%s forbids", panel.Name, rule.Name, pool.Pool, control.LastOn, pool.Pool)
				}
			}
		}
	}
}

func (p *parser) trapsOfRule(at strict.Position, context string, b *bound, starts *control.State) {
	on := 0
	for _, c := range b.of {
		if starts.On(c) {
			on++
		}
	}
	switch {
	case !b.atMost && on < b.n:
		p.warnings.Add(at, "%s: does not hold as the controls start (%d of %d on, %d needed): until it does it stands as broken, and none of them can be switched off", context, on, len(b.of), b.n)
	case b.atMost && on > b.n:
		p.warnings.Add(at, "%s: does not hold as the controls start (%d of %d on, at most %d allowed): until it does it stands as broken, and none of them can be switched on", context, on, len(b.of), b.n)
	case !b.atMost && b.n == len(b.of):
		p.warnings.Add(at, "%s: wants every one of its controls (%d) on, so none can be switched off without an override", context, len(b.of))
	case b.atMost && b.n == 0:
		p.warnings.Add(at, "%s: wants none of its controls (%d) on, so none can be switched on without an override", context, len(b.of))
	}
}
