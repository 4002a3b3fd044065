package route53

import (
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
)

// unplaced is the region of endpoints of which nothing tells where they are.
const unplaced = "unplaced"

// attributes sets what a policy says of a member, and returns the region that an endpoint of it is in.
func (m *mapper) attributes(member *importer.Member, c *candidate) (region string) {
	s := c.first()
	switch s.policy() {
	case "weighted":
		weight := *s.weight
		member.Weight = &weight
	case "latency":
		member.Region = m.region(s.region, s)
		return member.Region
	case "geoproximity":
		member.Bias = s.proximity.bias
		member.Region = m.proximityRegion(s)
		return member.Region
	case "geo":
		m.geo(member, s)
	case "cidr":
		m.blocks(member, s)
	}
	if len(c.cnames) > 0 {
		if region := regionIn(c.cnames[0]); region != "" {
			return m.region(region, s)
		}
	}
	if c.pool == "" {
		m.report.Add(placeless, s.at, s.subject(), "")
		m.regions[unplaced] = &importer.Region{Name: unplaced, NoVantage: true, Comment: []string{
			importer.Mark + "endpoints of which Route 53 does not know where they are: give them regions, with coordinates",
		}}
	}
	return unplaced
}

// region returns the region of an AWS region.
func (m *mapper) region(name string, s *recordSet) string {
	region := importer.Slug(name)
	if m.regions[region] != nil {
		return region
	}
	r := &importer.Region{Name: region}
	if at, known := places[name]; known {
		r.Latitude, r.Longitude = at.latitude, at.longitude
	} else {
		r.Comment = []string{importer.Mark + "where this is, is not known: write its coordinates"}
		m.report.Add(unknownKey, s.at, s.subject(), "region %q", name)
	}
	if region == "" {
		region = unplaced
		r.Name, r.NoVantage = unplaced, true
	}
	m.regions[region] = r
	return region
}

// proximityRegion returns the region of a record set by distance.
func (m *mapper) proximityRegion(s *recordSet) string {
	p := s.proximity
	switch {
	case p.at != nil:
		if m.spots[*p.at] == "" {
			name := m.spotNames.New("at-" + s.id)
			m.spots[*p.at] = name
			m.regions[name] = &importer.Region{Name: name, Latitude: p.at.latitude, Longitude: p.at.longitude}
		}
		return m.spots[*p.at]
	case p.localZone != "":
		m.report.Add(localZone, s.at, s.subject(), "%s", p.localZone)
		parent := p.localZone // us-west-2-lax-1
		for range 2 {
			if i := strings.LastIndexByte(parent, '-'); i > 0 {
				parent = parent[:i]
			}
		}
		region := importer.Slug(p.localZone)
		at := places[parent]
		m.regions[region] = &importer.Region{Name: region, Latitude: at.latitude, Longitude: at.longitude,
			Comment: []string{importer.Mark + "the coordinates are those of " + parent + ": write the local zone's"}}
		return region
	}
	return m.region(p.region, s)
}

// geo sets the places that a member serves.
func (m *mapper) geo(member *importer.Member, s *recordSet) {
	switch g := s.geo; {
	case g.country == "*":
		member.Default = true
	case g.subdivision != "":
		member.Subdivisions = []string{g.country + "-" + g.subdivision}
	case g.country != "":
		member.Countries = []string{g.country}
	case g.continent != "":
		member.Continents = []string{g.continent}
	}
}

// blocks sets the networks that a member serves.
func (m *mapper) blocks(member *importer.Member, s *recordSet) {
	if s.cidr.location == "*" {
		member.Default = true
		return
	}
	blocks := m.in.blocks[s.cidr.collection][s.cidr.location]
	if blocks == nil {
		blocks = m.in.blocks[""][s.cidr.location]
	}
	if blocks == nil {
		m.report.Add(cidrUnknown, s.at, s.subject(), "%s", s.cidr.location)
		member.Comment = append(member.Comment, importer.Mark+"the blocks of location "+s.cidr.location+" are not in the input: write prefixes")
		member.Off = true
	}
	member.Prefixes = blocks
}

// lacksDefault lets a pool without a default be: with a fence it needs none, and clients whom no member serves get no answer, as from Route
// 53. The fenced member is one that no other matches less than, and is answered by its own addresses when it is down, as Route 53 does.
func (m *mapper) lacksDefault(p *importer.Pool, candidates []*candidate) {
	if p.Policy != "geo" && p.Policy != "cidr" || len(p.Members) == 0 {
		return
	}
	fenced, widest := 0, 0
	for i := range p.Members {
		member := &p.Members[i]
		if member.Default {
			return
		}
		if width := widthOf(member); width > widest {
			fenced, widest = i, width
		}
	}
	s := candidates[0].first()
	member := &p.Members[fenced]
	if widest == 0 { // every member is one whose blocks are not known
		member.Off, member.Default = false, true
		m.report.Add(noDefault, s.at, s.name, "")
		return
	}
	m.report.Add(withoutDefault, s.at, s.name, "")
	for _, a := range member.Address {
		member.Fenced = append(member.Fenced, a.String())
	}
	if len(member.Fenced) == 0 {
		member.Fenced = []string{"nodata"}
	}
	member.Comment = append(member.Comment, importer.Mark+"clients from elsewhere get no answer, as from Route 53; make a member the default to answer them")
}

// widthOf says how wide a place a member serves: the more the wider, 0 for none.
func widthOf(m *importer.Member) int {
	switch {
	case m.Off:
		return 0
	case len(m.Continents) > 0:
		return 200
	case len(m.Countries) > 0:
		return 199
	}
	width := 1
	for _, p := range m.Prefixes {
		width = max(width, 129-p.Bits())
	}
	return width
}
