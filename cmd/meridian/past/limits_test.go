package past

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-gslb/meridian/zones/replay"
)

// Segments have no more bytes than they may, and the oldest go first.
func TestBytes(t *testing.T) {
	limits := Limits{Keep: 24 * time.Hour, Bytes: 8000, Worlds: 1}
	n := begin(t, t.TempDir(), limits, morning)
	for i := range 2000 {
		n.publish(i+1, morning.Add(time.Duration(i)*time.Second))
		if i%16 == 0 {
			n.want(morning.Add(time.Duration(i)*time.Second), fmt.Sprint(i+1)) // so that none is dropped
			total := int64(0)
			for _, name := range files(t, n.cfg.Dir) {
				info, err := os.Stat(filepath.Join(n.cfg.Dir, name))
				if err != nil {
					t.Fatal(err)
				}
				total += info.Size()
			}
			if total > limits.Bytes {
				t.Fatalf("after %d snapshots %d bytes, at most %d", i+1, total, limits.Bytes)
			}
		}
	}
	n.want(morning, "is not between 2026-05-01T06:2")
	n.want(morning.Add(1990*time.Second), "1991")
	n.end(morning.Add(time.Hour))
	if len(files(t, n.cfg.Dir)) < 4 {
		t.Errorf("segments %v, want several", files(t, n.cfg.Dir))
	}
}

// What is older than it may be goes, a segment at a time; that a process restarts makes nothing younger.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		start := time.Now()
		n := begin(t, dir, roomy, start)
		hours := func(from, to int) {
			for i := from; i < to; i++ {
				n.publish(i, start.Add(time.Duration(i)*time.Hour))
				time.Sleep(time.Hour)
			}
		}
		hours(0, 20)
		n.want(start, "0")
		hours(20, 60)
		n.want(start.Add(59*time.Hour), "59")
		n.want(start.Add(36*time.Hour), "36")
		n.want(start.Add(28*time.Hour), "is not between")
		n.end(start.Add(60 * time.Hour))
		for _, name := range files(t, dir) { // files have their times of a clock that the bubble does not set
			if err := os.Chtimes(filepath.Join(dir, name), start, start.Add(60*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Hour)
		n = begin(t, dir, roomy, start.Add(80*time.Hour))
		hours(80, 81)
		n.want(start.Add(59*time.Hour), "59")
		hours(81, 90)
		n.want(start.Add(59*time.Hour), "is not between")
		n.want(start.Add(81*time.Hour), "81")
		n.end(start.Add(90 * time.Hour))
	})
}

// Who publishes never waits for the disk. What is left out is counted, and said of the time at which it was in force.
func TestSlowDisk(t *testing.T) {
	n := open(t, t.TempDir(), roomy, morning)
	for i := range 100 {
		n.publish(i+1, morning.Add(time.Duration(i)*time.Second))
	}
	n.start()
	n.want(morning.Add(99*time.Second), "100")
	n.want(morning, "is not between 2026-05-01T06:00:36Z")
	if n.dropped != 36 {
		t.Errorf("%d dropped, want 36", n.dropped)
	}
	n.end(morning.Add(2 * time.Minute))

	m := open(t, n.cfg.Dir, roomy, morning.Add(3*time.Minute))
	m.publish(200, morning.Add(3*time.Minute))
	m.write() // before it falls asleep
	for i := range maxWaiting + 2 {
		m.publish(201+i, morning.Add(4*time.Minute+time.Duration(i)*time.Second))
	}
	m.start()
	m.want(morning.Add(5*time.Minute+5*time.Second), "266")
	m.want(morning.Add(3*time.Minute), "200: ")
	m.want(morning.Add(3*time.Minute), "2 changes before 2026-05-01T06:04:02Z were not written down")
	m.end(morning.Add(6 * time.Minute))
}

// A disk that takes nothing is told of once; when it does again, a new segment goes on, and says what is missing.
func TestDiskThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := open(t, t.TempDir(), roomy, start)
		d := n.onDisk()
		n.start()
		n.publish(1, start)
		n.want(start, "1")
		synctest.Wait()
		d.Newest().Close()
		for i := range 3 {
			n.publish(i+2, start.Add(time.Duration(i+1)*time.Second))
			synctest.Wait()
			time.Sleep(time.Second)
		}
		n.want(start.Add(3*time.Second), "1")
		time.Sleep(retryAfter + 1)
		n.publish(5, start.Add(time.Minute))
		n.want(start.Add(time.Minute), "5")
		n.want(start.Add(3*time.Second), "1: 3 changes before "+start.Add(time.Minute).Format(time.RFC3339)+" were not written down")
		d.Newest().Close()
		n.publish(6, start.Add(90*time.Second))
		time.Sleep(2 * replay.AliveEvery)
		n.set(start.Add(2 * time.Minute))
		n.want(start.Add(100*time.Second), "6") // without another one that would bring it
		n.end(start.Add(2 * time.Minute))
		if n.dropped != 3 || strings.Count(n.log.String(), "not written down") != 2 {
			t.Errorf("%d dropped, log\n%s\nwant 3, and two lines", n.dropped, n.log)
		}
	})
}

// A process that does nothing is known to run, until it is killed.
func TestQuietProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := begin(t, t.TempDir(), roomy, start)
		n.publish(1, start)
		for range 100 {
			n.set(n.time().Add(replay.AliveEvery))
			time.Sleep(replay.AliveEvery)
		}
		synctest.Wait()
		m := begin(t, n.cfg.Dir, roomy, start.Add(5*time.Hour)) // n is as good as dead
		m.publish(2, start.Add(5*time.Hour))
		m.want(start.Add(99*time.Minute), "1")
		m.want(start.Add(103*time.Minute), "the node was not running at")
		m.end(start.Add(5 * time.Hour))
		n.end(start.Add(5 * time.Hour))
	})
}
