package demand

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/meridian-gslb/meridian/zones"
)

// A Report is what one node tells all others.
type Report struct {
	Epoch    uint64       // in which it is made
	Decision bool         // it says who is to keep how much; else what was counted in the epoch before
	Ready    bool         // its node may be the reference
	Counts   []Count      // ordered by pool and group
	Spill    []zones.Kept // of a decision, ordered by pool and member
}

// Limits of a report.
const (
	MaxCounts = 2048
	maxKept   = 1000 // so that with the longest names a decision is no larger than a message may be
	maxText   = 1024
)

// reportVersion is the first byte of a report. Readers refuse others.
const reportVersion = 1

// ErrReport is wrapped by every refusal of a report's form.
var ErrReport = errors.New("malformed report of demand")

// Append appends the report: version, epoch, flags; of counts the pools with their groups, or of a decision the members. A pool's name
// stands once. Numbers are varints, keys of groups 8 bytes.
func (r *Report) Append(b []byte) []byte {
	b = append(b, reportVersion)
	b = binary.AppendUvarint(b, r.Epoch)
	flags := byte(0)
	if r.Decision {
		flags |= 1
	}
	if r.Ready {
		flags |= 2
	}
	b = append(b, flags)
	if r.Decision {
		b = binary.AppendUvarint(b, uint64(len(r.Spill)))
		for _, k := range r.Spill {
			b = binary.AppendUvarint(appendText(appendText(b, k.Pool), k.Member), uint64(k.PerMille))
		}
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(r.Counts)))
	for i, c := range r.Counts {
		name := c.Pool
		if i > 0 && r.Counts[i-1].Pool == c.Pool {
			name = "" // as before
		}
		b = binary.BigEndian.AppendUint64(appendText(b, name), c.Group)
		b = binary.AppendUvarint(binary.AppendUvarint(b, c.Answers), c.Requests)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// ParseReport reads a report. An error wraps ErrReport.
func ParseReport(b []byte) (r Report, err error) {
	d := decoder{rest: b}
	if version := d.byte(); d.err == nil && version != reportVersion {
		return r, fmt.Errorf("%w: version %d, want %d", ErrReport, version, reportVersion)
	}
	r.Epoch = d.number(1 << 40)
	flags := d.byte()
	r.Decision, r.Ready = flags&1 != 0, flags&2 != 0
	if flags > 3 {
		d.fail("flags %#x", flags)
	}
	if r.Decision {
		for range d.number(maxKept) {
			k := zones.Kept{Pool: d.text(), Member: d.text(), PerMille: uint16(d.number(zones.FullRamp - 1))}
			if k.PerMille == 0 {
				d.fail("a member that keeps nothing")
			}
			if d.err != nil {
				break
			}
			r.Spill = append(r.Spill, k)
		}
	} else {
		pool := ""
		for range d.number(MaxCounts) {
			if name := d.text(); name != "" {
				pool = name
			}
			c := Count{Pool: pool, Group: d.uint64(), Answers: d.number(maxCounted), Requests: d.number(maxCounted)}
			if pool == "" {
				d.fail("a count of no pool")
			}
			if n := len(r.Counts); n > 0 && byName(r.Counts[n-1], c) >= 0 {
				d.fail("counts out of order")
			}
			if d.err != nil {
				break
			}
			r.Counts = append(r.Counts, c)
		}
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	if d.err != nil {
		return Report{}, d.err
	}
	return r, nil
}

// maxCounted is more than one node can count in an epoch; sums of such numbers are exact.
const maxCounted = 1 << 40

// A decoder takes values off the front of a report; after the first error all are zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrReport, fmt.Sprintf(format, args...))
	}
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.rest) {
		d.fail("cut short")
		return make([]byte, min(n, 8))
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

func (d *decoder) number(most uint64) uint64 {
	n, size := binary.Uvarint(d.rest)
	switch {
	case d.err != nil:
		return 0
	case size <= 0:
		d.fail("cut short")
		return 0
	case n > most:
		d.fail("%d is more than %d", n, most)
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number(maxText)
	if d.err != nil || n > uint64(len(d.rest)) {
		d.fail("cut short")
		return ""
	}
	return string(d.take(int(n)))
}
