package rtt

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/meridian-gslb/meridian/geo"
)

// A Report is what a source, the gateway of a node, tells the others: some of its counts, each in place of what it told of the same
// clients before. The zero Report tells nothing. It is immutable.
type Report struct {
	Region geo.RegionID
	epoch  uint64 // of the sender, in which the weights were right; 0: not told
	rows   rows   // of no source yet
}

// Len returns how many counts are in a report.
func (r Report) Len() int { return len(r.rows) }

// MaxReport is how many counts a report may have. One of a count takes 20 bytes at most, mostly 12, so a report is no longer than a
// third of what a message may be.
const MaxReport = 16 << 10

// maxRTT bounds what a sample or a report may claim.
const maxRTT = time.Second

// Formats of a report. A report begins with its format; format 1 began with the region, which is not empty, so with another byte than 0.
//
//	2  0, 2, region, epoch, counts, then each: id less the last one, time in µs, weight in 1/32 samples; of a key at located places
//	   what the distance suggests too
//	1  region, counts, then each: country, time in µs, samples
//
// Numbers are varints, texts have their length before them. A reader takes later formats for format 2 with something behind it, so a later one
// may only append.
const (
	reportFormat  = 2
	maxOldReport  = 1000
	maxRegionName = 255
)

// Append appends the report to b; a report has equal bytes wherever it is written.
func (r Report) Append(b []byte) []byte {
	b = appendText(append(b, 0, reportFormat), string(r.Region))
	b = binary.AppendUvarint(b, r.epoch)
	b = binary.AppendUvarint(b, uint64(len(r.rows)))
	last := id(0)
	for i := range r.rows {
		row := &r.rows[i]
		b = binary.AppendUvarint(b, uint64(row.id-last))
		b = binary.AppendUvarint(b, uint64(row.rtt))
		b = binary.AppendUvarint(b, uint64(row.weight))
		if row.id.located() {
			b = binary.AppendUvarint(b, uint64(row.expected))
		}
		last = row.id
	}
	return b
}

// AppendOld appends the countries of a report in format 1, for nodes of the version before, which know no other.
func (r Report) AppendOld(b []byte) []byte {
	countries := rows{}
	for _, row := range r.rows {
		if row.id.isKey() && row.id.asn() == 0 && row.weight >= whole && len(countries) < maxOldReport {
			countries = append(countries, row)
		}
	}
	b = appendText(b, string(r.Region))
	b = binary.AppendUvarint(b, uint64(len(countries)))
	for _, row := range countries {
		b = appendText(b, row.id.country())
		b = binary.AppendUvarint(b, uint64(row.rtt))
		b = binary.AppendUvarint(b, uint64(row.weight/whole))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// ErrReport says that bytes are not a report.
var ErrReport = errors.New("malformed report of round-trip times")

// ParseReport reads what Append or AppendOld wrote.
func ParseReport(b []byte) (Report, error) {
	d := decoder{b: b}
	read := d.old
	if len(b) > 0 && b[0] == 0 {
		read = d.present
	}
	r := read()
	if d.bad {
		return Report{}, ErrReport
	}
	return r, nil
}

// A decoder takes a report apart. Once it is bad it stays so, and what it returns is of no use.
type decoder struct {
	b   []byte
	bad bool
}

// number reads one of at most most.
func (d *decoder) number(most uint64) uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > most {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number(min(maxRegionName, uint64(len(d.b))))
	if n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) present() (r Report) {
	d.b = d.b[1:]
	format := d.number(255)
	r.Region = geo.RegionID(d.text())
	r.epoch = d.number(always - 1)
	n := d.number(min(MaxReport, uint64(len(d.b)/3)))
	r.rows = make(rows, 0, n)
	last := uint64(0)
	for range n {
		step := d.number(^uint64(0) - last)
		last += step
		row := row{id: id(last), rtt: uint32(d.number(uint64(maxRTT.Microseconds()))), weight: uint16(d.number(maxWeight)), epoch: uint32(r.epoch)}
		if row.id.located() {
			row.expected = uint32(d.number(uint64(maxRTT.Microseconds())))
		}
		d.bad = d.bad || step == 0 || !row.id.good()
		r.rows = append(r.rows, row)
	}
	d.bad = d.bad || format < reportFormat || r.Region == "" || format == reportFormat && len(d.b) > 0
	return r
}

func (d *decoder) old() (r Report) {
	r.Region = geo.RegionID(d.text())
	n := d.number(maxOldReport)
	for range n {
		row := row{id: keyOf(d.text(), 0, false), rtt: uint32(d.number(uint64(time.Minute.Microseconds()))), weight: uint16(d.number(MaxCount) * whole)}
		if row.id == 0 {
			continue // a country that no table has
		}
		row.rtt = min(row.rtt, uint32(maxRTT.Microseconds()))
		r.rows = append(r.rows, row)
	}
	d.bad = d.bad || r.Region == "" || len(d.b) > 0
	return r
}
