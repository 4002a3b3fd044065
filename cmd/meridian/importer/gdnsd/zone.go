package gdnsd

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A zoneReader reads zone files and writes them anew.
type zoneReader struct {
	b     *builder
	ttl   string // zones_default_ttl
	zones []*importer.Zone

	zone     *importer.Zone
	includes int // that may still come
	steered  map[string]bool
	dynamics []dynamic
}

// A dynamic is a name that a resource answers.
type dynamic struct {
	zone  *importer.Zone
	owner string
	pool  string
	ttl   time.Duration
}

// A scope is what directives of a file are about.
type scope struct {
	file       string
	apex       string // @Z
	top        string // @F
	origin     string
	ttl        string
	owner      string // of the last record
	written    string // owner that what was written ends with
	writtenTTL string
	depth      int
}

const maxZoneIncludes = 1000

// file reads the zone that a file is of.
func (z *zoneReader) file(name string) {
	base := strings.TrimSuffix(path.Base(name), ".")
	apex, ok := zoneName(strings.ReplaceAll(base, "@", "/"))
	if !ok {
		z.b.report.Add(badName, strict.Position{File: name}, base, "")
		return
	}
	z.zone = &importer.Zone{Apex: apex, File: importer.ZoneFile(apex)}
	if z.zone.Listed = z.zone.File == strings.TrimSuffix(apex, ".")+".zone"; z.zone.Listed {
		z.zone.File = "zones/" + z.zone.File
	}
	z.zones = append(z.zones, z.zone)
	z.steered = map[string]bool{}
	z.includes = maxZoneIncludes
	s := scope{file: name, apex: apex, top: apex, origin: apex, ttl: z.ttl, owner: apex}
	z.line("$ORIGIN " + apex)
	z.line("$TTL " + s.ttl)
	s.writtenTTL = s.ttl
	z.read(&s)
	z.b.report.Add(zoneFile, strict.Position{File: name}, apex, "")
}

// zoneName returns the name of a zone as others have it: fully qualified, in lower case. The root is none that Meridian serves.
func zoneName(text string) (string, bool) {
	name, ok := importer.CanonicalName(text)
	return name, ok && name != "." && text != "ROOT_ZONE"
}

func (z *zoneReader) line(text string) { z.zone.Lines = append(z.zone.Lines, text) }

// read reads the file of a scope.
func (z *zoneReader) read(s *scope) {
	entries, err := importer.Entries(importer.File{Name: s.file, Data: z.b.files[s.file]})
	if err != nil {
		z.b.mistakes.Add(strict.Position{}, "%v", err)
		return
	}
	for i := range entries {
		z.entry(s, &entries[i])
	}
}

func (z *zoneReader) entry(s *scope, e *importer.Entry) {
	at := strict.Position{File: s.file, Line: e.Line}
	switch directive := e.Directive(); {
	case len(e.Words) == 0:
		z.line(e.Raw)
	case directive == "$ORIGIN" && len(e.Words) == 2:
		s.origin = z.name(s, e.Words[1], at)
		z.line("$ORIGIN " + s.origin)
	case directive == "$TTL" && len(e.Words) == 2:
		s.ttl, s.writtenTTL = e.Words[1], e.Words[1]
		z.line(e.Raw)
	case directive == "$INCLUDE" && (len(e.Words) == 2 || len(e.Words) == 3):
		z.include(s, e, at)
	case strings.HasPrefix(directive, "$ADDR_LIMIT_"):
		z.b.report.Add(addrLimit, at, z.zone.Apex, "%s", strings.Join(e.Words, " "))
	case directive != "":
		z.b.report.Add(badRecord, at, z.zone.Apex, "%s", strings.Join(e.Words, " "))
		z.comment(e.Raw)
	default:
		z.record(s, e, at)
	}
}

// comment writes lines as comments that are to be read.
func (z *zoneReader) comment(raw string) {
	for line := range strings.SplitSeq(raw, "\n") {
		z.line("; " + importer.Mark + importer.OneLine(strings.TrimSpace(line)))
	}
}

// name returns a name fully qualified, @Z and @F replaced.
func (z *zoneReader) name(s *scope, word string, at strict.Position) string {
	if replaced, ok := variable(s, word); ok {
		z.b.report.Add(variables, at, z.zone.Apex, "%s", word)
		return replaced
	}
	return importer.Absolute(word, s.origin)
}

