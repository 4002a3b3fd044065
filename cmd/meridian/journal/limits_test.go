package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/health"
)

func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	for _, name := range files(t, dir, "*") {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

func TestBytes(t *testing.T) {
	dir := t.TempDir()
	limits := Limits{Keep: 24 * time.Hour, Bytes: MinBytes}
	r := begin(t, dir, limits, epoch)
	random := rand.New(rand.NewPCG(1, 2))
	const written = 400
	for i := range written {
		r.add(epoch.Add(time.Duration(i)*time.Second), health.EventStatus, "a", fmt.Sprint(i, strings.Repeat("x", random.IntN(20_000))))
		r.find(Query{Newest: true, Limit: 1})
		if total := size(t, dir); total > MinBytes {
			t.Fatalf("after %d events %d bytes, want at most %d", i+1, total, MinBytes)
		}
	}
	p := r.find(Query{Subject: "a"})
	if n := len(p.Events); n < 80 || n > written-10 {
		t.Errorf("%d events are kept, want what fits", n)
	}
	if last := p.Events[len(p.Events)-1]; !strings.HasPrefix(last.Text, fmt.Sprint(written-1)) {
		t.Errorf("the last event that is kept is %.20s, want the newest", last.Text)
	}
	r.end(epoch)

	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016d%s9", 1, asideInfix)), make([]byte, MinBytes/2), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(files(t, dir, "*"+segmentSuffix))
	r = begin(t, dir, limits, epoch)
	r.find(Query{})
	if total, after := size(t, dir), len(files(t, dir, "*"+segmentSuffix)); total > MinBytes || after < before {
		t.Errorf("with a damaged file %d bytes and %d segments, of %d, want that to go first", total, after, before)
	}
	r.end(epoch)
}

// Whatever an event has, it is a line.
func TestLongEvent(t *testing.T) {
	e := health.Event{Time: epoch, Kind: health.EventConfig, Subject: strings.Repeat("<", 1<<20), Text: strings.Repeat("\x01é", 1<<20), Evidence: &health.Evidence{Assigned: 3}}
	line := appendLine(nil, e)
	got, err := parseLine(line)
	if !sound(line) || err != nil || len(got.Text) < maxText-10 || got.Evidence != nil {
		t.Errorf("a long event is a line of %d bytes, sound %v, %v", len(line), sound(line), err)
	}
}

func TestAge(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, dir, Limits{Keep: 73 * time.Hour, Bytes: MinBytes}, epoch)
		for day := range 10 {
			r.add(epoch.Add(time.Duration(day)*24*time.Hour), health.EventStatus, "a", fmt.Sprint("day ", day))
			time.Sleep(24*time.Hour + time.Second)
		}
		if got, want := lines(r.find(Query{Subject: "a"})), "168h0m0s status a day 7\n192h0m0s status a day 8\n216h0m0s status a day 9\n"; got != want {
			t.Errorf("after ten days of which three are kept:\n%swant\n%s", got, want)
		}
		r.set(epoch.Add(10 * 365 * 24 * time.Hour)) // a clock that is wrong makes nothing old
		time.Sleep(5 * time.Minute)
		if got := len(r.find(Query{Subject: "a"}).Events); got != 3 {
			t.Errorf("after the clock was set %d events, want 3", got)
		}
		r.end(epoch)
	})
}

// A stuck is a file on a disk that takes nothing until it is let go, or fails.
type stuck struct {
	disk.File
	let <-chan struct{}
	err func() error
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.let
	if err := s.err(); err != nil {
		n, _ := s.File.Write(b[:len(b)/2])
		return n, err
	}
	return s.File.Write(b)
}

func (r *run) on(let <-chan struct{}, err func() error) {
	r.create = func(name string) (disk.File, error) {
		f, cerr := disk.Create(name)
		return &stuck{f, let, err}, cerr
	}
}

func TestSlowDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, large, epoch)
		let := make(chan struct{})
		r.on(let, func() error { return nil })
		go r.Run(r.over)
		synctest.Wait()
		const lost = 7
		for i := range maxWaiting + lost - 1 { // that it was started waits too
			r.add(epoch.Add(time.Duration(i)), health.EventStatus, "a", "")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := r.Find(ctx, Query{Limit: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Find on a disk that hangs = %v, want an error in time", err)
		}
		close(let)
		synctest.Wait()
		r.add(epoch.Add(time.Hour), health.EventStatus, "a", "after it")
		if got := len(r.find(Query{Subject: "a", Limit: 2 * maxWaiting}).Events); got != maxWaiting {
			t.Errorf("%d events, want %d and the one after it", got, maxWaiting-1)
		}
		p := r.find(Query{Newest: true, Limit: 2})
		if p.Events[0].Kind != health.EventGap || p.Events[0].Text != fmt.Sprintf("%d events were not written down: the disk was too slow or failed", lost) || p.Events[1].Text != "after it" || r.dropped != lost {
			t.Errorf("the last events are\n%swith %d dropped, want %d to be missed before the last", lines(p), r.dropped, lost)
		}
		r.end(epoch)
	})
}

func TestDiskThatFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, large, epoch)
		let := make(chan struct{})
		close(let)
		full := errors.New("no space left on device")
		until := time.Now().Add(35 * time.Second)
		headers := 0
		r.on(let, func() error {
			if headers++; time.Now().Before(until) && headers%2 == 0 {
				return full
			}
			return nil
		})
		go r.Run(r.over)
		for i := range 100 {
			r.add(epoch.Add(time.Duration(i)*time.Second), health.EventStatus, "a", "")
		}
		synctest.Wait()
		if p := r.find(Query{}); len(p.Events) > 60 {
			t.Errorf("%d events while the disk fails, want some", len(p.Events))
		}
		time.Sleep(time.Minute)
		seen := make(map[time.Duration]int)
		for _, e := range r.find(Query{Subject: "a"}).Events {
			seen[e.Time.Sub(epoch)]++
		}
		for i := range 100 {
			if n := seen[time.Duration(i)*time.Second]; n != 1 {
				t.Errorf("event %d is there %d times, want once", i, n)
			}
		}
		if n := strings.Count(r.log.String(), "journal is not written"); n < 1 || n > 4 {
			t.Errorf("the log says %d times that the disk fails, want once in %v", n, retryAfter)
		}
		r.end(epoch)
	})
}
