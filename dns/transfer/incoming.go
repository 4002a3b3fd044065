package transfer

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// An incoming transfer is read record by record, whatever messages they come in (RFC 5936, section 2.2; RFC 1995,
// section 4). It has one of three shapes, told by the first two records:
//
//	SOA 9                                    the copy is as new as the primary's version, or newer
//	SOA 9, SOA 7, -…, SOA 8, +…, …, SOA 9    differences, from the serial of the copy on
//	SOA 9, …, SOA 9                          the whole zone
type incoming struct {
	apex   string
	serial uint32             // of the copy, if there is one
	ixfr   bool               // differences from it were asked for
	record func(dns.RR) error // takes each record of a whole zone, the SOA record first
	limits Limits

	soa         *dns.SOA // of the primary's version
	differences []Difference
	adding      bool // to the last difference
	whole       bool
	done        bool
	records     int
	bytes       int
}

func (in *incoming) add(rr dns.RR) error {
	if in.done {
		return errors.New("records after the last SOA record")
	}
	if err := in.check(rr); err != nil {
		return err
	}
	soa, isSOA := rr.(*dns.SOA)
	switch {
	case in.soa == nil && !isSOA:
		return errors.New("the first record is no SOA record")
	case in.soa == nil:
		in.soa = soa
		in.done = in.ixfr && !newer(soa.Serial, in.serial)
		return nil
	case in.whole:
		return in.addWhole(rr)
	case len(in.differences) > 0:
		return in.addDifference(rr)
	case in.ixfr && isSOA && soa.Serial == in.serial:
		in.differences = []Difference{{From: soa}}
		return nil
	}
	in.whole = true
	if err := in.record(in.soa); err != nil {
		return err
	}
	return in.addWhole(rr)
}

func (in *incoming) addWhole(rr dns.RR) error {
	soa, isSOA := rr.(*dns.SOA)
	if !isSOA {
		return in.record(rr)
	}
	if soa.Serial != in.soa.Serial {
		return fmt.Errorf("SOA records of serials %d and %d in one zone", in.soa.Serial, soa.Serial)
	}
	in.done = true
	return nil
}

func (in *incoming) addDifference(rr dns.RR) error {
	last := &in.differences[len(in.differences)-1]
	soa, isSOA := rr.(*dns.SOA)
	switch {
	case !isSOA && in.adding:
		last.Added = append(last.Added, rr)
	case !isSOA:
		last.Deleted = append(last.Deleted, rr)
	case !in.adding && !newer(soa.Serial, last.From.Serial):
		return fmt.Errorf("a difference from serial %d to %d", last.From.Serial, soa.Serial)
	case !in.adding:
		last.To, in.adding = soa, true
	case soa.Serial != last.To.Serial:
		return fmt.Errorf("a difference from serial %d follows one to %d", soa.Serial, last.To.Serial)
	case soa.Serial == in.soa.Serial:
		in.done = true
	default:
		in.differences, in.adding = append(in.differences, Difference{From: soa}), false
	}
	return nil
}

// check wants a record that may stand in the zone, and no more of them than are allowed.
func (in *incoming) check(rr dns.RR) error {
	if len(in.differences) > 0 { // these are kept in memory; a whole zone is counted where it is written
		in.records++
		in.bytes += dns.Len(rr)
		if in.records > in.limits.Records || in.bytes > in.limits.Bytes/4 {
			return fmt.Errorf("differences of more than %d records or %d bytes", in.limits.Records, in.limits.Bytes/4)
		}
	}
	return checkRecord(in.apex, rr)
}

func checkRecord(apex string, rr dns.RR) error {
	h := rr.Header()
	_, unknown := rr.(*dns.RFC3597)
	switch {
	case h.Class != dns.ClassINET:
		return fmt.Errorf("%s %s: class %s", h.Name, dns.Type(h.Rrtype), dns.Class(h.Class))
	case !dns.IsSubDomain(apex, h.Name):
		return fmt.Errorf("%s %s: is not in the zone", h.Name, dns.Type(h.Rrtype))
	case h.Rrtype == dns.TypeSOA && dns.CanonicalName(h.Name) != apex:
		return fmt.Errorf("%s SOA: stands only at the apex", h.Name)
	case h.Rrtype == 0 || h.Rrtype == dns.TypeOPT || h.Rrtype == dns.TypeNXNAME || h.Rrtype >= 128 && h.Rrtype <= 255:
		return fmt.Errorf("%s %s: a type that no zone has", h.Name, dns.Type(h.Rrtype)) // RFC 6895, section 3.1
	case h.Rdlength == 0 && !unknown && h.Rrtype != dns.TypeNULL && h.Rrtype != dns.TypeAPL, cutOff(rr):
		return fmt.Errorf("%s %s: has no data", h.Name, dns.Type(h.Rrtype))
	}
	return nil
}

// cutOff reports whether a record ends before its last name: miekg/dns lets that pass at the end of a message.
func cutOff(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.NS:
		return rr.Ns == ""
	case *dns.CNAME:
		return rr.Target == ""
	case *dns.DNAME:
		return rr.Target == ""
	case *dns.PTR:
		return rr.Ptr == ""
	case *dns.MX:
		return rr.Mx == ""
	case *dns.SRV:
		return rr.Target == ""
	case *dns.DS:
		return rr.Digest == ""
	case *dns.TXT:
		return len(rr.Txt) == 0
	case *dns.SOA:
		return rr.Ns == "" || rr.Mbox == ""
	}
	return false
}
