// Package bind imports the zones that a named.conf of BIND lists, with their files.
//
// Zone files stay as they are, byte for byte, unless they include others, which Meridian does not read: then the
// records of those stand in place of $INCLUDE. Of the zones that BIND copies from elsewhere, the
// primaries are imported. What else named.conf says is a matter of node.yaml or of keys, and is in
// the report only; no secret is copied.
//
// Features is what it knows, and what becomes of each.
package bind

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// An Open reads a file that named.conf names, by its path there: an absolute one, or one that is relative to the directory of named.conf.
type Open func(name string) ([]byte, error)

const (
	maxFiles     = 1_000_000
	maxIncludes  = 100 // in one another
	maxStatement = 64  // blocks in blocks
)

// Import makes a world of a named.conf. The error is strict.Problems: what can't be read, with file and line.
func Import(name string, open Open) (*importer.Result, error) {
	result := &importer.Result{}
	r := &reader{open: open, report: &result.Report, lists: map[string][]statement{}, seen: map[string]bool{}, dir: path.Dir(name)}
	statements := r.file(name, strict.Position{}, 0)
	r.settings(statements)
	r.all(statements)
	if err := r.mistakes.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.world.Zones, func(a, b *importer.Zone) int { return strings.Compare(a.Apex, b.Apex) })
	if r.listed {
		r.world.Dirs = []string{"zones"}
	}
	result.Files = r.world.Files()
	for name, data := range r.verbatim {
		result.Files[name] = data
	}
	return result, nil
}

// A reader reads a named.conf and makes a world of it.
type reader struct {
	open     Open
	report   *importer.Report
	mistakes strict.Report
	world    importer.World
	dir      string                 // where relative names of files begin
	lists    map[string][]statement // of primaries, by name
	seen     map[string]bool        // apexes
	verbatim map[string][]byte      // zone files that need no change, by name
	files    int
	listed   bool
}

func (r *reader) read(name string, at strict.Position) ([]byte, bool) {
	if r.files++; r.files > maxFiles {
		r.mistakes.Add(at, "more than %d files", maxFiles)
		return nil, false
	}
	data, err := r.open(name)
	if err != nil {
		r.mistakes.Add(at, "%v", err)
		return nil, false
	}
	return data, true
}

// file reads a file of configuration and those that it includes.
func (r *reader) file(name string, at strict.Position, depth int) []statement {
	if depth > maxIncludes {
		r.mistakes.Add(at, "include: more than %d files in one another", maxIncludes)
		return nil
	}
	data, ok := r.read(name, at)
	if !ok {
		return nil
	}
	p := parser{file: name, text: string(data), line: 1}
	parsed := p.statements(0)
	if p.problem != "" {
		r.mistakes.Add(strict.Position{File: name, Line: p.line}, "%s", p.problem)
	}
	var all []statement
	for _, s := range parsed {
		switch {
		case s.word(0) == "include" && len(s.words) == 2:
			all = append(all, r.file(r.included(path.Dir(name), s.words[1]), s.at, depth+1)...)
			continue
		case s.word(0) == "options":
			r.directory(s)
		}
		all = append(all, s)
	}
	return all
}

// included returns the path of a file that named.conf includes: in the directory of files, which is named's own from where it is set, or
// else beside the file that includes it.
func (r *reader) included(beside, name string) string {
	own := r.path(r.dir, name)
	if other := r.path(beside, name); other != own {
		if _, err := r.open(own); err != nil {
			return other
		}
	}
	return own
}

// directory reads where relative names of files begin.
func (r *reader) directory(options statement) {
	for _, option := range options.block {
		if option.word(0) == "directory" && len(option.words) == 2 {
			r.dir = r.path(r.dir, option.words[1])
		}
	}
}

