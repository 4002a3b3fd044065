package static

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const maxSOAMinimum = 86_400 // RFC 2308, section 5 finds more than a day too much

// uneven reports whether the records of the set that begins at an offset came with different TTLs.
func (n node) uneven(at int) bool { return binary.BigEndian.Uint16(n[at+4:])&unevenBit != 0 }

// line returns where a record of a set stands.
func (n node) line(rrtype uint16, record int) int {
	at := n.setsAt() + 1
	for {
		t, size, records := n.header(at)
		if t == rrtype {
			return int(binary.BigEndian.Uint32(n[at+setHeader+size+record*lineSize:]))
		}
		at += setHeader + size + records*lineSize
	}
}

// Build judges the zone as a whole and returns it. What it has reported as a mistake makes the zone unfit to serve.
//
// Below a delegation only the addresses of nameservers are kept, below a DNAME nothing.
func (b *Builder) Build() (*Zone, error) {
	b.flush()
	if b.failed != nil {
		return nil, b.failed
	}
	b.checkApex()
	cuts := b.findCuts()
	if cuts.any {
		b.hide()
	}
	for n := range b.nodes() {
		b.checkOwner(n)
	}
	for _, owner := range cuts.delegations {
		b.delegate(owner)
	}
	b.warnTargets()
	b.trim()
	if b.failed != nil {
		return nil, b.failed
	}
	z := b.zone
	for n := range z.All {
		for set := range n.Sets {
			z.Count += int(set.Count)
		}
	}
	z.chain = b.chainOf(&z)
	return &z, nil
}

// nodes calls yield with every node that is not removed.
func (b *Builder) nodes() func(yield func(node) bool) {
	return func(yield func(node) bool) {
		for _, s := range b.zone.slots {
			if s == 0 {
				continue
			}
			if n := b.zone.nodeAt(s&atMask - 1); n[0]&flagRemoved == 0 && !yield(n) {
				return
			}
		}
	}
}

func (b *Builder) nameOf(n node) string { return text(append(bytes.Clone(n.name()), b.zone.Apex...)) }

// checkApex wants what makes a zone: one SOA record and nameservers (RFC 1035, section 5.2).
func (b *Builder) checkApex() {
	apex := b.zone.lookup(nil)
	soa, ok := Name{apex}.Set(dns.TypeSOA)
	switch {
	case !ok && b.mayBeLost(b.zone.Origin, dns.TypeSOA):
	case !ok:
		b.mistake(0, "has no SOA record at the apex %s", b.zone.Origin)
	case soa.Count > 1:
		b.mistake(apex.line(dns.TypeSOA, 1), "%s SOA: a zone has one SOA record (first on line %d)", b.zone.Origin, apex.line(dns.TypeSOA, 0))
	default:
		b.checkSOA(soa.Bytes, apex.line(dns.TypeSOA, 0))
	}
	switch ns, ok := (Name{apex}).Set(dns.TypeNS); {
	case !ok && b.mayBeLost(b.zone.Origin, dns.TypeNS):
	case !ok:
		b.mistake(0, "has no NS records at the apex %s", b.zone.Origin)
	case ns.Count == 1:
		b.warn(apex.line(dns.TypeNS, 0), "%s NS: a zone should have two nameservers or more (RFC 2182, section 5)", b.zone.Origin)
	}
}

// checkSOA warns of timers that make caches or secondaries do what nobody wants.
func (b *Builder) checkSOA(record []byte, line int) {
	timers := record[len(record)-20:]
	b.zone.Serial = binary.BigEndian.Uint32(timers)
	refresh, retry, expire := binary.BigEndian.Uint32(timers[4:]), binary.BigEndian.Uint32(timers[8:]), binary.BigEndian.Uint32(timers[12:])
	if minimum := binary.BigEndian.Uint32(timers[16:]); minimum > maxSOAMinimum {
		b.warn(line, "%s SOA: minimum %d lets resolvers remember for more than a day that a name does not exist", b.zone.Origin, minimum)
	}
	if sum := uint64(refresh) + uint64(retry); uint64(expire) <= sum {
		b.warn(line, "%s SOA: expire %d is not more than refresh and retry together (%d)", b.zone.Origin, expire, sum)
	}
}

