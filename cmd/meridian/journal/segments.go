package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/health"
)

const (
	segmentSuffix = ".jsonl"
	asideInfix    = segmentSuffix + ".damaged-" // and when
	newSuffix     = segmentSuffix + ".new"
)

// A segment is a file. Its age is told by a clock that nobody sets, since another one could make all of them look old at once.
type segment struct {
	name        string
	number      uint64
	bytes       int64 // on disk
	size        int64 // that may be read
	first, last time.Time
	age         time.Duration // when this process began, of segments of earlier ones
	written     time.Duration // since this process began: the last event, of its own segments
	own         bool
	touched     time.Time // by the clock of the file system
	contents    *contents // of what may be read
}

func (s *Store) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// list finds the files of earlier processes.
func (s *Store) list() error {
	entries, err := os.ReadDir(s.cfg.Dir) // in the order of the names, which is that of the numbers
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if strings.HasSuffix(e.Name(), newSuffix) { // its writer was stopped
			if err := os.Remove(s.path(e.Name())); err != nil {
				return err
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		seg := segment{name: e.Name(), bytes: info.Size(), size: info.Size(), touched: info.ModTime(), age: max(0, s.cfg.Now().Sub(info.ModTime())), contents: new(contents)}
		if strings.Contains(e.Name(), asideInfix) {
			s.aside = append(s.aside, seg)
			continue
		}
		digits, isSegment := strings.CutSuffix(e.Name(), segmentSuffix)
		if seg.number, err = strconv.ParseUint(digits, 10, 63); !isSegment || err != nil {
			continue
		}
		s.number = seg.number
		s.segments = append(s.segments, seg)
	}
	return nil
}

// index reads the segments of earlier processes once, to know of which times they are. It returns the kind of the last
// event, and until when the last process is known to have run.
func (s *Store) index() (last health.EventKind, at time.Time) {
	for i := range s.segments { // only the writer changes it, and that is this goroutine
		seg := s.segments[i]
		kind, err := s.look(&seg)
		if err != nil {
			s.cfg.Logger.Error("a segment of the journal can't be read as it should be", "file", s.path(seg.name), "err", err)
		}
		if kind != "" {
			last, at = kind, seg.last
			if seg.touched.After(at) {
				at = seg.touched
			}
		}
		s.mu.Lock()
		s.segments[i] = seg
		s.mu.Unlock()
	}
	return last, at
}

// look reads a segment and sets aside what is damaged.
func (s *Store) look(seg *segment) (last health.EventKind, err error) {
	found, last, err := s.survey(seg)
	if err != nil {
		seg.size = 0
		return "", err
	}
	if found.bad == 0 {
		seg.size = found.end
		return last, nil
	}
	seg.size = found.end // readers pass over what is damaged
	s.mu.Lock()
	s.damaged += uint64(found.bad)
	s.mu.Unlock()
	aside, err := s.setAside(seg)
	if err != nil {
		return last, fmt.Errorf("%d damaged lines: %w", found.bad, err)
	}
	s.cfg.Logger.Error("a segment of the journal was damaged; set aside, and the events that are sound are kept",
		"file", s.path(seg.name), "aside", s.path(aside.name), "lines_damaged", found.bad)
	s.mu.Lock()
	s.aside = append(s.aside, aside)
	s.mu.Unlock()
	return last, nil
}

// survey finds out of which times a segment is, and what it has.
func (s *Store) survey(seg *segment) (found scanned, last health.EventKind, err error) {
	in, err := os.Open(s.path(seg.name))
	if err != nil {
		return found, "", err
	}
	defer in.Close()
	newer := 0
	var line []byte
	found, err = scan(in, 0, func(l []byte, _ int64) bool {
		if v := versionOf(l); v > version {
			newer = v
			return false
		}
		if seg.learn(l) {
			line = append(line[:0], l...)
		}
		return true
	})
	if newer > 0 {
		return found, "", fmt.Errorf("it is of version %d, this program knows %d", newer, version)
	}
	return found, kindOf(line), err
}

// learn takes the event of a line into account, and reports whether there is one.
func (seg *segment) learn(line []byte) bool {
	at := timeOf(line)
	if at.IsZero() {
		return false
	}
	seg.span(at, at)
	seg.contents.add(line)
	return true
}

// span widens the times of a segment.
func (seg *segment) span(first, last time.Time) {
	if seg.first.IsZero() || first.Before(seg.first) {
		seg.first = first
	}
	if last.After(seg.last) {
		seg.last = last
	}
}

// setAside gives a segment another name, and puts one without the damaged lines in its place.
func (s *Store) setAside(seg *segment) (aside segment, err error) {
	aside = *seg
	aside.name = disk.Numbered(seg.number, fmt.Sprint(asideInfix, s.cfg.Now().Unix()))
	aside.age = 0
	in, err := os.Open(s.path(seg.name))
	if err != nil {
		return aside, err
	}
	defer in.Close()
	name := disk.Numbered(seg.number, newSuffix)
	out, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return aside, err
	}
	size := int64(0)
	var werr error
	_, err = scan(in, 0, func(line []byte, _ int64) bool {
		_, werr = out.Write(line)
		size += int64(len(line))
		return werr == nil
	})
	if err = errors.Join(err, werr, out.Sync(), out.Close()); err == nil {
		err = os.Link(s.path(seg.name), s.path(aside.name))
	}
	if err == nil {
		err = os.Rename(s.path(name), s.path(seg.name))
	}
	if err != nil {
		return aside, errors.Join(err, os.Remove(s.path(name)))
	}
	seg.bytes, seg.size = size, size
	return aside, disk.SyncDir(s.cfg.Dir)
}

