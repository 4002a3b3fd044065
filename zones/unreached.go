package zones

import (
	"maps"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A memberKey names a member of a pool; without a member the pool itself.
type memberKey struct{ pool, member string }

// Warnings returns those of the world, and what only shows beside the places of the clients: members that nobody is ever answered
// with, and places that the geo table does not know.
func (p *Plan) Warnings() []Problem {
	var all strict.Report
	for _, w := range p.World.Warnings {
		all.Add(strict.Position{File: w.File, Line: w.Line}, "%s", w.Text)
	}
	p.warnOfUnreached(&all)
	p.warnOfUnknownPlaces(&all)
	return all.Problems()
}

// A fate is what becomes of a member in all answers together.
type fate struct {
	reached bool
	instead map[string]bool // the endpoints that are always answered before it
}

// warnOfUnreached warns of members that no client can get, wherever it is and whatever the health.
func (p *Plan) warnOfUnreached(report *strict.Report) {
	steered := make(map[string]bool)
	for i := range p.World.Zones {
		for _, s := range p.World.Zones[i].Steer {
			steered[s.Pool] = true
		}
	}
	fates := make(map[memberKey]*fate)
	for _, pool := range p.Pools {
		if steered[pool.Pool.Name] {
			pool.follow(fates)
		}
	}
	for key, f := range fates {
		switch at := p.World.written[key]; {
		case f.reached:
		case len(f.instead) == 0:
			report.Add(at, "pool %q: member %q: no client can ever get it: the geo table has nobody where it serves", key.pool, key.member)
		default:
			report.Add(at, "pool %q: member %q: no client can ever get it: %s, which come before it, have neither a check nor a control and so always count as up", key.pool, key.member,
				shortList(slices.Sorted(maps.Keys(f.instead))))
		}
	}
}

// follow notes the fate of every enabled endpoint of the pool and of those in it.
func (p *PoolPlan) follow(fates map[memberKey]*fate) {
	for i := range p.Leaves {
		key := p.Leaves[i].key()
		if p.Leaves[i].enabled && fates[key] == nil {
			fates[key] = &fate{instead: make(map[string]bool)}
		}
	}
	for family, rrtype := range p.Types {
		if rrtype == 0 {
			continue
		}
		w := walk{plan: p, family: family, fates: fates}
		for g := range p.Groups {
			w.level(p.root, &p.Groups[g], max(p.Pool.Answers, 1))
		}
	}
}

func (l *Leaf) key() memberKey { return memberKey{l.Pool.Name, l.Endpoint} }

// A walk goes through what can be answered with in some state of health.
type walk struct {
	plan   *PoolPlan
	family int
	fates  map[memberKey]*fate
}

// level notes whom a level can answer with, and returns who always is there: as evaluation.level chooses, but with all that may be up.
func (w *walk) level(l *level, g *GroupPlan, enough int) (certain []string) {
	for i := range g.Tiers {
		first := w.tier(l, g, &g.Tiers[i], enough)
		certain = append(certain, first...)
		if len(certain) >= enough || len(certain) > 0 && !l.pool.goesOn() {
			w.behind(l, g, i+1, certain)
			break
		}
	}
	if len(certain) < l.pool.MinUp.Of(len(l.pool.Members)) {
		return nil
	}
	return certain
}

func (w *walk) tier(l *level, g *GroupPlan, t *Tier, enough int) (certain []string) {
	for _, m := range t.Members {
		if l.inner[m] != nil {
			certain = append(certain, w.level(l.inner[m], g.inner[m], enough)...)
			continue
		}
		leaf := &w.plan.Leaves[l.leaf[m]]
		if !leaf.enabled || leaf.Sets[w.family] == nil {
			continue
		}
		w.fates[leaf.key()].reached = true
		if leaf.checks[w.family] == "" && len(leaf.controls) == 0 {
			certain = append(certain, leaf.Endpoint)
		}
	}
	return certain
}

// behind notes the endpoints of the tiers that nobody comes to.
func (w *walk) behind(l *level, g *GroupPlan, tier int, certain []string) {
	for _, t := range g.Tiers[min(tier, len(g.Tiers)):] {
		for _, m := range t.Members {
			w.instead(l, g, m, certain)
		}
	}
}

func (w *walk) instead(l *level, g *GroupPlan, m int, certain []string) {
	if inner := l.inner[m]; inner != nil {
		for i := range inner.pool.Members {
			w.instead(inner, g.inner[m], i, certain)
		}
		return
	}
	leaf := &w.plan.Leaves[l.leaf[m]]
	f := w.fates[leaf.key()]
	switch {
	case f == nil: // not enabled
	case g.Explore != "" && g.Explore == leaf.Region:
		f.reached = f.reached || leaf.Sets[w.family] != nil
	default:
		for _, endpoint := range certain {
			f.instead[endpoint] = true
		}
	}
}

// warnOfUnknownPlaces warns of pools that go by what the geo table does not say of any client.
func (p *Plan) warnOfUnknownPlaces(report *strict.Report) {
	var subdivisions, numbers bool
	for id := range p.Table.Places() {
		place := p.Table.Place(geo.PlaceID(id))
		subdivisions, numbers = subdivisions || place.Subdivision != "", numbers || place.ASN != 0
	}
	for i := range p.World.Pools {
		pool := &p.World.Pools[i]
		warn := func(goesBy, wants string) {
			report.Add(p.World.written[memberKey{pool: pool.Name}], "pool %q: goes by %s, of which the geo table has none: nobody is matched by them without a database that has them (geo: in node.yaml, %s)", pool.Name, goesBy, wants)
		}
		if !subdivisions && slices.ContainsFunc(pool.Members, func(m Member) bool { return len(m.Subdivisions) > 0 }) {
			warn("subdivisions", "such as GeoLite2-City")
		}
		if !numbers && slices.ContainsFunc(pool.Members, func(m Member) bool { return len(m.ASNs) > 0 }) {
			warn("AS numbers", "such as GeoLite2-ASN")
		}
	}
}
