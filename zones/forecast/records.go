package forecast

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/static"
)

// Records says how the static records of a zone differ. Signatures and denials of a zone that comes signed are left out, and so is
// a new serial.
type Records struct {
	Zone    string      `json:"zone"`
	Before  int         `json:"before"` // records there are
	After   int         `json:"after"`
	Added   int         `json:"added"` // record sets
	Removed int         `json:"removed"`
	Changed int         `json:"changed"`
	Lost    int         `json:"lost"` // records of sets that are removed, and as many as are fewer in those that are changed
	Sets    []RecordSet `json:"sets"` // ordered by name and type
}

// A RecordSet is one that differs.
type RecordSet struct {
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Operation Operation `json:"operation"`
	Before    *Data     `json:"before,omitempty"`
	After     *Data     `json:"after,omitempty"`

	rrtype uint16
}

// Data is what a record set says.
type Data struct {
	TTL     uint32   `json:"ttl"`
	Records []string `json:"records"` // as in a zone file, ordered
}

// records compares the static records of the zones of two worlds. Zones that are copied from others are not known here.
func records(before, after *zones.World) []Records {
	all := []Records{}
	if before == after {
		return all
	}
	for i, j := 0, 0; i < len(before.Zones) || j < len(after.Zones); {
		var was, is *zones.Zone
		switch {
		case j == len(after.Zones) || i < len(before.Zones) && before.Zones[i].Apex < after.Zones[j].Apex:
			was, i = &before.Zones[i], i+1
		case i == len(before.Zones) || after.Zones[j].Apex < before.Zones[i].Apex:
			is, j = &after.Zones[j], j+1
		default:
			was, is = &before.Zones[i], &after.Zones[j]
			i, j = i+1, j+1
		}
		if r := recordsOf(was, is); len(r.Sets) > 0 {
			all = append(all, r)
		}
	}
	return all
}

// recordsOf compares two zones, one of which may be nil: not there.
func recordsOf(was, is *zones.Zone) (r Records) {
	var before, after *static.Zone
	if was != nil {
		r.Zone, before = was.Apex, was.Static
	}
	if is != nil {
		r.Zone, after = is.Apex, is.Static
	}
	if was != nil && was.Copied || is != nil && is.Copied || was != nil && is != nil && was.FileDigest() == is.FileDigest() {
		return r
	}
	buffer := make([]byte, 256)
	each := func(z *static.Zone, do func(owner []byte, set static.RecordSet)) {
		if z == nil {
			return
		}
		for n := range z.All {
			owner := z.Owner(buffer[:0], n)
			for set := range n.Sets {
				if isOwn(set.Type) {
					do(owner, set)
				}
			}
		}
	}
	find := func(z *static.Zone, owner []byte, rrtype uint16) (set static.RecordSet, ok bool) {
		if z != nil {
			if n := z.At(owner); n.Exists() {
				return n.Set(rrtype)
			}
		}
		return set, false
	}
	each(before, func(owner []byte, was static.RecordSet) {
		r.Before += int(was.Count)
		is, ok := find(after, owner, was.Type)
		switch {
		case !ok:
			r.Removed++
			r.Lost += int(was.Count)
			r.add(owner, Removed, &was, nil)
		case !alike(was, is):
			r.Changed++
			r.Lost += max(0, int(was.Count)-int(is.Count))
			r.add(owner, Changed, &was, &is)
		}
	})
	each(after, func(owner []byte, is static.RecordSet) {
		r.After += int(is.Count)
		if _, ok := find(before, owner, is.Type); !ok {
			r.Added++
			r.add(owner, Added, nil, &is)
		}
	})
	slices.SortFunc(r.Sets, func(a, b RecordSet) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.rrtype, b.rrtype))
	})
	return r
}

// isOwn reports whether records of a type are written by people, not made of the others.
func isOwn(rrtype uint16) bool {
	return rrtype != dns.TypeRRSIG && rrtype != dns.TypeNSEC && rrtype != dns.TypeNSEC3
}

// alike reports whether two sets of one type say the same, in whatever order; a SOA's serial makes no difference.
func alike(a, b static.RecordSet) bool {
	if a.Type == dns.TypeSOA && a.Count == 1 && b.Count == 1 {
		a.Bytes, b.Bytes = withoutSerial(a.Bytes), withoutSerial(b.Bytes)
	}
	if a.TTL != b.TTL || a.Count != b.Count || bytes.Equal(a.Bytes, b.Bytes) {
		return a.TTL == b.TTL && a.Count == b.Count
	}
	return slices.Equal(dataOf(a), dataOf(b))
}

// withoutSerial is a SOA record with a serial of 0: that stands before the last four numbers.
func withoutSerial(soa []byte) []byte {
	soa = bytes.Clone(soa)
	binary.BigEndian.PutUint32(soa[len(soa)-20:], 0)
	return soa
}

func dataOf(set static.RecordSet) (data []string) {
	for rest := set.Bytes; len(rest) > 0; rest = rest[static.RecordSize(rest):] {
		data = append(data, string(rest[static.FixedSize:static.RecordSize(rest)]))
	}
	slices.Sort(data)
	return data
}

func (r *Records) add(owner []byte, operation Operation, was, is *static.RecordSet) {
	name, _, err := dns.UnpackDomainName(owner, 0)
	if err != nil {
		panic("forecast: a zone has an owner that is no name: " + err.Error())
	}
	set := RecordSet{Name: name, Operation: operation}
	for _, side := range []struct {
		set *static.RecordSet
		to  **Data
	}{{was, &set.Before}, {is, &set.After}} {
		if side.set != nil {
			set.rrtype, set.Type = side.set.Type, dns.Type(side.set.Type).String()
			*side.to = said(side.set, name)
		}
	}
	r.Sets = append(r.Sets, set)
}

func said(set *static.RecordSet, owner string) *Data {
	d := &Data{TTL: set.TTL, Records: []string{}}
	rrs, err := set.RRs(owner)
	if err != nil {
		return d // the zone has it as it came, and the library can't read it
	}
	for _, rr := range rrs {
		d.Records = append(d.Records, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(d.Records)
	return d
}
