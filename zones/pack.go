package zones

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones/static"
)

// maxNegativeTTL bounds how long a resolver keeps a denial in a zone that steers, in seconds.
const maxNegativeTTL = 60

// briefTTL is how long a denial is kept that only clients behind a fence are to get, while it lasts, in seconds.
const briefTTL = 5

// A ZoneData is a zone as it is answered from: its static records, and which of its names a pool steers.
type ZoneData struct {
	*static.Zone           // nil: configured, but not loaded
	Sign         Algorithm // of the keys that sign its answers; empty: they are not signed by us
	Negative     RecordSet // the SOA as it stands in negative answers (RFC 2308, section 3)
	steers       []steered // by the number of the steered name
}

// A steered is what a name that a pool steers has beside its static records.
type steered struct {
	owner    []byte // wire format, lower case
	pool     int
	seed     uint64    // of its name, for what depends on the client's prefix
	types    []uint16  // that the pool could ever answer with
	negative RecordSet // the SOA of a NODATA answer
	brief    RecordSet // the SOA of one that is not to be kept for long
}

// Any returns what a question for all types is answered by, at a name that has some and is no alias: HINFO (RFC 8482, section 4.2), but in a
// zone that came signed, whose signatures don't cover that, the first of the name's sets (section 4.1).
func (z *ZoneData) Any(n static.Name) RecordSet {
	if z.Presigned() {
		for set := range n.Sets {
			if _, signed := n.Covering(set.Type); signed {
				return set
			}
		}
	}
	return AnyAnswer
}

// prepare makes what is answered from, as far as pools don't matter.
func (z *Zone) prepare() error {
	if z.data != nil && z.data.Zone == z.Static && z.data.Sign == z.Sign {
		return nil
	}
	z.data = &ZoneData{Zone: z.Static, Sign: z.Sign}
	if z.Static == nil {
		apex, err := wireName(z.Apex)
		z.wire = string(apex)
		return err
	}
	z.wire = z.Static.Apex
	soa, ok := z.Static.Find([]byte(z.wire)).Name.Set(dns.TypeSOA)
	if !ok {
		return fmt.Errorf("has no SOA record")
	}
	limit := uint32(maxTTL)
	if len(z.Steer) > 0 {
		limit = maxNegativeTTL
	}
	z.data.Negative = negative(soa, limit, z.Static.Presigned())
	return nil
}

// with returns the zone's data with the pools behind its steered names.
func (z *Zone) with(pools map[string]*PoolPlan) (*ZoneData, error) {
	if len(z.Steer) == 0 || z.Static == nil {
		return z.data, nil
	}
	data := *z.data
	for _, steer := range z.Steer {
		owner, err := wireName(steer.Owner)
		if err != nil {
			return nil, err
		}
		pool := pools[steer.Pool]
		if pool == nil {
			return nil, fmt.Errorf("zone %s: %s: no pool %q", z.Apex, steer.Owner, steer.Pool)
		}
		data.steers = append(data.steers, steered{
			owner: owner, pool: pool.Number, seed: seedOf(string(owner)), types: pool.types(),
			negative: negative(data.Negative, pool.TTL(), false), brief: negative(data.Negative, briefTTL, false),
		})
	}
	return &data, nil
}

// negative returns the SOA for negative answers: both its TTL and its minimum bound how long they are kept. In a zone that
// came signed only the TTL may be lowered.
func negative(soa RecordSet, limit uint32, signed bool) RecordSet {
	at := len(soa.Bytes) - 4
	minimum := min(binary.BigEndian.Uint32(soa.Bytes[at:]), limit)
	lowered := soa.WithTTL(min(soa.TTL, minimum))
	if !signed {
		binary.BigEndian.PutUint32(lowered.Bytes[at:], minimum)
	}
	return lowered
}

// Steered reports whether a pool steers any name of the zone.
func (z *ZoneData) Steered() bool { return len(z.steers) > 0 }

// Pool returns the number of the pool that steers a name of the zone; -1 where none does.
func (z *ZoneData) Pool(n static.Name) int {
	pool, _ := z.Steering(n)
	return pool
}

// Steering returns the number of the pool that steers a name of the zone, -1 where none does, and the seed of the name for Client.Prefix.
func (z *ZoneData) Steering(n static.Name) (pool int, seed uint64) {
	if number := n.Steer(); number >= 0 {
		return z.steers[number].pool, z.steers[number].seed
	}
	return -1, 0
}

// SteeredNames calls yield with every name that a pool steers (wire format, lower case; not to be written) and the number of the pool.
func (z *ZoneData) SteeredNames(yield func(owner []byte, pool int) bool) {
	for i := range z.steers {
		if s := &z.steers[i]; !yield(s.owner, s.pool) {
			return
		}
	}
}

// NoData returns the SOA of a NODATA answer at a name.
func (z *ZoneData) NoData(n static.Name) *RecordSet {
	if number := n.Steer(); number >= 0 {
		return &z.steers[number].negative
	}
	return &z.Negative
}

// BriefNoData returns the SOA of a NODATA answer at a steered name that is not to be kept for long.
func (z *ZoneData) BriefNoData(n static.Name) *RecordSet { return &z.steers[n.Steer()].brief }

// Types appends every type that a name could have in any state of health, in no order. Those that the zone's keys add at the apex
// are not among them.
func (z *ZoneData) Types(dst []uint16, n static.Name) []uint16 {
	for set := range n.Sets {
		if last := len(dst) - 1; last < 0 || dst[last] != set.Type {
			dst = append(dst, set.Type)
		}
	}
	if number := n.Steer(); number >= 0 {
		dst = append(dst, z.steers[number].types...)
	}
	return dst
}

// Empty reports whether a name has nothing that could be answered.
func (z *ZoneData) Empty(n static.Name) bool { return n.Empty() && n.Steer() < 0 }

// wireName packs a name, in lower case.
func wireName(name string) ([]byte, error) {
	buffer := make([]byte, 256)
	n, err := dns.PackDomainName(dns.Fqdn(strings.ToLower(name)), buffer, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%q is not a domain name (labels have 1 to 63 bytes, all together at most 255)", name)
	}
	return slices.Clone(buffer[:n]), nil
}

// familyTypes are the types of address records, by family.
var familyTypes = [2]uint16{dns.TypeA, dns.TypeAAAA}
