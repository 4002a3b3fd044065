package static

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/miekg/dns"
)

// The most of each thing in a zone.
const (
	MaxSetBytes = 64_000 // of an RRset as packed: a message has room for 65535
	maxSets     = 255    // of a name
)

// ErrTooLarge says that a zone takes more memory than this package can address.
var ErrTooLarge = errors.New("takes more than 256 MiB of memory")

// A Report takes what is wrong with a record, by the line it stands on; 0 is the zone as a whole.
type Report func(line int, format string, args ...any)

// A Builder makes zones, one after the other. It is used by one goroutine. Its zero value is ready for Begin.
type Builder struct {
	zone    Zone
	mistake Report
	warn    Report
	lost    map[lostKey]bool // made when it is needed

	owner    []byte   // of the pending records, below the apex; in lower case
	pending  []record // of one owner, in the order they came
	data     []byte   // of the pending records
	started  bool
	scratch  []byte      // the node that is being written
	folded   []byte      // a name in lower case
	first    []byte      // memory for the first chunk of each zone: most have no other
	spare    []byte      // the same, for the next arena
	slots    [256]uint32 // and for the first slots
	used     uint32      // of the arena, in units of align
	wasted   uint32
	failed   error
	oversize int // line of the set that became too large last
}

// A record waits to be put into its node.
type record struct {
	rrtype  uint16
	covered uint16 // of an RRSIG
	uneven  bool   // its set had different TTLs
	judged  bool   // it was in the node already, so it is no duplicate of what was
	ttl     uint32
	line    uint32
	at, end int // of its data
}

type lostKey struct {
	owner  string
	rrtype uint16
}

// Begin begins a zone whose apex is in wire format and lower case; origin is the same as text. About so many names are to be expected.
// Mistakes are what a zone must not have, warnings what is dropped or probably not meant.
func (b *Builder) Begin(apex, origin string, names int, mistake, warn Report) {
	b.zone = Zone{Apex: apex, Origin: origin, seed: seed}
	b.mistake, b.warn, b.lost = mistake, warn, nil
	b.used, b.wasted, b.failed, b.oversize = 0, 0, nil, 0
	b.clear()
	clear(b.slots[:])
	b.zone.slots = b.slots[:]
	if names*4 > len(b.slots)*3 {
		b.zone.slots = make([]uint32, names*3/2)
	}
	if b.first == nil {
		b.first, b.spare = make([]byte, 0, firstChunk), make([]byte, 0, firstChunk)
	}
	b.put(nil, 0, nil)
}

const firstChunk = 64 << 10

// seed is the same for all zones, so that it is made once; what it changes is never seen.
var seed = maphash.MakeSeed()

// Lost notes a record that can't be read, so that what the zone then lacks is no second mistake. An owner of "" and a
// type of 0 are unknown; an owner is canonical text.
func (b *Builder) Lost(owner string, rrtype uint16) {
	if b.lost == nil {
		b.lost = make(map[lostKey]bool)
	}
	b.lost[lostKey{owner, rrtype}] = true
}

func (b *Builder) mayBeLost(owner string, rrtype uint16) bool {
	return len(b.lost) > 0 && (b.lost[lostKey{owner, rrtype}] || b.lost[lostKey{owner, 0}] || b.lost[lostKey{"", rrtype}] || b.lost[lostKey{"", 0}])
}

// Add takes a record whose owner is in wire format, in any case, and within the zone. It copies what it is given. The error is
// ErrTooLarge.
func (b *Builder) Add(owner []byte, rrtype uint16, ttl uint32, data []byte, line int) error {
	below := owner[:len(owner)-len(b.zone.Apex)]
	if !b.started || len(below) != len(b.owner) || !equalFold(below, b.owner) {
		b.flush()
		b.owner = appendLower(b.owner[:0], below)
		b.started = true
	}
	r := record{rrtype: rrtype, ttl: ttl, line: uint32(line), at: len(b.data)}
	if rrtype == dns.TypeRRSIG && len(data) >= 2 {
		r.covered = binary.BigEndian.Uint16(data)
	}
	b.data = append(b.data, data...)
	r.end = len(b.data)
	b.pending = append(b.pending, r)
	return b.failed
}

