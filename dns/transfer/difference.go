package transfer

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// A Difference is what makes one version of a zone of another: the records that went and came, without SOA records.
type Difference struct {
	From, To       *dns.SOA
	Deleted, Added []dns.RR
}

var errTooLarge = errors.New("larger than the zone, or than the limit")

// Diff compares two versions of a zone. A record whose TTL changed went and came. A difference of more than so many
// bytes, or as large as the new version, is an error: then the zone itself is the better answer. It keeps some 40 bytes of
// memory for each record while it works.
func Diff(old, new Zone, most int) (*Difference, error) {
	d := &Difference{From: soaOf(old), To: soaOf(new)}
	if d.From == nil || d.To == nil {
		return nil, errors.New("a version has no SOA record")
	}
	gone := map[recordKey]struct{}{}
	err := eachKey(old, func(k recordKey, _ dns.RR, _ int) bool {
		gone[k] = struct{}{}
		return true
	})
	if err != nil {
		return nil, err
	}
	size, whole := 0, 0
	err = eachKey(new, func(k recordKey, rr dns.RR, n int) bool {
		whole += n
		if _, stays := gone[k]; stays {
			delete(gone, k)
		} else if size += n; size <= most {
			d.Added = append(d.Added, rr)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, errTooLarge
	}
	err = eachKey(old, func(k recordKey, rr dns.RR, n int) bool {
		if _, ok := gone[k]; ok {
			delete(gone, k) // a record that stands there twice went once
			size += n
			d.Deleted = append(d.Deleted, rr)
		}
		return size <= most
	})
	if err == nil && (size > most || size >= whole) {
		err = errTooLarge
	}
	return d, err
}

// A recordKey stands for a record: owner, type, TTL and data, bit for bit.
type recordKey [16]byte

// eachKey yields the records of a zone but for the SOA record, with their packed sizes.
func eachKey(z Zone, yield func(k recordKey, rr dns.RR, size int) bool) error {
	var err error
	buffer := make([]byte, dns.MaxMsgSize)
	z.Records(func(rr dns.RR) bool {
		if rr.Header().Rrtype == dns.TypeSOA {
			return true
		}
		var k recordKey
		var n int
		k, n, err = keyOf(rr, buffer)
		return err == nil && yield(k, rr, n)
	})
	return err
}

func keyOf(rr dns.RR, buffer []byte) (recordKey, int, error) {
	n, err := dns.PackRR(rr, buffer, 0, nil, false)
	if err != nil {
		return recordKey{}, 0, fmt.Errorf("%s %s: %w", rr.Header().Name, dns.Type(rr.Header().Rrtype), err)
	}
	sum := sha256.Sum256(buffer[:n])
	return recordKey(sum[:16]), n, nil
}

// records yields a difference as IXFR sends it (RFC 1995, section 4).
func (d *Difference) records(yield func(dns.RR) bool) {
	for _, part := range [][]dns.RR{{d.From}, d.Deleted, {d.To}, d.Added} {
		for _, rr := range part {
			if !yield(rr) {
				return
			}
		}
	}
}

// An entry is a difference as a journal keeps it: its records packed one after another.
type entry struct {
	from, to uint32
	packed   []byte
}

func (d *Difference) entry() (entry, error) {
	e := entry{from: d.From.Serial, to: d.To.Serial}
	buffer := make([]byte, dns.MaxMsgSize)
	var err error
	d.records(func(rr dns.RR) bool {
		var n int
		n, err = dns.PackRR(rr, buffer, 0, nil, false)
		e.packed = append(e.packed, buffer[:n]...)
		return err == nil
	})
	return e, err
}

// parseEntries reads the entries of a journal.
func parseEntries(packed []byte) ([]entry, error) {
	var entries []entry
	start, soas := 0, 0
	for off := 0; off < len(packed); {
		rr, next, err := dns.UnpackRR(packed, off)
		if err != nil {
			return nil, err
		}
		if next == off {
			return nil, errors.New("a record of no length")
		}
		soa, isSOA := rr.(*dns.SOA)
		switch {
		case isSOA && soas%2 == 0: // begins the next
			if soas > 0 {
				entries[len(entries)-1].packed = packed[start:off]
			}
			start = off
			entries = append(entries, entry{from: soa.Serial})
			soas++
		case isSOA:
			entries[len(entries)-1].to = soa.Serial
			soas++
		case soas == 0:
			return nil, errors.New("no SOA record at the start")
		}
		off = next
	}
	if soas%2 != 0 {
		return nil, errors.New("the last difference is not whole")
	}
	if len(entries) > 0 {
		entries[len(entries)-1].packed = packed[start:]
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].from != entries[i-1].to {
			return nil, fmt.Errorf("serial %d follows %d", entries[i].from, entries[i-1].to)
		}
	}
	return entries, nil
}

// eachDifference yields the records of entries, which were packed here.
func eachDifference(entries []entry, yield func(dns.RR) bool) {
	for _, e := range entries {
		for off := 0; off < len(e.packed); {
			rr, next, err := dns.UnpackRR(e.packed, off)
			if err != nil {
				panic(fmt.Sprintf("a journal holds %x: %v", e.packed[off:], err))
			}
			if !yield(rr) {
				return
			}
			off = next
		}
	}
}
