package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

func open(t *testing.T, dir string, onStuck func(error)) *store {
	t.Helper()
	s, err := openStore(dir, 0, onStuck)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func entries(term, first, last uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: []byte(fmt.Sprint("data of ", i)), Extensions: []byte("x"), AppendedAt: time.Unix(int64(i), 5)})
	}
	return logs
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreKeepsLogAndVotes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	if first, err := s.FirstIndex(); first != 0 || err != nil {
		t.Errorf("FirstIndex of an empty log = %d, %v, want 0", first, err)
	}
	if v, err := s.Get([]byte("none")); len(v) != 0 || err != nil {
		t.Errorf("Get of a key that was not set = %q, %v, want nothing", v, err)
	}
	try(t, s.StoreLogs(entries(1, 1, 10)))
	try(t, s.DeleteRange(1, 3))
	try(t, s.SetUint64([]byte("CurrentTerm"), 7))
	try(t, s.Set([]byte("LastVoteCand"), []byte("v2")))
	try(t, s.Close())
	if err := s.StoreLog(entries(1, 11, 11)[0]); !errors.Is(err, errClosed) {
		t.Errorf("StoreLog after Close = %v, want %v", err, errClosed)
	}

	s, err := openStore(dir, 3, nil)
	try(t, err)
	defer s.Close()
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != 4 || last != 10 {
		t.Errorf("log is %d to %d, want 4 to 10", first, last)
	}
	var l raft.Log
	if err := s.GetLog(3, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("GetLog of a deleted entry = %v, want %v", err, raft.ErrLogNotFound)
	}
	try(t, s.GetLog(5, &l))
	if want := entries(1, 5, 5)[0]; !reflect.DeepEqual(&l, want) {
		t.Errorf("GetLog(5) = %+v, want %+v", l, want)
	}
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
		t.Errorf("CurrentTerm = %d, %v, want 7", term, err)
	}
	if v, err := s.Get([]byte("LastVoteCand")); string(v) != "v2" || err != nil {
		t.Errorf("LastVoteCand = %q, %v, want v2", v, err)
	}
}

// A hung disk is a function that the store's goroutine runs and that does not return.
func hang(s *store) (release func()) {
	gate := make(chan struct{})
	s.ops <- func(*bolt.DB) { <-gate }
	return func() { close(gate) }
}

func TestStoreGivesUpOnAHungDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Int32
		s := open(t, dir, func(err error) {
			if !strings.Contains(err.Error(), s0(dir)) {
				t.Errorf("stuck: %v, want the file named", err)
			}
			stuck.Add(1)
		})
		try(t, s.StoreLogs(entries(1, 1, 2)))
		release := hang(s)
		start := time.Now()
		if err := s.StoreLogs(entries(2, 3, 5)); !errors.Is(err, errStuck) || time.Since(start) != giveUpAfter {
			t.Errorf("StoreLogs = %v after %v, want %v after %v", err, time.Since(start), errStuck, giveUpAfter)
		}
		if stuck.Load() != 0 {
			t.Error("stuck is told before its time")
		}
		if _, err := s.Get([]byte("LastVoteCand")); !errors.Is(err, errStuck) || time.Since(start) != 2*giveUpAfter {
			t.Errorf("Get = %v after %v, want it to wait behind the write and give up", err, time.Since(start))
		}
		synctest.Wait()
		if stuck.Load() != 1 {
			t.Errorf("stuck told %d times, want 1", stuck.Load())
		}

		// What was given up on reaches the disk after all; the next append, of another leader, does away with it.
		release()
		synctest.Wait()
		if last, err := s.LastIndex(); last != 5 || err != nil {
			t.Errorf("LastIndex = %d, %v, want 5: the late write", last, err)
		}
		try(t, s.StoreLogs(entries(3, 3, 3)))
		if last, err := s.LastIndex(); last != 3 || err != nil {
			t.Errorf("LastIndex = %d, %v, want 3: nothing of the late write is left", last, err)
		}
		try(t, s.Close())
	})
}

func s0(dir string) string { return filepath.Join(dir, "raft.db") }

func TestVoteDoesNotOvertakeAWrite(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, nil)
		release := hang(s)
		if err := s.Set([]byte("LastVoteCand"), []byte("v1")); !errors.Is(err, errStuck) {
			t.Fatalf("Set = %v, want %v", err, errStuck)
		}
		got := make(chan string)
		go func() {
			v, _ := s.Get([]byte("LastVoteCand"))
			got <- string(v)
		}()
		time.Sleep(time.Second)
		release()
		if v := <-got; v != "v1" {
			t.Errorf("vote read = %q, want v1, which was written before", v)
		}
		try(t, s.Close())
	})
}