// equalFold compares a name with one in lower case, byte for byte but for letters.
func equalFold(name, lower []byte) bool {
	for i, c := range name {
		if c != lower[i] && (c < 'A' || c > 'Z' || c|0x20 != lower[i]) {
			return false
		}
	}
	return true
}

func appendLower(dst, name []byte) []byte {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// Steer makes a name answer addresses that are not in the zone, whether it has records or not. The name is in wire format
// and lower case; the number is what Name.Steer returns.
func (b *Builder) Steer(name []byte, number int) {
	b.flush()
	below := name[:len(name)-len(b.zone.Apex)]
	old := b.zone.lookup(below)
	b.owner = append(b.owner[:0], below...)
	b.unpack(old)
	b.rewrite(old, flagSteered, number)
}

// flush writes the node of the pending records.
func (b *Builder) flush() {
	if !b.started || len(b.pending) == 0 {
		return
	}
	if old := b.zone.lookup(b.owner); old != nil {
		fresh := slices.Clone(b.pending)
		b.pending = b.pending[:0]
		b.unpack(old)
		b.pending = append(b.pending, fresh...)
		b.rewrite(old, 0, 0)
		return
	}
	b.write(0, 0)
	b.put(b.owner, 0, b.scratch)
	b.clear()
}

func (b *Builder) clear() {
	b.pending, b.data, b.started = b.pending[:0], b.data[:0], false
}

// unpack makes the records of a node pending.
func (b *Builder) unpack(n node) {
	if n == nil {
		return
	}
	at := n.setsAt()
	count := n[at]
	at++
	for range count {
		_, size, records := n.header(at)
		bytes := n[at+setHeader : at+setHeader+size]
		lines := n[at+setHeader+size:]
		for i, from := 0, 0; i < records; i++ {
			size := RecordSize(bytes[from:])
			r := record{rrtype: binary.BigEndian.Uint16(bytes[from+2:]), ttl: binary.BigEndian.Uint32(bytes[from+6:]),
				line: binary.BigEndian.Uint32(lines[i*lineSize:]), at: len(b.data)}
			if r.rrtype == dns.TypeRRSIG {
				r.covered = Covered(bytes[from:])
			}
			r.uneven, r.judged = n.uneven(at), true
			b.data = append(b.data, bytes[from+FixedSize:from+size]...)
			r.end = len(b.data)
			b.pending = append(b.pending, r)
			from += size
		}
		at += setHeader + size + records*lineSize
	}
}

// rewrite puts the pending records in the place of an older node of the same name.
func (b *Builder) rewrite(old node, flags byte, steer int) {
	if old != nil {
		flags |= old[0]
		if old[0]&flagSteered != 0 {
			steer = Name{old}.Steer()
		}
		b.wasted += units(old.size())
	}
	b.write(flags, steer)
	b.put(b.owner, flags, b.scratch)
	b.clear()
	if b.wasted > chunkSize/align && b.wasted > b.used/2 {
		b.compact()
	}
}

func units(size int) uint32 { return uint32((size + align - 1) / align) }

// write makes the node of the pending records in scratch.
func (b *Builder) write(flags byte, steer int) {
	slices.SortStableFunc(b.pending, func(x, y record) int {
		return int(x.rrtype)<<16 + int(x.covered) - int(y.rrtype)<<16 - int(y.covered)
	})
	out := append(b.scratch[:0], flags, byte(len(b.owner)))
	out = append(out, b.owner...)
	if flags&flagSteered != 0 {
		out = binary.BigEndian.AppendUint32(out, uint32(steer))
	}
	setsAt := len(out)
	out = append(out, 0)
	for first := 0; first < len(b.pending); {
		last := first + 1
		for last < len(b.pending) && b.pending[last].rrtype == b.pending[first].rrtype && b.pending[last].covered == b.pending[first].covered {
			last++
		}
		set := b.judge(b.pending[first:last])
		first = last
		if out[setsAt] == maxSets {
			b.mistake(int(set[0].line), "%s: a name has at most %d RRsets", b.ownerText(), maxSets)
			break
		}
		out[setsAt]++
		out = b.appendSet(out, set)
		if set[0].rrtype == dns.TypeDNAME {
			out[0] |= flagDNAME
		}
	}
	b.scratch = out
}

// judge leaves out of a set the records that are there already (RFC 2181, section 5), and what no message has room for.
func (b *Builder) judge(set []record) []record {
	size := 0
	kept := set[:0]
	for _, r := range set {
		if line, twice := b.duplicate(kept, r); twice {
			b.warn(int(r.line), "%s %s: the same record as on line %d, dropped: a set has a record once (RFC 2181, section 5)", b.ownerText(), dns.Type(r.rrtype), line)
			continue
		}
		size += FixedSize + r.end - r.at
		if size > MaxSetBytes {
			if int(r.line) > b.oversize {
				b.mistake(int(r.line), "%s %s: the RRset is larger than %d bytes here, too large for a message", b.ownerText(), dns.Type(r.rrtype), MaxSetBytes)
				b.oversize = int(r.line)
			}
			break
		}
		kept = append(kept, r)
	}
	return kept
}

func (b *Builder) duplicate(set []record, r record) (line uint32, twice bool) {
	if r.judged {
		return 0, false
	}
	for _, other := range set {
		x, y := b.data[other.at:other.end], b.data[r.at:r.end]
		if len(x) != len(y) {
			continue
		}
		if bytes.Equal(x, y) || holdsNames(r.rrtype) && bytes.EqualFold(x, y) && sameData(r.rrtype, x, y) {
			return other.line, true
		}
	}
	return 0, false
}

// holdsNames reports whether the data of a type has names in it, which differ by more than their case.
func holdsNames(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeDNAME, dns.TypeMX, dns.TypeSOA, dns.TypeSRV, dns.TypeNAPTR, dns.TypeRP,
		dns.TypeAFSDB, dns.TypeKX, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeRRSIG, dns.TypeNSEC:
		return true
	}
	return false
}

