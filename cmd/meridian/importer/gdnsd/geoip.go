package gdnsd

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

const auto = "auto" // the order by distance

func (r *metaResource) geoMap() *value {
	return r.config.get("maps").get(r.definition.get("map").scalar())
}

// coordinates returns where a datacenter of the resource's map is; nil where that is not told.
func (r *metaResource) coordinates(dc string) *[2]float64 {
	pair := r.geoMap().get("auto_dc_coords").get(dc).list()
	if len(pair) != 2 {
		return nil
	}
	latitude, errLatitude := strconv.ParseFloat(pair[0].scalar(), 64)
	longitude, errLongitude := strconv.ParseFloat(pair[1].scalar(), 64)
	if errLatitude != nil || errLongitude != nil || !(latitude >= -90 && latitude <= 90 && longitude >= -180 && longitude <= 180) {
		return nil
	}
	return &[2]float64{latitude, longitude}
}

// An assignment is the order of datacenters for places and networks.
type assignment struct {
	order      []string
	at         strict.Position
	continents []string
	countries  []string
	parts      []string // subdivisions
	prefixes   []netip.Prefix
	byDefault  bool
}

// A geography collects the assignments of a map.
type geography struct {
	r    *metaResource
	list []*assignment
}

func (g *geography) of(order []string, at strict.Position) *assignment {
	for _, a := range g.list {
		if slices.Equal(a.order, order) {
			return a
		}
	}
	a := &assignment{order: order, at: at}
	g.list = append(g.list, a)
	return a
}

// geoip makes the pool of a resource of plugin geoip: by network around by place, where the map has both.
func (r *metaResource) geoip() string {
	m, b := r.geoMap(), r.b
	if m == nil {
		b.report.Add(lostReference, r.definition.at, r.name, "map %s", r.definition.get("map").scalar())
		return ""
	}
	r.mapKeys(m)
	places := geography{r: r}
	var order []string
	for _, dc := range m.get("datacenters").list() {
		order = append(order, dc.scalar())
	}
	if m.get("auto_dc_coords") != nil {
		order = []string{auto}
		b.report.Add(autoCoords, m.at, r.name, "")
	}
	tree := m.get("map")
	if d := tree.get("default"); d != nil {
		if given, ok := orderOf(d); ok && len(given) > 0 {
			order = given
		} else {
			b.report.Add(emptyList, d.at, r.name, "default")
		}
	}
	places.of(order, m.at).byDefault = true
	if tree != nil {
		b.report.Add(geoMap, tree.at, r.name, "")
		places.continents(tree)
	}
	nets := geography{r: r}
	nets.networks(m.get("nets"))
	name := r.name
	if len(nets.list) > 0 {
		name += "-places"
	}
	inner := r.assigned(name, "geo", "resource geoip!"+r.name, places.list)
	if len(nets.list) == 0 || inner == "" {
		return inner
	}
	b.report.Add(netsFeature, m.get("nets").at, r.name, "")
	outer := append(nets.list, &assignment{at: m.at, byDefault: true, order: nil})
	return r.assignedAround(r.name, outer, inner)
}

// mapKeys notes what a map has that is no matter of pools, once.
func (r *metaResource) mapKeys(m *value) {
	if r.b.told[m] {
		return
	}
	r.b.told[m] = true
	for i, key := range m.keys {
		switch key {
		case "datacenters", "map", "nets", "auto_dc_coords":
		case "auto_dc_limit":
			r.b.report.Add(autoLimit, m.items[i].at, r.name, "%s", m.items[i].scalar())
		case "geoip2_db", "geoip_db", "geoip_db_v4_overlay", "city_no_region", "city_auto_mode":
			r.b.report.Add(otherFile, m.items[i].at, r.name, "%s %s", key, m.items[i].scalar())
		default:
			r.b.report.Add(unknownKey, m.items[i].at, r.name, "%s", key)
		}
	}
}

// orderOf reads a list of datacenters, or the word auto.
func orderOf(v *value) (order []string, ok bool) {
	if v.kind == importer.Map {
		return nil, false
	}
	order = []string{}
	for _, dc := range v.list() {
		order = append(order, dc.scalar())
	}
	return order, true
}

