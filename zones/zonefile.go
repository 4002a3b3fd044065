package zones

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/strict"
)

// The most of each thing in a zone.
const (
	maxZoneFile    = 64 << 20
	maxRecords     = 1_000_000
	maxZoneBytes   = 128 << 20 // of all records as packed: $GENERATE makes much of little
	maxSetBytes    = 64_000    // of an RRset as packed: a message has room for 65535
	maxTTL         = 1<<31 - 1 // RFC 2181, section 8
	maxSOAMinimum  = 86_400    // RFC 2308, section 5 finds more than a day too much
	maxParserWords = 200       // bytes of the parser's own text in a problem
	maxSyntaxError = 1_000     // records and directives of a file that can't be read, before reading stops
)

// A record is a record of a zone file and where it stands.
type record struct {
	rr    dns.RR
	owner string // canonical
	size  int    // packed
	hash  uint64 // the same for duplicates
	line  int
}

// A setKey names an RRset.
type setKey struct {
	owner  string
	rrtype uint16
}

// A zoneFile is what a zone file holds, as far as it could be read.
type zoneFile struct {
	apex     string
	file     string
	kept     []*record // in the order of the file; those dropped are nil
	sets     map[setKey][]*record
	sizes    map[setKey]int
	seen     map[uint64][]*record // by a hash that duplicates share
	types    map[string][]uint16  // by owner, as they come
	cuts     map[string]*record   // by owner: the first NS record of each delegation
	lost     map[setKey]bool      // the records that can't be read; an owner of "" and a type of 0 are unknown
	mistakes *strict.Report
	warnings *strict.Report
}

// readZoneFile reads the records and notes what keeps them from being a zone.
func readZoneFile(apex, file string, data []byte, mistakes, warnings *strict.Report) *zoneFile {
	z := newZoneFile(apex, file, mistakes, warnings)
	if len(data) > maxZoneFile {
		z.mistake(0, "is larger than %d MiB", maxZoneFile>>20)
		return z
	}
	mistakesBefore, warningsBefore := *mistakes, *warnings
	if complete := z.read(data); !complete {
		// Most files are good, so only now is each record looked at by itself, and the others are read once more.
		*mistakes, *warnings = mistakesBefore, warningsBefore
		z = newZoneFile(apex, file, mistakes, warnings)
		if complete := z.read(z.withoutSyntaxErrors(data)); !complete {
			return z
		}
	}
	z.checkApex()
	z.checkCuts()
	z.checkOwners()
	z.checkTTLs()
	return z
}

func newZoneFile(apex, file string, mistakes, warnings *strict.Report) *zoneFile {
	return &zoneFile{
		apex: apex, file: file, sets: map[setKey][]*record{}, sizes: map[setKey]int{},
		seen: map[uint64][]*record{}, types: map[string][]uint16{}, cuts: map[string]*record{}, lost: map[setKey]bool{},
		mistakes: mistakes, warnings: warnings,
	}
}

func (z *zoneFile) mistake(line int, format string, args ...any) {
	z.mistakes.Add(strict.Position{File: z.file, Line: line}, format, args...)
}

func (z *zoneFile) warn(line int, format string, args ...any) {
	z.warnings.Add(strict.Position{File: z.file, Line: line}, format, args...)
}

// add puts a record into its RRset. A record that is there already is dropped (RFC 2181, section 5).
func (z *zoneFile) add(r *record) {
	key := setKey{r.owner, r.rr.Header().Rrtype}
	for _, other := range z.seen[r.hash] {
		if other.owner == r.owner && dns.IsDuplicate(other.rr, r.rr) {
			z.warn(r.line, "%s %s: the same record as on line %d, dropped", key.owner, dns.Type(key.rrtype), other.line)
			return
		}
	}
	z.seen[r.hash] = append(z.seen[r.hash], r)
	before := z.sizes[key]
	z.sizes[key] += r.size
	if z.sizes[key] > maxSetBytes {
		if before <= maxSetBytes {
			z.mistake(r.line, "%s %s: the RRset is larger than %d bytes here, too large for a message", key.owner, dns.Type(key.rrtype), maxSetBytes)
		}
		return
	}
	if len(z.sets[key]) == 0 {
		z.types[key.owner] = append(z.types[key.owner], key.rrtype)
	}
	z.sets[key] = append(z.sets[key], r)
	z.kept = append(z.kept, r)
}

