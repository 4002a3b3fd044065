package disk

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A memory is a file that knows what a loss of power would take.
type memory struct {
	unsynced, closed int
	err              error // of the next write
}

func (m *memory) Write(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	m.unsynced += len(b)
	return len(b), nil
}

func (m *memory) Sync() error  { m.unsynced = 0; return nil }
func (m *memory) Close() error { m.closed++; return nil }

func TestTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tail Tail
		wait := func(d time.Duration) {
			t.Helper()
			over := time.After(d)
			for {
				select {
				case <-tail.Due():
					if err := tail.Sync(); err != nil {
						t.Error(err)
					}
				case <-over:
					return
				}
			}
		}
		write := func() error {
			_, err := tail.Write([]byte("word"))
			return err
		}
		if tail.Open() || tail.Due() != nil || tail.Sync() != nil || tail.End() != nil {
			t.Error("the zero value has a file")
		}
		first := new(memory)
		tail.Begin(first)
		if err := write(); err != nil || !tail.Open() {
			t.Fatalf("Write = %v, open %v", err, tail.Open())
		}
		wait(SyncEvery - time.Second)
		if err := write(); err != nil || first.unsynced != 8 {
			t.Errorf("before it is due %d bytes are unsynced, %v, want both words", first.unsynced, err)
		}
		if wait(time.Second + 1); first.unsynced != 0 {
			t.Errorf("%v after the first write %d bytes are unsynced", SyncEvery, first.unsynced)
		}

		// A write that fails just after one that did not.
		if err := write(); err != nil {
			t.Fatal(err)
		}
		first.err = errors.New("no space left on device")
		if err := write(); !errors.Is(err, first.err) {
			t.Errorf("Write = %v, want %v", err, first.err)
		}
		if tail.Abandon(); tail.Open() || first.closed != 1 || first.unsynced != 0 {
			t.Errorf("after Abandon: open %v, closed %d times, %d bytes unsynced", tail.Open(), first.closed, first.unsynced)
		}
		wait(2 * SyncEvery)
		second := new(memory)
		tail.Begin(second)
		for range 3 {
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if wait(SyncEvery + 1); second.unsynced != 0 {
				t.Errorf("%v after a write to the next file %d bytes are unsynced", SyncEvery, second.unsynced)
			}
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if err := tail.End(); err != nil || tail.Open() || second.closed != 1 || second.unsynced != 0 {
			t.Errorf("End = %v: open %v, closed %d times, %d bytes unsynced", err, tail.Open(), second.closed, second.unsynced)
		}
	})
}