var (
	continentCode   = regexp.MustCompile(`^(AF|AN|AS|EU|NA|OC|SA)$`)
	countryCode     = regexp.MustCompile(`^[A-Z]{2}$`)
	subdivisionCode = regexp.MustCompile(`^[A-Z0-9]{1,3}$`)
)

// continents reads the top of a map; with skip_level that is of countries.
func (g *geography) continents(tree *value) {
	if tree.get("skip_level").isTrue() {
		g.countries(tree)
		return
	}
	for i, code := range tree.keys {
		v := tree.items[i]
		switch {
		case code == "default" || code == "skip_level":
		case !continentCode.MatchString(code):
			g.r.b.report.Add(cities, v.at, g.r.name, "%s", code)
		default:
			g.level(v, func(a *assignment) { a.continents = append(a.continents, code) }, g.countries)
		}
	}
}

// level reads what stands for a place: an order, or a mapping of places within it and perhaps a default.
func (g *geography) level(v *value, place func(*assignment), within func(*value)) {
	if order, ok := orderOf(v); ok {
		g.assign(order, v, place)
		return
	}
	if d := v.get("default"); d != nil {
		if order, ok := orderOf(d); ok {
			g.assign(order, d, place)
		}
	}
	if v.get("skip_level").isTrue() {
		g.r.b.report.Add(cities, v.at, g.r.name, "skip_level")
		return
	}
	within(v)
}

func (g *geography) assign(order []string, v *value, place func(*assignment)) {
	if len(order) == 0 {
		g.r.b.report.Add(emptyList, v.at, g.r.name, "")
		return
	}
	place(g.of(order, v.at))
}

func (g *geography) countries(tree *value) {
	for i, code := range tree.keys {
		v := tree.items[i]
		switch {
		case code == "default" || code == "skip_level":
		case !countryCode.MatchString(code):
			g.r.b.report.Add(cities, v.at, g.r.name, "%s", code)
		default:
			g.level(v, func(a *assignment) { a.countries = append(a.countries, code) }, func(inner *value) { g.subdivisions(code, inner) })
		}
	}
}

func (g *geography) subdivisions(country string, tree *value) {
	for i, code := range tree.keys {
		v := tree.items[i]
		switch {
		case code == "default" || code == "skip_level":
		case !subdivisionCode.MatchString(code):
			g.r.b.report.Add(cities, v.at, g.r.name, "%s in %s", code, country)
		default:
			g.level(v, func(a *assignment) { a.parts = append(a.parts, country+"-"+code) }, func(inner *value) {
				for j, city := range inner.keys {
					if city != "default" && city != "skip_level" {
						g.r.b.report.Add(cities, inner.items[j].at, g.r.name, "%s in %s-%s", city, country, code)
					}
				}
			})
		}
	}
}

// networks reads nets: a mapping, or the name of a file with one.
func (g *geography) networks(v *value) {
	if v == nil {
		return
	}
	if v.kind == importer.Scalar {
		file := path.Join("geoip", v.text)
		if path.IsAbs(v.text) || g.r.b.files[file] == nil {
			g.r.b.report.Add(lostReference, v.at, g.r.name, "nets file %s", v.text)
			return
		}
		left := maxIncludes
		parsed, problem := parseFile(g.r.b.files, file, &left, 0)
		if problem != nil {
			g.r.b.mistakes.Add(strict.Position{File: problem.File, Line: problem.Line}, "%s", problem.Text)
			return
		}
		v = parsed
	}
	seen := map[netip.Prefix]bool{}
	for i, text := range v.keys {
		prefix, ok := network(text)
		order, isOrder := orderOf(v.items[i])
		switch {
		case !ok || !isOrder || seen[prefix]:
			g.r.b.report.Add(unknownKey, v.items[i].at, g.r.name, "net %s", text)
		case len(order) == 0:
			g.r.b.report.Add(emptyList, v.items[i].at, g.r.name, "%s", text)
		default:
			seen[prefix] = true
			a := g.of(order, v.items[i].at)
			a.prefixes = append(a.prefixes, prefix)
		}
	}
}

