package past

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/zones/replay"
)

const segmentSuffix = ".segment"

// list finds the segments of earlier processes, and returns when the last of them was written to.
func (s *Store) list() (after time.Time, err error) {
	entries, err := os.ReadDir(s.cfg.Dir) // in the order of the names, which is that of the numbers
	if err != nil {
		return after, err
	}
	for _, e := range entries {
		number, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), segmentSuffix), 10, 63)
		if !strings.HasSuffix(e.Name(), segmentSuffix) || err != nil || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return after, err
		}
		after = info.ModTime()
		s.number = number
		s.segments = append(s.segments, segment{name: e.Name(), head: s.headOf(e.Name()), size: info.Size(), age: max(0, s.run.Sub(after))})
	}
	return after, nil
}

// headOf returns the head of a segment; zero if it can't be read, which is what a crash leaves of a segment that has just begun.
func (s *Store) headOf(name string) replay.Head {
	file, err := os.Open(filepath.Join(s.cfg.Dir, name))
	if err != nil {
		s.cfg.Logger.Warn("a segment of the past can't be read", "err", err)
		return replay.Head{}
	}
	defer file.Close()
	r, err := replay.NewReader(file, time.UTC)
	if err != nil {
		s.cfg.Logger.Warn("a segment of the past can't be read", "file", file.Name(), "err", err)
		return replay.Head{}
	}
	return r.Head()
}

// begin ends the segment that is written and opens the next one. b is what it will begin with.
func (s *Store) begin(b []byte) error {
	if err := s.tail.End(); err != nil {
		return err
	}
	head, err := replay.HeadOf(b)
	if err != nil {
		return err
	}
	file, number, err := disk.Next(s.cfg.Dir, s.number, segmentSuffix, s.create)
	if err != nil {
		return err
	}
	name := disk.Numbered(number, segmentSuffix)
	if err := disk.SyncDir(s.cfg.Dir); err != nil {
		return errors.Join(err, file.Close(), os.Remove(filepath.Join(s.cfg.Dir, name)))
	}
	s.tail.Begin(file)
	s.mu.Lock()
	s.number = number
	s.segments = append(s.segments, segment{name: name, head: head, own: true, written: time.Since(s.started)})
	s.mu.Unlock()
	return nil
}

// discard removes the newest segment, of which nothing can be read, or each try on a full disk would leave one.
func (s *Store) discard() error {
	last := len(s.segments) - 1 // only the goroutine of Run changes them, and that is this one
	if err := os.Remove(filepath.Join(s.cfg.Dir, s.segments[last].name)); err != nil {
		return err
	}
	s.mu.Lock()
	s.segments = s.segments[:last]
	s.mu.Unlock()
	return nil
}

// prune removes the oldest segments that are too many, too large or too old, but never the newest.
func (s *Store) prune() {
	elapsed := time.Since(s.started)
	for {
		s.mu.Lock()
		var remove string
		if len(s.segments) > 1 {
			total := int64(0)
			for i := range s.segments {
				total += s.segments[i].size
			}
			first := &s.segments[0]
			age := first.age + elapsed
			if first.own {
				age = elapsed - first.written
			}
			if total > s.cfg.Limits.Bytes || len(s.segments) > maxSegments || age > s.cfg.Limits.Keep {
				remove = first.name
			}
		}
		s.mu.Unlock()
		if remove == "" {
			return
		}
		if err := os.Remove(filepath.Join(s.cfg.Dir, remove)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.cfg.Logger.Error("an old segment of the past is not removed", "err", err)
		}
		s.mu.Lock()
		s.segments = s.segments[1:]
		s.mu.Unlock()
	}
}