// mayBeLost reports whether a record that can't be read may belong to an RRset: then what the set lacks is no mistake.
func (z *zoneFile) mayBeLost(owner string, rrtype uint16) bool {
	return z.lost[setKey{owner, rrtype}] || z.lost[setKey{owner, 0}] || z.lost[setKey{"", rrtype}] || z.lost[setKey{"", 0}]
}

// mayBeCut reports whether a record that can't be read may delegate a name or one above it.
func (z *zoneFile) mayBeCut(owner string) bool {
	for ; owner != z.apex && owner != ""; owner = parent(owner) {
		if z.lost[setKey{owner, dns.TypeNS}] || z.lost[setKey{owner, 0}] {
			return true
		}
	}
	return false
}

// records returns the records that make the zone, in the order of the file.
func (z *zoneFile) records() []dns.RR {
	var rrs []dns.RR
	for _, r := range z.kept {
		if r != nil {
			rrs = append(rrs, r.rr)
		}
	}
	return rrs
}

// checkApex wants what makes a zone: one SOA record and nameservers (RFC 1035, section 5.2).
func (z *zoneFile) checkApex() {
	soas := z.sets[setKey{z.apex, dns.TypeSOA}]
	switch {
	case len(soas) == 0 && z.mayBeLost(z.apex, dns.TypeSOA):
	case len(soas) == 0:
		z.mistake(0, "has no SOA record at the apex %s", z.apex)
	case len(soas) > 1:
		z.mistake(soas[1].line, "%s SOA: a zone has one SOA record (first on line %d)", z.apex, soas[0].line)
	default:
		z.checkSOA(soas[0])
	}
	switch ns := z.sets[setKey{z.apex, dns.TypeNS}]; {
	case len(ns) == 0 && z.mayBeLost(z.apex, dns.TypeNS):
	case len(ns) == 0:
		z.mistake(0, "has no NS records at the apex %s", z.apex)
	case len(ns) == 1:
		z.warn(ns[0].line, "%s NS: a zone should have two nameservers or more (RFC 2182, section 5)", z.apex)
	}
}

// checkSOA warns of timers that make caches or secondaries do what nobody wants.
func (z *zoneFile) checkSOA(r *record) {
	soa := r.rr.(*dns.SOA)
	if soa.Minttl > maxSOAMinimum {
		z.warn(r.line, "%s SOA: minimum %d lets resolvers remember for more than a day that a name does not exist", z.apex, soa.Minttl)
	}
	if uint64(soa.Expire) <= uint64(soa.Refresh)+uint64(soa.Retry) {
		z.warn(r.line, "%s SOA: expire %d is not more than refresh and retry together (%d)", z.apex, soa.Expire, uint64(soa.Refresh)+uint64(soa.Retry))
	}
}

// checkCuts finds the delegations and drops what lies below them, but for the addresses of nameservers.
func (z *zoneFile) checkCuts() {
	for _, r := range z.kept {
		if r.rr.Header().Rrtype == dns.TypeNS && r.owner != z.apex && z.cuts[r.owner] == nil {
			z.cuts[r.owner] = r
			if strings.HasPrefix(r.owner, "*.") {
				z.mistake(r.line, "%s NS: a wildcard can't be delegated (RFC 4592, section 4.2)", r.owner)
			}
		}
	}
	nameservers := map[string]bool{}
	for _, r := range z.kept {
		if ns, ok := r.rr.(*dns.NS); ok && r.owner != z.apex {
			nameservers[recordName(ns.Ns)] = true
		}
	}
	for i, r := range z.kept {
		if why := z.occluded(r, nameservers); why != "" {
			z.warn(r.line, "%s %s: %s, dropped", r.owner, dns.Type(r.rr.Header().Rrtype), why)
			z.kept[i] = nil
		}
	}
	z.index()
	z.checkGlue()
}

