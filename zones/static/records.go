package static

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// RRs returns the records of the set as the DNS library has them.
func (s RecordSet) RRs(owner string) ([]dns.RR, error) {
	name := make([]byte, 256)
	n, err := dns.PackDomainName(owner, name, 0, nil, false)
	if err != nil {
		return nil, err
	}
	var rrs []dns.RR
	for rest := s.Bytes; len(rest) > 0; rest = rest[RecordSize(rest):] {
		rr, err := unpack(name[:n], s.Type, s.TTL, rest[FixedSize:RecordSize(rest)])
		if err != nil {
			return nil, err
		}
		rrs = append(rrs, rr)
	}
	return rrs, nil
}

// Records calls yield with all records of the zone, the SOA first. Those that the DNS library can't read are left out.
func (z *Zone) Records(yield func(dns.RR) bool) {
	emit := func(owner string, set RecordSet) bool {
		rrs, _ := set.RRs(owner)
		for _, rr := range rrs {
			if !yield(rr) {
				return false
			}
		}
		return true
	}
	soa, ok := Name{z.lookup(nil)}.Set(dns.TypeSOA)
	if ok && !emit(z.Origin, soa) {
		return
	}
	var buffer [256]byte
	for n := range z.All {
		owner := text(z.Owner(buffer[:0], n))
		for set := range n.Sets {
			if set.Type != dns.TypeSOA && !emit(owner, set) {
				return
			}
		}
	}
}

// Line returns where the first record of a set stands in the file that the zone was read from.
func (n Name) Line(rrtype uint16) int { return n.node.line(rrtype, 0) }

// SetOf packs records of one type into a set. Its TTL is the least of theirs (RFC 2181, section 5.2).
func SetOf(rrs ...dns.RR) (RecordSet, error) {
	set := RecordSet{Type: rrs[0].Header().Rrtype, Count: uint16(len(rrs)), TTL: rrs[0].Header().Ttl}
	for _, rr := range rrs {
		set.TTL = min(set.TTL, rr.Header().Ttl)
	}
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		rr.Header().Name = "."
		buffer := make([]byte, dns.Len(rr)+1)
		n, err := dns.PackRR(rr, buffer, 0, nil, false)
		if err != nil {
			return RecordSet{}, err
		}
		const rootFixed = 11 // the bytes before the data of a record at the root
		set.Bytes = AppendRecord(set.Bytes, set.Type, set.TTL, buffer[rootFixed:n])
	}
	return set, nil
}

// Packed returns the set that some packed records of one type are.
func Packed(records []byte) RecordSet {
	set := RecordSet{Type: binary.BigEndian.Uint16(records[2:]), TTL: binary.BigEndian.Uint32(records[6:]), Bytes: records}
	for rest := records; len(rest) > 0; rest = rest[RecordSize(rest):] {
		set.Count++
	}
	return set
}

// WithTTL returns the set with another TTL.
func (s RecordSet) WithTTL(ttl uint32) RecordSet {
	c := s
	c.TTL, c.Bytes = ttl, append([]byte(nil), s.Bytes...)
	for rest := c.Bytes; len(rest) > 0; rest = rest[RecordSize(rest):] {
		binary.BigEndian.PutUint32(rest[6:], ttl)
	}
	return c
}

// WithSerial returns the zone with another serial in its SOA record. All but the piece that this stands in is shared. The zone is
// none that came signed.
func (z *Zone) WithSerial(serial uint32) *Zone {
	at, _ := z.search(nil) // a zone has its apex
	c := *z
	c.Serial = serial
	chunk := at >> (chunkBits - 2)
	c.chunks = slices.Clone(z.chunks)
	c.chunks[chunk] = bytes.Clone(z.chunks[chunk])
	if soa, ok := (Name{c.nodeAt(at)}).Set(dns.TypeSOA); ok {
		putSerial(soa.Bytes, serial)
	}
	return &c
}

// WithSerial returns an SOA record with another serial.
func WithSerial(soa RecordSet, serial uint32) RecordSet {
	soa.Bytes = bytes.Clone(soa.Bytes)
	putSerial(soa.Bytes, serial)
	return soa
}

// putSerial changes a packed SOA record, which ends with five numbers of which the serial is the first.
func putSerial(record []byte, serial uint32) {
	binary.BigEndian.PutUint32(record[len(record)-5*4:], serial)
}
