package zones

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/master"
	"github.com/meridian-gslb/meridian/zones/static"
	"github.com/meridian-gslb/meridian/zones/strict"
)

const (
	maxZoneFile = 512 << 20
	maxTTL      = 1<<31 - 1 // RFC 2181, section 8

	bytesPerName = 48 // of a zone file, about

	aBug = "can't be read for a bug of this program"
)

// A Reader reads zone files, one after the other.
type Reader struct {
	loader  *Loader
	file    master.Reader
	builder static.Builder
	sum     hash.Hash

	// Of the zone that is being read:
	zone  *Zone
	wire  []byte // its apex
	notes func() *zoneNotes
}

// zoneNotes are what is wrong with a zone, and where the configuration says what of it.
type zoneNotes struct {
	steer    []strict.Named[steerKeys]
	mistakes strict.Report
	warnings strict.Report
}

func (n *zoneNotes) configured(entry *strict.Named[zoneKeys]) { n.steer = entry.Value.steer }

func (l *Loader) note(zone int) *zoneNotes {
	if l.notes[zone] == nil {
		l.notes[zone] = &zoneNotes{}
	}
	return l.notes[zone]
}

// Read reads one zone of the world, from 0 to Loader.Zones()-1. Several readers may read at once, each zone once.
func (r *Reader) Read(i int) {
	l := r.loader
	r.zone, r.notes = &l.parser.world.Zones[i], func() *zoneNotes { return l.note(i) }
	if r.zone.Copied {
		return // see WithCopies
	}
	r.renew(l.before[r.zone.Apex])
	if r.zone.prepare() != nil {
		r.zone.data = nil // Loader.World tries again, and says why
	}
}

// renew reads the zone's file, unless it is as it was before (nil: there was none). A zone whose file has mistakes stays as it was.
func (r *Reader) renew(before *Zone) {
	if before != nil && before.isAs(r.zone, r.loader.files.Version(r.zone.File)) {
		before.as(r.zone)
		return
	}
	if !r.open() && before != nil && slices.Equal(before.Steer, r.zone.Steer) {
		version := r.zone.Version
		before.as(r.zone)
		r.zone.Version, r.zone.stale = version, true
	}
}

// as gives another zone of the same name the records of this one.
func (z *Zone) as(next *Zone) {
	next.Static, next.Version, next.stale, next.digest, next.wire, next.data = z.Static, z.Version, z.stale, z.digest, z.wire, z.data
}

// open reads the zone's file, and reports whether it makes a zone.
func (r *Reader) open() bool {
	f, version, err := r.loader.files.Open(r.zone.File)
	if err != nil {
		r.mistake(0, "%v", err)
		return false
	}
	defer f.Close()
	r.zone.Version = version
	return r.read(f, version.Size)
}

// isAs reports whether a zone would be read just as it was before.
func (z *Zone) isAs(next *Zone, version Version) bool {
	return z.Static != nil && !z.stale && z.Version == version && z.File == next.File && z.Sign == next.Sign && slices.Equal(z.Steer, next.Steer)
}

// ReadZone reads the zone file of a zone with steered names. The error is Problems: every mistake in it.
func ReadZone(apex, name string, file io.Reader, steer []Steer) (Zone, error) {
	zone, notes := Zone{Apex: apex, File: name, Steer: steer}, zoneNotes{}
	r := Reader{zone: &zone, notes: func() *zoneNotes { return &notes }}
	if !r.read(file, 0) {
		return Zone{}, notes.mistakes.Err()
	}
	return zone, zone.prepare()
}

// read reads a file of about some size, and reports whether it makes a zone. What this program can't cope with is the fault of no other
// zone: it goes on without that file.
func (r *Reader) read(file io.Reader, size int64) (good bool) {
	defer func() {
		if cause := recover(); cause != nil {
			r.mistake(0, "%s: %v", aBug, cause)
			r.file, r.builder, r.zone.Static, good = master.Reader{}, static.Builder{}, nil, false
		}
	}()
	if r.sum == nil {
		r.sum = sha256.New()
	}
	r.sum.Reset()
	r.zone.Static = r.build(io.TeeReader(file, r.sum), int(min(size, maxZoneFile)/bytesPerName))
	var digest [sha256.Size]byte
	r.zone.digest = health.Hash64(binary.BigEndian.Uint64(r.sum.Sum(digest[:0])))
	return r.zone.Static != nil
}