// sameData compares data in which the case of names does not count.
func sameData(rrtype uint16, x, y []byte) bool {
	a, errA := unpack([]byte{0}, rrtype, 0, x)
	b, errB := unpack([]byte{0}, rrtype, 0, y)
	return errA == nil && errB == nil && dns.IsDuplicate(a, b)
}

func (b *Builder) appendSet(out []byte, set []record) []byte {
	ttl, uneven := set[0].ttl, false
	for _, r := range set {
		uneven = uneven || r.uneven || r.ttl != ttl
		ttl = min(ttl, r.ttl)
	}
	out = binary.BigEndian.AppendUint16(out, set[0].rrtype)
	size := len(out)
	out = append(out, 0, 0)
	count := uint16(len(set))
	if uneven {
		count |= unevenBit
	}
	out = binary.BigEndian.AppendUint16(out, count)
	for _, r := range set {
		out = AppendRecord(out, r.rrtype, ttl, b.data[r.at:r.end])
	}
	binary.BigEndian.PutUint16(out[size:], uint16(len(out)-size-4))
	for _, r := range set {
		out = binary.BigEndian.AppendUint32(out, r.line)
	}
	return out
}

// AppendRecord appends a record in the form that a RecordSet has it.
func AppendRecord(dst []byte, rrtype uint16, ttl uint32, data []byte) []byte {
	dst = append(dst, 0xC0, 12, byte(rrtype>>8), byte(rrtype), 0, dns.ClassINET)
	dst = binary.BigEndian.AppendUint32(dst, ttl)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}

// put stores a node, or an empty one, and makes its ancestors if they are not there. A name that has a node already gets the
// new one.
func (b *Builder) put(name []byte, flags byte, n []byte) {
	if n == nil {
		n = append(append([]byte{flags, byte(len(name))}, name...), 0)
	}
	at, ok := b.store(n)
	if !ok {
		return
	}
	if b.index(name, at) {
		return
	}
	b.zone.Names++
	if b.zone.Names*4 > len(b.zone.slots)*3 {
		b.resize(len(b.zone.slots) * 2)
	}
	if len(name) == 0 {
		return
	}
	labels := 0
	for at := 0; at < len(name); at += 1 + int(name[at]) {
		labels++
	}
	b.zone.depth = max(b.zone.depth, labels)
	parent := name[1+int(name[0]):]
	if b.zone.lookup(parent) == nil {
		b.put(bytes.Clone(parent), 0, nil)
	}
	if name[0] == 1 && name[1] == '*' {
		b.zone.lookup(parent)[0] |= flagWildcard
	}
}

