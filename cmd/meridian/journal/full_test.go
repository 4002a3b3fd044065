package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/health"
)

var errFull = errors.New("no space left on device")

// A platter is a disk that may be full, and knows what a loss of power would take.
type platter struct {
	mu       sync.Mutex
	room     func(b []byte) int // that is written of it; nil: all
	unsynced int
}

func (p *platter) set(room func(b []byte) int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = room
}

// lost is how many bytes a loss of power would take.
func (p *platter) lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unsynced
}

// A spun is a file on it.
type spun struct {
	disk.File
	on *platter
}

func (s spun) Write(b []byte) (int, error) {
	s.on.mu.Lock()
	defer s.on.mu.Unlock()
	part := b
	if s.on.room != nil {
		part = b[:s.on.room(b)]
	}
	n, err := s.File.Write(part)
	if s.on.unsynced += n; err == nil && n < len(b) {
		err = errFull
	}
	return n, err
}

func (s spun) Sync() error {
	s.on.mu.Lock()
	defer s.on.mu.Unlock()
	s.on.unsynced = 0
	return s.File.Sync()
}

func (r *run) onPlatter() *platter {
	p := new(platter)
	r.create = func(name string) (disk.File, error) {
		f, err := disk.Create(name)
		return spun{f, p}, err
	}
	return p
}

// After a write that failed, what is written later is on disk as soon as ever.
func TestSyncedAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, large, epoch)
		p := r.onPlatter()
		go r.Run(r.over)
		synctest.Wait() // that it was started is written
		p.set(func([]byte) int { return 0 })
		time.Sleep(time.Second)
		r.add(epoch, health.EventStatus, "a", "as the disk is full")
		synctest.Wait()
		if time.Sleep(2 * disk.SyncEvery); p.lost() != 0 {
			t.Errorf("%d bytes are not on disk that were written before it was full", p.lost())
		}
		p.set(nil)
		time.Sleep(retryAfter)
		for i := range 3 {
			r.add(epoch, health.EventStatus, "a", fmt.Sprint(i))
			if time.Sleep(disk.SyncEvery + 1); p.lost() != 0 {
				t.Errorf("%v after event %d %d bytes are not on disk", disk.SyncEvery, i, p.lost())
			}
		}
		if got := len(r.find(Query{Subject: "a"}).Events); got != 4 {
			t.Errorf("%d events, want 4", got)
		}
		r.end(epoch)
	})
}

// However often a full disk is tried, no segment stays in which nothing is.
func TestFullDisk(t *testing.T) {
	header := func(b []byte) bool { return strings.HasPrefix(string(b), headerStart) }
	for _, tt := range []struct {
		name string
		room func(b []byte) int
	}{
		{"nothing is taken", func([]byte) int { return 0 }},
		{"half of a header", func(b []byte) int { return len(b) / 2 }},
		{"a header and no event", func(b []byte) int {
			if header(b) {
				return len(b)
			}
			return 0
		}},
		{"a header and a part of the first event", func(b []byte) int {
			if header(b) {
				return len(b)
			}
			return 20
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				earlier := begin(t, dir, large, epoch)
				earlier.end(epoch)
				r := open(t, dir, large, epoch.Add(time.Minute))
				p := r.onPlatter()
				p.set(tt.room)
				go r.Run(r.over)
				r.add(epoch.Add(time.Hour), health.EventStatus, "a", "at last")
				for range 20 {
					time.Sleep(retryAfter + 1)
				}
				synctest.Wait()
				if left := files(t, dir, "*"); len(left) != 1 || len(r.segments) != 1 {
					t.Errorf("after 20 tries there are %v, and %d segments are known, want the one of the earlier process", left, len(r.segments))
				}
				p.set(nil)
				time.Sleep(retryAfter + 1)
				want := "0s started use1 started\n0s stopped use1 stopped\n1m0s started use1 started\n1h0m0s status a at last\n"
				if got := lines(r.find(Query{})); got != want {
					t.Errorf("when there is room:\n%swant\n%s", got, want)
				}
				r.end(epoch)
			})
		})
	}
}

// What was written whole before the disk was full stays.
func TestFullInASegment(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, large, epoch)
		p := r.onPlatter()
		go r.Run(r.over)
		r.add(epoch, health.EventStatus, "a", "before")
		synctest.Wait()
		p.set(func([]byte) int { return 20 })
		r.add(epoch, health.EventStatus, "a", "as the disk is full")
		time.Sleep(5 * retryAfter)
		p.set(nil)
		time.Sleep(retryAfter)
		if got, want := lines(r.find(Query{Subject: "a"})), "0s status a before\n0s status a as the disk is full\n"; got != want {
			t.Errorf("when there is room again:\n%swant\n%s", got, want)
		}
		if left := files(t, dir, "*"); len(left) != 2 {
			t.Errorf("there are %v, want the segment that was torn, and one", left)
		}
		r.end(epoch)
	})
}

// A number that is taken is no reason to write no more.
func TestTakenNumber(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, large, epoch)
	for number := range uint64(3) {
		if err := os.WriteFile(filepath.Join(dir, disk.Numbered(number+1, segmentSuffix)), []byte("of somebody else"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	go r.Run(r.over)
	r.add(epoch, health.EventStatus, "a", "written")
	if got, want := lines(r.find(Query{Subject: "a"})), "0s status a written\n"; got != want || r.log.Len() > 0 {
		t.Errorf("with three numbers taken: %slog %s, want %sand nothing logged", got, r.log, want)
	}
	r.end(epoch)
	if text, err := os.ReadFile(filepath.Join(dir, disk.Numbered(1, segmentSuffix))); err != nil || string(text) != "of somebody else" {
		t.Errorf("what was there is %q, %v, want it as it was", text, err)
	}
}
