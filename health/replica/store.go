package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

const (
	giveUpAfter = 5 * time.Second  // then an operation is an error, and a leader steps down
	stuckAfter  = 10 * time.Second // then OnStuck is told
	retryEvery  = time.Second      // of a write that must not fail
	lockWithin  = time.Second
	maxQueued   = 64
)

var (
	bucketLog    = []byte("log")
	bucketStable = []byte("stable")

	errStuck  = errors.New("the disk does not answer")
	errClosed = errors.New("closed")
)

// A store is the log and the votes of one voter, in one bbolt file.
//
// One goroutine does all reads and writes in the order they were asked for, so that nothing overtakes
// a write whose caller gave up: it may still reach the disk, and a vote read before it could be given twice.
type store struct {
	path    string
	onStuck func(error)
	ops     chan func(*bolt.DB)
	closing chan struct{} // closed: no operation waits any longer
	closed  chan struct{} // closed: the file is closed
	close   sync.Once
	db      *bolt.DB

	held bool // set before raft runs: see hold
}

func (s *store) run() {
	defer close(s.closed)
	defer s.db.Close()
	for {
		select {
		case op := <-s.ops:
			watch := time.AfterFunc(stuckAfter, func() { s.stuck(errStuck) })
			op(s.db)
			watch.Stop()
		case <-s.closing:
			return
		}
	}
}

func (s *store) stuck(err error) {
	if s.onStuck != nil {
		s.onStuck(fmt.Errorf("replica: %s: %w", s.path, err))
	}
}

// Close ends all waiting and closes the file; it reports a disk that does not let go of it in time.
func (s *store) Close() error {
	s.close.Do(func() { close(s.closing) })
	select {
	case <-s.closed:
		return nil
	case <-time.After(giveUpAfter):
		return fmt.Errorf("replica: close %s: %w", s.path, errStuck)
	}
}

// ask has an operation done and waits for it, at most for limit; 0: however long it takes.
// The operation may run after its caller gave up, so it must own all that it touches.
func ask[T any](s *store, limit time.Duration, op func(*bolt.DB) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	answers := make(chan answer, 1)
	run := func(db *bolt.DB) {
		var a answer
		a.err = guard(func() (err error) { a.value, err = op(db); return err })
		answers <- a
	}
	var over <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	select {
	case s.ops <- run:
	case <-over:
		return none, fmt.Errorf("replica: %s: %w", s.path, errStuck)
	case <-s.closing:
		return none, errClosed
	}
	select {
	case a := <-answers:
		if a.err != nil && !errors.Is(a.err, raft.ErrLogNotFound) {
			a.err = fmt.Errorf("replica: %s: %w", s.path, a.err)
		}
		return a.value, a.err
	case <-over:
		return none, fmt.Errorf("replica: %s: %w", s.path, errStuck)
	case <-s.closing:
		return none, errClosed
	}
}

func write(s *store, limit time.Duration, f func(tx *bolt.Tx) error) error {
	_, err := ask(s, limit, func(db *bolt.DB) (struct{}, error) { return struct{}{}, db.Update(f) })
	return err
}

func read[T any](s *store, limit time.Duration, f func(tx *bolt.Tx) (T, error)) (T, error) {
	return ask(s, limit, func(db *bolt.DB) (value T, err error) {
		return value, db.View(func(tx *bolt.Tx) error { value, err = f(tx); return err })
	})
}

// hold runs an operation that raft answers with a panic when it fails: a full disk must not end a process that
// also answers queries. It tries until it succeeds, or ends the goroutine of raft when the store is closed.
func (s *store) hold(op func() error) error {
	var since time.Time
	for {
		err := op()
		if err == nil || errors.Is(err, raft.ErrLogNotFound) || !s.held {
			return err
		}
		if errors.Is(err, errClosed) {
			runtime.Goexit()
		}
		if since.IsZero() {
			since = time.Now()
		} else if time.Since(since) >= stuckAfter {
			s.stuck(err)
		}
		select {
		case <-time.After(retryEvery):
		case <-s.closing:
		}
	}
}

func logKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// FirstIndex implements raft.LogStore.
func (s *store) FirstIndex() (uint64, error) { return s.edge((*bolt.Cursor).First) }

// LastIndex implements raft.LogStore.
func (s *store) LastIndex() (uint64, error) { return s.edge((*bolt.Cursor).Last) }

func (s *store) edge(end func(*bolt.Cursor) (k, v []byte)) (uint64, error) {
	return read(s, giveUpAfter, func(tx *bolt.Tx) (uint64, error) {
		k, _ := end(tx.Bucket(bucketLog).Cursor())
		if k == nil {
			return 0, nil
		}
		return binary.BigEndian.Uint64(k), nil
	})
}

// GetLog implements raft.LogStore.
func (s *store) GetLog(index uint64, log *raft.Log) error {
	return s.hold(func() error {
		entry, err := read(s, 0, func(tx *bolt.Tx) (raft.Log, error) {
			v := tx.Bucket(bucketLog).Get(logKey(index))
			if v == nil {
				return raft.Log{}, raft.ErrLogNotFound
			}
			return decodeEntry(index, v)
		})
		if err == nil {
			*log = entry
		}
		return err
	})
}

// StoreLog implements raft.LogStore.
func (s *store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. Raft appends, so whatever lies behind the last of logs is left over
// from a write that raft gave up on: it goes, or a restart would take it for the end of the log.
func (s *store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	entries := make(map[uint64][]byte, len(logs))
	var last uint64
	for _, l := range logs {
		entries[l.Index] = encodeEntry(l)
		last = max(last, l.Index)
	}
	return write(s, giveUpAfter, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLog)
		if err := deleteRange(b, last+1, ^uint64(0)); err != nil {
			return err
		}
		for index, entry := range entries {
			if err := b.Put(logKey(index), entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange implements raft.LogStore.
func (s *store) DeleteRange(first, last uint64) error {
	return write(s, giveUpAfter, func(tx *bolt.Tx) error { return deleteRange(tx.Bucket(bucketLog), first, last) })
}

func deleteRange(b *bolt.Bucket, first, last uint64) error {
	var keys [][]byte // a cursor that deletes may skip a key
	c := b.Cursor()
	for k, _ := c.Seek(logKey(first)); k != nil && binary.BigEndian.Uint64(k) <= last; k, _ = c.Next() {
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Set implements raft.StableStore.
func (s *store) Set(key, value []byte) error {
	key = append([]byte(nil), key...)
	sealed := encodeStable(key, value)
	return write(s, giveUpAfter, func(tx *bolt.Tx) error { return tx.Bucket(bucketStable).Put(key, sealed) })
}

// Get implements raft.StableStore: nothing for a key that was not set.
func (s *store) Get(key []byte) ([]byte, error) {
	key = append([]byte(nil), key...)
	return read(s, giveUpAfter, func(tx *bolt.Tx) ([]byte, error) {
		v := tx.Bucket(bucketStable).Get(key)
		if v == nil {
			return nil, nil
		}
		return decodeStable(key, v)
	})
}

// SetUint64 implements raft.StableStore. A vote may fail, and is not given then; the current term may not.
func (s *store) SetUint64(key []byte, value uint64) error {
	if now, err := s.GetUint64(key); err == nil && now == value {
		return nil
	}
	if string(key) != "CurrentTerm" {
		return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
	}
	sealed := encodeStable(key, binary.BigEndian.AppendUint64(nil, value))
	return s.hold(func() error {
		return write(s, 0, func(tx *bolt.Tx) error { return tx.Bucket(bucketStable).Put([]byte("CurrentTerm"), sealed) })
	})
}

// GetUint64 implements raft.StableStore: 0 for a key that was not set.
func (s *store) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}
