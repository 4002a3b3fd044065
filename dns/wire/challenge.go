package wire

import (
	"slices"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// challenge answers from a name that has values of a challenge. They come and go, so they are signed when somebody asks. A zone that
// came signed has no signatures over them: there they go out without.
func (a *answer) challenge(o owner, set *zones.RecordSet) {
	a.authoritative = true
	a.do = a.do && a.signing != nil
	var none static.Match
	switch qtype := a.query.qtype; {
	case qtype == typeTXT:
		a.add(sectionAnswer, set, o, none)
	case qtype == typeANY:
		a.add(sectionAnswer, &zones.AnyAnswer, o, none)
	case qtype == typeNSEC && a.signing != nil:
		nsec := a.challengeNSEC(o, 0)
		a.add(sectionAnswer, &nsec, o, none)
	case qtype == typeRRSIG && a.do:
		nsec := a.challengeNSEC(o, 0)
		a.online(sectionAnswer, &nsec, o)
	default:
		a.addSOA(&a.zone.Negative, o)
		if a.do {
			nsec := a.challengeNSEC(o, qtype)
			a.add(sectionAuthority, &nsec, o, none)
		}
	}
}

// challengeNSEC makes the NSEC record of a name with a challenge, without the type that was asked for.
func (a *answer) challengeNSEC(o owner, without uint16) zones.RecordSet {
	types := append(a.scratch.types[:0], typeTXT, typeRRSIG, typeNSEC)
	return a.packNSEC(o, static.Name{}, slices.DeleteFunc(types, func(t uint16) bool { return t == without }))
}
