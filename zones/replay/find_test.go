package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/health"
)

// A history is what nodes, one after another, have written, and an obvious account of it.
type history struct {
	w        *Writer
	run      time.Time
	segments [][]byte
	account  []line
	read     []Head // of the segments; nil: not yet
}

// A line is one record: what was in force from then on. Kind 0 is the start of a process.
type line struct {
	at     time.Time
	kind   Kind
	moment *Moment
	lost   uint64
	run    time.Time
}

func (h *history) start(at time.Time) {
	var after time.Time
	if n := len(h.account); n > 0 {
		after = h.account[n-1].at
	}
	h.run, h.w = at, NewWriter(at, after, 300)
}

func (h *history) add(b []byte, begins bool, err error, l line) {
	switch {
	case err != nil:
		panic(err)
	case len(b) == 0:
		return
	case begins:
		h.segments = append(h.segments, nil)
	}
	n := len(h.segments) - 1
	h.segments[n] = append(h.segments[n], b...)
	if last := len(h.account) - 1; last >= 0 && !begins && h.account[last].at.After(l.at) {
		if back := h.account[last].at.Sub(l.at); back >= backwards {
			panic(fmt.Sprintf("a segment goes on though the clock was set back by %v", back))
		}
		l.at = h.account[last].at
	}
	l.run = h.run
	h.account = append(h.account, l)
}

// publish writes the moment whose digest is a number.
func (h *history) publish(at time.Time, number int, lost uint64) {
	m := &Moment{Published: at, Digest: health.Hash64(number), Health: health.NewView([]health.Status{{Check: health.CheckID(fmt.Sprint("check", number))}})}
	b, begins, err := h.w.Moment(nil, m, lost)
	h.add(b, begins, err, line{at, Published, m, lost, h.run})
}

func (h *history) alive(at time.Time) {
	if h.w.last == nil {
		return
	}
	b, begins, err := h.w.Alive(nil, at)
	h.add(b, begins, err, line{at, Alive, h.w.last, 0, h.run})
}

func (h *history) end(at time.Time) {
	b, begins, err := h.w.Ended(nil, at)
	if begins { // with what was in force, since the clock was set back
		h.segments, h.account = append(h.segments, nil), append(h.account, line{at, Published, h.w.last, 0, h.run})
	}
	h.add(b, false, err, line{at, Ended, nil, 0, h.run})
}

func (h *history) heads() (heads []Head) {
	if len(h.read) == len(h.segments) {
		return h.read
	}
	defer func() { h.read = heads }()
	for _, s := range h.segments {
		r, err := NewReader(bytes.NewReader(s), time.UTC)
		if err != nil {
			heads = append(heads, Head{})
			continue
		}
		heads = append(heads, r.Head())
	}
	return heads
}

func (h *history) open(i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(h.segments[i])), nil
}

func (h *history) find(at, now time.Time) (*Found, error) {
	return Find(h.heads(), at, h.run, now, h.open)
}

// today is a time of day of the test's day.
func today(text string) time.Time {
	at, err := time.Parse("15:04:05", text)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 3, 1, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
}

// eventful has a process that is stopped, one that crashes, and one whose clock is set back and that loses moments.
func eventful() *history {
	h := &history{}
	h.start(today("12:00:00"))
	h.publish(today("12:00:01"), 1, 0)
	h.publish(today("12:10:00"), 2, 0)
	h.alive(today("12:11:00"))
	h.end(today("12:20:00"))
	h.start(today("12:30:00"))
	h.publish(today("12:30:05"), 3, 0)
	h.alive(today("12:31:05"))
	h.start(today("12:50:00"))
	h.publish(today("12:50:02"), 4, 0)
	h.publish(today("13:10:00"), 5, 0)
	h.alive(today("13:00:00"))
	h.publish(today("13:05:00"), 6, 0)
	h.publish(today("13:06:00"), 7, 3)
	return h
}