// cuts are the owners at which other names begin.
type cuts struct {
	any         bool
	delegations [][]byte // below the apex
}

// findCuts flags the names that delegate, and the nameservers that they delegate to.
func (b *Builder) findCuts() cuts {
	var c cuts
	for n := range b.nodes() {
		c.any = c.any || n[0]&flagDNAME != 0
		if len(n.name()) == 0 {
			continue
		}
		set, ok := Name{n}.Set(dns.TypeNS)
		if !ok {
			continue
		}
		n[0] |= flagCut
		c.any = true
		c.delegations = append(c.delegations, bytes.Clone(n.name()))
		if bytes.HasPrefix(n.name(), []byte("\x01*")) {
			b.mistake(n.line(dns.TypeNS, 0), "%s NS: a wildcard can't be delegated (RFC 4592, section 4.2)", b.nameOf(n))
		}
		for target := range targets(set) {
			if t := b.within(target); t != nil {
				t[0] |= flagTarget
			}
		}
	}
	return c
}

// targets calls yield with the last name in the data of each record: the target of NS and MX.
func targets(set RecordSet) func(yield func(name []byte) bool) {
	skip := FixedSize
	if set.Type == dns.TypeMX {
		skip += 2
	}
	return func(yield func([]byte) bool) {
		for rest := set.Bytes; len(rest) > 0; rest = rest[RecordSize(rest):] {
			if !yield(rest[skip:RecordSize(rest)]) {
				return
			}
		}
	}
}

// within returns the node of a name in any case; nil where it is outside of the zone or not there.
func (b *Builder) within(name []byte) node {
	b.folded = appendLower(b.folded[:0], name)
	folded := b.folded
	if !bytes.HasSuffix(folded, []byte(b.zone.Apex)) {
		return nil
	}
	below := folded[:len(folded)-len(b.zone.Apex)]
	for at := 0; ; at += 1 + int(below[at]) {
		if at == len(below) {
			return b.zone.lookup(below)
		}
		if at > len(below) {
			return nil // the apex was the end of a longer label
		}
	}
}

// above returns the topmost cut or DNAME that a name lies below; nil without.
func (b *Builder) above(name []byte) (top node) {
	for len(name) > 0 {
		name = name[1+int(name[0]):]
		if n := b.zone.lookup(name); n != nil && n[0]&(flagCut|flagDNAME) != 0 {
			top = n
		}
	}
	return top
}

// hide drops what is never answered because of a cut or a DNAME, but for the addresses of nameservers.
func (b *Builder) hide() {
	var strip [][]byte
	var remove []node
	for n := range b.nodes() {
		top := b.above(n.name())
		foreign := (top != nil || n[0]&flagCut != 0) && b.foreign(n, top)
		switch {
		case top != nil && (top[0]&flagCut == 0 || n[0]&flagTarget == 0):
			remove = append(remove, n)
		case foreign:
			strip = append(strip, bytes.Clone(n.name()))
		}
		if top != nil {
			n[0] |= flagOccluded
		}
	}
	for _, n := range remove {
		n[0] |= flagRemoved
	}
	for _, name := range strip {
		b.strip(b.zone.lookup(name), b.above(name))
	}
}

