package zones

import (
	"fmt"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/strict"
)

type panelKeys struct {
	members []strict.At[controlKeys]
	rules   []strict.At[ruleKeys]
}

// The values of a control's key initial.
const (
	initialOn  = "on"
	initialOff = "off"
)

type controlKeys struct {
	name    string
	initial string
}

type ruleKeys struct {
	name      string
	assert    control.Assertion
	threshold strict.At[int]
	of        strict.At[[]string]
	inverted  bool
	wait      time.Duration
}

const maxRuleWait = time.Hour

var panelObject = strict.Object[panelKeys]{
	strict.Required("members", "its routing controls; a name is in one panel only",
		strict.NotEmpty(strict.List(strict.Placed(strict.Either(controlName, controlObject.Type("its keys"))), maxControls)),
		func(p *panelKeys) *[]strict.At[controlKeys] { return &p.members }),
	strict.Optional("rules", "what must hold after every change of its controls", "",
		strict.List(strict.Placed(ruleObject.Type("a safety rule")), maxRules), func(p *panelKeys) *[]strict.At[ruleKeys] { return &p.rules }),
}

var controlName = strict.Convert(strict.Name[string](), "a name", func(name string) (controlKeys, error) { return controlKeys{name, initialOn}, nil })

var controlObject = strict.Object[controlKeys]{
	strict.Required("name", "of the control", strict.Name[string](), func(c *controlKeys) *string { return &c.name }),
	strict.Optional("initial", "how it starts when it is new", initialOn, strict.Enum("value of initial", initialOn, initialOff),
		func(c *controlKeys) *string { return &c.initial }),
}

var ruleObject = strict.Object[ruleKeys]{
	strict.Required("name", "by which a refusal and an override name it", strict.Name[string](), func(r *ruleKeys) *string { return &r.name }),
	strict.Required("assert", "how many of the controls are on", strict.Enum("assertion", control.AtLeast, control.All, control.Any),
		func(r *ruleKeys) *control.Assertion { return &r.assert }),
	strict.Optional("threshold", "assert at_least: the number; required there", "", strict.Placed(strict.Integer(1, maxControls)),
		func(r *ruleKeys) *strict.At[int] { return &r.threshold }),
	strict.Required("of", "the controls, all of this panel", strict.Placed(strict.NotEmpty(strict.List(strict.Name[string](), maxControls))),
		func(r *ruleKeys) *strict.At[[]string] { return &r.of }),
	strict.Optional("inverted", "whether the opposite must hold", "false", strict.Bool(), func(r *ruleKeys) *bool { return &r.inverted }),
	strict.Optional("wait", "from one change of these controls to the next", control.DefaultWait.String(), strict.Duration(0, maxRuleWait),
		func(r *ruleKeys) *time.Duration { return &r.wait }),
}

// panels fills the definitions' panels; which controls a pool has is added when the pools are known.
func (p *parser) panels() {
	p.source.controls = byName(p, "panel", p.source.controls, maxPanels)
	first := map[string]strict.Position{}
	for _, entry := range p.source.controls {
		context := fmt.Sprintf("panel %q", entry.Name)
		panel := control.Panel{Name: control.PanelID(entry.Name)}
		var own []string
		for _, c := range entry.Value.members {
			name := c.Value.name
			if name == "" {
				continue // its mistake is noted
			}
			if at, twice := first[name]; twice {
				p.mistakes.Add(c.Position, "%s: control %q is defined twice (first at %s)", context, name, at)
				continue
			}
			first[name] = c.Position
			own = append(own, name)
			panel.Controls = append(panel.Controls, control.NewControl{Name: control.ControlID(name), InitialOff: c.Value.initial == initialOff})
		}
		p.rules(entry, own, context, &panel)
		p.controlNames = append(p.controlNames, own...)
		p.world.Definitions.Panels = append(p.world.Definitions.Panels, panel)
	}
	slices.Sort(p.controlNames)
}