func (r *Reader) build(file io.Reader, names int) *static.Zone {
	var err error
	if r.wire, err = wireName(r.zone.Apex); err != nil {
		r.mistake(0, "%v", err)
		return nil
	}
	good := true
	mistake := func(line int, format string, args ...any) {
		good = false
		r.mistake(line, format, args...)
	}
	b := &r.builder
	b.Begin(string(r.wire), r.zone.Apex, names, mistake, r.warn)
	limited := &io.LimitedReader{R: file, N: maxZoneFile + 1}
	err = r.file.Read(limited, r.zone.Apex, func(record *master.Record) error {
		if why := r.unfit(record); why != "" {
			mistake(record.Line, "%s %s: %s", nameText(record.Owner), dns.Type(record.Type), why)
			return nil
		}
		return b.Add(record.Owner, record.Type, record.TTL, record.Data, record.Line)
	}, func(m master.Mistake) error {
		if m.Text != "" {
			mistake(m.Line, "%s", m.Text)
		}
		if m.Lost {
			b.Lost(m.Owner, m.Type)
		}
		return nil
	})
	switch {
	case limited.N <= 0:
		mistake(0, "is larger than %d MiB", maxZoneFile>>20)
		return nil
	case err != nil:
		mistake(0, "%v", err)
		return nil
	}
	good = r.checkSteers() && good
	for number, steer := range r.zone.Steer {
		if name, err := wireName(steer.Owner); err == nil {
			b.Steer(name, number)
		}
	}
	zone, err := b.Build()
	switch {
	case err != nil:
		mistake(0, "%v", err)
	case zone.Presigned() && r.zone.Sign != "":
		mistake(0, "has signatures of its own: leave them or the key dnssec out")
	case zone.Presigned() && len(r.zone.Steer) > 0:
		mistake(0, "has signatures of its own, which steered answers can't have: leave them out and sign with the key dnssec")
	}
	if !good {
		return nil
	}
	return zone
}

func (r *Reader) mistake(line int, format string, args ...any) {
	r.notes().mistakes.Add(strict.Position{File: r.zone.File, Line: line}, format, args...)
}

func (r *Reader) warn(line int, format string, args ...any) {
	r.notes().warnings.Add(strict.Position{File: r.zone.File, Line: line}, format, args...)
}

// unfit says why a record can't stand in the zone by itself; empty where it can.
func (r *Reader) unfit(record *master.Record) string {
	switch {
	case !ends(record.Owner, r.wire):
		return "is outside the zone " + r.zone.Apex
	case record.Class != dns.ClassINET:
		return fmt.Sprintf("class %s is not served (only IN)", dns.Class(record.Class))
	case record.TTL > maxTTL:
		return fmt.Sprintf("TTL %d is more than %d (RFC 2181, section 8)", record.TTL, maxTTL)
	case r.zone.Sign != "" && isMade(record.Type):
		return "is made by us in a zone with the key dnssec"
	}
	return refusedType(record.Type)
}

// ends reports whether a name in wire format is an apex or lies below it. The apex is in lower case.
func ends(name, apex []byte) bool {
	at := 0
	for len(name)-at > len(apex) {
		at += 1 + int(name[at])
	}
	if len(name)-at != len(apex) {
		return false
	}
	for i, c := range name[at:] {
		if c != apex[i] && (c < 'A' || c > 'Z' || c|0x20 != apex[i]) {
			return false
		}
	}
	return true
}

func nameText(name []byte) string {
	text, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return fmt.Sprintf("%q", name)
	}
	return dns.CanonicalName(text)
}

// isMade reports whether records of a type are made where we sign.
func isMade(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		return true
	}
	return false
}

// refusedType says why records of a type can't stand in a zone file; empty where they can.
func refusedType(rrtype uint16) string {
	switch {
	case rrtype == dns.TypeSIG, rrtype == dns.TypeNXT, rrtype == dns.TypeKEY:
		return "belongs to the DNSSEC of before RFC 4033"
	case rrtype == dns.TypeNone, rrtype == dns.TypeOPT, rrtype == dns.TypeReserved, rrtype >= 128 && rrtype <= 255: // RFC 6895, section 3.1
		return "is a type of queries and messages, not of zones"
	}
	return ""
}

// checkSteers notes the steered names that have addresses of their own, or are not ours to steer.
func (r *Reader) checkSteers() (good bool) {
	good = true
	for i, s := range r.zone.Steer {
		name, err := wireName(s.Owner)
		if err != nil {
			continue
		}
		at := strict.Position{File: r.zone.File}
		if notes := r.notes(); i < len(notes.steer) {
			at = notes.steer[i].Position
		}
		report := func(format string, args ...any) {
			good = false
			r.notes().mistakes.Add(at, "zone %q: owner %q: %s", r.zone.Apex, s.Owner, fmt.Sprintf(format, args...))
		}
		if rrtype, line := r.builder.Beside(name, s.types()...); rrtype != 0 {
			report("is steered, but has %s record of its own at %s", article(rrtype), strict.Position{File: r.zone.File, Line: line})
		}
		if cut, line := r.builder.CutAbove(name); line != 0 {
			report("is not ours to steer: %s is delegated at %s", cut, strict.Position{File: r.zone.File, Line: line})
		}
	}
	return good
}

// types are those that the steered name can't have records of; none: of any.
func (s *Steer) types() []uint16 {
	switch {
	case s.Kind == Aliases:
		return nil
	case s.Kind == Servers, s.Kind == Mailers:
		return []uint16{kindTypes[s.Kind][0], dns.TypeCNAME}
	case s.HTTPS:
		return []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeCNAME}
	}
	return []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME}
}

func article(rrtype uint16) string {
	name := dns.TypeToString[rrtype]
	if strings.ContainsRune("AEFHILMNORSX", rune(name[0])) { // as it is spelled out
		return "an " + name
	}
	return "a " + name
}