// foreign notes the records of a name that are never answered because of a cut at it, or what is above it.
func (b *Builder) foreign(n, top node) (any bool) {
	at := n.setsAt()
	count := n[at]
	at++
	for range count {
		t, size, records := n.header(at)
		why := b.hidden(n, top, t, n[at+setHeader:])
		for i := range records {
			line := int(binary.BigEndian.Uint32(n[at+setHeader+size+i*lineSize:]))
			switch {
			case why == "":
			case top != nil && top[0]&flagCut == 0:
				b.mistake(line, "%s %s: %s", b.nameOf(n), dns.Type(t), why)
			default:
				b.warn(line, "%s %s: %s, dropped", b.nameOf(n), dns.Type(t), why)
			}
		}
		any = any || why != ""
		at += setHeader + size + records*lineSize
	}
	return any
}

// hidden says why a set is never answered; empty where it is.
func (b *Builder) hidden(n, top node, rrtype uint16, records []byte) string {
	address := rrtype == dns.TypeA || rrtype == dns.TypeAAAA
	switch {
	case top != nil && top[0]&flagCut == 0:
		return fmt.Sprintf("lies below the DNAME of %s (RFC 6672, section 2.4)", b.nameOf(top))
	case address && n[0]&flagTarget != 0:
		return ""
	case top != nil:
		return "lies below the delegation of " + b.nameOf(top) + " and is no address of a nameserver"
	case rrtype == dns.TypeNS || rrtype == dns.TypeDS || rrtype == dns.TypeNSEC:
		return ""
	case rrtype == dns.TypeRRSIG && slices.Contains([]uint16{dns.TypeDS, dns.TypeNSEC}, Covered(records)):
		return ""
	}
	return "belongs to the delegated zone, not to this one"
}

// strip rewrites a node without the sets that are hidden.
func (b *Builder) strip(n, top node) {
	b.owner = append(b.owner[:0], n.name()...)
	b.unpack(n)
	b.pending = slices.DeleteFunc(b.pending, func(r record) bool {
		var covered [FixedSize + 2]byte
		binary.BigEndian.PutUint16(covered[FixedSize:], r.covered)
		return b.hidden(n, top, r.rrtype, covered[:]) != ""
	})
	b.rewrite(n, 0, 0)
}

// checkOwner judges the types that a name has together.
func (b *Builder) checkOwner(n node) {
	at := n.setsAt()
	count := n[at]
	at++
	if count == 0 || len(b.lost) > 0 && b.mayBeCut(n.name()) {
		return // the rules for what lies below a delegation are others
	}
	for range count {
		t, size, records := n.header(at)
		lines := n[at+setHeader+size:]
		switch {
		case t == dns.TypeCNAME && records > 1:
			b.mistake(int(binary.BigEndian.Uint32(lines[lineSize:])), "%s CNAME: a name has one CNAME record (first on line %d)", b.nameOf(n), binary.BigEndian.Uint32(lines))
		case t == dns.TypeCNAME:
			if beside := b.beside(n, t, dns.TypeRRSIG, dns.TypeNSEC); beside != "" {
				b.mistake(int(binary.BigEndian.Uint32(lines)), "%s CNAME: stands beside other records (%s) of the name (RFC 1034, section 3.6.2)", b.nameOf(n), beside)
			}
		case t == dns.TypeDNAME && records > 1:
			b.mistake(int(binary.BigEndian.Uint32(lines[lineSize:])), "%s DNAME: a name has one DNAME record (first on line %d)", b.nameOf(n), binary.BigEndian.Uint32(lines))
		case t == dns.TypeDNAME && n[0]&flagCut != 0:
			b.mistake(int(binary.BigEndian.Uint32(lines)), "%s DNAME: stands beside the NS records of a delegation (RFC 6672, section 2.4)", b.nameOf(n))
		case t == dns.TypeDS && n[0]&flagCut == 0 && !b.mayBeLost(b.nameOf(n), dns.TypeNS):
			for i := range records {
				b.mistake(int(binary.BigEndian.Uint32(lines[i*lineSize:])), "%s DS: stands only where NS records delegate the name (RFC 4035, section 2.4)", b.nameOf(n))
			}
		case t == dns.TypeSOA && len(n.name()) > 0:
			for i := range records {
				b.mistake(int(binary.BigEndian.Uint32(lines[i*lineSize:])), "%s SOA: stands only at the apex %s", b.nameOf(n), b.zone.Origin)
			}
		}
		if n.uneven(at) {
			set := n.set(at)
			b.warn(int(binary.BigEndian.Uint32(lines)), "%s %s: the records have different TTLs, all get the least, %d (RFC 2181, section 5.2)", b.nameOf(n), dns.Type(t), set.TTL)
		}
		at += setHeader + size + records*lineSize
	}
}