// Raft panics when the term does not reach the disk, and when an entry can't be read: so neither fails while raft runs.
func TestWhatRaftPanicsOverWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Int32
		s := open(t, dir, func(error) { stuck.Add(1) })
		s.held = true
		release := hang(s)
		done := make(chan error)
		go func() { done <- s.SetUint64([]byte("CurrentTerm"), 9) }()
		time.Sleep(time.Minute)
		release()
		try(t, <-done)
		if term, _ := s.GetUint64([]byte("CurrentTerm")); term != 9 {
			t.Errorf("CurrentTerm = %d, want 9", term)
		}

		// A bad entry is told as a stuck disk, and the goroutine of raft ends with the store.
		try(t, s.StoreLogs(entries(1, 1, 1)))
		try(t, write(s, 0, func(tx *bolt.Tx) error { return tx.Bucket(bucketLog).Put(logKey(1), []byte("garbage")) }))
		stuck.Store(0)
		ended, returned := make(chan struct{}), false
		go func() {
			defer close(ended)
			var l raft.Log
			s.GetLog(1, &l)
			returned = true
		}()
		time.Sleep(stuckAfter + 2*retryEvery)
		if stuck.Load() == 0 {
			t.Error("a bad entry was not told")
		}
		try(t, s.Close())
		<-ended
		if returned {
			t.Error("GetLog of a bad entry returned to raft, which would panic")
		}
	})
}

func TestStoreThatIsNotWhole(t *testing.T) {
	for _, tt := range []struct {
		name     string
		snapshot uint64
		prepare  func(s *store) error
		want     string
	}{
		{"gap", 0, func(s *store) error {
			return errors.Join(s.StoreLogs(entries(1, 1, 3)), s.StoreLogs(entries(1, 5, 6)))
		}, "log: entry 4 missing"},
		{"gap behind the snapshot", 2, func(s *store) error { return s.StoreLogs(entries(1, 5, 6)) }, "log: entry 3 missing"},
		{"no gap with the snapshot", 4, func(s *store) error { return s.StoreLogs(entries(1, 5, 6)) }, ""},
		{"entry in the wrong place", 0, func(s *store) error {
			return write(s, 0, func(tx *bolt.Tx) error { return tx.Bucket(bucketLog).Put(logKey(1), encodeEntry(entries(1, 2, 2)[0])) })
		}, "log: entry 1: is entry 2"},
		{"vote with a flipped bit", 0, func(s *store) error {
			sealed := encodeStable([]byte("LastVoteTerm"), []byte("12345678"))
			sealed[3] ^= 1
			return write(s, 0, func(tx *bolt.Tx) error { return tx.Bucket(bucketStable).Put([]byte("LastVoteTerm"), sealed) })
		}, "LastVoteTerm: checksum does not match"},
		{"snapshot without a log", 7, nil, "missing, beside a snapshot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.prepare != nil {
				s := open(t, dir, nil)
				try(t, errors.Join(tt.prepare(s), s.Close()))
			}
			s, err := openStore(dir, tt.snapshot, nil)
			if err == nil {
				try(t, s.Close())
			}
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), s0(dir))) {
				t.Errorf("openStore = %v, want an error that names %s and says %q", err, s0(dir), tt.want)
			}
		})
	}
}

// Whatever byte of the file goes bad, the store says so or has lost nothing.
func TestAnyDamageIsSeen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	for i := uint64(1); i <= 60; i++ {
		try(t, s.StoreLogs(entries(1, i, i)))
	}
	try(t, s.SetUint64([]byte("CurrentTerm"), 7))
	try(t, s.DeleteRange(1, 5))
	try(t, s.Close())
	whole, err := os.ReadFile(s0(dir))
	try(t, err)
	seen := 0
	const rounds = 150
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 0))
		other := bytes.Clone(whole)
		for range 1 + r.IntN(20) {
			other[r.IntN(len(other))] ^= byte(1 + r.IntN(255))
		}
		dir := t.TempDir()
		try(t, os.WriteFile(s0(dir), other, 0o600))
		s, err := openStore(dir, 5, nil)
		if err != nil {
			seen++
			continue
		}
		// bbolt falls back to the page before a damaged meta page: the last write is undone then, and only that.
		if last, err := s.LastIndex(); last != 60 || err != nil {
			t.Errorf("seed %d: LastIndex = %d, %v, want 60", seed, last, err)
		}
		if term, err := s.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
			t.Errorf("seed %d: CurrentTerm = %d, %v, want 7", seed, term, err)
		}
		for i := uint64(6); i <= 60; i++ {
			var l raft.Log
			if err := s.GetLog(i, &l); err != nil || string(l.Data) != fmt.Sprint("data of ", i) {
				t.Errorf("seed %d: GetLog(%d) = %q, %v", seed, i, l.Data, err)
			}
		}
		try(t, s.Close())
	}
	if seen == 0 {
		t.Error("no damage was seen")
	}
	t.Logf("%d of %d seen", seen, rounds)
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(uint64(5), encodeEntry(entries(1, 5, 5)[0]))
	f.Add(uint64(0), []byte{entryVersion, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, index uint64, data []byte) {
		for _, b := range [][]byte{data, sealed(data)} { // most never pass the checksum
			l, err := decodeEntry(index, b)
			if err != nil {
				continue
			}
			again, err := decodeEntry(index, encodeEntry(&l))
			if err != nil || !reflect.DeepEqual(again, l) {
				t.Errorf("decodeEntry(%x) = %+v, and that encoded = %+v, %v", b, l, again, err)
			}
		}
	})
}

func sealed(b []byte) []byte { return encodeStable(nil, b) }