// store copies a node into the arena.
func (b *Builder) store(n []byte) (at uint32, ok bool) {
	z := &b.zone
	size := int(units(len(n))) * align
	last := len(z.chunks) - 1
	if last < 0 || len(z.chunks[last])+size > cap(z.chunks[last]) {
		if (len(z.chunks)+1+size/chunkSize)*chunkSize > maxArena {
			b.failed = ErrTooLarge
			return 0, false
		}
		z.chunks = append(z.chunks, b.chunk(size))
		last++
	}
	from := len(z.chunks[last])
	z.chunks[last] = append(z.chunks[last], n...)
	z.chunks[last] = z.chunks[last][:from+size]
	b.used += uint32(size / align)
	at = uint32(last<<(chunkBits-2) + from/align)
	for extra := (from+size-1)/chunkSize - from/chunkSize; extra > 0; extra-- {
		z.chunks = append(z.chunks, nil) // the node reaches over these
	}
	return at, true
}

// chunk returns room for a node. The first is the builder's own, see trim.
func (b *Builder) chunk(size int) []byte {
	if len(b.zone.chunks) == 0 && size <= cap(b.first) {
		return b.first[:0]
	}
	return make([]byte, 0, max(chunkSize, size))
}

// index points the slot of a name to its node, and reports whether there was one before.
func (b *Builder) index(name []byte, at uint32) (before bool) {
	z := &b.zone
	h := z.hash(name)
	value := tag(h) | (at + 1)
	for i := z.slot(h); ; {
		s := z.slots[i]
		if s == 0 {
			z.slots[i] = value
			return false
		}
		if s&^atMask == value&^atMask && bytes.Equal(z.nodeAt(s&atMask-1).name(), name) {
			z.slots[i] = value
			return true
		}
		if i++; i == len(z.slots) {
			i = 0
		}
	}
}

func (b *Builder) resize(slots int) {
	old := b.zone.slots
	b.zone.slots = make([]uint32, slots)
	for _, s := range old {
		if s != 0 {
			b.move(s)
		}
	}
}

// move puts a slot of the table before into this one.
func (b *Builder) move(s uint32) {
	z := &b.zone
	h := z.hash(z.nodeAt(s&atMask - 1).name())
	i := z.slot(h)
	for z.slots[i] != 0 {
		if i++; i == len(z.slots) {
			i = 0
		}
	}
	z.slots[i] = s
}

// compact copies the nodes that are in use to a new arena.
func (b *Builder) compact() {
	old := b.zone
	b.zone.chunks, b.used, b.wasted = nil, 0, 0
	b.first, b.spare = b.spare, b.first
	for i, s := range old.slots {
		if s == 0 {
			continue
		}
		n := old.nodeAt(s&atMask - 1)
		at, ok := b.store(n[:n.size()])
		if !ok {
			return
		}
		b.zone.slots[i] = s&^atMask | (at + 1)
	}
}

// trim gives back what the arena and the table have to spare, and what is the builder's own.
func (b *Builder) trim() {
	if b.wasted > b.used/8 {
		b.compact()
	}
	z := &b.zone
	last := len(z.chunks) - 1
	z.chunks[0] = slices.Clone(z.chunks[0])
	if last > 0 && cap(z.chunks[last])-len(z.chunks[last]) > chunkSize/64 {
		z.chunks[last] = slices.Clone(z.chunks[last])
	}
	z.chunks = slices.Clip(z.chunks)
	b.resize(z.Names*3/2 + 2)
}

func (b *Builder) ownerText() string { return text(append(bytes.Clone(b.owner), b.zone.Apex...)) }

// text returns a name in wire format as text.
func text(name []byte) string {
	s, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return fmt.Sprintf("%q", name)
	}
	return s
}

// unpack makes a record of the DNS library.
func unpack(owner []byte, rrtype uint16, ttl uint32, data []byte) (dns.RR, error) {
	b := append(bytes.Clone(owner), byte(rrtype>>8), byte(rrtype), 0, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	rr, _, err := dns.UnpackRR(append(b, data...), 0)
	return rr, err
}
