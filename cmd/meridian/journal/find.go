package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A Query says which events are wanted.
type Query struct {
	From, To time.Time          // both included; zero: no bound
	Subject  string             // as Matches takes it
	Kinds    []health.EventKind // none: any
	Limit    int
	Newest   bool   // the last of those that fit; otherwise the first
	Cursor   string // of a page: only what came behind it; not with Newest
}

// A Page is what was found, in the order in which it was written.
type Page struct {
	Events []health.Event
	More   bool   // there are others that fit: later ones, or with Newest earlier ones
	Cursor string // behind the last event
}

// ErrCursor is wrapped by errors about a cursor that is none.
var ErrCursor = errors.New("no cursor")

// Matches reports whether an event of a subject is wanted by whoever asks for another: the same, or a name in the path
// that it is. "euw1" is wanted of "api/euw1/ipv4", and so are "api/euw1" and "api".
func Matches(subject, asked string) bool {
	return asked == "" || strings.Contains("/"+subject+"/", "/"+asked+"/")
}

// Find returns events that fit. It reads the files, two callers at a time.
func (s *Store) Find(ctx context.Context, q Query) (Page, error) {
	from, err := parseCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	if err := s.settle(ctx); err != nil {
		return Page{}, err
	}
	select {
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	case <-ctx.Done():
		return Page{}, ctx.Err()
	}
	s.mu.Lock()
	segments := slices.Clone(s.segments)
	s.mu.Unlock()
	if q.Newest {
		return s.newestOf(ctx, q, segments)
	}
	return s.oldestOf(ctx, q, segments, from)
}

// settle waits until all that was handed over is written, or at least counted.
func (s *Store) settle(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case s.flushes <- done:
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: the disk is busy: %w", ctx.Err())
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: the disk is busy: %w", ctx.Err())
	}
}

// A cursor is a place in a segment.
type cursor struct {
	number uint64
	offset int64
}

func (c cursor) String() string { return fmt.Sprintf("%d-%d", c.number, c.offset) }

func parseCursor(text string) (c cursor, err error) {
	if text == "" {
		return cursor{}, nil
	}
	number, offset, _ := strings.Cut(text, "-")
	if c.number, err = strconv.ParseUint(number, 10, 63); err == nil {
		c.offset, err = strconv.ParseInt(offset, 10, 63)
	}
	if err != nil || c.offset < 0 {
		return cursor{}, fmt.Errorf("%w: %q, want one that an answer gave, such as 12-34567", ErrCursor, text)
	}
	return c, nil
}

func (s *Store) oldestOf(ctx context.Context, q Query, segments []segment, from cursor) (p Page, err error) {
	place := from
	for i := range segments {
		seg := &segments[i]
		if seg.number < from.number {
			continue
		}
		begin := int64(0)
		if seg.number == from.number {
			begin = from.offset
		}
		err := s.each(ctx, seg, begin, &q, func(e health.Event, end int64) bool {
			if len(p.Events) == q.Limit {
				p.More = true
				return false
			}
			p.Events = append(p.Events, e)
			place = cursor{seg.number, end}
			return true
		})
		if err != nil || p.More {
			p.Cursor = place.String()
			return p, err
		}
	}
	p.Cursor = endOf(segments, from).String()
	return p, nil
}

func (s *Store) newestOf(ctx context.Context, q Query, segments []segment) (p Page, err error) {
	p.Cursor = endOf(segments, cursor{}).String()
	for i := len(segments) - 1; i >= 0 && !p.More; i-- {
		var found []health.Event // at most twice as many as are wanted
		most := q.Limit - len(p.Events)
		err := s.each(ctx, &segments[i], 0, &q, func(e health.Event, _ int64) bool {
			if found = append(found, e); len(found) > 2*most {
				p.More = true
				found = append(found[:0], found[len(found)-most:]...)
			}
			return true
		})
		if err != nil {
			return p, err
		}
		if len(found) > most {
			p.More = true
			found = found[len(found)-most:]
		}
		p.Events = append(found, p.Events...)
	}
	return p, nil
}

// endOf is the place behind all that can be read.
func endOf(segments []segment, otherwise cursor) cursor {
	if len(segments) == 0 {
		return otherwise
	}
	last := &segments[len(segments)-1]
	return cursor{last.number, last.size}
}

// each calls back with every event of a segment that fits, and where it ends, until that is false.
func (s *Store) each(ctx context.Context, seg *segment, from int64, q *Query, do func(health.Event, int64) bool) error {
	if seg.first.IsZero() || !q.To.IsZero() && seg.first.After(q.To) || seg.last.Before(q.From) || !seg.contents.may(q) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	in, err := s.reader(seg, from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // too old, since a moment ago
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer in.Close()
	f := q.filter()
	lines := 0
	var perr error
	_, err = scan(in, from, func(line []byte, end int64) bool {
		if lines++; lines%1000 == 0 && ctx.Err() != nil {
			perr = ctx.Err()
			return false
		}
		if !f.may(line) {
			return true
		}
		e, err := parseLine(line)
		if err != nil {
			perr = fmt.Errorf("journal: %s: %w: %w", seg.name, errLine, err)
			return false
		}
		return !q.fits(&e) || do(e, end)
	})
	return errors.Join(err, perr)
}

func (q *Query) fits(e *health.Event) bool {
	return !e.Time.IsZero() && !e.Time.Before(q.From) && (q.To.IsZero() || !e.Time.After(q.To)) && Matches(e.Subject, q.Subject) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind))
}

// A filter tells by its bytes that a line does not fit, which is much quicker than to decode it.
type filter struct {
	q       *Query
	subject []byte
	kinds   [][]byte
}

func (q *Query) filter() filter {
	f := filter{q: q}
	plain := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) } // else JSON writes it otherwise
	if !strings.ContainsFunc(q.Subject, plain) {
		f.subject = []byte(q.Subject)
	}
	for _, k := range q.Kinds {
		f.kinds = append(f.kinds, []byte(`"kind":"`+string(k)+`"`))
	}
	return f
}

func (f *filter) may(line []byte) bool {
	if len(f.kinds) > 0 && !slices.ContainsFunc(f.kinds, func(k []byte) bool { return bytes.Contains(line, k) }) || !bytes.Contains(line, f.subject) {
		return false
	}
	at := timeOf(line)
	return !at.IsZero() && !at.Before(f.q.From) && (f.q.To.IsZero() || !at.After(f.q.To))
}
