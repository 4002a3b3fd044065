// Package whatif says what would be answered if something were otherwise: an endpoint down, a region lost, a control off.
//
// Parse reads suppositions in the words of an operator; Apply makes the inputs of a
// snapshot as they would be if these were true. What Publish and Explain make of such
// inputs is what the nameservers would answer, for no other code decides.
//
// The package changes nothing and asks no safety rule. Always holds: what no supposition
// speaks of stays as it is, so an endpoint that is forced up by hand is answered though
// it is supposed to be down, as it would be; Notes says so.
package whatif

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// maxSuppositions bounds a hypothesis.
const maxSuppositions = 100

// A Word says what is supposed of a name.
type Word string

const (
	Down  Word = "down"  // an endpoint: every vantage sees it down, and has for long
	Up    Word = "up"    // an endpoint: every vantage sees it up, and has for long
	Drain Word = "drain" // an endpoint: somebody drains it by hand
	Lose  Word = "lose"  // a region: all its endpoints are down, and its vantages silent
	Off   Word = "off"   // a routing control
	On    Word = "on"    // a routing control
)

var words = []Word{Down, Up, Drain, Lose, Off, On}

// kind is what a word says something of.
func (w Word) kind() string {
	switch w {
	case Lose:
		return "region"
	case Off, On:
		return "control"
	}
	return "endpoint"
}

// contradicts reports whether two words can't both be true of one name. To be drained by hand and to be up or down is no contradiction.
func (w Word) contradicts(o Word) bool {
	return w != o && w.kind() == o.kind() && w != Drain && o != Drain
}

// A Supposition is one thing that is otherwise.
type Supposition struct {
	Word Word
	Name string // of an endpoint, a region or a routing control, as the word wants
}

func (s Supposition) String() string { return string(s.Word) + " " + s.Name }

// A Hypothesis is all that is supposed together. The zero one supposes nothing. Nobody may change it.
type Hypothesis []Supposition

func (h Hypothesis) String() string {
	texts := make([]string, len(h))
	for i, s := range h {
		texts[i] = s.String()
	}
	return strings.Join(texts, ", ")
}

// Usage says what the words are, for the help of commands and for errors.
const Usage = "down ENDPOINT, up ENDPOINT, drain ENDPOINT, lose REGION, off CONTROL or on CONTROL"

// Parse reads texts of the form "WORD NAME"; commas join several in one. The error says everything that is wrong, one thing a line. Whether
// the names are there is for Apply to say.
func Parse(texts []string) (Hypothesis, error) {
	var h Hypothesis
	var wrong []error
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			if len(h) == maxSuppositions {
				return nil, errors.Join(append(wrong, fmt.Errorf("more than %d suppositions", maxSuppositions))...)
			}
			s, err := parse(part)
			if err == nil {
				err = h.agrees(s)
			}
			switch {
			case err != nil:
				wrong = append(wrong, err)
			case !slices.Contains(h, s):
				h = append(h, s)
			}
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return h, nil
}

func parse(text string) (Supposition, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Supposition{}, errors.New("nothing is supposed: want " + Usage)
	}
	word := Word(fields[0])
	switch {
	case !slices.Contains(words, word):
		return Supposition{}, fmt.Errorf("%s: unknown word %s: want %s", strict.Quote(strings.TrimSpace(text)), strict.Quote(fields[0]), Usage)
	case len(fields) != 2:
		return Supposition{}, fmt.Errorf("%s: want %s and the name of one %s", strict.Quote(strings.TrimSpace(text)), word, word.kind())
	}
	return Supposition{word, fields[1]}, nil
}

func (h Hypothesis) agrees(s Supposition) error {
	for _, other := range h {
		if other.Name == s.Name && other.Word.contradicts(s.Word) {
			return fmt.Errorf("%s and %s contradict each other", strict.Quote(other.String()), strict.Quote(s.String()))
		}
	}
	return nil
}

// Apply returns the inputs as they would be if the hypothesis were true; those given stay as they are. What is said of an endpoint
// outranks what is said of its region. The error names every name that the plan does not have, and the good ones.
func (h Hypothesis) Apply(plan *zones.Plan, in zones.Inputs) (zones.Inputs, error) {
	if err := h.check(plan); err != nil {
		return zones.Inputs{}, err
	}
	states, lost := make(map[string]health.State), make(map[geo.RegionID]bool)
	on, manual := make(map[control.ControlID]bool), make(map[string]control.Manual)
	for _, s := range h {
		switch s.Word {
		case Down:
			states[s.Name] = health.Down
		case Up:
			states[s.Name] = health.Up
		case Drain:
			manual[s.Name] = control.Drain
		case Lose:
			lost[geo.RegionID(s.Name)] = true
		case Off, On:
			on[control.ControlID(s.Name)] = s.Word == On
		}
	}
	if len(states) > 0 || len(lost) > 0 {
		in.Health = seen(plan, in.Health, states, lost)
	}
	if len(on) > 0 || len(manual) > 0 {
		in.Control = in.Control.Suppose(on, manual)
	}
	return in, nil
}

