package forecast

import (
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/zones"
)

// A Kind is what sort of thing changes.
type Kind string

const (
	KindName    Kind = "name" // that is steered; its zone is what it is in
	KindPool    Kind = "pool"
	KindMember  Kind = "member" // of a pool
	KindCheck   Kind = "check"
	KindPanel   Kind = "panel"
	KindControl Kind = "control" // of a panel
	KindRule    Kind = "rule"    // of a panel
	KindRegion  Kind = "region"
	KindZone    Kind = "zone"
	KindCatalog Kind = "catalog"
	KindService Kind = "service" // of the gateway
	KindRoute   Kind = "route"   // of the gateway
	KindWorld   Kind = "world"   // what is said once
)

// An Operation is how a thing changes.
type Operation string

const (
	Added   Operation = "added"
	Removed Operation = "removed"
	Changed Operation = "changed"
)

// A Change is a thing of the configuration that is not as before.
type Change struct {
	Kind      Kind      `json:"kind"`
	In        string    `json:"in,omitempty"` // the pool, panel or zone that it is in
	Name      string    `json:"name"`
	Operation Operation `json:"operation"`
	Settings  []Setting `json:"settings"` // that differ; of what is added or removed those that are given
}

// A Setting is a key and its values; one that is not given is empty.
type Setting struct {
	Key    string `json:"key"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// A thing is a named part of a world, with its settings.
type thing struct {
	in, name string
	value    any
	extra    []Setting // beside those of the value; After is the value
}

// changes lists what differs between two worlds, kind by kind.
func changes(before, after *zones.World) []Change {
	all := []Change{}
	if before == after {
		return all
	}
	for _, kind := range []struct {
		Kind
		things func(*zones.World) []thing
	}{
		{KindName, names}, {KindPool, pools}, {KindMember, members}, {KindCheck, checks}, {KindPanel, panels}, {KindControl, controls},
		{KindRule, rules}, {KindRegion, regions}, {KindZone, zoneSettings}, {KindCatalog, catalogs}, {KindService, services}, {KindRoute, routes},
		{KindWorld, worlds},
	} {
		all = append(all, differences(kind.Kind, kind.things(before), kind.things(after))...)
	}
	return all
}

// differences compares things by what they are in and their names, and keeps the order in which they stand, those before first.
func differences(kind Kind, before, after []thing) (all []Change) {
	type key struct{ in, name string }
	later := make(map[key]*thing, len(after))
	for i := range after {
		later[key{after[i].in, after[i].name}] = &after[i]
	}
	earlier := make(map[key]bool, len(before))
	for i := range before {
		t := &before[i]
		earlier[key{t.in, t.name}] = true
		change := Change{Kind: kind, In: t.in, Name: t.name}
		if is := later[key{t.in, t.name}]; is == nil {
			change.Operation, change.Settings = Removed, given(compare(t.settings(), nil))
		} else {
			change.Operation, change.Settings = Changed, slices.DeleteFunc(compare(t.settings(), is.settings()), sameOrder)
		}
		if change.Operation == Changed && len(change.Settings) == 0 {
			continue
		}
		all = append(all, change)
	}
	for i := range after {
		if t := &after[i]; !earlier[key{t.in, t.name}] {
			all = append(all, Change{kind, t.in, t.name, Added, given(compare(nil, t.settings()))})
		}
	}
	return all
}

func (t *thing) settings() []Setting {
	return append(settings(t.value), t.extra...)
}

// compare takes the settings of a thing together that differ; those given have their value in After.
func compare(before, after []Setting) []Setting {
	differ := []Setting{}
	for _, s := range before {
		i := slices.IndexFunc(after, func(o Setting) bool { return o.Key == s.Key })
		switch {
		case i < 0:
			differ = append(differ, Setting{s.Key, s.After, ""})
		case after[i].After != s.After:
			differ = append(differ, Setting{s.Key, s.After, after[i].After})
		}
	}
	for _, s := range after {
		if !slices.ContainsFunc(before, func(o Setting) bool { return o.Key == s.Key }) {
			differ = append(differ, s)
		}
	}
	return differ
}

// given leaves out what is not given.
func given(settings []Setting) []Setting {
	return slices.DeleteFunc(settings, func(s Setting) bool { return isNothing(s.Before) && isNothing(s.After) })
}

func names(w *zones.World) (all []thing) {
	for i := range w.Zones {
		for _, s := range w.Zones[i].Steer {
			all = append(all, thing{in: w.Zones[i].Apex, name: s.Owner, extra: []Setting{{Key: "pool", After: s.Pool}}})
		}
	}
	return all
}

func pools(w *zones.World) (all []thing) {
	for i := range w.Pools {
		p := &w.Pools[i]
		all = append(all, thing{name: p.Name, value: p, extra: []Setting{{Key: orderKey, After: order(p)}}})
	}
	return all
}

// orderKey is the setting that lists the members of a pool, where their order decides.
const (
	orderKey       = "order"
	orderSeparator = ", "
)

// sameOrder reports whether a setting is an order that differs only by who comes and goes.
func sameOrder(s Setting) bool {
	if s.Key != orderKey {
		return false
	}
	before, after := strings.Split(s.Before, orderSeparator), strings.Split(s.After, orderSeparator)
	common := func(names, others []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(others, name) })
	}
	return slices.Equal(common(before, after), common(after, before))
}

// order is the members as they stand, where that decides.
func order(p *zones.Pool) string {
	if p.Policy != zones.Failover {
		return ""
	}
	var names []string
	for i := range p.Members {
		names = append(names, p.Members[i].Name())
	}
	return strings.Join(names, orderSeparator)
}

func members(w *zones.World) (all []thing) {
	for i := range w.Pools {
		p := &w.Pools[i]
		for j := range p.Members {
			all = append(all, thing{in: p.Name, name: p.Members[j].Name(), value: &p.Members[j]})
		}
	}
	return all
}

func checks(w *zones.World) (all []thing) {
	for i := range w.Checks {
		all = append(all, thing{name: w.Checks[i].Name, value: &w.Checks[i]})
	}
	return all
}

func panels(w *zones.World) (all []thing) {
	for i := range w.Definitions.Panels {
		all = append(all, thing{name: string(w.Definitions.Panels[i].Name)})
	}
	return all
}

func controls(w *zones.World) (all []thing) {
	for _, p := range w.Definitions.Panels {
		for i := range p.Controls {
			all = append(all, thing{in: string(p.Name), name: string(p.Controls[i].Name), value: &p.Controls[i]})
		}
	}
	return all
}

func rules(w *zones.World) (all []thing) {
	for _, p := range w.Definitions.Panels {
		for i := range p.Rules {
			all = append(all, thing{in: string(p.Name), name: p.Rules[i].Name, value: &p.Rules[i]})
		}
	}
	return all
}

func regions(w *zones.World) (all []thing) {
	for i := range w.Regions {
		all = append(all, thing{name: string(w.Regions[i].ID), value: &w.Regions[i]})
	}
	return all
}

func zoneSettings(w *zones.World) (all []thing) {
	for i := range w.Zones {
		all = append(all, thing{name: w.Zones[i].Apex, value: &w.Zones[i]})
	}
	return all
}

func catalogs(w *zones.World) (all []thing) {
	for i := range w.Catalogs {
		all = append(all, thing{name: w.Catalogs[i].Apex, value: &w.Catalogs[i]})
	}
	return all
}

func services(w *zones.World) (all []thing) {
	for i := range w.Gateway.Services {
		all = append(all, thing{name: w.Gateway.Services[i].Name, value: &w.Gateway.Services[i]})
	}
	return all
}

func routes(w *zones.World) (all []thing) {
	for i := range w.Gateway.Routes {
		r := &w.Gateway.Routes[i]
		all = append(all, thing{name: r.Host + r.Path, extra: []Setting{{Key: "service", After: r.Service}}})
	}
	return all
}

// worlds is what a world says once: whatever is neither a list of things that are compared one by one, nor known of itself.
func worlds(w *zones.World) []thing { return []thing{{name: "world", value: w}} }
