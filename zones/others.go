package zones

import (
	"fmt"
	"slices"
	"strings"
)

// others finds what the prefixes are answered that do not have members back yet which recover, and those few that try another region.
// A prefix gets a member back once, and keeps it. Where without them there would be nothing on the rung, all prefixes have them.
func (e *evaluation) others(c *Choice, rung Rung) {
	var steps []uint16
	for leaf := range e.plan.reached(e.plan.root, e.group) {
		if ramp := e.standings[leaf].ramp[e.family]; ramp < FullRamp && e.counts(leaf) {
			steps = append(steps, ramp)
		}
	}
	slices.Sort(steps)
	steps = slices.Compact(steps)
	for i, from := range steps {
		to := uint16(FullRamp)
		if i+1 < len(steps) {
			to = steps[i+1]
		}
		e.ramp = from
		other, ok := e.among(rung)
		if !ok {
			break
		}
		c.instead(from, to, other, e.returning(from))
	}
	e.ramp = 0
	if len(c.Others) == 0 && rung == RungUp {
		e.exploring(c)
	}
}

// returning says which members some prefixes do not have back yet.
func (e *evaluation) returning(ramp uint16) string {
	var names []string
	for leaf := range e.plan.reached(e.plan.root, e.group) {
		if s := &e.standings[leaf]; s.permitted && s.rung[e.family] == RungUp && s.ramp[e.family] <= ramp {
			names = append(names, e.plan.Leaves[leaf].Endpoint)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ") + " not back yet"
}

// exploring has a few prefixes try the region that may be nearer than what is thought the nearest. Which ones changes from epoch to epoch.
func (e *evaluation) exploring(c *Choice) {
	width := uint16(e.plan.explore)
	if width == 0 {
		return
	}
	e.explore = true
	other, ok := e.among(RungUp)
	e.explore = false
	if ok {
		from := uint16(mix(e.plan.seed^e.plan.epoch) % uint64(FullRamp-width+1))
		c.instead(from, from+width, other, fmt.Sprintf("explores %s", e.group.Explore))
	}
}

// instead answers the prefixes of a range from another choice, if it is another.
func (c *Choice) instead(from, to uint16, other Choice, why string) {
	switch last := len(c.Others) - 1; {
	case c.alike(&other):
	case last >= 0 && c.Others[last].To == from && c.Others[last].Choice.alike(&other):
		c.Others[last].To = to
	default:
		c.Others = append(c.Others, Other{from, to, why, other})
	}
}

// alike reports whether two choices give the same answers.
func (c *Choice) alike(o *Choice) bool {
	return slices.EqualFunc(c.Options, o.Options, func(a, b Option) bool { return a.Weight == b.Weight && slices.Equal(a.Members, b.Members) })
}
