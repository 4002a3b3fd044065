// Package route53 imports hosted zones and health checks of Amazon Route 53.
//
// It reads what the AWS CLI lists (list-resource-record-sets, list-health-checks, list-hosted-zones,
// get-hosted-zone, get-health-check, list-cidr-blocks) and templates of CloudFormation. A name with a
// routing policy becomes a pool, and a record set of it a member, or a pool of its own where a member
// can't say what the record set says: several values, another health check than the others'.
//
// Features is what it knows, and what becomes of each. It asks AWS nothing, so what only a running
// stack or another listing tells is left out, with a note.
package route53

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// Import makes a world of the files. Zones are apexes that records may belong to beside those that the files tell of. The error is
// strict.Problems: what can't be read, with file and line.
func Import(files []importer.File, zones []string) (*importer.Result, error) {
	result := &importer.Result{}
	r := reader{report: &result.Report, in: input{checks: map[string]*healthCheck{}, blocks: map[string]map[string]prefixes{}}}
	for _, f := range files {
		r.read(f)
	}
	for _, text := range zones {
		apex, ok := domain(text)
		if !ok {
			r.mistakes.Add(strict.Position{}, "zone %s is not a domain name", strict.Quote(text))
		}
		r.in.zones = append(r.in.zones, hostedZone{apex: apex})
	}
	if err := r.mistakes.Err(); err != nil {
		return nil, err
	}
	m := newMapper(&r.in, &result.Report)
	m.assign()
	for _, z := range m.zones {
		m.zone(z)
	}
	m.leftovers()
	result.Files = m.finish().Files()
	return result, nil
}

// A zoneSets is a zone with its record sets.
type zoneSets struct {
	apex   string
	at     strict.Position
	names  []string // in the order of the input
	sets   map[string]map[string][]*recordSet
	pools  map[string]string // that answer a name
	making map[string]bool   // names whose pool is being made
	out    *importer.Zone
}

// assign gives every record set to its zone: that which it names, or else the longest apex above it.
func (m *mapper) assign() {
	byID, apexes := map[string]hostedZone{}, map[string]hostedZone{}
	private := map[string]bool{}
	for _, z := range m.in.zones {
		if z.id != "" {
			byID[z.id] = z
		}
		if _, known := apexes[z.apex]; !known || !z.private {
			apexes[z.apex] = z
			private[z.apex] = z.private
		}
	}
	for _, s := range m.in.sets {
		if _, known := apexes[s.name]; s.kind == "SOA" && !known {
			apexes[s.name] = hostedZone{apex: s.name, at: s.at}
		}
	}
	found := map[string]*zoneSets{}
	for _, s := range m.in.sets {
		z, ok := byID[s.zone]
		if !ok || !dns.IsSubDomain(z.apex, s.name) {
			z, ok = zoneAbove(s.name, apexes)
		}
		if !ok {
			m.report.Add(outside, s.at, s.subject(), "")
			continue
		}
		of := found[z.apex]
		if of == nil {
			of = &zoneSets{apex: z.apex, at: z.at, sets: map[string]map[string][]*recordSet{}, pools: map[string]string{}, making: map[string]bool{}}
			found[z.apex] = of
			m.zones = append(m.zones, of)
		}
		if of.sets[s.name] == nil {
			of.sets[s.name] = map[string][]*recordSet{}
			of.names = append(of.names, s.name)
		}
		of.sets[s.name][s.kind] = append(of.sets[s.name][s.kind], s)
	}
	slices.SortStableFunc(m.zones, func(a, b *zoneSets) int { return strings.Compare(a.apex, b.apex) })
	for _, z := range m.zones {
		if private[z.apex] {
			m.report.Add(privateZone, z.at, z.apex, "")
		}
	}
}

func zoneAbove(name string, apexes map[string]hostedZone) (hostedZone, bool) {
	for {
		if z, ok := apexes[name]; ok {
			return z, true
		}
		next, end := dns.NextLabel(name, 0)
		if end {
			return hostedZone{}, false
		}
		name = name[next:]
	}
}

// leftovers notes health checks that nothing uses.
func (m *mapper) leftovers() {
	var ids []string
	for id, h := range m.in.checks {
		if !h.used {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		m.report.Add(unusedCheck, m.in.checks[id].at, "health check "+id, "")
	}
}
