package zones

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
)

// maxNegativeTTL bounds how long a resolver keeps a denial in a zone that steers, in seconds.
const maxNegativeTTL = 60

// packZone compiles the static part of a zone. pools gives the number of the pool behind each steered owner.
func packZone(z *Zone, pools map[string]*PoolPlan) (*ZoneData, error) {
	data := &ZoneData{Origin: z.Apex, Steers: len(z.Steer) > 0, names: make(map[string]*Name)}
	apex, err := wireName(z.Apex)
	if err != nil {
		return nil, err
	}
	data.Apex = string(apex)
	owners := make(map[string]map[uint16][]dns.RR)
	for _, rr := range z.Records {
		owner, err := wireName(rr.Header().Name)
		if err != nil {
			return nil, err
		}
		if owners[string(owner)] == nil {
			owners[string(owner)] = make(map[uint16][]dns.RR)
		}
		owners[string(owner)][rr.Header().Rrtype] = append(owners[string(owner)][rr.Header().Rrtype], rr)
	}
	if err := data.packNegative(owners[data.Apex][dns.TypeSOA]); err != nil {
		return nil, fmt.Errorf("zone %s: %w", z.Apex, err)
	}
	cuts := cutsOf(data.Apex, owners)
	for _, owner := range slices.Sorted(maps.Keys(owners)) {
		if _, below := enclosing(owner, cuts); below && !cuts[owner] {
			continue // glue, or occluded (RFC 2136, section 7.18)
		}
		if err := data.packName(owner, owners[owner], cuts[owner], owners); err != nil {
			return nil, fmt.Errorf("zone %s: %w", z.Apex, err)
		}
	}
	for _, steer := range z.Steer {
		owner, err := wireName(steer.Owner)
		if err != nil {
			return nil, err
		}
		if err := data.steer(string(owner), pools[steer.Pool]); err != nil {
			return nil, fmt.Errorf("zone %s: %w", z.Apex, err)
		}
	}
	data.Digest = data.sum()
	return data, nil
}

// wireName packs a name, in lower case.
func wireName(name string) ([]byte, error) {
	buffer := make([]byte, 256)
	n, err := dns.PackDomainName(dns.Fqdn(strings.ToLower(name)), buffer, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	return buffer[:n], nil
}

// parentOf returns a wire name without its first label.
func parentOf(name string) string { return name[1+int(name[0]):] }

// within reports whether a wire name is an ancestor's or lies below it.
func within(name, ancestor string) bool {
	for len(name) > len(ancestor) {
		name = parentOf(name)
	}
	return name == ancestor
}

// enclosing returns the highest cut at or above a name.
func enclosing(name string, cuts map[string]bool) (cut string, ok bool) {
	for ; name[0] != 0; name = parentOf(name) {
		if cuts[name] {
			cut, ok = name, true
		}
	}
	return cut, ok
}

// cutsOf returns the owners at which other zones begin.
func cutsOf(apex string, owners map[string]map[uint16][]dns.RR) map[string]bool {
	cuts := make(map[string]bool)
	for owner, sets := range owners {
		if owner != apex && sets[dns.TypeNS] != nil {
			cuts[owner] = true
		}
	}
	for cut := range maps.Clone(cuts) {
		if highest, _ := enclosing(cut, cuts); highest != cut {
			delete(cuts, cut)
		}
	}
	return cuts
}

func (z *ZoneData) packNegative(soas []dns.RR) error {
	if len(soas) != 1 {
		return fmt.Errorf("%d SOA records, want 1", len(soas))
	}
	soa := soas[0].(*dns.SOA)
	z.Serial = soa.Serial
	var err error
	z.Negative, err = negative(soa, z.negativeTTL(soa.Minttl))
	return err
}

func (z *ZoneData) negativeTTL(ttl uint32) uint32 {
	if z.Steers {
		return min(ttl, maxNegativeTTL)
	}
	return ttl
}

// negative returns the SOA for negative answers: both its TTL and its minimum bound how long they are kept.
func negative(soa *dns.SOA, ttl uint32) (RecordSet, error) {
	lowered := dns.Copy(soa).(*dns.SOA)
	lowered.Minttl = min(soa.Minttl, ttl)
	lowered.Hdr.Ttl = min(soa.Hdr.Ttl, lowered.Minttl)
	return packSet([]dns.RR{lowered})
}

func (z *ZoneData) packName(owner string, sets map[uint16][]dns.RR, cut bool, owners map[string]map[uint16][]dns.RR) error {
	name := z.ensure(owner)
	for _, rrtype := range slices.Sorted(maps.Keys(sets)) {
		set, err := packSet(sets[rrtype])
		if err != nil {
			return err
		}
		name.Sets = append(name.Sets, set)
		name.Types = append(name.Types, rrtype)
		if rrtype == dns.TypeCNAME {
			if name.Alias, err = wireName(sets[rrtype][0].(*dns.CNAME).Target); err != nil {
				return err
			}
		}
	}
	if !cut {
		return nil
	}
	name.Cut = &Delegation{NS: *name.Set(dns.TypeNS), DS: name.Set(dns.TypeDS)}
	for _, rr := range sets[dns.TypeNS] {
		target, err := wireName(rr.(*dns.NS).Ns)
		if err != nil {
			return err
		}
		if !within(string(target), owner) {
			continue
		}
		for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, glue := range owners[string(target)][rrtype] {
				buffer := make([]byte, dns.Len(glue))
				n, err := dns.PackRR(glue, buffer, 0, nil, false)
				if err != nil {
					return err
				}
				name.Cut.Glue = append(name.Cut.Glue, buffer[:n]...)
				name.Cut.GlueCount++
			}
		}
	}
	return nil
}

