package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
)

// magic begins every segment and says the version of all that follows. Behind it are records: the length of the body and its CRC-32C, 4
// bytes each, and the body, whose first byte is its kind. The first record is a head, the second a whole moment.
const magic = "meridian past v1\n"

// A Kind says what a record tells.
type Kind byte

const (
	kindHead Kind = iota + 1
	Published
	Alive // nothing new: the node was running
	Ended // the node was stopped
)

const (
	frameSize  = 8
	maxRecord  = 64 << 20 // bytes of a body
	maxSegment = 6 * time.Hour
	backwards  = time.Second // a clock that goes back by less was only trimmed
)

// What a moment's record has, as bits of its flags.
const (
	hasBasis = 1 << iota
	hasControl
	noControl // none was known
	hasSpill
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Writer makes records. The times that it is given are those of the node's clock, which may be set back. One goroutine owns it. The
// zero Writer is not ready: use NewWriter.
type Writer struct {
	run   time.Time
	limit int

	last    *Moment // as written; nil before the first
	begun   bool    // the segment may go on
	first   time.Time
	at      time.Time // of the last record, in whatever segment; zero: never
	size    int       // bytes of the segment
	whole   int       // of these, what it began with
	texts   map[string]uint64
	control []byte // the encoded control state as the segment has it
	body    []byte
}

// NewWriter returns a writer of a process that started at a time. after is when the last record of an earlier process was written, if
// known. A segment begins when the one before has limit bytes, and at least as many differences as it takes to begin one.
func NewWriter(run, after time.Time, limit int) *Writer {
	return &Writer{run: run, at: after, limit: limit}
}

// Break has the next record begin a segment: what was written last may not be there.
func (w *Writer) Break() { w.begun = false }

// ErrTooLarge says that a moment has more in it than a record may have.
var ErrTooLarge = errors.New("moment does not fit into a record")

// Moment appends the record of a moment to b, of which so many just before were lost, and reports whether it begins a segment. After an
// error the moment is not written, and the next one is whole.
func (w *Writer) Moment(b []byte, m *Moment, lost uint64) (_ []byte, begins bool, err error) {
	return w.moment(b, m, m.Published, lost)
}

// Alive appends to b that nothing has happened since the last moment, at a time. It does nothing before the first moment.
func (w *Writer) Alive(b []byte, at time.Time) (_ []byte, begins bool, err error) {
	switch {
	case w.last == nil:
		return b, false, nil
	case w.over(at):
		return w.moment(b, w.last, at, 0)
	}
	return w.mark(b, Alive, at), false, nil
}

// Ended appends to b that the node is stopped. It does nothing where no segment has begun.
func (w *Writer) Ended(b []byte, at time.Time) (_ []byte, begins bool, err error) {
	if !w.begun {
		return b, false, nil
	}
	if w.at.Sub(at) >= backwards {
		if b, begins, err = w.moment(b, w.last, at, 0); err != nil {
			return b, false, err
		}
	}
	b = w.mark(b, Ended, at)
	w.begun = false
	return b, begins, nil
}

// over reports whether a record of a time belongs into another segment: within one, times do not go back.
func (w *Writer) over(at time.Time) bool {
	return !w.begun || w.size >= max(w.limit, 2*w.whole) || len(w.texts) >= maxTexts/2 || at.Sub(w.first).Abs() >= maxSegment || w.at.Sub(at) >= backwards
}

func (w *Writer) mark(b []byte, kind Kind, at time.Time) []byte {
	w.begin(kind, at)
	return w.frame(b)
}

func (w *Writer) moment(b []byte, m *Moment, at time.Time, lost uint64) (_ []byte, begins bool, err error) {
	before := len(b)
	begins = w.over(at)
	if begins {
		b = w.head(b, at)
	}
	was := w.last
	if begins {
		was = &Moment{}
	}
	w.begin(Published, at)
	w.body = binary.AppendUvarint(w.body, lost)
	w.body = appendTime(w.body, m.Published, w.at)
	w.body = appendHashes(w.body, m.Digest)
	flags := len(w.body)
	w.body = append(w.body, 0)
	if begins || m.Basis != was.Basis {
		w.body[flags] |= hasBasis
		w.body = appendHashes(w.body, m.Basis.World, m.Basis.Places, m.Basis.Plan)
	}
	switch {
	case m.Control == nil && (begins || was.Control != nil):
		w.body[flags] |= noControl
		w.control = nil
	case m.Control != was.Control:
		w.body[flags] |= hasControl
		w.appendControl(m.Control)
	}
	if len(was.Spill.Changed(m.Spill)) > 0 {
		w.body[flags] |= hasSpill
		w.appendSpill(m.Spill)
	}
	w.appendHealth(m.Health, was.Health)
	if size := len(w.body); size > maxRecord {
		w.begun, w.body = false, nil
		return b[:before], false, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, maxRecord)
	}
	w.last = m
	b = w.frame(b)
	if begins {
		w.whole = w.size
	}
	return b, begins, nil
}

// head begins a segment.
func (w *Writer) head(b []byte, at time.Time) []byte {
	w.begun, w.size, w.texts, w.control = true, len(magic), make(map[string]uint64), nil
	w.body = append(w.body[:0], byte(kindHead))
	w.body = appendTime(w.body, w.run, time.Time{})
	w.body = appendTime(w.body, w.at, time.Time{})
	w.body = appendTime(w.body, at, time.Time{})
	w.first, w.at = at, at
	return w.frame(append(b, magic...))
}

// begin begins the body of a record of a time, or of the time of the record before if that is later.
func (w *Writer) begin(kind Kind, at time.Time) {
	if at.After(w.at) {
		w.at = at
	}
	w.body = appendTime(append(w.body[:0], byte(kind)), w.at, w.first)
}

// frame appends the body to b as a record.
func (w *Writer) frame(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(w.body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(w.body, castagnoli))
	w.size += frameSize + len(w.body)
	return append(b, w.body...)
}

// appendControl appends a control state as what is new in its encoding. Epoch, index and time stand apart, for they are at its front and
// always new.
func (w *Writer) appendControl(s *control.State) {
	w.body = binary.AppendUvarint(w.body, s.Epoch)
	w.body = binary.AppendUvarint(w.body, s.Index)
	w.body = appendTime(w.body, s.Time, w.first)
	bare := *s.Steering()
	bare.Epoch, bare.Index, bare.Time = 0, 0, time.Time{}
	before := w.control
	w.control = bare.Encode()
	head, tail := common(before, w.control)
	w.body = binary.AppendUvarint(w.body, uint64(head))
	w.body = binary.AppendUvarint(w.body, uint64(tail))
	w.body = append(binary.AppendUvarint(w.body, uint64(len(w.control)-head-tail)), w.control[head:len(w.control)-tail]...)
}

// common returns of how many bytes at their fronts and at their ends two texts are alike; the two do not overlap.
func common(a, b []byte) (head, tail int) {
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return head, tail
}

func (w *Writer) appendSpill(s *zones.Spill) {
	kept := s.All()
	w.body = binary.AppendUvarint(w.body, uint64(len(kept)))
	for _, k := range kept {
		w.text(k.Pool)
		w.text(k.Member)
		w.body = binary.AppendUvarint(w.body, uint64(k.PerMille))
	}
}

func (w *Writer) appendHealth(v, before *health.View) {
	changed, gone := v.Since(before)
	w.body = binary.AppendUvarint(w.body, uint64(len(gone)))
	for _, id := range gone {
		w.text(string(id))
	}
	w.body = binary.AppendUvarint(w.body, uint64(len(changed)))
	for i := range changed {
		w.status(&changed[i])
	}
}
