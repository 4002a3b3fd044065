package wire

import (
	"github.com/meridian-gslb/meridian/zones/static"
)

// maxProofs is how many denials are told from those that are in the message already. An answer without aliases needs three at
// most (RFC 5155, section 7.2.2).
const maxProofs = 8

// prove adds the NSEC or NSEC3 record of a presigned zone that matches or covers a name, unless it is in the message, and reports
// whether it matches.
func (a *answer) prove(o owner) (matches bool) {
	n, matches := a.zone.Denies(o.name)
	rrtype := uint16(typeNSEC)
	if a.zone.Hashed() {
		rrtype = typeNSEC3
	}
	set, ok := n.Set(rrtype)
	signatures, signed := n.Covering(rrtype)
	if !ok || !signed {
		return matches
	}
	for _, p := range a.scratch.proofs[:a.proofs] {
		if p.Is(n) {
			return matches
		}
	}
	if a.proofs < maxProofs {
		a.scratch.proofs[a.proofs] = n
		a.proofs++
	}
	var buffer [maxName]byte
	name := a.zone.Owner(buffer[:0], n)
	a.message.addOwned(sectionAuthority, name, &set)
	a.message.addOwned(sectionAuthority, name, &signatures)
	return matches
}

// presignedNoData proves that a name that exists does not have a type (RFC 4035, section 3.1.3.1 and 3.1.3.4; RFC 5155, sections
// 7.2.3 to 7.2.5).
//
//	                NSEC                                    NSEC3
//	the name        its own; of an ENT the one before it    its own, or that of the closest encloser and the next closer name
//	a wildcard      that before the name, the wildcard's    closest encloser, next closer name, the wildcard's
func (a *answer) presignedNoData(o owner, m static.Match) {
	switch {
	case !m.Wildcard:
		if !a.prove(o) && a.zone.Hashed() {
			a.proveEncloser(o) // a delegation that the zone opts out (RFC 5155, section 7.2.4)
		}
	case a.zone.Hashed():
		a.proveEncloser(o)
		a.proveWildcard(o, m)
	default:
		a.prove(o)
		a.proveWildcard(o, m)
	}
}

// presignedAbsence proves that neither a name exists nor a wildcard for it (RFC 4035, section 3.1.3.2; RFC 5155, section 7.2.2).
func (a *answer) presignedAbsence(o owner, m static.Match) {
	if a.zone.Hashed() {
		a.proveEncloser(o)
	} else {
		a.prove(o)
	}
	a.proveWildcard(o, m)
}

// An expansion is a name for which a wildcard answered.
type expansion struct {
	owner owner
	match static.Match
}

// proveExpansions proves that the names that wildcards answered for do not exist themselves (RFC 4035, section 3.1.3.3; RFC 5155,
// section 7.2.6).
func (a *answer) proveExpansions() {
	for _, e := range a.scratch.expansions[:a.expansions] {
		if a.zone.Hashed() {
			a.prove(e.owner.up(nextCloser(e.owner, e.match)))
		} else {
			a.prove(e.owner)
		}
	}
}

// nextCloser returns the offset of the name that is a label longer than the closest encloser.
func nextCloser(o owner, m static.Match) int {
	at := 0
	for next := 1 + int(o.name[0]); next < m.Offset; next += 1 + int(o.name[next]) {
		at = next
	}
	return at
}

// proveEncloser proves by NSEC3 records which is the closest encloser of a name: that exists, and the name a label longer does
// not (RFC 5155, section 7.2.1).
func (a *answer) proveEncloser(o owner) {
	longer := 0
	for at := 0; len(o.name)-at >= len(a.zone.Apex); at += 1 + int(o.name[at]) {
		if _, exists := a.zone.Denies(o.name[at:]); exists {
			a.prove(o.up(at))
			break
		}
		longer = at
	}
	a.prove(o.up(longer))
}

// proveWildcard adds what says of the wildcard below the closest encloser that it has not the type, or does not exist.
func (a *answer) proveWildcard(o owner, m static.Match) {
	var buffer [maxName + 2]byte
	name := append(append(buffer[:0], 1, '*'), o.name[m.Offset:]...)
	a.prove(owner{name: name})
}
