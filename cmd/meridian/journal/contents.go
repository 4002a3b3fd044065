package journal

import (
	"bytes"
	"slices"
	"sync"

	"github.com/meridian-gslb/meridian/health"
)

// maxSubjects bounds what is known of a segment, for each kind: as many as a large world has targets.
const maxSubjects = 10_000

// A contents says of which kinds and subjects a segment has events, so that it need not be read for others. It may say too
// much, and never too little. The zero value has none; any goroutine may use it.
type contents struct {
	mu    sync.RWMutex
	kinds map[health.EventKind]map[string]bool // subjects of each kind; nil: more than are kept, so it may be any
}

// add takes in the event of a line.
func (c *contents) add(line []byte) {
	kind, subject := aboutOf(line)
	c.mu.Lock()
	defer c.mu.Unlock()
	subjects, known := c.kinds[health.EventKind(kind)]
	if subjects[string(subject)] || known && subjects == nil {
		return
	}
	if c.kinds == nil {
		c.kinds = make(map[health.EventKind]map[string]bool)
	}
	if !known {
		subjects = make(map[string]bool)
	}
	if len(subjects) == maxSubjects {
		subjects = nil
	} else {
		subjects[string(subject)] = true
	}
	c.kinds[health.EventKind(kind)] = subjects
}

// may reports whether there may be an event of the kinds that are wanted, about the subject.
func (c *contents) may(q *Query) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for kind, subjects := range c.kinds {
		if len(q.Kinds) > 0 && !slices.Contains(q.Kinds, kind) {
			continue
		}
		if q.Subject == "" || subjects == nil || subjects[q.Subject] {
			return true
		}
		for subject := range subjects {
			if Matches(subject, q.Subject) {
				return true
			}
		}
	}
	return false
}

// aboutOf is timeOf for kind and subject.
func aboutOf(line []byte) (kind, subject []byte) {
	kind, kindPlain := plain(line, `,"kind":"`)
	subject, subjectPlain := plain(line, `,"subject":"`)
	if kindPlain && subjectPlain {
		return kind, subject
	}
	e, _ := parseLine(line) // what does not decode nobody finds
	return []byte(e.Kind), []byte(e.Subject)
}

// plain returns the string behind a key, unless JSON has to decode it.
func plain(line []byte, key string) (text []byte, found bool) {
	_, rest, found := bytes.Cut(line, []byte(key))
	text, _, ended := bytes.Cut(rest, []byte(`"`))
	return text, found && ended && bytes.IndexByte(text, '\\') < 0
}