// ensure returns the name at an owner and makes it, and all names between it and the apex, if they are not there.
func (z *ZoneData) ensure(owner string) *Name {
	if name := z.names[owner]; name != nil {
		return name
	}
	name := &Name{Pool: -1, Negative: &z.Negative}
	z.names[owner] = name
	if owner != z.Apex {
		z.ensure(parentOf(owner))
	}
	return name
}

func (z *ZoneData) steer(owner string, pool *PoolPlan) error {
	name := z.ensure(owner)
	name.Pool = pool.Number
	for family, rrtype := range familyTypes {
		if pool.hasFamily(family) {
			name.Types = append(name.Types, rrtype)
		}
	}
	slices.Sort(name.Types)
	soa, err := unpackSOA(&z.Negative, z.Origin)
	if err != nil {
		return err
	}
	lowered, err := negative(soa, min(soa.Minttl, pool.TTL()))
	if err != nil {
		return err
	}
	name.Negative = &lowered
	return nil
}

// familyTypes are the types of address records, by family.
var familyTypes = [2]uint16{dns.TypeA, dns.TypeAAAA}

// packSet packs the records of one RRset. Its TTL is the least of theirs (RFC 2181, section 5.2).
func packSet(rrs []dns.RR) (RecordSet, error) {
	set := RecordSet{Type: rrs[0].Header().Rrtype, Count: uint16(len(rrs)), TTL: rrs[0].Header().Ttl}
	for _, rr := range rrs {
		set.TTL = min(set.TTL, rr.Header().Ttl)
	}
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		rr.Header().Name, rr.Header().Ttl = ".", set.TTL
		buffer := make([]byte, dns.Len(rr)+1)
		n, err := dns.PackRR(rr, buffer, 0, nil, false)
		if err != nil {
			return RecordSet{}, fmt.Errorf("record %v: %w", rrs[0], err)
		}
		set.Owners = append(set.Owners, uint16(len(set.Bytes)))
		set.Bytes = append(set.Bytes, 0xC0, 12)
		set.Bytes = append(set.Bytes, buffer[1:n]...) // after the root
	}
	if len(set.Bytes) > dns.MaxMsgSize-1024 {
		return RecordSet{}, fmt.Errorf("%d %s records of %s take %d bytes, more than a message holds",
			len(rrs), dns.TypeToString[set.Type], rrs[0].Header().Name, len(set.Bytes))
	}
	return set, nil
}

// Records returns the records of the set, for people and for tests.
func (s *RecordSet) Records(owner string) ([]dns.RR, error) {
	message := make([]byte, 12, 12+len(s.Bytes)+256)
	binary.BigEndian.PutUint16(message[4:], 1)
	binary.BigEndian.PutUint16(message[6:], s.Count)
	name := make([]byte, 256)
	n, err := dns.PackDomainName(owner, name, 0, nil, false)
	if err != nil {
		return nil, err
	}
	message = append(append(message, name[:n]...), 0, 1, 0, 1)
	message = append(message, s.Bytes...)
	var m dns.Msg
	if err := m.Unpack(message); err != nil {
		return nil, err
	}
	return m.Answer, nil
}

func unpackSOA(s *RecordSet, owner string) (*dns.SOA, error) {
	rrs, err := s.Records(owner)
	if err != nil {
		return nil, err
	}
	return rrs[0].(*dns.SOA), nil
}

func (z *ZoneData) sum() health.Hash64 {
	h := fnv.New64a()
	for _, owner := range slices.Sorted(maps.Keys(z.names)) {
		name := z.names[owner]
		fmt.Fprintf(h, "%q %d ", owner, name.Pool)
		for i := range name.Sets {
			h.Write(name.Sets[i].Bytes)
		}
		h.Write(name.Negative.Bytes)
	}
	return health.Hash64(h.Sum64())
}