// occluded says why a record is never answered because of a delegation; empty where it is.
func (z *zoneFile) occluded(r *record, nameservers map[string]bool) string {
	rrtype := r.rr.Header().Rrtype
	address := rrtype == dns.TypeA || rrtype == dns.TypeAAAA
	above := z.cutAbove(r.owner)
	switch {
	case above == nil:
		return ""
	case address && nameservers[r.owner]:
		return ""
	case r.owner != above.owner:
		return "lies below the delegation of " + above.owner + " and is no address of a nameserver"
	case rrtype == dns.TypeNS || rrtype == dns.TypeDS:
		return ""
	}
	return "belongs to the delegated zone, not to this one"
}

// cutAbove returns the delegation that a name is at or below, the topmost one; nil where the zone itself answers.
func (z *zoneFile) cutAbove(owner string) *record {
	var top *record
	for owner != z.apex && owner != "" {
		if cut := z.cuts[owner]; cut != nil {
			top = cut
		}
		owner = parent(owner)
	}
	return top
}

// parent returns the name without its first label; empty above the top level.
func parent(name string) string {
	next, _ := dns.NextLabel(name, 0)
	return name[next:]
}

// index rebuilds the sets from the records that are kept.
func (z *zoneFile) index() {
	clear(z.sets)
	clear(z.types)
	for _, r := range z.kept {
		if r == nil {
			continue
		}
		key := setKey{r.owner, r.rr.Header().Rrtype}
		if len(z.sets[key]) == 0 {
			z.types[key.owner] = append(z.types[key.owner], key.rrtype)
		}
		z.sets[key] = append(z.sets[key], r)
	}
}

// checkGlue wants an address for each nameserver that can only be reached through its own delegation.
func (z *zoneFile) checkGlue() {
	for _, r := range z.kept {
		if r == nil {
			continue
		}
		ns, ok := r.rr.(*dns.NS)
		if !ok || r.owner == z.apex {
			continue
		}
		if target := recordName(ns.Ns); dns.IsSubDomain(r.owner, target) && !z.mayHaveAddress(target) && !z.mayBeCut(parent(r.owner)) {
			z.mistake(r.line, "%s NS: nameserver %s lies in the zone that is delegated to it and has no address here (glue)", r.owner, target)
		}
	}
}

// mayHaveAddress reports whether a name has an address, or one that can't be read.
func (z *zoneFile) mayHaveAddress(owner string) bool {
	return z.hasAddress(owner) || z.mayBeLost(owner, dns.TypeA) || z.mayBeLost(owner, dns.TypeAAAA)
}

func (z *zoneFile) hasAddress(owner string) bool {
	return len(z.sets[setKey{owner, dns.TypeA}])+len(z.sets[setKey{owner, dns.TypeAAAA}]) > 0
}

// checkOwners judges the types that a name has together.
func (z *zoneFile) checkOwners() {
	for _, r := range z.kept {
		if r == nil || z.mayBeCut(r.owner) {
			continue // the rules for what lies below a delegation are others
		}
		switch r.rr.Header().Rrtype {
		case dns.TypeCNAME:
			aliases := z.sets[setKey{r.owner, dns.TypeCNAME}]
			switch {
			case r != aliases[0]:
				z.mistake(r.line, "%s CNAME: a name has one CNAME record (first on line %d)", r.owner, aliases[0].line)
			case len(z.types[r.owner]) > 1:
				z.mistake(r.line, "%s CNAME: stands beside other records (%s) of the name (RFC 1034, section 3.6.2)", r.owner, z.typesBeside(r))
			}
		case dns.TypeDS:
			if z.cuts[r.owner] == nil && !z.mayBeLost(r.owner, dns.TypeNS) {
				z.mistake(r.line, "%s DS: stands only where NS records delegate the name (RFC 4035, section 2.4)", r.owner)
			}
		case dns.TypeSOA:
			if r.owner != z.apex {
				z.mistake(r.line, "%s SOA: stands only at the apex %s", r.owner, z.apex)
			}
		}
	}
}

