package zones

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// The most of each thing in a world.
const (
	maxFiles     = 10_000
	maxRegions   = 64
	maxChecks    = 1_000
	maxPools     = 2_000
	maxMembers   = 64 // of a pool: one prebuilt answer set each
	maxPanels    = 100
	maxControls  = 100 // of a panel
	maxRules     = 100 // of a panel
	maxServices  = 1_000
	maxUpstreams = 256 // of a service in a region
	maxRoutes    = 10_000
	maxZones     = 1_000
	maxSteers    = 10_000 // of a zone
)

// sections are what YAML files of a world say: those of all files together are the world.
type sections struct {
	regions  []strict.Named[regionKeys]
	checks   []strict.Named[checkKeys]
	pools    []strict.Named[poolKeys]
	controls []strict.Named[panelKeys]
	gateway  gatewayKeys
	zones    []strict.Named[zoneKeys]
}

var sectionsObject = strict.Object[sections]{
	strict.Optional("regions", "the places where nodes and endpoints are", "",
		strict.Map("region", strict.Name[string](), regionObject.Type("a region"), maxRegions),
		func(s *sections) *[]strict.Named[regionKeys] { return &s.regions }),
	strict.Optional("checks", "how endpoints are probed", "",
		strict.Map("check", strict.Name[string](), checkObject.Type("a check"), maxChecks),
		func(s *sections) *[]strict.Named[checkKeys] { return &s.checks }),
	strict.Optional("pools", "what steered names answer from", "",
		strict.Map("pool", strict.Name[string](), poolObject.Type("a pool"), maxPools),
		func(s *sections) *[]strict.Named[poolKeys] { return &s.pools }),
	strict.Optional("controls", "the routing controls and their safety rules, by panel", "",
		strict.Map("panel", strict.Name[string](), panelObject.Type("a panel"), maxPanels),
		func(s *sections) *[]strict.Named[panelKeys] { return &s.controls }),
	strict.Optional("gateway", "what every region's gateway does", "",
		gatewayObject.Type("the gateway"),
		func(s *sections) *gatewayKeys { return &s.gateway }),
	strict.Optional("zones", "the zones that are served, by apex", "",
		strict.Map("zone", apexName, zoneObject.Type("a zone"), maxZones),
		func(s *sections) *[]strict.Named[zoneKeys] { return &s.zones }),
}

// Reference returns every key of a world's YAML files as Markdown.
func Reference() string { return sectionsObject.Reference() }

// A parser turns the files of a world into the world, section by section, and gathers what is wrong with them.
type parser struct {
	files        map[string][]byte
	source       sections // what all of them say
	world        World
	controlNames []string // of all panels, in order
	mistakes     strict.Report
	warnings     strict.Report
}

// Parse reads the files of a world's directory, by name relative to it. Files that end in .yaml are configuration: their
// sections are taken together. Of the others, those that a zone names are its zone file (RFC 1035, section 5).
//
// The error is Problems: every mistake in every file. Only what follows an $ORIGIN, a parenthesis or a quotation mark
// that can't be read is not looked at.
func Parse(files map[string][]byte) (*World, error) {
	p := &parser{files: files}
	if len(files) > maxFiles {
		return nil, Problems{{Text: fmt.Sprintf("%d files, at most %d are allowed", len(files), maxFiles)}}
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if strings.HasSuffix(name, ".yaml") {
			p.read(name, files[name])
		}
	}
	p.regions()
	p.checks()
	p.panels()
	p.pools()
	p.gateway()
	p.zones()
	p.unused(names)
	p.unusedControls()
	if err := p.mistakes.Err(); err != nil {
		return nil, err
	}
	p.world.Digest = p.digest(names)
	p.world.Warnings = p.warnings.Problems()
	return &p.world, nil
}

// read adds one file's sections to the others'.
func (p *parser) read(name string, data []byte) {
	document, ok := strict.Document(name, data, &p.mistakes)
	if !ok {
		return
	}
	var f sections
	sectionsObject.Decode(document, &f)
	p.source.regions = append(p.source.regions, f.regions...)
	p.source.checks = append(p.source.checks, f.checks...)
	p.source.pools = append(p.source.pools, f.pools...)
	p.source.controls = append(p.source.controls, f.controls...)
	p.source.gateway.services = append(p.source.gateway.services, f.gateway.services...)
	p.source.gateway.routes = append(p.source.gateway.routes, f.gateway.routes...)
	p.source.zones = append(p.source.zones, f.zones...)
}

// byName orders entries by name, and notes those that are defined again and those past the limit.
func byName[V any](p *parser, what string, entries []strict.Named[V], most int) []strict.Named[V] {
	if len(entries) > most {
		p.mistakes.Add(entries[most].Position, "%d %ss, at most %d are allowed", len(entries), what, most)
		entries = entries[:most]
	}
	slices.SortStableFunc(entries, func(a, b strict.Named[V]) int { return strings.Compare(a.Name, b.Name) })
	var once []strict.Named[V]
	for _, e := range entries {
		if n := len(once); n > 0 && once[n-1].Name == e.Name {
			p.mistakes.Add(e.Position, "%s %q is defined twice (first at %s)", what, e.Name, once[n-1].Position)
			continue
		}
		once = append(once, e)
	}
	return once
}

// namesOf returns the names of entries, for problems that list the good ones.
func namesOf[V any](entries []strict.Named[V]) []string {
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = entries[i].Name
	}
	return names
}

func isDefined[V any](entries []strict.Named[V], name string) bool {
	_, ok := slices.BinarySearchFunc(entries, name, func(e strict.Named[V], name string) int { return strings.Compare(e.Name, name) })
	return ok
}

// unused warns of what is defined or there, but serves nothing.
func (p *parser) unused(names []string) {
	checked, steered, files := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range p.source.pools {
		checked[p.source.pools[i].Value.check.Value] = true
	}
	for i := range p.source.zones {
		files[p.source.zones[i].Value.file.Value] = true
		for _, s := range p.source.zones[i].Value.steer {
			steered[s.Value.pool.Value] = true
		}
	}
	for _, c := range p.source.checks {
		if !checked[c.Name] {
			p.warnings.Add(c.Position, "check %q: no pool uses it", c.Name)
		}
	}
	for _, pool := range p.source.pools {
		if !steered[pool.Name] {
			p.warnings.Add(pool.Position, "pool %q: no name is steered by it", pool.Name)
		}
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".zone") && !files[name]:
			p.warnings.Add(strict.Position{File: name}, "no zone refers to this file")
		case strings.HasSuffix(name, ".yml"):
			p.warnings.Add(strict.Position{File: name}, "not read: configuration files end in .yaml")
		}
	}
}

// digest covers the files that the world is made of.
func (p *parser) digest(names []string) health.Hash64 {
	used := map[string]bool{}
	for i := range p.world.Zones {
		used[p.world.Zones[i].File] = true
	}
	h := sha256.New()
	for _, name := range names {
		if used[name] || strings.HasSuffix(name, ".yaml") {
			fmt.Fprintf(h, "%d %s %d ", len(name), name, len(p.files[name]))
			h.Write(p.files[name])
		}
	}
	return health.Hash64(binary.BigEndian.Uint64(h.Sum(nil)))
}