func (p *parser) rules(entry strict.Named[panelKeys], own []string, context string, panel *control.Panel) {
	first := map[string]strict.Position{}
	for _, r := range entry.Value.rules {
		keys := r.Value
		if keys.name == "" {
			continue // its mistake is noted
		}
		context := fmt.Sprintf("%s: rule %q", context, keys.name)
		if at, twice := first[keys.name]; twice {
			p.mistakes.Add(r.Position, "%s: is defined twice (first at %s)", context, at)
		} else {
			first[keys.name] = r.Position
		}
		rule := control.Rule{Name: keys.name, Assert: keys.assert, Inverted: keys.inverted, Threshold: keys.threshold.Value, Wait: keys.wait}
		if rule.Wait == 0 {
			rule.Wait = -1 // none; 0 stands for the default
		}
		for i, name := range keys.of.Value {
			switch {
			case !slices.Contains(own, name):
				p.mistakes.Add(keys.of.Position, "%s: %s", context, strict.Unknown("control", name, own))
			case slices.Contains(keys.of.Value[:i], name):
				p.mistakes.Add(keys.of.Position, "%s: control %q stands twice", context, name)
			}
			rule.Of = append(rule.Of, control.ControlID(name))
		}
		p.threshold(r, context)
		panel.Rules = append(panel.Rules, rule)
	}
}

// threshold judges how many controls a rule is about.
func (p *parser) threshold(r strict.At[ruleKeys], context string) {
	keys := r.Value
	switch atLeast := keys.assert == control.AtLeast; {
	case atLeast && !keys.threshold.Given():
		p.mistakes.Add(r.Position, "%s: at_least needs a threshold", context)
	case atLeast && keys.of.Given() && keys.threshold.Value > len(keys.of.Value):
		p.mistakes.Add(keys.threshold.Position, "%s: threshold %d is more than the %d controls, so it could never hold", context, keys.threshold.Value, len(keys.of.Value))
	case !atLeast && keys.assert != "" && keys.threshold.Given():
		p.mistakes.Add(keys.threshold.Position, "%s: threshold is only for assert at_least, not %s", context, keys.assert)
	}
}

// knownControl notes a control that no panel has.
func (p *parser) knownControl(at strict.Position, context, name string) {
	if _, ok := slices.BinarySearch(p.controlNames, name); !ok {
		p.mistakes.Add(at, "%s: %s", context, strict.Unknown("control", name, p.controlNames))
	}
}

// poolControls adds the controls of a pool to the definitions, so that the pool can't lose the last one that is on. A
// pool that also has members without a control always has something to answer.
func (p *parser) poolControls(pool *Pool) {
	of := control.PoolControls{Pool: pool.Name}
	if p.guarded(pool, &of) && len(of.Controls) > 0 {
		p.world.Definitions.Pools = append(p.world.Definitions.Pools, of)
	}
}

// guarded gathers the controls of a pool's members, for a pool without one those of its own. It reports whether there is no endpoint
// without any.
func (p *parser) guarded(pool *Pool, of *control.PoolControls) bool {
	for i := range pool.Members {
		m := &pool.Members[i]
		switch {
		case !m.Enabled:
		case m.Control == "" && m.Endpoint != "":
			return false
		case m.Control == "":
			if inner := p.pool(m.Pool); inner == nil || !p.guarded(inner, of) {
				return false
			}
		case !slices.Contains(of.Controls, m.Control):
			of.Controls = append(of.Controls, m.Control)
		}
	}
	return true
}

// unusedControls warns of controls that no member obeys.
func (p *parser) unusedControls() {
	used := map[string]bool{}
	for i := range p.source.pools {
		for _, m := range p.source.pools[i].Value.members {
			used[m.Value.control.Value] = true
		}
	}
	for _, panel := range p.source.controls {
		for _, c := range panel.Value.members {
			if !used[c.Value.name] {
				p.warnings.Add(c.Position, "panel %q: no member of a pool has the control %q, so switching it changes no answer", panel.Name, c.Value.name)
			}
		}
	}
}
