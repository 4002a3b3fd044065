package tap

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

const (
	fileMode  = 0o640    // what clients ask is nobody's business but the operators'
	leastFile = 64 << 10 // bytes that a file may have at least
)

// A file is written until it is as long as it may be. Then it becomes the one with .1 behind its name, and what was that is
// gone: both together are bounded.
type file struct {
	path        string
	limit       int64
	first, last []byte // what each file begins and ends with

	file *os.File // nil: it could not be opened again
	out  *bufio.Writer
	size int64
}

// openFile opens a file. One that is there is gone on with; if it ends with something, it is put aside.
func openFile(path string, limit int64, first, last []byte) (*file, error) {
	if limit < leastFile {
		return nil, fmt.Errorf("tap: %s: a file of %d bytes is too small, want at least %d", path, limit, leastFile)
	}
	f := &file{path: path, limit: limit, first: first, last: last}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 && len(last) > 0 {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("tap: %w", err)
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tap: %w", err)
	}
	return f, f.open()
}

func (f *file) open() error {
	opened, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	info, err := opened.Stat()
	if err != nil {
		opened.Close()
		return fmt.Errorf("tap: %w", err)
	}
	f.file, f.size = opened, info.Size()
	f.out = bufio.NewWriterSize(opened, 64<<10)
	return f.append(f.first)
}

func (f *file) append(b []byte) error {
	n, err := f.out.Write(b)
	f.size += int64(n)
	return err
}

// write appends b as a whole to one file.
func (f *file) write(b []byte) error {
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.size > int64(len(f.first)) && f.size+int64(len(b)+len(f.last)) > f.limit {
		f.close()
		if err := os.Rename(f.path, f.path+".1"); err != nil {
			return fmt.Errorf("tap: %w", err)
		}
		if err := f.open(); err != nil {
			return err
		}
	}
	return f.append(b)
}

// flush hands everything to the system. A file that does not take it is opened anew for what comes next.
func (f *file) flush() error {
	if f.file == nil {
		return nil
	}
	err := f.out.Flush()
	if err != nil {
		f.file.Close()
		f.file = nil
	}
	return err
}

func (f *file) close() {
	if f.file == nil {
		return
	}
	_ = f.append(f.last) // an error of the writer stays, so that flush returns it
	if f.flush() == nil {
		f.file.Close()
		f.file = nil
	}
}
