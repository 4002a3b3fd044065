package outgoing

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/dnssec"
	"github.com/meridian-gslb/meridian/zones/static"
)

const (
	typeSOA   = dns.TypeSOA
	typeRRSIG = dns.TypeRRSIG
	typeNSEC  = dns.TypeNSEC
)

// A Version is one version of a zone as it goes out. It never changes, so any number of goroutines may read it.
//
// It is a few large pieces of bytes, a set after the other in the order that they were signed in: the length of the owner, or 0 for that of
// the set before; the owner; the length of the records, 4 bytes; the records in answer form.
type Version struct {
	apex   string
	serial uint32
	file   uint32 // serial of the zone file
	digest uint64 // of the zone file
	keys   []byte // public ones that signed it
	chunks [][]byte
	owner  []byte // of the last set, while it is made
}

const chunkSize = 1 << 20

// Apex returns the zone's name in canonical form.
func (v *Version) Apex() string { return v.apex }

// Serial returns the serial of the SOA record.
func (v *Version) Serial() uint32 { return v.serial }

func (v *Version) add(set dnssec.Set) {
	last := len(v.chunks) - 1
	size := 1 + len(set.Owner) + 4 + len(set.Records)
	if last < 0 || len(v.chunks[last])+size > cap(v.chunks[last]) {
		room := chunkSize
		if last < 0 {
			room = 4 << 10 // most zones are small
		}
		v.chunks, v.owner = append(v.chunks, make([]byte, 0, max(room, size))), nil
		last++
	}
	c := v.chunks[last]
	if bytes.Equal(set.Owner, v.owner) {
		c = append(c, 0)
	} else {
		c = append(append(c, byte(len(set.Owner))), set.Owner...)
		v.owner = c[len(c)-len(set.Owner):]
	}
	c = binary.BigEndian.AppendUint32(c, uint32(len(set.Records)))
	v.chunks[last] = append(c, set.Records...)
}

// sets calls yield with every set, in the order that they were added.
func (v *Version) sets(yield func(dnssec.Set) bool) {
	for r := (reader{version: v}); r.next(); {
		if !yield(r.set) {
			return
		}
	}
}

// A reader stands at a set of a version.
type reader struct {
	version *Version
	chunk   int
	rest    []byte
	set     dnssec.Set
}

// next goes to the next set, at first to the first one; false behind the last.
func (r *reader) next() bool {
	for len(r.rest) == 0 {
		if r.chunk == len(r.version.chunks) {
			return false
		}
		r.rest = r.version.chunks[r.chunk]
		r.chunk++
	}
	length, b := int(r.rest[0]), r.rest[1:]
	if length > 0 {
		r.set.Owner, b = b[:length], b[length:]
	}
	size := binary.BigEndian.Uint32(b)
	r.set.Records, r.rest = b[4:4+size], b[4+size:]
	return true
}

// rrtype returns the type of the set that the reader stands at.
func rrtype(set dnssec.Set) uint16 { return binary.BigEndian.Uint16(set.Records[2:]) }

// rank orders the types of a name as they are signed: NSEC comes last.
func rank(set dnssec.Set) int {
	if t := rrtype(set); t != typeNSEC {
		return int(t)
	}
	return 1 << 16
}

// known returns a function that knows the signatures of the version over sets, as long as it is asked in the order of the zone.
func (v *Version) known() func(dnssec.Set) []byte {
	r := reader{version: v}
	more := r.next()
	return func(set dnssec.Set) []byte {
		for ; more; more = r.next() {
			if rrtype(r.set) == typeRRSIG {
				continue
			}
			switch order := cmp.Or(dnssec.CompareNames(r.set.Owner, set.Owner), cmp.Compare(rank(r.set), rank(set))); {
			case order < 0:
				continue
			case order > 0 || !bytes.Equal(r.set.Records, set.Records):
				return nil
			}
			if more = r.next(); more && rrtype(r.set) == typeRRSIG {
				return r.set.Records
			}
			return nil
		}
		return nil
	}
}

// Records yields every record once, the SOA record first, until yield returns false. What it yields is the caller's.
func (v *Version) Records(yield func(dns.RR) bool) {
	emit := func(set dnssec.Set) bool {
		rrs, _ := static.Packed(set.Records).RRs(dnssec.TextName(set.Owner)) // what the library can't read is left out, as of any zone
		for _, rr := range rrs {
			if !yield(rr) {
				return false
			}
		}
		return true
	}
	for set := range v.sets {
		if rrtype(set) == typeSOA {
			if !emit(set) {
				return
			}
			break
		}
	}
	for set := range v.sets {
		if rrtype(set) != typeSOA && !emit(set) {
			return
		}
	}
}
