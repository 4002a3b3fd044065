package replay

import (
	"encoding/binary"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/health"
)

// Limits of what is read; what is written keeps far below.
const (
	maxText     = 4096
	maxTexts    = 1 << 20
	maxRegions  = 1000
	maxVantages = 10_000 // of one region
	maxChecks   = 10 * health.MaxVector
	maxTerms    = 1000
	leastStatus = 9 // bytes
	maxSpilling = 1 << 20
	leastKept   = 3 // bytes
)

// Flags of a status.
const (
	statusHeld = 1 << iota
	statusHeldBack
	statusGrace
	statusDamped
	statusShadow
	statusMore // a quorum other than the default, why it is held, terms: behind the rest
)

// Flags of an opinion.
const (
	opinionFresh = 1 << iota
	opinionNear
)

// text appends a text: in full the first time that the segment has it, then by its number.
func (w *Writer) text(s string) {
	if n, known := w.texts[s]; known {
		w.body = binary.AppendUvarint(w.body, n)
		return
	}
	n := uint64(len(w.texts))
	w.body = binary.AppendUvarint(w.body, n)
	w.body = append(binary.AppendUvarint(w.body, uint64(len(s))), s...)
	w.texts[s] = n
}

func (r *reader) text() string {
	n := r.uvarint()
	switch {
	case n < uint64(len(r.texts)):
		return r.texts[n]
	case n > uint64(len(r.texts)) || n >= maxTexts:
		r.bad = true
		return ""
	}
	size := r.uvarint()
	if size > maxText {
		r.bad = true
		return ""
	}
	s := string(r.take(int(size)))
	if !r.bad {
		r.texts = append(r.texts, s)
	}
	return s
}

func (w *Writer) status(s *health.Status) {
	w.text(string(s.Check))
	flags := byte(0)
	more := s.Quorum != health.Quorum{} || s.Hold != health.HoldNone || len(s.Terms) > 0
	for i, fact := range []bool{s.Held, s.HeldBack, s.Grace, s.Damped, s.Shadow, more} {
		if fact {
			flags |= 1 << i
		}
	}
	w.body = append(w.body, byte(s.State), byte(s.Measured), flags)
	w.body = appendTime(w.body, s.Since, w.at)
	w.body = appendTime(w.body, s.Recovered, w.at)
	w.body = binary.AppendUvarint(w.body, uint64(s.Assigned))
	w.body = binary.AppendUvarint(w.body, uint64(s.Fresh))
	w.body = binary.AppendUvarint(w.body, uint64(len(s.Regions)))
	for _, vote := range s.Regions {
		w.text(string(vote.Region))
		w.body = append(w.body, byte(vote.State))
		w.body = binary.AppendUvarint(w.body, uint64(len(vote.Vantages)))
		for _, o := range vote.Vantages {
			w.text(string(o.Vantage))
			flags := byte(0)
			if o.Fresh {
				flags = opinionFresh
			}
			if o.Near {
				flags |= opinionNear
			}
			w.body = append(w.body, byte(o.State), byte(o.Reason), flags)
			w.text(o.Stale)
		}
	}
	if more {
		w.more(s)
	}
}

func (w *Writer) more(s *health.Status) {
	w.body = binary.AppendUvarint(append(w.body, byte(s.Quorum.Preset)), uint64(s.Quorum.Regions))
	w.text(string(s.Hold))
	w.body = binary.AppendUvarint(w.body, uint64(len(s.Terms)))
	for _, term := range s.Terms {
		w.text(string(term.Check))
		flags := byte(0)
		for i, fact := range []bool{term.Invert, term.Veto, term.Shadow} {
			if fact {
				flags |= 1 << i
			}
		}
		w.body = append(w.body, byte(term.State), flags)
	}
}

func (r *reader) more(s *health.Status) {
	s.Quorum.Preset, s.Quorum.Regions = health.QuorumPreset(r.byte()), r.count(maxRegions, 0)
	r.bad = r.bad || s.Quorum.Preset > health.QuorumCount
	s.Hold = health.Hold(r.text())
	for range r.count(maxTerms, 3) {
		term := health.TermState{Check: health.CheckID(r.text()), State: r.state()}
		flags := r.byte()
		term.Invert, term.Veto, term.Shadow = flags&1 != 0, flags&2 != 0, flags&4 != 0
		s.Terms = append(s.Terms, term)
	}
}

func (r *reader) status(at time.Time) (s health.Status) {
	s.Check = health.CheckID(r.text())
	s.State, s.Measured = r.state(), r.state()
	flags := r.byte()
	s.Held, s.HeldBack, s.Grace = flags&statusHeld != 0, flags&statusHeldBack != 0, flags&statusGrace != 0
	s.Damped, s.Shadow = flags&statusDamped != 0, flags&statusShadow != 0
	s.Since, s.Recovered = r.time(at), r.time(at)
	s.Assigned, s.Fresh = r.count(maxRegions*maxVantages, 0), r.count(maxRegions*maxVantages, 0)
	regions := r.count(maxRegions, 3)
	for range regions {
		vote := health.Vote{Region: geo.RegionID(r.text()), State: r.state()}
		for range r.count(maxVantages, 5) {
			o := health.Opinion{Vantage: health.NodeID(r.text()), State: r.state(), Reason: r.reason()}
			flags := r.byte()
			o.Fresh, o.Near, o.Stale = flags&opinionFresh != 0, flags&opinionNear != 0, r.text()
			vote.Vantages = append(vote.Vantages, o)
		}
		s.Regions = append(s.Regions, vote)
	}
	if flags&statusMore != 0 {
		r.more(&s)
	}
	return s
}

// appendTime appends a time exactly: 0 for the zero time, else how many seconds it is after another one, and its nanoseconds.
func appendTime(b []byte, t, from time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	d := t.Unix() - from.Unix()
	b = binary.AppendUvarint(b, 1+uint64(d<<1^d>>63)) // zigzag
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// The seconds that are read lie between the years 1 and 10000.
const (
	leastSecond = -62135596800
	mostSecond  = 253402300799
)

func (r *reader) time(from time.Time) time.Time {
	n := r.uvarint()
	if n == 0 {
		return time.Time{}
	}
	n--
	second := from.Unix() + (int64(n>>1) ^ -int64(n&1))
	nano := r.uvarint()
	if second < leastSecond || second > mostSecond || nano >= 1e9 {
		r.bad = true
		return time.Time{}
	}
	return time.Unix(second, int64(nano)).In(r.zone)
}

func appendHashes(b []byte, hashes ...health.Hash64) []byte {
	for _, h := range hashes {
		b = binary.BigEndian.AppendUint64(b, uint64(h))
	}
	return b
}
