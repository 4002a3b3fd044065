package past

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

const (
	worldPrefix = "world-"
	worldSuffix = ".pack"
)

func (s *Store) worldFile(digest health.Hash64) string {
	return filepath.Join(s.cfg.Dir, worldPrefix+digest.String()+worldSuffix)
}

// KeepWorld keeps a world that is packed in a file of the same file system, as long as there are moments of it. It keeps the file itself, by
// another name, so that it costs nothing while both are there.
func (s *Store) KeepWorld(digest health.Hash64, file string) error {
	name := s.worldFile(digest)
	if err := os.Link(file, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("past: %w", err)
	}
	now := s.now()
	if err := os.Chtimes(name, now, now); err != nil { // by its time it is told whether there are moments of it
		return fmt.Errorf("past: %w", err)
	}
	s.pruneWorlds(digest)
	return nil
}

// World returns the file of a world that is kept; the error wraps fs.ErrNotExist if it is not.
func (s *Store) World(digest health.Hash64) (file string, err error) {
	file = s.worldFile(digest)
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("past: %w", err)
	}
	return file, nil
}

// Worlds returns the files of all worlds that are kept, the one that was in force last first.
func (s *Store) Worlds() []string {
	var files []string
	for _, w := range s.listWorlds() {
		files = append(files, s.worldFile(w.digest))
	}
	return files
}

// inForce notes that a moment of a world was written.
func (s *Store) inForce(digest health.Hash64) {
	s.mu.Lock()
	before := s.world
	s.world = digest
	s.mu.Unlock()
	if before != digest && before != 0 {
		s.touchWorld(before)
	}
}

// touch notes that the world in force is.
func (s *Store) touch() {
	s.mu.Lock()
	digest := s.world
	s.mu.Unlock()
	s.touchWorld(digest)
	s.pruneWorlds(digest)
}

func (s *Store) touchWorld(digest health.Hash64) {
	now := s.now()
	_ = os.Chtimes(s.worldFile(digest), now, now) // it may not be kept
}

// A kept world was in force last, or came to be kept, at a time.
type kept struct {
	digest health.Hash64
	last   time.Time
	size   int64
}

// listWorlds lists what is kept, the latest first.
func (s *Store) listWorlds() []kept {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return nil
	}
	var all []kept
	for _, e := range entries {
		text, isWorld := strings.CutPrefix(e.Name(), worldPrefix)
		text, isPack := strings.CutSuffix(text, worldSuffix)
		digest, err := strconv.ParseUint(text, 16, 64)
		if !isWorld || !isPack || err != nil || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil {
			all = append(all, kept{health.Hash64(digest), info.ModTime(), info.Size()})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return b.last.Compare(a.last) })
	return all
}

// pruneWorlds removes the worlds of which there are no moments any more, and those in force longest ago that are too many or too large; but not
// the one in force, nor another one that is named.
func (s *Store) pruneWorlds(named health.Hash64) {
	s.mu.Lock()
	force, oldest := s.world, s.now()
	for i := range s.segments {
		if first := s.segments[i].head.First; !first.IsZero() && first.Before(oldest) {
			oldest = first
		}
	}
	s.mu.Unlock()
	all := s.listWorlds()
	total, count := int64(0), 0
	stays := func(w kept) bool { return w.digest == force || w.digest == named }
	for _, w := range all {
		if stays(w) {
			total, count = total+w.size, count+1
		}
	}
	for _, w := range all {
		if stays(w) {
			continue
		}
		if count < maxWorlds && total+w.size <= s.cfg.Limits.Worlds && !w.last.Before(oldest) {
			total, count = total+w.size, count+1
			continue
		}
		if err := os.Remove(s.worldFile(w.digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Logger.Error("an old world is not removed", "err", err)
		}
	}
	s.mu.Lock()
	s.worlds = total
	s.mu.Unlock()
}
