package gdnsd

import (
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// metaKeys are those of metafo, geoip and their resources that are not handed down to datacenters.
var metaKeys = map[string]bool{"resources": true, "maps": true, "datacenters": true, "dcmap": true, "map": true, "undefined_datacenters_ok": true, "city_region_names": true}

// handedDown returns a mapping without what only metafo and geoip know.
func handedDown(v *value) *value {
	kept := &value{at: v.at, kind: importer.Map}
	for i, key := range v.keys {
		if !metaKeys[key] {
			kept.keys, kept.items = append(kept.keys, key), append(kept.items, v.items[i])
		}
	}
	return kept
}

// meta makes the pool of a resource of metafo or geoip.
func (b *builder) meta(plugin, name string, config, definition *value) string {
	r := &metaResource{b: b, plugin: plugin, name: importer.Slug(name), config: config, definition: definition, parts: map[string]*part{}}
	if plugin == "geoip" {
		return r.geoip()
	}
	b.report.Add(metafo, definition.at, name, "")
	var order []string
	for _, dc := range definition.get("datacenters").list() {
		order = append(order, dc.scalar())
	}
	return r.failover(r.name, order, "resource metafo!"+name)
}

func (b *builder) oneDatacenter(plugin, name, datacenter string, config, definition *value) string {
	r := &metaResource{b: b, plugin: plugin, name: importer.Slug(name), config: config, definition: definition, parts: map[string]*part{}}
	return r.failover(r.name+"-"+importer.Slug(datacenter), []string{datacenter}, "datacenter "+datacenter+" of "+plugin+"!"+name)
}

// A metaResource is a resource whose datacenters are turned into parts of pools.
type metaResource struct {
	b                  *builder
	plugin, name       string
	config, definition *value
	parts              map[string]*part // by datacenter; nil for those that are nowhere
}

// failover makes the pool of an order of datacenters.
func (r *metaResource) failover(name string, order []string, comment string) string {
	var parts []part
	for _, dc := range order {
		if one := r.part(dc); one != nil {
			parts = append(parts, *one)
		}
	}
	return r.b.pool(&importer.Pool{Name: name, Policy: "failover", Comment: []string{comment}}, r.name, "", parts)
}

// part returns what a datacenter answers with; nil where there is nothing, which is noted.
func (r *metaResource) part(dc string) *part {
	if one, made := r.parts[dc]; made {
		return one
	}
	r.parts[dc] = nil
	spec := r.definition.get("dcmap").get(dc)
	if spec == nil {
		r.b.report.Add(lostReference, r.definition.at, r.name, "datacenter %s", dc)
		return nil
	}
	region := r.regionOf(dc, spec.at)
	down := layers{handedDown(r.config), handedDown(r.definition)}
	one := &part{at: spec.at, label: dc}
	one.member.Region = region
	switch text := spec.scalar(); {
	case spec.kind == importer.Map:
		l := append(down, spec)
		plugin := l.get("plugin").scalar()
		if plugin == "" {
			plugin = "multifo"
		}
		one = r.synthesized(plugin, dc, region, l, one)
	case spec.kind == importer.List:
		one = r.synthesized("multifo", dc, region, append(down, spec), one)
	case strings.HasPrefix(text, "%") || strings.HasPrefix(text, "!"):
		plugin, resource, _ := strings.Cut(strings.TrimPrefix(text, "%"), "!")
		if plugin == "" {
			plugin = down.get("plugin").scalar()
		}
		if plugin == "" {
			plugin = "multifo"
		}
		one.member.Pool = r.b.resource(plugin, resource, spec.at)
		if one.member.Pool == "" {
			one = nil
		}
	default:
		e, ok := r.b.entry(spec, dc, r.name)
		e.member.Region = region
		if e.cname == "" {
			e.watch = r.b.watch(down.get("service_types"), r.name)
		}
		e.endpoint = true
		if one = &e.part; !ok {
			one = nil
		}
	}
	if one != nil {
		r.parts[dc] = one
	}
	return one
}

// synthesized makes the pool of a datacenter that is written out as a resource of another plugin.
func (r *metaResource) synthesized(plugin, dc, region string, l layers, one *part) *part {
	name := r.name + "-" + importer.Slug(dc)
	switch plugin {
	case "simplefo", "multifo", "weighted":
		one.member.Pool = r.b.simple(plugin, name, region, l)
	case "metafo", "geoip":
		one.member.Pool = r.b.meta(plugin, name, l[0], l.last())
	default:
		r.b.report.Add(otherPlugin, one.at, r.name, "%s", plugin)
		return nil
	}
	if pool := r.b.pools[one.member.Pool]; pool == nil {
		return nil
	} else if len(pool.Members) > 1 && pool.Policy == "multivalue" {
		r.b.report.Add(oneAtATime, one.at, r.name, "%s", dc)
	}
	return one
}

// regionOf returns the region of a datacenter.
func (r *metaResource) regionOf(dc string, at strict.Position) string {
	if r.plugin == "geoip" {
		return r.b.region(at, dc, r.coordinates(dc))
	}
	if r.b.regions[importer.Slug(dc)] != nil {
		return importer.Slug(dc)
	}
	return r.b.region(at, unplaced, nil)
}
