package control

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A rule is a safety rule ready to be judged: at least need of the controls are on; inverted: fewer.
type rule struct {
	panel    PanelID // empty: built in
	name     string
	assert   Assertion
	inverted bool
	need     int
	of       []ControlID
	wait     time.Duration
}

// rules returns the rules of d, the built-in ones last. d is normal, so their order is fixed.
func (d *Definitions) rules() []rule {
	var rules []rule
	for _, p := range d.Panels {
		for _, r := range p.Rules {
			need := r.Threshold
			switch r.Assert {
			case All:
				need = len(r.Of)
			case Any:
				need = 1
			}
			rules = append(rules, rule{p.Name, r.Name, r.Assert, r.Inverted, need, r.Of, r.Wait})
		}
	}
	for _, p := range d.Pools {
		rules = append(rules, rule{name: LastOn + p.Pool, assert: Any, need: 1, of: p.Controls})
	}
	return rules
}

func (r *rule) id() string {
	if r.panel == "" {
		return r.name
	}
	return string(r.panel) + "/" + r.name
}

// named reports whether an override means this rule: by name, or by panel/name.
func (r *rule) named(overrides []string) bool {
	return slices.Contains(overrides, r.name) || slices.Contains(overrides, r.id())
}

func (r *rule) count(on func(ControlID) bool) int {
	n := 0
	for _, c := range r.of {
		if on(c) {
			n++
		}
	}
	return n
}

func (r *rule) holds(on func(ControlID) bool) bool { return (r.count(on) >= r.need) != r.inverted }

// needs says in words what holds when the rule does.
func (r *rule) needs() string {
	n := len(r.of)
	switch {
	case r.inverted && r.assert == All:
		return fmt.Sprintf("not all %d on", n)
	case r.inverted && r.need == 1:
		return fmt.Sprintf("none of %d on", n)
	case r.inverted:
		return fmt.Sprintf("at most %d of %d on", r.need-1, n)
	case r.assert == All:
		return fmt.Sprintf("all %d on", n)
	default:
		return fmt.Sprintf("at least %d of %d on", r.need, n)
	}
}

func (r *rule) violation(on func(ControlID) bool) Violation {
	return Violation{Rule: r.name, Panel: r.panel, Needs: r.needs(), On: r.count(on), Broken: !r.holds(on)}
}

// A change is what a batch does to the controls of one rule.
type change struct {
	touched bool // an asserted control flips
	away    bool // one of them in the direction that can break the rule
}

func (r *rule) change(before, after func(ControlID) bool) change {
	var c change
	for _, id := range r.of {
		if was, is := before(id), after(id); was != is {
			c.touched = true
			c.away = c.away || is == r.inverted
		}
	}
	return c
}

// touched  moved away  holds after  wait passed   overridden   the rule says
// no       -           -            -             -            nothing; a violation is shown
// yes      no          -            yes           -            nothing; a violation is shown: what makes it better must be possible
// yes      yes         yes          yes           -            nothing
// yes      yes         no           -             no           refused: unsafe
// yes      -           -            no            no           refused: too soon
// yes      -           -            -             yes          nothing; shown as overridden
func (r *rule) judge(c change, after func(ControlID) bool, until, now time.Time, overridden bool) (v Violation, err error) {
	v = r.violation(after)
	unsafe := c.away && v.Broken
	early := c.touched && now.Before(until)
	if early {
		v.Until = until
	}
	v.Overridden = overridden && (unsafe || early)
	switch {
	case v.Overridden:
	case unsafe:
		err = ErrUnsafe
	case early:
		err = ErrWait
	}
	return v, err
}

// said is what the refusal says of one rule.
func (v Violation) said() string {
	var said []string
	if v.Broken {
		said = append(said, fmt.Sprintf("needs %s, %d would be", v.Needs, v.On))
	}
	if !v.Until.IsZero() {
		said = append(said, "waits until "+v.Until.Format(time.RFC3339Nano))
	}
	return fmt.Sprintf("rule %q %s", v.Rule, strings.Join(said, " and "))
}
