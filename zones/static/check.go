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
	if cuts.wildcards {
		b.warnBesideWildcards()
	}
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
		b.warn(apex.line(dns.TypeNS, 0), "%s NS: a zone should have two nameservers or more: when this one is out of reach, nobody can look up anything (RFC 2182, section 5)", b.zone.Origin)
	default:
		b.warnTogether(ns, apex.line(dns.TypeNS, 0))
	}
}

// checkSOA warns of timers that make caches or secondaries do what nobody wants.
func (b *Builder) checkSOA(record []byte, line int) {
	timers := record[len(record)-20:]
	b.zone.Serial = binary.BigEndian.Uint32(timers)
	refresh, retry, expire := binary.BigEndian.Uint32(timers[4:]), binary.BigEndian.Uint32(timers[8:]), binary.BigEndian.Uint32(timers[12:])
	if minimum := binary.BigEndian.Uint32(timers[16:]); minimum > maxSOAMinimum {
		b.warn(line, "%s SOA: minimum %d lets resolvers remember for more than a day that a name does not exist, also when it is there by then", b.zone.Origin, minimum)
	}
	if sum := uint64(refresh) + uint64(retry); uint64(expire) <= sum {
		b.warn(line, "%s SOA: expire %d is not more than refresh and retry together (%d), so one transfer that fails makes a secondary drop the zone", b.zone.Origin, expire, sum)
	}
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
			b.warn(int(binary.BigEndian.Uint32(lines)), "%s %s: the records have different TTLs, all get the least, %d, as caches would else keep only some of them (RFC 2181, section 5.2)", b.nameOf(n), dns.Type(t), set.TTL)
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
			b.warn(n.line(rrtype, i), "%s %s: target %s is an alias, which those who look it up may refuse to follow (RFC 2181, section 10.3)", b.nameOf(n), dns.Type(rrtype), text(folded))
			return
		}
		_, v4 := Name{t}.Set(dns.TypeA)
		_, v6 := Name{t}.Set(dns.TypeAAAA)
		if v4 || v6 || t[0]&flagSteered != 0 {
			return
		}
	}
	if !b.underWildcard(name) {
		b.warn(n.line(rrtype, i), "%s %s: target %s has no address in this zone, so nobody can reach it", b.nameOf(n), dns.Type(rrtype), text(folded))
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

// Beside returns the first of some types that a name has a record of, without types the first of any, and its line; 0 where it has
// none. The name is in wire format and lower case.
func (b *Builder) Beside(name []byte, types ...uint16) (rrtype uint16, line int) {
	b.flush()
	n := b.zone.lookup(name[:len(name)-len(b.zone.Apex)])
	if n != nil && len(types) == 0 {
		for set := range (Name{n}).Sets {
			return set.Type, n.line(set.Type, 0)
		}
	}
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
