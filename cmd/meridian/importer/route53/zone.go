package route53

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A mapper makes the world.
type mapper struct {
	in     *input
	report *importer.Report
	world  importer.World
	zones  []*zoneSets

	checkNames, poolNames, endpointNames, controlNames importer.Names

	checks    map[string]int    // by what they do: their number in the world
	named     map[string]bool   // health checks that stand in the comment of their check
	endpoints map[string]string // names by what they are
	controls  map[string]string // names by ARN
	regions   map[string]*importer.Region
	spots     map[place]string // names of regions that are coordinates
	spotNames importer.Names
}

func newMapper(in *input, report *importer.Report) *mapper {
	return &mapper{in: in, report: report, checks: map[string]int{}, named: map[string]bool{}, endpoints: map[string]string{},
		controls: map[string]string{}, regions: map[string]*importer.Region{}, spots: map[place]string{}}
}

// finish puts the world in order.
func (m *mapper) finish() *importer.World {
	var names []string
	for name := range m.regions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m.world.Regions = append(m.world.Regions, *m.regions[name])
	}
	slices.SortFunc(m.world.Checks, func(a, b importer.Check) int { return strings.Compare(a.Name, b.Name) })
	m.world.Head = []string{"From Amazon Route 53. The comments marked " + strings.TrimSuffix(importer.Mark, ": ") + " are for you to read; docs/import.md explains them."}
	return &m.world
}

// What a name can be steered to: types that are answered by one pool.
var steerable = [][]string{{"A", "AAAA"}, {"CNAME"}, {"MX"}, {"SRV"}}

// group returns the types at a name that have a policy and can be steered together; nil where there are none.
func (z *zoneSets) group(name string) []string {
	for _, kinds := range steerable {
		for _, kind := range kinds {
			if len(z.sets[name][kind]) > 0 && z.sets[name][kind][0].policy() != "" {
				return kinds
			}
		}
	}
	return nil
}

// aliasOf returns the name of the zone that a name's addresses (or its CNAME) are an alias of; ok is false where it is none.
func (z *zoneSets) aliasOf(name string) (target string, ok bool) {
	for _, kind := range []string{"A", "AAAA", "CNAME"} {
		if sets := z.sets[name][kind]; len(sets) == 1 && sets[0].alias != nil && sets[0].policy() == "" && z.sets[sets[0].alias.target] != nil {
			return sets[0].alias.target, true
		}
	}
	return "", false
}

// steered reports whether a name is answered by a pool: by a policy of its own, or as an alias of a name that has one.
func (z *zoneSets) steered(name string) bool {
	for range maxAliases {
		if z.group(name) != nil {
			return true
		}
		target, ok := z.aliasOf(name)
		if !ok {
			return false
		}
		name = target
	}
	return false
}

const maxAliases = 16 // of aliases of aliases

// zone maps a zone: its steered names to pools, all else to the zone file.
func (m *mapper) zone(z *zoneSets) {
	z.out = &importer.Zone{Apex: z.apex, File: importer.ZoneFile(z.apex)}
	m.world.Zones = append(m.world.Zones, z.out)
	z.out.Lines = []string{"$ORIGIN " + z.apex}
	m.apex(z)
	for _, name := range z.names {
		handled := map[string]bool{}
		if z.steered(name) {
			pool := m.poolOf(z, name)
			if pool != "" {
				z.out.Steers = append(z.out.Steers, importer.Steer{Owner: importer.Relative(name, z.apex), Pool: pool})
			}
			handled = m.steeredTypes(z, name, pool != "")
		}
		kinds := make([]string, 0, len(z.sets[name]))
		for kind := range z.sets[name] {
			kinds = append(kinds, kind)
		}
		slices.Sort(kinds)
		for _, kind := range kinds {
			if !handled[kind] && !(name == z.apex && (kind == "SOA" || kind == "NS")) {
				m.static(z, name, kind)
			}
		}
	}
}

// apex writes the records that every zone begins with.
func (m *mapper) apex(z *zoneSets) {
	soa, ns := z.sets[z.apex]["SOA"], z.sets[z.apex]["NS"]
	if len(soa) > 0 || len(ns) > 0 {
		at := append(slices.Clone(soa), ns...)[0].at
		m.report.Add(apexRecords, at, z.apex, "")
	}
	if len(soa) == 0 || len(ns) == 0 {
		m.report.Add(newZone, z.at, z.apex, "")
	}
	z.line("; " + importer.Mark + "these name others' servers, or none: write those that you run, and the mailbox of whoever is in charge.")
	if len(soa) > 0 {
		m.records(z, soa[0], z.apex, soa[0].values[:1])
	} else {
		z.line("@\t900\tSOA\tns1 hostmaster 1 7200 900 1209600 60")
	}
	if len(ns) > 0 {
		m.records(z, ns[0], z.apex, ns[0].values)
	} else {
		z.line("@\t3600\tNS\tns1")
		z.line("@\t3600\tNS\tns2")
	}
}

func (z *zoneSets) line(text string) { z.out.Lines = append(z.out.Lines, text) }

// steeredTypes are the types of a name that a pool answers, or would if there were one. Those of an alias are noted.
func (m *mapper) steeredTypes(z *zoneSets, name string, answered bool) map[string]bool {
	handled := map[string]bool{}
	group := z.group(name)
	if group == nil {
		group = []string{"A", "AAAA", "CNAME"}
	}
	for _, kind := range group {
		handled[kind] = true
	}
	if !answered || z.group(name) != nil {
		return handled
	}
	target, _ := z.aliasOf(name)
	var own []*recordSet
	for _, kind := range group {
		for _, s := range z.sets[name][kind] {
			if s.alias == nil || s.alias.target != target {
				m.leave(z, s, secondType)
				continue
			}
			m.report.Add(aliasRecord, s.at, s.subject(), "")
			own = append(own, s)
		}
	}
	if len(own) == 1 && len(z.sets[target]["A"]) > 0 && len(z.sets[target]["AAAA"]) > 0 {
		m.report.Add(aliasFamily, own[0].at, own[0].subject(), "")
	}
	return handled
}