func TestFind(t *testing.T) {
	const day = "2026-03-01T"
	h := eventful()
	for _, tt := range []struct {
		name, at string
		want     int
		notes    []string
		err      string
	}{
		{"the instant of the first moment", "12:00:01", 1, nil, ""},
		{"before all that is kept", "12:00:00", 0, nil, day + "12:00:00Z is not between " + day + "12:00:01Z and now, " + day + "13:30:00Z"},
		{"between two moments", "12:09:59", 1, nil, ""},
		{"after a word that nothing happened", "12:15:00", 2, nil, ""},
		{"when the node was stopped", "12:20:00", 0, nil, "the node was not running at " + day + "12:20:00Z: it was stopped at " + day + "12:20:00Z, and it was started at " + day +
			"12:30:00Z and answered from " + day + "12:30:05Z on"},
		{"when the node had started but not answered", "12:30:02", 0, nil, "the node was not running at " + day + "12:30:02Z: it was stopped"},
		{"the last word before a crash", "12:31:05", 3, nil, ""},
		{"within a minute of it", "12:32:15", 3, []string{"what is kept breaks off after " + day + "12:31:05Z: something else may have been in force"}, ""},
		{"later than that", "12:32:16", 0, nil, "the node was not running at " + day + "12:32:16Z: its last word is of " + day + "12:31:05Z, and it was started at " + day + "12:50:00Z"},
		{"before the times that were twice", "12:59:59", 4, nil, ""},
		{"a time that was twice", "13:01:00", 5, []string{"the node's clock was set back from " + day + "13:10:00Z, so this time was twice: here it is the second one"}, ""},
		{"one of the moments that were lost", "13:05:30", 6, []string{"the node's clock was set back from " + day + "13:10:00Z, so this time was twice: here it is the second one",
			"3 changes before " + day + "13:06:00Z were not written down: one of them may have been in force"}, ""},
		{"after the times that were twice", "13:20:00", 7, nil, ""},
		{"now", "13:30:00", 7, nil, ""},
		{"in the future", "13:30:01", 0, nil, day + "13:30:01Z is not between"},
	} {
		f, err := h.find(today(tt.at), today("13:30:00"))
		if tt.err != "" {
			if !errors.Is(err, ErrOutside) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: Find(%s) = %v, want %s", tt.name, tt.at, err, tt.err)
			}
			continue
		}
		if err != nil || int(f.Moment.Digest) != tt.want || len(f.Moment.Health.Checks()) != 1 || string(f.Moment.Health.Checks()[0]) != fmt.Sprint("check", tt.want) {
			t.Errorf("%s: Find(%s) = %+v, %v, want moment %d", tt.name, tt.at, f, err, tt.want)
			continue
		}
		if got := f.Notes(); !slices.Equal(got, tt.notes) {
			t.Errorf("%s: notes %q, want %q", tt.name, got, tt.notes)
		}
	}
	if _, err := (&history{}).find(noon, noon); !errors.Is(err, ErrOutside) || !strings.Contains(err.Error(), "nothing is kept yet") {
		t.Errorf("Find without segments: %v", err)
	}
}

// A process that has not answered yet is not taken for the one before.
func TestFindBeforeTheFirstAnswer(t *testing.T) {
	h := eventful()
	h.end(today("13:15:00"))
	h.start(today("13:20:00"))
	want := "it was stopped at 2026-03-01T13:15:00Z, and it was started at 2026-03-01T13:20:00Z and has not answered yet"
	if f, err := h.find(today("13:20:30"), today("13:21:00")); !errors.Is(err, ErrOutside) || !strings.Contains(err.Error(), want) {
		t.Errorf("Find = %+v, %v, want %s", f, err, want)
	}
}

