package zones

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// The most of each thing in a world.
const (
	maxFiles     = 10_000 // of configuration
	maxRegions   = 64
	maxChecks    = 1_000
	maxPools     = 20_000
	maxMembers   = 64 // of a pool: one prebuilt answer set each
	maxPanels    = 100
	maxControls  = 100 // of a panel
	maxRules     = 100 // of a panel
	maxServices  = 1_000
	maxUpstreams = 256 // of a service in a region
	maxRoutes    = 10_000
	maxZones     = 1_000_000
	maxDirs      = 64
	maxTables    = 64     // of round-trip times
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
	catalogs []strict.Named[catalogKeys]

	directories []strict.At[string]
	tables      []strict.At[string]
	agent       strict.At[string]
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
	strict.Optional("catalogs", "zones of others that list zones to be copied (RFC 9432), by apex. See [transfers](transfers.md)", "",
		strict.Map("catalog", apexName, catalogObject.Type("a catalog"), maxCatalogs),
		func(s *sections) *[]strict.Named[catalogKeys] { return &s.catalogs }),
	strict.Optional("zone_directories", "directories of the world whose every file APEX.zone is a zone with static records; @.zone is the root", "",
		strict.List(strict.Placed(directoryName), maxDirs),
		func(s *sections) *[]strict.At[string] { return &s.directories }),
	strict.Optional("latency_tables", "files of the world with round-trip times from prefixes, AS numbers or countries to regions, CSV or YAML, the latter not beside the configuration. See [steering](steering.md)", "",
		strict.List(strict.Placed(strict.Text(255)), maxTables), func(s *sections) *[]strict.At[string] { return &s.tables }),
	strict.Optional("report_agent", "the agent to which resolvers are asked to report errors with the zones (RFC 9567); of zones in which it lies they are not. See [operation](operation.md)", "",
		strict.Placed(agentName), func(s *sections) *strict.At[string] { return &s.agent }),
}

var directoryName = strict.Parsed("directory", func(text string) (string, error) {
	if text == "." || !fs.ValidPath(text) {
		return "", fmt.Errorf("%q is no directory of the world: want a relative path such as customers", text)
	}
	return text, nil
})

// Reference returns every key of a world's YAML files as Markdown.
func Reference() string { return sectionsObject.Reference() }

// A parser turns the files of a world into the world, section by section, and gathers what is wrong with them.
type parser struct {
	source       sections // what all of them say
	zoneOf       []int    // by zone that is configured one by one: its number among the world's
	world        World
	controlNames []string // of all panels, in order
	defaults     int      // zones that go out as their default answers
	mistakes     strict.Report
	warnings     strict.Report
}

// A Version changes whenever the contents of a file do. The zero Version is that of a file that is not there.
type Version struct {
	Size, Modified, Changed int64
	Inode                   uint64
}

// Files are the files of a world's directory. Names are relative to it, with slashes.
type Files interface {
	List(dir string) ([]string, error) // the names of the files in a directory, sorted; "." is the world itself
	Version(name string) Version
	Open(name string) (io.ReadCloser, Version, error)
}

// FileMap is files in memory, by name.
type FileMap map[string][]byte

// List is for Files.
func (m FileMap) List(dir string) ([]string, error) {
	var names []string
	for name := range m {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Version is for Files.
func (m FileMap) Version(name string) Version {
	data, ok := m[name]
	if !ok {
		return Version{}
	}
	h := fnv.New64a()
	h.Write(data)
	return Version{Size: int64(len(data)), Inode: h.Sum64()}
}

// Open is for Files.
func (m FileMap) Open(name string) (io.ReadCloser, Version, error) {
	data, ok := m[name]
	if !ok {
		return nil, Version{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(data)), m.Version(name), nil
}

// A Loader reads a world in three steps: NewLoader its configuration, a Reader each of its zones, World the whole.
type Loader struct {
	files  Files
	parser parser
	notes  []*zoneNotes     // by zone; nil where there is nothing to note
	before map[string]*Zone // of the world before, by apex
	sum    hash.Hash        // of the configuration
}

// NewLoader reads the configuration of a world: the files in its directory that end in .yaml, whose sections are taken together.
// Zone files that have not changed since prev (nil: none) was loaded are not read again.
func NewLoader(files Files, prev *World) *Loader {
	l := &Loader{files: files, sum: sha256.New()}
	if prev != nil {
		l.before = make(map[string]*Zone, len(prev.Zones))
		for i := range prev.Zones {
			l.before[prev.Zones[i].Apex] = &prev.Zones[i]
		}
	}
	p := &l.parser
	names, err := files.List(".")
	if err != nil {
		p.mistakes.Add(strict.Position{}, "%v", err)
		return l
	}
	configured := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		if configured++; configured > maxFiles {
			p.mistakes.Add(strict.Position{}, "more than %d files of configuration", maxFiles)
			return l
		}
		data, err := readAll(files, name)
		if err != nil {
			p.mistakes.Add(strict.Position{File: name}, "%v", err)
			continue
		}
		fmt.Fprintf(l.sum, "%d %s %d ", len(name), name, len(data))
		l.sum.Write(data)
		p.read(name, data)
	}
	p.regions()
	l.latencyTables()
	p.checks()
	p.panels()
	p.pools()
	p.gateway()
	l.listZones()
	l.listCatalogs()
	p.reportAgent()
	l.notes = make([]*zoneNotes, len(p.world.Zones))
	for i := range p.source.zones {
		l.note(p.zoneOf[i]).configured(&p.source.zones[i])
	}
	p.unused(names)
	p.unusedControls()
	return l
}

func readAll(files Files, name string) ([]byte, error) {
	f, _, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, strict.MaxSize+1))
}

