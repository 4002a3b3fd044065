package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/cmd/meridian/disk/disktest"
	"github.com/meridian-gslb/meridian/health"
)

func (r *run) onPlatter() *disktest.Platter {
	p := new(disktest.Platter)
	r.create = p.Create
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
		p.SetRoom(func([]byte) int { return 0 })
		time.Sleep(time.Second)
		r.add(epoch, health.EventStatus, "a", "as the disk is full")
		synctest.Wait()
		if time.Sleep(2 * disk.SyncEvery); p.Unsynced() != 0 {
			t.Errorf("%d bytes are not on disk that were written before it was full", p.Unsynced())
		}
		p.SetRoom(nil)
		time.Sleep(retryAfter + 1)
		for i := range 3 {
			r.add(epoch, health.EventStatus, "a", fmt.Sprint(i))
			if time.Sleep(disk.SyncEvery + 1); p.Unsynced() != 0 {
				t.Errorf("%v after event %d %d bytes are not on disk", disk.SyncEvery, i, p.Unsynced())
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
				p.SetRoom(tt.room)
				go r.Run(r.over)
				r.add(epoch.Add(time.Hour), health.EventStatus, "a", "at last")
				for range 20 {
					time.Sleep(retryAfter + 1)
				}
				synctest.Wait()
				if left := files(t, dir, "*"); len(left) != 1 || len(r.segments) != 1 {
					t.Errorf("after 20 tries there are %v, and %d segments are known, want the one of the earlier process", left, len(r.segments))
				}
				p.SetRoom(nil)
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
		p.SetRoom(func([]byte) int { return 20 })
		r.add(epoch, health.EventStatus, "a", "as the disk is full")
		time.Sleep(5 * retryAfter)
		p.SetRoom(nil)
		time.Sleep(retryAfter + 1)
		synctest.Wait()
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
