package zones

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// others finds what the prefixes are answered that do not have members back yet which recover, or for which members have no room, and
// those few that try another region. A prefix gets a member back once, and keeps it.
func (e *evaluation) others(c *Choice, rung Rung) {
	for part, other := range e.parts(rung) {
		c.instead(part.from, part.to, *other, e.missing(part.from))
	}
	if len(c.Others) == 0 && rung == RungUp {
		e.exploring(c)
	}
}

// A part is a range of prefixes, in per mille.
type part struct{ from, to uint16 }

// parts yields the prefixes that do without some members and what they are answered, the range that lacks the fewest first.
func (e *evaluation) parts(rung Rung) iter.Seq2[part, *Choice] {
	return func(yield func(part, *Choice) bool) {
		steps := e.steps()
		defer func() { e.prefix = 0 }()
		for i, from := range steps {
			to := uint16(FullRamp)
			if i+1 < len(steps) {
				to = steps[i+1]
			}
			e.prefix = from
			if other, _, ok := e.without(rung); !ok || !yield(part{from, to}, &other) {
				return
			}
		}
	}
}

// without returns what a prefix is answered that does without some members, and whether all others are full. For whom nobody has room it is
// as if all had, and for whom nobody is back as if all were.
func (e *evaluation) without(rung Rung) (c Choice, full, ok bool) {
	defer func() { e.back, e.roomy = false, false }()
	for _, e.back = range []bool{false, true} {
		for _, e.roomy = range []bool{false, true} {
			if c, ok = e.among(rung); ok {
				return c, e.roomy, true
			}
		}
	}
	return c, false, false
}

// steps returns from which prefixes on some member does not count, in order.
func (e *evaluation) steps() (steps []uint16) {
	for leaf := range e.plan.reached(e.plan.root, e.group) {
		if s := &e.standings[leaf]; min(s.ramp[e.family], s.kept) < FullRamp && e.counts(leaf) {
			steps = append(steps, min(s.ramp[e.family], s.kept))
		}
	}
	slices.Sort(steps)
	return slices.Compact(steps)
}

// missing says which members some prefixes do without, and why.
func (e *evaluation) missing(prefix uint16) string {
	var back, full []string
	for leaf := range e.plan.reached(e.plan.root, e.group) {
		s := &e.standings[leaf]
		switch {
		case !s.permitted || s.rung[e.family] != RungUp:
		case s.ramp[e.family] <= prefix:
			back = append(back, e.plan.Leaves[leaf].Endpoint)
		case s.kept <= prefix:
			full = append(full, e.plan.Leaves[leaf].Endpoint)
		}
	}
	var said []string
	for _, why := range []struct {
		names []string
		text  string
	}{{back, "not back yet"}, {full, "full"}} {
		if slices.Sort(why.names); len(why.names) > 0 {
			said = append(said, strings.Join(slices.Compact(why.names), ", ")+" "+why.text)
		}
	}
	return strings.Join(said, "; ")
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
