package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// ErrDamaged says that a segment can't be read, or not further: it was cut while it was written, damaged, or is of another version.
var ErrDamaged = errors.New("damaged")

// A Head is what a segment says of itself.
type Head struct {
	Run   time.Time // when the process that wrote it started
	After time.Time // when the last record before it was written; zero: not known. Later than First if the clock was set back between
	First time.Time // of its first record
}

// An Entry is a record, as far as it can be told without those before it.
type Entry struct {
	Kind Kind
	At   time.Time // not before that of the entry before
	Lost uint64    // of Published: moments just before that were not written down
}

// A Reader reads one segment. One goroutine owns it.
type Reader struct {
	from *bufio.Reader
	head Head
	body bytes.Buffer
	last Entry
	rest reader // of the last entry's record: what is to be taken in
	err  error

	// What the records before the last entry tell.
	known     bool
	published time.Time
	basis     Basis
	digest    health.Hash64
	statuses  map[health.CheckID]*health.Status
	control   controls
	spill     *zones.Spill
}

// controls is a control state as a segment tells it.
type controls struct {
	known        bool
	epoch, index uint64
	time         time.Time
	encoded      []byte
}

// NewReader reads the head of a segment. Times are read in a zone, by which they are the same, but written out.
func NewReader(from io.Reader, zone *time.Location) (*Reader, error) {
	r := &Reader{from: bufio.NewReaderSize(from, 64<<10), rest: reader{zone: zone}, statuses: make(map[health.CheckID]*health.Status)}
	var first [len(magic)]byte
	if _, err := io.ReadFull(r.from, first[:]); err != nil || string(first[:]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrDamaged, magic)
	}
	if err := r.frame(); err != nil {
		return nil, fmt.Errorf("%w: no head", ErrDamaged)
	}
	b := &r.rest
	kind := Kind(b.byte())
	r.head = Head{b.time(time.Time{}), b.time(time.Time{}), b.time(time.Time{})}
	if kind != kindHead || b.bad || len(b.b) > 0 || r.head.First.IsZero() {
		return nil, fmt.Errorf("%w: no head", ErrDamaged)
	}
	r.last = Entry{Kind: kindHead, At: r.head.First}
	return r, nil
}

// HeadOf returns what a segment says of itself, of its first bytes.
func HeadOf(b []byte) (Head, error) {
	r, err := NewReader(bytes.NewReader(b), time.UTC)
	if err != nil {
		return Head{}, err
	}
	return r.head, nil
}

// Head returns what the segment says of itself.
func (r *Reader) Head() Head { return r.head }

// Next returns the next entry, io.EOF behind the last one, or an error that wraps ErrDamaged where nothing more can be read. What an
// entry tells is taken in by the call after it.
func (r *Reader) Next() (Entry, error) {
	if r.err == nil {
		r.err = r.take()
	}
	if r.err == nil {
		r.err = r.frame()
	}
	if r.err != nil {
		return Entry{}, r.err
	}
	b := &r.rest
	e := Entry{Kind: Kind(b.byte()), At: b.time(r.head.First)}
	switch {
	case e.Kind == Published:
		e.Lost = b.uvarint()
	case e.Kind != Alive && e.Kind != Ended:
		b.bad = true
	}
	if b.bad || e.At.Before(r.last.At) {
		r.err = errRecord
		return Entry{}, r.err
	}
	r.last = e
	return e, nil
}

var errRecord = fmt.Errorf("%w: record that nobody writes", ErrDamaged)

// frame reads the next record.
func (r *Reader) frame() error {
	var head [frameSize]byte
	n, err := io.ReadFull(r.from, head[:])
	if n == 0 && err == io.EOF {
		return io.EOF
	}
	size := binary.BigEndian.Uint32(head[:])
	if err != nil || size == 0 || size > maxRecord {
		return fmt.Errorf("%w: record of %d bytes", ErrDamaged, size)
	}
	r.body.Reset()
	if _, err := io.CopyN(&r.body, r.from, int64(size)); err != nil { // memory is taken for what there is, not for what is said
		return fmt.Errorf("%w: record is cut short", ErrDamaged)
	}
	if crc32.Checksum(r.body.Bytes(), castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return fmt.Errorf("%w: record does not fit its checksum", ErrDamaged)
	}
	r.rest.b = r.body.Bytes()
	return nil
}

