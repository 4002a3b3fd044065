package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// openStore opens the store in dir, or creates it if dir has never held one. snapshot is the index of the
// newest snapshot beside it, 0 if there is none.
func openStore(dir string, snapshot uint64, onStuck func(error)) (*store, error) {
	path := filepath.Join(dir, "raft.db")
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist) && snapshot > 0:
		return nil, damaged(path, errors.New("missing, beside a snapshot"))
	case errors.Is(err, os.ErrNotExist):
		if err := createStore(path); err != nil {
			return nil, fmt.Errorf("replica: create %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("replica: %w", err)
	case info.Size() == 0:
		return nil, damaged(path, errors.New("empty file")) // bbolt would make a new one of it
	}
	db, err := openBolt(path)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("replica: %s: in use by another process", path)
	}
	if err != nil {
		return nil, damaged(path, err)
	}
	if err := guard(func() error { return verify(db, snapshot) }); err != nil {
		db.Close()
		return nil, damaged(path, err)
	}
	s := &store{path: path, db: db, onStuck: onStuck,
		ops: make(chan func(*bolt.DB), maxQueued), closing: make(chan struct{}), closed: make(chan struct{})}
	go s.run()
	return s, nil
}

// ErrDamaged says that a voter's log can't be used. The voter must not vote; it may abstain.
var ErrDamaged = errors.New("is damaged")

// damaged says what to do: a voter that forgets its votes and its log could undo what was committed.
func damaged(path string, err error) error {
	return fmt.Errorf("replica: %s %w: %w (put back the file, or, while every other voter is up and they agree on the index, move its directory away)", path, ErrDamaged, err)
}

func openBolt(path string) (*bolt.DB, error) {
	var db *bolt.DB
	var file *os.File
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWithin, OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		}})
		return err
	})
	if err != nil && file != nil { // bbolt has not closed it if it panicked, and its mapping would keep the lock
		syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
		file.Close()
	}
	return db, err
}

// createStore makes the file under another name first, so that an empty or half-made one is known as damage.
func createStore(path string) error {
	temporary := path + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	db, err := openBolt(temporary)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(bucketLog)
		if err == nil {
			_, err = tx.CreateBucket(bucketStable)
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// guard turns a panic of bbolt over a damaged page, and a fault of its mapped file, into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt: %v", p)
		}
	}()
	return f()
}

// verify reads everything: every page, every entry, and no gap after the snapshot.
func verify(db *bolt.DB, snapshot uint64) error {
	return db.View(func(tx *bolt.Tx) error {
		if info, err := os.Stat(db.Path()); err != nil {
			return err
		} else if info.Size() < tx.Size() {
			return fmt.Errorf("%d bytes of %d", info.Size(), tx.Size())
		}
		log, stable := tx.Bucket(bucketLog), tx.Bucket(bucketStable)
		if log == nil || stable == nil {
			return errors.New("not a voter's store")
		}
		if err := verifyLog(log, snapshot); err != nil {
			return err
		}
		if err := stable.ForEach(func(k, v []byte) error {
			_, err := decodeStable(k, v)
			return err
		}); err != nil {
			return err
		}
		// Last, since it reads on a goroutine of its own, where a fault would end the process.
		var wrong error
		for err := range tx.Check() { // to its end, or its goroutine stays
			if wrong == nil {
				wrong = err
			}
		}
		return wrong
	})
}

func verifyLog(log *bolt.Bucket, snapshot uint64) error {
	next := snapshot + 1
	return log.ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return fmt.Errorf("log: key %x", k)
		}
		index := binary.BigEndian.Uint64(k)
		if _, err := decodeEntry(index, v); err != nil {
			return err
		}
		if index > snapshot {
			if index != next {
				return fmt.Errorf("log: entry %d missing", next)
			}
			next++
		}
		return nil
	})
}
