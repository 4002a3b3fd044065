package gdnsd

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// resource returns the pool of a resource; empty where there is none, which is noted. In plugins geoip and metafo, resource/datacenter is
// the pool of one datacenter.
func (b *builder) resource(plugin, name string, at strict.Position) string {
	key := plugin + "!" + name
	if pool, made := b.resources[key]; made {
		return pool
	}
	plugins := b.config.get("plugins")
	config := plugins.get(plugin)
	pool, why := "", ""
	switch {
	case b.making[key]:
		why = "comes round to itself"
	case plugin == "metafo" || plugin == "geoip":
		of, datacenter, single := strings.Cut(name, "/")
		definition := config.get("resources").get(of)
		if definition == nil {
			why = "is nowhere"
			break
		}
		b.making[key] = true
		if single {
			b.report.Add(synthetic, at, key, "")
			pool = b.oneDatacenter(plugin, of, datacenter, config, definition)
		} else {
			pool = b.meta(plugin, of, config, definition)
		}
		b.making[key] = false
	case plugin == "simplefo" || plugin == "multifo" || plugin == "weighted":
		definition := config.get(name)
		if definition == nil {
			why = "is nowhere"
			break
		}
		pool = b.simple(plugin, importer.Slug(name), "", layers{config, definition})
	default:
		b.report.Add(otherPlugin, at, key, "")
		b.resources[key] = ""
		return ""
	}
	if pool == "" {
		b.report.Add(lostReference, at, key, "%s", cmp.Or(why, "has nothing to answer with"))
	}
	if why != "comes round to itself" {
		b.resources[key] = pool
	}
	return pool
}

// layers are mappings of which the later ones override what the earlier ones say.
type layers []*value

func (l layers) get(key string) *value {
	for i := len(l) - 1; i >= 0; i-- {
		if v := l[i].get(key); v != nil {
			return v
		}
	}
	return nil
}

func (l layers) last() *value { return l[len(l)-1] }

// settings are the keys of simplefo, multifo and weighted that are no labels of addresses.
var settings = []string{"service_types", "up_thresh", "ignore_health", "multi", "plugin", "addrs_v4", "addrs_v6", "cnames"}

// An entry is a labelled address or CNAME of a resource.
type entry struct {
	part
	group  string
	weight int
}

// simple makes the pool of a resource of simplefo, multifo or weighted. Its name is that of the resource.
func (b *builder) simple(plugin, name, region string, l layers) string {
	if region == "" {
		region = b.region(l.last().at, unplaced, nil)
	}
	var entries []entry
	stanzas := false
	for _, family := range []string{"addrs_v4", "addrs_v6", "cnames"} {
		if v := l.last().get(family); v != nil {
			stanzas = true
			if family != "cnames" {
				b.report.Add(families, v.at, name, "%s", family)
			}
			entries = b.entries(plugin, name, append(slices.Clone(l), v), entries)
		}
	}
	if !stanzas {
		entries = b.entries(plugin, name, l, entries)
	}
	at := l.last().at
	p := &importer.Pool{Name: name, Comment: []string{"resource " + plugin + "!" + name}}
	switch plugin {
	case "simplefo":
		b.report.Add(simplefo, at, name, "")
		p.Policy = "failover"
		slices.SortStableFunc(entries, func(a, c entry) int { return strings.Compare(a.label, c.label) }) // primary, secondary
	case "multifo":
		b.report.Add(multifo, at, name, "")
		p.Policy = "multivalue"
		if len(entries) > 8 {
			p.Answers = min(len(entries), maxAnswers)
		}
	case "weighted":
		return b.weighted(p, name, region, l, entries)
	}
	b.threshold(p, name, l)
	return b.pool(p, name, region, partsOf(entries))
}

func partsOf(entries []entry) []part {
	parts := make([]part, len(entries))
	for i := range entries {
		parts[i] = entries[i].part
	}
	return parts
}

// threshold sets min_up where a resource has something other than one that is up.
func (b *builder) threshold(p *importer.Pool, name string, l layers) {
	if p.Policy == "failover" {
		return
	}
	fraction := 0.5
	v := l.get("up_thresh")
	if v != nil {
		n, err := strconv.ParseFloat(v.scalar(), 64)
		if err != nil || !(n > 0 && n <= 1) {
			b.report.Add(unknownKey, v.at, name, "up_thresh %q", v.scalar())
			return
		}
		fraction = n
	}
	p.MinUp = strconv.Itoa(max(1, int(math.Round(fraction*100)))) + "%"
	b.report.Add(upThreshold, l.last().at, name, "%v", fraction)
}