// beside names the other types at a name, and where they stand, but for some.
func (b *Builder) beside(n node, not ...uint16) string {
	var words []string
	for set := range n.all() {
		if !slices.Contains(not, set.Type) {
			words = append(words, fmt.Sprintf("%s on line %d", dns.Type(set.Type), n.line(set.Type, 0)))
		}
	}
	return strings.Join(words, ", ")
}

// mayBeCut reports whether a record that can't be read may delegate a name or one above it.
func (b *Builder) mayBeCut(name []byte) bool {
	for ; len(name) > 0; name = name[1+int(name[0]):] {
		owner := text(append(bytes.Clone(name), b.zone.Apex...))
		if b.lost[lostKey{owner, dns.TypeNS}] || b.lost[lostKey{owner, 0}] {
			return true
		}
	}
	return false
}

// delegate gives a cut its glue: the addresses of the nameservers that can only be reached through it, and apart from these
// those below other cuts of the zone (RFC 9471, section 2).
func (b *Builder) delegate(owner []byte) {
	n := b.zone.lookup(owner)
	if n[0]&hiddenNode != 0 {
		return
	}
	set, _ := Name{n}.Set(dns.TypeNS)
	var own, sibling glue
	i := 0
	for target := range targets(set) {
		line := n.line(dns.TypeNS, i)
		i++
		t := b.within(target)
		if !below(target, owner, b.zone.Apex) {
			if t != nil && t[0]&flagOccluded != 0 {
				sibling.add(target, t)
			}
			continue
		}
		if own.add(target, t) {
			continue
		}
		lower := dns.CanonicalName(text(target))
		if !b.mayBeLost(lower, dns.TypeA) && !b.mayBeLost(lower, dns.TypeAAAA) && !b.mayBeCut(owner[1+int(owner[0]):]) {
			b.mistake(line, "%s NS: nameserver %s lies in the zone that is delegated to it and has no address here (glue)", b.nameOf(n), lower)
		}
	}
	if own.count+sibling.count == 0 {
		return
	}
	b.wasted += units(n.size())
	at := n.setsAt()
	with := append(b.scratch[:0], n[:at+1]...)
	with = own.append(with, at, glueType)
	with = append(with, n[at+1:n.size()]...)
	with = sibling.append(with, at, siblingType)
	b.scratch = with
	b.put(bytes.Clone(owner), n[0], with)
}

// glue is addresses of nameservers, as whole records.
type glue struct {
	records []byte
	count   int
}

// add adds the addresses of a nameserver whose node may be nil, and reports whether it has any.
func (g *glue) add(name []byte, n node) bool {
	had := g.count
	for _, rrtype := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		if n == nil {
			break
		}
		addresses, _ := Name{n}.Set(rrtype)
		for rest := addresses.Bytes; len(rest) > 0; rest = rest[RecordSize(rest):] {
			g.records = append(append(g.records, name...), rest[2:RecordSize(rest)]...)
			g.count++
		}
	}
	return g.count > had
}

// append appends the records as a set to a node, the number of whose sets stands at an offset.
func (g *glue) append(n []byte, setsAt int, pseudo uint16) []byte {
	if g.count == 0 || len(g.records) > MaxSetBytes || n[setsAt] == maxSets {
		return n
	}
	n[setsAt]++
	n = binary.BigEndian.AppendUint16(n, pseudo)
	n = binary.BigEndian.AppendUint16(n, uint16(len(g.records)))
	n = binary.BigEndian.AppendUint16(n, uint16(g.count))
	n = append(n, g.records...)
	return append(n, make([]byte, g.count*lineSize)...)
}

