package rtt

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// TableSamples is how many samples an entry of a table counts as, at its step of the chain. It does not age.
const TableSamples = 100

// What a table may be.
const (
	MaxTableSize    = 16 << 20 // bytes; of YAML strict.MaxSize
	MaxTableEntries = 200_000
)

// leastTableMS and mostTableMS are the range of an entry's time.
const leastTableMS, mostTableMS = 0.1, 1000

// A Table is what a file says of round trips: for a prefix, an ASN or a country, and a region. It is immutable.
type Table struct {
	name    string
	entries []tableEntry // ordered by id and region, each once
}

type tableEntry struct {
	id     id
	region geo.RegionID
	rtt    uint32 // µs
	line   int
}

func (e tableEntry) compare(o tableEntry) int {
	return cmp.Or(cmp.Compare(e.id, o.id), cmp.Compare(e.region, o.region))
}

// Name returns the name of the table's file.
func (t *Table) Name() string { return t.name }

// Len returns how many entries a table has.
func (t *Table) Len() int { return len(t.entries) }

// ParseTable reads a table, by the end of its name as CSV:
//
//	client,region,ms            or as YAML:   192.0.2.0/24: {eu-west: 12.5, us-east: 90}
//	192.0.2.0/24,eu-west,12.5                 AS64500: {us-east: 80}
//	AS64500,us-east,80                        DE: {eu-west: 25}
//	DE,eu-west,25
//
// A client is a prefix, of IPv6 at most a /48, an ASN or a country (ISO 3166-1 alpha-2). In CSV a line that begins with # is a comment.
// Every mistake goes to the report; the table is of no use if there was one. Regions are those that there are.
func ParseTable(name string, data []byte, regions []geo.RegionID, report *strict.Report) *Table {
	p := tableParser{report: report, table: &Table{name: name}, regions: make([]string, len(regions))}
	for i, r := range regions {
		p.regions[i] = string(r)
	}
	switch path.Ext(name) {
	case ".csv":
		p.csv(data)
	case ".yaml", ".yml":
		p.yaml(data)
	default:
		report.Add(strict.Position{File: name}, "is a latency table that is neither .csv nor .yaml")
	}
	p.finish()
	return p.table
}

type tableParser struct {
	table   *Table
	regions []string
	report  *strict.Report
}

func (p *tableParser) at(line int) strict.Position {
	return strict.Position{File: p.table.name, Line: line}
}

const header = "client,region,ms"

func (p *tableParser) csv(data []byte) {
	if len(data) > MaxTableSize {
		p.report.Add(p.at(0), "is larger than %d MiB", MaxTableSize>>20)
		return
	}
	number, headed := 0, false
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(line))
		switch {
		case text == "" || text[0] == '#':
		case !headed:
			headed = true
			if text != header {
				p.report.Add(p.at(number), "%s is not the header %q", strict.Quote(text), header)
			}
		case len(p.table.entries) == MaxTableEntries:
			p.report.Add(p.at(number), "is the first of more than %d entries", MaxTableEntries)
			return
		default:
			p.line(number, text)
		}
	}
	if !headed {
		p.report.Add(p.at(0), "is empty (it begins with the header %q)", header)
	}
}

func (p *tableParser) line(number int, text string) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		p.report.Add(p.at(number), "%s has %d fields, want 3: %s", strict.Quote(text), len(fields), header)
		return
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	client, err := parseClient(fields[0])
	if err != nil {
		p.report.Add(p.at(number), "%s: %v", strict.Quote(fields[0]), err)
	}
	known := p.region(number, fields[1])
	ms, parseErr := strconv.ParseFloat(fields[2], 64)
	if parseErr != nil || !(ms >= leastTableMS && ms <= mostTableMS) {
		p.report.Add(p.at(number), "%s is not a number of milliseconds from %v to %v", strict.Quote(fields[2]), leastTableMS, mostTableMS)
		return
	}
	if err == nil && known {
		p.entry(number, client, fields[1], ms)
	}
}