// typesBeside names the other types at a record's owner, and where they stand.
func (z *zoneFile) typesBeside(r *record) string {
	var words []string
	for _, t := range z.types[r.owner] {
		if t != r.rr.Header().Rrtype {
			words = append(words, fmt.Sprintf("%s on line %d", dns.Type(t), z.sets[setKey{r.owner, t}][0].line))
		}
	}
	return strings.Join(words, ", ")
}

// checkTTLs gives all records of an RRset the least TTL among them (RFC 2181, section 5.2).
func (z *zoneFile) checkTTLs() {
	for _, r := range z.kept {
		if r == nil {
			continue
		}
		key := setKey{r.owner, r.rr.Header().Rrtype}
		set := z.sets[key]
		if set[0] != r {
			continue
		}
		least, equal := r.rr.Header().Ttl, true
		for _, other := range set {
			equal = equal && other.rr.Header().Ttl == least
			least = min(least, other.rr.Header().Ttl)
		}
		if equal {
			continue
		}
		z.warn(r.line, "%s %s: the records have different TTLs, all get the least, %d (RFC 2181, section 5.2)", key.owner, dns.Type(key.rrtype), least)
		for _, other := range set {
			other.rr.Header().Ttl = least
		}
	}
}

// warnTargets warns of nameservers and mail exchangers in the zone that are aliases (RFC 2181, section 10.3) or have no
// address.
func (z *zoneFile) warnTargets(steers []Steer, warnings *strict.Report) {
	steered := map[string]bool{}
	for _, s := range steers {
		steered[s.Owner] = true
	}
	for _, r := range z.kept {
		if r == nil {
			continue
		}
		var target string
		switch rr := r.rr.(type) {
		case *dns.NS:
			target = recordName(rr.Ns)
		case *dns.MX:
			target = recordName(rr.Mx)
		default:
			continue
		}
		at := strict.Position{File: z.file, Line: r.line}
		name := dns.Type(r.rr.Header().Rrtype)
		switch {
		case target == "." || !dns.IsSubDomain(z.apex, target) || z.cutAbove(target) != nil:
		case len(z.sets[setKey{target, dns.TypeCNAME}]) > 0:
			warnings.Add(at, "%s %s: target %s is an alias (RFC 2181, section 10.3)", r.owner, name, target)
		case !steered[target] && !z.hasAddress(target) && !z.underWildcard(target):
			warnings.Add(at, "%s %s: target %s has no address in this zone", r.owner, name, target)
		}
	}
}

// underWildcard reports whether a wildcard may answer for a name.
func (z *zoneFile) underWildcard(owner string) bool {
	for owner != z.apex && owner != "" {
		owner = parent(owner)
		if len(z.types["*."+owner]) > 0 {
			return true
		}
	}
	return false
}

// addressOrAlias returns a record that would be answered instead of a pool; nil without.
func (z *zoneFile) addressOrAlias(owner string) *record {
	for _, rrtype := range [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME} {
		if set := z.sets[setKey{owner, rrtype}]; len(set) > 0 {
			return set[0]
		}
	}
	return nil
}

// recordName is the canonical form of a name in a record.
func recordName(name string) string {
	canonical, err := canonicalName(name)
	if err != nil {
		return dns.CanonicalName(name) // a record with such a name does not pack, and that is noted
	}
	return canonical
}
