package wire

import (
	"slices"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// A Signer knows the zones that we sign.
type Signer interface {
	// Zone returns what signs a zone, by its apex in wire format. Nil: the zone has no keys and is answered unsigned, or if it is not
	// ready, has keys that are not here: then it is not answered.
	Zone(apex string) (s Signing, ready bool)
}

// A Signing has the keys of one zone, and signatures over its sets. What it returns is immutable.
type Signing interface {
	// Published returns the sets that the keys add to the apex: DNSKEY, and CDS and CDNSKEY where there are some (RFC 7344).
	Published() []zones.RecordSet
	// Signatures returns the packed RRSIG records over a set and how many they are; none if they are not made yet: then the answer
	// is Pending. The owner is in wire format and lower case. Neither it nor the set may be kept.
	Signatures(owner []byte, set zones.RecordSet) (records []byte, count uint16)
}

// maxBitmap is the longest type bitmap (RFC 4034, section 4.1.2): 256 windows of all types.
const maxBitmap = 256 * (2 + 32)

// unlock finds out by what the zone is signed, and whether the client wants to see it. It reports whether the zone can be answered
// at all.
func (a *answer) unlock() (ready bool) {
	if a.zone.Sign != "" && a.signer != nil {
		if a.signing, ready = a.signer.Zone(a.zone.Apex); !ready {
			return false
		}
	}
	a.do = a.query.edns.do && (a.signing != nil || a.zone.Presigned())
	return true
}

// addSignature adds the signatures over a set. In a presigned zone, one that a wildcard made needs a proof that the name itself
// does not exist (RFC 4035, section 3.1.3.3).
func (a *answer) addSignature(section int, set *zones.RecordSet, o owner, m static.Match) {
	if a.signing != nil {
		a.online(section, set, o)
		return
	}
	if signatures, ok := m.Name.Covering(set.Type); ok {
		a.message.add(section, &signatures, o.at)
		if m.Wildcard && a.expansions < len(a.scratch.expansions) {
			a.scratch.expansions[a.expansions] = expansion{o, m}
			a.expansions++
		}
	}
}

// online adds signatures of ours. They are over the very owner, whatever made the set.
func (a *answer) online(section int, set *zones.RecordSet, o owner) {
	records, count := a.signing.Signatures(o.name, *set)
	if count == 0 {
		a.out.Pending = true
		return
	}
	a.message.add(section, &zones.RecordSet{Type: typeRRSIG, Count: count, Bytes: records}, o.at)
}

// made answers what exists only because we sign, and reports whether it did: the keys' sets at the apex; the NSEC record at any
// name; and for a question for RRSIG the signature over that, as short as an answer to ANY (RFC 8482).
func (a *answer) made(o owner, m static.Match) bool {
	switch {
	case a.query.qtype == typeNSEC:
		set := a.nsec(o, m, 0, 0)
		a.add(sectionAnswer, &set, o, m)
		return true
	case a.query.qtype == typeRRSIG: // asked for by name, it is given without DO too (RFC 4035, section 3.1)
		set := a.nsec(o, m, 0, 0)
		a.online(sectionAnswer, &set, o)
		return true
	case len(o.name) == len(a.zone.Apex):
		for _, set := range a.signing.Published() {
			if set.Type == a.query.qtype {
				a.add(sectionAnswer, &set, o, m)
				return true
			}
		}
	}
	return false
}

// nsec makes the NSEC record of a name that exists: of every type that it could have in any state of health, without two (RFC
// 9824, section 3.1). The next name is the very next that there could be, so that nothing else is denied.
func (a *answer) nsec(o owner, m static.Match, without, withoutToo uint16) zones.RecordSet {
	types := a.zone.Types(a.scratch.types[:0], m.Name)
	if len(o.name) == len(a.zone.Apex) {
		for _, set := range a.signing.Published() {
			types = append(types, set.Type)
		}
	}
	types = append(types, typeRRSIG, typeNSEC)
	types = slices.DeleteFunc(types, func(t uint16) bool { return t == without || t == withoutToo })
	return a.packNSEC(o, m.Name, types)
}

// packNSEC packs an NSEC record. The TTL is that of the denial's SOA (RFC 9077, section 3.2). Below a cut the next name would be
// the child's, so there it is the one behind all of those.
func (a *answer) packNSEC(o owner, n static.Name, types []uint16) zones.RecordSet {
	soa := &a.zone.Negative
	cut := false
	if n.Exists() {
		soa, cut = a.denial(n), n.Cut()
	}
	var next [maxName]byte
	behind := next[:0]
	if cut {
		behind = dnssec.AppendNextBeside(behind, o.name, []byte(a.zone.Apex))
	} else {
		behind = dnssec.AppendNext(behind, o.name, []byte(a.zone.Apex))
	}
	record := dnssec.AppendNSEC(a.scratch.denial[:0], behind, types, soa.TTL)
	return zones.RecordSet{Type: typeNSEC, Count: 1, TTL: soa.TTL, Bytes: record}
}

// proveNoData proves that a name does not have the type. No bitmap of a denial has CNAME: then that would have been the answer.
func (a *answer) proveNoData(o owner, m static.Match) {
	if a.signing == nil {
		a.presignedNoData(o, m)
		return
	}
	set := a.nsec(o, m, a.query.qtype, typeCNAME)
	a.add(sectionAuthority, &set, o, m)
}

// proveAbsence proves that a name does not exist: by a record that says that it has no type (RFC 9824, section 3.2). Those who do
// not know of that are told that there is no error, for so they would understand the record (section 5).
func (a *answer) proveAbsence(o owner, m static.Match) {
	if a.signing == nil {
		a.presignedAbsence(o, m)
		return
	}
	if !a.query.edns.co {
		a.out.RCode = NoError
	}
	types := append(a.scratch.types[:0], typeRRSIG, typeNSEC, typeNXNAME)
	set := a.packNSEC(o, static.Name{}, types)
	a.add(sectionAuthority, &set, o, m)
}

// proveUnsigned proves that a delegation has no DS record (RFC 4035, section 3.1.4).
func (a *answer) proveUnsigned(o owner, m static.Match) {
	if a.signing == nil {
		a.presignedNoData(o, m)
		return
	}
	set := a.unsigned(o, m.Name)
	a.add(sectionAuthority, &set, o, m)
}

// unsigned makes the NSEC record of a delegation without a DS record.
func (a *answer) unsigned(o owner, cut static.Name) zones.RecordSet {
	return a.packNSEC(o, cut, append(a.scratch.types[:0], typeNS, typeRRSIG, typeNSEC))
}