// variable returns the name that a word with @Z or @F at its end stands for.
func variable(s *scope, word string) (string, bool) {
	for suffix, name := range map[string]string{"@Z": s.apex, "@F": s.top} {
		if word == suffix {
			return name, true
		}
		if rest, ok := strings.CutSuffix(word, "."+suffix); ok {
			return rest + "." + name, true
		}
	}
	return "", false
}

// include reads another file where the directive stands. What it sets of origin and TTL ends with it.
func (z *zoneReader) include(s *scope, e *importer.Entry, at strict.Position) {
	file := strings.Trim(e.Words[1], `"`)
	name := path.Join(path.Dir(s.file), file)
	if z.b.files[name] == nil {
		name = path.Join("zones", file)
	}
	z.includes--
	if z.b.files[name] == nil || path.IsAbs(file) || z.includes < 0 || s.depth > maxDepth {
		z.b.mistakes.Add(at, "$INCLUDE: no file %s in the directory, or too many", strict.Quote(file))
		return
	}
	z.b.report.Add(includes, at, z.zone.Apex, "%s", file)
	inner := *s
	inner.file, inner.depth = name, s.depth+1
	if len(e.Words) == 3 {
		inner.origin = z.name(s, e.Words[2], at)
		z.line("$ORIGIN " + inner.origin)
	}
	inner.top, inner.owner = inner.origin, inner.origin
	z.read(&inner)
	z.line("$ORIGIN " + s.origin)
	if inner.writtenTTL != s.ttl {
		z.line("$TTL " + s.ttl)
	}
	s.written = inner.written
}

// A recordLine is the parts of a record.
type recordLine struct {
	owner string // as it is written; empty for that of the record before
	ttl   string
	kind  string
	data  []string
}

// record reads a record: those of plugins become steered names, others are written as they are if they can be.
func (z *zoneReader) record(s *scope, e *importer.Entry, at strict.Position) {
	r := recordLine{}
	words := e.Words
	if !e.Blank {
		r.owner, words = words[0], words[1:]
		s.owner = z.name(s, r.owner, at)
	}
	for len(words) > 0 && r.kind == "" {
		word := words[0]
		words = words[1:]
		switch {
		case strings.EqualFold(word, "IN"):
		case word[0] >= '0' && word[0] <= '9' && r.ttl == "":
			r.ttl = word
		default:
			r.kind = strings.ToUpper(word)
		}
	}
	r.data = words
	switch r.kind {
	case "DYNA", "DYNC", "DYNCNAME":
		z.dynamic(s, &r, e, at)
	default:
		z.plain(s, &r, e, at)
	}
}

