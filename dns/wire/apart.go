package wire

import (
	"slices"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// apart answers from a name that has TXT records beside the zone's data, or exists without any: set is nil then. They are signed when
// somebody asks, for they come and go. A zone that came signed has no signatures over them: there they go out without.
func (a *answer) apart(o owner, set *zones.RecordSet) {
	a.authoritative = true
	a.do = a.do && a.signing != nil
	var none static.Match
	switch qtype := a.query.qtype; {
	case qtype == typeTXT && set != nil:
		a.add(sectionAnswer, set, o, none)
	case qtype == typeANY && set != nil:
		a.add(sectionAnswer, &zones.AnyAnswer, o, none)
	case qtype == typeNSEC && a.signing != nil:
		nsec := a.apartNSEC(o, set, 0)
		a.add(sectionAnswer, &nsec, o, none)
	case qtype == typeRRSIG && a.do:
		nsec := a.apartNSEC(o, set, 0)
		a.online(sectionAnswer, &nsec, o)
	default:
		a.addSOA(&a.zone.Negative, o)
		if a.do {
			nsec := a.apartNSEC(o, set, qtype)
			a.add(sectionAuthority, &nsec, o, none)
		}
	}
}

// apartNSEC makes the NSEC record of such a name, without the type that was asked for.
func (a *answer) apartNSEC(o owner, set *zones.RecordSet, without uint16) zones.RecordSet {
	types := append(a.scratch.types[:0], typeRRSIG, typeNSEC)
	if set != nil {
		types = append(types, set.Type)
	}
	return a.packNSEC(o, static.Name{}, slices.DeleteFunc(types, func(t uint16) bool { return t == without }))
}

// report answers from a name that is there for reports (RFC 9567, section 6.3). Only a report of which it is known who sends it is
// taken: over UDP, who has no good cookie is to come by TCP. The names on the way to reports exist, for resolvers that go down to
// them label by label (RFC 9156) would turn back at a denial.
func (a *answer) report(o owner) {
	a.wildcard = true // the name is the client's to choose
	reports := a.snapshot.Plan.Reports
	code, whole := reports.InfoCode(o.name)
	switch {
	case !whole:
		a.apart(o, nil)
		return
	case a.query.qtype != typeTXT:
	case !a.query.request.Stream && !a.out.Cookie.Good():
		a.authoritative, a.message.full = true, true
		return
	default:
		a.out.Reported, a.out.InfoCode = o.at == atQuestion, code // an alias of a report tells nothing
	}
	a.apart(o, &reports.Answer)
}