var compatible = netip.MustParsePrefix("::/96")

// network reads a network; one of IPv4-compatible addresses is of IPv4.
func network(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return p, false
	}
	if p.Bits() >= 96 && compatible.Contains(p.Addr()) {
		b := p.Addr().As16()
		p = netip.PrefixFrom(netip.AddrFrom4([4]byte(b[12:])), p.Bits()-96)
	}
	return p.Masked(), true
}

// target returns what an order of datacenters answers with: a pool, or a single datacenter.
func (r *metaResource) target(order []string) *part {
	if len(order) == 1 && order[0] != auto {
		return r.part(order[0])
	}
	key := "order " + strings.Join(order, " ")
	if one, made := r.parts[key]; made {
		return one
	}
	var pool string
	if len(order) == 1 {
		pool = r.byDistance()
	} else {
		name := r.name
		for _, dc := range order {
			name += "-" + dc
		}
		pool = r.failover(name, order, strings.Join(order, ", then "))
	}
	r.parts[key] = nil
	if pool != "" {
		r.parts[key] = &part{label: "order", member: importer.Member{Pool: pool}}
	}
	return r.parts[key]
}

// byDistance makes the pool of all datacenters that have coordinates.
func (r *metaResource) byDistance() string {
	var parts []part
	for _, dc := range r.geoMap().get("datacenters").list() {
		if r.coordinates(dc.scalar()) == nil {
			continue
		}
		if one := r.part(dc.scalar()); one != nil {
			parts = append(parts, *one)
		}
	}
	return r.b.pool(&importer.Pool{Name: r.name + "-nearest", Policy: "geoproximity", Comment: []string{"datacenters by distance"}}, r.name, "", parts)
}

// assigned makes the pool of assignments to places; without places it is what all are answered with.
func (r *metaResource) assigned(name, policy, comment string, list []*assignment) string {
	var parts []part
	for _, a := range list {
		one := r.target(a.order)
		if one == nil {
			r.b.report.Add(lostReference, a.at, r.name, "%s", strings.Join(a.order, ", "))
			continue
		}
		parts = append(parts, a.part(one))
	}
	if len(parts) == 1 && parts[0].member.Default && parts[0].member.Pool != "" {
		return parts[0].member.Pool
	}
	return r.b.pool(&importer.Pool{Name: name, Policy: policy, Comment: []string{comment}}, r.name, "", withDefault(parts))
}

// withDefault makes the first part the default where that which was it is nowhere.
func withDefault(parts []part) []part {
	if len(parts) > 0 && !slices.ContainsFunc(parts, func(one part) bool { return one.member.Default }) {
		parts[0].member.Default = true
	}
	return parts
}

// part returns a part for the places of an assignment. A pool in a pool by place has no region.
func (a *assignment) part(one *part) part {
	p := *one
	p.at = a.at
	p.member.Continents, p.member.Countries, p.member.Subdivisions = a.continents, a.countries, a.parts
	p.member.Prefixes, p.member.Default = a.prefixes, a.byDefault
	return p
}

// assignedAround makes the pool of assignments to networks; whoever is in none is answered by another pool.
func (r *metaResource) assignedAround(name string, list []*assignment, inner string) string {
	var parts []part
	for _, a := range list {
		one := &part{label: "places", member: importer.Member{Pool: inner}}
		if a.order != nil {
			one = r.target(a.order)
		}
		if one == nil {
			r.b.report.Add(lostReference, a.at, r.name, "%s", strings.Join(a.order, ", "))
			continue
		}
		for begin := 0; begin == 0 || begin < len(a.prefixes); begin += maxPrefixes { // a member lists so many
			chunk := *a
			chunk.prefixes = a.prefixes[begin:min(begin+maxPrefixes, len(a.prefixes))]
			parts = append(parts, chunk.part(one))
		}
	}
	return r.b.pool(&importer.Pool{Name: name, Policy: "cidr", Comment: []string{"resource geoip!" + r.name + ", by network"}}, r.name, "", parts)
}
