// Package disktest is a disk for the tests of what writes to one.
//
// It keeps its files in a real directory, and is only full, or without power, in so far as its user asks.
package disktest

import (
	"sync"
	"syscall"

	"github.com/meridian-gslb/meridian/cmd/meridian/disk"
)

// ErrFull is what a write to a full platter ends with.
const ErrFull = syscall.ENOSPC

// A Platter is a disk that may be full, and knows what a loss of power would take. The zero value has room for all; its methods may be called from
// any goroutine.
type Platter struct {
	mu       sync.Mutex
	room     func(b []byte) int
	unsynced int
	newest   disk.File
}

// Create is disk.Create for a file on the platter.
func (p *Platter) Create(name string) (disk.File, error) {
	f, err := disk.Create(name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = file{f, p}
	return p.newest, nil
}

// SetRoom has room say how many bytes of each write are written; nil: all.
func (p *Platter) SetRoom(room func(b []byte) int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = room
}

// Unsynced is how many bytes a loss of power would take.
func (p *Platter) Unsynced() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unsynced
}

// Newest is the file that was created last; nil: none was.
func (p *Platter) Newest() disk.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}

// A file is on a platter.
type file struct {
	disk.File
	on *Platter
}

func (f file) Write(b []byte) (int, error) {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	part := b
	if f.on.room != nil {
		part = b[:f.on.room(b)]
	}
	n, err := f.File.Write(part)
	if f.on.unsynced += n; err == nil && n < len(b) {
		err = ErrFull
	}
	return n, err
}

func (f file) Sync() error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	f.on.unsynced = 0
	return f.File.Sync()
}