func (p *tableParser) region(line int, name string) bool {
	if slices.Contains(p.regions, name) {
		return true
	}
	p.report.Add(p.at(line), "%s", strict.Unknown("region", name, p.regions))
	return false
}

func (p *tableParser) entry(line int, client id, region string, ms float64) {
	p.table.entries = append(p.table.entries, tableEntry{client, geo.RegionID(region), uint32(math.Round(ms * 1000)), line})
}

func (p *tableParser) yaml(data []byte) {
	document, ok := strict.Document(p.table.name, data, p.report)
	if !ok {
		return
	}
	any := strict.Text(64)
	file := strict.Map("client", any, strict.Map("region", any, strict.Decimal(leastTableMS, mostTableMS), MaxRegions), MaxTableEntries)
	clients, _ := file.Decode(document)
	for _, c := range clients {
		client, err := parseClient(c.Name)
		if err != nil {
			p.report.Add(c.Position, "%s: %v", strict.Quote(c.Name), err)
		}
		for _, r := range c.Value {
			if p.region(r.Line, r.Name) && err == nil {
				p.entry(r.Line, client, r.Name, r.Value)
			}
		}
	}
	if len(p.table.entries) > MaxTableEntries {
		p.report.Add(p.at(0), "has %d entries, at most %d are allowed", len(p.table.entries), MaxTableEntries)
	}
}

// finish orders the entries and reports those that are there twice.
func (p *tableParser) finish() {
	t := p.table
	slices.SortStableFunc(t.entries, tableEntry.compare)
	for i := 1; i < len(t.entries); i++ {
		if a, b := t.entries[i-1], t.entries[i]; a.compare(b) == 0 {
			p.report.Add(p.at(b.line), "%s to %s: %s, but %s in line %d", b.id, b.region, b.milliseconds(), a.milliseconds(), a.line)
		}
	}
}

func (e tableEntry) milliseconds() string {
	return strconv.FormatFloat(float64(e.rtt)/1000, 'f', -1, 64) + " ms"
}

// CheckTables reports what a table says of the same clients and region as one before it.
func CheckTables(tables []*Table, report *strict.Report) {
	for n, t := range tables {
		for _, before := range tables[:n] {
			old := before.entries
			for _, e := range t.entries {
				for len(old) > 0 && old[0].compare(e) < 0 {
					old = old[1:]
				}
				if len(old) > 0 && old[0].compare(e) == 0 {
					report.Add(strict.Position{File: t.name, Line: e.line}, "%s to %s: %s, but %s in %s:%d",
						e.id, e.region, e.milliseconds(), old[0].milliseconds(), before.name, old[0].line)
				}
			}
		}
	}
}

// parseClient reads whom an entry is for.
func parseClient(text string) (id, error) {
	if digits, ok := strings.CutPrefix(text, "AS"); ok && digits != "" {
		asn, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || asn == 0 || strconv.FormatUint(asn, 10) != digits {
			return 0, fmt.Errorf("not an ASN, such as AS64500")
		}
		return keyOf("", uint32(asn), false), nil
	}
	if len(text) == 2 {
		if i := keyOf(text, 0, false); i != 0 {
			return i, nil
		}
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("not a prefix (192.0.2.0/24), an ASN (AS64500) or a country (DE)")
	case prefix.Addr().Is4In6():
		return 0, fmt.Errorf("write an IPv4 prefix as such")
	case prefix != prefix.Masked():
		return 0, fmt.Errorf("has bits set past its length (did you mean %v?)", prefix.Masked())
	case prefix.Addr().Is6() && prefix.Bits() > addressBits:
		return 0, fmt.Errorf("longer than /%d", addressBits)
	}
	return prefixID(prefix), nil
}

// String names the clients as a table does.
func (i id) String() string {
	switch {
	case !i.isKey():
		return i.prefix().String()
	case i.asn() == 0:
		return i.country()
	case i.country() == "":
		return fmt.Sprintf("AS%d", i.asn())
	}
	return fmt.Sprintf("AS%d in %s", i.asn(), i.country())
}