// seen is the view in which endpoints are in some states and regions lost.
func seen(plan *zones.Plan, view *health.View, states map[string]health.State, lost map[geo.RegionID]bool) *health.View {
	if view == nil {
		view = health.NewView(nil)
	}
	statuses := make(map[health.CheckID]health.Status)
	for _, id := range view.Checks() {
		statuses[id] = view.Status(id, health.Global)
	}
	for _, t := range plan.Subjects {
		s, ok := statuses[t.Check]
		if !ok {
			s.Check = t.Check
		}
		state, said := states[t.Endpoint]
		if !said && lost[t.Region] {
			state, said = health.Down, true
		}
		if said {
			s = s.As(state)
		}
		statuses[t.Check] = s
	}
	regions := slices.Sorted(maps.Keys(lost))
	all := make([]health.Status, 0, len(statuses))
	for _, id := range slices.Sorted(maps.Keys(statuses)) {
		s := statuses[id]
		for _, region := range regions {
			s = s.Without(region)
		}
		all = append(all, s)
	}
	return health.NewView(all)
}

// names are what suppositions may be about.
type names struct {
	endpoints, regions, controls map[string]bool
	regionOf                     map[string]geo.RegionID // of endpoints
}

func namesOf(plan *zones.Plan) names {
	n := names{make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]geo.RegionID)}
	for _, pool := range plan.Pools {
		for i := range pool.Leaves {
			n.endpoints[pool.Leaves[i].Endpoint] = true
			n.regionOf[pool.Leaves[i].Endpoint] = pool.Leaves[i].Region
		}
	}
	for _, r := range plan.World.Regions {
		n.regions[string(r.ID)] = true
	}
	for _, panel := range plan.World.Definitions.Panels {
		for _, c := range panel.Controls {
			n.controls[string(c.Name)] = true
		}
	}
	return n
}

func (n *names) of(w Word) map[string]bool {
	switch w.kind() {
	case "region":
		return n.regions
	case "control":
		return n.controls
	}
	return n.endpoints
}

func (h Hypothesis) check(plan *zones.Plan) error {
	n := namesOf(plan)
	var wrong []error
	for _, s := range h {
		if have := n.of(s.Word); !have[s.Name] {
			wrong = append(wrong, fmt.Errorf("%s: %s", strict.Quote(s.String()), strict.Unknown(s.Word.kind(), s.Name, slices.Collect(maps.Keys(have)))))
		}
	}
	return errors.Join(wrong...)
}

// Notes says what a hypothesis that Apply has taken does not come to, and why, one thing a line: endpoints that nobody probes, or that
// are set by hand. The inputs are those without the hypothesis.
func (h Hypothesis) Notes(plan *zones.Plan, in zones.Inputs) (notes []string) {
	n := namesOf(plan)
	supposed := make(map[string]Word) // of endpoints
	for _, s := range h {
		switch s.Word {
		case Lose:
			empty := true
			for endpoint, region := range n.regionOf {
				if region == geo.RegionID(s.Name) {
					supposed[endpoint], empty = Down, false
				}
			}
			if empty {
				notes = append(notes, fmt.Sprintf("region %s has no endpoints", s.Name))
			}
		case Drain:
			if overlay, set := in.Control.Overlay(s.Name); set && overlay.State != control.Drain {
				notes = append(notes, fmt.Sprintf("endpoint %s is set to %s by %s now; drain takes the place of that", s.Name, overlay.State, overlay.Actor))
			}
		}
	}
	for _, s := range h {
		if s.Word == Down || s.Word == Up {
			supposed[s.Name] = s.Word
		}
	}
	for _, endpoint := range slices.Sorted(maps.Keys(supposed)) {
		notes = append(notes, h.notesOf(plan, in, endpoint, supposed[endpoint])...)
	}
	return notes
}

func (h Hypothesis) notesOf(plan *zones.Plan, in zones.Inputs, endpoint string, word Word) (notes []string) {
	if overlay, set := in.Control.Overlay(endpoint); set && !slices.Contains(h, Supposition{Drain, endpoint}) {
		if overlay.State == control.ForceUp && word == Down || overlay.State != control.ForceUp && word == Up {
			notes = append(notes, fmt.Sprintf("endpoint %s is set to %s by %s, which holds though it is %s", endpoint, overlay.State, overlay.Actor, word))
		}
	}
	var unprobed, latched []string
	for i := range plan.World.Pools {
		pool := &plan.World.Pools[i]
		if !slices.ContainsFunc(pool.Members, func(m zones.Member) bool { return m.Endpoint == endpoint }) {
			continue
		}
		if pool.Check == "" && word == Down {
			unprobed = append(unprobed, pool.Name)
		}
		if word == Up && pool.Failback == zones.FailbackManual && in.Control.Latched(pool.Name, endpoint) {
			latched = append(latched, pool.Name)
		}
	}
	if len(unprobed) > 0 {
		notes = append(notes, fmt.Sprintf("endpoint %s has no check in %s, so nobody notices and it stays answered there", endpoint, pools(unprobed)))
	}
	if len(latched) > 0 {
		notes = append(notes, fmt.Sprintf("endpoint %s waits to be resumed in %s, though it is up", endpoint, pools(latched)))
	}
	return notes
}

func pools(names []string) string {
	const most = 5
	text := "pool "
	if len(names) > 1 {
		text = "pools "
	}
	if n := len(names); n > most {
		return fmt.Sprintf("%s%s and %d more", text, strings.Join(names[:most], ", "), n-most)
	}
	return text + strings.Join(names, ", ")
}
