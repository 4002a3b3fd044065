package zones

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// KindGroup is the kind of a check that probes nothing and is decided by others.
const KindGroup = "group"

// A CheckGroup is what a check of kind group is decided by.
type CheckGroup struct {
	Need  int // how many of the terms that are no veto must be up
	Terms []CheckTerm
}

func (g *CheckGroup) String() string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf("%+v", *g)
}

// A CheckTerm is one check of a group.
type CheckTerm struct {
	Check  string
	Invert bool
	Veto   bool
}

const (
	maxVantages = 100 // of a region that probe one target
	maxTerms    = 32
)

// decisionKeys say how verdicts become a status.
type decisionKeys struct {
	quorum    strict.At[health.Quorum]
	vantages  strict.At[int]
	damping   strict.At[bool]
	shadow    strict.At[bool]
	of        []strict.At[CheckTerm]
	assert    strict.At[string]
	threshold strict.At[int]
}

func (d *decisionKeys) rules() health.Rules {
	return health.Rules{Quorum: d.quorum.Value, Vantages: d.vantages.Value, Damping: d.damping.Value, Shadow: d.shadow.Value}
}

// How much of a group must be up; as safety rules say it.
const (
	assertAll     = "all"
	assertAny     = "any"
	assertAtLeast = "at_least"
)

var decisionObject = strict.Object[checkKeys]{
	strict.Optional("quorum", "how many must see an endpoint for it to be up: default (two regions and more than 18 % of those that vote; of one or two, any) · route53 (more than 18 % of the vantages) · majority (half of the regions) · any · all · a number of regions", "default",
		strict.Placed(strict.Parsed("default, route53, majority, any, all or a number of regions", health.ParseQuorum).Matching(`^(default|route53|majority|any|all|[1-9][0-9]{0,3})$`)),
		func(c *checkKeys) *strict.At[health.Quorum] { return &c.rule.quorum }),
	strict.Optional("vantages_per_region", "how many probe nodes of each region probe an endpoint, or all", "3",
		strict.Placed(strict.Parsed("number of probe nodes, or all", vantagesPerRegion).Matching(`^(all|[1-9][0-9]?|100)$`)),
		func(c *checkKeys) *strict.At[int] { return &c.rule.vantages }),
	strict.Optional("damping", "whether an endpoint that came and went too often is held back until it has been well for a while", "true", strict.Placed(strict.Bool()),
		func(c *checkKeys) *strict.At[bool] { return &c.rule.damping }),
	strict.Optional("shadow", "measured and shown, but no answer obeys it", "false", strict.Placed(strict.Bool()),
		func(c *checkKeys) *strict.At[bool] { return &c.rule.shadow }),
	strict.Optional("of", "group: the checks that decide it", "",
		strict.NotEmpty(strict.List(strict.Placed(strict.Either(
			strict.Convert(strict.Name[string](), "name of a check", func(name string) (CheckTerm, error) { return CheckTerm{Check: name}, nil }),
			termObject.Type("a check of a group"))), maxTerms)),
		func(c *checkKeys) *[]strict.At[CheckTerm] { return &c.rule.of }),
	strict.Optional("assert", "group: how many of its checks must be up", assertAll,
		strict.Placed(strict.Enum("assertion", assertAll, assertAny, assertAtLeast)), func(c *checkKeys) *strict.At[string] { return &c.rule.assert }),
	strict.Optional("threshold", "group, at_least: that many", "",
		strict.Placed(strict.Integer(1, maxTerms)), func(c *checkKeys) *strict.At[int] { return &c.rule.threshold }),
}

var termObject = strict.Object[CheckTerm]{
	strict.Required("check", "its name", strict.Name[string](), func(t *CheckTerm) *string { return &t.Check }),
	strict.Optional("invert", "up counts as down, and down as up", "false", strict.Bool(), func(t *CheckTerm) *bool { return &t.Invert }),
	strict.Optional("veto", "down is enough for the group to be down, and up counts for nothing", "false", strict.Bool(), func(t *CheckTerm) *bool { return &t.Veto }),
}

