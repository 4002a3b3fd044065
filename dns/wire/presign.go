package wire

import (
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// Presign asks for every signature that an answer from a name that exists may need, in any state of health and for any client, in no
// order. more is asked between names whether to go on.
func Presign(plan *zones.Plan, zone *zones.ZoneData, s Signing, more func() bool) {
	a := answer{scratch: new(Scratch), out: new(Outcome), zone: zone, signing: s, do: true}
	var buffer [maxName]byte
	for n := range zone.All {
		if !n.Answers() {
			continue // glue
		}
		if !more() {
			return
		}
		o := owner{name: zone.Owner(buffer[:0], n)}
		a.presignName(plan, o, static.Match{Name: n})
	}
}

func (a *answer) presignName(plan *zones.Plan, o owner, m static.Match) {
	sign := func(set zones.RecordSet) { a.signing.Signatures(o.name, set) }
	if m.Name.Cut() {
		if ds, ok := m.Name.Set(typeDS); ok {
			sign(ds)
		} else {
			sign(a.unsigned(o, m.Name))
		}
		return
	}
	for set := range m.Name.Sets {
		sign(set)
	}
	if !a.zone.Empty(m.Name) {
		sign(zones.AnyAnswer)
	}
	sign(a.nsec(o, m, 0, 0))
	sign(a.nsec(o, m, 0, typeCNAME)) // the same again but at an alias
	apex := owner{name: o.name[len(o.name)-len(a.zone.Apex):]}
	a.signing.Signatures(apex.name, *a.zone.NoData(m.Name))
	if len(o.name) == len(apex.name) {
		a.signing.Signatures(apex.name, a.zone.Negative)
		for _, set := range a.signing.Published() {
			sign(set)
		}
	}
	pool := a.zone.Pool(m.Name)
	if pool < 0 {
		return
	}
	for _, rrtype := range plan.Pools[pool].Types {
		if rrtype != 0 {
			sign(a.nsec(o, m, rrtype, typeCNAME))
		}
	}
	for set := range plan.Pools[pool].EverySet {
		sign(*set)
	}
}

// PresignComposed asks for the signatures over the sets with several members that names of a zone are answered now, as far as the pools
// have changed since an earlier snapshot of the same plan (nil: all).
func PresignComposed(now, before *zones.Snapshot, zone *zones.ZoneData, s Signing) {
	for owner, pool := range zone.SteeredNames {
		if before != nil && before.Pools[pool] == now.Pools[pool] {
			continue
		}
		for set := range now.Pools[pool].Composed {
			s.Signatures(owner, *set)
		}
	}
}
