package replay

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// AliveEvery is how often a node that nothing happens to is to write that it is running.
const AliveEvery = time.Minute

// silent is after how long without a word a node was not running any more.
const silent = AliveEvery + 10*time.Second

// ErrOutside says that nothing is written down of a time. The error says from when to when something is.
var ErrOutside = errors.New("no replay of that time")

// A Found is what was in force at a time, and what is not sure about it.
type Found struct {
	Moment *Moment
	Twice  time.Time // up to when the clock had come before it was set back, so that the time was twice: this is the later one. Zero: it was once
	Broken time.Time // after when nothing can be read, though there may have been something before the time asked for; zero: not so
	Lost   uint64    // moments that followed and were not written down; the time may be in one of them
	Until  time.Time // of Lost: when the next one was that was written down
}

// Find returns what was in force at a time. The heads are those of all segments in the order in which they were written, zero where one can't be
// read; open opens a segment. run is when the process started that writes now, now is its clock's time; the moment's times are in the zone of now, the others in
// that of the time asked for.
//
//	the time is                                          found
//	in the future, or before all that is kept            nothing
//	after the node was stopped, and before it answered   nothing
//	more than 70 s after the last word of a process that
//	ended without one, and before the next answered      nothing
//	between two moments                                  the former
//	there twice, as the clock was set back               the moment of the second time
func Find(heads []Head, at, run, now time.Time, open func(segment int) (io.ReadCloser, error)) (*Found, error) {
	s := search{heads: slices.Clone(heads), at: at, run: run, now: now, open: open}
	if !slices.ContainsFunc(heads, Head.readable) {
		return nil, fmt.Errorf("%w: nothing is kept yet", ErrOutside)
	}
	if at.After(now) {
		return nil, s.outside()
	}
	var unread error
	for i := len(heads) - 1; i >= 0; i-- {
		if !heads[i].readable() || heads[i].First.After(at) {
			continue
		}
		f, err := s.in(i)
		if err == nil || errors.Is(err, ErrOutside) {
			return f, err
		}
		s.heads[i], unread = Head{}, err
	}
	if unread != nil {
		return nil, fmt.Errorf("what was in force at %s can't be read: %w", s.text(at), unread)
	}
	return nil, s.outside()
}

func (h Head) readable() bool { return !h.First.IsZero() }

type search struct {
	heads        []Head // a segment that turns out not to be readable loses its own
	at, run, now time.Time
	open         func(int) (io.ReadCloser, error)
}

// outside is the error of a time before or after all that is kept.
func (s *search) outside() error {
	from := s.now
	for _, h := range s.heads {
		if h.readable() && h.First.Before(from) {
			from = h.First
		}
	}
	return fmt.Errorf("%w: %s is not between %s and now, %s", ErrOutside, s.text(s.at), s.text(from), s.text(s.now))
}

// text writes a time in the zone of the one that was asked for.
func (s *search) text(t time.Time) string { return timeText(t.In(s.at.Location())) }

func timeText(t time.Time) string { return t.Truncate(time.Second).Format(time.RFC3339) }

// in looks into the last segment that begins before the time. An error that is not ErrOutside says that no moment of it can be read.
func (s *search) in(i int) (*Found, error) {
	file, err := s.open(i)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := NewReader(file, s.now.Location())
	if err != nil {
		return nil, err
	}
	f := &Found{}
	var last, next Entry
	for {
		var e Entry
		if e, err = r.Next(); err != nil {
			break
		}
		if e.At.After(s.at) {
			next = e
			break
		}
		last = e
	}
	var damage error
	if f.Moment, damage = r.Moment(); f.Moment == nil {
		if damage == nil {
			damage = fmt.Errorf("%w: no whole moment (%w)", ErrDamaged, err)
		}
		return nil, damage
	}
	if next.Kind == 0 {
		if next, err = s.beyond(i, last, errors.Is(err, ErrDamaged), f); err != nil {
			return nil, err
		}
	}
	if next.Lost > 0 {
		f.Lost, f.Until = next.Lost, next.At.In(s.at.Location())
	}
	for _, h := range s.heads[:i+1] {
		if h.After.After(s.at) && h.After.After(f.Twice) {
			f.Twice = h.After.In(s.at.Location())
		}
	}
	return f, nil
}

// beyond looks at what follows on a segment that ends before the time, and returns the first entry of it.
func (s *search) beyond(i int, last Entry, damaged bool, f *Found) (next Entry, err error) {
	after := i + 1
	for after < len(s.heads) && !s.heads[after].readable() {
		after, damaged = after+1, true
	}
	run := s.run
	if after < len(s.heads) {
		run = s.heads[after].Run
	}
	crashed := last.Kind != Ended && !s.heads[i].Run.Equal(run)
	if last.Kind == Ended || crashed && s.at.Sub(last.At) > silent {
		return next, s.notRunning(after, last)
	}
	if damaged || crashed && s.at.After(last.At) {
		f.Broken = last.At.In(s.at.Location())
	}
	if after == len(s.heads) {
		return next, nil
	}
	file, err := s.open(after)
	if err != nil {
		return next, nil // it would tell no more than whether moments were lost
	}
	defer file.Close()
	if r, err := NewReader(file, s.at.Location()); err == nil {
		next, _ = r.Next()
	}
	return next, nil
}

// notRunning is the error of a time between the last entry of a process and the next segment.
func (s *search) notRunning(after int, last Entry) error {
	how := "its last word is of"
	if last.Kind == Ended {
		how = "it was stopped at"
	}
	since := fmt.Sprintf("was started at %s and has not answered yet", s.text(s.run))
	if after < len(s.heads) {
		since = fmt.Sprintf("was started at %s and answered from %s on", s.text(s.heads[after].Run), s.text(s.heads[after].First))
	}
	return fmt.Errorf("%w: the node was not running at %s: %s %s, and it %s", ErrOutside, s.text(s.at), how, s.text(last.At), since)
}

// Notes say in sentences what is not sure about what was found.
func (f *Found) Notes() (notes []string) {
	if !f.Twice.IsZero() {
		notes = append(notes, fmt.Sprintf("the node's clock was set back from %s, so this time was twice: here it is the second one", timeText(f.Twice)))
	}
	if !f.Broken.IsZero() {
		notes = append(notes, fmt.Sprintf("what is kept breaks off after %s: something else may have been in force", timeText(f.Broken)))
	}
	if f.Lost > 0 {
		notes = append(notes, fmt.Sprintf("%d changes before %s were not written down: one of them may have been in force", f.Lost, timeText(f.Until)))
	}
	return notes
}
