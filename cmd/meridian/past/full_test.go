package past

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
	"github.com/meridian-gslb/meridian/cmd/meridian/disk/disktest"
)

func (n *node) onDisk() *disktest.Platter {
	p := new(disktest.Platter)
	n.create = p.Create
	return p
}

// After a write that failed, what is written later is on disk as soon as ever.
func TestSyncedAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := open(t, t.TempDir(), roomy, start)
		p := n.onDisk()
		n.start()
		n.publish(1, start)
		synctest.Wait()
		time.Sleep(time.Second)
		p.SetRoom(func([]byte) int { return 0 })
		n.publish(2, start.Add(time.Second))
		synctest.Wait()
		time.Sleep(retryAfter + 1)
		p.SetRoom(nil)
		for i := range 3 {
			n.publish(3+i, n.time().Add(time.Minute))
			if time.Sleep(disk.SyncEvery + 1); p.Unsynced() != 0 {
				t.Errorf("%v after moment %d %d bytes are not on disk", disk.SyncEvery, 3+i, p.Unsynced())
			}
		}
		n.end(n.time())
	})
}

// However often a full disk is tried, no segment stays in which nothing is.
func TestFullDisk(t *testing.T) {
	for _, tt := range []struct {
		name string
		room func(b []byte) int
	}{
		{"nothing is taken", func([]byte) int { return 0 }},
		{"half of it", func(b []byte) int { return len(b) / 2 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				n := open(t, t.TempDir(), roomy, start)
				p := n.onDisk()
				p.SetRoom(tt.room)
				n.start()
				for i := range 20 {
					n.publish(i, n.time().Add(time.Second))
					time.Sleep(retryAfter + 1)
				}
				synctest.Wait()
				if left := files(t, n.cfg.Dir); len(left) > 0 || len(n.segments) > 0 {
					t.Errorf("after 20 tries there are %v, and %d segments are known, want none", left, len(n.segments))
				}
				p.SetRoom(nil)
				n.publish(20, n.time().Add(time.Second))
				n.want(n.time(), "20")
				n.end(n.time())
			})
		})
	}
}

// A number that is taken is no reason to write no more.
func TestTakenNumber(t *testing.T) {
	n := open(t, t.TempDir(), roomy, morning)
	for number := range uint64(3) {
		if err := os.WriteFile(filepath.Join(n.cfg.Dir, disk.Numbered(number+1, segmentSuffix)), []byte("of somebody else"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	n.publish(1, morning)
	n.want(morning, "1")
	n.end(morning)
	if n.log.Len() > 0 {
		t.Errorf("log: %s, want nothing", n.log)
	}
}