// leave writes a record set as a comment, and notes why.
func (m *mapper) leave(z *zoneSets, s *recordSet, why importer.Feature) {
	m.report.Add(why, s.at, s.subject(), "")
	what := s.values
	if s.alias != nil {
		what = []string{"alias of " + s.alias.target}
	}
	for _, value := range what {
		text := fmt.Sprintf("; %s%s: %s %s %s", importer.Mark, why.Title, importer.Relative(s.name, z.apex), s.kind, value)
		if s.id != "" {
			text += fmt.Sprintf(" (%s %s)", s.policy(), strict.Quote(s.id))
		}
		z.line(importer.OneLine(text))
	}
}

// static writes the record sets of a type at a name that no pool answers.
func (m *mapper) static(z *zoneSets, name, kind string) {
	for _, s := range z.sets[name][kind] {
		switch steers := slices.ContainsFunc(steerable, func(kinds []string) bool { return slices.Contains(kinds, kind) }); {
		case s.policy() != "" && !steers:
			m.leave(z, s, otherTypes)
		case s.policy() != "" && z.group(name) != nil:
			m.leave(z, s, secondType)
		case s.policy() != "":
			m.leave(z, s, badPolicy)
		case len(z.sets[name][kind]) > 1:
			m.leave(z, s, badPolicy)
		case s.alias != nil:
			m.staticAlias(z, s)
		default:
			m.report.Add(simple, s.at, s.subject(), "")
			m.records(z, s, name, s.values)
		}
	}
}

// records writes records of a set at a name, those that can't be read as comments.
func (m *mapper) records(z *zoneSets, s *recordSet, name string, values []string) {
	ttl := uint32(aliasTTL)
	if s.ttl != nil {
		ttl = *s.ttl
	}
	for _, value := range values {
		head := fmt.Sprintf("%s\t%d\t%s\t", importer.Relative(name, z.apex), ttl, s.kind)
		rr := record(s.kind, value)
		if rr == nil {
			m.report.Add(unreadable, s.at, s.subject(), "%s", strict.Quote(value))
			z.line(importer.OneLine("; " + importer.Mark + unreadable.Title + ": " + head + value))
			continue
		}
		z.line(head + strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
}

// record returns a record by its type and data; nil if it can't be read. Names in the data are whole ones, with or without a last dot.
func record(kind, value string) dns.RR {
	if strings.ContainsAny(value, "\r\n") {
		return nil
	}
	parser := dns.NewZoneParser(strings.NewReader(". 60 IN "+kind+" "+value+"\n"), ".", "")
	rr, ok := parser.Next()
	if _, more := parser.Next(); !ok || more || parser.Err() != nil || rr.Header().Class != dns.ClassINET {
		return nil
	}
	return rr
}

// staticAlias writes what a simple alias is an alias of.
func (m *mapper) staticAlias(z *zoneSets, s *recordSet) {
	if s.health != "" {
		m.report.Add(aliasHealth, s.at, s.subject(), "")
	}
	values, ttl, ok := z.valuesOf(s, 0)
	switch {
	case ok:
		m.report.Add(aliasRecord, s.at, s.subject(), "")
		copied := *s
		copied.ttl = ttl
		m.records(z, &copied, s.name, values)
	case dns.IsSubDomain(z.apex, s.alias.target):
		m.leave(z, s, aliasLost)
	case s.name == z.apex || !m.aloneAs(z, s):
		m.leave(z, s, aliasApex)
	default:
		m.service(s)
		if s.kind == "AAAA" && len(z.sets[s.name]["A"]) > 0 {
			return // the CNAME stands there for A
		}
		as := *s
		as.kind = "CNAME"
		m.records(z, &as, s.name, []string{s.alias.target})
	}
}

// service notes an alias of a service of AWS.
func (m *mapper) service(s *recordSet) {
	m.report.Add(aliasService, s.at, s.subject(), "%s", s.alias.target)
	if s.alias.evaluate {
		m.report.Add(serviceHealth, s.at, s.subject(), "")
	}
}

// aliasTTL is what Route 53 gives for the aliases of most services, in seconds.
const aliasTTL = 60

// valuesOf returns the records that an alias leads to within the zone, if they are static.
func (z *zoneSets) valuesOf(s *recordSet, depth int) (values []string, ttl *uint32, ok bool) {
	if s.alias == nil {
		return s.values, s.ttl, s.policy() == ""
	}
	sets := z.sets[s.alias.target][s.kind]
	if len(sets) != 1 || depth == maxAliases || sets[0].policy() != "" {
		return nil, nil, false
	}
	return z.valuesOf(sets[0], depth+1)
}

// aloneAs reports whether nothing but aliases of the same service stand at the name of one.
func (m *mapper) aloneAs(z *zoneSets, s *recordSet) bool {
	for kind, sets := range z.sets[s.name] {
		for _, other := range sets {
			if kind != "A" && kind != "AAAA" || other.alias == nil || other.alias.target != s.alias.target || other.policy() != "" {
				return false
			}
		}
	}
	return true
}

// addressesOf parses addresses; what is none is left out.
func addressesOf(values []string) (list []netip.Addr) {
	for _, v := range values {
		if a, err := netip.ParseAddr(strings.TrimSpace(v)); err == nil && a.Zone() == "" && !a.Is4In6() {
			list = append(list, a)
		}
	}
	return list
}
