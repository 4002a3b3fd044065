package static

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// cuts are the owners at which other names begin.
type cuts struct {
	any         bool
	wildcards   bool     // there are some
	delegations [][]byte // below the apex
}

// findCuts flags the names that delegate, and the nameservers that they delegate to.
func (b *Builder) findCuts() cuts {
	var c cuts
	for n := range b.nodes() {
		c.any = c.any || n[0]&flagDNAME != 0
		c.wildcards = c.wildcards || n[0]&flagWildcard != 0
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
				b.warn(line, "%s %s: %s, dropped: resolvers ask the nameservers of that zone for it", b.nameOf(n), dns.Type(t), why)
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