// append writes the lines of the buffer to the segment, or to a new one, and returns how many of them are there whole.
func (s *Store) append() (whole int, err error) {
	if s.tail.Open() && (s.newest().bytes+int64(len(s.buffer)) > s.share() || time.Since(s.begun) > segmentAge) {
		if err := s.tail.End(); err != nil {
			return 0, err
		}
	}
	var header []byte
	if !s.tail.Open() {
		header = headerOf(s.cfg.Node)
	}
	s.prune(int64(len(header) + len(s.buffer)))
	if !s.tail.Open() {
		if err := s.open(header); err != nil {
			return 0, err
		}
	}
	written, err := s.tail.Write(s.buffer)
	after := s.newest()
	begin := 0
	for ; whole < len(s.ends) && s.ends[whole] <= written; whole++ {
		after.learn(s.buffer[begin:s.ends[whole]])
		begin = s.ends[whole]
	}
	after.bytes, after.size, after.written = after.bytes+int64(written), after.size+int64(written), time.Since(s.started)
	s.mu.Lock()
	s.segments[len(s.segments)-1] = after
	s.mu.Unlock()
	return whole, err
}

// newest is the segment that is written. Only the goroutine of Run changes it, and calls this.
func (s *Store) newest() segment { return s.segments[len(s.segments)-1] }

// open begins a segment. Of one that is not begun whole nothing stays, or each try on a full disk would leave one.
func (s *Store) open(header []byte) error {
	out, number, err := disk.Next(s.cfg.Dir, s.number, segmentSuffix, s.create)
	if err != nil {
		return err
	}
	name := disk.Numbered(number, segmentSuffix)
	n, err := out.Write(header)
	if err == nil {
		err = disk.SyncDir(s.cfg.Dir)
	}
	if err != nil {
		return errors.Join(err, out.Close(), os.Remove(s.path(name)))
	}
	s.tail.Begin(out)
	s.begun = time.Now()
	s.mu.Lock()
	s.number = number
	s.segments = append(s.segments, segment{name: name, number: number, bytes: int64(n), size: int64(n), own: true, written: time.Since(s.started), contents: new(contents)})
	s.mu.Unlock()
	return nil
}

// discard removes the newest segment if it was begun, and no event is there whole.
func (s *Store) discard() {
	n := len(s.segments)
	if n == 0 || !s.newest().own || !s.newest().first.IsZero() {
		return
	}
	if err := os.Remove(s.path(s.newest().name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Logger.Error("an empty segment of the journal is not removed", "err", err)
		return
	}
	s.mu.Lock()
	s.segments = s.segments[:n-1]
	s.mu.Unlock()
}

// alive marks the newest segment, so that after a crash it is known until when the node ran.
func (s *Store) alive() {
	if !s.tail.Open() {
		return
	}
	s.prune(0)
	now := s.cfg.Now()
	if err := os.Chtimes(s.path(s.newest().name), now, now); err != nil {
		s.cfg.Logger.Error("journal is not marked as written to", "err", err)
	}
}

// prune makes room: it removes what is too old, and until there is room for more bytes what was set aside, and then the
// oldest segments; never the one that is written.
func (s *Store) prune(more int64) {
	for {
		name, from := s.surplus(more)
		if name == "" {
			return
		}
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.cfg.Logger.Error("an old segment of the journal is not removed", "err", err)
		}
		s.mu.Lock()
		*from = (*from)[1:]
		s.mu.Unlock()
	}
}

// surplus returns the next file that is to be removed, the first of a list; empty: none is.
func (s *Store) surplus(more int64) (name string, from *[]segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total, elapsed := more, time.Since(s.started)
	for _, list := range [][]segment{s.aside, s.segments} {
		for i := range list {
			total += list[i].bytes
		}
	}
	for _, list := range []*[]segment{&s.aside, &s.segments} {
		if len(*list) == 0 {
			continue
		}
		seg := &(*list)[0]
		if seg.own && s.tail.Open() && len(*list) == 1 {
			continue
		}
		age := seg.age + elapsed
		if seg.own {
			age = elapsed - seg.written
		}
		if total > s.cfg.Limits.Bytes || age > s.cfg.Limits.Keep {
			return seg.name, list
		}
	}
	return "", nil
}

// reader opens a segment for reading from a place on.
func (s *Store) reader(seg *segment, from int64) (io.ReadCloser, error) {
	return disk.Part(s.path(seg.name), from, seg.size)
}