func (r *reader) path(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// settings reads the lists of primaries that zones name.
func (r *reader) settings(statements []statement) {
	for _, s := range statements {
		switch s.word(0) {
		case "primaries", "masters", "remote-servers":
			if len(s.words) >= 2 {
				r.lists[s.words[1]] = s.block
			}
		}
	}
}

func (r *reader) all(statements []statement) {
	for _, s := range statements {
		switch kind := s.word(0); kind {
		case "zone":
			r.zone(s)
		case "view":
			r.report.Add(views, s.at, s.word(1), "")
			r.all(s.block)
		case "primaries", "masters", "remote-servers":
		case "options":
			for _, option := range s.block {
				if option.word(0) != "directory" {
					r.report.Add(options, option.at, option.word(0), "")
				}
			}
		case "key":
			r.report.Add(keys, s.at, s.word(1), "")
		default:
			r.report.Add(options, s.at, kind, "%s", s.word(1))
		}
	}
}

// zone imports one zone.
func (r *reader) zone(s statement) {
	apex, ok := importer.CanonicalName(s.word(1))
	class := strings.ToUpper(s.word(2))
	kind, file := "", ""
	var from []statement
	for _, option := range s.block {
		switch key := option.word(0); key {
		case "type":
			kind = option.word(1)
		case "file":
			file = option.word(1)
		case "primaries", "masters":
			from = option.block
		}
	}
	switch {
	case !ok || len(s.words) < 2:
		r.mistakes.Add(s.at, "zone %s is not a domain name", strict.Quote(s.word(1)))
		return
	case class != "" && class != "IN":
		r.report.Add(otherZone, s.at, apex, "class %s", class)
		return
	case r.seen[apex]:
		r.report.Add(twice, s.at, apex, "")
		return
	}
	z := &importer.Zone{Apex: apex, File: importer.ZoneFile(apex)}
	if z.Listed = z.File == strings.TrimSuffix(apex, ".")+".zone"; z.Listed {
		z.File = "zones/" + z.File
	}
	switch {
	case apex == ".":
		r.report.Add(otherZone, s.at, apex, "type %s", kind)
		return
	case (kind == "primary" || kind == "master") && file != "":
		if !r.primary(s, z, r.path(r.dir, file)) {
			return
		}
	case kind == "secondary" || kind == "slave":
		z.File, z.Listed, z.Primaries = "", false, r.primaries(from, map[string]bool{})
		if len(z.Primaries) == 0 {
			r.report.Add(otherZone, s.at, apex, "type %s without primaries that can be read", kind)
			return
		}
		r.report.Add(secondary, s.at, apex, "")
	default:
		r.report.Add(otherZone, s.at, apex, "type %s", kind)
		return
	}
	r.seen[apex] = true
	r.listed = r.listed || z.Listed
	r.world.Zones = append(r.world.Zones, z)
	for _, option := range s.block {
		switch key := option.word(0); key {
		case "type", "file", "primaries", "masters":
		case "allow-transfer", "also-notify", "notify", "allow-notify":
			r.report.Add(transfers, option.at, apex, "%s", key)
		case "update-policy", "allow-update", "allow-update-forwarding":
			r.report.Add(updates, option.at, apex, "%s", key)
		case "dnssec-policy", "auto-dnssec", "inline-signing", "key-directory", "dnssec-dnskey-kskonly":
			r.report.Add(signing, option.at, apex, "%s", key)
		default:
			r.report.Add(options, option.at, apex, "%s", key)
		}
	}
}

// primary imports the file of a zone. It reports whether there is one.
func (r *reader) primary(s statement, z *importer.Zone, file string) bool {
	for _, option := range s.block {
		if format := option.word(1); option.word(0) == "masterfile-format" && format != "text" {
			r.report.Add(binary, option.at, z.Apex, "%s", format)
			return false
		}
	}
	data, ok := r.read(file, s.at)
	if !ok {
		return false
	}
	r.report.Add(primaryZone, s.at, z.Apex, "")
	if !bytes.Contains(bytes.ToUpper(data), []byte("$INCLUDE")) {
		if r.verbatim == nil {
			r.verbatim = map[string][]byte{}
		}
		r.verbatim[z.File] = data
		return true
	}
	f := flattener{r: r, zone: z, origin: z.Apex, owner: z.Apex}
	f.read(file, data, 0)
	return true
}

// primaries reads a list of addresses, each with a port and a key or without, and names of lists, each of which is read once: lists may name each
// other.
func (r *reader) primaries(list []statement, read map[string]bool) (all []importer.Primary) {
	for _, s := range list {
		address, err := netip.ParseAddr(s.word(0))
		if err != nil {
			name := s.word(0)
			inner, named := r.lists[name]
			switch {
			case !named || len(s.words) != 1:
				r.report.Add(otherPrimary, s.at, name, "")
			case !read[name]:
				read[name] = true
				all = append(all, r.primaries(inner, read)...)
			}
			continue
		}
		p, plain := importer.Primary{Address: netip.AddrPortFrom(address, 53)}, true
		for i := 1; i+1 < len(s.words); i += 2 {
			switch value := s.words[i+1]; s.words[i] {
			case "port":
				port, err := strconv.ParseUint(value, 10, 16)
				if err != nil || port == 0 {
					r.mistakes.Add(s.at, "port %s is none from 1 to 65535", strict.Quote(value))
				}
				p.Address = netip.AddrPortFrom(address, uint16(port))
			case "key":
				key, ok := importer.CanonicalName(value)
				if !ok {
					r.mistakes.Add(s.at, "key %s is not a domain name", strict.Quote(value))
				}
				p.Key = key
				r.report.Add(keys, s.at, value, "")
			case "tls":
				r.report.Add(otherPrimary, s.at, s.word(0), "tls %s", value)
				plain = false // what goes by TLS is not to go without
			}
		}
		if !plain {
			continue
		}
		if address.Zone() != "" || address.Is4In6() || address.IsUnspecified() || address.IsMulticast() {
			r.report.Add(otherPrimary, s.at, s.word(0), "")
			continue
		}
		if len(all) < maxPrimaries {
			all = append(all, p)
		}
	}
	return all
}

const maxPrimaries = 16 // of a zone

// A flattener writes a zone file with the records of the files that it includes.
type flattener struct {
	r       *reader
	zone    *importer.Zone
	origin  string
	owner   string // of the last record
	written string // owner that what was written ends with
}

func (f *flattener) line(text string) { f.zone.Lines = append(f.zone.Lines, text) }

func (f *flattener) read(file string, data []byte, depth int) {
	entries, err := importer.Entries(importer.File{Name: file, Data: data})
	if err != nil {
		f.r.mistakes.Add(strict.Position{}, "%v", err)
		return
	}
	for i := range entries {
		e := &entries[i]
		switch directive := e.Directive(); {
		case directive == "$INCLUDE" && (len(e.Words) == 2 || len(e.Words) == 3):
			f.include(file, e, depth)
			continue
		case directive == "$ORIGIN" && len(e.Words) == 2:
			f.origin = importer.Absolute(e.Words[1], f.origin)
			f.line("$ORIGIN " + f.origin)
			continue
		case directive != "" || len(e.Words) == 0:
		case !e.Blank:
			f.owner = importer.Absolute(e.Words[0], f.origin)
			f.written = f.owner
		case f.written != f.owner: // after an include
			f.line(f.owner + e.Raw)
			f.written = f.owner
			continue
		}
		f.line(e.Raw)
	}
}

// include reads another file in place of $INCLUDE. The origin and the owner of the last record are as before after it (RFC 1035,
// section 5.1); the TTL is not.
func (f *flattener) include(file string, e *importer.Entry, depth int) {
	at := strict.Position{File: file, Line: e.Line}
	name := f.r.path(f.r.dir, strings.Trim(e.Words[1], `"`))
	if depth == maxIncludes {
		f.r.mistakes.Add(at, "$INCLUDE: more than %d files in one another", maxIncludes)
		return
	}
	data, ok := f.r.read(name, at)
	if !ok {
		return
	}
	f.r.report.Add(included, at, f.zone.Apex, "%s", name)
	origin, owner := f.origin, f.owner
	if len(e.Words) == 3 {
		f.origin = importer.Absolute(e.Words[2], f.origin)
		f.line("$ORIGIN " + f.origin)
	}
	f.line(fmt.Sprintf("; from %s", importer.OneLine(e.Words[1])))
	f.read(name, data, depth+1)
	f.origin, f.owner = origin, owner
	f.line("$ORIGIN " + origin)
}