// take takes in what the last entry tells.
func (r *Reader) take() error {
	b := &r.rest
	if r.last.Kind == Published {
		r.takeMoment(b)
	}
	if b.bad || len(b.b) > 0 {
		r.known = false
		return errRecord
	}
	r.last.Kind = 0
	return nil
}

func (r *Reader) takeMoment(b *reader) {
	r.published, r.digest = b.time(r.last.At), b.hash()
	flags := b.byte()
	if flags&hasBasis != 0 {
		r.basis = Basis{b.hash(), b.hash(), b.hash()}
	}
	switch {
	case flags&noControl != 0:
		r.control = controls{}
	case flags&hasControl != 0:
		r.control.read(b, r.head.First)
	}
	if flags&hasSpill != 0 {
		var kept []zones.Kept
		for range b.count(maxSpilling, leastKept) {
			kept = append(kept, zones.Kept{Pool: b.text(), Member: b.text(), PerMille: uint16(b.count(zones.FullRamp-1, 0))})
		}
		r.spill = zones.NewSpill(kept)
	}
	for range b.count(maxChecks, 1) {
		delete(r.statuses, health.CheckID(b.text()))
	}
	for range b.count(maxChecks, leastStatus) {
		s := b.status(r.last.At)
		r.statuses[s.Check] = &s
	}
	b.bad = b.bad || !r.known && flags&hasBasis == 0 || r.published.IsZero() || len(r.statuses) > maxChecks
	r.known = true
}

func (c *controls) read(b *reader, first time.Time) {
	c.known, c.epoch, c.index, c.time = true, b.uvarint(), b.uvarint(), b.time(first)
	head, tail, size := b.uvarint(), b.uvarint(), b.uvarint()
	have := uint64(len(c.encoded))
	if b.bad || head > have || tail > have-head || size > uint64(len(b.b)) || head+tail+size > control.MaxStateBytes {
		b.bad = true
		return
	}
	c.encoded = slices.Concat(c.encoded[:head], b.take(int(size)), c.encoded[have-tail:])
}

// Moment returns what was in force before the last entry, or at the end of what can be read; nil before the first moment. The error wraps
// ErrDamaged.
func (r *Reader) Moment() (*Moment, error) {
	if !r.known {
		return nil, nil
	}
	m := &Moment{Published: r.published, Basis: r.basis, Spill: r.spill, Digest: r.digest}
	if r.control.known {
		var err error
		if m.Control, err = control.Decode(r.control.encoded); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		m.Control.Epoch, m.Control.Index, m.Control.Time = r.control.epoch, r.control.index, r.control.time.UTC()
	}
	statuses := make([]health.Status, 0, len(r.statuses))
	for _, id := range slices.Sorted(maps.Keys(r.statuses)) {
		statuses = append(statuses, *r.statuses[id])
	}
	m.Health = health.NewView(statuses)
	return m, nil
}

// A reader takes a body apart; once bad, it gives zeros.
type reader struct {
	b     []byte
	bad   bool
	zone  *time.Location
	texts []string // that the segment has named, by number
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) hash() health.Hash64 {
	if b := r.take(8); b != nil {
		return health.Hash64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad || size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads a number of items, each of at least size bytes, so that a lie can't make us reserve memory.
func (r *reader) count(most, size int) int {
	n := r.uvarint()
	if n > uint64(most) || n*uint64(size) > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) state() health.State {
	s := health.State(r.byte())
	r.bad = r.bad || s > health.Drain
	return min(s, health.Drain)
}

// reason may be one that only a newer version knows.
func (r *reader) reason() health.Reason { return health.Reason(r.byte()) }
