package zones

import (
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones/static"
)

// GivenLife is how long the signatures of a zone that goes out are good for at least, from when it is replaced by the next one. A
// secondary that keeps a copy for longer without a word from us answers with signatures that have expired.
const GivenLife = 5 * 24 * time.Hour

// maxDefaults bounds the records of a default answer.
const maxDefaults = 8

// Defaults reports whether the zone goes out as its default answers.
func (z *Zone) Defaults() bool { return z.Transfer != nil && z.Transfer.Defaults && len(z.Steer) > 0 }

// FileDigest tells the files apart that the zone's records may be from.
func (z *Zone) FileDigest() uint64 { return uint64(z.digest) }

// contents says what is in the zones that go out as their default answers: a digest of all that these follow from, but for how the
// controls start, which the definitions say themselves.
func (w *World) contents() (contents []control.Content) {
	pools := make(map[string]*Pool, len(w.Pools))
	for i := range w.Pools {
		pools[w.Pools[i].Name] = &w.Pools[i]
	}
	for i := range w.Zones {
		z := &w.Zones[i]
		if !z.Defaults() || z.Static == nil {
			continue
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%v ", z.digest)
		for _, s := range z.Steer {
			fmt.Fprintln(h, s.Owner)
			writeContents(h, pools[s.Pool], pools)
		}
		contents = append(contents, control.Content{Zone: z.Apex, Digest: h.Sum64()})
	}
	return contents
}

// writeContents writes down what the default answers from a pool follow from.
func writeContents(w io.Writer, p *Pool, pools map[string]*Pool) {
	fmt.Fprintln(w, p.Policy, p.TTL, p.WhenAllDown, p.LastResort, p.Answers, p.HTTPS)
	for _, m := range p.Members {
		fmt.Fprintln(w, m.Region, m.Address, m.Target, m.Weight, m.Control, m.Enabled, m.Default)
		if m.Endpoint == "" {
			writeContents(w, pools[m.Pool], pools)
		}
	}
}

// Given yields every set of a zone as other nameservers are given it, in no order, with its owner in wire format and lower case, which
// is good until the next. Glue is among them. Names that a pool steers have its default answers:
//
//	every member is                     up
//	every routing control is            as it starts
//	the client is                       in no known place
//	of the members that are left, each family has the one with the greatest share of the answers; of several, all of them, at most 8
//
// So they depend on the world alone, and are the same on every node.
func (p *Plan) Given(z *ZoneData) iter.Seq2[[]byte, RecordSet] {
	off := make(map[control.ControlID]bool)
	for _, panel := range p.World.Definitions.Panels {
		for _, c := range panel.Controls {
			off[c.Name] = c.InitialOff
		}
	}
	return func(yield func([]byte, RecordSet) bool) {
		var buffer [256]byte
		for n := range z.All {
			owner := z.Owner(buffer[:0], n)
			for set := range n.Sets {
				if !yield(owner, set) {
					return
				}
			}
			pool := z.Pool(n)
			if pool < 0 {
				continue
			}
			for set := range p.Pools[pool].defaults(off) {
				if !yield(owner, set) {
					return
				}
			}
		}
	}
}

// defaults yields the default answers of a pool.
func (p *PoolPlan) defaults(off map[control.ControlID]bool) iter.Seq[RecordSet] {
	group := &p.Groups[0]
	if p.Partition != nil {
		group = &p.Groups[p.Partition.Other()]
	}
	e := evaluation{plan: p, group: group, standings: make([]standing, len(p.Leaves))} // all of them up
	for i := range e.standings {
		leaf := &p.Leaves[i]
		isOff := func(c control.ControlID) bool { return off[c] }
		e.standings[i] = whole(leaf.enabled && !slices.ContainsFunc(leaf.controls, isOff))
	}
	return func(yield func(RecordSet) bool) {
		var answers GroupAnswers
		for family, rrtype := range p.Types {
			if rrtype == 0 {
				continue
			}
			at := e
			at.family = family
			answers.Families[family] = at.choose()
			if set, ok := answers.Families[family].likeliest(p.Pool.Kind); ok && !yield(set) {
				return
			}
		}
		p.addHTTPS(&answers)
		if set, ok := answers.HTTPS.likeliest(Aliases); ok {
			yield(set)
		}
	}
}

// likeliest returns the records of the option with the greatest share of the answers; of several such, of all of them, but for
// aliases, of which a name has one.
func (c *Choice) likeliest(kind Kind) (set RecordSet, ok bool) {
	var most uint32
	for _, o := range c.Options {
		most = max(most, o.Weight)
	}
	for _, o := range c.Options {
		if o.Weight < most {
			continue
		}
		set.Type, set.TTL = o.Set.Type, o.Set.TTL
		for rest := o.Set.Bytes; len(rest) > 0 && set.Count < maxDefaults; rest = rest[static.RecordSize(rest):] {
			if record := rest[:static.RecordSize(rest)]; !holdsRecord(set.Bytes, record) {
				set.Bytes, set.Count = append(set.Bytes, record...), set.Count+1
			}
		}
		if kind == Aliases {
			break
		}
	}
	return set, set.Count > 0
}

// WithSerials returns the plan with other serials in the SOA records of some zones, by their apexes in wire format. All else is
// shared, the digest too: only nameservers know of these serials, and not all at the same moment. Zones that are not there are
// passed over.
func (p *Plan) WithSerials(serials map[string]uint32) *Plan {
	if len(serials) == 0 {
		return p
	}
	next := *p
	next.zones = maps.Clone(p.zones)
	for apex, serial := range serials {
		z := p.zones[apex]
		if z == nil || z.Zone == nil || z.Serial == serial {
			continue
		}
		next.zones[apex] = z.withSerial(serial)
	}
	return &next
}

func (z *ZoneData) withSerial(serial uint32) *ZoneData {
	c := *z
	c.Zone = z.Zone.WithSerial(serial)
	c.Negative = static.WithSerial(z.Negative, serial)
	c.steers = append([]steered(nil), z.steers...)
	for i := range c.steers {
		s := &c.steers[i]
		s.negative, s.brief = static.WithSerial(s.negative, serial), static.WithSerial(s.brief, serial)
	}
	return &c
}
