// Package gdnsd imports the configuration of gdnsd: its file config, with those that it includes, and its zone files.
//
// A resource of the plugins simplefo, multifo, weighted, metafo and geoip that a name uses (by DYNA or DYNC) becomes a
// pool, and pools of pools where the plugins refer to one another; service types become checks. Zone files stay as they
// are, but for the records that plugins answer, for @Z and @F, and for files that they include.
//
// Features is what it knows, and what becomes of each. It reads no database of places and no state of a running server.
package gdnsd

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// Import makes a world of the files of gdnsd's configuration directory, by their names in it. The error is strict.Problems: what can't be
// read, with file and line.
func Import(files map[string][]byte) (*importer.Result, error) {
	result := &importer.Result{}
	b := &builder{
		files: files, report: &result.Report, config: &value{kind: importer.Map}, services: map[string]watch{}, resources: map[string]string{}, making: map[string]bool{},
		endpoints: map[string]string{}, regions: map[string]*importer.Region{}, pools: map[string]*importer.Pool{}, aliases: map[string]bool{}, told: map[*value]bool{},
		uses: map[string]time.Duration{},
	}
	if _, ok := files["config"]; ok {
		left := maxIncludes
		config, problem := parseFile(files, "config", &left, 0)
		switch {
		case problem != nil:
			b.mistakes.Add(strict.Position{File: problem.File, Line: problem.Line}, "%s", problem.Text)
		case config.kind != importer.Map:
			b.mistakes.Add(strict.Position{File: "config", Line: 1}, "is a list, want the keys options, service_types and plugins")
		default:
			b.config = config
		}
	}
	z := &zoneReader{b: b, ttl: b.options()}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		dir, base := path.Split(name)
		switch {
		case dir == "zones/" && !strings.HasPrefix(base, "."):
			z.file(name)
		case dir == "djbdns/":
			b.report.Add(otherFile, strict.Position{File: name}, base, "")
		}
	}
	if _, ok := files["config"]; !ok && len(z.zones) == 0 {
		b.mistakes.Add(strict.Position{}, "the directory has neither a file config nor zone files in zones/")
	}
	if err := b.mistakes.Err(); err != nil {
		return nil, err
	}
	b.settle()
	z.finish()
	b.unused()
	result.Files = b.finish().Files()
	return result, nil
}

// options notes the options, and returns the TTL that zone files begin with; empty where they say nothing.
func (b *builder) options() (ttl string) {
	ttl = "86400"
	for i, key := range b.config.keys {
		v := b.config.items[i]
		switch key {
		case "service_types", "plugins":
		case "options":
			for j, option := range v.keys {
				if option == "zones_default_ttl" {
					ttl = v.items[j].scalar()
					b.report.Add(defaultTTL, v.items[j].at, option, "%s", ttl)
					continue
				}
				b.report.Add(options, v.items[j].at, option, "")
			}
		default:
			b.report.Add(unknownKey, v.at, key, "")
		}
	}
	return ttl
}

// unused notes what the configuration has and no zone uses.
func (b *builder) unused() {
	types := b.config.get("service_types")
	for i, name := range keysOf(types) {
		if _, used := b.services[name]; !used {
			b.report.Add(unusedPart, types.items[i].at, "service type "+name, "")
		}
	}
	plugins := b.config.get("plugins")
	for i, plugin := range keysOf(plugins) {
		config := plugins.items[i]
		switch plugin {
		case "metafo", "geoip":
			config = config.get("resources")
		case "simplefo", "multifo", "weighted", "static":
		default:
			b.report.Add(otherPlugin, config.at, "plugin "+plugin, "")
			continue
		}
		for j, name := range keysOf(config) {
			if _, used := b.resources[plugin+"!"+name]; !used && !slices.Contains(settings, name) {
				b.report.Add(unusedPart, config.items[j].at, plugin+"!"+name, "")
			}
		}
	}
}

func keysOf(v *value) []string {
	if v == nil || v.kind != importer.Map {
		return nil
	}
	return v.keys
}

// finish puts the world in order.
func (b *builder) finish() *importer.World {
	var names []string
	for name := range b.regions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.world.Regions = append(b.world.Regions, *b.regions[name])
	}
	slices.SortFunc(b.world.Checks, func(x, y importer.Check) int { return strings.Compare(x.Name, y.Name) })
	b.world.Head = []string{"From gdnsd. The comments marked " + strings.TrimSuffix(importer.Mark, ": ") + " are for you to read; docs/import.md explains them."}
	return &b.world
}