// dynamic notes a name that a resource answers.
func (z *zoneReader) dynamic(s *scope, r *recordLine, e *importer.Entry, at strict.Position) {
	subject := s.owner + " " + r.kind
	if len(r.data) != 1 {
		z.b.report.Add(badRecord, at, subject, "")
		z.comment(e.Raw)
		return
	}
	longest, _, _ := strings.Cut(firstOf(r.ttl, s.ttl), "/")
	seconds, ok := seconds(longest)
	if !ok {
		z.b.report.Add(badRecord, at, subject, "TTL %s", longest)
		z.comment(e.Raw)
		return
	}
	plugin, resource, _ := strings.Cut(r.data[0], "!")
	if plugin == "static" {
		z.static(s, resource, seconds, at, subject)
		return
	}
	pool := ""
	owner, good := importer.CanonicalName(s.owner)
	if !good || z.steered[owner] {
		z.b.report.Add(badRecord, at, subject, "is no name, or stands twice")
	} else if pool = z.b.resource(plugin, resource, at); pool != "" {
		z.steered[owner] = true
	}
	if pool == "" {
		z.comment(e.Raw)
		return
	}
	ttl := clamp(time.Duration(seconds) * time.Second)
	z.b.report.Add(dynamicName, at, subject, "")
	z.b.report.Add(dynamicTTL, at, subject, "%s: %v", firstOf(r.ttl, s.ttl), ttl)
	z.b.uses[pool] = max(z.b.uses[pool], ttl)
	z.dynamics = append(z.dynamics, dynamic{z.zone, owner, pool, ttl})
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// seconds reads a TTL: a number, or numbers with units as in 1D12H.
func seconds(text string) (uint32, bool) {
	total, n, digits := uint64(0), uint64(0), 0
	for _, c := range strings.ToLower(text) {
		unit, isUnit := map[rune]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[c]
		switch {
		case c >= '0' && c <= '9' && digits < 10:
			n, digits = n*10+uint64(c-'0'), digits+1
		case isUnit && digits > 0:
			total, n, digits = total+n*unit, 0, 0
		default:
			return 0, false
		}
	}
	total += n
	return uint32(total), text != "" && total < 1<<31
}

// static writes the record of a resource of plugin static.
func (z *zoneReader) static(s *scope, resource string, ttl uint32, at strict.Position, subject string) {
	v := z.b.config.get("plugins").get("static").get(resource)
	e, ok := entry{}, false
	if v != nil {
		e, ok = z.b.entry(v, resource, subject)
	}
	if !ok {
		z.b.report.Add(lostReference, at, subject, "static!%s", resource)
		return
	}
	z.b.resources["static!"+resource] = "static"
	z.b.report.Add(static, at, subject, "")
	data := "CNAME\t" + e.cname
	switch {
	case e.v4.IsValid():
		data = "A\t" + e.v4.String()
	case e.v6.IsValid():
		data = "AAAA\t" + e.v6.String()
	}
	z.line(fmt.Sprintf("%s\t%d\t%s", s.owner, ttl, data))
	s.written = s.owner
}

// plain writes a record of the zone file.
func (z *zoneReader) plain(s *scope, r *recordLine, e *importer.Entry, at strict.Position) {
	raw, changed := e.Raw, false
	if r.owner != "" && s.owner != importer.Absolute(r.owner, s.origin) {
		changed = true // a variable
	}
	for i, word := range r.data {
		if replaced, ok := variable(s, word); ok && !strings.HasPrefix(word, `"`) && r.kind != "TXT" {
			z.b.report.Add(variables, at, z.zone.Apex, "%s", word)
			r.data[i], changed = replaced, true
		}
	}
	if r.kind == "TXT" {
		if split, long := splitTexts(r.data); long {
			z.b.report.Add(longText, at, s.owner+" TXT", "")
			r.data, changed = split, true
		}
	}
	if changed || e.Blank && s.written != s.owner {
		raw = strings.Join(append([]string{s.owner, firstOf(r.ttl, s.ttl), r.kind}, r.data...), "\t")
	}
	if !isRecord(s, raw) {
		z.b.report.Add(badRecord, at, s.owner+" "+r.kind, "")
		z.comment(e.Raw)
		return
	}
	z.line(raw)
	s.written = s.owner
}

// isRecord reports whether an entry can be read as one record.
func isRecord(s *scope, raw string) bool {
	text := "$ORIGIN " + s.origin + "\n$TTL 1\n" + s.owner + " 1 A 192.0.2.1\n" + raw + "\n"
	parser := dns.NewZoneParser(strings.NewReader(text), s.origin, "")
	parser.Next()
	rr, ok := parser.Next()
	_, more := parser.Next()
	return ok && !more && parser.Err() == nil && rr.Header().Class == dns.ClassINET
}

const maxText = 255

// splitTexts splits texts that are too long for one string. Texts without escapes are split; others are left as they are.
func splitTexts(words []string) (split []string, long bool) {
	for _, word := range words {
		text, quoted := strings.CutPrefix(word, `"`)
		if text = strings.TrimSuffix(text, `"`); !quoted {
			text = word
		}
		if len(text) <= maxText || strings.Contains(text, `\`) {
			split = append(split, word)
			continue
		}
		long = true
		for len(text) > 0 {
			n := min(len(text), maxText)
			split = append(split, strconv.Quote(text[:n]))
			text = text[n:]
		}
	}
	return split, long
}

// finish gives the zones their steered names, when the TTLs of pools are known.
func (z *zoneReader) finish() {
	for _, d := range z.dynamics {
		d.zone.Steers = append(d.zone.Steers, importer.Steer{Owner: importer.Relative(d.owner, d.zone.Apex), Pool: z.b.withTTL(d.pool, d.ttl)})
	}
	for _, zone := range z.zones {
		z.b.world.Zones = append(z.b.world.Zones, zone)
		if zone.Listed && z.b.world.Dirs == nil {
			z.b.world.Dirs = []string{"zones"}
		}
	}
}
