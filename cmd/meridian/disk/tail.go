package disk

import (
	"errors"
	"time"
)

// SyncEvery is how long what was written to a Tail may be lost with the machine's power.
const SyncEvery = 5 * time.Second

// A Tail is the file that a store goes on writing to, or none, as in the zero value. One goroutine owns it, and calls Sync when
// it is due.
type Tail struct {
	file  File
	dirty bool        // there is a file, and something was written since the last sync: due runs
	due   *time.Timer // nil: nothing was ever written
}

// Open reports whether there is a file.
func (t *Tail) Open() bool { return t.file != nil }

// Begin goes on with a file. The one before has been ended or abandoned.
func (t *Tail) Begin(f File) { t.file, t.dirty = f, false }

// Write writes to the file that there is.
func (t *Tail) Write(b []byte) (int, error) {
	if !t.dirty {
		t.dirty = true
		if t.due == nil {
			t.due = time.NewTimer(SyncEvery)
		} else {
			t.due.Reset(SyncEvery)
		}
	}
	return t.file.Write(b)
}

// Due tells when Sync is to be called. It is asked for anew after each Write.
func (t *Tail) Due() <-chan time.Time {
	if t.due == nil {
		return nil
	}
	return t.due.C
}

// Sync makes what was written survive a loss of power.
func (t *Tail) Sync() error {
	if !t.dirty {
		return nil
	}
	t.dirty = false
	return t.file.Sync()
}

// End makes everything that was written survive, and closes the file, if there is one.
func (t *Tail) End() error {
	if t.file == nil {
		return nil
	}
	f := t.file
	t.file, t.dirty = nil, false
	return errors.Join(f.Sync(), f.Close())
}

// Abandon closes a file that an error was about. What was written before that may still survive.
func (t *Tail) Abandon() { _ = t.End() }
