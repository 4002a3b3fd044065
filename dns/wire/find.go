package wire

import (
	"bytes"

	"github.com/meridian-gslb/meridian/zones"
)

// An answer is all that one call of Answer works with.
type answer struct {
	snapshot *zones.Snapshot
	query    query
	client   zones.Client
	random   uint32
	message  message
	out      Outcome

	zone          *zones.ZoneData // of the question; nil: none of ours
	wildcard      bool            // a wildcard made the answer
	authoritative bool
	scope         int // of the client subnet (RFC 7871, section 7.2.1); 0: the answer is the same for every client
	extended      infoCode
}

// An owner is a name that is looked up, and where it stands in the message.
type owner struct {
	name []byte // wire format, lower case
	at   int
}

// find looks the question up (RFC 1034, section 4.3.2) and fills the sections.
//
//	the zone says                     answer                   authority      AA
//	delegated at or above the name    -                        NS, with glue  no
//	the name does not exist           NXDOMAIN                 SOA            yes
//	it has the type                   the records              -              yes
//	its pool has the type             what the pick falls on   -              yes
//	it has a CNAME                    that, and its target's   the target's   yes
//	ANY, and it has some type         HINFO                    -              yes
//	it has other types or none        -                        SOA            yes
//
// A DS at a delegation belongs to the parent side, so it is not answered by a referral (RFC 4035, section 3.1.4.1).
func (a *answer) find() {
	if a.snapshot == nil {
		a.out.RCode, a.extended = ServFail, infoNotReady
		return
	}
	zone := a.snapshot.Plan.ZoneOf(a.query.name(), a.query.qtype)
	if zone == nil {
		a.out.RCode, a.extended = Refused, infoNotAuthoritative
		return
	}
	a.zone = zone
	o := owner{a.query.name(), atQuestion}
	var passed [zones.MaxAliases][]byte
	for aliases := 0; ; aliases++ {
		match := zone.Find(o.name)
		a.wildcard = a.wildcard || match.Wildcard
		if match.Name == nil {
			a.authoritative, a.out.RCode = true, NXDomain
			a.negative(zone, &zone.Negative, o)
			return
		}
		if match.Name.Cut != nil && !(a.query.qtype == typeDS && match.Offset == 0) {
			a.refer(match.Name.Cut, o.at+match.Offset)
			return
		}
		a.authoritative = true
		if !a.isAlias(match.Name) {
			a.data(zone, match.Name, o)
			return
		}
		set := match.Name.Set(typeCNAME)
		const fixed = 12 // the bytes of the record before the target: owner, type, class, TTL, length
		target := owner{match.Name.Alias, a.message.offset() + fixed}
		a.message.add(sectionAnswer, set, o.at)
		if aliases == zones.MaxAliases {
			return
		}
		passed[aliases] = o.name
		if a.message.full || a.leaves(zone, target.name) || seen(passed[:aliases+1], target.name) {
			return
		}
		o = target
	}
}

// isAlias reports whether the name's CNAME is followed: it has one, and not the type that was asked for.
func (a *answer) isAlias(n *zones.Name) bool {
	return n.Alias != nil && a.query.qtype != typeANY && n.Set(a.query.qtype) == nil
}

// leaves reports whether a name is not answered from the zone.
func (a *answer) leaves(zone *zones.ZoneData, name []byte) bool {
	other, _ := a.snapshot.Plan.Zone(name)
	return other != zone
}

// seen reports whether a chain of CNAMEs has come round.
func seen(passed [][]byte, name []byte) bool {
	for _, p := range passed {
		if bytes.Equal(p, name) {
			return true
		}
	}
	return false
}

// data answers from a name that is no alias.
func (a *answer) data(zone *zones.ZoneData, n *zones.Name, o owner) {
	switch qtype := a.query.qtype; {
	case qtype == typeANY && n.Alias != nil:
		a.message.add(sectionAnswer, n.Set(typeCNAME), o.at)
		return
	case qtype == typeANY && len(n.Types) > 0:
		a.message.add(sectionAnswer, &zones.AnyAnswer, o.at)
		return
	case n.Pool >= 0 && qtype == typeA:
		if a.steered(n.Pool, zones.IPv4, o) {
			return
		}
	case n.Pool >= 0 && qtype == typeAAAA:
		if a.steered(n.Pool, zones.IPv6, o) {
			return
		}
	default:
		if set := n.Set(qtype); set != nil {
			a.message.add(sectionAnswer, set, o.at)
			return
		}
	}
	a.negative(zone, n.Negative, o)
}

// steered answers from a pool and reports whether that has an address of the family for the client. A denial is given
// without a scope, for resolvers keep it for everybody (RFC 7871, section 7.4).
func (a *answer) steered(number, family int, o owner) bool {
	pool := a.snapshot.Pools[number]
	group, scope := pool.Plan.Group(a.client)
	a.out.GroupCounter = pool.Plan.GroupCounter(group)
	option := pool.Groups[group].Families[family].Pick(a.random)
	if option == nil {
		return false
	}
	a.scope, a.out.Counter = scope, option.Counter
	a.message.add(sectionAnswer, option.Set, o.at)
	return true
}

// negative adds the SOA of a denial (RFC 2308, section 3). Its owner is the end of the name that is denied.
func (a *answer) negative(zone *zones.ZoneData, soa *zones.RecordSet, o owner) {
	a.message.add(sectionAuthority, soa, o.at+len(o.name)-len(zone.Apex))
}

// refer adds what is known of a delegation whose name stands at an offset. A nameserver below the cut can't be reached
// without its glue, so that must not be left out (RFC 9471, section 3.1).
func (a *answer) refer(cut *zones.Delegation, at int) {
	a.message.add(sectionAuthority, &cut.NS, at)
	if cut.DS != nil && a.query.edns.do {
		a.message.add(sectionAuthority, cut.DS, at)
	}
	a.message.addRaw(sectionAdditional, cut.Glue, cut.GlueCount)
}
