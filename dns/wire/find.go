package wire

import (
	"bytes"
	"slices"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// An answer is all that one call of Answer works with.
type answer struct {
	snapshot *zones.Snapshot
	query    query
	random   uint32
	message  message
	out      *Outcome
	scratch  *Scratch

	authoritative bool
	scope         int // of the client subnet (RFC 7871, section 7.2.1); 0: the answer is the same for every client
	extended      infoCode
	note          []byte // an option that goes with the answer if there is room, see Identity.Explain

	zone       *zones.ZoneData // nil until it is known, and where there is none
	wildcard   bool            // made the answer
	absent     bool            // the name, or that at the end of the chain, does not exist
	brief      bool            // the denial is not to be kept for long
	asks       bool            // for reports of errors: the Report-Channel option goes with the answer
	signer     Signer          // nil: no zone is signed by us
	signing    Signing         // of the zone; nil: it is not signed by us
	do         bool            // signatures are wanted, and there are some
	proofs     int             // how many denials of a presigned zone are in the message
	expansions int             // how many of the scratch
}

// A Scratch is memory that Answer works in. It may be used again, but not by two calls at once.
type Scratch struct {
	Request Request // its Scratch is of no meaning
	Outcome Outcome

	answer  answer
	name    [maxName]byte                                // of the question, in lower case
	targets [zones.MaxAliases][maxName]byte              // of CNAMEs, in lower case
	synth   [static.FixedSize + maxName]byte             // the CNAME that a DNAME makes
	types   [64]uint16                                   // of a name; more are rare, and cost an allocation
	denial  [static.FixedSize + maxName + maxBitmap]byte // an NSEC record
	proofs  [maxProofs]static.Name                       // the denials of a presigned zone that are in the message

	expansions [zones.MaxAliases + 1]expansion // names of a presigned zone that wildcards answered for
}

// An owner is a name that is looked up, and where it stands in the message.
type owner struct {
	name []byte // wire format, lower case
	at   int
}

// up returns the ancestor of which so many bytes of the name are left out.
func (o owner) up(offset int) owner { return owner{o.name[offset:], o.at + offset} }

// find looks the question up (RFC 1034, section 4.3.2) and fills the sections.
//
//	the zone                          answer                   authority             AA
//	is not loaded                     SERVFAIL                 -                     no
//	has keys that are not here        SERVFAIL                 -                     no
//	delegates the name or one above   -                        NS, with glue         no
//	has a DNAME above the name        that, a CNAME, …         the target's          yes
//	has a challenge at the name       its TXT records          SOA if none asked     yes
//	is for reports at the name        thanks for a report      SOA if it is none     yes
//	has but a challenge below it      -                        SOA                   yes
//	does not have the name            NXDOMAIN                 SOA                   yes
//	has the type there                the records              -                     yes
//	has a pool with the type there    what the pick falls on   -                     yes
//	has a pool of aliases there       likewise, not followed   -                     yes
//	has a CNAME there                 that, and its target's   the target's          yes
//	has some type there, asked ANY    HINFO                    -                     yes
//	has other types there, or none    -                        SOA                   yes
//
// A zone whose keys are not here is not answered to those either who want no signatures: resolvers fall back to asking so, and would
// take what they are told for the answer of an unsigned zone. Not Ready is the one extended error of RFC 8914 for it; that about
// DNSKEY (section 4.10) says what a validator found.
//
// Where the client wants signatures and the zone has them, they go with every set but the NS records of a delegation, and
// denials are proven. A DS at a delegation belongs to the parent side, so it is not answered by a referral (RFC 4035, section
// 3.1.4.1).
func (a *answer) find() {
	if a.snapshot == nil {
		a.out.RCode, a.extended = ServFail, infoNotReady
		return
	}
	a.zone = a.snapshot.Plan.ZoneOf(a.query.name, a.query.qtype)
	switch {
	case a.zone == nil:
		a.out.RCode, a.extended = Refused, infoNotAuthoritative
		return
	case a.zone.Zone == nil || !a.unlock():
		a.out.RCode, a.extended = ServFail, infoNotReady
		return
	}
	if reports := a.snapshot.Plan.Reports; reports != nil {
		a.asks = reports.About(a.zone, a.query.name)
	}
	a.follow(owner{a.query.name, atQuestion})
	a.proveExpansions()
}

// follow answers from a name, and from where its CNAMEs lead.
func (a *answer) follow(o owner) {
	for aliases := 0; ; aliases++ {
		m := a.zone.Find(o.name)
		a.wildcard = a.wildcard || m.Wildcard
		if m.Name.Exists() && m.Name.Cut() && !(a.query.qtype == typeDS && m.Offset == 0) {
			a.refer(m.Name, o.up(m.Offset))
			return
		}
		if set, ok := a.snapshot.Challenge(a.zone, o.name); ok {
			a.apart(o, set)
			return
		}
		if reports := a.snapshot.Plan.Reports; reports != nil && reports.Hold(a.zone, o.name) {
			a.report(o)
			return
		}
		a.authoritative = true
		if !m.Name.Exists() {
			if a.leads(o.name) {
				a.apart(o, nil)
			} else {
				a.deny(o, m)
			}
			return
		}
		target, at := a.answerAt(o, m)
		if target == nil || aliases == zones.MaxAliases {
			return
		}
		next := owner{a.scratch.targets[aliases][:len(target)], at}
		lower(next.name, target)
		if a.leaves(next.name) || a.seen(aliases, next.name) {
			return
		}
		o = next
	}
}

// leads reports whether a name that the zone does not have exists since others that the snapshot knows of lie below it.
func (a *answer) leads(name []byte) bool {
	reports := a.snapshot.Plan.Reports
	return reports != nil && reports.Lead(a.zone, name) || a.snapshot.LeadsToChallenge(name)
}

// answerAt answers from a name that exists, or that a DNAME redirects. If that is by a CNAME that is to be followed, it returns
// the target and where that stands in the message.
func (a *answer) answerAt(o owner, m static.Match) (target []byte, at int) {
	if m.Redirected {
		return a.redirect(o, m)
	}
	if set, ok := m.Name.Set(typeCNAME); ok && a.query.qtype != typeANY && !a.has(m.Name) {
		at = a.message.offset() + static.FixedSize
		a.add(sectionAnswer, &set, o, m)
		return set.Bytes[static.FixedSize:], at
	}
	a.data(o, m)
	return nil, 0
}

// has reports whether a name has the type that was asked for among its static records, or could be made to have it.
func (a *answer) has(n static.Name) bool {
	_, ok := n.Set(a.query.qtype)
	return ok || a.signing != nil && a.query.qtype == typeNSEC
}

// redirect answers below a DNAME: by that, and a CNAME that says the same to those who do not know it (RFC 6672, section 3.1).
func (a *answer) redirect(o owner, m static.Match) (target []byte, at int) {
	set, _ := m.Name.Set(typeDNAME)
	a.add(sectionAnswer, &set, o.up(m.Offset), static.Match{Name: m.Name})
	suffix := set.Bytes[static.FixedSize:]
	if m.Offset+len(suffix) > maxName {
		a.out.RCode = YXDomain // section 2.2
		return nil, 0
	}
	prefix := o.name[:m.Offset]
	if !a.message.full {
		prefix = a.message.at(o.at)[:m.Offset] // the same in the question's case
	}
	var data [maxName]byte
	n := copy(data[:], prefix)
	n += copy(data[n:], suffix)
	record := static.AppendRecord(a.scratch.synth[:0], typeCNAME, set.TTL, data[:n])
	at = a.message.offset() + static.FixedSize
	a.message.add(sectionAnswer, &zones.RecordSet{Type: typeCNAME, Count: 1, TTL: set.TTL, Bytes: record}, o.at)
	if a.query.qtype == typeCNAME || a.query.qtype == typeANY {
		return nil, 0
	}
	return record[static.FixedSize:], at
}

// leaves reports whether a name is not answered from the zone.
func (a *answer) leaves(name []byte) bool {
	return a.snapshot.Plan.ZoneOf(name, a.query.qtype) != a.zone
}

// seen reports whether a chain of CNAMEs has come round.
func (a *answer) seen(aliases int, name []byte) bool {
	if bytes.Equal(name, a.query.name) {
		return true
	}
	for i := range aliases {
		if bytes.HasPrefix(a.scratch.targets[i][:], name) { // the root ends a name, so a prefix is the whole
			return true
		}
	}
	return false
}

// data answers from a name that is no alias.
func (a *answer) data(o owner, m static.Match) {
	n := m.Name
	pool := a.zone.Pool(n)
	switch qtype := a.query.qtype; {
	case pool >= 0 && a.snapshot.Pools[pool].Plan.Pool.Kind == zones.Aliases && !a.has(n):
		if a.steered(pool, o, m) {
			return
		}
	case qtype == typeANY:
		if set, ok := n.Set(typeCNAME); ok {
			a.add(sectionAnswer, &set, o, m)
			return
		}
		if !a.zone.Empty(n) {
			set := a.zone.Any(n)
			a.add(sectionAnswer, &set, o, m)
			return
		}
	case pool >= 0 && a.snapshot.Pools[pool].Plan.Answers(qtype):
		if a.steered(pool, o, m) {
			return
		}
	case a.signing != nil && a.made(o, m):
		return
	default:
		if set, ok := n.Set(qtype); ok {
			a.add(sectionAnswer, &set, o, m)
			return
		}
	}
	a.noData(o, m)
}

// steered answers from a pool and reports whether that has something of the type for the client. A denial is given
// without a scope, for resolvers keep it for everybody (RFC 7871, section 7.4).
func (a *answer) steered(number int, o owner, m static.Match) bool {
	pool := a.snapshot.Pools[number]
	client := zones.Client{Source: a.query.request.Source, Subnet: a.query.edns.subnet}
	group, scope := pool.Plan.Group(client)
	a.out.GroupCounter = pool.Plan.GroupCounter(group)
	var prefix zones.Prefix
	if pool.Groups[group].ByPrefix {
		_, seed := a.zone.Steering(m.Name)
		var bits int
		prefix, bits = client.Prefix(seed)
		scope = max(scope, bits)
	}
	choice := pool.Choice(group, a.query.qtype).Part(prefix)
	option := choice.Pick(a.random, prefix)
	if option == nil {
		a.brief = choice.Brief
		return false
	}
	if a.query.identity.Explain {
		a.note = noteOf(choice.Rung, option)
	}
	first := option.Turn(a.random)
	a.scope, a.out.Counter = scope, pool.Plan.Counter(option, first)
	at := len(a.message.bytes)
	a.message.add(sectionAnswer, option.Set, o.at)
	turn(a.message.bytes[at:], first)
	if a.do {
		a.addSignature(sectionAnswer, option.Set, o, m)
	}
	return true
}

// turn rotates records so that they begin with the one that has a number.
func turn(records []byte, first int) {
	if first == 0 || len(records) == 0 {
		return
	}
	at := 0
	for range first {
		at += static.RecordSize(records[at:])
	}
	slices.Reverse(records[:at])
	slices.Reverse(records[at:])
	slices.Reverse(records)
}

// add appends a set and, where they are wanted, the signatures over it.
func (a *answer) add(section int, set *zones.RecordSet, o owner, m static.Match) {
	a.message.add(section, set, o.at)
	if a.do {
		a.addSignature(section, set, o, m)
	}
}

// noData denies a type at a name that exists (RFC 2308, section 2.2).
func (a *answer) noData(o owner, m static.Match) {
	a.addSOA(a.denial(m.Name), o)
	if a.do {
		a.proveNoData(o, m)
	}
}

// denial returns the SOA of a NODATA answer at a name.
func (a *answer) denial(n static.Name) *zones.RecordSet {
	if a.brief {
		return a.zone.BriefNoData(n)
	}
	return a.zone.NoData(n)
}

// deny says that a name does not exist (RFC 2308, section 2.1).
func (a *answer) deny(o owner, m static.Match) {
	a.out.RCode, a.absent = NXDomain, true
	a.addSOA(&a.zone.Negative, o)
	if a.do {
		a.proveAbsence(o, m)
	}
}

// addSOA adds the SOA of a denial (RFC 2308, section 3). Its owner is the end of the name that is denied.
func (a *answer) addSOA(soa *zones.RecordSet, o owner) {
	apex := o.up(len(o.name) - len(a.zone.Apex))
	var m static.Match
	if a.do && a.signing == nil {
		m = a.zone.Find(apex.name)
	}
	from := a.message.offset()
	a.add(sectionAuthority, soa, apex, m)
	a.message.setTTL(from, soa.TTL) // that of the signatures too, where the zone came with them
}

// refer adds what is known of a delegation. A nameserver below the cut can't be reached without its glue, so that must not be
// left out; addresses below other cuts may be (RFC 9471, section 3).
func (a *answer) refer(cut static.Name, o owner) {
	if set, ok := cut.Set(typeNS); ok {
		a.message.add(sectionAuthority, &set, o.at)
	}
	if a.do {
		if ds, ok := cut.Set(typeDS); ok {
			a.add(sectionAuthority, &ds, o, static.Match{Name: cut})
		} else {
			a.proveUnsigned(o, static.Match{Name: cut})
		}
	}
	own, sibling := cut.Glue()
	a.message.addRaw(sectionAdditional, own)
	if a.message.fits(len(sibling.Bytes)) {
		a.message.addRaw(sectionAdditional, sibling)
	}
}