// entries reads the addresses of one level of a resource, and joins those of the two families that have a label and a check in common.
func (b *builder) entries(plugin, name string, l layers, entries []entry) []entry {
	v := l.last()
	types := l.get("service_types")
	if l.get("ignore_health").isTrue() && types != nil {
		b.report.Add(ignoreHealth, v.at, name, "")
		types = nil
	}
	w := b.watch(types, name)
	add := func(e entry) {
		e.watch, e.endpoint = w, true
		for i := range entries {
			o := &entries[i]
			if o.label == e.label && o.group == e.group && o.weight == e.weight && o.watch == e.watch && o.cname == "" && e.cname == "" &&
				o.v4.IsValid() != e.v4.IsValid() && o.v6.IsValid() != e.v6.IsValid() {
				if e.v4.IsValid() {
					o.v4 = e.v4
				} else {
					o.v6 = e.v6
				}
				return
			}
		}
		entries = append(entries, e)
	}
	if v.kind == importer.List { // of addresses, labelled by their number
		for i, item := range v.items {
			if e, ok := b.entry(item, strconv.Itoa(i+1), name); ok {
				add(e)
			}
		}
		return entries
	}
	for i, label := range v.keys {
		item := v.items[i]
		switch {
		case slices.Contains(settings, label):
			if label == "multi" && plugin != "weighted" || label == "ignore_health" && plugin != "multifo" {
				b.report.Add(unknownKey, item.at, name, "%s", label)
			}
		case plugin == "weighted" && item.kind == importer.Map:
			for j, inner := range item.keys {
				if e, ok := b.weightedEntry(item.items[j], inner, name); ok {
					e.group = label
					add(e)
				}
			}
		case plugin == "weighted":
			if e, ok := b.weightedEntry(item, label, name); ok {
				add(e)
			}
		default:
			if e, ok := b.entry(item, label, name); ok {
				add(e)
			}
		}
	}
	return entries
}

// entry reads an address or CNAME.
func (b *builder) entry(v *value, label, name string) (e entry, ok bool) {
	e = entry{part: part{at: v.at, label: label}, weight: 1}
	text := v.scalar()
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		if a.Is4() {
			e.v4 = a
		} else {
			e.v6 = a
		}
		return e, true
	}
	if alias, good := fullName(text); good {
		e.cname = alias
		return e, true
	}
	b.report.Add(unknownKey, v.at, name, "%s: %q is neither an address nor a name", label, text)
	return e, false
}

func fullName(text string) (string, bool) {
	if !strings.Contains(strings.TrimSuffix(text, "."), ".") {
		return "", false
	}
	return importer.CanonicalName(text)
}

// weightedEntry reads [ address, weight ].
func (b *builder) weightedEntry(v *value, label, name string) (entry, bool) {
	if pair := v.list(); len(pair) == 2 {
		e, ok := b.entry(pair[0], label, name)
		weight, err := strconv.Atoi(pair[1].scalar())
		if err == nil && weight >= 1 && weight < 1<<20 {
			e.weight = weight
			return e, ok
		}
	}
	b.report.Add(unknownKey, v.at, name, "%s is not [ address, weight ]", label)
	return entry{}, false
}

// weighted makes the pool of a resource of plugin weighted: of its addresses, or of the groups that they are in.
func (b *builder) weighted(p *importer.Pool, name, region string, l layers, entries []entry) string {
	at, multi := l.last().at, l.get("multi").isTrue()
	p.Policy = "weighted"
	var groups []string
	for _, e := range entries {
		if e.group != "" && !slices.Contains(groups, e.group) {
			groups = append(groups, e.group)
		}
	}
	if groups == nil {
		if multi {
			b.report.Add(weightedMulti, at, name, "")
			p.Answers = averageOf(entries)
		} else {
			b.report.Add(weighted, at, name, "")
		}
		b.threshold(p, name, l)
		return b.pool(p, name, region, b.shares(name, at, entries))
	}
	b.report.Add(weightedGroups, at, name, "")
	var outer []entry
	for _, group := range groups {
		inner := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.group != group })
		q := &importer.Pool{Name: name + "-" + group, Policy: "weighted", Comment: []string{"group " + group}}
		sum := 0
		for _, e := range inner {
			sum += e.weight
		}
		if pool := b.pool(q, name+"-"+group, region, b.shares(name, at, inner)); pool != "" {
			outer = append(outer, entry{part: part{at: at, label: group, member: importer.Member{Pool: pool}}, weight: sum})
		}
	}
	if multi {
		b.report.Add(weightedMulti, at, name, "")
		p.Answers = averageOf(outer)
	}
	return b.pool(p, name, region, b.shares(name, at, outer))
}

// averageOf returns how many of some entries gdnsd answers with on average where each is chosen with the odds of its weight to the greatest.
func averageOf(entries []entry) int {
	sum, greatest := 0, 1
	for _, e := range entries {
		sum, greatest = sum+e.weight, max(greatest, e.weight)
	}
	return min(max(1, (sum+greatest/2)/greatest), maxAnswers)
}

// shares gives the parts of a weighted pool their weights.
func (b *builder) shares(name string, at strict.Position, entries []entry) []part {
	greatest := 1
	for _, e := range entries {
		greatest = max(greatest, e.weight)
	}
	divisor := (greatest + maxWeight - 1) / maxWeight
	if divisor > 1 {
		b.report.Add(largeWeights, at, name, "by %d", divisor)
	}
	parts := partsOf(entries)
	for i := range parts {
		weight := (entries[i].weight + divisor - 1) / divisor
		parts[i].member.Weight = &weight
	}
	return parts
}