// below reports whether a name in any case is a delegated name or lies below it.
func below(name, owner []byte, apex string) bool {
	full := len(owner) + len(apex)
	for at := 0; at < len(name); at += 1 + int(name[at]) {
		if len(name)-at == full {
			rest := name[at:]
			return equalFold(rest[:len(owner)], owner) && equalFold(rest[len(owner):], []byte(apex))
		}
	}
	return false
}

// warnTargets warns of nameservers and mail exchangers in the zone that are aliases (RFC 2181, section 10.3) or have no
// address.
func (b *Builder) warnTargets() {
	for n := range b.nodes() {
		if n[0]&flagOccluded != 0 {
			continue
		}
		for _, rrtype := range [...]uint16{dns.TypeNS, dns.TypeMX} {
			set, ok := Name{n}.Set(rrtype)
			if !ok {
				continue
			}
			i := 0
			for target := range targets(set) {
				b.warnTarget(n, rrtype, i, target)
				i++
			}
		}
	}
}

func (b *Builder) warnTarget(n node, rrtype uint16, i int, target []byte) {
	b.folded = appendLower(b.folded[:0], target)
	folded := b.folded
	if len(target) == 1 || !below(folded, nil, b.zone.Apex) {
		return
	}
	name := folded[:len(folded)-len(b.zone.Apex)]
	t := b.zone.lookup(name)
	if t != nil && t[0]&flagCut != 0 || b.above(name) != nil {
		return
	}
	if t != nil {
		if _, alias := (Name{t}).Set(dns.TypeCNAME); alias {
			b.warn(n.line(rrtype, i), "%s %s: target %s is an alias (RFC 2181, section 10.3)", b.nameOf(n), dns.Type(rrtype), text(folded))
			return
		}
		_, v4 := Name{t}.Set(dns.TypeA)
		_, v6 := Name{t}.Set(dns.TypeAAAA)
		if v4 || v6 || t[0]&flagSteered != 0 {
			return
		}
	}
	if !b.underWildcard(name) {
		b.warn(n.line(rrtype, i), "%s %s: target %s has no address in this zone", b.nameOf(n), dns.Type(rrtype), text(folded))
	}
}

// underWildcard reports whether a wildcard may answer for a name.
func (b *Builder) underWildcard(name []byte) bool {
	for len(name) > 0 {
		name = name[1+int(name[0]):]
		var wildcard [256]byte
		if n := b.zone.lookup(append(append(wildcard[:0], 1, '*'), name...)); n != nil && !(Name{n}).Empty() {
			return true
		}
	}
	return false
}

// Beside returns the first of some types that a name has a record of, and its line; 0 where it has none. The name is in wire
// format and lower case.
func (b *Builder) Beside(name []byte, types ...uint16) (rrtype uint16, line int) {
	b.flush()
	n := b.zone.lookup(name[:len(name)-len(b.zone.Apex)])
	for _, t := range types {
		if n == nil {
			break
		}
		if _, ok := (Name{n}).Set(t); ok {
			return t, n.line(t, 0)
		}
	}
	return 0, 0
}

// CutAbove returns the topmost delegation at or above a name, and its line; 0 without. The name is in wire format and lower
// case.
func (b *Builder) CutAbove(name []byte) (cut string, line int) {
	b.flush()
	for below := name[:len(name)-len(b.zone.Apex)]; len(below) > 0; below = below[1+int(below[0]):] {
		n := b.zone.lookup(below)
		if n == nil {
			continue
		}
		if _, ok := (Name{n}).Set(dns.TypeNS); ok {
			cut, line = b.nameOf(n), n.line(dns.TypeNS, 0)
		}
	}
	return cut, line
}