func vantagesPerRegion(text string) (int, error) {
	if text == "all" {
		return health.AllVantages, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxVantages {
		return 0, errors.New("want all or a number from 1 to " + strconv.Itoa(maxVantages))
	}
	return n, nil
}

// groupOf checks the settings of a group. All checks must be known by then.
func (p *parser) groupOf(entry *strict.Named[checkKeys]) *CheckGroup {
	keys := &entry.Value.rule
	g, voting := &CheckGroup{}, 0
	if len(keys.of) == 0 {
		p.mistakes.Add(entry.Position, "check %q: a group needs the checks that decide it (of:)", entry.Name)
	}
	for _, at := range keys.of {
		term := at.Value
		i := slices.IndexFunc(p.source.checks, func(c strict.Named[checkKeys]) bool { return c.Name == term.Check })
		switch {
		case i < 0:
			p.mistakes.Add(at.Position, "check %q: %s", entry.Name, strict.Unknown("check", term.Check, namesOf(p.source.checks)))
			continue
		case p.source.checks[i].Value.kind.Value == KindGroup:
			p.mistakes.Add(at.Position, "check %q: %q is a group itself: a group is of checks that probe", entry.Name, term.Check)
		case slices.ContainsFunc(g.Terms, func(t CheckTerm) bool { return t.Check == term.Check }):
			p.mistakes.Add(at.Position, "check %q: %q is listed twice", entry.Name, term.Check)
		}
		if !term.Veto && !p.source.checks[i].Value.rule.shadow.Value {
			voting++
		}
		g.Terms = append(g.Terms, term)
	}
	switch keys.assert.Value {
	case assertAll:
		g.Need = voting
	case assertAny:
		g.Need = min(1, voting)
	case assertAtLeast:
		g.Need = keys.threshold.Value
		switch {
		case !keys.threshold.Given():
			p.mistakes.Add(keys.assert.Position, "check %q: assert: at_least needs a threshold", entry.Name)
		case g.Need > voting:
			p.mistakes.Add(keys.threshold.Position, "check %q: threshold: %d of %d checks that count (a veto and a shadow do not) can never be up", entry.Name, g.Need, voting)
		}
	}
	if keys.threshold.Given() && keys.assert.Value != assertAtLeast {
		p.mistakes.Add(keys.threshold.Position, "check %q: threshold is only for assert: at_least", entry.Name)
	}
	return g
}

// onlyForProbes notes the keys of checks that probe in a group: they are to be said of the checks that it is of.
func (p *parser) onlyForProbes(entry *strict.Named[checkKeys]) {
	keys := &entry.Value
	for _, k := range []struct {
		key string
		at  strict.Position
	}{
		{"interval", keys.interval.Position}, {"fall", keys.fall.Position}, {"rise", keys.rise.Position}, {"hold_down", keys.holdDown.Position},
		{"quorum", keys.rule.quorum.Position}, {"vantages_per_region", keys.rule.vantages.Position}, {"damping", keys.rule.damping.Position},
		{"shadow", keys.rule.shadow.Position},
	} {
		if k.at.Line != 0 {
			p.mistakes.Add(k.at, "check %q: %s is for checks that probe: say it of those that the group is of", entry.Name, k.key)
		}
	}
}

// onlyForGroups notes the keys of a group where there is none.
func (p *parser) onlyForGroups(entry *strict.Named[checkKeys]) {
	keys := &entry.Value.rule
	if len(keys.of) > 0 {
		p.onlyFor(entry, keys.of[0].Position, "of", KindGroup)
	}
	p.onlyFor(entry, keys.assert.Position, "assert", KindGroup)
	p.onlyFor(entry, keys.threshold.Position, "threshold", KindGroup)
}