// Behind what can't be read, what is found is said to be unsure; what stands before it is not.
func TestFindInDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(h *history, segment int)
	}{
		{"cut", func(h *history, i int) { h.segments[i] = h.segments[i][:len(h.segments[i])-1] }},
		{"the next one can't be read", func(h *history, i int) { h.segments[i+1] = nil }},
		{"the next one has no moment", func(h *history, i int) { h.segments[i+1] = h.segments[i+1][:len(magic)+frameSize+30] }},
	} {
		h := &history{}
		h.start(today("12:00:00"))
		for i := range 40 {
			h.publish(today("12:00:00").Add(time.Duration(i)*time.Minute), i, 0)
		}
		if len(h.segments) < 4 {
			t.Fatalf("%d segments, want some", len(h.segments))
		}
		first := h.heads()[1].First
		tt.damage(h, 1)
		h.read = nil
		if f, err := h.find(first, today("13:00:00")); err != nil || len(f.Notes()) > 0 || !f.Moment.Published.Equal(first) {
			t.Errorf("%s: before the damage: %+v, %v, want the moment of %v", tt.name, f, err, first)
		}
		until := h.heads()[2].First
		if len(h.segments[2]) < 100 {
			until = h.heads()[3].First
		}
		f, err := h.find(until.Add(-time.Second), today("13:00:00"))
		if err != nil || f.Broken.IsZero() || !strings.Contains(fmt.Sprint(f.Notes()), "what is kept breaks off after 2026-03-01T12:") {
			t.Errorf("%s: behind the damage: %+v, %v, want that it is said", tt.name, f, err)
		}
		if f, err := h.find(until, today("13:00:00")); err != nil || len(f.Notes()) > 0 || !f.Moment.Published.Equal(until) {
			t.Errorf("%s: in the next segment: %+v, %v, want the moment of %v", tt.name, f, err, until)
		}
	}
}

// The segment that holds the time can't be told from nothing: that is an error, and not the moment before.
func TestFindWithoutAWholeMoment(t *testing.T) {
	h := eventful()
	h.segments[0] = h.segments[0][:len(h.segments[0])/4]
	if _, err := h.find(today("12:00:01"), today("13:30:00")); !errors.Is(err, ErrDamaged) {
		t.Errorf("Find of a time whose segment is cut = %v, want %v", err, ErrDamaged)
	}
}

// obvious finds what was in force by looking at every line; nil: nothing.
func (h *history) obvious(at, now time.Time) *Moment {
	last := -1
	for i, l := range h.account {
		if !l.at.After(at) {
			last = i
		}
	}
	if last < 0 || at.After(now) {
		return nil
	}
	l := h.account[last]
	crashed := last+1 == len(h.account) && !l.run.Equal(h.run) || last+1 < len(h.account) && !h.account[last+1].run.Equal(l.run)
	if l.kind == Ended || crashed && at.Sub(l.at) > silent {
		return nil
	}
	return l.moment
}

// Over random histories, with clocks that jump, crashes, ends and small segments, the search finds what looking at all lines finds.
func TestFindIsAsTheObvious(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		h := &history{}
		now := noon
		h.start(now)
		for i := range 60 {
			now = now.Add(time.Duration(rnd.Int64N(int64(40 * time.Second))))
			switch rnd.IntN(20) {
			case 0:
				now = now.Add(-time.Duration(rnd.Int64N(int64(10 * time.Minute))))
			case 1:
				now = now.Add(time.Duration(rnd.Int64N(int64(10 * time.Hour))))
			case 2:
				h.end(now)
				h.start(now.Add(time.Second))
			case 3:
				h.start(now.Add(time.Second))
			case 4, 5, 6:
				h.alive(now)
			case 7:
				now = now.Add(-time.Duration(rnd.Int64N(int64(time.Second)))) // it is trimmed
				h.publish(now, i+1, 0)
			default:
				h.publish(now, i+1, 0)
			}
		}
		latest := slices.MaxFunc(h.account, func(a, b line) int { return a.at.Compare(b.at) }).at
		for range 100 {
			at := noon.Add(time.Duration(rnd.Int64N(int64(latest.Sub(noon) + 1))))
			if rnd.IntN(3) == 0 {
				at = h.account[rnd.IntN(len(h.account))].at
			}
			want := h.obvious(at, now)
			f, err := h.find(at, now)
			switch {
			case want == nil && !errors.Is(err, ErrOutside):
				t.Fatalf("seed %d: Find(%v) = %+v, %v, want nothing", seed, at, f, err)
			case want != nil && (err != nil || told(f.Moment) != told(want)):
				t.Fatalf("seed %d: Find(%v) = %v, %v, want %v", seed, at, f, err, told(want))
			}
		}
	}
}