// Zones returns how many zones there are to read.
func (l *Loader) Zones() int { return len(l.parser.world.Zones) }

// Reader returns something that reads zones of the world. Each goroutine needs its own.
func (l *Loader) Reader() *Reader { return &Reader{loader: l} }

// World returns what was read. A zone whose file has mistakes stays as it was in the world before; World.Refused says what
// is wrong with it. Where there was none, it is a zone without data. The error is Problems: where the configuration has mistakes,
// every mistake in every file.
func (l *Loader) World() (*World, error) {
	p := &l.parser
	w := &p.world
	var refused strict.Report
	for i, n := range l.notes {
		if n != nil {
			p.warnings.Join(&n.warnings)
			refused.Join(&n.mistakes)
		}
		if err := w.Zones[i].prepare(); err != nil {
			p.mistakes.Add(strict.Position{File: w.Zones[i].File}, "zone %q: %v", w.Zones[i].Apex, err)
		}
	}
	if p.mistakes.Err() != nil {
		p.mistakes.Join(&refused)
		return nil, p.mistakes.Err()
	}
	l.warnOfCopies()
	l.warnOfHTTPS()
	l.warnOfTraps()
	w.Definitions.Contents = w.contents()
	for i := range w.Zones {
		fmt.Fprintf(l.sum, "%s %x ", w.Zones[i].File, uint64(w.Zones[i].digest))
	}
	w.Digest = health.Hash64(binary.BigEndian.Uint64(l.sum.Sum(nil)))
	w.Warnings, w.Refused = p.warnings.Problems(), refused.Problems()
	for _, dir := range p.source.directories {
		w.Directories = append(w.Directories, dir.Value)
	}
	return w, nil
}

// Parse reads a world at once. Unlike with a Loader, mistakes in zone files are mistakes of the world: the error is Problems,
// every mistake in every file. Only what follows an $ORIGIN, a parenthesis or a quotation mark that can't be read is not looked
// at.
func Parse(files FileMap) (*World, error) {
	l := NewLoader(files, nil)
	r := l.Reader()
	for i := range l.Zones() {
		r.Read(i)
	}
	world, err := l.World()
	if err == nil && len(world.Refused) > 0 {
		return nil, Problems(world.Refused)
	}
	return world, err
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
	p.source.catalogs = append(p.source.catalogs, f.catalogs...)
	p.source.directories = append(p.source.directories, f.directories...)
	p.source.tables = append(p.source.tables, f.tables...)
	switch first := p.source.agent; {
	case !first.Given():
		p.source.agent = f.agent
	case f.agent.Given():
		p.mistakes.Add(f.agent.Position, "report_agent is there twice (first at %s)", first.Position)
	}
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
		keys := &p.source.pools[i].Value
		checked[keys.check.Value] = true
		for j := range keys.members {
			steered[keys.members[j].Value.pool.Value] = true
		}
	}
	for i := range p.source.zones {
		files[p.source.zones[i].Value.file.Value] = true
		for _, s := range p.source.zones[i].Value.steer {
			steered[s.Value.pool.Value] = true
		}
	}
	for _, c := range p.source.checks {
		for _, term := range c.Value.rule.of {
			checked[term.Value.Check] = checked[term.Value.Check] || checked[c.Name]
		}
	}
	for _, c := range p.source.checks {
		if !checked[c.Name] {
			p.warnings.Add(c.Position, "check %q: no pool uses it, so nothing is probed by it", c.Name)
		}
	}
	for _, pool := range p.source.pools {
		if !steered[pool.Name] {
			p.warnings.Add(pool.Position, "pool %q: no name is steered by it, and it is in no other pool, so nobody is answered from it", pool.Name)
		}
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".zone") && !files[name]:
			p.warnings.Add(strict.Position{File: name}, "no zone refers to this file, so its records are not served")
		case strings.HasSuffix(name, ".yml"):
			p.warnings.Add(strict.Position{File: name}, "not read, so nothing in it holds: configuration files end in .yaml")
		}
	}
}
